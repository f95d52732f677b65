//! The management server's public handle.

mod builder;
mod commit_pace;
mod deliveries;
mod forgetting;
mod operators;
mod output_file;
mod perform;
mod presence;
mod refusals;
mod registrar;
mod reports;
mod start;
mod store_health;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::node::management_server::{Effect, Input, ManagementServer as Node};
use crate::session::driver::{Mailbox, machine};
use crate::session::events::{EventHub, Events};
use crate::session::reload::{IdentityReload, Reloader};

pub use builder::ManagementServerBuilder;
pub use deliveries::{DeliveredGap, DeliveredMessage, Deliveries, DeliveryBatch, Item};

machine!(Node, Input, Effect);

/// A running management server. Dropping it stops the node without waiting; [`Self::close`] waits.
pub struct ManagementServer {
    mailbox: Mailbox<Node>,
    events: EventHub,
    first_events: Mutex<Option<Events>>,
    address: Option<SocketAddr>,
    enrolment_address: Option<SocketAddr>,
    deliveries: Option<Deliveries>,
    stopped: watch::Receiver<bool>,
    tasks: Vec<JoinHandle<()>>,
    output: Option<JoinHandle<()>>,
    reloader: Arc<Reloader<Node>>,
    reports: reports::ReportBook,
}

impl ManagementServer {
    /// What this server knows of the nodes behind it.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look into it"))]
    pub(crate) fn report_book(&self) -> reports::ReportBook {
        self.reports.clone()
    }

    /// Where it listens: the port that the system chose, if it was asked to (port 0).
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where it takes enrolments, if it is configured to: the port that the system chose, if it was asked to (port 0).
    pub fn enrolment_address(&self) -> Option<SocketAddr> {
        self.enrolment_address
    }

    /// What happens to the server. The first stream begins with the start.
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    /// The batches for the application, once; `None` if they were taken, or if a built-in output takes them.
    pub fn deliveries(&mut self) -> Option<Deliveries> {
        self.deliveries.take()
    }

    /// Reads the identity's files again and takes what they hold into use; the links stay (rule I5). The files are
    /// watched as well, unless [`ManagementServerBuilder::without_identity_watch`] was called. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`] if the identity was not read from files; what is wrong with it, as
    /// [`Identity::from_files`](crate::Identity::from_files) says it: the last good one stays in use.
    pub async fn reload_identity(&self) -> Result<IdentityReload> {
        self.reloader.reload().await
    }

    /// Takes this identity into use; the links stay (rule I5). If it was not read from files, none are watched any more.
    ///
    /// # Errors
    ///
    /// [`Code::NameMismatch`]; [`Code::CrlUnusable`] for a revocation list older than the one in use; what the check of
    /// its own certificate finds. The last good one stays in use.
    pub async fn replace_identity(&self, identity: Identity) -> Result<IdentityReload> {
        self.reloader.replace(identity).await
    }

    /// Stops: accepts nobody any more, tells the peers, finishes the commit that is on its way, within the time given.
    ///
    /// # Errors
    ///
    /// [`Code::TimedOut`].
    pub async fn close(mut self, within: Duration) -> Result<()> {
        self.stop();
        let stopped = async {
            // The sender's end is the stop as well.
            let _ = self.stopped.wait_for(|stopped| *stopped).await;
            if let Some(output) = self.output.take() {
                let _ = output.await;
            }
        };
        let result = tokio::time::timeout(within, stopped).await;
        result.map_err(|_| Error::new(Code::TimedOut).expected(format!("a stop within {within:?}")))
    }

    fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.mailbox.post(Input::Stop);
    }
}

impl fmt::Debug for ManagementServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ManagementServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for ManagementServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Batches on their way to the application: bounded by what the node lets be outstanding.
type BatchSender = mpsc::UnboundedSender<crate::node::management_server::Batch>;
type BatchReceiver = mpsc::UnboundedReceiver<crate::node::management_server::Batch>;
