use super::*;
use crate::group::Approved;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn knock(role: Role, via: Option<&str>, server: &str) -> Knock {
    Knock {
        role,
        name: name("node"),
        key: KeyHash([1; 32]),
        issuer: KeyHash([9; 32]),
        is_in: false,
        address: "10.0.0.7:50000".to_owned(),
        server: name(server),
        via: via.map(name),
        software: "farpost".to_owned(),
        at: Timestamp::from_unix_millis(1),
    }
}

fn gateway(state: GatewayState) -> GatewayRecord {
    let parent = (state == GatewayState::Approved).then(|| name("ms1"));
    GatewayRecord { parent, ..GatewayRecord::new(name("node"), state, Timestamp::default()) }
}

fn agent(state: AgentState) -> AgentRecord {
    AgentRecord::new(name("node"), state, Timestamp::default())
}

fn server(excluded: bool) -> ServerRecord {
    ServerRecord { name: name("ms1"), address: String::new(), excluded, last_seen: Timestamp::default() }
}

fn outcome(decision: &Decision) -> Result<Role, Code> {
    match decision {
        Decision::Approved(approved) => {
            let approved: &Approved = approved;
            assert_eq!(approved.name().as_str(), "node");
            Ok(approved.role())
        }
        Decision::Pending(code) => Err(*code),
        Decision::Refused(error) => Err(error.code()),
    }
}

const AGENT_STATES: [Option<AgentState>; 4] =
    [None, Some(AgentState::Pending), Some(AgentState::Approved), Some(AgentState::Rejected)];
const GATEWAY_STATES: [Option<GatewayState>; 4] =
    [None, Some(GatewayState::Pending), Some(GatewayState::Approved), Some(GatewayState::Deleted)];
const POLICIES: [UnknownAgents; 3] = [UnknownAgents::Pending, UnknownAgents::Reject, UnknownAgents::Approve];

#[test]
fn g1_every_pair_of_what_a_name_is_and_what_it_asks_to_be_is_decided() {
    for is_agent in AGENT_STATES {
        for is_gateway in GATEWAY_STATES {
            for unknown_agents in POLICIES {
                let facts = Facts {
                    agent: is_agent.map(agent),
                    gateway: is_gateway.map(gateway),
                    unknown_agents,
                    ..Facts::default()
                };
                let as_agent = outcome(&decide(&facts, &knock(Role::Agent, None, "ms1")).0);
                let expected = match (is_gateway, is_agent, unknown_agents) {
                    (Some(_), ..) => Err(Code::RoleNotApproved),
                    (None, Some(AgentState::Approved), _) | (None, None, UnknownAgents::Approve) => Ok(Role::Agent),
                    (None, Some(AgentState::Pending), _) | (None, None, UnknownAgents::Pending) => {
                        Err(Code::AgentPending)
                    }
                    (None, Some(AgentState::Rejected), _) | (None, None, UnknownAgents::Reject) => {
                        Err(Code::NameRejected)
                    }
                };
                assert_eq!(as_agent, expected, "agent: {is_agent:?} {is_gateway:?} {unknown_agents:?}");

                let as_gateway = outcome(&decide(&facts, &knock(Role::Gateway, None, "ms1")).0);
                let expected = match (is_agent, is_gateway) {
                    (Some(AgentState::Rejected), _) => Err(Code::NameRejected),
                    (Some(_), _) => Err(Code::RoleNotApproved),
                    (None, Some(GatewayState::Approved)) => Ok(Role::Gateway),
                    (None, _) => Err(Code::GatewayPending),
                };
                assert_eq!(as_gateway, expected, "gateway: {is_agent:?} {is_gateway:?}");
            }
        }
    }
}

#[test]
fn a_management_server_does_not_knock() {
    let (decision, remember) = decide(&Facts::default(), &knock(Role::ManagementServer, None, "ms1"));
    assert_eq!((outcome(&decision), remember), (Err(Code::RoleUnexpected), Remember::Nothing));
}

