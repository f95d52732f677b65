//! The group's signing key: rotated, backed up, brought back (rule G6).

use super::*;
use crate::group::{
    Answer, AssignmentTarget, AssignmentsOperation, AuditOperation, Author, By, GroupKeyRecord, KeyRotation,
    KeysOperation, SiteName,
};
use crate::limits::KEY_SUCCESSIONS_MAX;
use crate::store::asking::Asking as _;

on_every_engine! {
    g6_a_rotation_signs_all_assignments_anew_and_nodes_follow_from_every_key_before,
    g6_of_two_who_rotate_at_once_one_does,
    g6_a_key_that_was_brought_back_assigns_above_what_nodes_hold,
    g6_no_key_is_brought_into_a_store_that_has_signed_with_another_one,
    g6_ten_thousand_assignments_are_signed_anew_in_one_transaction,
    g4_the_audit_log_tells_of_the_key_and_never_holds_it,
}

fn by() -> By {
    By { author: Author::local_user("tester", "here"), at: at(1) }
}

fn rotate(store: &mut AnyStore, version: u64) -> Result<KeyRotation, Code> {
    match store.operate(KeysOperation::Rotate { version }, at(2)) {
        Ok(Answer::KeyRotation(rotation)) => Ok(rotation),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code()),
    }
}

fn shown(store: &mut AnyStore) -> GroupKeyRecord {
    let Ok(Answer::Key(key)) = store.operate(KeysOperation::Key, at(2)) else { panic!("no key") };
    key
}

/// A store in which pc1 has an assignment, and pc2 had one.
fn store_with_assignments(place: &dyn Place) -> AnyStore {
    let mut store = store_with_servers(place);
    for agent in ["pc1", "pc2"] {
        store.approve_agent(&name(agent), at(1)).unwrap();
        store.assign(&name(agent), &Assignment::primary("ms1").unwrap()).unwrap();
    }
    let withdraw = AssignmentsOperation::Withdraw { target: AssignmentTarget::Node(name("pc2")) };
    store.change_group(withdraw, at(1)).unwrap();
    store
}

/// The version of what a node has, which the key in force has signed.
fn version(store: &mut AnyStore, node: &str) -> u64 {
    let keys = store.group_keys().unwrap();
    let signed = store.signed_assignments(&[name(node)]).unwrap().remove(0).unwrap();
    assert_eq!(signed.key_version, keys.version, "as the store numbers its keys");
    keys.key.verify("CORP", &name(node), &signed).unwrap().0
}

/// What the audit log tells about the key.
fn actions(store: &mut AnyStore) -> Vec<String> {
    let all = AuditOperation::Entries { since: Timestamp::default(), above: 0, limit: 1_000 };
    let Ok(Answer::Audit(entries)) = store.operate(all, at(2)) else { panic!("no entries") };
    entries.into_iter().map(|entry| entry.action).filter(|action| action.contains("key")).collect()
}

fn g6_a_rotation_signs_all_assignments_anew_and_nodes_follow_from_every_key_before(place: &dyn Place) {
    let mut store = store_with_assignments(place);
    let other = &mut place.open();
    let mut pinned = vec![store.assignment_key().unwrap()];
    assert_eq!((version(&mut store, "pc1"), version(&mut store, "pc2")), (1, 2));
    for round in 1..=KEY_SUCCESSIONS_MAX as u64 + 2 {
        let change = other.change().unwrap();
        let rotation = rotate(&mut store, round).unwrap();
        assert_eq!((rotation.key.version, rotation.signed), (round + 1, 2));
        assert_ne!(other.change().unwrap(), change, "servers look");
        pinned.push(store.assignment_key().unwrap());
        assert_eq!((version(other, "pc1"), version(other, "pc2")), (1 + round, 2 + round), "at another server");
        let keys = other.group_keys().unwrap();
        assert!(keys.successions.len() <= KEY_SUCCESSIONS_MAX);
        for (former, key) in pinned.iter().rev().skip(1).take(KEY_SUCCESSIONS_MAX).enumerate() {
            assert_eq!(key.followed("CORP", &keys.successions), Ok(keys.key), "{former} rotations before {round}");
        }
    }
    let keys = other.group_keys().unwrap();
    let too_old = pinned[0].followed("CORP", &keys.successions).map_err(|error| error.code());
    assert_eq!(too_old, Err(Code::GroupKeyMismatch), "bounded");
    assert_eq!(shown(other).former.len(), KEY_SUCCESSIONS_MAX);
    assert_eq!(shown(other).public_key, keys.key.to_string());
}

fn g6_of_two_who_rotate_at_once_one_does(place: &dyn Place) {
    let mut store = store_with_assignments(place);
    let before = version(&mut store, "pc1");
    let done: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| rotate(&mut place.open(), 1))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    assert_eq!(done.iter().filter(|done| done.as_ref().err() == Some(&Code::GroupKeyRotated)).count(), 3);
    assert_eq!((version(&mut store, "pc1"), shown(&mut store).version), (before + 1, 2));
}

