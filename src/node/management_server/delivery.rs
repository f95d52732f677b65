//! From channels to the application and back: hand-over in batches, acknowledgement, cursors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::group::CursorWrite;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::wire::Content;

/// What one channel delivers at once, in order.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) channel: u64,
    pub(crate) agent: Name,
    /// The gateways that it came through, the agent's own first.
    pub(crate) via: Arc<[Name]>,
    pub(crate) epoch: Epoch,
    /// Messages up to here may have been handed over before (rule D5).
    pub(crate) redelivered_through: Sequence,
    pub(crate) content: Content,
    /// What it costs in credit, given back when it is handed over.
    pub(crate) credit: u64,
}

/// What the application is handed at once; it acknowledges the number.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) deliveries: Vec<Delivery>,
}

/// What a channel reached in a batch.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) channel: u64,
    pub(super) write: CursorWrite,
}

/// A batch that the application has.
#[derive(Debug)]
struct Outstanding {
    number: u64,
    marks: Vec<Mark>,
    bytes: usize,
    acknowledged: bool,
}

/// The way out. Invariant: a cursor is written only for batches that were acknowledged, in their order.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    ready: VecDeque<Delivery>,
    /// Bytes of the large messages in `ready`: their credit was given back while they were joined, so that it is the
    /// join budget that bounds them (rule D7).
    large_bytes: usize,
    outstanding: VecDeque<Outstanding>,
    outstanding_bytes: usize,
    batches: u64,
    /// The cursors that wait for the next commit, one per channel.
    due: BTreeMap<u64, CursorWrite>,
    /// The last batch that these and all earlier cursors cover.
    acknowledged: u64,
    committing: Option<Vec<Mark>>,
}

impl Outlet {
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.large_bytes += delivery.content.large_bytes();
        self.ready.push_back(delivery);
    }

    /// Bytes of joined messages that wait to be handed over.
    pub(super) fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next deliveries of channels that still stand, up to `bytes_max`, with the cursors that they lead to.
    fn take(
        &mut self,
        bytes_max: usize,
        fence_of: impl Fn(&Delivery) -> Option<u64>,
    ) -> (Vec<Delivery>, Vec<Mark>, usize) {
        let (mut deliveries, mut bytes) = (Vec::new(), 0);
        let mut marks: BTreeMap<u64, CursorWrite> = BTreeMap::new();
        while bytes < bytes_max {
            let Some(delivery) = self.ready.pop_front() else { break };
            self.large_bytes -= delivery.content.large_bytes();
            // A channel that ended is sent again by its agent; what it left here is nobody's.
            let Some(fence) = fence_of(&delivery) else { continue };
            bytes += delivery.content.bytes();
            let through = delivery.content.last();
            let (agent, epoch) = (delivery.agent.clone(), delivery.epoch);
            marks.insert(delivery.channel, CursorWrite { agent, epoch, fence, through });
            deliveries.push(delivery);
        }
        (deliveries, marks.into_iter().map(|(channel, write)| Mark { channel, write }).collect(), bytes)
    }

    /// The next batch for the application, if there is one and the application keeps up.
    pub(super) fn next_batch(&mut self, fence_of: impl Fn(&Delivery) -> Option<u64>) -> Option<Batch> {
        if self.outstanding_bytes >= OUTSTANDING_BYTES_MAX || self.outstanding.len() >= OUTSTANDING_BATCHES_MAX {
            return None;
        }
        let (deliveries, marks, bytes) = self.take(BATCH_BYTES_MAX, fence_of);
        if deliveries.is_empty() {
            return None;
        }
        self.batches += 1;
        self.outstanding_bytes += bytes;
        self.outstanding.push_back(Outstanding { number: self.batches, marks, bytes, acknowledged: false });
        Some(Batch { number: self.batches, deliveries })
    }

    /// The application has taken a batch; cursors move in the order of the batches.
    pub(super) fn handle_acknowledged(&mut self, number: u64) {
        if let Some(batch) = self.outstanding.iter_mut().find(|batch| batch.number == number) {
            batch.acknowledged = true;
        }
        while self.outstanding.front().is_some_and(|batch| batch.acknowledged) {
            let Some(batch) = self.outstanding.pop_front() else { break };
            self.outstanding_bytes -= batch.bytes;
            self.acknowledged = batch.number;
            for mark in batch.marks {
                self.due.insert(mark.channel, mark.write);
            }
        }
    }

    /// The cursors to write next; one commit is on its way at a time, so that what arrives meanwhile is one batch.
    /// Answers the last batch that they cover, too.
    pub(super) fn next_commit(&mut self) -> Option<(Vec<CursorWrite>, u64)> {
        if self.committing.is_some() || self.due.is_empty() {
            return None;
        }
        let marks: Vec<Mark> =
            std::mem::take(&mut self.due).into_iter().map(|(channel, write)| Mark { channel, write }).collect();
        let writes = marks.iter().map(|mark| mark.write.clone()).collect();
        self.committing = Some(marks);
        Some((writes, self.acknowledged))
    }

    /// Whether the store has not answered a commit yet.
    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// The same where the group store is the output: deliveries and cursors in one commit (rule D5a).
    pub(super) fn next_stored(
        &mut self,
        fence_of: impl Fn(&Delivery) -> Option<u64>,
    ) -> Option<(Vec<CursorWrite>, Vec<Delivery>)> {
        if self.committing.is_some() {
            return None;
        }
        let (deliveries, marks, _) = self.take(STORED_BYTES_MAX, fence_of);
        if deliveries.is_empty() {
            return None;
        }
        let writes = marks.iter().map(|mark| mark.write.clone()).collect();
        self.committing = Some(marks);
        Some((writes, deliveries))
    }

    /// The commit is durable (rule D4): what it covered.
    pub(super) fn handle_committed(&mut self) -> Vec<Mark> {
        self.committing.take().unwrap_or_default()
    }
}

/// One hand-over.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// One transaction of the built-in output to the store.
const STORED_BYTES_MAX: usize = 4 << 20;
/// What the application may have unacknowledged: two of the largest batches on the way, the rest is back-pressure.
const OUTSTANDING_BYTES_MAX: usize = 16 << 20;
/// The same in batches.
const OUTSTANDING_BATCHES_MAX: usize = 256;
