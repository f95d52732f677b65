//! `farpost deliveries`: how long the store keeps them.

use crate::Group;

#[test]
fn i4_how_long_deliveries_are_kept_is_set_shown_and_audited() {
    let group = Group::new();
    assert_eq!(group.done(&["deliveries", "show"]), "deliveries are kept for ever; there are none\n");
    assert_eq!(group.done(&["deliveries", "keep", "30d"]), "deliveries are kept for 30 days\n");
    assert_eq!(group.done(&["deliveries", "show", "--json"]), "{\"days\":30,\"oldest\":null}\n");
    let refused = group.refused(&["deliveries", "keep", "0d"]);
    assert!(refused.contains("FP5020") && refused.contains("1 to 36500 days"), "{refused}");
    for unreadable in ["30", "1h", "-1d", "d", "always"] {
        assert_eq!(group.run(&["deliveries", "keep", unreadable]).status.code(), Some(2), "{unreadable}");
    }
    group.done(&["deliveries", "keep", "forever"]);
    let audit = group.done(&["audit"]);
    assert!(audit.contains("keep deliveries") && audit.contains("forever"), "{audit}");
}
