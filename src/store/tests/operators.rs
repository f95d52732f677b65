//! Operators: who they are, what they may, and whose name is whose (rules G1, G2, G4).

use super::*;
use crate::group::{
    Access, Answer, ApprovalsOperation, AuditOperation, Author, AuthorKind, By, InventoryOperation, Operation,
    OperatorRecord, OperatorState, OperatorsOperation,
};
use crate::store::asking::Asking as _;

on_every_engine! {
    g1_an_operators_life,
    g1_an_operators_pinned_key_moves_to_the_renewed_one_when_it_first_comes_with_it,
    g1_a_nodes_name_becomes_no_operators_and_an_operators_no_nodes,
    g1_a_servers_name_becomes_no_gateways_and_no_agents,
    g2_what_an_operator_may_is_looked_at_in_the_transaction_of_what_it_asks,
    g4_every_change_of_an_operator_is_in_the_audit_log_with_the_name_it_proved,
}

fn approve(store: &mut AnyStore, who: &str, access: Access, key: Option<u8>) -> Result<(), Code> {
    let key = key.map(|byte| KeyHash([byte; 32]));
    let approve = OperatorsOperation::ApproveOperator { operator: name(who), access, key };
    store.change_group(approve, at(1)).map_err(|error| error.code())
}

fn operators(store: &mut AnyStore) -> Vec<OperatorRecord> {
    match store.operate(OperatorsOperation::Operators, at(1)).unwrap() {
        Answer::Operators(operators) => operators,
        other => panic!("{other:?}"),
    }
}

/// From afar, as this operator.
fn from_afar(store: &mut AnyStore, who: &str, operation: impl Into<Operation>) -> Result<Answer, Code> {
    let by = By { author: Author::operator(who, "10.0.0.9:50000 at ms1"), at: at(9) };
    store.perform(&operation.into(), &by).map_err(|error| error.code())
}

fn g1_an_operators_life(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let ann = knock(Role::Operator, "ann", None, 5);
    assert_eq!(ask(&mut store, &ann), "refused OperatorUnknown");
    assert_eq!(operators(&mut store), [], "who knocks is not remembered by that");
    let before = store.change().unwrap();
    approve(&mut store, "ann", Access::Full, None).unwrap();
    assert!(store.change().unwrap() > before, "links are looked at again");
    assert_eq!(ask(&mut store, &ann), "operator");
    let record = operators(&mut store).remove(0);
    assert_eq!((record.state, record.access), (OperatorState::Approved, Access::Full));
    assert_eq!((record.since, record.first_seen, record.last_seen), (at(1), Some(at(5)), Some(at(5))));
    assert_eq!((record.address.as_str(), record.server), ("10.0.0.7:50000", Some(name("ms1"))));
    approve(&mut store, "ann", Access::ReadOnly, Some(2)).unwrap();
    assert_eq!(ask(&mut store, &ann), "refused OperatorKeyMismatch");
    approve(&mut store, "ann", Access::ReadOnly, Some(1)).unwrap();
    assert_eq!(ask(&mut store, &ann), "operator");
    assert_eq!(operators(&mut store)[0].pinned_key_fingerprint(), Some("01".repeat(32)));
    store.change_group(OperatorsOperation::RejectOperator { operator: name("ann") }, at(6)).unwrap();
    assert_eq!(ask(&mut store, &ann), "refused NameRejected");
    store.change_group(OperatorsOperation::DeleteOperator { operator: name("ann") }, at(7)).unwrap();
    assert_eq!(ask(&mut store, &ann), "refused OperatorUnknown");
    let again = store.change_group(OperatorsOperation::DeleteOperator { operator: name("ann") }, at(7));
    assert_eq!(again.unwrap_err().code(), Code::NameUnknown);
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    assert_eq!(ask(&mut store, &ann), "refused OperatorUnknown", "whatever becomes of unknown agents");
}

