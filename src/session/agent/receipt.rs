//! Receipts: what became of a message (rule D2).

use tokio::sync::watch;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::message::{Epoch, Sequence};

/// How far the messages of an agent are; each covers every sequence up to itself (rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Watermarks {
    /// Synced to this computer's disk; none for a queue in memory.
    pub stored: Sequence,
    /// In a gateway's spool.
    pub relayed: Sequence,
    /// Acknowledged by the application at the management server.
    pub delivered: Sequence,
}

/// What receipts watch.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) epoch: Epoch,
    pub(super) sent: Sequence,
    pub(super) watermarks: Watermarks,
    pub(super) stopped: bool,
    /// Until a new epoch is durable: what the queue reports meanwhile has numbers of the old one.
    pub(super) rekeying: bool,
    /// Epochs that ended here: what was undelivered had this much taken off its sequence in the next one.
    pub(super) ended: Vec<(Epoch, u64)>,
}

/// The receipt of one message. Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt {
    sequence: Sequence,
    epoch: Epoch,
    progress: watch::Receiver<Progress>,
    in_memory: bool,
}

impl Receipt {
    pub(super) fn new(sequence: Sequence, epoch: Epoch, progress: watch::Receiver<Progress>, in_memory: bool) -> Self {
        Self { sequence, epoch, progress, in_memory }
    }

    /// The message's number when it was sent.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Waits until the message is synced to this computer's disk: it survives kill -9 and power loss.
    ///
    /// # Errors
    ///
    /// [`Code::QueueInMemory`] without a state directory: it never will be; [`Code::Closed`] if the agent stops first.
    pub async fn stored(self) -> Result<()> {
        if self.in_memory {
            return Err(Error::new(Code::QueueInMemory));
        }
        self.until(|watermarks| watermarks.stored.max(watermarks.delivered)).await
    }

    /// Waits until the message is in a gateway's spool, or further.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the agent stops first.
    pub async fn relayed(self) -> Result<()> {
        self.until(|watermarks| watermarks.relayed.max(watermarks.delivered)).await
    }

    /// Waits until the application at the management server has acknowledged the message.
    ///
    /// # Errors
    ///
    /// [`Code::Closed`] if the agent stops first.
    pub async fn delivered(self) -> Result<()> {
        self.until(|watermarks| watermarks.delivered).await
    }

    async fn until(mut self, reached: impl Fn(&Watermarks) -> Sequence) -> Result<()> {
        let (epoch, sequence) = (self.epoch, self.sequence);
        let covers = |progress: &Progress| reached(&progress.watermarks) >= progress.place_of(epoch, sequence);
        let progress = self.progress.wait_for(|progress| progress.stopped || covers(progress)).await;
        match progress {
            Ok(progress) if covers(&progress) => Ok(()),
            _ => Err(Error::new(Code::Closed)),
        }
    }
}

impl Progress {
    /// Where a message of an earlier epoch stands in the present one.
    fn place_of(&self, epoch: Epoch, sequence: Sequence) -> Sequence {
        let ended = self.ended.iter().skip_while(|(ended, _)| *ended != epoch);
        Sequence(ended.fold(sequence.0, |sequence, (_, shift)| sequence.saturating_sub(*shift)))
    }
}
