//! Approvals, servers, assignments and what a name may be.

use super::*;
use crate::group::AssignmentKey;
use crate::store::asking::Asking as _;

on_every_engine! {
    g1_an_unapproved_gateway_never_becomes_an_agent_by_accident,
    g1_a_gateways_life_from_first_knock_to_deletion_and_back,
    g1_an_agents_life,
    a_new_key_of_an_approved_name_is_remembered_and_not_refused,
    g1_the_waiting_room_is_bounded_per_place_and_is_emptied_after_seven_days,
    g1_g3_a_name_is_a_management_servers_or_a_gateways_and_never_both,
    g2_the_change_counter_moves_with_what_nodes_follow_and_with_nothing_else,
    g2_what_one_process_decides_the_other_sees,
    g3_g6_assignments_are_signed_rise_and_refuse_what_is_excluded_or_unknown,
    a_text_that_looks_like_sql_is_a_text,
}

fn g1_an_unapproved_gateway_never_becomes_an_agent_by_accident(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "gw1", None, 1)), "pending GatewayPending");
    let month = 30 * 86_400_000;
    for when in [2, month] {
        assert_eq!(ask(&mut store, &knock(Role::Agent, "gw1", None, when)), "refused RoleNotApproved");
        // A newcomer makes the store forget those that wait for too long; the name stays known as a gateway's.
        ask(&mut store, &knock(Role::Gateway, &format!("gw-{when}"), None, when));
    }
    let states: Vec<_> = store.gateways().unwrap().iter().map(|gateway| gateway.state).collect();
    assert_eq!(states, [GatewayState::Deleted, GatewayState::Pending, GatewayState::Deleted]);
    assert_eq!(ask(&mut store, &knock(Role::Agent, "gw1", None, month)), "refused RoleNotApproved");
    store.approve_agent(&name("gw1"), at(month)).unwrap();
    assert_eq!(ask(&mut store, &knock(Role::Agent, "gw1", None, month)), "agent");
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "gw1", None, month)), "refused RoleNotApproved");
}

fn g1_a_gateways_life_from_first_knock_to_deletion_and_back(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let gw1 = knock(Role::Gateway, "gw1", None, 5);
    assert_eq!(ask(&mut store, &gw1), "pending GatewayPending");
    let record = store.gateways().unwrap().remove(0);
    assert_eq!((record.state, record.address.as_str()), (GatewayState::Pending, "10.0.0.7:50000"));
    assert_eq!(record.key_fingerprint().unwrap(), "01".repeat(32));
    store.approve_gateway(&name("gw1"), &name("ms1"), at(6)).unwrap();
    assert_eq!(ask(&mut store, &gw1), "gateway");
    let elsewhere = Knock { server: name("ms2"), ..gw1.clone() };
    assert_eq!(ask(&mut store, &elsewhere), "refused ParentNotApproved");
    let assignment = Assignment::primary("ms1").unwrap().failover("ms2").unwrap();
    store.assign(&name("gw1"), &assignment).unwrap();
    assert_eq!(ask(&mut store, &elsewhere), "gateway");
    store.set_server_excluded(&name("ms2"), true).unwrap();
    assert_eq!(ask(&mut store, &elsewhere), "refused ServerExcluded");
    store.delete_gateway(&name("gw1")).unwrap();
    assert_eq!(store.signed_assignments(&[name("gw1")]).unwrap().remove(0), None);
    assert_eq!(ask(&mut store, &Knock { role: Role::Agent, ..gw1.clone() }), "refused RoleNotApproved");
    assert_eq!(ask(&mut store, &gw1), "pending GatewayPending");
    assert_eq!(store.gateways().unwrap()[0].parent, None);
    store.delete_gateway(&name("gw1")).unwrap();
    assert_eq!(store.delete_gateway(&name("gw1")).unwrap_err().code(), Code::NameUnknown);
}

