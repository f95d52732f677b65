//! What commits take; run by whoever wants to know: `FARPOST_MEASURE=commits cargo test --lib pace -- --nocapture`.

use std::time::{Duration, Instant};

use super::*;

on_every_engine! {
    commits_of_a_thousand_messages_are_measured_where_it_is_asked_for,
    migrating_and_pruning_a_large_store_are_measured_where_it_is_asked_for,
}

/// Bytes of a measured message.
const PAYLOAD: usize = 300;
/// Agents that a measured commit is of.
const AGENTS: u64 = 20;
/// Messages of each of them in a commit.
const EACH: u64 = 50;

/// One commit of 1,000 messages, and how long it took.
pub(super) fn commit_thousand(store: &mut AnyStore, fences: &[u64], round: u64) -> Duration {
    let message = |sequence| Numbered {
        sequence: Sequence(sequence),
        priority: Priority::Critical,
        sent: at(1_795_000_000_000),
        payload: Bytes::from(vec![b'x'; PAYLOAD]),
    };
    let (from, to) = (round * EACH + 1, (round + 1) * EACH);
    let agent = |number: usize| format!("pc{number}.branch.example");
    let writes: Vec<_> =
        fences.iter().enumerate().map(|(number, fence)| write(&agent(number), 7, *fence, to)).collect();
    let messages: Vec<_> = (from..=to).map(message).collect();
    let runs: Vec<_> = (0..fences.len())
        .map(|number| StoredRun { content: Content::Run(Run::of(&messages)), ..run(number, &agent(number), 7, 1..=1) })
        .collect();
    let since = Instant::now();
    store.commit(&writes, &runs).unwrap();
    since.elapsed()
}

/// The sessions of the agents of [`commit_thousand`].
pub(super) fn open_measured(store: &mut AnyStore) -> Vec<u64> {
    (0..AGENTS).map(|number| fence(store, &request(&format!("pc{number}.branch.example"), 7, 1, 1))).collect()
}

fn commits_of_a_thousand_messages_are_measured_where_it_is_asked_for(place: &dyn Place) {
    if std::env::var("FARPOST_MEASURE").as_deref() != Ok("commits") {
        return;
    }
    let mut store = store_with_servers(place);
    let fences = open_measured(&mut store);
    let mut took: Vec<_> = (0..200).map(|round| commit_thousand(&mut store, &fences, round)).collect();
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    println!(
        "{}: 200 commits of 1,000 messages: {total:?}, median {:?}, longest {:?}",
        place.engine(),
        took[100],
        took[199]
    );
}

/// How many rows are measured: `FARPOST_ROWS`, a million otherwise.
fn rows_measured() -> i64 {
    std::env::var("FARPOST_ROWS").ok().map_or(1_000_000, |text| text.parse().unwrap())
}

/// Rows of a thousand agents in the tables of before there were days, half of them ten days old.
fn fill(place: &dyn Place) {
    let golden = if place.engine() == "sqlite" { "sqlite-9" } else { "postgres-8" };
    let path = format!("{}/tests/golden/store/{golden}.sql", env!("CARGO_MANIFEST_DIR"));
    place.execute(&std::fs::read_to_string(path).unwrap());
    let (count, now) = (rows_measured(), crate::store::group_store::now().unix_millis());
    let old = now - 864_000_000;
    place.execute(&if place.engine() == "sqlite" {
        format!(
            "INSERT INTO deliveries (id, agent, epoch, sequence, priority, via, sent, received, payload)
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             SELECT 100 + n, 1, 1000 + n % 1000, n / 1000, 1, 2, 0, CASE WHEN n < {count} / 2 THEN {old} ELSE {now} END,
                    zeroblob({PAYLOAD}) FROM n"
        )
    } else {
        format!(
            "INSERT INTO deliveries (id, agent, epoch, sequence, priority, via, sent, received, payload)
             SELECT 100 + n, 'pc1', 1000 + n % 1000, n / 1000, 1, 'gw1', 0,
                    CASE WHEN n < {count} / 2 THEN {old} ELSE {now} END, decode(repeat('78', {PAYLOAD}), 'hex')
             FROM generate_series(1, {count}) AS n;
             UPDATE output_numbers SET deliveries = 100 + {count}; ANALYZE deliveries"
        )
    });
}

/// The longest commit while another connection prunes; how long a part took at most; and how long it took in all.
fn commits_while_pruning(place: &dyn Place, store: &mut AnyStore, fences: &[u64], round: &mut u64) -> String {
    let (is_done, since) = (std::sync::atomic::AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let mut store = place.open();
            let (mut parts, mut longest) = (0, Duration::ZERO);
            loop {
                let since = Instant::now();
                let more = store.forget_some(at(0)).unwrap();
                (parts, longest) = (parts + 1, longest.max(since.elapsed()));
                if !more {
                    is_done.store(true, std::sync::atomic::Ordering::Release);
                    return format!("{parts} parts, the longest {longest:?}");
                }
            }
        });
        let mut took = Vec::new();
        while !is_done.load(std::sync::atomic::Ordering::Acquire) {
            took.push(commit_thousand(store, fences, *round));
            *round += 1;
        }
        let pruned = (pruner.join().unwrap(), since.elapsed());
        took.sort_unstable();
        let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
        format!("{pruned:?}, {} commits meanwhile, median {median:?}, longest {longest:?}", took.len())
    })
}

