//! The group store: what makes several management servers one group.
//!
//! Three layers: `group/` has the rules, `operations/` applies them to the records of one transaction, an engine keeps
//! the records (`records/` says what that takes). SQLite is the default; PostgreSQL is there where several servers on
//! several machines share a group (feature `postgres`).

#[cfg(test)]
pub(crate) mod asking;
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
    Answer, By, CursorOutcome, CursorWrite, Decision, GroupKeyRecord, GroupKeys, Knock, Operation, PresenceBatch,
    RefusedAttempt, SessionAnswer, SessionRequest, SignedAssignment, TokenAnswer, TokenUse,
};
use crate::identity::KeyHash;
use crate::limits::FRAME_BYTES_MAX;
use crate::message::Epoch;
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;
use crate::wire::Content;

pub(crate) use changes::Changes;
pub(crate) use operations::keys::KeyBackup;
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

    /// Does what an operator asks: a change is one durable transaction with its entry in the audit log (rule G4).
    fn perform(&mut self, operation: &Operation, by: &By) -> Result<Answer>;

    /// Adds attempts that were refused to those that are known; forgets those before a time, and the oldest above `most`.
    fn note_refusals(&mut self, refused: &[RefusedAttempt], before: Timestamp, most: u64) -> Result<()>;

    /// The group's name, made with the store.
    fn group(&mut self) -> Result<String>;
    /// The public half of the group's signing key, and of those before it (rule G6).
    fn group_keys(&mut self) -> Result<GroupKeys>;
    /// The group's key with its private half, for a backup, with an entry in the audit log.
    fn back_up_key(&mut self, by: &By) -> Result<KeyBackup>;
    /// Brings the key of a backup into this store, which has signed nothing yet; answers what is in force then.
    fn restore_key(&mut self, backup: &KeyBackup, by: &By) -> Result<GroupKeyRecord>;
    /// The secret from which every server of the group derives the challenge of a period (rule I6).
    fn challenge_secret(&mut self) -> Result<[u8; 32]>;

    /// Registers the management server that runs on this store.
    fn register_server(&mut self, server: &Name, address: &str, at: Timestamp) -> Result<()>;

    /// Decides who may come in, and remembers who knocked. Answers in the order of the knocks.
    fn authorise(&mut self, knocks: &[Knock]) -> Result<Vec<Decision>>;

    /// The group's authority issues a certificate for this key to a node, on a request that its present key signed: a pin
    /// moves with it once the node shows the new key.
    fn key_renewed(&mut self, role: Role, name: &Name, key: KeyHash) -> Result<()>;
    /// Forgets who waits for approval and was not seen for too long.
    fn expire_pending(&mut self, at: Timestamp) -> Result<()>;

    /// The signed assignments of these nodes, in their order; `None` for one that has none.
    fn signed_assignments(&mut self, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>>;

    /// Opens a session per request, with a new fence (rules D1, D5, F5). Answers in order.
    fn open_sessions(&mut self, requests: &[SessionRequest]) -> Result<Vec<SessionAnswer>>;
    /// Writes cursors, and what was delivered where the store is the output, in one transaction (rule D5a).
    /// A write with an old fence is refused with its deliveries. Answers in the order of the writes.
    fn commit(&mut self, writes: &[CursorWrite], deliveries: &[StoredRun]) -> Result<Vec<CursorOutcome>>;

    /// Writes cursors together with the length that a file output had then, so that the file can be cut back to it.
    fn commit_with_output(&mut self, writes: &[CursorWrite], output: &OutputPosition) -> Result<Vec<CursorOutcome>>;
    /// The length remembered last.
    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>>;

    /// The messages for an agent above a number that have not expired, oldest first, at most `count`; refused to a stale
    /// fence. `page` is the number and the count.
    fn down_messages(
        &mut self,
        agent: &Name,
        fence: u64,
        page: (u64, usize),
        at: Timestamp,
    ) -> Result<Vec<DownMessage>>;
    /// The agents that messages wait for.
    fn down_waiting(&mut self) -> Result<Vec<Name>>;
    /// The agent's application has taken all up to this number that it was sent.
    fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64, at: Timestamp) -> Result<()>;
    /// Whether this server is to call [`Store::forget_some`] now: of a group's servers one does in each period.
    fn is_time_to_forget(&mut self, at: Timestamp) -> Result<bool>;
    /// Forgets messages to agents that ended long ago and deliveries that are no longer kept, a few in one short
    /// transaction each; whether there may be more.
    fn forget_some(&mut self, at: Timestamp) -> Result<bool>;

    /// Writes what a server says of the nodes that are connected to it, and renews its lease.
    fn keep_presence(&mut self, batch: &PresenceBatch) -> Result<()>;

    /// Uses a token for a certificate request, in one transaction with the look at it: of two requests one gets it. A
    /// refusal does not use it up.
    fn use_token(&mut self, ask: &TokenUse) -> Result<TokenAnswer>;
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
    /// None for one of an earlier release, which knew no expiry.
    pub(crate) expires: Option<Timestamp>,
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

/// The payload of a message to an agent: with its number and time it travels in one frame.
pub(crate) const DOWN_PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - 64;

#[cfg(test)]
mod tests;
