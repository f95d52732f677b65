//! The management group in memory, shared by all servers: the group's own rules over plain records.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::group::{
    AgentRecord, AgentState, Assignment, CursorOutcome, CursorWrite, Decision, Facts, GatewayRecord, GatewayState,
    GroupKey, GroupKeys, Knock, Remember, ServerRecord, SessionAnswer, SessionRecord, SessionRequest, SignedAssignment,
    UnknownAgents, cursor_after, decide, open,
};
use crate::limits::KEY_SUCCESSIONS_MAX;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::node::management_server::Standing;
use crate::role::Role;
use crate::sim::people::pkcs8;
use crate::time::Timestamp;

pub(super) const GROUP: &str = "CORP";

/// See the module's text.
pub(super) struct Group {
    key: GroupKey,
    pub(super) keys: GroupKeys,
    pub(super) secret: [u8; 32],
    pub(super) servers: BTreeMap<Name, ServerRecord>,
    pub(super) gateways: BTreeMap<Name, GatewayRecord>,
    pub(super) agents: BTreeMap<Name, AgentRecord>,
    assignments: BTreeMap<Name, (u64, Assignment)>,
    pub(super) sessions: BTreeMap<Name, SessionRecord>,
    /// Messages to agents: how many were numbered, and through which the agent has them (rule D8).
    pub(super) downs: BTreeMap<Name, (u64, u64)>,
    /// Names that were approved at some time, with their role (rule G1).
    pub(super) ever_approved: BTreeSet<(Name, u8)>,
}

impl Group {
    pub(super) fn new() -> Self {
        let key = GroupKey::from_pkcs8(&pkcs8(200)).unwrap();
        let keys = GroupKeys { version: 1, key: key.public(), successions: Vec::new() };
        Self {
            key,
            keys,
            secret: [7; 32],
            servers: BTreeMap::new(),
            gateways: BTreeMap::new(),
            agents: BTreeMap::new(),
            assignments: BTreeMap::new(),
            sessions: BTreeMap::new(),
            downs: BTreeMap::new(),
            ever_approved: BTreeSet::new(),
        }
    }

    pub(super) fn set_server(&mut self, name: &Name, excluded: bool) {
        let record =
            ServerRecord { name: name.clone(), address: String::new(), excluded, last_seen: Timestamp::default() };
        self.servers.insert(name.clone(), record);
    }

    pub(super) fn set_gateway(&mut self, name: &Name, state: GatewayState, parent: Option<&Name>) {
        if state == GatewayState::Approved {
            self.ever_approved.insert((name.clone(), Role::Gateway as u8));
        }
        let parent = parent.cloned();
        let record = GatewayRecord { parent, ..GatewayRecord::new(name.clone(), state, Timestamp::default()) };
        self.gateways.insert(name.clone(), record);
    }

    pub(super) fn set_agent(&mut self, name: &Name, state: AgentState) {
        if state == AgentState::Approved {
            self.ever_approved.insert((name.clone(), Role::Agent as u8));
        }
        let record = AgentRecord::new(name.clone(), state, Timestamp::default());
        self.agents.insert(name.clone(), record);
    }

    pub(super) fn assign(&mut self, node: &Name, assignment: Assignment) {
        let version = self.assignments.get(node).map_or(0, |(version, _)| *version) + 1;
        self.assignments.insert(node.clone(), (version, assignment));
    }

    /// All that is assigned is signed anew, by a key that the one before names.
    pub(super) fn rotate_key(&mut self) {
        let version = self.keys.version + 1;
        let seed = 200_u8.wrapping_add(u8::try_from(version % 50).unwrap());
        let new = GroupKey::from_pkcs8(&pkcs8(seed)).unwrap();
        self.keys.successions.push(self.key.succeeded_by(GROUP, new.public(), version, Timestamp::default()));
        let excess = self.keys.successions.len().saturating_sub(KEY_SUCCESSIONS_MAX);
        self.keys.successions.drain(..excess);
        (self.keys.version, self.keys.key) = (version, new.public());
        self.key = new;
        self.assignments.values_mut().for_each(|(version, _)| *version += 1);
    }