/// The same on the one thread of a server: a commit waits for the part that is being pruned.
fn commits_between_parts(store: &mut AnyStore, fences: &[u64], round: &mut u64) -> String {
    let (mut longest, mut parts, since) = (Duration::ZERO, 0, Instant::now());
    loop {
        let since = Instant::now();
        let more = store.forget_some(at(0)).unwrap();
        commit_thousand(store, fences, *round);
        (*round, parts, longest) = (*round + 1, parts + 1, longest.max(since.elapsed()));
        if !more {
            break;
        }
    }
    format!(
        "{parts} parts with a commit of 1,000 after each, the longest both {longest:?}, {:?} in all",
        since.elapsed()
    )
}

fn migrating_and_pruning_a_large_store_are_measured_where_it_is_asked_for(place: &dyn Place) {
    if std::env::var("FARPOST_MEASURE").as_deref() != Ok("days") {
        return;
    }
    let (engine, rows) = (place.engine(), rows_measured());
    fill(place);
    let since = Instant::now();
    let mut store = place.open();
    println!("{engine}: {rows} rows migrated in {:?}", since.elapsed());
    let (fences, mut round) = (open_measured(&mut store), 0);
    let mut took: Vec<_> = (0..50)
        .map(|_| {
            round += 1;
            commit_thousand(&mut store, &fences, round - 1)
        })
        .collect();
    took.sort_unstable();
    println!("{engine}: before: median {:?}, longest {:?}", took[25], took[49]);
    store.keep_deliveries(Some(5)).unwrap();
    if engine == "sqlite" {
        println!("{engine}: {}", commits_between_parts(&mut store, &fences, &mut round));
    } else {
        println!("{engine}: row by row: {}", commits_while_pruning(place, &mut store, &fences, &mut round));
        a_day_at_once(&*place.another());
    }
    println!("{engine}: {} rows are left", store.delivery_count().unwrap());
}

/// The same where what is old is one day with a partition of its own.
fn a_day_at_once(place: &dyn Place) {
    let mut store = place.open();
    let day = crate::store::records::Day::of(crate::store::group_store::now()).later_by(-9);
    let (start, end) = (day.start().unix_millis(), day.later_by(1).start().unix_millis());
    let (name, rows) = (format!("deliveries_{}", day.start().to_string()[..10].replace('-', "")), rows_measured());
    place.execute(&format!(
        "CREATE TABLE farpost.{name} (LIKE farpost.deliveries, PRIMARY KEY (id), UNIQUE (agent, epoch, sequence));
         INSERT INTO farpost.{name} SELECT n, 'pc1', 1000 + n % 1000, n / 1000, 1, 'gw1', 0, {start},
             decode(repeat('78', {PAYLOAD}), 'hex') FROM generate_series(1, {rows}) AS n;
         UPDATE output_numbers SET deliveries = 100 + {rows};
         ALTER TABLE farpost.deliveries ATTACH PARTITION farpost.{name} FOR VALUES FROM ({start}) TO ({end})"
    ));
    store.register_server(&super::name("ms1"), "0.0.0.0:5723", at(1)).unwrap();
    let (fences, mut round) = (open_measured(&mut store), 0);
    store.keep_deliveries(Some(5)).unwrap();
    println!("{rows} rows at once: {}", commits_while_pruning(place, &mut store, &fences, &mut round));
    println!("{} rows are left", store.delivery_count().unwrap());
}

/// What many days cost: a thousand partitions, read and written.
#[cfg(feature = "postgres")]
#[test]
fn a_thousand_days_are_measured_where_it_is_asked_for() {
    if std::env::var("FARPOST_MEASURE").as_deref() != Ok("years") {
        return;
    }
    let place = PostgresPlace::new().unwrap();
    let mut store = crate::store::PostgresStore::open(&place.url(), Some("CORP")).unwrap();
    let today = crate::store::records::Day::of(crate::store::group_store::now());
    for days in [0, 30, 365, 1_000] {
        for first in (0..=days).rev().step_by(50) {
            let (first, last) = (today.later_by(-first), today.later_by((50 - first).min(0)));
            store.engine.write(|records| records.prepare_delivery_days(first, last)).unwrap();
        }
        let mut store: AnyStore = Box::new(crate::store::PostgresStore::open(&place.url(), None).unwrap());
        let fences = open_measured(&mut store);
        let base = u64::try_from(days).unwrap() * 100;
        let mut writes: Vec<_> = (0..50).map(|round| commit_thousand(&mut store, &fences, base + round)).collect();
        let mut reads: Vec<_> = (0..40)
            .map(|page| {
                let since = Instant::now();
                assert_eq!(store.deliveries(page * 1_000, 1_000).unwrap().len(), 1_000);
                since.elapsed()
            })
            .collect();
        writes.sort_unstable();
        reads.sort_unstable();
        println!("{days} days: a commit {:?}, a page read {:?}, at most {:?}", writes[25], reads[20], reads[39]);
    }
}
