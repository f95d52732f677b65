use super::*;
use crate::group::{
    AgentState, ApprovalsOperation, AuditOperation, GatewayState, InventoryOperation, OperatorsOperation,
    TokensOperation, UnknownAgents, decide,
};
use crate::role::Role;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn knock(role: Role, key: u8) -> Knock {
    Knock {
        role,
        name: name("ann"),
        key: KeyHash([key; 32]),
        issuer: KeyHash([9; 32]),
        is_in: false,
        address: "10.0.0.7:50000".to_owned(),
        server: name("ms1"),
        via: None,
        software: String::new(),
        at: Timestamp::default(),
    }
}

fn operator(state: OperatorState, access: Access, pinned: Option<u8>) -> OperatorRecord {
    OperatorRecord {
        name: name("ann"),
        state,
        access,
        since: Timestamp::default(),
        first_seen: None,
        last_seen: None,
        address: String::new(),
        server: None,
        pinned_key: pinned.map(|byte| KeyHash([byte; 32])),
        next_key: None,
    }
}

fn agent(state: AgentState) -> AgentRecord {
    AgentRecord::new(name("ann"), state, Timestamp::default())
}

fn gateway(state: GatewayState) -> GatewayRecord {
    GatewayRecord::new(name("ann"), state, Timestamp::default())
}

fn server() -> ServerRecord {
    let address = String::new();
    ServerRecord { name: name("ann"), address, excluded: false, last_seen: Timestamp::default() }
}

fn code(decision: &Decision) -> Option<Code> {
    match decision {
        Decision::Approved(approved) => {
            assert_eq!((approved.name().as_str(), approved.role()), ("ann", Role::Operator));
            None
        }
        Decision::Refused(error) => Some(error.code()),
        Decision::Pending(code) => panic!("an operator waits: {code}"),
    }
}

#[test]
fn g1_an_operator_comes_in_by_its_approval_as_operator_alone_whatever_else_the_group_knows_or_allows() {
    use OperatorState::{Approved, Rejected};
    let agents = [None, Some(AgentState::Pending), Some(AgentState::Approved), Some(AgentState::Rejected)];
    let gateways = [None, Some(GatewayState::Pending), Some(GatewayState::Approved), Some(GatewayState::Deleted)];
    let operators = [None, Some((Approved, None)), Some((Approved, Some(1))), Some((Approved, Some(2)))];
    let operators = operators.into_iter().chain([Some((Rejected, None)), Some((Rejected, Some(1)))]);
    for is_operator in operators {
        for (is_agent, is_gateway) in agents.into_iter().flat_map(|agent| gateways.map(|gateway| (agent, gateway))) {
            for is_server in [false, true] {
                let facts = Facts {
                    agent: is_agent.map(agent),
                    gateway: is_gateway.map(gateway),
                    bearer: is_server.then(server),
                    operator: is_operator.map(|(state, pin)| operator(state, Access::Full, pin)),
                    unknown_agents: UnknownAgents::Approve,
                    ..Facts::default()
                };
                let expected = match (is_agent.is_some() || is_gateway.is_some() || is_server, is_operator) {
                    (true, _) => Some(Code::RoleNotApproved),
                    (false, None) => Some(Code::OperatorUnknown),
                    (false, Some((Rejected, _))) => Some(Code::NameRejected),
                    (false, Some((Approved, Some(2)))) => Some(Code::OperatorKeyMismatch),
                    (false, Some((Approved, _))) => None,
                };
                let found = code(&decide(&facts, &knock(Role::Operator, 1)).0);
                assert_eq!(found, expected, "{is_operator:?} {is_agent:?} {is_gateway:?} {is_server}");
            }
        }
    }
}

#[test]
fn g1_an_operators_name_comes_in_as_nothing_else_though_unknown_agents_are_approved() {
    for state in [OperatorState::Approved, OperatorState::Rejected] {
        let facts = Facts {
            operator: Some(operator(state, Access::Full, None)),
            unknown_agents: UnknownAgents::Approve,
            ..Facts::default()
        };
        for role in [Role::Agent, Role::Gateway] {
            let (decision, remember) = decide(&facts, &knock(role, 1));
            assert_eq!((code(&decision), remember), (Some(Code::RoleNotApproved), Remember::Nothing), "{role}");
        }
    }
}

