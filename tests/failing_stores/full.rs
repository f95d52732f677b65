//! A server whose SQLite file is on a full disk: a small file system of its own, in a process with mounts of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farpost::Message;

use crate::chain::{AGENT, Chain, SERVER};
use crate::events::{DEADLINE, within};
use crate::pki::Certified;

/// A management server on a small file system.
struct Server {
    process: Child,
    directory: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// `None`, with a line that says so, where nothing can be mounted.
    fn start(chain: &Chain) -> Option<Self> {
        let directory = chain.directory.path().to_owned();
        configure(&directory, &chain.authority, &format!("sqlite://{}/disk/group.db", directory.display()));
        let disk = directory.join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.arg("-r");
        }
        command.args(["-m", "sh", "-c", "mount -t tmpfs -o size=16m none \"$0\" && exec \"$@\""]).arg(&disk);
        command.arg(env!("CARGO_BIN_EXE_farpost")).args(["management-server", "run", "--config"]);
        command.arg(directory.join("server.toml")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(directory.join("log")).unwrap());
        let mut server = Self { process: command.spawn().unwrap(), directory };
        let since = Instant::now();
        while !server.said("listens on") {
            if let Some(status) = server.process.try_wait().unwrap() {
                let log = server.log();
                assert!(!log.contains("FP"), "{status}: {log}");
                println!("skipped: nothing can be mounted here: {log}");
                return None;
            }
            assert!(since.elapsed() < DEADLINE, "{}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap()
    }

    fn said(&self, what: &str) -> bool {
        self.log().contains(what)
    }

    async fn says(&self, what: &str) {
        let since = Instant::now();
        while !self.said(what) {
            assert!(since.elapsed() < DEADLINE, "not \"{what}\": {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn address(&self) -> SocketAddr {
        let log = self.log();
        let address = log.rsplit("listens on ").next().unwrap().lines().next().unwrap();
        address.trim().parse().unwrap()
    }

    /// A file of the small file system, which only the server's mounts have.
    fn on_disk(&self, name: &str) -> PathBuf {
        let disk = self.directory.join("disk");
        Path::new(&format!("/proc/{}/root{}", self.process.id(), disk.display())).join(name)
    }
}

/// Writes what a management server on this store needs, and its configuration `server.toml`.
pub(crate) fn configure(directory: &Path, authority: &Certified, store_url: &str) {
    let (certified, at) = (authority.issue(SERVER), directory.display());
    let configuration = format!(
        "role = \"management-server\"\nname = \"{SERVER}\"\nmanagement_group = \"CORP\"\n\
         state_directory = \"{at}/server\"\nunknown_agents = \"approve\"\n\
         [identity]\ncertificate = \"{at}/server.pem\"\nkey = \"{at}/server.key\"\ntrust = [\"{at}/ca.pem\"]\n\
         [listen]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"{store_url}\"\n[output]\nstore = true\n"
    );
    let files = [
        ("ca.pem", authority.pem()),
        ("server.pem", certified.pem()),
        ("server.key", certified.key_pem()),
        ("server.toml", configuration),
    ];
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(directory.join("server.key"), own).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_on_a_full_disk_nothing_is_acknowledged_until_there_is_space() {
    let chain = Chain::new().await;
    let Some(server) = Server::start(&chain) else { return };
    let agent = chain.agent(AGENT, SERVER, server.address()).start().await.unwrap();
    within("delivery", agent.send(Message::new("before")).await.unwrap().delivered()).await.unwrap();
    let filler = server.on_disk("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    // More than what has its place already.
    for _ in 0..300 {
        agent.send(Message::new("x".repeat(20_000))).await.unwrap();
    }
    server.says("FP3016").await;
    let last = agent.last_receipt();
    let early = tokio::time::timeout(Duration::from_millis(1500), agent.last_receipt().delivered()).await;
    assert!(early.is_err(), "acknowledged on a full disk: {early:?}");
    let status = crate::status(&server.directory.join("server"));
    assert!(status["store"]["why"].as_str().unwrap().contains("full"), "{status}");
    std::fs::remove_file(&filler).unwrap();
    within("delivery", last.delivered()).await.unwrap();
    server.says("FP3030").await;
    assert_eq!(server.log().matches("FP3016").count(), 1, "{}", server.log());
    // In its own mounts, whose paths SQLite would not follow: a copy is looked at.
    for suffix in ["", "-wal"] {
        let name = format!("group.db{suffix}");
        std::fs::copy(server.on_disk(&name), chain.directory.path().join(format!("copy.db{suffix}"))).unwrap();
    }
    let count: i64 = rusqlite::Connection::open(chain.directory.path().join("copy.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 301);
    agent.close(Duration::from_secs(10)).await.unwrap();
}
