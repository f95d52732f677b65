//! The group store in one SQLite file, which several processes may share.
//!
//! Write-ahead log, `synchronous = FULL`. Every call that changes something is one `BEGIN IMMEDIATE` transaction, so
//! that what a rule reads is what its outcome is written over. All statements are bound and cached.

mod approvals;
mod assignments;
mod columns;
mod deliveries;
mod down;
mod failure;
mod file;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Result;
use crate::group::{
    AgentRecord, Assignment, AssignmentKey, AssignmentRecord, CursorOutcome, CursorWrite, Decision, GatewayRecord,
    GroupKey, Knock, ServerRecord, SessionAnswer, SessionRequest, SignedAssignment, TokenAnswer, TokenRecord, TokenUse,
    UnknownAgents,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::{Delivery, DeliveryGap, DownMessage, OutputPosition, Store, StoredRun};
use crate::time::Timestamp;

/// How long a call waits for another process's transaction before it answers `StoreBusy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A group store in an SQLite file.
pub(crate) struct SqliteStore {
    connection: Connection,
    path: String,
    group: String,
    key: Arc<GroupKey>,
    challenge_secret: [u8; 32],
}

impl SqliteStore {
    /// Opens the store at `path`. With `group` it is made if there is none yet, and must be that group's otherwise.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable`, `StoreBusy`, `StoreNewer`, `StoreCorrupt`; `GroupMismatch` if it is another group's;
    /// `KeyExposed` if others may read the file and this cannot be changed.
    pub(crate) fn open(path: &Path, group: Option<&str>) -> Result<Self> {
        Self::open_waiting(path, group, BUSY_TIMEOUT)
    }

    fn open_waiting(path: &Path, group: Option<&str>, busy: Duration) -> Result<Self> {
        let path_text = path.display().to_string();
        let mut connection = file::open(path, group.is_some(), busy).map_err(|error| named(error, &path_text))?;
        let identity = schema::open(&mut connection, group).map_err(|error| named(error, &path_text))?;
        Ok(Self {
            connection,
            path: path_text,
            group: identity.group,
            key: Arc::new(identity.key),
            challenge_secret: identity.challenge_secret,
        })
    }

    /// Runs `work` in a transaction that is durable when this returns `Ok`, and undone otherwise.
    fn write<R>(&mut self, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        let attempt = || -> Result<R> {
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure::of)?;
            let answer = work(&transaction)?;
            transaction.commit().map_err(failure::of)?;
            Ok(answer)
        };
        attempt().map_err(|error| named(error, &self.path))
    }

    fn read<R>(&self, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
        work(&self.connection).map_err(|error| named(error, &self.path))
    }
}

/// Adds the file to an error of the store itself; a rule's refusal has its own subject.
fn named(error: crate::error::Error, path: &str) -> crate::error::Error {
    if error.subject_text().is_empty() { error.subject(path) } else { error }
}

impl Store for SqliteStore {
    fn change(&mut self) -> Result<u64> {
        self.read(schema::change)
    }

    fn group(&mut self) -> Result<String> {
        Ok(self.group.clone())
    }

    fn assignment_key(&mut self) -> Result<AssignmentKey> {
        Ok(self.key.public())
    }

    fn challenge_secret(&mut self) -> Result<[u8; 32]> {
        Ok(self.challenge_secret)
    }

    fn register_server(&mut self, server: &Name, address: &str, at: Timestamp) -> Result<()> {
        self.write(|connection| assignments::register_server(connection, server, address, at))
    }

    fn set_server_excluded(&mut self, server: &Name, excluded: bool) -> Result<()> {
        self.write(|connection| assignments::set_server_excluded(connection, server, excluded))
    }

    fn servers(&mut self) -> Result<Vec<ServerRecord>> {
        self.read(assignments::servers)
    }

    fn approve_gateway(&mut self, gateway: &Name, parent: &Name, at: Timestamp) -> Result<()> {
        self.write(|connection| approvals::approve_gateway(connection, gateway, parent, at))
    }

    fn delete_gateway(&mut self, gateway: &Name) -> Result<()> {
        self.write(|connection| approvals::delete_gateway(connection, gateway))
    }

    fn gateways(&mut self) -> Result<Vec<GatewayRecord>> {
        self.read(approvals::gateways)
    }