fn g6_a_key_that_was_brought_back_assigns_above_what_nodes_hold(place: &dyn Place) {
    let mut lost = store_with_assignments(place);
    rotate(&mut lost, 1).unwrap();
    rotate(&mut lost, 2).unwrap();
    let backup = lost.back_up_key(&by()).unwrap();
    // What happens after the backup is known to nodes only.
    lost.assign(&name("pc1"), &Assignment::primary("ms2").unwrap()).unwrap();
    let (held, keys) = (version(&mut lost, "pc1"), lost.group_keys().unwrap());

    let place = place.another();
    let mut store = store_with_servers(&*place);
    store.approve_agent(&name("pc1"), at(1)).unwrap();
    let restored = store.restore_key(&backup, &by()).unwrap();
    assert_eq!((restored.version, restored.public_key.clone()), (3, keys.key.to_string()));
    assert_eq!(store.group_keys().unwrap(), keys, "with the way to it");
    assert_eq!(store.restore_key(&backup, &by()).unwrap(), restored, "again");
    store.assign(&name("pc1"), &Assignment::primary("ms1").unwrap()).unwrap();
    let first = version(&mut store, "pc1");
    assert!(first > held && first > restored.versions_from, "{first}, {held}");
    store.assign(&name("pc1"), &Assignment::primary("ms2").unwrap()).unwrap();
    assert_eq!(version(&mut store, "pc1"), first + 1);
    // A second loss, and the same old backup: later, and so above again.
    let place = place.another();
    let mut again = store_with_servers(&*place);
    again.approve_agent(&name("pc1"), at(1)).unwrap();
    again.restore_key(&backup, &By { at: Timestamp::from_unix_seconds(3_600), ..by() }).unwrap();
    again.assign(&name("pc1"), &Assignment::primary("ms1").unwrap()).unwrap();
    assert!(version(&mut again, "pc1") > first + 1);
    // An old copy of the store was put in its place: it has the key, and signs above what nodes hold.
    let copy = version(&mut again, "pc1");
    again.restore_key(&backup, &By { at: Timestamp::from_unix_seconds(7_200), ..by() }).unwrap();
    assert!(version(&mut again, "pc1") > copy.max(7_200));
    assert_eq!(rotate(&mut again, 3).map(|rotation| rotation.key.former.len()), Ok(3));
}

fn g6_no_key_is_brought_into_a_store_that_has_signed_with_another_one(place: &dyn Place) {
    let mut lost = store_with_assignments(place);
    let backup = lost.back_up_key(&by()).unwrap();
    let refused = |store: &mut AnyStore, backup: &crate::store::KeyBackup| {
        store.restore_key(backup, &by()).map_err(|error| error.code())
    };

    let places = [(); 3].map(|()| place.another());
    let mut used = store_with_assignments(&*places[0]);
    let key = shown(&mut used);
    assert_eq!(refused(&mut used, &backup), Err(Code::GroupKeyInUse));
    let mut rotated = places[1].open();
    rotate(&mut rotated, 1).unwrap();
    assert_eq!(refused(&mut rotated, &backup), Err(Code::GroupKeyInUse));
    let other = crate::store::KeyBackup { group: "CORP2".to_owned(), ..backup.clone() };
    assert_eq!(refused(&mut places[2].open(), &other), Err(Code::GroupMismatch));
    assert_eq!(shown(&mut used), key, "nothing changed");
    assert_eq!((version(&mut used, "pc1"), actions(&mut used)), (1, Vec::<String>::new()));
}

fn g6_ten_thousand_assignments_are_signed_anew_in_one_transaction(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let site = SiteName::parse("branch").unwrap();
    let nodes: Vec<Name> = (0..10_000).map(|number| name(&format!("pc{number}"))).collect();
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    let knocks: Vec<Knock> = nodes.iter().map(|node| knock(Role::Agent, node.as_str(), None, 1)).collect();
    store.authorise(&knocks).unwrap();
    store.change_group(AssignmentsOperation::CreateSite { site: site.clone() }, at(1)).unwrap();
    let assignment = Assignment::primary("ms1").unwrap();
    store.change_group(AssignmentsOperation::AssignSite { site: site.clone(), assignment }, at(1)).unwrap();
    store.operate(AssignmentsOperation::AddToSite { site, nodes: nodes.clone() }, at(1)).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(rotate(&mut store, 1).unwrap().signed, 10_000);
    println!("{}: 10,000 assignments signed anew in {:?}", place.engine(), began.elapsed());
    assert_eq!(version(&mut store, "pc9999"), 2);
}

fn g4_the_audit_log_tells_of_the_key_and_never_holds_it(place: &dyn Place) {
    let mut store = store_with_assignments(place);
    let former = store.back_up_key(&by()).unwrap();
    rotate(&mut store, 1).unwrap();
    let new = store.back_up_key(&by()).unwrap();
    assert_eq!(actions(&mut store), ["back up group key", "rotate group key", "back up group key"]);
    let all = place.dump();
    let held = |pkcs8: &[u8]| {
        let hexadecimal: String = pkcs8[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        all.to_lowercase().matches(&hexadecimal).count()
    };
    assert_eq!((held(&former.pkcs8), held(&new.pkcs8)), (0, 1), "the key in force in its one place, no other one");
}