#[test]
fn g1_what_an_operator_may_ask_is_decided_by_its_state_its_access_and_the_operation() {
    use Access::{Full, ReadOnly};
    let change: Operation = ApprovalsOperation::ApproveAgent { agent: name("pc7") }.into();
    let question: Operation = InventoryOperation::Inventory.into();
    let local: Operation = InventoryOperation::Deliveries { above: 0, limit: 1 }.into();
    let operators: Operation = OperatorsOperation::Operators.into();
    let ask = |operator: Option<(OperatorState, Access)>, operation: &Operation| {
        let record = operator.map(|(state, access)| super::tests::operator(state, access, None));
        may_perform("ann", record.as_ref(), operation).err().map(|error| error.code())
    };
    for (who, [of_change, of_question, of_local, of_operators]) in [
        (None, [Some(Code::OperatorUnknown); 4]),
        (Some((OperatorState::Rejected, Full)), [Some(Code::NameRejected); 4]),
        (Some((OperatorState::Approved, Full)), [None, None, Some(Code::OperationLocal), None]),
        (
            Some((OperatorState::Approved, ReadOnly)),
            [Some(Code::OperatorReadOnly), None, Some(Code::OperationLocal), Some(Code::OperatorReadOnly)],
        ),
    ] {
        assert_eq!(ask(who, &change), of_change, "{who:?}");
        assert_eq!(ask(who, &question), of_question, "{who:?}");
        assert_eq!(ask(who, &local), of_local, "{who:?}");
        assert_eq!(ask(who, &operators), of_operators, "{who:?}");
    }
}

#[test]
fn d7_what_has_a_limit_is_cut_to_as_many_rows_as_an_answer_takes_and_the_rest_stays_as_it_is() {
    let limit_of = |operation: Operation| match operation.at_most(10) {
        Operation::Audit(AuditOperation::Entries { limit, .. })
        | Operation::Inventory(InventoryOperation::Gaps { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    for (asked, given) in [(0, 0), (9, 9), (10, 10), (11, 10), (u64::MAX, 10)] {
        let since = Timestamp::default();
        assert_eq!(limit_of(AuditOperation::Entries { since, above: 3, limit: asked }.into()), given);
        assert_eq!(limit_of(InventoryOperation::Gaps { above: 3, limit: asked }.into()), given);
    }
    assert!(matches!(Operation::from(TokensOperation::Tokens).at_most(1), Operation::Tokens(TokensOperation::Tokens)));
}

#[test]
fn g1_a_nodes_name_becomes_no_operator_and_the_number_of_operators_is_bounded() {
    let refused = |bearers: Bearers<'_>, is_new, held| {
        may_be_operator(&name("ann"), bearers, is_new, held).err().map(|error| error.code())
    };
    let (agent, gateway, server) = (agent(AgentState::Rejected), gateway(GatewayState::Deleted), server());
    for bearers in [
        Bearers { agent: Some(&agent), ..Bearers::default() },
        Bearers { gateway: Some(&gateway), ..Bearers::default() },
        Bearers { server: Some(&server), ..Bearers::default() },
    ] {
        assert_eq!(refused(bearers, true, 0), Some(Code::RoleNotApproved));
    }
    let nobody = Bearers::default();
    assert_eq!(refused(nobody, true, OPERATORS_MAX - 1), None);
    assert_eq!(refused(nobody, true, OPERATORS_MAX), Some(Code::OperatorsFull));
    assert_eq!(refused(nobody, false, OPERATORS_MAX), None);
    assert!(may_be_node(&name("ann"), None).is_ok());
    let operator = operator(OperatorState::Rejected, Access::Full, None);
    assert_eq!(may_be_node(&name("ann"), Some(&operator)).unwrap_err().code(), Code::RoleNotApproved);
}
