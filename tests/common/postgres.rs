//! A throw-away PostgreSQL cluster for tests, and fresh databases in it. Needs Debian's package `postgresql`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running cluster with the superuser `farpost`, without a password on its Unix socket.
pub(crate) struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    /// On 127.0.0.1; the Unix socket has it in its name, too.
    pub(crate) port: u16,
    /// Ends the cluster and removes the directory as soon as its standard input ends: with this process, however that
    /// comes to its end.
    guard: Child,
}

impl Cluster {
    /// A new one, with more server options, such as `-c ssl=on`; `None`, with a line that says so, where PostgreSQL is
    /// not installed.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is missing where `CI` says that nothing is skipped, or does not start.
    pub(crate) fn start(options: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is needed: apt-get install postgresql");
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("farpost-pg-").tempdir().unwrap().keep();
        let port = free_port();
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(&directory).status().unwrap().success());
        }
        let guard = guard(&programs, &directory);
        let cluster = Self { directory, programs, port, guard };
        let data = cluster.data();
        let initdb = ["-U", "farpost", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"];
        cluster.run("initdb", &[&initdb[..], &[&data]].concat());
        cluster.start_again(options);
        Some(cluster)
    }

    /// Starts it, after [`Cluster::stop`].
    pub(crate) fn start_again(&self, options: &str) {
        let log = self.path("log");
        let all = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='{}' -c fsync=off -c autovacuum=off {options}",
            self.port,
            self.directory.display()
        );
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-l", &log, "-o", &all, "start"]);
    }

    /// Stops it: `immediate` is a crash, `fast` ends connections in good order.
    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", mode, "-w", "stop"]);
    }

    /// A file of the cluster's directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// The process of the server itself, and then of all that it has started.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let pid = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap();
        let server: i32 = pid.lines().next().unwrap().trim().parse().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        std::iter::once(server).chain(children.split_whitespace().map(|pid| pid.parse().unwrap())).collect()
    }

    fn data(&self) -> String {
        self.path("data")
    }

    /// Makes an empty database, and answers its name.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("group_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The connection string of a database, over the Unix socket.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&port={}&user=farpost", self.directory.display(), self.port)
    }

    /// Runs statements as superuser, with farpost's tables at hand; answers what they print.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.tool("psql", database, &["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
    }

    /// Runs one of PostgreSQL's tools on a database; answers what it prints.
    pub(crate) fn tool(&self, program: &str, database: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.programs.join(program));
        command.env("PGOPTIONS", "-c search_path=farpost,public -c client_min_messages=warning");
        command.args(["-U", "farpost", "-d", database, "-p", &self.port.to_string(), "-h"]).arg(&self.directory);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = as_postgres(&self.programs.join(program));
        // A server inherits what pg_ctl has: a pipe would be held open by it.
        let log = std::fs::File::create(self.directory.join("setup.log")).unwrap();
        let errors = log.try_clone().unwrap();
        let status = command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors).status().unwrap();
        let text = |name| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?}: {} {}", text("setup.log"), text("log"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A port that stays free until the cluster takes it, also while it is stopped: below those that the system gives to
/// connections and to whoever asks for any port. Processes look from different places on.
fn free_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 10_000..30_000;
    let from = std::process::id() % 100_000 * 211 + COUNT.fetch_add(7, Ordering::Relaxed);
    let ports = (0..PORTS.end - PORTS.start).map(|step| PORTS.start + (from + step) % (PORTS.end - PORTS.start));
    let mut ports = ports.map(|port| u16::try_from(port).unwrap());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Waits for the end of its standard input, then stops the cluster.
fn guard(programs: &Path, directory: &Path) -> Child {
    let script = "cat > /dev/null; \"$0\" -D \"$1/data\" -m immediate -w stop > /dev/null 2>&1; rm -rf \"$1\"";
    let mut command = as_postgres(Path::new("sh"));
    command.args(["-c", script]).arg(programs.join("pg_ctl")).arg(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C reaches the whole group of processes: the guard outlives it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().unwrap()
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    // Where the user may look up its own working directory.
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The newest release's programs.
fn programs() -> Option<PathBuf> {
    let mut releases: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    releases.sort();
    releases.pop().map(|(_, programs)| programs)
}
