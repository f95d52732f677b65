//! The engine on one SQLite file, which several processes may share.
//!
//! Write-ahead log, `synchronous = FULL`. Every call that changes something is one `BEGIN IMMEDIATE` transaction: only
//! one writes at a time, so that no record needs a lock of its own. All statements are bound and cached.
//!
//! A file that was taken away under a connection can still be written, and then is lost: each call looks first whether
//! the path names the file that is open (rule D4). One that stands in its place is used if it is the same group's.

mod approvals;
mod assignments;
mod audit;
mod columns;
mod days;
mod deliveries;
mod down;
mod failure;
mod file;
mod keys;
mod operators;
mod presence;
mod records;
mod refusals;
mod rules;
mod schema;
mod sessions;
mod sites;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::changes::Changes;
use crate::store::group_store::GroupStore;
use crate::store::identity::{GroupIdentity, named};
use crate::store::records::{Engine, Records};
use crate::store::sqlite::file::FileIdentity;

/// How long a call waits for another process's transaction before it answers `StoreBusy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A group store in an SQLite file.
pub(crate) type SqliteStore = GroupStore<Sqlite>;

/// The file.
pub(crate) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    file: FileIdentity,
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
        // Whole, since the program may change its working directory before the path is looked at again.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let engine = Sqlite::open(&path, group, busy).map_err(|error| named(error, &path.display().to_string()))?;
        Ok(Self { engine })
    }
}

impl Sqlite {
    fn open(path: &Path, group: Option<&str>, busy: Duration) -> Result<Self> {
        let mut connection = file::open(path, group.is_some(), busy)?;
        let file = FileIdentity::at(path)?;
        let identity = schema::open(&mut connection, group)?;
        Ok(Self { connection, path: path.to_owned(), file, identity })
    }

    /// Opens what stands at the path now, if that is another file than the one that is open.
    fn follow_file(&mut self) -> Result<()> {
        if FileIdentity::at(&self.path)? == self.file {
            return Ok(());
        }
        let other = Self::open(&self.path, None, BUSY_TIMEOUT)?;
        if !other.identity.is_same_as(&self.identity) {
            return Err(Error::new(Code::StoreUnavailable)
                .found("another group's store in the place of this group's")
                .expected("this group's")
                .remedy("put it back, or a backup of it: it is used again without a restart"));
        }
        let old = std::mem::replace(self, other);
        // What it would remove when it closes has the name of the new file's log.
        let _ = old.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        Ok(())
    }

    /// Adds the store to an error of its own.
    fn named(&self, error: Error) -> Error {
        named(error, &self.path.display().to_string())
    }

    fn write_once<R>(&mut self, work: &mut impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        self.follow_file()?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure::of)?;
        let answer = work(&mut &*transaction)?;
        transaction.commit().map_err(failure::of)?;
        Ok(answer)
    }
}

impl Engine for Sqlite {
    fn identity(&self) -> &GroupIdentity {
        &self.identity
    }

    fn write<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        self.write_once(&mut work).map_err(|error| self.named(error))
    }

    fn read<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        let answer = self.follow_file().and_then(|()| work(&mut &self.connection));
        answer.map_err(|error| self.named(error))
    }

    /// Deleted content is wiped in its page; here the pages leave the log. Where somebody reads at this moment, the log goes
    /// with a later checkpoint.
    fn forget_overwritten(&mut self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn changes(&mut self) -> Changes {
        Changes::Polled
    }

    /// The disk sets the pace.
    fn commit_pace(&self) -> Duration {
        Duration::ZERO
    }
}
