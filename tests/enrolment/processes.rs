//! A group from nothing, by the command alone: a CA, a server, a gateway, and an agent that enrols.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::chain::{GATEWAY, SERVER};
use crate::log::until;
use crate::{NEW, files};

/// A gateway behind the other one.
const INNER: &str = "gw2.site.example";

/// A directory with everything in it; what runs is killed when this goes.
struct Group {
    directory: tempfile::TempDir,
    running: Vec<Child>,
}

impl Drop for Group {
    fn drop(&mut self) {
        for process in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Group {
    fn at(&self, path: &str) -> String {
        self.directory.path().join(path).display().to_string()
    }

    /// Runs a command that must succeed; its standard output.
    fn farpost(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a node; its log.
    fn run(&mut self, role: &str, node: &str, tables: &str) -> PathBuf {
        let config = self.at(&format!("{node}.toml"));
        let identity = self.at(&format!("identity-{node}"));
        let state = self.at(&format!("state-{node}"));
        let text = format!(
            "role = \"{role}\"\nname = \"{node}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{state}\"\n\
             [identity]\ndirectory = \"{identity}\"\n{tables}"
        );
        std::fs::write(&config, text).unwrap();
        let log = self.directory.path().join(format!("{node}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        command.args([role, "run", "--config", &config]).stdin(Stdio::null()).stdout(Stdio::null());
        self.running.push(command.stderr(File::create(&log).unwrap()).spawn().unwrap());
        log
    }

    /// A certificate by the CA, as an administrator gives it to the first nodes.
    fn sign(&self, node: &str) {
        let (ca, out) = (self.at("ca"), self.at(&format!("identity-{node}")));
        self.farpost(&["ca", "sign", "--directory", &ca, "--name", node, "--out", &out]);
    }
}

/// What a node says of an address that it listens on.
fn address(log: &Path, does: &str) -> String {
    let line = until(log, &format!("{does} on "));
    line.rsplit(' ').next().unwrap().trim().to_owned()
}

#[test]
fn an_agent_without_a_certificate_delivers_after_a_token_and_an_approval() {
    let mut group = Group { directory: tempfile::tempdir().unwrap(), running: Vec::new() };
    let (ca, store, output) = (group.at("ca"), format!("sqlite://{}", group.at("group.db")), group.at("out.jsonl"));
    group.farpost(&["ca", "init", "--directory", &ca, "--name", "Lab CA"]);
    [SERVER, GATEWAY].iter().for_each(|node| group.sign(node));
    let listen = "[listen]\naddress = \"127.0.0.1:0\"\n[enrolment]\nlisten = \"127.0.0.1:0\"\n";
    let tables = format!(
        "{listen}[store]\nurl = \"{store}\"\n[output]\npath = \"{output}\"\n\
         [authority]\nkind = \"local\"\ndirectory = \"{ca}\"\nvalidity = \"30d\"\n"
    );
    let server = group.run("management-server", SERVER, &tables);
    let server_address = address(&server, "listens");
    let approve = ["approve", "--management-server-name", SERVER, "--gateway-name", GATEWAY, "--action", "create"];
    group.farpost(&[&approve[..], &["--store", &store]].concat());
    let upstream = |node: &str, address: &str| {
        let port = address.rsplit(':').next().unwrap();
        format!("[upstream]\nprimary = \"{node}:{port}\"\n[hosts]\n\"{node}\" = [\"127.0.0.1\"]\n")
    };
    let gateway = group.run("gateway", GATEWAY, &format!("{listen}{}", upstream(SERVER, &server_address)));
    let (enrols, listens) = (address(&gateway, "takes enrolments"), address(&gateway, "listens"));
    until(&gateway, "FP2101");

    let token =
        group.farpost(&["token", "create", "--name", NEW, "--role", "agent", "--gateway", GATEWAY, "--store", &store]);
    let file = group.at("token");
    std::fs::write(&file, &token).unwrap();
    let at = format!("{GATEWAY}:{}", enrols.rsplit(':').next().unwrap());
    let (trust, directory) = (group.at("ca/ca.pem"), group.at(&format!("identity-{NEW}")));
    let enroll = ["enroll", "--token", &file, "--subject-name", NEW, "--role", "agent", "--gateway", &at];
    let place = ["--address", "127.0.0.1", "--management-group", "CORP", "--trust", &trust, "--directory", &directory];
    let told = group.farpost(&[&enroll[..], &place].concat());
    assert!(told.contains(&format!("farpost agent approve {NEW}")), "{told}");
    assert_eq!(files(Path::new(&directory)).len(), 3, "certificate, key, CA: {:?}", files(Path::new(&directory)));

    group.farpost(&["agent", "approve", NEW, "--store", &store]);
    let input = group.at("input.log");
    std::fs::write(&input, "the first line\n").unwrap();
    group.run("agent", NEW, &format!("[input]\npath = \"{input}\"\n{}", upstream(GATEWAY, &listens)));
    let delivered = until(Path::new(&output), "the first line");
    assert!(delivered.contains(NEW) && delivered.contains(GATEWAY), "{delivered}");
    let logs: Vec<String> = [server, gateway].iter().map(|log| std::fs::read_to_string(log).unwrap()).collect();
    for part in token.trim().split('-').skip(1) {
        assert!(logs.iter().all(|log| !log.contains(part)), "a part of the token is in a log");
    }
}

/// The token is for the inner gateway: the outer one passes on what it cannot use.
#[test]
fn an_agent_enrols_at_a_gateway_behind_another_one_with_a_token_for_that_one_alone() {
    let mut group = Group { directory: tempfile::tempdir().unwrap(), running: Vec::new() };
    let (ca, store, output) = (group.at("ca"), format!("sqlite://{}", group.at("group.db")), group.at("out.jsonl"));
    group.farpost(&["ca", "init", "--directory", &ca, "--name", "Lab CA"]);
    [SERVER, GATEWAY, INNER].iter().for_each(|node| group.sign(node));
    let listen = "[listen]\naddress = \"127.0.0.1:0\"\n[enrolment]\nlisten = \"127.0.0.1:0\"\n";
    let tables = format!(
        "{listen}[store]\nurl = \"{store}\"\n[output]\npath = \"{output}\"\n\
         [authority]\nkind = \"local\"\ndirectory = \"{ca}\"\n"
    );
    let server = group.run("management-server", SERVER, &tables);
    let server_address = address(&server, "listens");
    let upstream = |node: &str, address: &str| {
        let port = address.rsplit(':').next().unwrap();
        format!("[upstream]\nprimary = \"{node}:{port}\"\n[hosts]\n\"{node}\" = [\"127.0.0.1\"]\n")
    };
    let approve = ["approve", "--management-server-name", SERVER, "--gateway-name", GATEWAY, "--action", "create"];
    group.farpost(&[&approve[..], &["--store", &store]].concat());
    let outer = format!("{listen}{}", upstream(SERVER, &server_address));
    let outer = group.run("gateway", GATEWAY, &outer);
    let approve = ["approve", "--parent-gateway", GATEWAY, "--gateway-name", INNER, "--action", "create"];
    group.farpost(&[&approve[..], &["--store", &store]].concat());
    let inner = format!("{listen}{}", upstream(GATEWAY, &address(&outer, "listens")));
    let inner = group.run("gateway", INNER, &inner);
    until(&inner, "the gateway's channel is open");

    let file = group.at("token");
    let token = ["token", "create", "--name", NEW, "--role", "agent", "--gateway", INNER, "--store", &store];
    std::fs::write(&file, group.farpost(&token)).unwrap();
    let (trust, directory) = (group.at("ca/ca.pem"), group.at(&format!("identity-{NEW}")));
    let enroll = |gateway: &str, log: &Path| {
        let at = format!("{gateway}:{}", address(log, "takes enrolments").rsplit(':').next().unwrap());
        let enroll = ["enroll", "--token", &file, "--subject-name", NEW, "--role", "agent", "--gateway", &at];
        let place =
            ["--address", "127.0.0.1", "--management-group", "CORP", "--trust", &trust, "--directory", &directory];
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        command.args([&enroll[..], &place].concat()).output().unwrap()
    };
    let elsewhere = enroll(GATEWAY, &outer);
    let told = String::from_utf8_lossy(&elsewhere.stderr);
    assert!(!elsewhere.status.success() && told.contains("FP1810"), "{told}");
    let told = enroll(INNER, &inner);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    until(&server, "FP1821");

    group.farpost(&["agent", "approve", NEW, "--store", &store]);
    let input = group.at("input.log");
    std::fs::write(&input, "through two\n").unwrap();
    let below = upstream(INNER, &address(&inner, "listens"));
    group.run("agent", NEW, &format!("[input]\npath = \"{input}\"\n{below}"));
    let delivered = until(Path::new(&output), "through two");
    assert!([NEW, INNER, GATEWAY].iter().all(|name| delivered.contains(name)), "{delivered}");
}
