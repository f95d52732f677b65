//! Management servers that are taken out of service and deleted (rules G1, G3, G4).

use super::*;
use crate::group::{
    Answer, AssignmentTarget, AssignmentsOperation, Holder, InventoryOperation, NodeFilter, NodePresence, NodeState,
    Overview, PresenceBatch, Renewal, ServerRecord, SiteName,
};
use crate::limits::PROBLEM_NAMES_MAX;

on_every_engine! {
    g1_g4_a_deleted_server_is_gone_and_its_name_is_anybodys,
    a_server_is_deleted_when_its_lease_is_over_and_not_before,
    g3_a_server_that_anybody_names_is_not_deleted_and_they_are_told,
    what_a_deleted_server_said_of_its_nodes_stays_readable_until_it_is_old,
    a_deleted_server_that_comes_back_is_a_new_one,
    g1_a_server_that_was_deleted_while_it_ran_comes_back_unless_its_name_is_anothers,
    the_deletion_of_a_server_is_a_change_that_the_group_follows_and_a_refused_one_is_none,
}

fn delete(store: &mut AnyStore, server: &str) -> crate::error::Result<ServerRecord> {
    match store.operate(AssignmentsOperation::DeleteServer { server: name(server) }, at(70))? {
        Answer::Server(record) => Ok(record),
        other => panic!("{other:?}"),
    }
}

fn names(store: &mut AnyStore) -> Vec<String> {
    store.servers().unwrap().into_iter().map(|server| server.name.to_string()).collect()
}

fn batch(server: &str, start: u64) -> PresenceBatch {
    let (address, software) = ("10.0.0.9:5723".to_owned(), "farpost 1".to_owned());
    let mut batch = PresenceBatch::of(Holder { server: name(server), address, start, started: at(5), software });
    batch.renewal = Renewal::Renew;
    batch
}

fn overview(store: &mut AnyStore) -> Overview {
    match store.operate(InventoryOperation::Overview { filter: NodeFilter::default() }, at(0)).unwrap() {
        Answer::Overview(overview) => *overview,
        other => panic!("{other:?}"),
    }
}

/// As if nobody had heard of any server for longer than a lease.
fn leases_run_out(place: &dyn Place) {
    place.execute("UPDATE leases SET until = until - 30001, renewed = renewed - 30001");
}

fn g1_g4_a_deleted_server_is_gone_and_its_name_is_anybodys(place: &dyn Place) {
    let mut store = store_with_servers(place);
    for refused in [store.approve_gateway(&name("ms2"), &name("ms1"), at(2)), store.approve_agent(&name("ms2"), at(2))]
    {
        assert_eq!(refused.unwrap_err().code(), Code::RoleNotApproved);
    }
    let deleted = delete(&mut store, "ms2").unwrap();
    assert_eq!((deleted.name.as_str(), deleted.address.as_str(), deleted.excluded), ("ms2", "0.0.0.0:5723", false));
    assert_eq!(names(&mut store), ["ms1"]);
    let entry = store.audited().unwrap().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.subject.as_str(), entry.after), ("delete server", "ms2", None));
    let before: serde_json::Value = serde_json::from_str(&entry.before.unwrap()).unwrap();
    assert_eq!((&before["name"], &before["address"]), (&"ms2".into(), &"0.0.0.0:5723".into()));
    // It is as unknown as one that never was, and so is what is no server.
    store.approve_agent(&name("pc1"), at(3)).unwrap();
    for unknown in ["ms2", "ms9", "pc1"] {
        let error = delete(&mut store, unknown).unwrap_err();
        assert_eq!((error.code(), error.expected_text()), (Code::ServerUnknown, "ms1"), "{unknown}");
    }
    assert_eq!(
        store.assign(&name("pc1"), &Assignment::primary("ms2").unwrap()).unwrap_err().code(),
        Code::ServerUnknown
    );

    store.approve_gateway(&name("ms2"), &name("ms1"), at(4)).unwrap();
    assert_eq!(ask(&mut store, &knock(Role::Gateway, "ms2", None, 5)), "gateway");
    store.delete_gateway(&name("ms2")).unwrap();
    delete(&mut store, "ms1").unwrap();
    store.approve_agent(&name("ms1"), at(6)).unwrap();
    assert_eq!(names(&mut store), Vec::<String>::new());
}

