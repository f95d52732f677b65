//! Presence is a lease (issue point 5).

use super::*;
use crate::group::{
    Answer, AssignmentsOperation, Holder, InventoryOperation, NodeFilter, NodePresence, NodeReport, NodeStanding,
    NodeState, Overview, PresenceBatch, Problem, ProblemKind, Renewal, Silence, SiteName, StandbyReport,
};

on_every_engine! {
    what_a_server_writes_of_its_nodes_counts_while_its_lease_does,
    a_server_that_starts_again_takes_back_what_its_earlier_run_claimed,
    a_node_that_moved_belongs_to_the_newer_session_and_an_old_end_does_not_end_it,
    reports_and_silences_of_a_session_that_is_over_change_nothing,
    presence_does_not_move_the_number_of_changes_and_who_is_long_gone_is_forgotten,
    texts_that_a_peer_chose_come_back_as_they_were_or_without_their_nul,
    g3_what_is_assigned_and_deleted_or_excluded_since_is_a_problem_of_the_inventory,
    an_inventory_of_twenty_thousand_agents_is_read_at_once,
}

fn holder(server: &str, start: u64) -> Holder {
    let (address, software) = ("0.0.0.0:5723".to_owned(), "farpost 1".to_owned());
    Holder { server: name(server), address, start, started: at(5), software }
}

fn presence(node: &str, role: Role, via: &[&str], session: u64) -> NodePresence {
    NodePresence {
        name: name(node),
        role,
        via: via.iter().map(|via| name(via)).collect(),
        address: "10.0.0.7:1".to_owned(),
        since: at(100 + session as i64),
        last_heard: at(100),
        session,
    }
}

fn report(of: &NodePresence, delivered: u64) -> NodeReport {
    let json = serde_json::json!({
        "name": of.name.as_str(), "role": of.role as u32, "via": [], "session": of.session, "at": 150, "skipped": 0,
        "software": "farpost 2", "upstream": "ms1", "upstream_code": 0, "upstream_text": "", "since": 100,
        "standbys": [], "queue_messages": 0, "queue_bytes": 0, "oldest": null, "delivered": delivered,
        "certificate_until": null, "assignment_version": 0, "assignment_pending": 0, "agents_connected": 0,
        "agents_silent": 0, "agents_pending": 0,
    });
    serde_json::from_value(json).unwrap()
}

/// A first batch: this server runs, and these are all who are connected.
fn first(server: &str, start: u64, opened: &[NodePresence]) -> PresenceBatch {
    let mut batch = PresenceBatch::of(holder(server, start));
    batch.renewal = Renewal::Renew;
    batch.complete = Some(at(90));
    batch.opened = opened.iter().map(|presence| (presence.clone(), Some(report(presence, 1)))).collect();
    batch.tidy()
}

pub(super) fn overview(store: &mut AnyStore) -> Overview {
    let filter = NodeFilter::default();
    match store.operate(InventoryOperation::Overview { filter }, at(0)).unwrap() {
        Answer::Overview(overview) => *overview,
        other => panic!("{other:?}"),
    }
}

fn standing(store: &mut AnyStore, node: &str) -> NodeStanding {
    overview(store).nodes.into_iter().find(|standing| standing.name.as_str() == node).unwrap()
}

fn group(place: &dyn Place) -> AnyStore {
    let mut store = store_with_servers(place);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(2)).unwrap();
    for agent in ["pc1", "pc2"] {
        store.approve_agent(&name(agent), at(3)).unwrap();
    }
    store
}

fn everybody() -> [NodePresence; 3] {
    [
        presence("gw1", Role::Gateway, &[], 1),
        presence("pc1", Role::Agent, &["gw1"], 2),
        presence("pc2", Role::Agent, &["gw1"], 4),
    ]
}

