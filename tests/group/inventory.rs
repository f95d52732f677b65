//! `farpost inventory`.

use serde_json::Value;

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
