//! What the application takes: batches of deliveries, acknowledged as a whole.

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::message::{Epoch, Gap, Priority, Sequence};
use crate::name::Name;
use crate::node::management_server::{Batch, Delivery, Input, ManagementServer as Node};
use crate::session::driver::Mailbox;
use crate::time::Timestamp;
use crate::wire::Content;

/// The stream of batches.
///
/// A few batches may be taken before the first is acknowledged; the server then waits, and so do the agents
/// (back-pressure). Cursors move in the order of the batches.
pub struct Deliveries {
    batches: mpsc::UnboundedReceiver<Batch>,
    mailbox: Mailbox<Node>,
}

impl Deliveries {
    pub(super) fn new(batches: mpsc::UnboundedReceiver<Batch>, mailbox: Mailbox<Node>) -> Self {
        Self { batches, mailbox }
    }

    /// The next batch; `None` once the server has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<DeliveryBatch> {
        let batch = self.batches.recv().await?;
        Some(DeliveryBatch { batch, mailbox: self.mailbox.clone() })
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

/// Messages of many agents, in order per agent.
///
/// A batch that is dropped without [`Self::acknowledge`] holds back the cursors of all later ones: its messages come
/// again, marked, after the next connection.
pub struct DeliveryBatch {
    batch: Batch,
    mailbox: Mailbox<Node>,
}

impl DeliveryBatch {
    /// What is in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.batch.deliveries.iter().flat_map(items)
    }

    /// The application has made all of it durable: the cursor is written, then the acknowledgement travels back to the
    /// agents (rule D4).
    pub fn acknowledge(self) {
        self.mailbox.post(Input::Acknowledged { batch: self.batch.number });
    }

    pub(super) fn number(&self) -> u64 {
        self.batch.number
    }

    /// Whether the node has ended: an acknowledgement would not be heard.
    pub(super) fn is_orphaned(&self) -> bool {
        self.mailbox.is_closed()
    }
}

impl fmt::Debug for DeliveryBatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeliveryBatch")
            .field("number", &self.batch.number)
            .field("deliveries", &self.batch.deliveries.len())
            .finish_non_exhaustive()
    }
}

/// One thing that an agent delivers.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A message.
    Message(DeliveredMessage<'a>),
    /// Messages that will never come.
    Gap(DeliveredGap<'a>),
}

/// A message, as the application is handed it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveredMessage<'a> {
    /// Who sent it, as its certificate proves.
    pub agent: &'a Name,
    /// The gateways that it came through, the agent's own first; none where it came directly.
    pub via: &'a [Name],
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// Its number in that epoch; with agent and epoch its key (rule D1).
    pub sequence: Sequence,
    /// Its priority.
    pub priority: Priority,
    /// When the application handed it to the agent, by the agent's clock.
    pub sent: Timestamp,
    /// The bytes.
    pub payload: Bytes,
    /// It may have been handed over before: a link or a server failed in between (rule D5).
    pub redelivered: bool,
}

/// Messages that will never come, with the reason (rules D6 and D9).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeliveredGap<'a> {
    /// Whose.
    pub agent: &'a Name,
    /// The gateways that told it, the agent's own first; none where it came directly.
    pub via: &'a [Name],
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// Which, and why.
    pub gap: Gap,
}

fn items(delivery: &Delivery) -> impl Iterator<Item = Item<'_>> {
    let (agent, via, epoch) = (&delivery.agent, &*delivery.via, delivery.epoch);
    let gap = match &delivery.content {
        Content::Gap(gap) => Some(Item::Gap(DeliveredGap { agent, via, epoch, gap: *gap })),
        _ => None,
    };
    let messages = delivery.content.messages().map(move |message| {
        Item::Message(DeliveredMessage {
            agent,
            via,
            epoch,
            sequence: message.sequence,
            priority: message.priority,
            sent: message.sent,
            payload: message.payload,
            redelivered: message.sequence <= delivery.redelivered_through,
        })
    });
    gap.into_iter().chain(messages)
}
