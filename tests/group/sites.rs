//! `farpost site` (rule G6).

use serde_json::{Value, json};

use crate::Group;

#[test]
fn g6_a_site_takes_nodes_by_pattern_and_a_rehearsal_changes_nothing() {
    let group = Group::new();
    group.done(&["agent", "approve", "pc7.branch.example", "pc8.branch.example", "pc9.lab.example"]);
    group.done(&["site", "create", "branch"]);
    let add = ["site", "add", "branch", "--pattern", "*.branch.example"];
    let rehearsed = group.done(&[&add[..], &["--dry-run"]].concat());
    assert_eq!(rehearsed, "pc7.branch.example\npc8.branch.example\n2 would be added to the site branch.\n");
    let nodes = || -> Value {
        let site: Value = serde_json::from_str(&group.done(&["site", "show", "branch", "--json"])).unwrap();
        site["nodes"].clone()
    };
    assert_eq!(nodes(), json!([]));
    let told: Value = serde_json::from_str(&group.done(&[&add[..], &["--json"]].concat())).unwrap();
    let names = ["pc7.branch.example", "pc8.branch.example"];
    assert_eq!((&told["count"], &told["outcome"], &told["nodes"]), (&json!(2), &json!("added"), &json!(names)));
    assert_eq!(nodes(), json!(names));
    let remove = ["site", "remove", "branch", "--pattern", "pc7.**"];
    assert!(group.refused(&remove).starts_with("FP3052"));
    let remove = ["site", "remove", "branch", "--pattern", "pc7.*.example"];
    assert_eq!(group.done(&remove), "pc7.branch.example\n1 removed from the site branch.\n");
    assert_eq!(group.done(&["site", "remove", "branch", "pc8.branch.example"]), "1 removed from the site branch.\n");
    assert_eq!(group.done(&["site", "add", "branch", "--pattern", "x*.lab.example"]), "0 added to the site branch.\n");
    assert!(group.refused(&["site", "add", "nowhere", "--pattern", "**"]).starts_with("FP3059"));
    assert_eq!(group.run(&["site", "add", "branch"]).status.code(), Some(2));
    assert_eq!(group.run(&["site", "add", "branch", "pc7.branch.example", "--pattern", "**"]).status.code(), Some(2));
}