fn a_server_is_deleted_when_its_lease_is_over_and_not_before(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.keep_presence(&batch("ms2", 7)).unwrap();
    let error = delete(&mut store, "ms2").unwrap_err();
    assert_eq!((error.code(), error.subject_text()), (Code::ServerRuns, "ms2"));
    let found = error.found_text();
    assert!(found.contains(&at(5).to_string()) && found.contains("said so last at 20"), "{found}");
    let words: Vec<&str> = error.remedy_text().split(' ').collect();
    let seconds: u32 = words[words.len() - 2].parse().unwrap();
    assert!((1..=30).contains(&seconds), "{}", error.remedy_text());
    assert_eq!(names(&mut store), ["ms1", "ms2"]);
    // The other one has no lease, and this one's protects nobody else.
    delete(&mut store, "ms1").unwrap();
    leases_run_out(place);
    delete(&mut store, "ms2").unwrap();
    // One that stops in order, at once.
    store.register_server(&name("ms3"), "0.0.0.0:5723", at(2)).unwrap();
    store.keep_presence(&batch("ms3", 7)).unwrap();
    assert_eq!(delete(&mut store, "ms3").unwrap_err().code(), Code::ServerRuns);
    let mut end = batch("ms3", 7);
    end.renewal = Renewal::End;
    store.keep_presence(&end).unwrap();
    delete(&mut store, "ms3").unwrap();
    assert_eq!(names(&mut store), Vec::<String>::new());
}

fn g3_a_server_that_anybody_names_is_not_deleted_and_they_are_told(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.register_server(&name("ms3"), "0.0.0.0:5723", at(1)).unwrap();
    let many = PROBLEM_NAMES_MAX + 3;
    let site = SiteName::parse("branch").unwrap();
    store.approve_gateway(&name("gw1"), &name("ms2"), at(2)).unwrap();
    store.change_group(AssignmentsOperation::CreateSite { site: site.clone() }, at(3)).unwrap();
    let as_failover = Assignment::primary("ms1").unwrap().failover("ms2").unwrap();
    store
        .change_group(AssignmentsOperation::AssignSite { site: site.clone(), assignment: as_failover.clone() }, at(3))
        .unwrap();
    for agent in 0..many {
        let agent = name(&format!("pc{agent:02}"));
        store.approve_agent(&agent, at(2)).unwrap();
        store.assign(&agent, &as_failover).unwrap();
    }
    let found = |store: &mut AnyStore| {
        let error = delete(store, "ms2").unwrap_err();
        assert_eq!((error.code(), error.subject_text()), (Code::ServerAssigned, "ms2"));
        error.found_text().to_owned()
    };
    let listed: Vec<String> = (0..PROBLEM_NAMES_MAX).map(|agent| format!("pc{agent:02}")).collect();
    let all = format!(
        "gateways are approved for it: gw1; it is assigned to {} and 3 more; it is assigned to the sites branch",
        listed.join(", ")
    );
    assert_eq!(found(&mut store), all);
    // Each of them alone is enough.
    for agent in 0..many {
        let target = AssignmentTarget::Node(name(&format!("pc{agent:02}")));
        store.change_group(AssignmentsOperation::Withdraw { target }, at(4)).unwrap();
    }
    assert_eq!(found(&mut store), "gateways are approved for it: gw1; it is assigned to the sites branch");
    store.approve_gateway(&name("gw1"), &name("ms1"), at(5)).unwrap();
    assert_eq!(found(&mut store), "it is assigned to the sites branch");
    let target = AssignmentTarget::Site(site);
    store.change_group(AssignmentsOperation::Withdraw { target }, at(6)).unwrap();
    store.assign(&name("gw1"), &Assignment::primary("ms2").unwrap()).unwrap();
    assert_eq!(found(&mut store), "it is assigned to gw1");
    // A gateway that is deleted names nobody any more.
    store.delete_gateway(&name("gw1")).unwrap();
    delete(&mut store, "ms2").unwrap();
    assert_eq!(names(&mut store), ["ms1", "ms3"]);
}

