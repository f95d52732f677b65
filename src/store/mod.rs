//! The group store: what makes several management servers one group.
//!
//! Three layers: `group/` has the rules, `operations/` applies them to the records of one transaction, an engine keeps
//! the records (`records.rs` says what that takes). SQLite is the default; PostgreSQL is there where several servers on
//! several machines share a group (feature `postgres`).

mod changes;
mod group_store;
mod identity;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
mod records;
mod sqlite;
mod thread;

use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::group::{
    AgentRecord, Assignment, AssignmentKey, AssignmentRecord, CursorOutcome, CursorWrite, Decision, GatewayRecord,
    Knock, ServerRecord, SessionAnswer, SessionRequest, SignedAssignment, TokenAnswer, TokenRecord, TokenUse,
    UnknownAgents,
};
use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Epoch, Gap, Priority, Sequence};
use crate::name::Name;
use crate::time::Timestamp;
use crate::wire::Content;

pub(crate) use changes::Changes;
#[cfg(feature = "postgres")]
pub(crate) use postgres::PostgresStore;
pub(crate) use sqlite::SqliteStore;
pub(crate) use thread::StoreThread;

/// What the group's nodes and operators ask of it. Calls block and are made on the store's own thread; every call that
/// changes something is one durable transaction (rule D4).
pub(crate) trait Store: Send {
    /// A number that rises with every change of approvals, assignments, servers and downstream messages; cursors
    /// and presence do not move it.
    fn change(&mut self) -> Result<u64>;
    /// How to wait for it to move.
    fn changes(&mut self) -> Changes;
    /// The least time between two commits of one server: what arrives meanwhile is one batch.
    fn commit_pace(&self) -> Duration;

    /// The group's name, made with the store.
    fn group(&mut self) -> Result<String>;
    /// The public half of the group's signing key (rule G6).
    fn assignment_key(&mut self) -> Result<AssignmentKey>;
    /// The secret from which every server of the group derives the challenge of a period (rule I6).
    fn challenge_secret(&mut self) -> Result<[u8; 32]>;

    /// Registers the management server that runs on this store.
    fn register_server(&mut self, server: &Name, address: &str, at: Timestamp) -> Result<()>;
    /// Marks a server as never to be used for failover (rule G3), or not.
    fn set_server_excluded(&mut self, server: &Name, excluded: bool) -> Result<()>;
    /// All servers, by name.
    fn servers(&mut self) -> Result<Vec<ServerRecord>>;

    /// Approves a gateway for a parent, before or after it first knocked.
    fn approve_gateway(&mut self, gateway: &Name, parent: &Name, at: Timestamp) -> Result<()>;
    /// Removes a gateway from the group.
    fn delete_gateway(&mut self, gateway: &Name) -> Result<()>;
    /// All gateways, pending ones included, by name.
    fn gateways(&mut self) -> Result<Vec<GatewayRecord>>;

    /// Approves an agent, known or not yet.
    fn approve_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()>;
    /// Rejects an agent: it stays rejected until approved.
    fn reject_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()>;
    /// All agents, by name.
    fn agents(&mut self) -> Result<Vec<AgentRecord>>;

    /// What happens to agents that the group does not know (rule G1).
    fn unknown_agents(&mut self) -> Result<UnknownAgents>;
    /// Changes it, for all servers of the group.
    fn set_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()>;

    /// Decides who may come in, and remembers who knocked. Answers in the order of the knocks.
    fn authorise(&mut self, knocks: &[Knock]) -> Result<Vec<Decision>>;

