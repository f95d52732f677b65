use super::*;
use crate::group::GatewayState;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn record() -> TokenRecord {
    TokenRecord {
        name: name("pc7"),
        role: Role::Agent,
        via: Some(name("gw1")),
        created: at(0),
        expires: at(1000),
        used: None,
        hash: TokenHash([1; 32]),
        request: None,
    }
}

fn ask() -> TokenUse {
    let (via, at) = (Some(name("gw1")), at(999));
    TokenUse { hash: TokenHash([1; 32]), name: name("pc7"), role: Role::Agent, via, request: [9; 32], at }
}

#[test]
fn a_token_is_for_one_name_role_gateway_time_and_request() {
    let decide = |record: &TokenRecord, ask: &TokenUse| use_token(Some(record), ask).map_err(|error| error.code());
    assert_eq!(decide(&record(), &ask()), Ok(TokenAnswer::First));
    for other in [
        TokenUse { name: name("pc8"), ..ask() },
        TokenUse { role: Role::Gateway, ..ask() },
        TokenUse { via: None, ..ask() },
        TokenUse { via: Some(name("gw2")), ..ask() },
    ] {
        assert_eq!(decide(&record(), &other), Err(Code::TokenElsewhere), "{other:?}");
    }
    assert_eq!(decide(&record(), &TokenUse { at: at(1000), ..ask() }), Err(Code::TokenExpired));
    assert_eq!(use_token(None, &ask()).unwrap_err().code(), Code::TokenUnknown);
    let used = TokenRecord { used: Some(at(5)), request: Some([9; 32]), ..record() };
    assert_eq!(decide(&used, &ask()), Ok(TokenAnswer::Again));
    assert_eq!(decide(&used, &TokenUse { request: [8; 32], ..ask() }), Err(Code::TokenUsed));
    let late = TokenUse { at: at(9_000_000), ..ask() };
    assert_eq!(decide(&used, &late), Ok(TokenAnswer::Again), "its answer takes as long as people take");
    assert_eq!(decide(&used, &TokenUse { request: [8; 32], ..late }), Err(Code::TokenUsed));
}

#[test]
fn tokens_are_made_for_nodes_that_enrol_and_for_a_week_at_most() {
    let make = |record: TokenRecord| may_create_token(&record, 0).map_err(|error| error.code());
    let week = 7 * 86_400_000;
    assert_eq!(make(TokenRecord { expires: at(week), ..record() }), Ok(()));
    assert_eq!(make(TokenRecord { role: Role::Gateway, via: None, ..record() }), Ok(()));
    for bad in [
        TokenRecord { expires: at(week + 1), ..record() },
        TokenRecord { expires: at(0), ..record() },
        TokenRecord { expires: at(-1), ..record() },
        TokenRecord { role: Role::ManagementServer, ..record() },
        TokenRecord { via: Some(name("pc7")), ..record() },
    ] {
        assert_eq!(make(bad.clone()), Err(Code::ArgumentInvalid), "{bad:?}");
    }
    assert_eq!(may_create_token(&record(), TOKENS_MAX).unwrap_err().code(), Code::TokensFull);
    assert!(may_create_token(&record(), TOKENS_MAX - 1).is_ok());
}

#[test]
fn g1_a_rejected_name_and_one_of_another_role_do_not_enrol() {
    let agent = |state| AgentRecord::new(name("pc7"), state, at(0));
    let gateway = |state| GatewayRecord::new(name("pc7"), state, at(0));
    let decide = |role, agent: Option<AgentRecord>, gateway: Option<GatewayRecord>| {
        may_enrol(&name("pc7"), role, agent.as_ref(), gateway.as_ref()).map_err(|error| error.code())
    };
    for role in [Role::Agent, Role::Gateway] {
        assert_eq!(decide(role, None, None), Ok(()));
        assert_eq!(decide(role, Some(agent(AgentState::Pending)), None), Ok(()));
        assert_eq!(decide(role, Some(agent(AgentState::Rejected)), None), Err(Code::NameRejected));
    }
    assert_eq!(decide(Role::Agent, Some(agent(AgentState::Approved)), None), Ok(()));
    assert_eq!(decide(Role::Gateway, Some(agent(AgentState::Approved)), None), Err(Code::RoleNotApproved));
    for state in [GatewayState::Pending, GatewayState::Approved, GatewayState::Deleted] {
        assert_eq!(decide(Role::Agent, None, Some(gateway(state))), Err(Code::RoleNotApproved), "{state}");
        assert_eq!(decide(Role::Gateway, None, Some(gateway(state))), Ok(()), "{state}");
    }
}
