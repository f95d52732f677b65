//! A group as an administrator sets it up: certificates that openssl made, configuration files, the command's processes.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const SERVERS: [&str; 2] = ["ms1", "ms2"];
pub(crate) const GATEWAYS: [&str; 2] = ["gw1", "gw2"];
/// The gateway behind the others, where there is one.
pub(crate) const INNER: &str = "gw3";
pub(crate) const AGENTS: [&str; 2] = ["pc1", "pc2"];

/// How long a process may take to start, on a machine that has much else to do.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// Two servers on one store, two gateways, two agents; what is running is killed when this goes.
pub(crate) struct Installation {
    directory: TempDir,
    store_url: String,
    nodes: Vec<Node>,
}

/// A node and its process.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    role: &'static str,
    directory: PathBuf,
    process: Option<Child>,
}

impl Installation {
    /// Makes everything, starts servers and gateways and approves all; the agents are not started yet.
    ///
    /// `output` is the table of the servers' configurations, with NODE for the server's name and DIR for the directory.
    pub(crate) fn new(output: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store_url = format!("sqlite://{}/group.db", directory.path().display());
        Self::in_directory(directory, store_url, output, "", false)
    }

    /// The same with a third gateway, behind the two; the agents connect to that, and to the first as their failover.
    pub(crate) fn with_inner_gateway(output: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store_url = format!("sqlite://{}/group.db", directory.path().display());
        Self::in_directory(directory, store_url, output, "", true)
    }

    /// The same on a store that is there.
    pub(crate) fn on(store_url: String, output: &str) -> Self {
        Self::trusting("", store_url, output)
    }

    /// The same with nodes that trust these anchors, too.
    pub(crate) fn trusting(anchors: &str, store_url: String, output: &str) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), store_url, output, anchors, false)
    }

    fn in_directory(directory: TempDir, store_url: String, output: &str, anchors: &str, has_inner: bool) -> Self {
        let mut installation = Self { directory, store_url, nodes: Vec::new() };
        let path = installation.path().to_owned();
        installation.certificates();
        let trust = std::fs::read_to_string(path.join("ca.pem")).unwrap() + anchors;
        std::fs::write(path.join("ca.pem"), trust).unwrap();
        let address = loopback();
        let listeners: Vec<TcpListener> = (0..5).map(|_| TcpListener::bind((address.as_str(), 0)).unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let upstreams = |names: [&str; 2], ports: &[u16]| {
            let [primary, failover] = [0, 1].map(|at| format!("\"{}:{}\"", full(names[at]), ports[at]));
            format!("[upstream]\nprimary = {primary}\nfailover = [{failover}]\n{MOVES}{}", hosts(&address))
        };
        for (at, name) in SERVERS.into_iter().enumerate() {
            let store = format!("[store]\nurl = \"{}\"\n", installation.store_url);
            let output = output.replace("NODE", name).replace("DIR", &path.display().to_string());
            installation.node(
                name,
                "management-server",
                &(listen(&address, ports[at]) + &store + "[output]\n" + &output + "\n"),
            );
        }
        for (at, name) in GATEWAYS.into_iter().enumerate() {
            installation.node(name, "gateway", &(listen(&address, ports[2 + at]) + &upstreams(SERVERS, &ports[..2])));
        }
        let mut agents_upstreams = upstreams(GATEWAYS, &ports[2..]);
        if has_inner {
            installation.node(INNER, "gateway", &(listen(&address, ports[4]) + &upstreams(GATEWAYS, &ports[2..])));
            agents_upstreams = upstreams([INNER, GATEWAYS[0]], &[ports[4], ports[2]]);
        }
        for name in AGENTS {
            let input = format!("[input]\npath = \"{}\"\n", path.join(format!("{name}.log")).display());
            installation.node(name, "agent", &(input + &agents_upstreams));
        }
        for name in SERVERS {
            installation.start(name);
        }
        let [primary, failover] = [0, 1].map(|at| format!("{}:{}", full(SERVERS[at]), ports[at]));
        for gateway in GATEWAYS.map(full) {
            let server = full(SERVERS[0]);
            let approve = ["--management-server-name", &server, "--gateway-name", &gateway, "--action", "create"];
            installation.group(&[&["approve"], &approve[..]].concat());
            let set = ["failover", "set", "--gateway", &gateway, "--primary", &primary, "--failover", &failover];
            installation.group(&set);
        }
        for agent in AGENTS {
            installation.group(&["agent", "approve", &full(agent)]);
        }
        for name in GATEWAYS {
            installation.start(name);
        }
        if has_inner {
            installation.put_inner_gateway(&ports);
        }
        installation
    }

    fn put_inner_gateway(&mut self, ports: &[u16]) {
        let (server, gateway) = (full(SERVERS[0]), full(INNER));
        let approve = ["--management-server-name", &server, "--gateway-name", &gateway, "--action", "create"];
        self.group(&[&["approve"], &approve[..]].concat());
        let [primary, failover] = [0, 1].map(|at| format!("{}:{}", full(GATEWAYS[at]), ports[2 + at]));
        self.group(&["failover", "set", "--gateway", &gateway, "--primary", &primary, "--failover", &failover]);
        self.start(INNER);
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn store_url(&self) -> &str {
        &self.store_url
    }

    /// A CA and a certificate per node, by openssl alone.
    fn certificates(&self) {
        self.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 365 \
             -subj /CN=Test-CA -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        for name in SERVERS.into_iter().chain(GATEWAYS).chain([INNER]).chain(AGENTS) {
            let extensions = format!(
                "subjectAltName=DNS:{}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=critical,digitalSignature\n\
                 basicConstraints=CA:FALSE\n",
                full(name)
            );
            std::fs::write(self.path().join("extensions"), extensions).unwrap();
            self.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={}",
                full(name)
            ));
            self.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile extensions \
                 -out {name}.pem"
            ));
        }
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").current_dir(self.path()).args(arguments.split_whitespace()).output();
        let output = output.expect("the command openssl is needed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes a node's configuration.
    fn node(&mut self, name: &'static str, role: &'static str, tables: &str) {
        let at = self.path().display();
        let text = format!(
            "role = \"{role}\"\nname = \"{}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{at}/state-{name}\"\n{}\
             [identity]\ncertificate = \"{at}/{name}.pem\"\nkey = \"{at}/{name}.key\"\ntrust = [\"{at}/ca.pem\"]\n{tables}",
            full(name),
            if role == "management-server" { "" } else { "probe.interval = \"2s\"\n" },
        );
        std::fs::write(self.path().join(format!("{name}.toml")), text).unwrap();
        self.nodes.push(Node { name, role, directory: self.path().to_owned(), process: None });
    }

    /// Runs a command of the group.
    fn group(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let output = command.args(arguments).arg("--store").arg(self.store_url()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    pub(crate) fn node_named(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).unwrap()
    }

    pub(crate) fn start(&mut self, name: &str) {
        self.node_named(name).start();
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("left for you to look at: {}", self.directory.path().display());
        }
    }
}