#[test]
fn g1_an_unknown_name_is_remembered_as_what_it_asked_to_be_and_only_then() {
    let remembered = |facts: &Facts, role| decide(facts, &knock(role, None, "ms1")).1;
    let unknown = |unknown_agents| Facts { unknown_agents, ..Facts::default() };
    assert_eq!(remembered(&unknown(UnknownAgents::Pending), Role::Gateway), Remember::PendingGateway);
    assert_eq!(remembered(&unknown(UnknownAgents::Pending), Role::Agent), Remember::Agent(AgentState::Pending, None));
    assert_eq!(remembered(&unknown(UnknownAgents::Approve), Role::Agent), Remember::Agent(AgentState::Approved, None));
    assert_eq!(remembered(&unknown(UnknownAgents::Reject), Role::Agent), Remember::Nothing);
    let deleted = Facts { gateway: Some(gateway(GatewayState::Deleted)), ..Facts::default() };
    assert_eq!(remembered(&deleted, Role::Gateway), Remember::PendingGateway);
    assert_eq!(remembered(&deleted, Role::Agent), Remember::Nothing);
}

#[test]
fn g1_a_full_waiting_room_refuses_newcomers_and_keeps_who_waits() {
    let full = Facts { pending: PENDING_LINKS_MAX, ..Facts::default() };
    for role in [Role::Agent, Role::Gateway] {
        let (decision, remember) = decide(&full, &knock(role, None, "ms1"));
        assert_eq!((outcome(&decision), remember), (Err(Code::PendingFull), Remember::Nothing));
    }
    let waiting = Facts { agent: Some(agent(AgentState::Pending)), ..full.clone() };
    assert_eq!(outcome(&decide(&waiting, &knock(Role::Agent, None, "ms1")).0), Err(Code::AgentPending));
    let approving = Facts { unknown_agents: UnknownAgents::Approve, ..full };
    assert_eq!(outcome(&decide(&approving, &knock(Role::Agent, None, "ms1")).0), Ok(Role::Agent));
}

/// Assignments of the node, as lists of names.
const ASSIGNMENTS: [&[&str]; 5] = [&[], &["ms1"], &["ms2", "ms3"], &["ms3", "ms2"], &["gw1", "ms9"]];

fn assignment(names: &[&str]) -> Option<Assignment> {
    let (primary, failover) = names.split_first()?;
    failover.iter().try_fold(Assignment::primary(primary).unwrap(), |all, name| all.failover(name)).ok()
}

#[test]
fn g3_a_gateway_comes_where_it_is_approved_or_assigned_and_never_to_an_excluded_server() {
    for names in ASSIGNMENTS {
        for at in ["ms1", "ms2", "ms4"] {
            for excluded in [false, true] {
                for (via, via_approved) in [(None, false), (Some("gw1"), false), (Some("gw1"), true)] {
                    let facts = Facts {
                        gateway: Some(gateway(GatewayState::Approved)),
                        server: Some(server(excluded)),
                        assignment: assignment(names),
                        via_approved,
                        ..Facts::default()
                    };
                    let at_home = at == "ms1" || names.contains(&at);
                    let expected = match via {
                        _ if excluded => Err(Code::ServerExcluded),
                        None if at_home => Ok(Role::Gateway),
                        Some(via) if via_approved && (at_home || names.contains(&via)) => Ok(Role::Gateway),
                        _ => Err(Code::ParentNotApproved),
                    };
                    let decision = decide(&facts, &knock(Role::Gateway, via, at)).0;
                    assert_eq!(outcome(&decision), expected, "{names:?} {at} {via:?} {via_approved} {excluded}");
                }
            }
        }
    }
}

#[test]
fn an_agent_comes_through_any_approved_gateway_unless_it_is_assigned_others() {
    for names in ASSIGNMENTS {
        for at in ["ms1", "ms2", "ms4"] {
            for (via, via_approved) in [(None, false), (Some("gw1"), false), (Some("gw1"), true), (Some("gw2"), true)] {
                for known in [Some(agent(AgentState::Approved)), None] {
                    let facts = Facts {
                        agent: known,
                        assignment: assignment(names),
                        via_approved,
                        unknown_agents: UnknownAgents::Approve,
                        ..Facts::default()
                    };
                    let allowed = names.is_empty() || names.contains(&via.unwrap_or(at));
                    let expected = match via {
                        Some(_) if !via_approved => Err(Code::AgentElsewhere),
                        _ if allowed => Ok(Role::Agent),
                        _ => Err(Code::AgentElsewhere),
                    };
                    let decision = decide(&facts, &knock(Role::Agent, via, at)).0;
                    assert_eq!(outcome(&decision), expected, "{names:?} {at} {via:?} {via_approved}");
                }
            }
        }
    }
}

