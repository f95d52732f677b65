//! The engine on PostgreSQL, which the servers of a group on several machines share.
//!
//! Every call that changes something is one READ COMMITTED transaction that first locks the rows on which it decides:
//! the group's row for approvals, servers and assignments, the agents' session rows for fences and cursors. Two that
//! are in each other's way all the same (a deadlock, an engine that works optimistically) are run again.
//!
//! **Lost connections.** A call that meets one before its COMMIT is run once more on a new connection. One that was
//! lost during COMMIT may have been done: the error says so, and every call may be repeated (a cursor that has moved
//! already takes no delivery again, rule D5a; a session opened twice has a higher fence). While there is no server, a
//! call fails at once until the next attempt to connect is due.
//!
//! The runtime has a worker of its own: notices are heard while nobody asks for anything.

mod approvals;
mod audit;
mod columns;
mod connection;
mod days;
mod deliveries;
mod down;
mod failure;
mod keys;
mod listen;
mod operators;
mod presence;
mod records;
mod refusals;
mod rules;
mod schema;
mod sessions;
mod sites;
mod tls;
mod tokens;
mod url;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::limits::DATABASE_COMMIT_PACE;
use crate::store::changes::{Changes, Heard};
use crate::store::group_store::GroupStore;
use crate::store::identity::{GroupIdentity, named};
use crate::store::postgres::connection::Link;
use crate::store::postgres::failure::{Failure, Kind};
use crate::store::postgres::records::Transaction;
use crate::store::postgres::url::Target;
use crate::store::records::{Engine, Records};

/// How often a transaction is run before its error is the caller's.
const ATTEMPTS_MAX: u32 = 6;
/// The first rest after a failed attempt to connect; it doubles.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest: a server that is back is in use again within this time.
const REST_MAX: Duration = Duration::from_secs(2);
/// The first rest between two transactions that are in each other's way; it doubles.
const COLLISION_REST: Duration = Duration::from_millis(2);

/// A group store in a PostgreSQL database.
pub(crate) type PostgresStore = GroupStore<Postgres>;

/// The database.
pub(crate) struct Postgres {
    target: Arc<Target>,
    identity: GroupIdentity,
    /// From the first time on that somebody wants to hear of changes: an operator's command does not.
    heard: Option<watch::Receiver<Heard>>,
    connector: Connector,
}

impl PostgresStore {
    /// Opens the store of a connection string. With `group` it is made if there is none yet, and must be that group's
    /// otherwise.
    ///
    /// # Errors
    ///
    /// `ConfigBadValue`, `KeyExposed` for the string; `StoreUnavailable`, `StoreLoginFailed`, `StoreForbidden`,
    /// `StoreUntrusted`, `StoreNewer`, `StoreCorrupt`; `GroupMismatch` if it is another group's.
    pub(crate) fn open(url: &str, group: Option<&str>) -> Result<Self> {
        let target = Arc::new(Target::parse(url)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("farpost-postgres")
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::Internal).subject("a runtime").found(error.to_string()))?;
        let mut connector = Connector { runtime, link: None, rest: None };
        let identity = open_schema(&mut connector, &target, group).map_err(|error| named(error, &target.label))?;
        Ok(Self { engine: Postgres { target, identity, heard: None, connector } })
    }
}

fn open_schema(connector: &mut Connector, target: &Target, group: Option<&str>) -> Result<GroupIdentity> {
    if !connector.read(target, |records| schema::is_current(records, group))? {
        connector.write(target, |records| schema::migrate(records, group))?;
    }
    connector.read(target, |records| schema::read(records, group))
}

impl Engine for Postgres {
    fn identity(&self) -> &GroupIdentity {
        &self.identity
    }

    fn write<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        let answer = self.connector.write(&self.target, |records| work(records));
        answer.map_err(|error| named(error, &self.target.label))
    }

    fn read<R>(&mut self, mut work: impl FnMut(&mut dyn Records) -> Result<R>) -> Result<R> {
        let answer = self.connector.read(&self.target, |records| work(records));
        answer.map_err(|error| named(error, &self.target.label))
    }

    fn changes(&mut self) -> Changes {
        if !self.target.notify {
            return Changes::Polled;
        }
        let (target, runtime) = (&self.target, &self.connector.runtime);
        let heard = self.heard.get_or_insert_with(|| {
            let (told, heard) = watch::channel(Heard::default());
            runtime.spawn(listen::listen(Arc::clone(target), told));
            heard
        });
        Changes::Told(heard.clone())
    }

    fn commit_pace(&self) -> Duration {
        DATABASE_COMMIT_PACE
    }
}

