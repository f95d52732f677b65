//! The agent's public handle: send, receipts, receive, close.

mod builder;
mod lines;
mod perform;
mod receipt;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::code::Code;
use crate::config::WhenFull;
use crate::disk::Queue;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::message::{Message, Sequence};
use crate::node::agent::{Agent as Node, Effect, Input};
use crate::queue::SourcePosition;
use crate::session::clock;
use crate::session::driver::{Mailbox, machine};
use crate::session::events::{EventHub, Events};
use crate::session::reload::{IdentityReload, Reloader};
use crate::time::Timestamp;

pub use builder::AgentBuilder;
use receipt::Progress;
pub use receipt::{Receipt, Watermarks};

machine!(Node, Input, Effect);

/// A running agent. Clones are not handed out: share it behind an `Arc`.
///
/// Dropping it stops the node without waiting; what is undelivered stays in the queue on disk. [`Self::close`] waits.
pub struct Agent {
    shared: Arc<Shared>,
    reloader: Arc<Reloader<Node>>,
    first_events: Mutex<Option<Events>>,
}

/// What the handle, the queue's thread and the node's loop share.
struct Shared {
    queue: Queue,
    mailbox: Mailbox<Node>,
    events: EventHub,
    /// The numbering in force; held while messages are numbered, so that a receipt and a new epoch cannot cross.
    numbering: Mutex<()>,
    progress: watch::Sender<Progress>,
    space: Notify,
    received: Mutex<VecDeque<Received>>,
    arrived: Notify,
    stopped: watch::Sender<bool>,
    when_full: WhenFull,
    source: Option<SourcePosition>,
    message_bytes_max: usize,
    in_memory: bool,
}

impl Agent {
    /// Begins to configure an agent with this identity.
    pub fn builder(identity: crate::identity::Identity) -> AgentBuilder {
        AgentBuilder::new(identity)
    }

    /// Puts a message into the queue and returns its receipt: as soon as it has its number, not when it is stored.
    ///
    /// Waits while the queue is full (`when_full = block`, the default): back-pressure, not loss (rule D6).
    ///
    /// # Errors
    ///
    /// [`Code::QueueFull`] with `when_full = reject`; [`Code::MessageTooLarge`]; [`Code::Closed`]; what the disk refused.
    pub async fn send(&self, message: Message) -> Result<Receipt> {
        self.send_batch(vec![message]).await
    }

