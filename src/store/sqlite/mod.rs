//! The engine on one SQLite file, which several processes may share.
//!
//! Write-ahead log, `synchronous = FULL`. Every call that changes something is one `BEGIN IMMEDIATE` transaction: only
//! one writes at a time, so that no record needs a lock of its own. All statements are bound and cached.

mod approvals;
mod assignments;
mod audit;
mod columns;
mod deliveries;
mod down;
mod failure;
mod file;
mod operators;
mod records;
mod refusals;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Result;
use crate::store::changes::Changes;
use crate::store::group_store::GroupStore;
use crate::store::identity::{GroupIdentity, named};
use crate::store::records::{Engine, Records};

/// How long a call waits for another process's transaction before it answers `StoreBusy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A group store in an SQLite file.
pub(crate) type SqliteStore = GroupStore<Sqlite>;

/// The file.
pub(crate) struct Sqlite {
    connection: Connection,
    path: String,
    identity: GroupIdentity,
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
        Ok(Self { engine: Sqlite { connection, path: path_text, identity } })
    }
}

impl Engine for Sqlite {
    fn identity(&self) -> &GroupIdentity {
        &self.identity
    }

    fn write<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        let mut attempt = || -> Result<R> {
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure::of)?;
            let answer = work(&mut &*transaction)?;
            transaction.commit().map_err(failure::of)?;
            Ok(answer)
        };
        attempt().map_err(|error| named(error, &self.path))
    }

    fn read<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        work(&mut &self.connection).map_err(|error| named(error, &self.path))
    }

    fn changes(&mut self) -> Changes {
        Changes::Polled
    }

    /// The disk sets the pace.
    fn commit_pace(&self) -> Duration {
        Duration::ZERO
    }
}
