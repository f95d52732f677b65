//! What `farpost inventory` says while gateways and servers are killed: presence is a lease, and each cause is one problem.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::eventually;
use crate::installation::{AGENTS, GATEWAYS, Installation, SERVERS};

/// How long a dead server's claims may count (issue point 5), and what a busy machine needs to look.
const LEASE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(5);

fn farpost(installation: &Installation, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    command.args(arguments).arg("--store").arg(installation.store_url()).output().unwrap()
}

fn inventory(installation: &Installation) -> Value {
    let output = farpost(installation, &["inventory", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `gw1 connected ms1`: name, state, server.
fn states(inventory: &Value) -> Vec<String> {
    let short = |value: &Value| value.as_str().unwrap_or("-").split('.').next().unwrap().to_owned();
    let state = |node: &Value| {
        let [name, state, server] = ["name", "state", "server"].map(|key| short(&node[key]));
        format!("{name} {state} {server}")
    };
    inventory["nodes"].as_array().unwrap().iter().map(state).collect()
}

/// `gateway-gone gw1 2`: kind, subject, agents.
fn problems(inventory: &Value) -> Vec<String> {
    let problem = |problem: &Value| {
        let subject = problem["subject"].as_str().unwrap_or("-").split('.').next().unwrap();
        format!("{} {subject} {}", problem["kind"].as_str().unwrap(), problem["agents"])
    };
    inventory["problems"].as_array().unwrap().iter().map(problem).collect()
}

fn until(installation: &Installation, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let inventory = inventory(installation);
        if is_so(&inventory) {
            return Ok(inventory);
        }
        Err(format!("{:?} {:?}", states(&inventory), problems(&inventory)))
    })
}

/// All are connected, all standbys are ready, nothing is wrong.
fn all_is_well(inventory: &Value) -> bool {
    let is_well = |node: &Value| {
        let standbys = node["standbys"].as_array().unwrap();
        let has_standby = standbys.iter().any(|standby| standby["ready"] == true);
        node["state"] == "connected" && (node["role"] == "management-server" || has_standby)
    };
    inventory["nodes"].as_array().unwrap().iter().all(is_well) && problems(inventory).is_empty()
}

#[test]
fn each_death_is_one_problem_and_a_dead_servers_claims_are_gone_within_thirty_seconds() {
    let mut installation = Installation::new("store = true");
    for agent in AGENTS {
        installation.start(agent);
    }
    until(&installation, "all is well", all_is_well);
    outlooks(&installation);

    // The agents fail over from the first gateway to the second, and have nowhere to go from that.
    installation.node_named(GATEWAYS[0]).kill();
    until(&installation, "one dead gateway, one problem", |inventory| {
        problems(inventory) == ["gateway-gone gw1 0"]
            && states(inventory)[4..].iter().all(|node| node.contains("connected"))
    });
    installation.node_named(GATEWAYS[1]).kill();
    until(&installation, "the agents are behind one of two dead gateways", |inventory| {
        problems(inventory) == ["gateway-gone gw2 2", "gateway-gone gw1 0"]
            && states(inventory)[4..].iter().all(|node| node.contains("unknown"))
    });
    let text = farpost(&installation, &["inventory", "--problems"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(": 2 agents unknown behind it") && text.lines().count() == 3, "{text}");
    for gateway in GATEWAYS {
        installation.start(gateway);
    }
    until(&installation, "all is well again", all_is_well);

    installation.node_named(SERVERS[0]).kill();
    let killed = Instant::now();
    let inventory =
        until(&installation, "a dead server is one problem", |inventory| problems(inventory) == ["server-gone ms1 0"]);
    let within = killed.elapsed();
    assert!(within < LEASE + LOOK, "{within:?}");
    let at_the_other = states(&inventory)[2..].iter().all(|node| node.ends_with(" connected ms2"));
    assert!(at_the_other, "{:?}", states(&inventory));
    tables(&installation);
}

/// Where everybody would go.
fn outlooks(installation: &Installation) {
    let one = farpost(installation, &["failover", "simulate", "--without", "ms1.lab.example"]);
    let text = String::from_utf8_lossy(&one.stdout);
    assert!(one.status.success(), "{text} {}", String::from_utf8_lossy(&one.stderr));
    assert!(text.contains("→ ms2.lab.example (ready, proven ") && text.contains("stays at gw1.lab.example"), "{text}");
    let both = ["failover", "simulate", "--without", "ms1.lab.example", "--without", "ms2.lab.example", "--json"];
    let both = farpost(installation, &both);
    assert_eq!(both.status.code(), Some(1));
    let outlooks: Value = serde_json::from_slice(&both.stdout).unwrap();
    assert!(outlooks.as_array().unwrap().iter().all(|one| one["outlook"] == "nowhere"), "{outlooks}");
    assert!(String::from_utf8_lossy(&both.stderr).contains("FP3046"));
    let unknown = farpost(installation, &["failover", "simulate", "--without", "ms9.lab.example"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("FP3013"));
}

/// The other forms print what was asked for.
fn tables(installation: &Installation) {
    let text = |arguments: &[&str]| String::from_utf8(farpost(installation, arguments).stdout).unwrap();
    let table = text(&["inventory"]);
    println!("{table}");
    assert!(table.contains("ms1.lab.example is gone for ") && !table.contains("pc1.lab.example > "), "{table}");
    let tree = text(&["inventory", "--tree"]);
    println!("{tree}");
    assert!(tree.contains("└─ pc2.lab.example  connected for "), "{tree}");
    let filtered =
        text(&["inventory", "--json", "--role", "agent", "--name", "pc1*.lab.example", "--state", "connected"]);
    let filtered: Value = serde_json::from_str(&filtered).unwrap();
    assert_eq!(states(&filtered), ["pc1 connected ms2"]);
}