    /// Puts messages into the queue, all or none, and returns the receipt of the last. One call for many messages is
    /// much cheaper than many calls.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<Receipt> {
        self.shared.append(messages, None).await
    }

    /// Puts a message into the queue without waiting.
    ///
    /// # Errors
    ///
    /// [`Code::QueueFull`]: try again when [`Self::set_notify`]'s function was called; else as [`Self::send`].
    pub fn try_send(&self, message: Message) -> Result<Sequence> {
        Ok(self.shared.try_append(&[message], None)?.sequence())
    }

    /// How far the messages are, as watermarks.
    pub fn receipt(&self) -> Watermarks {
        self.shared.progress.borrow().watermarks
    }

    /// The receipt of a message by the number that it was sent with: for programs that keep numbers, not receipts.
    pub fn receipt_of(&self, sequence: Sequence) -> Receipt {
        self.shared.receipt(sequence)
    }

    /// The receipt of what was sent last, by an earlier run if nothing was sent in this one; it covers all before.
    pub fn last_receipt(&self) -> Receipt {
        let sent = self.shared.progress.borrow().sent;
        self.shared.receipt(sent)
    }

    /// Waits until everything that was sent so far is stored on disk.
    ///
    /// # Errors
    ///
    /// As [`Receipt::stored`].
    pub async fn flush(&self) -> Result<()> {
        self.last_receipt().stored().await
    }

    /// Waits until the group has everything that was sent so far.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the agent stops first.
    pub async fn all_delivered(&self) -> Result<()> {
        self.last_receipt().delivered().await
    }

    /// The next message from the management server; `None` once the agent has stopped. Cancel-safe.
    pub async fn receive(&self) -> Option<Received> {
        loop {
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            // Two tasks may wait, and two messages leave one permit: who looks must be in the line already.
            arrived.as_mut().enable();
            if let Some(received) = self.try_receive() {
                return Some(received);
            }
            if *self.shared.stopped.borrow() {
                return None;
            }
            arrived.await;
        }
    }

    /// The next message from the management server, if one waits.
    pub fn try_receive(&self) -> Option<Received> {
        lock(&self.shared.received).pop_front()
    }

    /// What happens to the agent. The first stream begins with the start.
    pub fn events(&self) -> Events {
        lock(&self.first_events).take().unwrap_or_else(|| self.shared.events.subscribe())
    }

    /// The next event of the first stream, if one waits; not to be mixed with [`Self::events`].
    pub fn try_event(&self) -> Option<Event> {
        lock(&self.first_events).as_mut()?.try_next()
    }

    /// Calls `notify` whenever an event, a message or space in the queue may have become available, or a watermark moved. It is called on
    /// threads of the library, and once at once; it must not block.
    pub fn set_notify(&self, notify: Box<dyn Fn() + Send + Sync>) {
        self.shared.events.set_notify(notify);
    }

    /// Reads the identity's files again and takes what they hold into use; the links stay (rule I5). The files are
    /// watched as well, unless [`AgentBuilder::without_identity_watch`] was called. Cancel-safe.
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
    pub async fn replace_identity(&self, identity: crate::identity::Identity) -> Result<IdentityReload> {
        self.reloader.replace(identity).await
    }

    /// Stops: waits until everything is delivered or `within` is over, closes the links, syncs the queue.
    ///
    /// # Errors
    ///
    /// [`Code::TimedOut`] if something was not delivered in time: with a state directory it is kept and sent next time.
    /// [`Code::Closed`] if the agent had stopped before everything was delivered, since its queue failed (its events say
    /// why) or an earlier call closed it.
    pub async fn close(&self, within: Duration) -> Result<()> {
        let waited = tokio::time::timeout(within, self.all_delivered()).await;
        self.shared.mailbox.post(Input::Stop);
        let mut stopped = self.shared.stopped.subscribe();
        // The sender lives in `shared`.
        let _ = tokio::time::timeout(STOP_WITHIN, stopped.wait_for(|stopped| *stopped)).await;
        let held = self.shared.queue.held().count;
        let queue = self.shared.queue.clone();
        let closed = tokio::task::spawn_blocking(move || queue.close()).await;
        closed.map_err(|error| Error::new(Code::Internal).found(error.to_string()))?;
        match waited {
            Ok(delivered) => delivered,
            Err(_) => Err(Error::new(Code::TimedOut)
                .found(format!("{held} messages undelivered"))
                .expected(format!("none within {within:?}"))),
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Agent").field("receipt", &self.receipt()).finish_non_exhaustive()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.mailbox.post(Input::Stop);
    }
}

impl Shared {
    async fn append(self: &Arc<Self>, messages: Vec<Message>, source: Option<SourcePosition>) -> Result<Receipt> {
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            match self.try_append(&messages, source) {
                Err(error) if error.code() == Code::QueueFull && self.when_full == WhenFull::Block => space.await,
                result => return result,
            }
        }
    }

    fn try_append(self: &Arc<Self>, messages: &[Message], source: Option<SourcePosition>) -> Result<Receipt> {
        if *self.stopped.borrow() {
            return Err(Error::new(Code::Closed));
        }
        let _numbering = lock(&self.numbering);
        let (_, last) = self.queue.try_append(messages, clock::wall(), source)?;
        self.progress.send_if_modified(|progress| {
            progress.sent = progress.sent.max(last);
            false
        });
        Ok(self.receipt(last))
    }

    fn receipt(self: &Arc<Self>, sequence: Sequence) -> Receipt {
        Receipt::new(sequence, self.progress.borrow().epoch, self.progress.subscribe(), self.in_memory)
    }
}

/// A message from the management server.
///
/// It comes again after a restart until it was acknowledged (rule D8).
pub struct Received {
    number: u64,
    sent: Timestamp,
    payload: Bytes,
    mailbox: Mailbox<Node>,
}

impl Received {
    /// The bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its number among the messages to this agent, from 1.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.number)
    }

    /// When it was put into the group store, by that computer's clock.
    pub fn sent(&self) -> Timestamp {
        self.sent
    }

    /// The application has it: it and all before it will not come again, once the agent's own disk says so.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the agent has stopped: it comes again.
    pub fn acknowledge(self) -> Result<()> {
        self.mailbox.try_post(Input::DownTaken { number: self.number })
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, sent, payload, .. } = self;
        let mut out = formatter.debug_struct("Received");
        out.field("sequence", number).field("sent", sent).field("payload", payload).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the links may take to close.
const STOP_WITHIN: Duration = Duration::from_secs(3);
