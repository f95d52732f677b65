//! The commands of approval as processes: rules, decisions about many agents, pins, lists.

use std::process::{Command, Output};

use farpost::ManagementGroup;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A group's store in a directory, and a CA beside it.
struct Group {
    directory: TempDir,
    url: String,
}

impl Group {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", directory.path().join("group.db").display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ManagementGroup::open_new(&url, "CORP")).unwrap();
        Self { directory, url }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let words = arguments.iter().copied().chain(["--store", &self.url]);
        Command::new(env!("CARGO_BIN_EXE_farpost")).args(words).output().unwrap()
    }

    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Exit status 1 and the code that the first line of standard error begins with.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap().chars().take(6).collect()
    }
}

#[test]
fn g1_rules_are_added_in_order_tested_and_removed() {
    let group = Group::new();
    let ca = group.directory.path().join("ca").display().to_string();
    let made = Command::new(env!("CARGO_BIN_EXE_farpost"))
        .args(["ca", "init", "--directory", &ca, "--name", "Branch CA"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let certificate = format!("{ca}/ca.pem");
    let rule = ["agent", "rule", "add", "branch", "--match", "*.branch.example", "--action", "approve"];
    let limited = [&rule[..], &["--issuer", &certificate, "--gateway", "gw1.branch.example"]].concat();
    assert_eq!(group.told(&limited), "The rule branch is added.\n");
    group.told(&["agent", "rule", "add", "bad", "--match", "bad*.branch.example", "--action", "reject"]);
    group.told(&["agent", "rule", "add", "first", "--match", "x.y", "--action", "pending", "--before", "branch"]);
    let list = group.json(&["agent", "rule", "list"]);
    let names: Vec<&str> =
        list["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!((names, list["unknown_agents"].as_str()), (vec!["first", "branch", "bad"], Some("pending")));
    let issuer = list["rules"][1]["issuer"].as_str().unwrap();
    assert_eq!(issuer.len(), 64);
    assert!(group.told(&["agent", "rule", "list"]).contains(issuer));

    let test = ["agent", "rule", "test", "--name", "pc7.branch.example", "--gateway", "gw1.branch.example"];
    let tested = group.json(&[&test[..], &["--issuer", &certificate]].concat());
    assert_eq!(tested, json!({ "rule": "branch", "action": "approve", "known": null }));
    assert_eq!(group.told(&[&test[..], &["--issuer", issuer]].concat()), "rule branch: approve\n");
    assert_eq!(group.told(&test), "no rule; unknown agents: pending\n");
    assert_eq!(group.refused(&rule), "FP3053");
    assert_eq!(group.refused(&["agent", "rule", "remove", "nothing"]), "FP3054");
    let unreadable = ["agent", "rule", "add", "sql", "--match", "'; DROP TABLE agents; --", "--action", "approve"];
    assert_eq!(group.refused(&unreadable), "FP3052");
    assert_eq!(group.told(&["agent", "rule", "remove", "branch"]), "The rule branch is removed.\n");
}

#[test]
fn g1_many_agents_are_decided_about_at_once_and_a_rehearsal_changes_nothing() {
    let group = Group::new();
    assert_eq!(group.told(&["agent", "approve", "a.branch"]), "The agent a.branch is approved.\n");
    group.told(&["agent", "reject", "b.branch", "c.lab"]);
    let approve = ["agent", "approve", "--pattern", "*.branch"];
    let rehearsal = group.json(&[&approve[..], &["--dry-run"]].concat());
    assert_eq!(rehearsal, json!({ "outcome": "approved", "dry_run": true, "count": 1, "agents": ["b.branch"] }));
    let states = |group: &Group| -> Vec<String> {
        let agents = group.json(&["agent", "list"]);
        agents.as_array().unwrap().iter().map(|agent| agent["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&group), ["approved", "rejected", "rejected"]);
    assert_eq!(group.told(&approve), "The agent b.branch is approved.\n1 agents\n");
    assert_eq!(group.told(&[&approve[..], &["--pending"]].concat()), "0 agents\n");
    assert_eq!(group.refused(&["agent", "delete", "a.branch", "nobody"]), "FP3013");
    assert_eq!(states(&group), ["approved", "approved", "rejected"]);
    group.told(&["agent", "delete", "a.branch"]);
    let key = "a5".repeat(32);
    group.told(&["agent", "approve", "c.lab", "--key", &key]);
    assert_eq!(group.json(&["agent", "list"])[1]["pin"]["demand"], json!(key));
    assert_eq!(group.refused(&["agent", "approve", "b.branch", "c.lab", "--key", &key]), "FP5020");
    assert_eq!(group.refused(&["agent", "approve", "c.lab", "--key", "a5"]), "FP5002");
    group.told(&["agent", "approve", "c.lab", "--any-key"]);
    assert_eq!(group.json(&["agent", "list"])[1]["pin"]["demand"], "any");
    assert_eq!(group.json(&["gateway", "list", "--pending"]), json!([]));
}

#[test]
fn tables_fit_a_terminal_and_show_and_json_have_the_whole_key() {
    let group = Group::new();
    let key = "a5b6c7d8".repeat(8);
    group.told(&["agent", "approve", "pc7.branch.example", "--key", &key]);
    group.told(&["agent", "approve", "pc8.branch.example"]);
    let list = group.told(&["agent", "list"]);
    assert!(list.lines().all(|line| line.chars().count() <= 120), "{list}");
    assert!(list.contains(" a5b6c7d8") && !list.contains(&key) && list.contains("never"), "{list}");
    assert!(!list.contains("FORGOTTEN") && !list.contains("THROUGH"), "nobody waits, and nobody came: {list}");
    let store = rusqlite::Connection::open(group.directory.path().join("group.db")).unwrap();
    let came = "address = '10.70.12.114:57116', software = 'farpost', server = 'ms1.corp.example',
         first_seen = (unixepoch() - 400000) * 1000, key_hash = randomblob(32)";
    let who = "INSERT INTO agents (name, state, via, rule, first_seen, last_seen) VALUES
         ('pc9.branch.example', 'pending', 'gw1.branch.example', NULL, 0, unixepoch() * 1000),
         ('pc4.branch.example', 'approved', NULL, 'branch', 0, unixepoch() * 1000)";
    store.execute_batch(&format!("{who}; UPDATE agents SET {came}")).unwrap();
    let list = group.told(&["agent", "list"]);
    assert!(list.lines().all(|line| line.chars().count() <= 120), "{list}");
    assert!(list.contains("in 6 d") && list.contains("gw1.branch.example") && list.contains("rule branch"), "{list}");
    assert!(!list.contains("57116") && group.told(&["agent", "show", "pc9.branch.example"]).contains("57116"));
    let shown = group.told(&["agent", "show", "PC7.branch.example"]);
    assert!(shown.contains(&key) && shown.starts_with("agent         pc7.branch.example\nstate"), "{shown}");
    assert_eq!(group.json(&["agent", "show", "pc7.branch.example"])["pin"]["demand"], json!(key));
    assert!(group.told(&["gateway", "list"]).contains("APPROVED FOR"), "a table of nobody has its head");
    for refused in [&["agent", "show", "pc5.branch.example"], &["gateway", "show", "pc7.branch.example"]] {
        assert_eq!(group.refused(refused), "FP3013");
    }
}
