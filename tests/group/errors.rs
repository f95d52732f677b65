//! What bad input to the commands of the group gets: code, found, expected, remedy, an exit status, and nothing done.

use farpost::ManagementGroup;

use crate::Group;

const GW1: &str = "gw1.branch.example";
const GW2: &str = "gw2.branch.example";
const PC7: &str = "pc7.branch.example";
const MS1: &str = "ms1.corp.example";
const MS2: &str = "ms2.corp.example";
const SQL: &str = "x'; DROP TABLE agents; --";

/// A server that runs and one that is excluded, two gateways one behind the other, an agent that waits for nothing, a
/// site, a rule and a message.
fn group_at_work() -> Group {
    let group = Group::new();
    for server in [MS1, MS2] {
        group.register_server(server);
    }
    for arguments in [
        &["approve", "--management-server-name", MS1, "--gateway-name", GW1, "--action", "create"][..],
        &["approve", "--parent-gateway", GW1, "--gateway-name", GW2, "--action", "create"],
        &["agent", "approve", PC7],
        &["agent", "rule", "add", "branch", "--match", "*.branch.example", "--action", "approve"],
        &["site", "create", "branch"],
        &["failover", "set", "--site", "branch", "--primary", MS1],
        &["send", "--agent", PC7, "text"],
        &["server", "set", MS2, "--excluded", "true"],
        &["operator", "approve", "ann.corp.example"],
    ] {
        group.done(arguments);
    }
    group
}

/// All that the group knows, but for the times of asking.
fn state(group: &Group) -> Vec<String> {
    let lists: [&[&str]; 8] = [
        &["audit", "--json"],
        &["agent", "list", "--json"],
        &["gateway", "list", "--json"],
        &["failover", "show", "--json"],
        &["site", "list", "--json"],
        &["agent", "rule", "list", "--json"],
        &["messages", "--json"],
        &["operator", "list", "--json"],
    ];
    lists.iter().map(|list| group.done(list)).collect()
}

/// Where a command is not refused with this code, its status, and all that an error has.
fn complaint(group: &Group, code: &str, arguments: &[&str]) -> Option<String> {
    let output = group.run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    let parts = ["\n  found     ", "\n  expected  ", "\n  remedy    "];
    let is_whole = told.starts_with(code) && parts.iter().all(|part| told.contains(part)) && output.stdout.is_empty();
    let status = if code == "FP5009" { 2 } else { 1 };
    let is_refused = output.status.code() == Some(status) && is_whole;
    (!is_refused).then(|| format!("{arguments:?} not as {code}: {:?} {told}", output.status.code()))
}

