//! Deliveries by day, and how long they are kept.

use super::*;
use crate::error::Result;
use crate::group::{Answer, AuditOperation};
use crate::limits::{DELIVERY_KEEP_DAYS_MAX, PRUNE_BATCH};
use crate::store::SqliteStore;
use crate::store::asking::Asking as _;
use crate::store::group_store::{TEST_CLOCK, now};
use crate::store::records::{Day, Records};

on_every_engine! {
    i4_deliveries_are_kept_for_ever_until_somebody_says_otherwise,
    i4_how_long_deliveries_are_kept_is_bounded_and_audited,
    i4_days_that_are_no_longer_kept_are_pruned_with_their_gaps_and_the_others_stay,
    i4_a_pruning_that_fails_in_the_middle_loses_nothing_that_is_kept_and_goes_on_later,
    i4_a_clock_that_jumps_loses_and_repeats_nothing_and_numbers_rise,
    d5a_an_epoch_that_was_forgotten_and_comes_back_on_another_day_stores_no_key_twice,
    i4_a_pruning_of_many_rows_goes_in_parts_and_commits_come_in_between,
    i4_a_process_that_is_killed_while_it_brings_a_store_to_days_leaves_the_old_one_or_the_new_one,
}

/// In the middle of the day so many days after today.
pub(in crate::store) fn noon(days: i64) -> Timestamp {
    let start = Day::of(now()).later_by(days).start();
    at(start.unix_millis() + 43_200_000)
}

/// Commits as if it were noon of another day.
pub(in crate::store) fn commit_on(store: &mut impl AsStore, days: i64, write: &CursorWrite, runs: &[StoredRun]) {
    TEST_CLOCK.set(Some(noon(days)));
    let outcomes = store.as_store().commit(std::slice::from_ref(write), runs);
    TEST_CLOCK.set(None);
    assert_eq!(outcomes.unwrap(), [CursorOutcome::Written]);
}

/// Does something with the records in a transaction.
fn in_transaction<R>(place: &dyn Place, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
    match place.url().strip_prefix("sqlite://") {
        Some(path) => SqliteStore::open(path.as_ref(), None)?.engine.write(&mut work),
        #[cfg(feature = "postgres")]
        None => crate::store::PostgresStore::open(&place.url(), None)?.engine.write(&mut work),
        #[cfg(not(feature = "postgres"))]
        None => unreachable!(),
    }
}

/// Makes the places of days, as servers that ran then would have.
fn prepare(place: &dyn Place, first: i64, last: i64) {
    let today = Day::of(now());
    in_transaction(place, |records| records.prepare_delivery_days(today.later_by(first), today.later_by(last)))
        .unwrap();
}

/// A store in which pc7 delivered messages 1, 2 and a gap 3 forty days ago, and three numbers more on each of the days.
fn store_of_days(place: &dyn Place, days: &[i64]) -> (AnyStore, u64) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    for (first, day) in (1..).step_by(3).zip(days) {
        let gap = Gap { first: Sequence(first + 2), last: Sequence(first + 2), reason: Code::QueueDropped };
        let gap = StoredRun { content: Content::Gap(gap), ..run(0, "pc7", 7, 1..=1) };
        let runs = [run(0, "pc7", 7, first..=first + 1), gap];
        commit_on(&mut store, *day, &write("pc7", 7, fence, first + 2), &runs);
    }
    (store, fence)
}

/// Prunes until there is no more.
pub(in crate::store) fn prune(store: &mut impl AsStore) -> u64 {
    let mut parts = 1;
    while store.as_store().forget_some(at(0)).unwrap() {
        parts += 1;
    }
    parts
}

fn gaps(store: &mut AnyStore) -> Vec<u64> {
    store.gaps(0, 1_000).unwrap().iter().map(|gap| gap.gap.first.0).collect()
}

fn i4_deliveries_are_kept_for_ever_until_somebody_says_otherwise(place: &dyn Place) {
    let (mut store, _) = store_of_days(place, &[-9_000, -40, 0]);
    assert_eq!(store.deliveries_kept().unwrap().days, None);
    assert_eq!(store.deliveries_kept().unwrap().oldest, Some(noon(-9_000)));
    prune(&mut store);
    assert_eq!((delivered(&mut store), gaps(&mut store)), (vec![1, 2, 4, 5, 7, 8], vec![3, 6, 9]));
}

