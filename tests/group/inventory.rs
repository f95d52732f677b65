//! `farpost inventory`.

use serde_json::{Value, json};

use crate::Group;

#[test]
fn names_are_chosen_by_the_pattern_that_every_command_has() {
    let group = Group::new();
    group.done(&["agent", "approve", "pc7.branch.example", "pc8.branch.example", "pc7.lab.branch.example"]);
    let names = |pattern: &str| -> Vec<String> {
        let overview: Value = serde_json::from_str(&group.done(&["inventory", "--json", "--name", pattern])).unwrap();
        let nodes = overview["nodes"].as_array().unwrap().clone();
        nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("*.Branch.example"), ["pc7.branch.example", "pc8.branch.example"]);
    assert_eq!(names("**.branch.example").len(), 3);
    assert_eq!(names("*"), Vec::<String>::new());
    for unreadable in ["pc?.branch.example", "pc7.**", "'; DROP TABLE agents; --"] {
        let output = group.run(&["inventory", "--name", unreadable]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("FP3052"), "{output:?}");
    }
}

/// Two servers, a gateway that failed over, two agents, all with names of 30 characters: what they did 12 days or some
/// seconds ago, with a standby that is not ready and messages that wait.
fn realistic_group() -> Group {
    let group = Group::new();
    let store = rusqlite::Connection::open(group.directory.path().join("group.db")).unwrap();
    store.execute_batch(REALISTIC).unwrap();
    group.done(&["approve", "--management-server-name", SERVERS[0], "--gateway-name", GATEWAY, "--action", "create"]);
    group.done(&["agent", "approve", AGENTS[0], AGENTS[1]]);
    let now: i64 = store.query_row("SELECT unixepoch() * 1000", [], |row| row.get(0)).unwrap();
    let standby = |name: &str, code: u16| json!({ "name": name, "ready": code == 0, "code": code, "text": "no answer", "proven": now - 9_000 });
    for (node, role, via, upstream, code, standby) in [
        (GATEWAY, 2, "", SERVERS[1], 2102, standby(SERVERS[0], 2104)),
        (AGENTS[0], 1, GATEWAY, GATEWAY, 0, standby("gw-hannover-nord2.corp.example", 0)),
        (AGENTS[1], 1, GATEWAY, GATEWAY, 0, standby("gw-hannover-nord2.corp.example", 0)),
    ] {
        let via_names: Vec<&str> = via.split(',').filter(|name| !name.is_empty()).collect();
        let report = json!({
            "name": node, "role": role, "via": via_names, "session": 7, "at": now - 5_000, "skipped": 0,
            "software": "farpost 0.1.0", "upstream": upstream, "upstream_code": code, "upstream_text": "no answer",
            "since": now - 1_040_000_000, "standbys": [standby], "queue_messages": 4_711, "queue_bytes": 1_000_000,
            "oldest": now - 420_000, "delivered": 815, "certificate_until": now + 7_700_000_000_i64,
            "assignment_version": 3, "assignment_pending": 0,
            "agents_connected": 2, "agents_silent": 0, "agents_pending": 0,
        });
        let sql = "INSERT INTO presences VALUES (?1, ?2, 1, 7, ?3, ?4, '10.70.12.114:57116', ?5, ?6, NULL, NULL, ?7)";
        let values =
            rusqlite::params![SERVERS[1], node, role, via, now - 1_040_000_000, now - 5_000, report.to_string()];
        store.execute(sql, values).unwrap();
    }
    group
}

const SERVERS: [&str; 2] = ["ms-hannover-main1.corp.example", "ms-hannover-main2.corp.example"];
const GATEWAY: &str = "gw-hannover-nord1.corp.example";
const AGENTS: [&str; 2] = ["pc-buchhaltung-17.corp.example", "pc-buchhaltung-18.corp.example"];
const REALISTIC: &str = "
INSERT INTO servers (name, address, excluded, last_seen) VALUES
    ('ms-hannover-main1.corp.example', '10.70.0.1:5723', 0, (unixepoch() - 10700) * 1000),
    ('ms-hannover-main2.corp.example', '10.70.0.2:5723', 0, unixepoch() * 1000);
INSERT INTO leases (server, start, started, software, renewed, until) VALUES
    ('ms-hannover-main1.corp.example', 1, (unixepoch() - 1300000) * 1000, 'farpost 0.1.0',
        (unixepoch() - 10700) * 1000, (unixepoch() - 10670) * 1000),
    ('ms-hannover-main2.corp.example', 1, (unixepoch() - 1300000) * 1000, 'farpost 0.1.0',
        unixepoch() * 1000, (unixepoch() + 600) * 1000);
";

#[test]
fn i4_the_table_of_names_of_thirty_characters_fits_a_hundred_columns_and_wide_has_all_of_it() {
    let group = realistic_group();
    let width = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    let table = group.done(&["inventory"]);
    assert!(width(&table) <= 100, "{table}");
    let line = |name: &str| {
        let mut lines = table.lines().filter(|line| line.starts_with(name));
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let begins = |name: &str, expected: &str| assert!(line(name).starts_with(expected), "{table}");
    begins("NAME", "NAME ROLE STATE FOR UPSTREAM");
    begins(SERVERS[0], &format!("{} server disconnected 2 h -", SERVERS[0]));
    begins(GATEWAY, &format!("{GATEWAY} gateway connected 12 d {} FP2102", SERVERS[1]));
    begins(AGENTS[0], &format!("{} agent connected 12 d {GATEWAY}", AGENTS[0]));
    assert!(table.contains(&format!("{} is gone for 2 h", SERVERS[0])), "{table}");

    let wide = group.done(&["inventory", "--wide"]);
    assert!(width(&wide) > 200, "{wide}");
    let left_out = table.lines().last().unwrap();
    let left_out = left_out.strip_prefix("--wide shows ").and_then(|rest| rest.strip_suffix(" too")).unwrap();
    let head = wide.lines().find(|line| line.starts_with("NAME ")).unwrap();
    for column in left_out.split(", ") {
        assert!(head.split_whitespace().any(|one| one == column), "{column}: {wide}");
    }
    let all_of_it =
        ["4711, oldest 7 min", "NOT READY FP2104", "12 d", "89 d", "10.70.12.114:57116", "(failover, FP2102)"];
    assert!(all_of_it.iter().all(|part| wide.contains(part)), "{wide}");
}