/// All of them are refused so, and nothing is changed.
fn all_are_refused(group: &Group, commands: &[(&str, Vec<&str>)]) {
    let before = state(group);
    let complaints: Vec<String> =
        commands.iter().filter_map(|(code, arguments)| complaint(group, code, arguments)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(state(group), before);
}

#[test]
fn g1_a_name_is_of_one_role() {
    let group = group_at_work();
    let create = |gateway, parent: [&'static str; 2]| -> Vec<&'static str> {
        ["approve", "--gateway-name", gateway, "--action", "create"].into_iter().chain(parent).collect()
    };
    let at_ms1 = ["--management-server-name", MS1];
    let commands = [
        ("FP3005", create(MS2, at_ms1)),
        ("FP3005", create(PC7, at_ms1)),
        ("FP3005", create("ann.corp.example", at_ms1)),
        ("FP3005", create("gw3", ["--management-server-name", GW1])),
        ("FP3005", create("gw3", ["--parent-gateway", MS1])),
        ("FP3013", create("gw3", ["--parent-gateway", PC7])),
        ("FP3023", create("gw3", ["--management-server-name", PC7])),
        ("FP3005", vec!["agent", "approve", MS1]),
        ("FP3005", vec!["agent", "approve", GW1]),
        ("FP3005", vec!["agent", "approve", "pc8", "ann.corp.example"]),
        ("FP3005", vec!["agent", "reject", GW1]),
        ("FP3013", vec!["agent", "delete", GW1]),
        ("FP3013", vec!["agent", "show", GW1]),
        ("FP3013", vec!["gateway", "show", PC7]),
        ("FP3005", vec!["token", "create", "--name", MS1, "--role", "agent"]),
        ("FP3005", vec!["operator", "approve", PC7]),
        ("FP3005", vec!["operator", "approve", MS1]),
        ("FP3013", vec!["failover", "set", "--gateway", PC7, "--primary", MS1]),
        ("FP3005", vec!["failover", "set", "--agent", GW1, "--primary", MS1]),
        ("FP3023", vec!["failover", "set", "--agent", PC7, "--primary", "ann.corp.example"]),
        ("FP3013", vec!["send", "--agent", GW1, "text"]),
        ("FP3013", vec!["site", "add", "branch", MS1]),
        ("FP5020", vec!["failover", "simulate", "--without", PC7]),
        ("FP5020", vec!["failover", "simulate", "--without", MS1, "--agent", MS2]),
        ("FP5020", vec!["failover", "simulate", "--without", MS1, "--gateway", PC7]),
        ("FP3013", vec!["inventory", "--gateway", PC7]),
        ("FP3013", vec!["inventory", "--server", GW1]),
    ];
    all_are_refused(&group, &commands);
}

#[test]
fn g3_upstreams_that_may_not_be_are_refused_and_nothing_is_half_done() {
    let group = group_at_work();
    let of_gateway = |primary, more: &[&'static str]| -> Vec<&'static str> {
        [&["failover", "set", "--gateway", GW1, "--primary", primary][..], more].concat()
    };
    let commands = [
        ("FP3012", of_gateway(MS1, &["--failover", MS1])),
        ("FP3012", of_gateway(MS1, &["--failover", "MS1.corp.example.:5724"])),
        ("FP5002", of_gateway(MS1, &["--failover", "gw9", "--failover", "gw9"])),
        ("FP3006", of_gateway(MS2, &[])),
        ("FP3006", of_gateway(MS1, &["--failover", MS2])),
        ("FP3023", of_gateway("ms9.corp.example", &[])),
        ("FP3057", of_gateway(GW1, &[])),
        ("FP3057", of_gateway(GW2, &[])),
        ("FP5002", of_gateway("ms1.corp.example:70000", &[])),
        ("FP3057", vec!["approve", "--parent-gateway", GW2, "--gateway-name", GW1, "--action", "create"]),
        ("FP3057", vec!["approve", "--parent-gateway", GW1, "--gateway-name", GW1, "--action", "create"]),
        ("FP3006", vec!["approve", "--management-server-name", MS2, "--gateway-name", "gw3", "--action", "create"]),
        ("FP3006", vec!["failover", "set", "--site", "branch", "--primary", MS2]),
        ("FP3061", vec!["failover", "swap", "--site", "branch"]),
        ("FP3061", vec!["failover", "swap", "--gateway", GW1]),
        ("FP3066", vec!["server", "delete", MS1]),
    ];
    all_are_refused(&group, &commands);
}

#[test]
fn a_value_that_is_no_address_or_number_is_told_with_what_is_expected() {
    let group = Group::new();
    for (arguments, expected) in [
        (&["--address", "nowhere", "inventory"][..], "expected  an IP address, such as"),
        (&["messages", "cancel", "--agent", PC7, "x"], "expected  a whole number"),
    ] {
        let output = group.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_gateway_is_named_as_the_group_names_it() {
    let group = group_at_work();
    let approve =
        ["approve", "--management-server-name", MS1, "--gateway-name", "GW1.Branch.example.", "--action", "create"];
    assert_eq!(group.done(&approve), "The approval of server gw1.branch.example completed successfully.\n");
}

#[test]
fn names_that_nobody_has_and_names_that_hold_sql_are_refused_in_every_field() {
    let group = group_at_work();
    let before = state(&group);
    for name in ["nobody.example", SQL] {
        let is_sql = name == SQL;
        // Some are read by the command line's reader, which has its own status.
        let code = |known: &'static str, unreadable: &'static str| if is_sql { unreadable } else { known };
        let commands = [
            (code("FP3013", "FP1305"), vec!["approve", "--gateway-name", name, "--action", "delete"]),
            (code("FP3013", "FP1305"), vec!["agent", "delete", name]),
            (code("FP3013", "FP5009"), vec!["agent", "show", name]),
            (code("FP3013", "FP5009"), vec!["gateway", "show", name]),
            (code("FP3013", "FP1305"), vec!["failover", "set", "--gateway", name, "--primary", MS1]),
            (code("FP3013", "FP1305"), vec!["failover", "set", "--agent", name, "--primary", MS1]),
            (code("FP3059", "FP1305"), vec!["failover", "set", "--site", name, "--primary", MS1]),
            (code("FP3023", "FP1305"), vec!["failover", "set", "--agent", PC7, "--primary", name]),
            (code("FP3023", "FP1305"), vec!["failover", "set", "--agent", PC7, "--primary", MS1, "--failover", name]),
            (code("FP3013", "FP1305"), vec!["failover", "show", name]),
            (code("FP3013", "FP1305"), vec!["failover", "clear", name]),
            (code("FP3013", "FP1305"), vec!["failover", "simulate", "--without", name]),
            (code("FP3059", "FP1305"), vec!["failover", "simulate", "--without", MS1, "--site", name]),
            (code("FP3059", "FP1305"), vec!["site", "delete", name]),
            (code("FP3059", "FP1305"), vec!["site", "show", name]),
            (code("FP3059", "FP1305"), vec!["site", "add", name, PC7]),
            (code("FP3013", "FP1305"), vec!["site", "add", "branch", name]),
            (code("FP3013", "FP1305"), vec!["site", "remove", "branch", name]),
            (code("FP3023", "FP1305"), vec!["server", "set", name, "--excluded", "true"]),
            (code("FP3023", "FP1305"), vec!["server", "delete", name]),
            (code("FP3013", "FP5009"), vec!["send", "--agent", name, "text"]),
            (code("FP3013", "FP5009"), vec!["send", "--gateway", name, "text"]),
            (code("FP3013", "FP5009"), vec!["messages", "--agent", name]),
            (code("FP3013", "FP5009"), vec!["messages", "cancel", "--agent", name, "1"]),
            (code("FP3013", "FP1305"), vec!["inventory", "--gateway", name]),
            (code("FP3013", "FP1305"), vec!["inventory", "--server", name]),
            (code("FP1807", "FP5009"), vec!["token", "delete", "--name", name]),
            (code("FP3013", "FP1305"), vec!["operator", "delete", name]),
        ];
        all_are_refused(&group, &commands);
    }
    let commands = [
        ("FP3054", vec!["agent", "rule", "remove", "nothing"]),
        ("FP5020", vec!["agent", "rule", "remove", SQL]),
        ("FP5020", vec!["agent", "rule", "add", SQL, "--match", "**", "--action", "approve"]),
        ("FP3052", vec!["agent", "rule", "add", "sql", "--match", SQL, "--action", "approve"]),
        ("FP3052", vec!["agent", "approve", "--pattern", SQL]),
        ("FP3052", vec!["site", "add", "branch", "--pattern", SQL]),
        ("FP5009", vec!["send", "--pattern", SQL, "text"]),
        ("FP5009", vec!["messages", "cancel", "--pattern", SQL]),
        ("FP5009", vec!["messages", "cancel", "--agent", PC7, SQL]),
        ("FP5009", vec!["inventory", "--name", SQL]),
        ("FP5009", vec!["inventory", "--role", SQL]),
        ("FP5009", vec!["refusals", "--code", SQL]),
        ("FP5009", vec!["audit", "--since", SQL]),
        ("FP1305", vec!["agent", "approve", PC7, SQL]),
        ("FP1305", vec!["site", "create", SQL]),
        ("FP5009", vec!["token", "create", "--name", SQL, "--role", "agent"]),
        ("FP1305", vec!["operator", "approve", SQL]),
        ("FP5002", vec!["operator", "approve", "bob", "--key", SQL]),
        ("FP5002", vec!["agent", "approve", PC7, "--key", SQL]),
    ];
    all_are_refused(&group, &commands);
    // A text that is no name is data, and comes back as it was.
    group.done(&["send", "--agent", PC7, SQL]);
    assert_eq!(group.done(&["audit", "--subject", SQL]), "");
    assert_eq!(state(&group)[1], before[1]);
}

/// The store's own face says the same: the command adds no rule.
#[test]
fn g1_the_library_refuses_a_servers_name_as_a_nodes() {
    let group = group_at_work();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = ManagementGroup::open(&group.url()).await.unwrap();
        let error = store.approve_agent(MS1).await.unwrap_err();
        assert_eq!((error.code().number(), error.found_text()), (3005, "a management server"));
    });
}