fn g1_an_agents_life(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let pc7 = knock(Role::Agent, "pc7", None, 5);
    assert_eq!(ask(&mut store, &pc7), "pending AgentPending");
    store.approve_agent(&name("pc7"), at(6)).unwrap();
    assert_eq!(ask(&mut store, &pc7), "agent");
    let behind = Knock { via: Some(name("gw1")), ..pc7.clone() };
    assert_eq!(ask(&mut store, &behind), "refused AgentElsewhere");
    store.approve_gateway(&name("gw1"), &name("ms1"), at(6)).unwrap();
    assert_eq!(ask(&mut store, &behind), "agent");
    assert_eq!(store.agents().unwrap()[0].via, Some(name("gw1")));
    store.assign(&name("pc7"), &Assignment::primary("ms1").unwrap()).unwrap();
    assert_eq!(ask(&mut store, &behind), "refused AgentElsewhere");
    store.reject_agent(&name("pc7"), at(7)).unwrap();
    assert_eq!(ask(&mut store, &pc7), "refused NameRejected");
    assert_eq!(ask(&mut store, &Knock { role: Role::Gateway, ..pc7.clone() }), "refused NameRejected");
    assert_eq!(store.agents().unwrap()[0].state, AgentState::Rejected);
    assert_eq!(store.reject_agent(&name("gw1"), at(8)).unwrap_err().code(), Code::RoleNotApproved);
    assert_eq!(store.approve_agent(&name("gw1"), at(8)).unwrap_err().code(), Code::RoleNotApproved);
    assert_eq!(store.approve_gateway(&name("pc7"), &name("ms9"), at(8)).unwrap_err().code(), Code::ServerUnknown);
    store.approve_gateway(&name("pc7"), &name("ms1"), at(8)).unwrap();
    assert!(store.agents().unwrap().is_empty(), "a name has one role");
}

fn a_new_key_of_an_approved_name_is_remembered_and_not_refused(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    let first = knock(Role::Agent, "pc7", None, 5);
    assert_eq!(ask(&mut store, &first), "agent");
    assert_eq!(store.agents().unwrap()[0].key_changed, None);
    let renewed = Knock { key: KeyHash([2; 32]), at: at(9), ..first };
    assert_eq!(ask(&mut store, &renewed), "agent");
    let record = store.agents().unwrap().remove(0);
    assert_eq!((record.key_changed, record.key), (Some(at(9)), Some(KeyHash([2; 32]))));
}

fn g1_the_waiting_room_is_bounded_per_place_and_is_emptied_after_seven_days(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let crowd: Vec<_> =
        (0..crate::limits::PENDING_LINKS_MAX).map(|n| knock(Role::Agent, &format!("pc{n}"), Some("gw1"), 1)).collect();
    assert!(store.authorise(&crowd).unwrap().iter().all(|decision| word(decision) == "pending AgentPending"));
    let late = |via, when| knock(Role::Agent, "late", via, when);
    assert_eq!(ask(&mut store, &late(Some("gw1"), 2)), "refused PendingFull");
    assert_eq!(ask(&mut store, &crowd[0]), "pending AgentPending");
    assert_eq!(ask(&mut store, &late(Some("gw2"), 2)), "pending AgentPending");
    assert_eq!(ask(&mut store, &knock(Role::Agent, "direct", None, 2)), "pending AgentPending");
    let week = 7 * 86_400_000;
    assert_eq!(ask(&mut store, &knock(Role::Agent, "later", Some("gw1"), week + 3)), "pending AgentPending");
    assert_eq!(store.agents().unwrap().len(), 1);
}

fn g2_the_change_counter_moves_with_what_nodes_follow_and_with_nothing_else(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let mut before = store.change().unwrap();
    let mut step = |store: &mut AnyStore, what: &str, expected: bool| {
        let after = store.change().unwrap();
        assert_eq!(after > before, expected, "{what}: {before} to {after}");
        before = after;
    };
    let pc7 = knock(Role::Agent, "pc7", None, 5);
    ask(&mut store, &pc7);
    step(&mut store, "a new name", true);
    ask(&mut store, &Knock { at: at(6), ..pc7.clone() });
    step(&mut store, "seen again", false);
    store.approve_agent(&name("pc7"), at(6)).unwrap();
    step(&mut store, "approved", true);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(6)).unwrap();
    step(&mut store, "gateway approved", true);
    store.assign(&name("gw1"), &Assignment::primary("ms1").unwrap()).unwrap();
    step(&mut store, "assigned", true);
    store.send_down(&name("pc7"), b"x", at(6)).unwrap();
    step(&mut store, "sent down", true);
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    store.commit(&[write("pc7", 7, fence, 9)], &[]).unwrap();
    store.down_delivered(&name("pc7"), fence, 1, at(9)).unwrap();
    store.commit_with_output(&[], &OutputPosition { server: name("ms1"), path: "/out".to_owned(), length: 5 }).unwrap();
    store.register_server(&name("ms1"), "0.0.0.0:5723", at(9)).unwrap();
    step(&mut store, "session, cursor, presence", false);
    store.set_server_excluded(&name("ms2"), true).unwrap();
    step(&mut store, "excluded", true);
    store.set_server_excluded(&name("ms2"), true).unwrap();
    step(&mut store, "excluded already", false);
    store.reject_agent(&name("pc7"), at(9)).unwrap();
    step(&mut store, "rejected", true);
    store.delete_gateway(&name("gw1")).unwrap();
    step(&mut store, "deleted", true);
    store.set_unknown_agents(UnknownAgents::Reject).unwrap();
    step(&mut store, "rule for unknown agents", true);
}