fn i4_how_long_deliveries_are_kept_is_bounded_and_audited(place: &dyn Place) {
    let mut store = place.open();
    for days in [0, DELIVERY_KEEP_DAYS_MAX + 1, u32::MAX] {
        let error = store.keep_deliveries(Some(days)).unwrap_err();
        assert_eq!((error.code(), error.found_text()), (Code::ArgumentInvalid, format!("{days} days").as_str()));
    }
    for days in [Some(1), Some(DELIVERY_KEEP_DAYS_MAX), Some(30), Some(30), None] {
        store.keep_deliveries(days).unwrap();
        assert_eq!((store.deliveries_kept().unwrap().days, store.deliveries_kept().unwrap().oldest), (days, None));
    }
    let entries = AuditOperation::Entries { since: at(0), above: 0, limit: 9 };
    let Answer::Audit(entries) = store.operate(entries, at(0)).unwrap() else { panic!() };
    let entries: Vec<_> =
        entries.iter().map(|entry| (entry.action.as_str(), entry.after.as_deref().unwrap())).collect();
    let expected = ["\"1d\"", "\"36500d\"", "\"30d\"", "\"forever\""].map(|after| ("keep deliveries", after));
    assert_eq!(entries, expected);
}

fn i4_days_that_are_no_longer_kept_are_pruned_with_their_gaps_and_the_others_stay(place: &dyn Place) {
    for prepared in [true, false] {
        let place = place.another();
        drop(place.open());
        if prepared {
            prepare(&*place, -40, 2);
        }
        let (mut store, fence) = store_of_days(&*place, &[-40, -31, -30, -29, 0]);
        store.keep_deliveries(Some(30)).unwrap();
        prune(&mut store);
        let kept = (vec![7, 8, 10, 11, 13, 14], vec![9, 12, 15]);
        assert_eq!((delivered(&mut store), gaps(&mut store)), kept, "prepared {prepared}");
        let numbers: Vec<_> = store.deliveries(6, 3).unwrap().iter().map(|delivery| delivery.number).collect();
        assert_eq!((numbers, store.delivery_count().unwrap()), (vec![7, 8, 9], 6), "prepared {prepared}");
        assert_eq!(place.text("SELECT count(*) || '' FROM delivered"), "6");
        assert_eq!(store.deliveries_kept().unwrap().oldest, Some(noon(-30)));
        store.keep_deliveries(None).unwrap();
        prune(&mut store);
        assert_eq!((delivered(&mut store), gaps(&mut store)), kept);
        commit_on(&mut store, 0, &write("pc7", 7, fence, 16), &[run(0, "pc7", 7, 1..=16)]);
        assert_eq!(
            store.deliveries(10, 9).unwrap()[0].number,
            11,
            "no number is used again, and no key pruned comes back"
        );
        assert_eq!(delivered(&mut store).last(), Some(&16));
    }
}

fn i4_a_pruning_that_fails_in_the_middle_loses_nothing_that_is_kept_and_goes_on_later(place: &dyn Place) {
    drop(place.open());
    prepare(place, -40, 2);
    let (mut store, _) = store_of_days(place, &[-40, -31, 0]);
    store.keep_deliveries(Some(30)).unwrap();
    for _ in 0..5 {
        let failed = in_transaction(place, |records| -> Result<()> {
            assert!(records.prune_deliveries(Day::of(now()).later_by(-30), 1)?);
            Err(crate::error::Error::new(Code::StoreUnavailable))
        });
        assert_eq!(failed.unwrap_err().code(), Code::StoreUnavailable);
        assert_eq!(delivered(&mut store), [1, 2, 4, 5, 7, 8], "undone as a whole");
    }
    let prune_one = |records: &mut dyn Records| records.prune_deliveries(Day::of(now()).later_by(-30), 1);
    assert!(in_transaction(place, prune_one).unwrap());
    let left = delivered(&mut store);
    assert!(left.len() < 6 && left.ends_with(&[4, 5, 7, 8]), "{left:?}");
    prune(&mut store);
    assert_eq!((delivered(&mut store), gaps(&mut store)), (vec![7, 8], vec![9]));
}

fn i4_a_clock_that_jumps_loses_and_repeats_nothing_and_numbers_rise(place: &dyn Place) {
    drop(place.open());
    prepare(place, -3, 2);
    let days = [0, 2, -1, 0, -3, 20_000, -20_000, 1, 0];
    let (mut store, _) = store_of_days(place, &days);
    let expected: Vec<u64> = (1..=days.len() as u64 * 3).filter(|number| number % 3 != 0).collect();
    let mut above = 0;
    let mut found = Vec::new();
    while let Some(page) = Some(store.deliveries(above, 2).unwrap()).filter(|page| !page.is_empty()) {
        assert!(page.windows(2).all(|pair| pair[0].number < pair[1].number) && page[0].number > above);
        above = page[page.len() - 1].number;
        found.extend(page.iter().map(|delivery| delivery.sequence.0));
    }
    assert_eq!(found, expected);
    store.keep_deliveries(Some(2)).unwrap();
    prune(&mut store);
    // The days -3 and -20,000 are gone; the future ones stay until they are past.
    let expected: Vec<_> = expected.into_iter().filter(|number| ![13, 14, 19, 20].contains(number)).collect();
    assert_eq!(delivered(&mut store), expected);
}

