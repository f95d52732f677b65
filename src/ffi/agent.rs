//! The one file that knows the library's session types: an agent behind the traits of `port`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};

use crate::code::Code;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ffi::port::{Incoming, Port, Stage, Watermarks};
use crate::ffi::session::Bells;
use crate::ffi::threads::Threads;
use crate::message::{Message, Sequence};
use crate::role::Role;
use crate::session::{Agent, Received};

/// Starts the node of a configuration on the session's threads.
///
/// # Errors
///
/// [`Code::RoleWrong`] for any role but the agent's; what the configuration lacks; what the start finds.
pub(super) fn start(config: Config, threads: &Threads, bells: Arc<Bells>) -> Result<Arc<dyn Port>> {
    if config.role != Role::Agent {
        return Err(Error::new(Code::RoleWrong).found(config.role.as_str()).expected(Role::Agent.as_str()));
    }
    config.validate()?;
    let agent = threads.run(None, async move { Agent::from_config(&config)?.start().await })??;
    agent.set_notify(Box::new(move || bells.notify()));
    Ok(Arc::new(Running(Arc::new(agent))))
}

/// A running agent.
struct Running(Arc<Agent>);

impl Port for Running {
    fn try_send(&self, message: Message) -> Result<Sequence> {
        self.0.try_send(message)
    }

    fn watermarks(&self) -> Watermarks {
        let receipt = self.0.receipt();
        Watermarks { stored: receipt.stored, relayed: receipt.relayed, delivered: receipt.delivered }
    }

    fn reached(&self, stage: Stage, sequence: Option<Sequence>) -> BoxFuture<'static, Result<()>> {
        let receipt = sequence.map_or_else(|| self.0.last_receipt(), |sequence| self.0.receipt_of(sequence));
        match stage {
            Stage::Stored => receipt.stored().boxed(),
            Stage::Relayed => receipt.relayed().boxed(),
            Stage::Delivered => receipt.delivered().boxed(),
        }
    }

    fn try_event(&self) -> Option<Event> {
        self.0.try_event()
    }

    fn try_receive(&self) -> Option<Box<dyn Incoming>> {
        self.0.try_receive().map(|received| Box::new(Arrived(received)) as Box<dyn Incoming>)
    }

    fn reload_identity(&self) -> BoxFuture<'static, Result<()>> {
        let agent = Arc::clone(&self.0);
        async move { agent.reload_identity().await.map(drop) }.boxed()
    }

    fn close(&self, within: Duration) -> BoxFuture<'static, Result<()>> {
        let agent = Arc::clone(&self.0);
        async move { agent.close(within).await }.boxed()
    }
}

/// A message to the agent.
struct Arrived(Received);

impl Incoming for Arrived {
    fn payload(&self) -> Bytes {
        self.0.payload().clone()
    }

    fn sequence(&self) -> Sequence {
        self.0.sequence()
    }

    fn acknowledge(self: Box<Self>) -> Result<()> {
        self.0.acknowledge()
    }
}
