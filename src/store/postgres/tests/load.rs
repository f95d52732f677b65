//! What a batch costs, counted by the database.

use super::*;
use crate::group::{CursorOutcome, CursorWrite, UnknownAgents};
use crate::role::Role;
use crate::store::asking::Asking as _;
use crate::store::tests::{Cluster, knock};

/// Agents of the measured load, half of them at each server.
const AGENTS: usize = 2_000;

/// How many the database has committed, once it has counted everything: each backend is made to report what it did, which it
/// would put off for a second, or for a minute where others report just then. `reads` are those of this look, which are left
/// out: while they are not counted yet, the number goes down.
fn transactions(place: &PostgresPlace, stores: &mut [PostgresStore], reads: &mut i64) -> i64 {
    let sql = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{}'", place.database);
    let mut look = || -> i64 {
        std::thread::sleep(Duration::from_millis(100));
        for store in &mut *stores {
            let Postgres { target, connector, .. } = &mut store.engine;
            connector
                .read(target, |records| records.query("SELECT pg_stat_force_next_flush()", &[]).map(|_| ()))
                .unwrap();
            // A backend that has read no table since has nothing to report.
            store.change().unwrap();
            *reads += 2;
        }
        place.cluster.sql("postgres", &sql).parse::<i64>().unwrap() - *reads
    };
    let (mut before, mut now) = (look(), look());
    for _ in 0..70 {
        if now == before {
            return now;
        }
        (before, now) = (now, look());
    }
    panic!("the database has not counted everything: {before}, then {now}");
}

/// Whether a load costs at most so many transactions, by what `measure` counts on a fresh store. It has a cluster to
/// itself: where others create and drop tables, PostgreSQL makes idle connections catch up with its catalogue now and
/// then, in a transaction that counts.
fn costs_at_most(most: &[i64], measure: impl Fn(&PostgresPlace) -> Vec<i64>) {
    let Some(cluster) = Cluster::start("") else { return };
    let counts = measure(&PostgresPlace::in_cluster(Box::leak(Box::new(cluster))));
    let is_so = counts.iter().zip(most).all(|(count, most)| count <= most);
    assert!(is_so, "{counts:?} transactions, where at most {most:?} are due");
}

#[test]
fn a_batch_is_one_transaction_however_many_agents_it_has() {
    // To let them in, and to commit their cursors ten times at each server.
    costs_at_most(&[9, 24], cost_of_cursors);
}

fn cost_of_cursors(place: &PostgresPlace) -> Vec<i64> {
    let mut stores = [try_open(place, Some("CORP")).unwrap(), try_open(place, Some("CORP")).unwrap()];
    let halves: Vec<Vec<String>> =
        (0..2).map(|half| (0..AGENTS / 2).map(|agent| format!("pc-{half}-{agent}")).collect()).collect();
    let mut reads = 0;
    let before = transactions(place, &mut stores, &mut reads);
    let mut writes: Vec<Vec<CursorWrite>> = Vec::new();
    for (store, half) in stores.iter_mut().zip(&halves) {
        let requests: Vec<_> = half.iter().map(|agent| request(agent, 7, 1, 1)).collect();
        let answers = store.open_sessions(&requests).unwrap();
        assert_eq!(answers.len(), AGENTS / 2);
        writes.push(half.iter().map(|agent| write(agent, 7, 1, 0)).collect());
    }
    let knocks: Vec<_> = halves.iter().flatten().map(|agent| knock(Role::Agent, agent, None, 5)).collect();
    stores[0].set_unknown_agents(UnknownAgents::Approve).unwrap();
    for round in ["as new ones", "again"] {
        let since = Instant::now();
        assert_eq!(stores[0].authorise(&knocks).unwrap().len(), AGENTS);
        println!("{AGENTS} agents authorised {round} in {:?}", since.elapsed());
    }
    let opened = transactions(place, &mut stores, &mut reads);
    // One second of 20,000 messages: each server commits all of its agents' cursors again and again.
    let (rounds, since) = (10, Instant::now());
    for round in 1..=rounds {
        for (store, writes) in stores.iter_mut().zip(&mut writes) {
            writes.iter_mut().for_each(|write| write.through.0 = round);
            assert!(store.commit(writes, &[]).unwrap().iter().all(|outcome| *outcome == CursorOutcome::Written));
        }
    }
    let took = since.elapsed();
    let committed = transactions(place, &mut stores, &mut reads) - opened;
    println!("{} cursors in {} commits: {committed} transactions, {took:?}", AGENTS as u64 * rounds, 2 * rounds);
    assert_eq!(place.text("SELECT count(*) FROM epochs WHERE cursor = 10"), AGENTS.to_string());
    vec![opened - before, committed]
}

#[test]
fn a_batch_of_presence_is_one_transaction_however_many_agents_it_has() {
    costs_at_most(&[14], cost_of_presence);
}

fn cost_of_presence(place: &PostgresPlace) -> Vec<i64> {
    let mut stores = [try_open(place, Some("CORP")).unwrap(), try_open(place, Some("CORP")).unwrap()];
    let mut reads = 0;
    let before = transactions(place, &mut stores, &mut reads);
    let rounds = 5;
    for round in 1..=rounds {
        for (number, store) in stores.iter_mut().enumerate() {
            // All of its agents came, reported and went: more than two seconds bring.
            let batch = crate::store::tests::presence::crowd(&format!("ms{number}"), AGENTS / 2, round);
            store.keep_presence(&batch).unwrap();
        }
    }
    let written = transactions(place, &mut stores, &mut reads) - before;
    println!("{} batches of {} agents: {written} transactions", 2 * rounds, AGENTS / 2);
    assert_eq!(place.text("SELECT count(*) FROM presences"), AGENTS.to_string());
    vec![written]
}
