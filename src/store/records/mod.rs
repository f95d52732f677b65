//! What an engine is: records in and out of one transaction, in sets, with no rule about them.
//!
//! The rules stand in `group/`, how they are applied to records in `operations/`; both are the same for all engines.
//! Calls take sets, so that an engine behind a network needs a fixed number of round trips for a batch.

mod audit;
mod deliveries;
mod down;
mod keys;
mod operators;
mod presence;
mod refusals;
mod rules;
mod sites;

use std::time::Duration;

use crate::error::Result;
use crate::group::{
    AgentRecord, GatewayRecord, KeyPin, NamePattern, ServerRecord, SessionRecord, SignedAssignment, TokenHash,
    TokenRecord, UnknownAgents,
};
use crate::group::{Delivery, DeliveryGap};
use crate::message::{Epoch, Gap, Numbered, Sequence};
use crate::name::Name;
use crate::store::OutputPosition;
use crate::store::changes::Changes;
use crate::store::identity::GroupIdentity;
use crate::time::Timestamp;

pub(super) use audit::{AuditRecords, NewAuditRecord};
pub(super) use deliveries::{Day, DeliveryRecords};
pub(super) use down::{DownRecords, DownWaiting, NewDownMessage, range_of};
pub(super) use keys::{KeyRecords, StoredKey};
pub(super) use operators::{OperatorRecords, operator_keys, operator_keys_of};
pub(super) use presence::{PresenceRecords, report_of, report_text, via_text};
pub(super) use refusals::RefusalRecords;
pub(super) use rules::RuleRecords;
pub(super) use sites::{SiteRecords, StoredAssignment};

/// A database that keeps one group's records.
pub(super) trait Engine: Send {
    /// What was made with the store and never changes.
    fn identity(&self) -> &GroupIdentity;

    /// Runs `work` in a transaction that is durable when this returns `Ok` (rule D4), and undone otherwise.
    ///
    /// What `work` reads under a lock is what its outcome is written over. An engine that finds two transactions in
    /// each other's way runs `work` again.
    ///
    /// # Errors
    ///
    /// What `work` answers; what the engine itself meets, with the store as its subject.
    fn write<R>(&mut self, work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R>;

    /// Runs `work`, which changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Engine::write`].
    fn read<R>(&mut self, work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R>;

    /// Does what it can so that what was overwritten is nowhere in the database's files any more: a key that was replaced.
    fn forget_overwritten(&mut self) {}

    /// How to wait for the next change.
    fn changes(&mut self) -> Changes;

    /// As [`crate::store::Store::commit_pace`].
    fn commit_pace(&self) -> Duration;
}

/// Which records of a table; a name that is not there has none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which<'a> {
    /// All, by name.
    All,
    /// Those of these names, each given once.
    Named(&'a [&'a Name]),
}

/// Where a name waits for approval: behind a gateway, or directly at a management server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Behind(Name),
    At(Name),
}

impl Place {
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Behind(name) | Self::At(name) => name,
        }
    }
}

/// The newest grant of an agent, and how far its epoch is delivered.
#[derive(Clone, Debug)]
pub(super) struct CurrentCursor {
    pub(super) agent: Name,
    pub(super) fence: u64,
    pub(super) epoch: Epoch,
    pub(super) cursor: Sequence,
    /// How far it was delivered before the epoch was forgotten and came back, where the engine needs to know.
    pub(super) stored: Sequence,
}

/// A message for the table of deliveries.
#[derive(Clone, Debug)]
pub(super) struct StoredMessage<'a> {
    pub(super) agent: &'a Name,
    /// The gateways that it came through, comma-separated, the agent's own first.
    pub(super) via: &'a str,
    pub(super) epoch: Epoch,
    pub(super) message: Numbered,
    /// It may have been delivered before its epoch was forgotten and came back.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite's unique key stands over all days"))]
    pub(super) may_be_stored: bool,
}

/// A gap for the table of gaps.
#[derive(Clone, Debug)]
pub(super) struct StoredGap<'a> {
    pub(super) agent: &'a Name,
    pub(super) epoch: Epoch,
    pub(super) gap: Gap,
}

