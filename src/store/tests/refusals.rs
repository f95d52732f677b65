//! Refused attempts are kept, added up and bounded.

use super::*;
use crate::group::{Answer, AuditOperation, RefusedAttempt};
use crate::store::asking::Asking as _;

on_every_engine! {
    attempts_of_one_kind_add_up_and_the_latest_come_first,
    old_attempts_and_those_beyond_the_bound_are_forgotten,
    g5_a_flood_of_strangers_from_everywhere_pushes_out_no_attempt_of_a_proven_name,
}

fn refused(who: Option<&str>, code: u16, last: i64) -> RefusedAttempt {
    RefusedAttempt {
        by: name("gw1"),
        name: who.map(name),
        role: who.map(|_| Role::Agent),
        address: "10.0.0.7".to_owned(),
        code,
        text: format!("at {last}: it's \"quoted\"; --"),
        first: at(last - 1),
        last: at(last),
        count: 2,
    }
}

fn note(store: &mut AnyStore, refused: &[RefusedAttempt]) {
    store.note_refusals(refused, at(0), 3).unwrap();
}

fn known(store: &mut AnyStore, since: i64) -> Vec<RefusedAttempt> {
    match store.operate(AuditOperation::Refusals { since: at(since), limit: u64::MAX }, at(0)).unwrap() {
        Answer::Refusals(refused) => refused,
        other => panic!("{other:?}"),
    }
}

fn attempts_of_one_kind_add_up_and_the_latest_come_first(place: &dyn Place) {
    let mut store = place.open();
    note(&mut store, &[refused(Some("pc7"), 3003, 10), refused(None, 1202, 20)]);
    note(&mut store, &[refused(Some("pc7"), 3003, 30), refused(Some("pc7"), 3001, 25)]);
    let known = known(&mut store, 21);
    let first = RefusedAttempt { first: at(9), count: 4, ..refused(Some("pc7"), 3003, 30) };
    assert_eq!(known, [first, refused(Some("pc7"), 3001, 25)]);
    assert_eq!(self::known(&mut store, 0)[2], refused(None, 1202, 20));
}

fn old_attempts_and_those_beyond_the_bound_are_forgotten(place: &dyn Place) {
    let mut store = place.open();
    for code in 1..=5 {
        note(&mut store, &[refused(Some("pc7"), code, i64::from(code) * 10)]);
    }
    let codes = |store: &mut AnyStore| known(store, 0).iter().map(|one| one.code).collect::<Vec<_>>();
    assert_eq!(codes(&mut store), [5, 4, 3]);
    store.note_refusals(&[refused(None, 9, 60)], at(45), 3).unwrap();
    assert_eq!(codes(&mut store), [9, 5]);
}

fn g5_a_flood_of_strangers_from_everywhere_pushes_out_no_attempt_of_a_proven_name(place: &dyn Place) {
    let mut store = place.open();
    let named = [refused(Some("pc7"), 3003, 10), refused(Some("eve"), 3040, 11)];
    let stranger = |at| RefusedAttempt { address: format!("2001:db8::{at}"), ..refused(None, 2009, at) };
    store.note_refusals(&named, at(0), 8).unwrap();
    for batch in 1..=5 {
        let flood: Vec<_> = (1..=9).map(|one| stranger(batch * 100 + one)).collect();
        store.note_refusals(&flood, at(0), 8).unwrap();
    }
    // A quarter of the room is theirs.
    let [pc7, eve] = named;
    assert_eq!(known(&mut store, 0), [stranger(509), stranger(508), eve, pc7]);
}