fn g1_an_operators_pinned_key_moves_to_the_renewed_one_when_it_first_comes_with_it(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let come = |store: &mut AnyStore, key: u8| {
        ask(store, &Knock { key: KeyHash([key; 32]), ..knock(Role::Operator, "ann", None, 5) }) == "operator"
    };
    let renewed = |store: &mut AnyStore, key: u8| {
        store.key_renewed(Role::Operator, &name("ann"), KeyHash([key; 32])).unwrap();
    };
    let pins = |store: &mut AnyStore| {
        let all = AuditOperation::Entries { since: at(0), above: 0, limit: u64::MAX };
        match store.operate(all, at(0)).unwrap() {
            Answer::Audit(entries) => entries.iter().filter(|entry| &*entry.action == "pin key").count(),
            other => panic!("{other:?}"),
        }
    };
    renewed(&mut store, 2);
    assert_eq!(operators(&mut store), [], "nobody becomes an operator by a certificate");
    approve(&mut store, "ann", Access::Full, Some(1)).unwrap();
    renewed(&mut store, 2);
    assert!(come(&mut store, 1), "the answer may have been lost");
    assert_eq!(operators(&mut store)[0].pinned_key_fingerprint(), Some("01".repeat(32)));
    renewed(&mut store, 3);
    assert!(!come(&mut store, 2), "which was asked for again, with another key");
    assert_eq!(pins(&mut store), 0);
    assert!(come(&mut store, 3));
    assert_eq!(pins(&mut store), 1);
    assert_eq!(operators(&mut store)[0].pinned_key_fingerprint(), Some("03".repeat(32)));
    assert!(!come(&mut store, 1) && come(&mut store, 3));
    renewed(&mut store, 4);
    approve(&mut store, "ann", Access::Full, Some(3)).unwrap();
    assert!(!come(&mut store, 4), "who pins a key by hand pins that one alone");
    approve(&mut store, "ann", Access::Full, None).unwrap();
    renewed(&mut store, 5);
    assert_eq!(operators(&mut store)[0].pinned_key_fingerprint(), None, "who is not pinned stays so");
}

fn g1_a_servers_name_becomes_no_gateways_and_no_agents(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let change = store.change().unwrap();
    let refused = |result: crate::error::Result<()>| {
        let error = result.unwrap_err();
        assert_eq!((error.code(), error.found_text()), (Code::RoleNotApproved, "a management server"));
    };
    refused(store.approve_agent(&name("ms1"), at(2)));
    refused(store.approve_gateway(&name("ms2"), &name("ms1"), at(2)));
    assert_eq!(store.change().unwrap(), change);
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    for role in [Role::Agent, Role::Gateway] {
        assert_eq!(ask(&mut store, &knock(role, "ms1", None, 3)), "refused RoleNotApproved", "{role}");
    }
    assert!(store.agents().unwrap().is_empty() && store.gateways().unwrap().is_empty());
    // What an earlier release let in stays in until somebody decides otherwise.
    store.approve_agent(&name("pc1"), at(4)).unwrap();
    store.register_server(&name("pc1"), "0.0.0.0:5723", at(5)).unwrap();
    assert_eq!(ask(&mut store, &knock(Role::Agent, "pc1", None, 6)), "agent");
}

fn g1_a_nodes_name_becomes_no_operators_and_an_operators_no_nodes(place: &dyn Place) {
    let mut store = store_with_servers(place);
    ask(&mut store, &knock(Role::Gateway, "gw1", None, 1));
    ask(&mut store, &knock(Role::Agent, "pc1", None, 1));
    store.reject_agent(&name("pc2"), at(1)).unwrap();
    for node in ["gw1", "pc1", "pc2", "ms1"] {
        assert_eq!(approve(&mut store, node, Access::Full, None), Err(Code::RoleNotApproved), "{node}");
        assert_eq!(ask(&mut store, &knock(Role::Operator, node, None, 2)), "refused RoleNotApproved", "{node}");
    }
    approve(&mut store, "ann", Access::Full, None).unwrap();
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    for role in [Role::Agent, Role::Gateway] {
        assert_eq!(ask(&mut store, &knock(role, "ann", None, 2)), "refused RoleNotApproved");
    }
    let code = |result: crate::error::Result<()>| result.unwrap_err().code();
    assert_eq!(code(store.approve_agent(&name("ann"), at(2))), Code::RoleNotApproved);
    assert_eq!(code(store.reject_agent(&name("ann"), at(2))), Code::RoleNotApproved);
    assert_eq!(code(store.approve_gateway(&name("ann"), &name("ms1"), at(2))), Code::RoleNotApproved);
    assert_eq!(code(store.register_server(&name("ann"), "10.0.0.1:5723", at(2))), Code::RoleNotApproved);
    let nodes: Vec<_> = store.agents().unwrap().into_iter().map(|agent| agent.name).collect();
    assert_eq!(nodes, [name("pc1"), name("pc2")]);
}