    fn assignment(&self, node: &Name) -> Option<SignedAssignment> {
        let (version, assignment) = self.assignments.get(node)?;
        let signed = self.key.sign(GROUP, node, *version, Some(assignment));
        Some(SignedAssignment { key_version: self.keys.version, ..signed })
    }

    pub(super) fn authorise(&mut self, knock: &Knock) -> Standing {
        let approved = |gateway: &GatewayRecord| gateway.state == GatewayState::Approved;
        let facts = Facts {
            gateway: self.gateways.get(&knock.name).cloned(),
            agent: self.agents.get(&knock.name).cloned(),
            server: self.servers.get(&knock.server).cloned(),
            bearer: None,
            operator: None,
            assignment: self.assignments.get(&knock.name).map(|(_, assignment)| assignment.clone()),
            via_approved: knock.via.as_ref().and_then(|via| self.gateways.get(via)).is_some_and(approved),
            pending: 0,
            unknown_agents: UnknownAgents::Pending,
            ..Facts::default()
        };
        let (decision, remember) = decide(&facts, knock);
        match remember {
            Remember::Nothing | Remember::Seen | Remember::OtherKey => {}
            Remember::PendingGateway => self.set_gateway(&knock.name, GatewayState::Pending, None),
            Remember::Agent(state, _) => self.set_agent(&knock.name, state),
        }
        let assignment = match decision {
            Decision::Approved(_) => self.assignment(&knock.name),
            _ => None,
        };
        Standing { decision, assignment }
    }

    pub(super) fn open_session(&mut self, request: &SessionRequest) -> SessionAnswer {
        let (answer, record) = open(self.sessions.get(&request.agent), request);
        if let Some(record) = record {
            self.sessions.insert(request.agent.clone(), record);
        }
        answer
    }

    pub(super) fn write(&mut self, write: &CursorWrite) -> CursorOutcome {
        let Some(record) = self.sessions.get_mut(&write.agent) else { return CursorOutcome::Fenced };
        let current = Some((record.fence, record.epoch));
        let Some(known) = record.epochs.iter_mut().find(|known| known.epoch == write.epoch) else {
            return CursorOutcome::Fenced;
        };
        match cursor_after(current, known.cursor, write) {
            Some(cursor) => {
                known.cursor = cursor;
                CursorOutcome::Written
            }
            None => CursorOutcome::Fenced,
        }
    }

    pub(super) fn cursor(&self, agent: &Name, epoch: Epoch) -> Sequence {
        let epochs = self.sessions.get(agent).map(|record| &record.epochs[..]).unwrap_or_default();
        epochs.iter().find(|known| known.epoch == epoch).map_or(Sequence::NONE, |known| known.cursor)
    }

    pub(super) fn send_down(&mut self, agent: &Name) {
        self.downs.entry(agent.clone()).or_default().0 += 1;
    }

    /// The next few messages above a number; none for a session that another one has replaced.
    pub(super) fn fetch_down(&self, agent: &Name, fence: u64, above: u64) -> Vec<(u64, Timestamp, Bytes)> {
        let (sent, delivered) = self.downs.get(agent).copied().unwrap_or_default();
        if fence != self.fence(agent) {
            return Vec::new();
        }
        let first = above.max(delivered) + 1;
        (first..=sent.min(first + 3)).map(|number| (number, Timestamp::default(), Bytes::from("down"))).collect()
    }

    pub(super) fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64) {
        if fence == self.fence(agent)
            && let Some((_, delivered)) = self.downs.get_mut(agent)
        {
            *delivered = through.max(*delivered);
        }
    }

    pub(super) fn is_every_down_delivered(&self) -> bool {
        self.downs.values().all(|(sent, delivered)| sent == delivered)
    }

    pub(super) fn fence(&self, agent: &Name) -> u64 {
        self.sessions.get(agent).map_or(0, |record| record.fence)
    }
}