fn what_a_server_writes_of_its_nodes_counts_while_its_lease_does(place: &dyn Place) {
    let mut store = group(place);
    assert_eq!(standing(&mut store, "gw1").state, NodeState::Disconnected);
    assert_eq!(standing(&mut store, "ms1").state, NodeState::Unknown, "it never had a lease");
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    for node in ["ms1", "gw1", "pc1", "pc2"] {
        assert_eq!(standing(&mut store, node).state, NodeState::Connected, "{node}");
    }
    let session = request("pc1", 7, 1, 1);
    let granted = fence(&mut store, &session);
    store.commit(&[write("pc1", 7, granted, 41)], &[]).unwrap();
    let agent = standing(&mut store, "pc1");
    assert_eq!(agent.cursor.map(|cursor| (cursor.epoch, cursor.through)), Some((Epoch(7), Sequence(41))));
    assert_eq!((agent.via, agent.server, agent.connected_since), (vec![name("gw1")], Some(name("ms1")), Some(at(102))));
    assert_eq!((agent.software.as_str(), agent.delivered), ("farpost 2", 1));
    // The gateway dies with its agents.
    let mut gone = PresenceBatch::of(holder("ms1", 7));
    gone.gone = everybody().map(|presence| NodePresence { last_heard: at(500), ..presence }).into();
    store.keep_presence(&gone).unwrap();
    assert_eq!(
        (standing(&mut store, "pc1").state, standing(&mut store, "gw1").left),
        (NodeState::Unknown, Some(at(500)))
    );
    let problems = overview(&mut store).problems;
    let brief: Vec<_> = problems.iter().map(|problem| (problem.kind, problem.agents)).collect();
    assert_eq!(brief, [(ProblemKind::GatewayGone, 2)]);
    // They come back, and the server dies: nobody else has to write anything.
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    place.execute("UPDATE leases SET until = until - 30001, renewed = renewed - 30001");
    for node in ["gw1", "pc1", "pc2"] {
        let standing = standing(&mut store, node);
        assert_eq!((standing.state, standing.behind), (NodeState::Unknown, Some(name("ms1"))), "{node}");
    }
    let problems = overview(&mut store).problems;
    let brief: Vec<_> = problems.iter().map(|problem| (problem.kind, problem.gateways, problem.agents)).collect();
    assert_eq!(brief, [(ProblemKind::ServerGone, 1, 2)]);
    // One that stops in order does not keep the others waiting.
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    let mut end = PresenceBatch::of(holder("ms1", 7));
    end.renewal = Renewal::End;
    store.keep_presence(&end).unwrap();
    assert_eq!(standing(&mut store, "pc1").state, NodeState::Unknown);
}

fn a_server_that_starts_again_takes_back_what_its_earlier_run_claimed(place: &dyn Place) {
    let mut store = group(place);
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    let [gateway, first_agent, _] = everybody();
    store.keep_presence(&first("ms1", 8, &[gateway, first_agent])).unwrap();
    assert_eq!(standing(&mut store, "pc1").state, NodeState::Connected);
    let left = standing(&mut store, "pc2");
    assert_eq!((left.state, left.left), (NodeState::Disconnected, Some(at(90))));
    // A late word of the earlier run is about nobody.
    let mut late = PresenceBatch::of(holder("ms1", 7));
    late.gone = everybody().into();
    store.keep_presence(&late).unwrap();
    assert_eq!(standing(&mut store, "pc1").state, NodeState::Connected);
}

fn a_node_that_moved_belongs_to_the_newer_session_and_an_old_end_does_not_end_it(place: &dyn Place) {
    let mut store = group(place);
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    let moved = presence("gw1", Role::Gateway, &[], 900);
    store.keep_presence(&first("ms2", 9, std::slice::from_ref(&moved))).unwrap();
    assert_eq!(standing(&mut store, "gw1").server, Some(name("ms2")));
    let mut gone = PresenceBatch::of(holder("ms1", 7));
    gone.gone = vec![NodePresence { last_heard: at(5_000), ..presence("gw1", Role::Gateway, &[], 1) }];
    store.keep_presence(&gone).unwrap();
    let gateway = standing(&mut store, "gw1");
    assert_eq!((gateway.state, gateway.server), (NodeState::Connected, Some(name("ms2"))));
    // Twice at the same server in one batch: the later one, and the end of the earlier one ends nothing.
    let mut twice = PresenceBatch::of(holder("ms2", 9));
    twice.opened =
        vec![(presence("gw1", Role::Gateway, &[], 911), None), (presence("gw1", Role::Gateway, &[], 907), None)];
    twice.gone = vec![presence("gw1", Role::Gateway, &[], 907)];
    store.keep_presence(&twice.tidy()).unwrap();
    let gateway = standing(&mut store, "gw1");
    assert_eq!((gateway.state, gateway.connected_since), (NodeState::Connected, Some(at(1_011))));
}

fn reports_and_silences_of_a_session_that_is_over_change_nothing(place: &dyn Place) {
    let mut store = group(place);
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    let silence = |session, since| Silence { name: name("pc1"), session, since };
    let mut batch = PresenceBatch::of(holder("ms1", 7));
    let mut newer = report(&everybody()[1], 8);
    let (standby, code, text) = (name("gw2"), 2103, "why ' \" \\ 'not'".to_owned());
    newer.standbys = vec![StandbyReport { name: standby, ready: false, code, text, proven: Some(at(70)) }];
    batch.reports = vec![newer.clone(), NodeReport { session: 6, ..report(&everybody()[2], 9) }];
    batch.silences = vec![silence(6, Some(at(200)))];
    store.keep_presence(&batch).unwrap();
    let agent = standing(&mut store, "pc1");
    assert_eq!((agent.state, agent.delivered), (NodeState::Connected, 8));
    assert_eq!((&agent.standbys[0].text, agent.standbys[0].proven), (&newer.standbys[0].text, Some(at(70))));
    assert_eq!(standing(&mut store, "pc2").delivered, 1);
    for (since, expected) in [(Some(at(200)), NodeState::Silent), (None, NodeState::Connected)] {
        let mut batch = PresenceBatch::of(holder("ms1", 7));
        batch.silences = vec![silence(2, since)];
        store.keep_presence(&batch).unwrap();
        assert_eq!(standing(&mut store, "pc1").state, expected);
    }
}

