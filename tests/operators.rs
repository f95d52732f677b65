//! An operator's command from afar, as processes: a server that was set up by the command alone, and people elsewhere.

#[path = "common/log.rs"]
mod log;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use log::until;

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
        Self::with_authority("local", "ca")
    }

    /// Whose certificate authority is of this kind, in this directory.
    fn with_authority(kind: &str, authority: &str) -> Self {
        let mut site = Self { directory: tempfile::tempdir().unwrap(), server: None, port: String::new() };
        std::fs::create_dir_all(site.at(authority)).unwrap();
        site.done(&["ca", "init", "--directory", &site.at("ca"), "--name", "Lab CA"]);
        for name in [SERVER, ANN, BOB, AGENT] {
            site.done(&["ca", "sign", "--directory", &site.at("ca"), "--name", name, "--out", &site.at(name)]);
        }
        let config = site.at("ms1.toml");
        let text = format!(
            "role = \"management-server\"\nname = \"{SERVER}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{}\"\n\
             [identity]\ndirectory = \"{}\"\n[listen]\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"{}\"\n\
             [output]\nstore = true\n[authority]\nkind = \"{kind}\"\ndirectory = \"{}\"\n",
            site.at("state"),
            site.at(SERVER),
            site.store(),
            site.at(authority)
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

    /// The same where a warning comes first.
    fn refused_with_warning(&self, who: &str, arguments: &[&str], code: &str) {
        let told = self.afar(who, arguments).stderr;
        let told = String::from_utf8_lossy(&told);
        assert!(told.starts_with("warning: ") && told.contains(&format!("\n{code} ")), "{told}");
    }

    fn refused_afar(&self, who: &str, arguments: &[&str], code: &str) {
        let output = self.afar(who, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.starts_with(code), "{told}");
        assert!(output.stdout.is_empty());
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
        &["site", "create", "branch"],
        &["site", "add", "branch", "--pattern", "*.branch.example"],
        &["server", "set", SERVER, "--excluded", "false"],
        &["send", "--agent", AGENT, "restart"],
        &["messages", "cancel", "--agent", AGENT, "1"],
        &["token", "create", "--name", "pc8.branch.example", "--role", "agent"],
        &["token", "list"],
        &["deliveries", "keep", "30d"],
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

    // A server's refusals are in the store within two seconds.
    let since = std::time::Instant::now();
    while !site.done(&["refusals", "--store", &store]).contains(ANN) {
        assert!(since.elapsed() < std::time::Duration::from_secs(30), "the refusal of {ANN} is not in the store");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Of all times, too, which no command line says.
    for command in [&["audit"][..], &["audit", "--json"], &["refusals"], &["refusals", "--json"], &["messages"]] {
        let local = site.done(&[command, &["--store", &store]].concat());
        assert_eq!(site.done_afar(BOB, command), local, "{command:?}");
        assert!(local.contains("ann.corp.example") || command[0] == "messages", "{command:?}: {local}");
    }

    site.refused_afar(BOB, &["agent", "reject", AGENT], "FP3041 ");
    site.refused_afar(BOB, &["server", "delete", SERVER], "FP3041 ");
    // The one that is asked runs, and another one does not.
    site.refused_afar(ANN, &["server", "delete", SERVER], "FP3065 ");
    register_server(&store, "ms9.lab.example");
    let deleted = site.done_afar(ANN, &["server", "delete", "ms9.lab.example"]);
    assert_eq!(deleted, "The management server ms9.lab.example is deleted.\n");
    assert!(site.done_afar(BOB, &["audit"]).contains("delete server ms9.lab.example  by "));
    site.refused_afar(BOB, &["operator", "list"], "FP3041 ");
    let simulated = site.done_afar(BOB, &["failover", "simulate", "--without", SERVER, "--site", "branch"]);
    assert!(simulated.contains(AGENT) && !simulated.contains("gw1"), "{simulated}");
    site.refused_afar(BOB, &["failover", "simulate", "--without", SERVER, "--site", "nowhere"], "FP3059 ");
    site.refused_afar(BOB, &["site", "remove", "branch", "--pattern", "**"], "FP3041 ");
    assert!(site.done_afar(BOB, &["site", "remove", "branch", "--pattern", "**", "--dry-run"]).contains(AGENT));
    site.refused_afar(BOB, &["messages", "cancel", "--all-pending"], "FP3041 ");
    site.refused_afar(ANN, &["messages", "cancel", "--agent", AGENT, "1"], "FP3071 ");
    site.refused_afar(BOB, &["deliveries", "keep", "forever"], "FP3041 ");
    assert!(site.done_afar(BOB, &["deliveries", "show"]).starts_with("deliveries are kept for 30 days;"));
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

#[test]
fn i5_g1_an_operator_renews_its_certificate_from_the_command_and_its_pin_moves_to_the_new_key() {
    let site = Site::new();
    let store = site.store();
    // A certificate that ends soon, and its key is pinned.
    let eve = "eve.corp.example";
    site.done(&["ca", "sign", "--directory", &site.at("ca"), "--name", eve, "--days", "20", "--out", &site.at(eve)]);
    let pinned = fingerprint(&Path::new(&site.at(eve)).join(format!("{eve}.pem")));
    site.done(&["operator", "approve", eve, "--read-only", "--key", &pinned, "--store", &store]);
    let before = site.afar(eve, &["inventory"]);
    let warned = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(before.status.success() && warned.contains("warning") && warned.contains("cert renew"), "{warned}");
    copy(&site.at(eve), &site.at("before"));

    let said = site.done_afar(eve, &["cert", "renew"]);
    assert!(said.contains("eve.corp.example has a certificate until"), "{said}");
    until(&site.log(), "FP1821");
    let key = || {
        let operators = site.done(&["operator", "list", "--json", "--store", &store]);
        let operators: serde_json::Value = serde_json::from_str(&operators).unwrap();
        operators[0]["key"].as_str().unwrap().to_owned()
    };
    // The one before is good until the new one was seen: the answer may have been lost.
    assert_eq!(key(), pinned);
    site.done_afar("before", &["inventory"]);
    let after = site.afar(eve, &["inventory"]);
    assert!(after.status.success() && after.stderr.is_empty(), "{}", String::from_utf8_lossy(&after.stderr));
    assert_ne!(key(), pinned);
    site.refused_with_warning("before", &["inventory"], "FP3043");
    let audit = site.done(&["audit", "--subject", eve, "--store", &store]);
    assert!(audit.contains("pin key"), "{audit}");

    site.refused_afar(eve, &["cert", "renew"], "FP1819 ");
    assert!(site.afar(eve, &["inventory"]).status.success(), "the present one is what it was");
}

#[test]
fn an_operators_request_that_people_answer_waits_with_its_key_until_the_command_is_run_again() {
    let site = Site::with_authority("hand-off", "hand-off");
    // One that ends before what is signed below.
    site.done(&["ca", "sign", "--directory", &site.at("ca"), "--name", "eve.corp.example", "--out", &site.at("eve")]);
    site.done(&["operator", "approve", "eve.corp.example", "--store", &site.store()]);
    site.refused_afar("eve", &["cert", "renew"], "FP1814 ");
    let asked = std::fs::read_dir(site.at("hand-off")).unwrap().map(|entry| entry.unwrap().path());
    let requests: Vec<PathBuf> = asked.filter(|path| path.extension().is_some_and(|end| end == "csr")).collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let request = requests[0].display().to_string();
    let sign = ["ca", "sign", "--directory", &site.at("ca"), "--request", &request, "--days", "500"];
    site.done(&[&sign[..], &["--out", &site.at("answer")]].concat());
    std::fs::rename(Path::new(&site.at("answer")).join("eve.corp.example.pem"), requests[0].with_extension("pem"))
        .unwrap();
    let said = site.done_afar("eve", &["cert", "renew", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["name"], "eve.corp.example");
    assert!(site.afar("eve", &["inventory"]).status.success());
}

#[test]
fn nobody_but_an_operator_renews_a_certificate_over_an_operators_link() {
    let site = Site::new();
    site.refused_afar(ANN, &["cert", "renew"], "FP3040 ");
    site.refused_afar(AGENT, &["cert", "renew"], "FP3040 ");
    site.done(&["agent", "approve", AGENT, "--store", &site.store()]);
    site.refused_afar(AGENT, &["cert", "renew"], "FP3005 ");
    let output = site.run(&["cert", "renew"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("FP5009"));
    assert!(!std::fs::read_to_string(site.log()).unwrap().contains("FP1821"), "nothing was issued");
}

#[test]
fn g1_a_server_that_was_deleted_while_it_ran_says_whose_its_name_is_and_comes_back_when_it_is_nobodys() {
    let site = Site::new();
    let store = site.store();
    register_server(&store, "ms9.lab.example");
    // As after more than a lease without the store; it may renew it in between.
    let since = std::time::Instant::now();
    loop {
        let connection = rusqlite::Connection::open(store.strip_prefix("sqlite://").unwrap()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        connection.execute("UPDATE leases SET until = 0", []).unwrap();
        if site.run(&["server", "delete", SERVER, "--store", &store]).status.success() {
            break;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(60), "{SERVER} is never deleted");
    }
    let at_other = ["--management-server-name", "ms9.lab.example", "--store", &store];
    site.done(&[&["approve", "--gateway-name", SERVER, "--action", "create"][..], &at_other].concat());
    until(&site.log(), "FP3005");
    site.done(&["approve", "--gateway-name", SERVER, "--action", "delete", "--store", &store]);
    let is_back = || {
        let text = site.done(&["inventory", "--role", "management-server", "--json", "--store", &store]);
        let inventory: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut nodes = inventory["nodes"].as_array().unwrap().clone().into_iter();
        let server = nodes.find(|node| node["name"] == SERVER)?;
        (server["state"] == "connected").then(|| server["address"].as_str().unwrap().to_owned())
    };
    let since = std::time::Instant::now();
    let address = loop {
        if let Some(address) = is_back() {
            break address;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(60), "{SERVER} does not come back");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(address.parse::<std::net::SocketAddr>().is_ok_and(|address| address.port() > 0), "{address}");
}

/// As a management server does when it starts.
fn register_server(store: &str, server: &str) {
    let store = rusqlite::Connection::open(store.strip_prefix("sqlite://").unwrap()).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let sql = "INSERT INTO servers (name, address, excluded, last_seen) VALUES (?1, '0.0.0.0:5723', 0, 0)";
    store.execute(sql, [server]).unwrap();
}

/// SHA-256 of a certificate's public key, as commands take it.
fn fingerprint(certificate: &Path) -> String {
    farpost::key_of_certificate(&std::fs::read(certificate).unwrap()).unwrap()
}

fn copy(from: &str, to: &str) {
    let output = Command::new("cp").args(["-a", from, to]).output().unwrap();
    assert!(output.status.success());
}
