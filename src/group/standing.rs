//! How every node of the group stands: what was approved, who claims it is connected, and what it said last, put together.

mod connection;
mod filter;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::group::record::words;
use crate::group::{
    AgentRecord, AgentState, AssignmentRecord, Cursor, GatewayRecord, GatewayState, LeaseRecord, NodeReport,
    PresenceRecord, Problem, ServerRecord, StandbyReport, Upstream,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

use connection::{Connection, Connections};
pub use filter::NodeFilter;

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NodeState {
    /// It is connected, and heard.
    Connected,
    /// It is connected and overdue with a sign of life.
    Silent,
    /// It is not connected.
    Disconnected,
    /// It waits for approval.
    Pending,
    /// An operator keeps it out.
    Rejected,
    /// It was removed from the group.
    Deleted,
    /// What it was connected through is gone, and it did not come elsewhere yet.
    Unknown,
}

words!(NodeState {
    Connected = "connected",
    Silent = "silent",
    Disconnected = "disconnected",
    Pending = "pending",
    Rejected = "rejected",
    Deleted = "deleted",
    Unknown = "unknown",
});

/// All that the group knows of a node. What comes of the node's own report is as old as that report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeStanding {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub role: Role,
    /// How it stands.
    pub state: NodeState,
    /// Of an unknown node: the gateway or server that it was connected through and that is gone.
    pub behind: Option<Name>,
    /// Its release, as it says.
    pub software: String,
    /// Its address as the node sees it that it connects to; of a server, where it listens.
    pub address: String,
    /// The gateways between it and its server, its own first; where it was last, if it is not connected.
    pub via: Vec<Name>,
    /// Its server; the one that it was at last, if it is not connected.
    pub server: Option<Name>,
    /// Since when it is connected; of a server, since when it runs.
    pub connected_since: Option<Timestamp>,
    /// When it was heard last: within a heartbeat if it is connected.
    pub last_heard: Option<Timestamp>,
    /// When its last connection ended.
    pub left: Option<Timestamp>,
    /// When it was first seen or first approved.
    pub first_seen: Option<Timestamp>,
    /// SHA-256 of its public key in hexadecimal.
    pub key: Option<String>,
    /// Of a gateway: what it is approved for.
    pub approved_for: Option<Name>,
    /// Of a server: whether it is never used for failover (rule G3).
    pub excluded: bool,
    /// When it reported last; nothing below is known before it did.
    pub reported: Option<Timestamp>,
    /// The upstream that it uses.
    pub upstream: Option<Name>,
    /// Why that one and not its primary: the number of a code; 0 if it is the primary.
    pub upstream_code: u16,
    /// The same for people.
    pub upstream_text: String,
    /// Its other upstreams, in order.
    pub standbys: Vec<StandbyStanding>,
    /// Messages that wait at it, their bytes, and since when the oldest does.
    pub queue_messages: u64,
    /// See [`Self::queue_messages`].
    pub queue_bytes: u64,
    /// See [`Self::queue_messages`].
    pub oldest: Option<Timestamp>,
    /// Messages delivered: of the agent's epoch, or since the gateway's start.
    pub delivered: u64,
    /// Of an agent: the life of its queue, and the sequence up to which the group has all of it; of the store, now.
    pub cursor: Option<Delivered>,
    /// When two computers were last seen to take turns with its identity (rule F5).
    #[serde(default)]
    pub clones_seen: Option<Timestamp>,
    /// When its certificate ends.
    pub certificate_until: Option<Timestamp>,
    /// What the group assigns it, the primary first; empty: it follows its own configuration.
    pub assigned: Vec<Upstream>,
    /// The version of that; 0: none.
    pub assignment: u64,
    /// The version that it has applied; 0: none.
    pub assignment_held: u64,
    /// The version of which it has not reached an upstream yet; 0: none.
    pub assignment_pending: u64,
    /// Of a gateway: agents that are connected to it.
    pub agents_connected: u32,
    /// Of those, the ones that are overdue with a sign of life.
    pub agents_silent: u32,
    /// Of those, the ones that wait for approval.
    pub agents_pending: u32,
}