fn g2_what_an_operator_may_is_looked_at_in_the_transaction_of_what_it_asks(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let change = || ApprovalsOperation::ApproveAgent { agent: name("pc7") };
    let question = InventoryOperation::Inventory;
    assert_eq!(from_afar(&mut store, "ann", question.clone()), Err(Code::OperatorUnknown));
    approve(&mut store, "ann", Access::ReadOnly, None).unwrap();
    assert!(from_afar(&mut store, "ann", question.clone()).is_ok());
    assert_eq!(from_afar(&mut store, "ann", change()), Err(Code::OperatorReadOnly));
    assert_eq!(from_afar(&mut store, "ann", OperatorsOperation::Operators), Err(Code::OperatorReadOnly));
    let more = OperatorsOperation::ApproveOperator { operator: name("ann"), access: Access::Full, key: None };
    assert_eq!(from_afar(&mut store, "ann", more), Err(Code::OperatorReadOnly), "nobody gives itself more");
    assert_eq!(store.agents().unwrap(), [], "nothing was done");
    approve(&mut store, "ann", Access::Full, None).unwrap();
    assert_eq!(from_afar(&mut store, "ann", change()), Ok(Answer::Done));
    let deliveries = InventoryOperation::Deliveries { above: 0, limit: 1 };
    assert_eq!(from_afar(&mut store, "ann", deliveries), Err(Code::OperationLocal));
    store.change_group(OperatorsOperation::RejectOperator { operator: name("ann") }, at(6)).unwrap();
    assert_eq!(from_afar(&mut store, "ann", change()), Err(Code::NameRejected));
    assert_eq!(from_afar(&mut store, "ann", question), Err(Code::NameRejected));
    // Other names are no operators for being known.
    assert_eq!(from_afar(&mut store, "pc7", change()), Err(Code::OperatorUnknown));
    assert_eq!(from_afar(&mut store, "ms1", change()), Err(Code::OperatorUnknown));
}

fn g4_every_change_of_an_operator_is_in_the_audit_log_with_the_name_it_proved(place: &dyn Place) {
    let mut store = store_with_servers(place);
    approve(&mut store, "ann", Access::Full, None).unwrap();
    let bob = OperatorsOperation::ApproveOperator { operator: name("bob"), access: Access::ReadOnly, key: None };
    from_afar(&mut store, "ann", bob).unwrap();
    from_afar(&mut store, "ann", OperatorsOperation::DeleteOperator { operator: name("bob") }).unwrap();
    from_afar(&mut store, "ann", ApprovalsOperation::ApproveAgent { agent: name("pc7") }).unwrap();
    let entries = crate::group::AuditOperation::Entries { since: at(0), above: 0, limit: 100 };
    let Answer::Audit(entries) = store.operate(entries, at(9)).unwrap() else { panic!() };
    let of_ann: Vec<_> = entries.iter().filter(|entry| entry.author.kind == AuthorKind::Operator).collect();
    let told: Vec<_> = of_ann.iter().map(|entry| (entry.action.as_str(), entry.subject.as_str())).collect();
    assert_eq!(told, [("approve operator", "bob"), ("delete operator", "bob"), ("approve agent", "pc7")]);
    for entry in &of_ann {
        assert_eq!((entry.author.name.as_str(), entry.author.from.as_str()), ("ann", "10.0.0.9:50000 at ms1"));
    }
    assert!(of_ann[0].after.as_ref().unwrap().contains("read-only") && of_ann[0].before.is_none());
    assert!(of_ann[1].before.as_ref().unwrap().contains("read-only") && of_ann[1].after.is_none());
}