fn d5a_an_epoch_that_was_forgotten_and_comes_back_on_another_day_stores_no_key_twice(place: &dyn Place) {
    drop(place.open());
    prepare(place, -3, 2);
    let mut store = place.open();
    let mut granted = fence(&mut store, &request("pc7", 1, 1, 1));
    for (day, first) in [(-3, 1), (-2, 4), (-1, 7)] {
        commit_on(&mut store, day, &write("pc7", 1, granted, first + 2), &[run(0, "pc7", 1, first..=first + 2)]);
    }
    for round in 0..3 {
        for epoch in 2..=9 {
            fence(&mut store, &request("pc7", epoch + round * 10, 1, 1));
        }
        assert!(store.cursors().unwrap().iter().all(|(_, epoch, _)| epoch.0 != 1), "the group forgot it");
        granted = fence(&mut store, &request("pc7", 1, 2 + round, 1));
        let through = 10 + round;
        commit_on(&mut store, 0, &write("pc7", 1, granted, 5), &[run(0, "pc7", 1, 1..=5)]);
        commit_on(&mut store, 0, &write("pc7", 1, granted, through), &[run(0, "pc7", 1, 1..=through)]);
        assert_eq!(delivered(&mut store), (1..=through).collect::<Vec<_>>());
    }
    commit_on(&mut store, 0, &write("pc7", 1, granted, 14), &[run(0, "pc7", 1, 13..=14)]);
    assert_eq!(delivered(&mut store), (1..=14).collect::<Vec<_>>());
}

fn i4_a_pruning_of_many_rows_goes_in_parts_and_commits_come_in_between(place: &dyn Place) {
    // Nothing was prepared: no day goes as a whole.
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    let old = 2 * PRUNE_BATCH + 500;
    for first in (1..=old).step_by(500) {
        commit_on(&mut store, -10, &write("pc7", 7, fence, first + 499), &[run(0, "pc7", 7, first..=first + 499)]);
    }
    store.keep_deliveries(Some(9)).unwrap();
    assert!(store.forget_some(at(0)).unwrap());
    commit_on(&mut store, 0, &write("pc7", 7, fence, old + 3), &[run(0, "pc7", 7, old..=old + 3)]);
    assert_eq!(store.delivery_count().unwrap(), old - PRUNE_BATCH + 3);
    assert!(prune(&mut store) >= 2);
    assert_eq!(delivered(&mut store), [old + 1, old + 2, old + 3]);
}

fn i4_a_process_that_is_killed_while_it_brings_a_store_to_days_leaves_the_old_one_or_the_new_one(place: &dyn Place) {
    let (name, more) = if place.engine() == "sqlite" {
        (
            "sqlite-9",
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             SELECT 100 + n, 1, 1000 + n, 1, 1, 2, 0, n, x'00' FROM n",
        )
    } else {
        ("postgres-8", "SELECT 100 + n, 'pc1', 1000 + n, 1, 1, 'gw1', 0, n, '' FROM generate_series(1, 20000) AS n")
    };
    let path = format!("{}/tests/golden/store/{name}.sql", env!("CARGO_MANIFEST_DIR"));
    place.execute(&std::fs::read_to_string(path).unwrap());
    let into = "INSERT INTO deliveries (id, agent, epoch, sequence, priority, via, sent, received, payload)";
    place.execute(&format!("{into} {more}"));
    // Somewhere in all that a process does from its start to its end.
    for millis in [5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 400] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.arg("child_that_opens_a_golden_store_and_approves").env(golden::URL, place.url());
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(place.text("SELECT count(*) || '' FROM delivered"), "20007", "killed after {millis} ms");
    }
    let mut store = place.open();
    assert_eq!(store.delivery_count().unwrap(), 20_007);
    store.keep_deliveries(Some(36_500)).unwrap();
    assert!(!store.forget_some(at(0)).unwrap());
    assert_eq!((store.delivery_count().unwrap(), gaps(&mut store).len()), (20_007, 1));
}