impl Node {
    /// What runs it, with standard error in its log.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        command.args([self.role, "run", "--config"]).arg(self.directory.join(format!("{}.toml", self.name)));
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// All that it has said so far.
    pub(crate) fn said(&self) -> String {
        self.log_after(0)
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.err", self.name))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it, and waits until it listens if it is one that does.
    pub(crate) fn start(&mut self) {
        let logged = File::open(self.log()).map_or(0, |file| file.metadata().unwrap().len());
        self.process = Some(self.command().spawn().unwrap());
        let since = Instant::now();
        while self.role != "agent" && !self.log_after(logged).contains("listens on") {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            let log = self.log_after(logged);
            assert!(ended.is_none() && since.elapsed() < STARTS_WITHIN, "{} did not start: {ended:?} {log}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log_after(&self, position: u64) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log[usize::try_from(position).unwrap().min(log.len())..]).into_owned()
    }

    /// SIGKILL. A node that had ended by itself is a fault.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let ended = process.try_wait().unwrap();
            process.kill().unwrap();
            process.wait().unwrap();
            assert!(ended.is_none() || std::thread::panicking(), "{} ended by itself: {ended:?}", self.name);
        }
    }
}

/// An address of this installation's own: no other test, and no outgoing connection, has its ports while a node is down.
fn loopback() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let (id, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.{}", 64 + count % 64, (id >> 8) & 0xff, id & 0xff)
}

fn full(name: &str) -> String {
    format!("{name}.lab.example")
}

fn listen(address: &str, port: u16) -> String {
    format!("[listen]\naddress = \"{address}:{port}\"\n")
}

fn hosts(address: &str) -> String {
    let mut out = "[hosts]\n".to_owned();
    for name in SERVERS.into_iter().chain(GATEWAYS).chain([INNER]) {
        let _ = writeln!(out, "\"{}\" = [\"{address}\"]", full(name));
    }
    out
}

/// Quick turns: what takes a minute in production takes a second here.
const MOVES: &str =
    "[backoff]\nmin = \"50ms\"\nmax = \"500ms\"\n[failback]\nhold_down = \"500ms\"\njitter = \"200ms\"\n";
