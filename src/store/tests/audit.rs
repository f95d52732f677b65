//! Every change is in the audit log (rule G4).

use super::*;
use crate::group::{Answer, AuditOperation, AuditRecord};
use crate::store::asking::Asking as _;

on_every_engine! {
    g4_every_change_is_in_the_audit_log_with_who_what_before_and_after,
    g4_a_change_that_is_refused_or_changes_nothing_leaves_no_entry,
}

fn entries(store: &mut AnyStore) -> Vec<AuditRecord> {
    let all = AuditOperation::Entries { since: at(0), above: 0, limit: u64::MAX };
    match store.operate(all, at(0)).unwrap() {
        Answer::Audit(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn g4_every_change_is_in_the_audit_log_with_who_what_before_and_after(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(5)).unwrap();
    store.approve_gateway(&name("gw1"), &name("ms2"), at(6)).unwrap();
    store.delete_gateway(&name("gw1")).unwrap();
    store.approve_agent(&name("pc7"), at(7)).unwrap();
    store.set_unknown_agents(UnknownAgents::Reject).unwrap();
    let entries = entries(&mut store);
    let actions: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
    let expected = [
        ("register server", "ms1"),
        ("register server", "ms2"),
        ("approve gateway", "gw1"),
        ("approve gateway", "gw1"),
        ("delete gateway", "gw1"),
        ("approve agent", "pc7"),
        ("set unknown agents", ""),
    ];
    assert_eq!(actions, expected);
    assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    let (first, second) = (&entries[2], &entries[3]);
    assert_eq!((first.author.name.as_str(), first.author.from.as_str(), first.at), ("tester", "here", at(5)));
    assert_eq!((&first.before, &first.after), (&None, &second.before));
    assert!(second.after.as_ref().unwrap().contains(r#""parent":"ms2""#), "{second:?}");
    assert_eq!((entries[6].before.as_deref(), entries[6].after.as_deref()), (Some("\"pending\""), Some("\"reject\"")));
}

fn g4_a_change_that_is_refused_or_changes_nothing_leaves_no_entry(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let before = entries(&mut store);
    store.delete_gateway(&name("gw1")).unwrap_err();
    store.approve_gateway(&name("gw1"), &name("ms9"), at(5)).unwrap_err();
    store.set_server_excluded(&name("ms1"), false).unwrap();
    store.set_unknown_agents(UnknownAgents::Pending).unwrap();
    assert_eq!(entries(&mut store), before);
}