/// How an upstream that is not in use stands (rule F3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StandbyStanding {
    /// Its name.
    pub name: Name,
    /// Whether it accepted the node the last time.
    pub ready: bool,
    /// Why it is not ready, the number of a code; 0: it was not tried yet.
    pub code: u16,
    /// The same for people.
    pub text: String,
    /// When that was found out.
    pub proven: Option<Timestamp>,
}

/// How far an agent's queue is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivered {
    /// The life of the queue.
    pub epoch: Epoch,
    /// The highest sequence up to which all is delivered.
    pub through: Sequence,
}

/// The group at one moment, as an administrator looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overview {
    /// The group's name.
    pub management_group: String,
    /// As in [`Inventory::change`](crate::Inventory::change).
    pub change: u64,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The nodes that were asked for: servers, then gateways, then agents, each by name.
    pub nodes: Vec<NodeStanding>,
    /// What is wrong in the whole group, each cause once, the worst first.
    pub problems: Vec<Problem>,
}

/// What a store holds that an overview is made of.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// By the store's clock.
    pub(crate) at: Timestamp,
    pub(crate) servers: Vec<ServerRecord>,
    pub(crate) gateways: Vec<GatewayRecord>,
    pub(crate) agents: Vec<AgentRecord>,
    pub(crate) assignments: Vec<AssignmentRecord>,
    pub(crate) leases: Vec<LeaseRecord>,
    /// The newest epoch last.
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) presences: Vec<PresenceRecord>,
    /// Whose identity two computers were last seen to take turns with.
    pub(crate) clones: Vec<(Name, Timestamp)>,
}

impl Facts {
    /// How everybody stands: servers, gateways, agents.
    pub(crate) fn standings(self) -> Vec<NodeStanding> {
        let Self { at, servers, gateways, agents, assignments, leases, cursors, presences, clones } = self;
        let mut assignments: HashMap<Name, AssignmentRecord> =
            assignments.into_iter().map(|record| (record.node.clone(), record)).collect();
        let mut connections = Connections::new(&leases, presences, at);
        let mut standings: Vec<NodeStanding> =
            servers.into_iter().map(|server| of_server(server, &leases, at)).collect();
        for gateway in gateways {
            let standing = of_gateway(gateway, &mut connections);
            connections.note_gateway(&standing);
            standings.push(standing);
        }
        standings.extend(agents.into_iter().map(|agent| of_agent(agent, &mut connections)));
        let mut cursors: HashMap<Name, Delivered> =
            cursors.into_iter().map(|Cursor { agent, epoch, through }| (agent, Delivered { epoch, through })).collect();
        let clones: HashMap<Name, Timestamp> = clones.into_iter().collect();
        for standing in &mut standings {
            standing.clones_seen = clones.get(&standing.name).copied();
            standing.cursor = cursors.remove(&standing.name);
            if let Some(record) = assignments.remove(&standing.name) {
                standing.assignment = record.version;
                standing.assigned = record.assignment.upstreams().cloned().collect();
            }
        }
        standings
    }
}

fn of_server(server: ServerRecord, leases: &[LeaseRecord], at: Timestamp) -> NodeStanding {
    let mut standing = NodeStanding::unheard(server.name, Role::ManagementServer, NodeState::Unknown);
    standing.address = server.address;
    standing.excluded = server.excluded;
    // A release without leases says only when it started.
    standing.last_heard = Some(server.last_seen);
    if let Some(lease) = leases.iter().find(|lease| lease.server == standing.name) {
        let is_valid = lease.is_valid(at);
        standing.state = if is_valid { NodeState::Connected } else { NodeState::Disconnected };
        standing.connected_since = is_valid.then_some(lease.started);
        standing.left = (!is_valid).then_some(lease.renewed);
        standing.last_heard = Some(lease.renewed);
        standing.software.clone_from(&lease.software);
    }
    standing
}

fn of_gateway(gateway: GatewayRecord, connections: &mut Connections) -> NodeStanding {
    let key = gateway.key_fingerprint();
    let mut standing = NodeStanding::unheard(gateway.name, Role::Gateway, NodeState::Disconnected);
    let decided = match gateway.state {
        GatewayState::Pending => Some(NodeState::Pending),
        GatewayState::Approved => None,
        GatewayState::Deleted => Some(NodeState::Deleted),
    };
    standing.approved_for = gateway.parent;
    standing.seen(gateway.address, gateway.software, gateway.server, gateway.via);
    (standing.first_seen, standing.last_heard, standing.key) =
        (Some(gateway.first_seen), key.is_some().then_some(gateway.last_seen), key);
    standing.connected(connections.take(&standing.name), decided);
    standing
}