fn what_a_deleted_server_said_of_its_nodes_stays_readable_until_it_is_old(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.approve_agent(&name("pc1"), at(2)).unwrap();
    let mut connected = batch("ms2", 7);
    let presence = NodePresence {
        name: name("pc1"),
        role: Role::Agent,
        via: Vec::new(),
        address: "10.0.0.7:1".to_owned(),
        since: at(100),
        last_heard: at(100),
        session: 1,
    };
    connected.opened = vec![(presence, None)];
    store.keep_presence(&connected).unwrap();
    leases_run_out(place);
    let standing = |store: &mut AnyStore| {
        let found = overview(store).nodes.into_iter().find(|node| node.name.as_str() == "pc1").unwrap();
        (found.state, found.server, found.behind)
    };
    assert_eq!(standing(&mut store), (NodeState::Unknown, Some(name("ms2")), Some(name("ms2"))));
    delete(&mut store, "ms2").unwrap();
    assert_eq!(standing(&mut store), (NodeState::Disconnected, Some(name("ms2")), None));
    assert!(overview(&mut store).nodes.iter().all(|node| node.name.as_str() != "ms2"));
    // It cannot forget this itself: another one does, when it would have.
    let mut other = batch("ms1", 8);
    other.forget = Some(at(50));
    store.keep_presence(&other).unwrap();
    assert_eq!(standing(&mut store).1, Some(name("ms2")));
    other.forget = Some(Timestamp::from_unix_millis(i64::MAX));
    store.keep_presence(&other).unwrap();
    assert_eq!(standing(&mut store), (NodeState::Disconnected, None, None));
    // Not those of a server that is there.
    assert_eq!(overview(&mut store).nodes.into_iter().next().unwrap().state, NodeState::Connected);
}

fn a_deleted_server_that_comes_back_is_a_new_one(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.set_server_excluded(&name("ms2"), true).unwrap();
    let deleted = delete(&mut store, "ms2").unwrap();
    assert!(deleted.excluded, "whoever deletes it is told");
    let before = store.audited().unwrap().pop().unwrap().before.unwrap();
    assert!(before.contains("\"excluded\":true"), "{before}");
    store.register_server(&name("ms2"), "10.0.0.2:5723", at(80)).unwrap();
    let back = store.servers().unwrap().pop().unwrap();
    assert_eq!((back.name.as_str(), back.address.as_str(), back.excluded), ("ms2", "10.0.0.2:5723", false));
    assert_eq!(store.audited().unwrap().pop().unwrap().action, "register server");
    // Not if its name is a gateway's by then.
    delete(&mut store, "ms2").unwrap();
    store.approve_gateway(&name("ms2"), &name("ms1"), at(81)).unwrap();
    let error = store.register_server(&name("ms2"), "10.0.0.2:5723", at(82)).unwrap_err();
    assert_eq!((error.code(), error.found_text()), (Code::RoleNotApproved, "an approved gateway"));
}

fn g1_a_server_that_was_deleted_while_it_ran_comes_back_unless_its_name_is_anothers(place: &dyn Place) {
    let mut store = store_with_servers(place);
    // It did not reach the store for longer than its lease.
    store.keep_presence(&batch("ms2", 7)).unwrap();
    leases_run_out(place);
    delete(&mut store, "ms2").unwrap();
    store.keep_presence(&batch("ms2", 7)).unwrap();
    let back = store.servers().unwrap().pop().unwrap();
    assert_eq!((back.name.as_str(), back.address.as_str()), ("ms2", "10.0.0.9:5723"));
    assert_eq!(store.audited().unwrap().pop().unwrap().action, "register server");
    let entries = store.audited().unwrap().len();
    store.keep_presence(&batch("ms2", 7)).unwrap();
    assert_eq!(store.audited().unwrap().len(), entries, "once");

    leases_run_out(place);
    delete(&mut store, "ms2").unwrap();
    store.approve_gateway(&name("ms2"), &name("ms1"), at(81)).unwrap();
    assert_eq!(store.keep_presence(&batch("ms2", 7)).unwrap_err().code(), Code::RoleNotApproved);
    assert_eq!(names(&mut store), ["ms1"]);
    // Nothing of it counts.
    store.delete_gateway(&name("ms2")).unwrap();
    store.register_server(&name("ms2"), "", at(83)).unwrap();
    delete(&mut store, "ms2").unwrap();
}

fn the_deletion_of_a_server_is_a_change_that_the_group_follows_and_a_refused_one_is_none(place: &dyn Place) {
    let mut store = store_with_servers(place);
    store.keep_presence(&batch("ms1", 7)).unwrap();
    store.approve_gateway(&name("gw1"), &name("ms1"), at(2)).unwrap();
    let (change, entries) = (store.change().unwrap(), store.audited().unwrap().len());
    for server in ["ms1", "ms9"] {
        delete(&mut store, server).unwrap_err();
    }
    leases_run_out(place);
    delete(&mut store, "ms1").unwrap_err();
    assert_eq!((store.change().unwrap(), store.audited().unwrap().len()), (change, entries));
    delete(&mut store, "ms2").unwrap();
    let mut other = place.open();
    assert!(other.change().unwrap() > change);
    assert_eq!(names(&mut other), ["ms1"]);
}