fn g2_what_one_process_decides_the_other_sees(place: &dyn Place) {
    let (mut one, mut other) = (store_with_servers(place), place.open());
    let before = other.change().unwrap();
    assert_eq!(ask(&mut one, &knock(Role::Agent, "pc7", None, 1)), "pending AgentPending");
    other.approve_agent(&name("pc7"), at(2)).unwrap();
    assert!(one.change().unwrap() > before);
    assert_eq!(ask(&mut one, &knock(Role::Agent, "pc7", None, 3)), "agent");
}

fn g3_g6_assignments_are_signed_rise_and_refuse_what_is_excluded_or_unknown(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let both = Assignment::primary("ms1").unwrap().failover("ms2").unwrap();
    assert_eq!(store.assign(&name("gw1"), &both).unwrap_err().code(), Code::NameUnknown);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    let key: AssignmentKey = store.assignment_key().unwrap();
    for version in 1..=2 {
        store.assign(&name("gw1"), &both).unwrap();
        let signed = store.signed_assignments(&[name("gw1")]).unwrap().remove(0).unwrap();
        assert_eq!(key.verify("CORP", &name("gw1"), &signed).unwrap(), (version, Some(both.clone())));
    }
    store.delete_gateway(&name("gw1")).unwrap();
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    store.assign(&name("gw1"), &both).unwrap();
    let signed = store.signed_assignments(&[name("gw1")]).unwrap().remove(0).unwrap();
    assert_eq!(key.verify("CORP", &name("gw1"), &signed).unwrap().0, 3, "a version is never used again");
    store.assign(&name("pc7"), &Assignment::primary("gw1").unwrap()).unwrap();
    let unknown = Assignment::primary("ms1").unwrap().failover("ms9").unwrap();
    let error = store.assign(&name("pc7"), &unknown).unwrap_err();
    assert_eq!((error.code(), error.expected_text()), (Code::ServerUnknown, "ms1, ms2; or a gateway of the group"));
    store.set_server_excluded(&name("ms2"), true).unwrap();
    assert_eq!(store.assign(&name("gw1"), &both).unwrap_err().code(), Code::ServerExcluded);
    let error = store.approve_gateway(&name("gw2"), &name("ms2"), at(1)).unwrap_err();
    assert_eq!(error.code(), Code::ServerExcluded);
    assert_eq!(store.set_server_excluded(&name("ms9"), true).unwrap_err().code(), Code::ServerUnknown);
}

fn a_text_that_looks_like_sql_is_a_text(place: &dyn Place) {
    let mut store = store_with_servers(place);
    let evil = "'; DROP TABLE agents; --\u{202e}\"";
    let knock = Knock { address: evil.to_owned(), software: evil.to_owned(), ..knock(Role::Agent, "pc7", None, 1) };
    assert_eq!(ask(&mut store, &knock), "pending AgentPending");
    store.register_server(&name("ms1"), evil, at(1)).unwrap();
    let output = OutputPosition { server: name("ms1"), path: evil.to_owned(), length: u64::MAX };
    store.commit_with_output(&[], &output).unwrap();
    let record = store.agents().unwrap().remove(0);
    assert_eq!((record.address.as_str(), record.software.as_str()), (evil, evil));
    assert_eq!(store.servers().unwrap()[0].address, evil);
    assert_eq!(store.output_position(&name("ms1"), evil).unwrap(), Some(u64::MAX));
    // What a database may be unable to keep as it is costs nobody an answer.
    let nul = Knock { software: "1.0\0".to_owned(), at: at(2), ..knock };
    assert_eq!(ask(&mut store, &nul), "pending AgentPending");
    assert!(store.agents().unwrap().remove(0).software.starts_with("1.0"));
}

fn g1_g3_a_name_is_a_management_servers_or_a_gateways_and_never_both(place: &dyn Place) {
    let mut store = store_with_servers(place);
    for parent in ["ms1", "ms2"] {
        let error = store.approve_gateway(&name("ms2"), &name(parent), at(1)).unwrap_err();
        assert_eq!(error.code(), Code::RoleNotApproved, "{parent}");
    }
    assert!(store.gateways().unwrap().is_empty());
    store.approve_gateway(&name("gw1"), &name("ms1"), at(2)).unwrap();
    assert_eq!(store.register_server(&name("gw1"), "10.0.0.9:5723", at(3)).unwrap_err().code(), Code::RoleNotApproved);
    store.delete_gateway(&name("gw1")).unwrap();
    store.register_server(&name("gw1"), "10.0.0.9:5723", at(4)).unwrap();
}
