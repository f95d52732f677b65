//! What an output of `store = true` wrote, as it is read back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Epoch, Gap, Priority, Sequence};
use crate::name::Name;
use crate::time::Timestamp;

/// A message that an output of `store = true` wrote into the group store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// Its number in the store: rises in the order of delivery.
    pub number: u64,
    /// Who sent it.
    pub agent: Name,
    /// The gateways that it came through, the agent's own first.
    pub via: Vec<Name>,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// The message's number in that epoch.
    pub sequence: Sequence,
    /// Its priority.
    pub priority: Priority,
    /// When the application handed it to the agent, by the agent's clock.
    pub sent: Timestamp,
    /// When it was written, by the management server's clock.
    pub received: Timestamp,
    /// The bytes.
    #[serde(with = "crate::text_form::hexadecimal")]
    pub payload: Bytes,
}

/// A gap that an output of `store = true` wrote into the group store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryGap {
    /// Its number in the store: rises in the order of delivery.
    pub number: u64,
    /// Whose messages are missing.
    pub agent: Name,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// Which are missing, and why.
    pub gap: Gap,
    /// When it was written, by the management server's clock.
    pub received: Timestamp,
}

/// How long the group store keeps what an output of `store = true` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveriesKept {
    /// For how many whole days (UTC) beside today, whether anybody read them or not; `None`: for ever.
    pub days: Option<u32>,
    /// When the first of those that are there was received, by the management server's clock.
    pub oldest: Option<Timestamp>,
}
