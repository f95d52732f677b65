//! One-time tokens in a file that several processes use.

use std::process::{Command, Stdio};

use super::*;
use crate::group::{TokenAnswer, TokenHash, TokenRecord};
use crate::limits::TOKENS_MAX;
use crate::store::asking::Asking as _;
use crate::store::tests::tokens::{ask, token, try_use};

#[test]
fn the_number_of_tokens_is_bounded_and_expired_ones_make_room() {
    let place = Place::new();
    let mut store = place.open();
    store
        .engine
        .connection
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO tokens (hash, name, role, via, created, expires)
             SELECT CAST(printf('%032d', i) AS BLOB), 'pc' || i, 1, NULL, 1000, 2000 + (i > 1) * 60000 FROM n",
            [TOKENS_MAX as i64],
        )
        .unwrap();
    assert_eq!(store.create_token(&token(1, "pc7")).unwrap_err().code(), Code::TokensFull);
    let late = TokenRecord { created: at(2_000), ..token(1, "pc7") };
    store.create_token(&late).unwrap();
    assert_eq!(
        store.create_token(&TokenRecord { hash: TokenHash([2; 32]), ..late }).unwrap_err().code(),
        Code::TokensFull
    );
    assert_eq!(store.tokens().unwrap().len() as u64, TOKENS_MAX);
    // Expired ones that wait for an answer go last.
    let used = "UPDATE tokens SET used = 1, request = zeroblob(32) WHERE name = 'pc9'";
    store.engine.connection.execute(used, []).unwrap();
    let later = |hash| TokenRecord { created: at(70_000), expires: at(80_000), ..token(hash, "pc7") };
    store.create_token(&later(3)).unwrap();
    let names: Vec<_> = store.tokens().unwrap().iter().map(|token| token.name.to_string()).collect();
    assert_eq!(names, ["pc7", "pc9"]);
}

#[test]
fn a_stored_token_that_farpost_did_not_write_is_corrupt() {
    for damage in ["name = '../x'", "role = 9", "hash = x'00'", "request = x'00'"] {
        let place = Place::new();
        let mut store = place.open();
        store.create_token(&token(1, "pc7")).unwrap();
        store.engine.connection.execute(&format!("UPDATE tokens SET {damage}"), []).unwrap();
        assert_eq!(store.tokens().unwrap_err().code(), Code::StoreCorrupt, "{damage}");
    }
}

const PATH: &str = "FARPOST_TEST_TOKEN_STORE";
const REQUEST: &str = "FARPOST_TEST_TOKEN_REQUEST";
/// Tokens that the processes fight for.
const FOUGHT_FOR: u8 = 50;

#[test]
fn child_that_uses_every_token() {
    let (Ok(path), Ok(request)) = (std::env::var(PATH), std::env::var(REQUEST)) else { return };
    let mut store = SqliteStore::open(path.as_ref(), None).unwrap();
    for hash in 0..FOUGHT_FOR {
        match try_use(&mut store, &ask(hash, "pc7", request.parse().unwrap())) {
            Ok(TokenAnswer::First) => println!("won {hash}"),
            Err(Code::TokenUsed) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn of_processes_that_use_one_token_at_once_exactly_one_gets_it() {
    let place = Place::new();
    let mut store = place.open();
    for hash in 0..FOUGHT_FOR {
        store.create_token(&token(hash, "pc7")).unwrap();
    }
    let start = |request: u8| {
        Command::new(std::env::current_exe().unwrap())
            .args(["child_that_uses_every_token", "--nocapture"])
            .env(PATH, &place.path)
            .env(REQUEST, request.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (1..=3).map(start).collect();
    let mut won = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        won.extend(text.lines().filter_map(|line| line.split_once("won ")?.1.trim().parse::<u8>().ok()));
    }
    won.sort_unstable();
    assert_eq!(won, (0..FOUGHT_FOR).collect::<Vec<_>>());
    assert!(store.tokens().unwrap().iter().all(|token| token.request.is_some()));
}
