//! The management group as its operators see it: approvals, assignments, inventory.

mod approvals;
mod assignments;
mod audit;
mod author;
mod downstream;
mod inventory;
mod keys;
mod operators;
mod place;
mod remote;
mod renewal;
mod sites;
mod tokens;

use std::fmt;
use std::sync::Arc;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, Author, By, Operation};
use crate::session::clock;
use crate::store::StoreThread;

use place::Place;
pub use remote::OperatorConnection;
use remote::Remote;
pub use renewal::RenewalOutcome;

/// A management group, by its store, or from afar through a management server ([`ManagementGroup::connect`]). Clones
/// share one connection.
///
/// What is changed here takes effect on every management server of the group and on live links within 2 s (rule G2),
/// whichever process changes it.
#[derive(Clone)]
pub struct ManagementGroup {
    backend: Backend,
    /// Whose name the audit log gets (rule G4).
    author: Author,
}

/// Where a group is asked.
#[derive(Clone)]
enum Backend {
    Store(Arc<StoreThread>),
    /// A management server, which knows the author by its certificate.
    Remote(Arc<Remote>),
}

/// What a gateway is approved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApprovedFor<'a> {
    /// To connect to this management server, and to those that are assigned to it.
    ManagementServer(&'a str),
    /// To connect to this gateway, which is approved already: chains of gateways work.
    Gateway(&'a str),
}

impl ManagementGroup {
    /// Opens a group's store: `sqlite:///var/lib/farpost/group.db`, or `sqlite://group.db` for a relative path; with
    /// the feature `postgres`, `postgres://farpost@db.corp.example/group?sslmode=verify-full&sslrootcert=FILE` as well
    /// (see docs/postgresql.md).
    ///
    /// # Errors
    ///
    /// [`Code::ConfigBadValue`] for the URL; [`Code::StoreUnavailable`], [`Code::StoreBusy`], [`Code::StoreNewer`],
    /// [`Code::StoreCorrupt`], [`Code::KeyExposed`]; of a database [`Code::StoreLoginFailed`], [`Code::StoreForbidden`],
    /// [`Code::StoreUntrusted`].
    pub async fn open(url: &str) -> Result<Self> {
        Self::start(url, None).await
    }

    /// Opens the store of the group of this name; makes it, with its keys, if there is none yet.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::open`]; [`Code::GroupMismatch`] if the store is another group's.
    pub async fn open_new(url: &str, management_group: &str) -> Result<Self> {
        Self::start(url, Some(management_group.to_owned())).await
    }

    async fn start(url: &str, management_group: Option<String>) -> Result<Self> {
        let place = Place::of(url)?;
        let store = StoreThread::start(move || place.open(management_group.as_deref()));
        Ok(Self { backend: Backend::Store(Arc::new(store.await?)), author: author::this_user() })
    }

    /// The same group, with another name in the audit log (rule G4) than that of the user whose process this is: for a
    /// program that acts for its own users.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`] for an empty name, one above 255 bytes, or one with control characters;
    /// [`Code::OperationLocal`] from afar: there the certificate's name counts.
    pub fn acting_as(&self, name: &str) -> Result<Self> {
        let backend = Backend::Store(self.store()?.clone());
        Ok(Self { backend, author: author::acting_as(&self.author, name)? })
    }

    /// The store's thread, for the management server that runs on this group.
    ///
    /// # Errors
    ///
    /// [`Code::OperationLocal`] for a group from afar.
    pub(crate) fn store(&self) -> Result<&Arc<StoreThread>> {
        match &self.backend {
            Backend::Store(store) => Ok(store),
            Backend::Remote(_) => {
                let error = Error::new(Code::OperationLocal).subject("management group");
                Err(error.found("a group from afar").expected("one that was opened by its store's URL"))
            }
        }
    }

    /// Asks something of the group.
    async fn ask(&self, operation: impl Into<Operation>) -> Result<Answer> {
        let (operation, author) = (operation.into(), self.author.clone());
        let store = match &self.backend {
            Backend::Store(store) => store,
            Backend::Remote(remote) => return remote.ask(operation).await,
        };
        store.call(move |store| store.perform(&operation, &By { author, at: clock::wall() })).await
    }
}

/// The one answer that an operation gives.
macro_rules! answer {
    ($asked:expr, $answer:ident) => {
        match $asked.await? {
            Answer::$answer(value) => Ok(value),
            other => Err($crate::session::management_group::unexpected(&other)),
        }
    };
}
use answer;

/// Of an operation that only says that it is done.
fn done(answer: Answer) -> Result<()> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(answer: &Answer) -> Error {
    let found: String = format!("{answer:?}").chars().take(100).collect();
    Error::new(Code::Internal).subject("management group").found(found).expected("the answer to what was asked")
}

impl fmt::Debug for ManagementGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ManagementGroup").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