/// The connection, if there is one, and when the next may be made.
struct Connector {
    link: Option<Link>,
    rest: Option<Rest>,
    /// Last, so that it is there while the connection is closed.
    runtime: Runtime,
}

/// The time after a failed attempt to connect.
struct Rest {
    until: Instant,
    length: Duration,
    failure: Failure,
}

/// How an attempt at a transaction ended without an answer.
enum Ended {
    /// For the caller.
    For(Error),
    /// It changed nothing and may be run again.
    Again(Error),
}

impl Connector {
    fn write<R>(&mut self, target: &Target, mut work: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        self.repeat(|connector| {
            connector.in_link(target, |records| {
                records.begin()?;
                let answer = work(records)?;
                records.commit()?;
                Ok(answer)
            })
        })
    }

    fn read<R>(&mut self, target: &Target, mut work: impl FnMut(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        self.repeat(|connector| connector.in_link(target, &mut work))
    }

    fn repeat<R>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<R, Ended>) -> Result<R> {
        let mut rest = COLLISION_REST;
        for count in 1.. {
            match attempt(self) {
                Ok(answer) => return Ok(answer),
                Err(Ended::Again(_)) if count < ATTEMPTS_MAX => {
                    // Servers that collided do not meet again in step: the connection's own pace differs.
                    std::thread::sleep(rest);
                    rest *= 2;
                }
                Err(Ended::Again(error) | Ended::For(error)) => return Err(error),
            }
        }
        Err(Error::new(Code::Internal).found("attempts that never end"))
    }

    /// Runs `work` on the connection and looks at what it left behind.
    fn in_link<R>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R>,
    ) -> Result<R, Ended> {
        let mut link = self.connected(target).map_err(Ended::For)?;
        let was_proven = link.is_proven;
        let mut transaction = Transaction::new(self.runtime.handle(), &mut link);
        let answer = work(&mut transaction);
        let is_committing = transaction.is_committing;
        let failure = link.failure.take();
        match answer {
            Ok(answer) => {
                link.is_proven = true;
                self.link = Some(link);
                Ok(answer)
            }
            Err(error) => match failure.map(|failure| failure.kind) {
                Some(Kind::Lost) if is_committing => {
                    Err(Ended::For(error.expected("an answer to COMMIT: what was asked may have been done, or not")))
                }
                // A server that was restarted meanwhile: only a connection that was good before is worth another.
                Some(Kind::Lost) if was_proven => Err(Ended::Again(error)),
                Some(Kind::Lost) => Err(Ended::For(error)),
                kind => {
                    self.undo(link);
                    if kind == Some(Kind::Collision) { Err(Ended::Again(error)) } else { Err(Ended::For(error)) }
                }
            },
        }
    }

    /// Rolls back what is open; a connection that does not even do that is dropped.
    fn undo(&mut self, mut link: Link) {
        if link.is_busy && link.run(self.runtime.handle(), "ROLLBACK").is_err() {
            return;
        }
        link.is_busy = false;
        link.failure = None;
        self.link = Some(link);
    }

    /// Takes the connection, made now if there is none and an attempt is due.
    fn connected(&mut self, target: &Target) -> Result<Link> {
        if let Some(link) = self.link.take().filter(|link| !link.is_busy) {
            return Ok(link);
        }
        if let Some(rest) = self.rest.as_ref().filter(|rest| Instant::now() < rest.until) {
            return Err(rest.failure.error.clone());
        }
        let opened = match target.read_again() {
            Ok(target) => Link::open(self.runtime.handle(), &target),
            Err(error) => Err(Failure { kind: Kind::Lost, error }),
        };
        match opened {
            Ok(link) => {
                self.rest = None;
                Ok(link)
            }
            Err(failure) => {
                let length = self.rest.as_ref().map_or(REST_MIN, |rest| (rest.length * 2).min(REST_MAX));
                let error = failure.error.clone();
                self.rest = Some(Rest { until: Instant::now() + length, length, failure });
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
