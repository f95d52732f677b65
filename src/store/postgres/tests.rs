//! What is PostgreSQL's alone: the database, its failures, its notices. What is the same on every engine is tested in
//! `store/tests.rs`.

mod database;
mod days;
mod failures;
mod load;

use super::*;
use crate::store::Store as _;
use crate::store::tests::{Place as _, PostgresPlace, at, delivered, fence, name, request, run, write};

/// Opens a place's store, to see what is wrong with it.
fn try_open(place: &PostgresPlace, group: Option<&str>) -> Result<PostgresStore> {
    PostgresStore::open(&place.url(), group)
}

fn code<R>(result: Result<R>) -> Code {
    result.err().expect("an error").code()
}

/// Looks again and again until it is so, for at most ten seconds.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
