//! One-time tokens: single use, whatever happens.

use std::process::{Command, Stdio};

use super::*;
use crate::group::TokenHash;
use crate::limits::TOKENS_MAX;

fn token(hash: u8, who: &str) -> TokenRecord {
    TokenRecord {
        name: name(who),
        role: Role::Agent,
        via: Some(name("gw1")),
        created: at(1_000),
        expires: at(61_000),
        used: None,
        hash: TokenHash([hash; 32]),
        request: None,
    }
}

fn ask(hash: u8, who: &str, request: u8) -> TokenUse {
    let (role, via) = (Role::Agent, Some(name("gw1")));
    TokenUse { hash: TokenHash([hash; 32]), name: name(who), role, via, request: [request; 32], at: at(2_000) }
}

fn try_use(store: &mut SqliteStore, ask: &TokenUse) -> Result<TokenAnswer, Code> {
    store.use_token(ask).map_err(|error| error.code())
}

#[test]
fn a_token_is_used_once_and_by_the_same_request_again_also_after_a_restart() {
    let place = Place::new();
    let mut store = place.open();
    store.create_token(&token(1, "pc7")).unwrap();
    assert_eq!(store.tokens().unwrap(), [token(1, "pc7")]);
    let change = store.change().unwrap();
    // None of these uses it up.
    assert_eq!(try_use(&mut store, &ask(2, "pc7", 1)), Err(Code::TokenUnknown));
    assert_eq!(try_use(&mut store, &ask(1, "pc8", 1)), Err(Code::TokenElsewhere));
    assert_eq!(try_use(&mut store, &TokenUse { via: None, ..ask(1, "pc7", 1) }), Err(Code::TokenElsewhere));
    assert_eq!(try_use(&mut store, &TokenUse { role: Role::Gateway, ..ask(1, "pc7", 1) }), Err(Code::TokenElsewhere));
    assert_eq!(try_use(&mut store, &TokenUse { at: at(61_000), ..ask(1, "pc7", 1) }), Err(Code::TokenExpired));
    assert_eq!(store.tokens().unwrap(), [token(1, "pc7")]);
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Ok(TokenAnswer::First));
    drop(store);
    let mut store = place.open();
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Ok(TokenAnswer::Again));
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 2)), Err(Code::TokenUsed));
    let used = TokenRecord { used: Some(at(2_000)), request: Some([1; 32]), ..token(1, "pc7") };
    assert!(!used.is_open(at(2_000)) && token(1, "pc7").is_open(at(2_000)) && !token(1, "pc7").is_open(at(61_000)));
    assert_eq!((store.tokens().unwrap(), store.change().unwrap()), (vec![used], change));
}

#[test]
fn g1_a_name_that_was_rejected_meanwhile_does_not_enrol_and_keeps_its_token() {
    let place = Place::new();
    let mut store = store_with_servers(&place);
    store.create_token(&token(1, "pc7")).unwrap();
    store.reject_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Err(Code::NameRejected));
    assert_eq!(store.create_token(&token(2, "pc7")).unwrap_err().code(), Code::NameRejected);
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Ok(TokenAnswer::First));
    store.approve_gateway(&name("gw7"), &name("ms1"), at(1)).unwrap();
    assert_eq!(store.create_token(&token(3, "gw7")).unwrap_err().code(), Code::RoleNotApproved);
}

#[test]
fn tokens_are_deleted_by_name_and_forgotten_a_week_after_they_expired() {
    let place = Place::new();
    let mut store = place.open();
    for (hash, who) in [(1, "pc7"), (2, "pc7"), (3, "pc8")] {
        store.create_token(&token(hash, who)).unwrap();
    }
    assert_eq!(store.delete_token(&name("pc7")).unwrap(), 2);
    assert_eq!(store.delete_token(&name("pc7")).unwrap_err().code(), Code::TokenUnknown);
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Err(Code::TokenUnknown));
    let later = |hash, created| TokenRecord { created: at(created), expires: at(created + 1), ..token(hash, "pc9") };
    let week = 7 * 86_400_000;
    store.create_token(&later(4, 61_000 + week - 1)).unwrap();
    assert_eq!(try_use(&mut store, &TokenUse { at: at(70_000), ..ask(3, "pc8", 1) }), Err(Code::TokenExpired));
    store.create_token(&later(5, 61_000 + week)).unwrap();
    assert_eq!(try_use(&mut store, &TokenUse { at: at(70_000), ..ask(3, "pc8", 1) }), Err(Code::TokenUnknown));
}

#[test]
fn the_number_of_tokens_is_bounded_and_expired_ones_make_room() {
    let place = Place::new();
    let mut store = place.open();
    store
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
    store.connection.execute("UPDATE tokens SET used = 1, request = zeroblob(32) WHERE name = 'pc9'", []).unwrap();
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
        store.connection.execute(&format!("UPDATE tokens SET {damage}"), []).unwrap();
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
