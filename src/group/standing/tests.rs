use super::testing::*;
use super::*;
use crate::group::NamePattern;

#[test]
fn who_is_claimed_by_a_server_with_a_lease_is_connected_with_all_that_it_reported() {
    let mut facts = facts();
    facts.assign("gw1", 3, "ms1", &["ms2"]);
    facts.report("gw1").assignment_version = 2;
    facts.report("gw1").agents_connected = 2;
    let standings = facts.standings();
    let all = ["ms1", "ms2", "gw1", "gw2", "pc1", "pc2", "pc3"].map(|node| (node, NodeState::Connected));
    assert_eq!(states(&standings), all);
    let gateway = standing(&standings, "gw1");
    assert_eq!((gateway.assignment, gateway.assignment_held, gateway.agents_connected), (3, 2, 2));
    assert_eq!(gateway.assigned.iter().map(|upstream| upstream.name().as_str()).collect::<Vec<_>>(), ["ms1", "ms2"]);
    assert_eq!((gateway.software.as_str(), gateway.address.as_str()), ("farpost 1", "10.0.0.3:4000"));
    assert_eq!((gateway.connected_since, gateway.last_heard), (Some(at(100)), Some(at(NOW - 5))));
    assert!(gateway.standbys[0].ready);
    let agent = standing(&standings, "pc3");
    assert_eq!((agent.via.as_slice(), &agent.server), (&[name("gw2")][..], &Some(name("ms1"))));
}

#[test]
fn the_claims_of_a_server_that_does_not_renew_its_lease_do_not_count() {
    let mut facts = facts();
    facts.kill_server("ms1");
    facts.presences.push(present("pc3", Role::Agent, &[], "ms2"));
    let standings = facts.standings();
    let server = standing(&standings, "ms1");
    assert_eq!((server.state, server.left), (NodeState::Disconnected, Some(at(NOW - 60))));
    for node in ["gw1", "gw2", "pc1", "pc2"] {
        let node = standing(&standings, node);
        assert_eq!((node.state, &node.behind), (NodeState::Unknown, &Some(name("ms1"))), "{}", node.name);
    }
    let moved = standing(&standings, "pc3");
    assert_eq!((moved.state, &moved.server, moved.via.len()), (NodeState::Connected, &Some(name("ms2")), 0));
}

#[test]
fn what_an_earlier_run_of_a_server_claimed_does_not_count() {
    let mut facts = facts();
    facts.leases[0].start = 8;
    facts.leases[0].started = at(NOW - 10);
    let standings = facts.standings();
    let gateway = standing(&standings, "gw1");
    assert_eq!((gateway.state, gateway.left), (NodeState::Disconnected, Some(at(NOW - 10))));
}

#[test]
fn a_node_that_two_servers_claim_belongs_to_the_newer_session() {
    for (older, newer) in [("ms1", "ms2"), ("ms2", "ms1")] {
        let mut facts = facts();
        facts.presences.retain(|record| record.presence.name.as_str() != "gw1");
        facts.presences.push(present("gw1", Role::Gateway, &[], older));
        facts.presences.push(present("gw1", Role::Gateway, &[], newer));
        facts.presences.last_mut().unwrap().presence.since = at(200);
        let standings = facts.standings();
        assert_eq!(standing(&standings, "gw1").server, Some(name(newer)));
    }
    // What a dead server still claims is older than an end elsewhere.
    let mut of_dead = facts();
    of_dead.kill_server("ms1");
    let mut ended = present("gw1", Role::Gateway, &[], "ms2");
    ended.left = Some(at(NOW - 10));
    of_dead.presences.push(ended);
    let standings = of_dead.standings();
    let gateway = standing(&standings, "gw1");
    assert_eq!((gateway.state, &gateway.server), (NodeState::Disconnected, &Some(name("ms2"))));
    // One that ended later than the one that stands began is no newer session.
    let mut facts = facts();
    facts.row("gw1").left = Some(at(NOW - 1));
    facts.presences.push(present("gw1", Role::Gateway, &[], "ms2"));
    let standings = facts.standings();
    let gateway = standing(&standings, "gw1");
    assert_eq!((gateway.state, &gateway.server), (NodeState::Connected, &Some(name("ms2"))));
}

#[test]
fn agents_that_went_with_their_gateway_are_unknown_and_those_that_went_before_disconnected() {
    let mut facts = facts();
    facts.kill_gateway("gw1");
    facts.row("pc2").left = Some(at(500));
    let standings = facts.standings();
    let expected = [
        ("gw1", NodeState::Disconnected),
        ("gw2", NodeState::Connected),
        ("pc1", NodeState::Unknown),
        ("pc2", NodeState::Disconnected),
        ("pc3", NodeState::Connected),
    ];
    assert_eq!(states(&standings)[2..], expected);
    assert_eq!(standing(&standings, "pc1").behind, Some(name("gw1")));
    assert_eq!(standing(&standings, "gw1").upstream, None, "what it used is of no use any more");
}

#[test]
fn what_the_group_decided_goes_before_what_servers_claim() {
    let mut facts = facts();
    facts.gateways[0].state = GatewayState::Deleted;
    facts.gateways[1].state = GatewayState::Pending;
    facts.agents[0].state = AgentState::Rejected;
    facts.agents[1].state = AgentState::Pending;
    facts.row("pc3").silent = Some(at(NOW - 40));
    facts.agents.push(agent_record("pc4", AgentState::Approved));
    facts.servers[1].excluded = true;
    let standings = facts.standings();
    let expected = [
        ("gw1", NodeState::Deleted),
        ("gw2", NodeState::Pending),
        ("pc1", NodeState::Rejected),
        ("pc2", NodeState::Pending),
        ("pc3", NodeState::Silent),
        ("pc4", NodeState::Disconnected),
    ];
    assert_eq!(states(&standings)[2..], expected);
    assert_eq!(standing(&standings, "pc3").last_heard, Some(at(NOW - 40)));
    assert_eq!(standing(&standings, "pc4").left, None);
    assert!(standing(&standings, "ms2").excluded);
}

#[test]
fn filters_take_roles_states_places_and_names() {
    let taken = |change: fn(&mut NodeFilter)| {
        let mut filter = NodeFilter::default();
        change(&mut filter);
        let mut facts = facts();
        facts.kill_gateway("gw1");
        let standings = facts.standings();
        let taken: Vec<String> =
            standings.iter().filter(|node| filter.takes(node)).map(|node| node.name.to_string()).collect();
        taken.join(" ")
    };
    assert_eq!(taken(|_| ()), "ms1 ms2 gw1 gw2 pc1 pc2 pc3");
    assert_eq!(taken(|filter| filter.roles = vec![Role::Gateway]), "gw1 gw2");
    assert_eq!(taken(|filter| filter.states = vec![NodeState::Unknown]), "pc1 pc2");
    assert_eq!(taken(|filter| filter.gateway = Some(name("gw2"))), "gw2 pc3");
    assert_eq!(taken(|filter| filter.server = Some(name("ms2"))), "ms2");
    assert_eq!(taken(|filter| filter.name = Some(NamePattern::parse("*2").unwrap())), "ms2 gw2 pc2");
    let two = |filter: &mut NodeFilter| {
        (filter.roles, filter.name) = (vec![Role::Agent], Some(NamePattern::parse("*2").unwrap()));
    };
    assert_eq!(taken(two), "pc2");
}
