//! A group for tests: ms1 and ms2, gw1 and gw2, pc1 to pc3.

use crate::group::standing::{Facts, NodeStanding, NodeState};
use crate::group::{
    AgentRecord, AgentState, Assignment, AssignmentRecord, GatewayRecord, GatewayState, KeyPin, LeaseRecord,
    NodePresence, NodeReport, PresenceRecord, ServerRecord, StandbyReport, Upstream,
};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

pub(in crate::group) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Seconds of the tests' clock.
pub(in crate::group) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000 + seconds)
}

/// Now: everybody is connected, and ms2 is everybody's standby.
pub(in crate::group) const NOW: i64 = 10_000;

pub(in crate::group) fn facts() -> Facts {
    let mut facts = Facts { at: at(NOW), ..Facts::default() };
    for server in ["ms1", "ms2"] {
        let (server, address) = (name(server), "0.0.0.0:5723".to_owned());
        facts.servers.push(ServerRecord { name: server.clone(), address, excluded: false, last_seen: at(0) });
        facts.leases.push(LeaseRecord {
            server,
            start: 7,
            started: at(0),
            software: "farpost".to_owned(),
            renewed: at(NOW - 5),
            until: at(NOW + 25),
        });
    }
    for gateway in ["gw1", "gw2"] {
        facts.gateways.push(gateway_record(gateway, GatewayState::Approved));
        facts.presences.push(present(gateway, Role::Gateway, &[], "ms1"));
    }
    for (agent, via) in [("pc1", "gw1"), ("pc2", "gw1"), ("pc3", "gw2")] {
        facts.agents.push(agent_record(agent, AgentState::Approved));
        facts.presences.push(present(agent, Role::Agent, &[via], "ms1"));
    }
    facts
}

pub(in crate::group) fn gateway_record(gateway: &str, state: GatewayState) -> GatewayRecord {
    GatewayRecord {
        name: name(gateway),
        state,
        parent: Some(name("ms1")),
        via: None,
        address: "10.0.0.1:4000".to_owned(),
        server: Some(name("ms1")),
        software: "farpost 0".to_owned(),
        first_seen: at(1),
        last_seen: at(2),
        key_changed: None,
        key: Some(KeyHash([1; 32])),
        pin: KeyPin::default(),
        agents: Vec::new(),
    }
}

pub(in crate::group) fn agent_record(agent: &str, state: AgentState) -> AgentRecord {
    AgentRecord {
        name: name(agent),
        state,
        via: Some(name("gw1")),
        address: "10.0.0.2:4000".to_owned(),
        server: Some(name("ms1")),
        software: "farpost 0".to_owned(),
        first_seen: at(1),
        last_seen: at(2),
        key_changed: None,
        key: Some(KeyHash([2; 32])),
        pin: KeyPin::default(),
        rule: None,
    }
}

/// A node's row: its upstream is the first of its path, ms2 or the other gateway its ready standby.
pub(in crate::group) fn present(node: &str, role: Role, via: &[&str], server: &str) -> PresenceRecord {
    let upstream = via.first().copied().unwrap_or(server);
    let standby = match upstream {
        "ms1" => "ms2",
        "ms2" => "ms1",
        "gw1" => "gw2",
        _ => "gw1",
    };
    let presence = NodePresence {
        name: name(node),
        role,
        via: via.iter().map(|via| name(via)).collect(),
        address: "10.0.0.3:4000".to_owned(),
        since: at(100),
        last_heard: at(100),
        session: 2,
    };
    PresenceRecord {
        server: name(server),
        start: 7,
        report: Some(report(&presence, upstream, standby)),
        presence,
        silent: None,
        left: None,
    }
}

fn report(presence: &NodePresence, upstream: &str, standby: &str) -> NodeReport {
    NodeReport {
        name: presence.name.clone(),
        role: presence.role,
        via: presence.via.clone(),
        session: presence.session,
        at: at(NOW - 30),
        skipped: 0,
        software: "farpost 1".to_owned(),
        upstream: Some(name(upstream)),
        upstream_code: 0,
        upstream_text: String::new(),
        since: at(100),
        standbys: vec![StandbyReport {
            name: name(standby),
            ready: true,
            code: 0,
            text: String::new(),
            proven: Some(at(NOW - 60)),
        }],
        queue_messages: 0,
        queue_bytes: 0,
        oldest: None,
        delivered: 5,
        certificate_until: Some(at(NOW + 60 * 86_400)),
        assignment_version: 0,
        assignment_pending: 0,
        agents_connected: 0,
        agents_silent: 0,
        agents_pending: 0,
    }
}

impl Facts {
    pub(in crate::group) fn row(&mut self, node: &str) -> &mut PresenceRecord {
        self.presences.iter_mut().find(|record| record.presence.name.as_str() == node).unwrap()
    }

    pub(in crate::group) fn report(&mut self, node: &str) -> &mut NodeReport {
        self.row(node).report.as_mut().unwrap()
    }

    pub(in crate::group) fn assign(&mut self, node: &str, version: u64, primary: &str, failover: &[&str]) {
        let upstream = |text: &&str| Upstream::parse(text).unwrap();
        let assignment = Assignment::new(upstream(&primary), failover.iter().map(upstream)).unwrap();
        self.assignments.push(AssignmentRecord { node: name(node), version, assignment, site: None });
    }

    /// The server ran out of time.
    pub(in crate::group) fn kill_server(&mut self, server: &str) {
        let lease = self.leases.iter_mut().find(|lease| lease.server.as_str() == server).unwrap();
        (lease.renewed, lease.until) = (at(NOW - 60), at(NOW - 30));
    }

    /// A gateway and all behind it lost their connection.
    pub(in crate::group) fn kill_gateway(&mut self, gateway: &str) {
        for record in &mut self.presences {
            if record.presence.name.as_str() == gateway || record.presence.via.contains(&name(gateway)) {
                record.left = Some(at(NOW - 20));
            }
        }
    }
}

/// `pc1 connected`, in the order of the nodes.
pub(in crate::group) fn states(standings: &[NodeStanding]) -> Vec<(&str, NodeState)> {
    standings.iter().map(|node| (node.name.as_str(), node.state)).collect()
}

pub(in crate::group) fn standing<'s>(standings: &'s [NodeStanding], node: &str) -> &'s NodeStanding {
    standings.iter().find(|standing| standing.name.as_str() == node).unwrap()
}
