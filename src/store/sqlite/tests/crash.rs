//! A process that is killed while it commits; and what a commit costs.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::store::asking::Asking as _;

const PATH: &str = "FARPOST_TEST_STORE";

#[test]
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
            .args(["child_that_commits_until_it_is_killed", "--nocapture"])
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