fn of_agent(agent: AgentRecord, connections: &mut Connections) -> NodeStanding {
    let key = agent.key_fingerprint();
    let mut standing = NodeStanding::unheard(agent.name, Role::Agent, NodeState::Disconnected);
    let decided = match agent.state {
        AgentState::Pending => Some(NodeState::Pending),
        AgentState::Approved => None,
        AgentState::Rejected => Some(NodeState::Rejected),
    };
    standing.seen(agent.address, agent.software, agent.server, agent.via);
    (standing.first_seen, standing.last_heard, standing.key) =
        (Some(agent.first_seen), key.is_some().then_some(agent.last_seen), key);
    standing.connected(connections.take(&standing.name), decided);
    standing
}

impl NodeStanding {
    /// A node of which nothing else is known.
    fn unheard(name: Name, role: Role, state: NodeState) -> Self {
        Self {
            name,
            role,
            state,
            behind: None,
            software: String::new(),
            address: String::new(),
            via: Vec::new(),
            server: None,
            connected_since: None,
            last_heard: None,
            left: None,
            first_seen: None,
            key: None,
            approved_for: None,
            excluded: false,
            reported: None,
            upstream: None,
            upstream_code: 0,
            upstream_text: String::new(),
            standbys: Vec::new(),
            queue_messages: 0,
            queue_bytes: 0,
            oldest: None,
            delivered: 0,
            cursor: None,
            clones_seen: None,
            certificate_until: None,
            assigned: Vec::new(),
            assignment: 0,
            assignment_held: 0,
            assignment_pending: 0,
            agents_connected: 0,
            agents_silent: 0,
            agents_pending: 0,
        }
    }

    /// Whether it is connected, heard or not.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, NodeState::Connected | NodeState::Silent)
    }

    /// Where it knocked last.
    fn seen(&mut self, address: String, software: String, server: Option<Name>, via: Option<Name>) {
        (self.address, self.software, self.server) = (address, software, server);
        self.via = via.into_iter().collect();
    }

    /// What servers wrote of it. Who is not approved may still be on its way out: what the group decided counts.
    fn connected(&mut self, connection: Option<Connection>, decided: Option<NodeState>) {
        self.state = decided.unwrap_or(self.state);
        let Some(connection) = connection else { return };
        if decided.is_none() {
            (self.state, self.behind) = (connection.state, connection.behind);
        }
        let (record, is_connected) = (connection.record, self.is_connected());
        self.server = Some(record.server);
        self.via = record.presence.via;
        self.address = record.presence.address;
        self.connected_since = is_connected.then_some(record.presence.since);
        self.left = connection.left;
        self.last_heard = Some(connection.heard);
        if let Some(report) = record.report {
            self.reported(report, is_connected);
        }
    }

    fn reported(&mut self, report: NodeReport, is_connected: bool) {
        self.reported = Some(report.at);
        if !report.software.is_empty() {
            self.software = report.software;
        }
        if is_connected {
            self.upstream = report.upstream;
            (self.upstream_code, self.upstream_text) = (report.upstream_code, report.upstream_text);
            (self.agents_connected, self.agents_silent, self.agents_pending) =
                (report.agents_connected, report.agents_silent, report.agents_pending);
        }
        self.standbys = report.standbys.into_iter().map(StandbyStanding::of).collect();
        (self.queue_messages, self.queue_bytes, self.oldest) =
            (report.queue_messages, report.queue_bytes, report.oldest);
        (self.delivered, self.certificate_until) = (report.delivered, report.certificate_until);
        (self.assignment_held, self.assignment_pending) = (report.assignment_version, report.assignment_pending);
    }
}

impl StandbyStanding {
    fn of(report: StandbyReport) -> Self {
        let StandbyReport { name, ready, code, text, proven } = report;
        Self { name, ready, code, text, proven }
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
