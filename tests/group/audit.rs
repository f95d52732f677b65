//! `farpost audit` (rule G4).

use serde_json::Value;

use crate::Group;

#[test]
fn g4_the_audit_log_names_who_did_what_with_before_and_after() {
    let group = Group::new();
    group.done(&["agent", "approve", "pc7.branch.example"]);
    group.done(&["agent", "reject", "pc7.branch.example"]);
    group.refused(&["approve", "--management-server-name", "ms9", "--gateway-name", "gw1", "--action", "create"]);

    let text = group.done(&["audit"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "a refused change is no change: {text}");
    assert!(lines[0].contains("approve agent pc7.branch.example  by "), "{text}");
    assert!(lines[1].ends_with("state approved → rejected"), "{text}");

    let json = group.done(&["audit", "--json"]);
    let entries: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries[1]["before"]["state"], "approved");
    assert_eq!(entries[1]["after"]["state"], "rejected");
    assert_eq!(entries[1]["author"]["kind"], "local-user");
    assert_eq!(entries[1]["number"], 2);
}

#[test]
fn g4_the_audit_log_tells_what_was_taken_away() {
    let group = Group::new();
    group.done(&["agent", "approve", "pc7.branch.example"]);
    group.done(&["site", "create", "branch"]);
    group.done(&["site", "add", "branch", "pc7.branch.example"]);
    group.done(&["site", "remove", "branch", "pc7.branch.example"]);
    group.done(&["operator", "approve", "ann.corp.example"]);
    group.done(&["operator", "delete", "ann.corp.example"]);
    let text = group.done(&["audit"]);
    assert!(text.contains(r#"removed ["pc7.branch.example"]"#), "{text}");
    assert!(text.lines().any(|line| line.contains("delete operator") && line.contains("access full → -")), "{text}");
}

#[test]
fn the_audit_log_is_chosen_by_time_name_and_author() {
    let group = Group::new();
    group.done(&["agent", "approve", "pc7.branch.example", "pc8.branch.example"]);
    assert_eq!(group.done(&["audit", "--since", "1h"]).lines().count(), 2);
    assert_eq!(group.done(&["audit", "--since", "2100-01-01T00:00:00Z"]), "");
    assert_eq!(group.run(&["audit", "--since", "7"]).status.code(), Some(2), "a unit that was forgotten");
    let one = group.done(&["audit", "--subject", "PC8.branch.example"]);
    assert!(one.lines().count() == 1 && one.contains("pc8"), "{one}");
    assert_eq!(group.done(&["audit", "--author", "nobody at all"]), "");
}