fn presence_does_not_move_the_number_of_changes_and_who_is_long_gone_is_forgotten(place: &dyn Place) {
    let mut store = group(place);
    let change = store.change().unwrap();
    store.keep_presence(&first("ms1", 7, &everybody())).unwrap();
    let mut batch = PresenceBatch::of(holder("ms1", 7));
    batch.gone = vec![everybody()[1].clone(), NodePresence { last_heard: at(300), ..everybody()[2].clone() }];
    batch.forget = Some(at(200));
    store.keep_presence(&batch).unwrap();
    assert_eq!(store.change().unwrap(), change);
    assert_eq!((standing(&mut store, "pc1").left, standing(&mut store, "pc2").left), (None, Some(at(300))));
}

fn texts_that_a_peer_chose_come_back_as_they_were_or_without_their_nul(place: &dyn Place) {
    let mut store = group(place);
    let mut node = everybody()[1].clone();
    node.address = "'); DROP TABLE leases; -- \u{1}é".to_owned();
    let mut batch = first("ms1", 7, std::slice::from_ref(&node));
    if let Some((_, Some(report))) = batch.opened.first_mut() {
        report.software = "nul \0 and {\"json\":1}".to_owned();
    }
    store.keep_presence(&batch).unwrap();
    let agent = standing(&mut store, "pc1");
    assert_eq!((agent.address, agent.software.as_str()), (node.address, "nul \0 and {\"json\":1}"));
}

/// A batch about so many agents of a server: all came, reported and went.
pub(in crate::store) fn crowd(server: &str, agents: usize, round: u64) -> PresenceBatch {
    let of_agent = |agent| presence(&format!("{server}-pc{agent}"), Role::Agent, &["gw1"], 2 * round);
    let opened: Vec<NodePresence> = (0..agents).map(of_agent).collect();
    let mut batch = first(server, 7, &opened);
    batch.complete = None;
    batch.reports = opened.iter().map(|presence| report(presence, round)).collect();
    batch.silences =
        opened.iter().map(|one| Silence { name: one.name.clone(), session: one.session, since: None }).collect();
    batch.gone = opened;
    batch
}

fn g3_what_is_assigned_and_deleted_or_excluded_since_is_a_problem_of_the_inventory(place: &dyn Place) {
    let mut store = group(place);
    let parent = name("gw1");
    store.approve_gateway(&name("gw2"), &parent, at(4)).unwrap();
    let site = SiteName::parse("branch").unwrap();
    let create = AssignmentsOperation::CreateSite { site: site.clone() };
    store.change_group(create, at(5)).unwrap();
    let assignment = Assignment::primary("gw1").unwrap().failover("ms2").unwrap();
    store.assign(&name("pc1"), &assignment).unwrap();
    store.change_group(AssignmentsOperation::AssignSite { site, assignment }, at(6)).unwrap();
    let mut told = || -> Vec<String> {
        let at_fault = |problem: &Problem| {
            let kinds = [ProblemKind::ParentGone, ProblemKind::UpstreamGone, ProblemKind::UpstreamExcluded];
            kinds.contains(&problem.kind)
        };
        let problems = overview(&mut store).problems.into_iter().filter(at_fault);
        problems.map(|one| format!("{} {} {} {}", one.kind, one.gateways, one.agents, one.sites.len())).collect()
    };
    assert_eq!(told(), Vec::<String>::new());
    let mut other = place.open();
    other.set_server_excluded(&name("ms2"), true).unwrap();
    assert_eq!(told(), ["upstream-excluded 0 1 1"]);
    other.delete_gateway(&parent).unwrap();
    assert_eq!(told(), ["parent-gone 1 0 0", "upstream-gone 0 1 1", "upstream-excluded 0 1 1"]);
}

fn an_inventory_of_twenty_thousand_agents_is_read_at_once(place: &dyn Place) {
    let mut store = group(place);
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    let mut batch = crowd("ms1", 20_000, 1);
    batch.gone.clear();
    let knocks: Vec<_> = batch.opened.iter().map(|(one, _)| knock(Role::Agent, one.name.as_str(), None, 5)).collect();
    knocks.chunks(4_096).for_each(|knocks| assert_eq!(store.authorise(knocks).unwrap().len(), knocks.len()));
    store.keep_presence(&batch).unwrap();
    let since = std::time::Instant::now();
    let overview = overview(&mut store);
    let read = since.elapsed();
    let bytes = serde_json::to_vec(&overview).unwrap().len();
    println!("{} nodes in {read:?}, {} bytes of JSON each", overview.nodes.len(), bytes / overview.nodes.len());
    let connected = overview.nodes.iter().filter(|node| node.is_connected()).count();
    assert_eq!(connected, 20_001);
    // A build without optimisation, on a machine that has much else to do, takes some times longer than the two seconds.
    assert!(read < std::time::Duration::from_secs(20) && bytes < 64 << 20, "{read:?}, {bytes} bytes");
}
