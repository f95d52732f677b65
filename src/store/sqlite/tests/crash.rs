//! A process that is killed while it commits; and what a commit costs.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

const PATH: &str = "FARPOST_TEST_STORE";

#[test]
#[ignore = "the process that d4_what_a_killed_process_committed_is_there_whole kills"]
fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let mut store = SqliteStore::open(path.as_ref(), Some("CORP")).unwrap();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    for first in (1..).step_by(10) {
        store.commit(&[write("pc7", 7, fence, first + 9)], &[run(0, "pc7", 7, first..=first + 9)]).unwrap();
        println!("committed {}", first + 9);
    }
}

#[test]
fn d4_what_a_killed_process_committed_is_there_whole() {
    for lines in [1, 2, 7, 20] {
        let place = Place::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_commits_until_it_is_killed", "--ignored", "--nocapture"])
            .env(PATH, &place.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = output.map_while(|line| line.ok()).filter_map(|line| line.split_once("committed ")?.1.parse().ok());
        let told: u64 = told.take(lines).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let mut store = place.open();
        let cursor = store.cursors().unwrap()[0].2.0;
        assert!(cursor >= told, "told {told}, found {cursor}");
        assert_eq!(delivered(&mut store), (1..=cursor).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "a measurement: cargo test --release --lib commit_costs -- --ignored --nocapture"]
fn commit_costs() {
    let place = Place::new();
    let mut store = place.open();
    let agents: Vec<_> = (0..20).map(|number| format!("pc{number}.branch.example")).collect();
    let fences: Vec<_> = agents.iter().map(|agent| fence(&mut store, &request(agent, 7, 1, 1))).collect();
    let run = |agent: usize, first: u64| {
        let message = |sequence| Numbered {
            sequence: Sequence(sequence),
            priority: Priority::Normal,
            sent: at(0),
            payload: Bytes::from(vec![b'x'; 256]),
        };
        let runs = [(first, first + 50), (first + 50, first + 100)];
        runs.map(|(from, to)| StoredRun {
            content: Content::Run(Run::of(&(from..to).map(message).collect::<Vec<_>>())),
            ..run(agent, &agents[agent], 7, 1..=1)
        })
    };
    let commits = 50_u64;
    let batches: Vec<_> = (0..commits)
        .map(|number| {
            let writes = agents.iter().zip(&fences).map(|(agent, fence)| write(agent, 7, *fence, number * 100 + 100));
            let runs = (0..agents.len()).flat_map(|agent| run(agent, number * 100 + 1));
            (writes.collect::<Vec<_>>(), runs.collect::<Vec<_>>())
        })
        .collect();
    let start = std::time::Instant::now();
    for (writes, runs) in &batches {
        store.commit(writes, runs).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(store.delivery_count().unwrap(), commits * 2000);
    println!("20 cursors + 2,000 x 256 B: {:.1} commits/s", commits as f64 / seconds);
    let start = std::time::Instant::now();
    for number in 0..commits {
        let through = (commits + number + 1) * 100;
        let writes: Vec<_> =
            agents.iter().zip(&fences).map(|(agent, fence)| write(agent, 7, *fence, through)).collect();
        store.commit(&writes, &[]).unwrap();
    }
    println!("20 cursors alone: {:.1} commits/s", commits as f64 / start.elapsed().as_secs_f64());
    let crowd: Vec<_> = (0..2000).map(|n| format!("crowd{n}.branch.example")).collect();
    for agent in &crowd {
        store.approve_agent(&name(agent), at(1)).unwrap();
    }
    let knocks: Vec<_> = crowd.iter().map(|agent| knock(Role::Agent, agent, None, 2)).collect();
    let requests: Vec<_> = crowd.iter().map(|agent| request(agent, 7, 1, 1)).collect();
    let start = std::time::Instant::now();
    store.authorise(&knocks).unwrap();
    let authorised = start.elapsed();
    store.open_sessions(&requests).unwrap();
    println!("2,000 agents: authorised in {authorised:?}, sessions opened in {:?}", start.elapsed() - authorised);
}