    fn approve_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        self.write(|connection| approvals::approve_agent(connection, agent, at))
    }

    fn reject_agent(&mut self, agent: &Name, at: Timestamp) -> Result<()> {
        self.write(|connection| approvals::reject_agent(connection, agent, at))
    }

    fn agents(&mut self) -> Result<Vec<AgentRecord>> {
        self.read(approvals::agents)
    }

    fn unknown_agents(&mut self) -> Result<UnknownAgents> {
        self.read(schema::unknown_agents)
    }

    fn set_unknown_agents(&mut self, unknown_agents: UnknownAgents) -> Result<()> {
        self.write(|connection| schema::set_unknown_agents(connection, unknown_agents))
    }

    fn authorise(&mut self, knocks: &[Knock]) -> Result<Vec<Decision>> {
        self.write(|connection| knocks.iter().map(|knock| approvals::authorise(connection, knock)).collect())
    }

    fn assign(&mut self, node: &Name, assignment: &Assignment) -> Result<()> {
        let key = Arc::clone(&self.key);
        let group = self.group.clone();
        self.write(|connection| {
            assignments::assign(connection, node, assignment, |version| key.sign(&group, node, version, assignment))
        })
    }

    fn assignment(&mut self, node: &Name) -> Result<Option<SignedAssignment>> {
        self.read(|connection| assignments::signed(connection, node))
    }

    fn assignments(&mut self) -> Result<Vec<AssignmentRecord>> {
        self.read(assignments::assignments)
    }

    fn open_sessions(&mut self, requests: &[SessionRequest]) -> Result<Vec<SessionAnswer>> {
        self.write(|connection| requests.iter().map(|request| sessions::open_session(connection, request)).collect())
    }

    fn commit(&mut self, writes: &[CursorWrite], deliveries: &[StoredRun]) -> Result<Vec<CursorOutcome>> {
        let received = now();
        self.write(|connection| {
            let moves = sessions::move_cursors(connection, writes)?;
            deliveries::store(connection, &moves, writes, deliveries, received)?;
            Ok(outcomes(&moves))
        })
    }

    fn cursors(&mut self) -> Result<Vec<(Name, Epoch, Sequence)>> {
        self.read(sessions::cursors)
    }

    fn deliveries(&mut self, above: u64, count: usize) -> Result<Vec<Delivery>> {
        self.read(|connection| deliveries::deliveries(connection, above, count))
    }

    fn delivery_count(&mut self) -> Result<u64> {
        self.read(deliveries::delivery_count)
    }

    fn gaps(&mut self, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
        self.read(|connection| deliveries::gaps(connection, above, count))
    }

    fn commit_with_output(&mut self, writes: &[CursorWrite], output: &OutputPosition) -> Result<Vec<CursorOutcome>> {
        self.write(|connection| {
            let moves = sessions::move_cursors(connection, writes)?;
            deliveries::set_output_position(connection, output)?;
            Ok(outcomes(&moves))
        })
    }

    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>> {
        self.read(|connection| deliveries::output_position(connection, server, path))
    }

    fn send_down(&mut self, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
        self.write(|connection| down::send(connection, agent, payload, at))
    }

    fn down_messages(&mut self, agent: &Name, fence: u64, above: u64, count: usize) -> Result<Vec<DownMessage>> {
        self.read(|connection| down::messages(connection, agent, fence, above, count))
    }

    fn down_waiting(&mut self) -> Result<Vec<Name>> {
        self.read(down::waiting)
    }

    fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64) -> Result<()> {
        self.write(|connection| down::delivered(connection, agent, fence, through))
    }

    fn create_token(&mut self, token: &TokenRecord) -> Result<()> {
        self.write(|connection| tokens::create(connection, token))
    }

    fn use_token(&mut self, ask: &TokenUse) -> Result<TokenAnswer> {
        self.write(|connection| tokens::use_once(connection, ask))
    }

    fn tokens(&mut self) -> Result<Vec<TokenRecord>> {
        self.read(tokens::tokens)
    }

    fn delete_token(&mut self, name: &Name) -> Result<u64> {
        self.write(|connection| tokens::delete(connection, name))
    }
}

/// This computer's clock, for people: when a delivery was written.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn outcomes(moves: &[Option<sessions::Moved>]) -> Vec<CursorOutcome> {
    let outcome = |moved: &Option<_>| if moved.is_some() { CursorOutcome::Written } else { CursorOutcome::Fenced };
    moves.iter().map(outcome).collect()
}