/// The records of a group within one transaction.
pub(super) trait Records:
    AuditRecords
    + DeliveryRecords
    + DownRecords
    + KeyRecords
    + OperatorRecords
    + PresenceRecords
    + RefusalRecords
    + RuleRecords
    + SiteRecords
{
    /// Keeps everybody else from changing approvals, servers and assignments until the transaction ends: called
    /// before they are read by whoever will write them.
    fn lock_group(&mut self) -> Result<()>;
    /// The number that rises with every change which nodes or operators follow.
    fn change(&mut self) -> Result<u64>;
    /// Moves that number, and tells those who wait for it once the transaction is durable.
    fn changed(&mut self) -> Result<()>;
    fn unknown_agents(&mut self) -> Result<UnknownAgents>;
    fn put_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()>;

    /// All servers, by name.
    fn servers(&mut self) -> Result<Vec<ServerRecord>>;
    fn put_server(&mut self, server: &ServerRecord) -> Result<()>;
    fn remove_server(&mut self, server: &Name) -> Result<()>;

    fn gateways(&mut self, which: Which<'_>) -> Result<Vec<GatewayRecord>>;
    /// Inserts or replaces.
    fn put_gateways(&mut self, gateways: &[&GatewayRecord]) -> Result<()>;
    fn remove_gateway(&mut self, gateway: &Name) -> Result<()>;
    fn agents(&mut self, which: Which<'_>) -> Result<Vec<AgentRecord>>;
    /// Inserts or replaces.
    fn put_agents(&mut self, agents: &[&AgentRecord]) -> Result<()>;
    fn remove_agent(&mut self, agent: &Name) -> Result<()>;
    /// Forgets who waits and was last seen before: an agent's record goes, a gateway's is marked as deleted.
    fn expire_pending(&mut self, before: Timestamp) -> Result<()>;
    /// How many wait at each place.
    fn count_pending(&mut self, places: &[&Place]) -> Result<Vec<u64>>;

    /// The assignments that are in force.
    fn assignments(&mut self, which: Which<'_>) -> Result<Vec<(Name, SignedAssignment)>>;
    /// Takes away what a node has that leaves the group, and the node from its site; the version stays, so that a later
    /// assignment is newer still.
    fn withdraw_assignment(&mut self, node: &Name) -> Result<()>;

    /// Keeps everybody else from the sessions and cursors of these agents until the transaction ends. The names are
    /// sorted, so that no two wait for each other.
    fn lock_sessions(&mut self, agents: &[&Name]) -> Result<()>;
    /// The same for agents that may have no session yet, and are about to get one.
    fn lock_new_sessions(&mut self, agents: &[&Name]) -> Result<()>;
    fn sessions(&mut self, agents: &[&Name]) -> Result<Vec<(Name, SessionRecord)>>;
    /// Inserts or replaces sessions with their epochs; epochs that are no longer listed are forgotten.
    fn put_sessions(&mut self, sessions: &[(&Name, &SessionRecord)]) -> Result<()>;
    fn current_cursors(&mut self, agents: &[&Name]) -> Result<Vec<CurrentCursor>>;
    /// Of epochs that are there.
    fn put_cursors(&mut self, cursors: &[&CurrentCursor]) -> Result<()>;
    /// Every agent's cursors, by name, the newest epoch last.
    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>>;
    /// Whose identity two computers were seen to take turns with, and when last.
    fn clones(&mut self) -> Result<Vec<(Name, Timestamp)>>;

    /// Appends in this order. A key that is there already was delivered before its epoch was forgotten and came back:
    /// it stays as it is.
    fn put_deliveries(&mut self, messages: &[StoredMessage<'_>], received: Timestamp) -> Result<()>;
    /// The same for gaps.
    fn put_gaps(&mut self, gaps: &[StoredGap<'_>], received: Timestamp) -> Result<()>;
    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>>;
    fn delivery_count(&mut self) -> Result<u64>;
    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>>;
    fn put_output_position(&mut self, output: &OutputPosition) -> Result<()>;
    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>>;

    fn token(&mut self, hash: TokenHash) -> Result<Option<TokenRecord>>;
    /// All tokens, by name, the oldest first.
    fn tokens(&mut self) -> Result<Vec<TokenRecord>>;
    fn count_tokens(&mut self) -> Result<u64>;
    /// Inserts or replaces.
    fn put_token(&mut self, token: &TokenRecord) -> Result<()>;
    /// Forgets all of a name; how many there were.
    fn remove_tokens(&mut self, name: &Name) -> Result<u64>;
    /// Forgets those that expired at this time or before and were never used.
    fn forget_unused_tokens(&mut self, expired: Timestamp) -> Result<()>;
    /// Forgets all that expired at this time or before.
    fn forget_tokens(&mut self, expired: Timestamp) -> Result<()>;
}

/// A path as it is stored, as names.
///
/// # Errors
///
/// [`crate::code::Code::StoreCorrupt`] if it is no list of names.
pub(super) fn path_of(via: &str) -> Result<Vec<Name>> {
    let names = via.split(',').filter(|name| !name.is_empty()).map(Name::parse);
    names.collect::<Result<_>>().map_err(|_| corrupt("a path that is no list of names"))
}

/// The patterns of names that a gateway may speak for, as they are stored: comma-separated.
pub(super) fn patterns_text(patterns: &[NamePattern]) -> String {
    patterns.iter().map(NamePattern::as_str).collect::<Vec<_>>().join(",")
}

/// The same, read.
///
/// # Errors
///
/// [`crate::code::Code::StoreCorrupt`].
pub(super) fn patterns_of(text: &str) -> Result<Vec<NamePattern>> {
    let patterns = text.split(',').filter(|pattern| !pattern.is_empty()).map(NamePattern::parse);
    patterns.collect::<Result<_>>().map_err(|_| corrupt("a list of patterns that cannot be read"))
}

/// A pinned key as it is stored: JSON.
///
/// # Errors
///
/// [`crate::code::Code::Internal`].
pub(super) fn pin_text(pin: &KeyPin) -> Result<String> {
    serde_json::to_string(pin).map_err(|error| {
        crate::error::Error::new(crate::code::Code::Internal).subject("a pinned key").found(error.to_string())
    })
}

/// The same, read.
///
/// # Errors
///
/// [`crate::code::Code::StoreCorrupt`].
pub(super) fn pin_of(text: &str) -> Result<KeyPin> {
    serde_json::from_str(text).map_err(|_| corrupt("a pinned key that cannot be read"))
}

/// The error of a stored value that farpost would not have written.
pub(super) fn corrupt(what: &str) -> crate::error::Error {
    crate::error::Error::new(crate::code::Code::StoreCorrupt).found(what.to_owned()).expected("what farpost writes")
}

/// A number for a page of rows, which databases count with a sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
