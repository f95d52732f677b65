//! The management server's public handle.

mod builder;
mod deliveries;
mod output_file;
mod perform;
mod registrar;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::node::management_server::{Effect, Input, ManagementServer as Node};
use crate::session::driver::{Mailbox, machine};
use crate::session::events::{EventHub, Events};

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
}

impl ManagementServer {
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