    /// Assigns upstreams to a gateway or an agent; the version rises. Refuses excluded and unknown servers.
    fn assign(&mut self, node: &Name, assignment: &Assignment) -> Result<()>;
    /// The signed assignments of these nodes, in their order; `None` for one that has none.
    fn signed_assignments(&mut self, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>>;
    /// All assignments, by node.
    fn assignments(&mut self) -> Result<Vec<AssignmentRecord>>;

    /// Opens a session per request, with a new fence (rules D1, D5, F5). Answers in order.
    fn open_sessions(&mut self, requests: &[SessionRequest]) -> Result<Vec<SessionAnswer>>;
    /// Writes cursors, and what was delivered where the store is the output, in one transaction (rule D5a).
    /// A write with an old fence is refused with its deliveries. Answers in the order of the writes.
    fn commit(&mut self, writes: &[CursorWrite], deliveries: &[StoredRun]) -> Result<Vec<CursorOutcome>>;
    /// Cursor per agent and epoch, for the inventory.
    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>>;

    /// What was delivered into the store above a number, oldest first, at most `count`.
    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>>;
    /// How many messages were delivered into the store.
    fn delivery_count(&mut self) -> Result<u64>;
    /// The gaps that were delivered into the store above a number, oldest first, at most `count`.
    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>>;

    /// Writes cursors together with the length that a file output had then, so that the file can be cut back to it.
    fn commit_with_output(&mut self, writes: &[CursorWrite], output: &OutputPosition) -> Result<Vec<CursorOutcome>>;
    /// The length remembered last.
    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>>;

    /// Puts a message for one agent into the store; answers its number (rule D8).
    fn send_down(&mut self, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64>;
    /// The messages for an agent above a number, oldest first, at most `count`; refused to a stale fence.
    fn down_messages(&mut self, agent: &Name, fence: u64, above: u64, count: usize) -> Result<Vec<DownMessage>>;
    /// The agents that messages wait for.
    fn down_waiting(&mut self) -> Result<Vec<Name>>;
    /// The agent's application has taken all up to this number.
    fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64) -> Result<()>;

    /// Remembers a one-time token by its hash; those that expired long ago are forgotten.
    fn create_token(&mut self, token: &TokenRecord) -> Result<()>;
    /// Uses a token for a certificate request, in one transaction with the look at it: of two requests one gets it. A
    /// refusal does not use it up.
    fn use_token(&mut self, ask: &TokenUse) -> Result<TokenAnswer>;
    /// All tokens, by name; those that were used, or expired lately, too.
    fn tokens(&mut self) -> Result<Vec<TokenRecord>>;
    /// Deletes all tokens of a name; how many there were.
    fn delete_token(&mut self, name: &Name) -> Result<u64>;
}

/// How long a file output was when everything up to its cursors was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputPosition {
    pub(crate) server: Name,
    pub(crate) path: String,
    pub(crate) length: u64,
}

/// A message to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DownMessage {
    pub(crate) number: u64,
    pub(crate) payload: Bytes,
    pub(crate) sent: Timestamp,
}

/// What one channel delivered, to be written where the store is the output. `write` is the index of the cursor
/// write that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct StoredRun {
    pub(crate) write: usize,
    pub(crate) agent: Name,
    pub(crate) via: Vec<Name>,
    pub(crate) epoch: Epoch,
    pub(crate) content: Content,
}

/// A message that an output of `store = true` wrote into the group store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Its number in the store: rises in the order of delivery.
    pub number: u64,
    /// Who sent it.
    pub agent: Name,
    /// The gateways that it came through, the agent's own first.
    pub via: Vec<Name>,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// The message's number in that epoch.
    pub sequence: Sequence,
    /// Its priority.
    pub priority: Priority,
    /// When the application handed it to the agent, by the agent's clock.
    pub sent: Timestamp,
    /// When it was written, by the management server's clock.
    pub received: Timestamp,
    /// The bytes.
    pub payload: Bytes,
}

/// A gap that an output of `store = true` wrote into the group store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryGap {
    /// Its number in the store: rises in the order of delivery.
    pub number: u64,
    /// Whose messages are missing.
    pub agent: Name,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// Which are missing, and why.
    pub gap: Gap,
    /// When it was written, by the management server's clock.
    pub received: Timestamp,
}

/// The payload of a message to an agent: with its number and time it travels in one frame.
pub(crate) const DOWN_PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 64;

#[cfg(test)]
mod tests;