#[test]
fn g1_an_operator_gives_a_name_one_role() {
    let known = [name("ms1")];
    let parent = server(false);
    for state in AGENT_STATES {
        let agent = state.map(agent);
        let answer = may_approve_gateway(&name("node"), agent.as_ref(), (&known[0], Some(&parent)), &known);
        assert_eq!(answer.is_err(), state == Some(AgentState::Approved), "{state:?}");
    }
    for state in GATEWAY_STATES {
        let answer = may_approve_agent(&name("node"), state.map(gateway).as_ref());
        assert_eq!(answer.is_err(), state == Some(GatewayState::Approved), "{state:?}");
    }
}

#[test]
fn a_gateway_is_approved_only_for_a_known_server_and_the_refusal_lists_them() {
    let known = [name("ms1"), name("ms2")];
    let error = may_approve_gateway(&name("node"), None, (&name("ms9"), None), &known).unwrap_err();
    assert_eq!((error.code(), error.expected_text()), (Code::ServerUnknown, "ms1, ms2"));
    let error = may_approve_gateway(&name("node"), None, (&known[0], Some(&server(true))), &known).unwrap_err();
    assert_eq!(error.code(), Code::ServerExcluded);
}

#[test]
fn who_waits_unseen_for_seven_days_is_forgotten() {
    let week = 7 * 86_400_000;
    assert_eq!(pending_expired_before(Timestamp::from_unix_millis(week + 5)).unix_millis(), 5);
    assert_eq!(pending_expired_before(Timestamp::from_unix_millis(i64::MIN)).unix_millis(), i64::MIN);
}

/// Every pair of what is known, what the first rule and the default say, where it comes from and with which key: nobody
/// is let in whom neither an operator, nor a rule, nor the default approved, nor with another key than the pinned one.
#[test]
fn g1_h4_nobody_is_approved_without_a_word_of_an_operator_a_rule_or_the_default() {
    let rules = |action: Option<UnknownAgents>| -> std::sync::Arc<[ApprovalRule]> {
        action.map(|action| ApprovalRule::new("rule", "**", action).unwrap()).into_iter().collect()
    };
    let mut approved = 0;
    for state in AGENT_STATES {
        for action in [None, Some(UnknownAgents::Pending), Some(UnknownAgents::Reject), Some(UnknownAgents::Approve)] {
            for unknown_agents in POLICIES {
                for bits in 0..16_u8 {
                    let [is_in, is_not_vias, via_approved, is_pinned] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                    let mut known = state.map(agent);
                    if let Some(known) = known.as_mut().filter(|_| is_pinned) {
                        known.pin = KeyPin::of(crate::group::KeyDemand::Sha256([7; 32]));
                    }
                    let rules = rules(action);
                    let facts =
                        Facts { agent: known, unknown_agents, rules, is_not_vias, via_approved, ..Facts::default() };
                    let knock = Knock { is_in, ..knock(Role::Agent, Some("gw1"), "ms1") };
                    let (decision, remember) = decide(&facts, &knock);
                    let may = match (state, action) {
                        (Some(AgentState::Approved), _) => !is_pinned,
                        (Some(AgentState::Rejected), _) => false,
                        (Some(AgentState::Pending), action) => action == Some(UnknownAgents::Approve),
                        (None, action) => action.unwrap_or(unknown_agents) == UnknownAgents::Approve && !is_in,
                    };
                    let expected = may && via_approved && !is_not_vias;
                    assert_eq!(matches!(decision, Decision::Approved(_)), expected, "{facts:?} {decision:?}");
                    let becomes = matches!(remember, Remember::Agent(AgentState::Approved, _));
                    assert!(!becomes || expected, "{remember:?}");
                    approved += usize::from(expected);
                }
            }
        }
    }
    assert!(approved > 0);
}
