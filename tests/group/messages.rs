//! `farpost messages cancel` (rule D8).

use serde_json::Value;

use crate::Group;

const PC7: &str = "pc7.branch.example";
const PC8: &str = "pc8.branch.example";

/// Three messages to pc7 and one to pc8.
fn group_with_messages() -> Group {
    let group = Group::new();
    group.done(&["agent", "approve", PC7, PC8]);
    for text in ["one", "two"] {
        group.done(&["send", "--agent", PC7, text]);
    }
    group.done(&["send", "--all", "three"]);
    group
}

fn states(group: &Group) -> Vec<String> {
    let json = group.done(&["messages", "--json"]);
    let one = |line: &str| {
        let message: Value = serde_json::from_str(line).unwrap();
        format!("{} {} {}", &message["agent"].as_str().unwrap()[..3], message["number"], message["state"])
    };
    json.lines().map(one).collect()
}

#[test]
fn d8_messages_are_cancelled_by_number_by_pattern_and_altogether() {
    let group = group_with_messages();
    let told = group.run(&["messages", "cancel", "--agent", PC7, "1", "3"]);
    assert_eq!(String::from_utf8_lossy(&told.stdout), "2 messages to 1 agent cancelled.\n");
    assert!(String::from_utf8_lossy(&told.stderr).contains("may still take it"), "{told:?}");
    let pending = r#"pc8 1 "pending""#;
    assert_eq!(states(&group), [r#"pc7 1 "cancelled""#, r#"pc7 2 "pending""#, r#"pc7 3 "cancelled""#, pending]);
    assert_eq!(group.done(&["messages", "--state", "cancelled"]).lines().count(), 3);

    let by_pattern = ["messages", "cancel", "--pattern", "pc7.*.example"];
    let rehearsed = group.done(&[&by_pattern[..], &["--dry-run", "--json"]].concat());
    assert_eq!(rehearsed, "{\"agents\":1,\"dry_run\":true,\"messages\":1}\n");
    assert_eq!(group.done(&by_pattern), "1 message to 1 agent cancelled.\n");
    assert_eq!(group.done(&by_pattern), "Nothing is pending.\n");
    assert_eq!(states(&group).iter().filter(|one| one.ends_with("\"pending\"")).count(), 1);
    assert_eq!(group.done(&["messages", "cancel", "--all-pending"]), "1 message to 1 agent cancelled.\n");
    let audit = group.done(&["audit"]);
    assert_eq!(audit.matches("cancel messages").count(), 3, "{audit}");
}

#[test]
fn d8_what_cannot_be_cancelled_is_refused_with_what_was_found_and_nothing_is() {
    let group = group_with_messages();
    group.done(&["messages", "cancel", "--agent", PC7, "2"]);
    let before = states(&group);
    let told = group.refused(&["messages", "cancel", "--agent", PC7, "1", "2"]);
    assert!(told.starts_with("FP3071") && told.contains("cancelled at") && told.contains("message 2 to pc7"), "{told}");
    let told = group.refused(&["messages", "cancel", "--agent", PC7, "1", "9"]);
    assert!(told.starts_with("FP3070") && told.contains("2 of them from 1 to 3"), "{told}");
    let told = group.refused(&["messages", "cancel", "--agent", "pc9.branch.example", "--all-pending"]);
    assert!(told.starts_with("FP3013") && told.contains("pc9.branch.example"), "{told}");
    assert_eq!(states(&group), before);
    for (arguments, expected) in [
        (&["1"][..], "--agent NAME NUMBER"),
        (&["--agent", PC7], "--all-pending"),
        (&["--agent", PC7, "--agent", PC8, "1"], "one --agent"),
        (&[], "--all-pending"),
        (&["--agent", PC7, "one"], ""),
        (&["--agent", "'; DROP TABLE down_messages; --", "1"], ""),
        (&["--agent", PC7, "--pattern", "**"], ""),
    ] {
        let output = group.run(&[&["messages", "cancel"][..], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.starts_with("FP5009") && told.contains(expected), "{told}");
    }
    assert_eq!(states(&group), before);
}
