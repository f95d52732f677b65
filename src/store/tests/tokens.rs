//! One-time tokens: single use, whatever happens.

use super::*;
use crate::group::{TokenAnswer, TokenHash, TokenRecord, TokenUse};
use crate::store::asking::Asking as _;

on_every_engine! {
    a_token_is_used_once_and_by_the_same_request_again_also_after_a_restart,
    g1_a_name_that_was_rejected_meanwhile_does_not_enrol_and_keeps_its_token,
    tokens_are_deleted_by_name_and_forgotten_a_week_after_they_expired,
    of_connections_that_use_one_token_at_once_exactly_one_gets_it,
}

pub(in crate::store) fn token(hash: u8, who: &str) -> TokenRecord {
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

pub(in crate::store) fn ask(hash: u8, who: &str, request: u8) -> TokenUse {
    let (role, via) = (Role::Agent, Some(name("gw1")));
    TokenUse { hash: TokenHash([hash; 32]), name: name(who), role, via, request: [request; 32], at: at(2_000) }
}

pub(in crate::store) fn try_use(store: &mut impl AsStore, ask: &TokenUse) -> Result<TokenAnswer, Code> {
    store.as_store().use_token(ask).map_err(|error| error.code())
}

fn a_token_is_used_once_and_by_the_same_request_again_also_after_a_restart(place: &dyn Place) {
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

fn g1_a_name_that_was_rejected_meanwhile_does_not_enrol_and_keeps_its_token(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.create_token(&token(1, "pc7")).unwrap();
    store.reject_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Err(Code::NameRejected));
    assert_eq!(store.create_token(&token(2, "pc7")).unwrap_err().code(), Code::NameRejected);
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(try_use(&mut store, &ask(1, "pc7", 1)), Ok(TokenAnswer::First));
    store.approve_gateway(&name("gw7"), &name("ms1"), at(1)).unwrap();
    assert_eq!(store.create_token(&token(3, "gw7")).unwrap_err().code(), Code::RoleNotApproved);
}

fn tokens_are_deleted_by_name_and_forgotten_a_week_after_they_expired(place: &dyn Place) {
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

fn of_connections_that_use_one_token_at_once_exactly_one_gets_it(place: &dyn Place) {
    let mut store = place.open();
    for hash in 0..20 {
        store.create_token(&token(hash, "pc7")).unwrap();
    }
    let use_all = |request: u8| {
        let mut store = place.open();
        let won = |hash: &u8| try_use(&mut store, &ask(*hash, "pc7", request)) == Ok(TokenAnswer::First);
        (0..20).filter(won).collect::<Vec<u8>>()
    };
    let mut won: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=3).map(|request| scope.spawn(move || use_all(request))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    won.sort_unstable();
    assert_eq!(won, (0..20).collect::<Vec<_>>());
}
