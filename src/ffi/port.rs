//! What the C interface needs of a session, whatever its role: the traits that `agent` implements.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::Result;
use crate::event::Event;
use crate::message::{Message, Sequence};

/// A running session.
pub(super) trait Port: Send + Sync {
    /// Takes a message without blocking; [`Code::QueueFull`](crate::Code::QueueFull) if there is no space.
    fn try_send(&self, message: Message) -> Result<Sequence>;
    /// How far the messages are.
    fn watermarks(&self) -> Watermarks;
    /// Waits until a stage covers a sequence, or, without one, everything that was sent so far.
    fn reached(&self, stage: Stage, sequence: Option<Sequence>) -> BoxFuture<'static, Result<()>>;
    /// The next event, if one waits.
    fn try_event(&self) -> Option<Event>;
    /// The next message from the management server, if one waits.
    fn try_receive(&self) -> Option<Box<dyn Incoming>>;
    /// Reads the identity's files again.
    fn reload_identity(&self) -> BoxFuture<'static, Result<()>>;
    /// Stops within the time given: what is out is waited for, the rest stays in the queue.
    fn close(&self, within: Duration) -> BoxFuture<'static, Result<()>>;
}

/// A message from the management server.
pub(super) trait Incoming: Send {
    /// The bytes.
    fn payload(&self) -> Bytes;
    /// Its number among the messages to this agent.
    fn sequence(&self) -> Sequence;
    /// Hands the acknowledgement on without blocking.
    fn acknowledge(self: Box<Self>) -> Result<()>;
}

/// What a message has to reach (rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On this computer's disk.
    Stored,
    /// On a gateway's disk, or further.
    Relayed,
    /// Acknowledged by the application at the management server.
    Delivered,
}

/// Each covers every sequence up to itself (rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Watermarks {
    /// On this computer's disk.
    pub(super) stored: Sequence,
    /// On a gateway's disk.
    pub(super) relayed: Sequence,
    /// Acknowledged by the application at the management server.
    pub(super) delivered: Sequence,
}
