//! The partitions of deliveries.

use super::*;
use crate::store::asking::Asking as _;
use crate::store::group_store::now;
use crate::store::records::Day;
use crate::store::tests::days::{commit_on, prune};

/// The partitions in their order, with how many rows each has.
fn partitions(place: &PostgresPlace) -> String {
    let names = place.text(
        "SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') FROM pg_inherits i
         JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'farpost.deliveries'::regclass",
    );
    let rows = |name: &str| place.text(&format!("SELECT count(*) FROM {name}"));
    names.split(' ').map(|name| format!("{name} {}", rows(name))).collect::<Vec<_>>().join(", ")
}

/// The name of the partition so many days after today.
fn of_day(days: i64) -> String {
    let time = Day::of(now()).later_by(days).start().to_string();
    format!("deliveries_{}", time[..10].replace('-', ""))
}

fn prepare(store: &mut PostgresStore, first: i64, last: i64) {
    let today = Day::of(now());
    store.engine.write(|records| records.prepare_delivery_days(today.later_by(first), today.later_by(last))).unwrap();
}

#[test]
fn i4_a_server_that_starts_makes_the_days_ahead_and_whatever_has_no_day_is_stored_all_the_same() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    assert_eq!(partitions(&place), "deliveries_other 0");
    store.register_server(&name("ms1"), "0.0.0.0:5723", at(1)).unwrap();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    for (through, day) in (1..).zip([0, 1, 9, -5, 0]) {
        commit_on(&mut store, day, &write("pc7", 7, fence, through), &[run(0, "pc7", 7, 1..=through)]);
    }
    let expected = format!("{} 2, {} 1, {} 0, deliveries_other 2", of_day(0), of_day(1), of_day(2));
    assert_eq!(partitions(&place), expected);
    assert_eq!(delivered(&mut store), [1, 2, 3, 4, 5]);
    // Day 9 cannot have its partition any more; its rows stay where they are, and so does all that follows.
    prepare(&mut store, 8, 9);
    assert_eq!(
        partitions(&place),
        expected.replace(", deliveries_other", &format!(", {} 0, deliveries_other", of_day(8)))
    );
    assert_eq!(delivered(&mut store), [1, 2, 3, 4, 5]);
}

#[test]
fn i4_a_day_that_somebody_reads_is_dropped_later_and_no_commit_waits_for_it_long() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    prepare(&mut store, -10, 0);
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    commit_on(&mut store, -10, &write("pc7", 7, fence, 3), &[run(0, "pc7", 7, 1..=3)]);
    store.keep_deliveries(Some(5)).unwrap();
    let mut reader = try_open(&place, None).unwrap();
    let mut before = String::new();
    reader
        .engine
        .write(|records| {
            assert_eq!(records.deliveries(0, 9)?.len(), 3);
            before = partitions(&place);
            let since = Instant::now();
            assert!(!store.forget_some(at(0))?, "it is left for the next period");
            commit_on(&mut store, 0, &write("pc7", 7, fence, 4), &[run(0, "pc7", 7, 4..=4)]);
            assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
            Ok(())
        })
        .unwrap();
    assert_eq!(delivered(&mut store), [1, 2, 3, 4]);
    prune(&mut store);
    assert_eq!(delivered(&mut store), [4]);
    assert!(before.contains(&of_day(-10)) && !partitions(&place).contains(&of_day(-10)));
    assert!(partitions(&place).contains(&of_day(-5)), "{}", partitions(&place));
}

#[test]
fn i4_what_was_delivered_before_there_were_days_is_one_partition_that_its_readers_still_may_read() {
    let Some(place) = PostgresPlace::new() else { return };
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store/postgres-8.sql");
    place.execute(&std::fs::read_to_string(golden).unwrap());
    let reader = format!("reader_{}", place.database);
    place.execute(&format!(
        "CREATE ROLE {reader}; GRANT USAGE ON SCHEMA farpost TO {reader};
         GRANT SELECT ON farpost.deliveries, farpost.delivered TO {reader}"
    ));
    let mut store = try_open(&place, None).unwrap();
    assert_eq!(partitions(&place), "deliveries_earlier 7, deliveries_other 0");
    for table in ["deliveries", "delivered"] {
        assert_eq!(place.text(&format!("SET ROLE {reader}; SELECT count(*) FROM farpost.{table}")), "7");
    }
    store.keep_deliveries(Some(36_500)).unwrap();
    prune(&mut store);
    assert_eq!(delivered(&mut store).len(), 7);
    let tomorrow = Day::of(now()).later_by(100_000);
    while store.engine.write(|records| records.prune_deliveries(tomorrow, 2)).unwrap() {}
    assert_eq!((partitions(&place).as_str(), delivered(&mut store).len()), ("deliveries_other 0", 0));
}

#[test]
fn i4_two_servers_that_prepare_and_prune_at_once_make_and_drop_each_day_once() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    prepare(&mut store, -20, -1);
    store.keep_deliveries(Some(3)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut store = try_open(&place, None).unwrap();
                for _ in 0..30 {
                    store.forget_some(at(0)).unwrap();
                }
            });
        }
    });
    prune(&mut store);
    let expected: Vec<_> = (-3..=2).map(|day| format!("{} 0", of_day(day))).collect();
    assert_eq!(partitions(&place), expected.join(", ") + ", deliveries_other 0");
}
