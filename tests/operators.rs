//! An operator's command from afar, as processes: a server that was set up by the command alone, and people elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(30);
const SERVER: &str = "ms1.corp.example";
const ANN: &str = "ann.corp.example";
const BOB: &str = "bob.corp.example";
const AGENT: &str = "pc7.branch.example";

/// A server that runs, and certificates; it is killed when this goes.
struct Site {
    directory: tempfile::TempDir,
    server: Option<Child>,
    port: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Site {
    fn new() -> Self {
        let mut site = Self { directory: tempfile::tempdir().unwrap(), server: None, port: String::new() };
        site.done(&["ca", "init", "--directory", &site.at("ca"), "--name", "Lab CA"]);
        for name in [SERVER, ANN, BOB, AGENT] {
            site.done(&["ca", "sign", "--directory", &site.at("ca"), "--name", name, "--out", &site.at(name)]);
        }
        let config = site.at("ms1.toml");
        let text = format!(
            "role = \"management-server\"\nname = \"{SERVER}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{}\"\n\
             [identity]\ndirectory = \"{}\"\n[listen]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"{}\"\n\
             [output]\nstore = true\n",
            site.at("state"),
            site.at(SERVER),
            site.store()
        );
        std::fs::write(&config, text).unwrap();
        let log = site.log();
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        command.args(["management-server", "run", "--config", &config]).stdin(Stdio::null()).stdout(Stdio::null());
        site.server = Some(command.stderr(File::create(&log).unwrap()).spawn().unwrap());
        let line = until(&log, "listens on ");
        site.port = line.rsplit(':').next().unwrap().trim().to_owned();
        site
    }

    fn at(&self, path: &str) -> String {
        self.directory.path().join(path).display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("ms1.log")
    }

    fn store(&self) -> String {
        format!("sqlite://{}", self.at("group.db"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What must succeed; its standard output.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As this operator, from afar.
    fn afar(&self, who: &str, arguments: &[&str]) -> Output {
        let server = format!("{SERVER}:{}", self.port);
        let identity = self.at(who);
        let before = ["--server", &server, "--identity", &identity, "--address", "127.0.0.1"];
        self.run(&[&before[..], arguments].concat())
    }

    fn done_afar(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.afar(who, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused_afar(&self, who: &str, arguments: &[&str], code: &str) {
        let output = self.afar(who, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.starts_with(code), "{told}");
        assert!(output.stdout.is_empty());
    }
}

/// Waits for a line with this in it.
fn until(file: &Path, wanted: &str) -> String {
    let since = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains(wanted)) {
            return line.to_owned();
        }
        assert!(since.elapsed() < WITHIN, "no \"{wanted}\" in {}:\n{text}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn g1_the_command_works_on_the_group_from_afar_as_far_as_the_operator_may() {
    let site = Site::new();
    let store = site.store();
    site.refused_afar(ANN, &["inventory"], "FP3040 ");
    until(&site.log(), "FP3040");
    site.done(&["operator", "approve", ANN, "--store", &store]);
    for command in [
        &["agent", "approve", AGENT][..],
        &["operator", "approve", BOB, "--read-only"],
        &["approve", "--gateway-name", "gw1", "--management-server-name", SERVER, "--action", "create"],
        &["failover", "set", "--gateway", "gw1", "--primary", SERVER],
        &["server", "set", SERVER, "--excluded", "false"],
        &["send", "--agent", AGENT, "restart"],
        &["token", "create", "--name", "pc8.branch.example", "--role", "agent"],
        &["token", "list"],
    ] {
        site.done_afar(ANN, command);
    }
    // But for the time at which it was asked.
    let without_time = |text: String| {
        let mut inventory: serde_json::Value = serde_json::from_str(&text).unwrap();
        inventory.as_object_mut().unwrap().remove("at").unwrap();
        inventory
    };
    let local = without_time(site.done(&["inventory", "--json", "--store", &store]));
    for who in [ANN, BOB] {
        assert_eq!(without_time(site.done_afar(who, &["inventory", "--json"])), local, "{who}");
        assert!(site.done_afar(who, &["agent", "list"]).contains(AGENT));
    }
    let operators = site.done_afar(ANN, &["operator", "list"]);
    assert!(operators.contains(BOB) && operators.contains("read-only"), "{operators}");

    site.refused_afar(BOB, &["agent", "reject", AGENT], "FP3041 ");
    site.refused_afar(BOB, &["operator", "list"], "FP3041 ");
    site.refused_afar(AGENT, &["inventory"], "FP3005 ");
    site.refused_afar(SERVER, &["inventory"], "FP3005 ");
    site.refused_afar(ANN, &["agent", "approve", "'; drop table agents"], "FP");
    for code in ["FP3041", "FP3005"] {
        until(&site.log(), code);
    }
    site.done_afar(ANN, &["operator", "delete", BOB]);
    site.refused_afar(BOB, &["inventory"], "FP3040 ");
}

#[test]
fn a_command_line_that_means_two_places_or_none_is_refused() {
    let usage = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.starts_with("FP5009"), "{told}");
    };
    usage(&["--server", SERVER, "inventory"]);
    usage(&["--identity", "nowhere", "inventory"]);
    usage(&["--name", ANN, "inventory"]);
    usage(&["--server", SERVER, "--identity", "nowhere", "config", "reference"]);
    usage(&["--server", SERVER, "--identity", "nowhere", "inventory", "--store", "sqlite://group.db"]);
    let empty = tempfile::tempdir().unwrap();
    usage(&["--server", SERVER, "--identity", &empty.path().display().to_string(), "inventory"]);
}
