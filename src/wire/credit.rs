//! Credit per channel, counted in absolute totals. Section 6 of the specification.

use crate::code::Code;
use crate::error::Error;
use crate::limits::{CHANNEL_CREDIT_MAX, CHANNEL_CREDIT_MIN, LINK_CREDIT_MAX};

/// The sender's side: a frame may go while the total before it is below the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendCredit {
    limit: u64,
    sent: u64,
}

impl SendCredit {
    /// Takes a CREDIT: the larger limit wins, a repeat is harmless.
    pub(crate) fn raise(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    pub(crate) fn may_send(self) -> bool {
        self.sent < self.limit
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}

/// The receiver's side. Invariant: `consumed <= received`, and `received` was below `granted` before its last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiveCredit {
    window: u64,
    granted: u64,
    received: u64,
    consumed: u64,
}

impl ReceiveCredit {
    /// A channel that was just opened: its first grant is due at once.
    pub(crate) fn new() -> Self {
        Self { window: CHANNEL_CREDIT_MIN, granted: 0, received: 0, consumed: 0 }
    }

    /// Counts a frame that arrived.
    ///
    /// # Errors
    ///
    /// [`Code::PeerOverranCredit`] if it was sent at or beyond the limit.
    pub(crate) fn receive(&mut self, bytes: u64) -> Result<(), Error> {
        if self.received >= self.granted {
            return Err(Error::new(Code::PeerOverranCredit)
                .found(format!("a frame that begins at byte {} of its channel", self.received))
                .expected(format!("nothing from byte {} on", self.granted)));
        }
        self.received += bytes;
        Ok(())
    }

    /// Counts a frame as handed on.
    pub(crate) fn consume(&mut self, bytes: u64) {
        self.consumed += bytes;
        debug_assert!(self.consumed <= self.received);
    }

    /// The next limit to tell the sender, if it is worth a frame: half a window, so that a reader that takes one frame
    /// at a time does not cost one CREDIT per frame. A channel that used its window up grows as far as the pool allows.
    pub(crate) fn grant(&mut self, pool: &mut CreditPool) -> Option<u64> {
        let room = (self.consumed + self.window).saturating_sub(self.granted);
        if room < self.window / 2 {
            return None;
        }
        if self.granted > 0 && self.window < CHANNEL_CREDIT_MAX && pool.take(self.window) {
            self.window *= 2;
        }
        self.granted = self.consumed + self.window;
        Some(self.granted)
    }

    /// Gives back what the channel's growth took, when it ends.
    pub(crate) fn release(&self, pool: &mut CreditPool) {
        pool.taken = pool.taken.saturating_sub(self.window - CHANNEL_CREDIT_MIN);
    }
}

/// What the channels of one link may have beyond their first 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreditPool {
    taken: u64,
}

impl CreditPool {
    fn take(&mut self, bytes: u64) -> bool {
        let fits = self.taken + bytes <= LINK_CREDIT_MAX;
        if fits {
            self.taken += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d7_a_frame_beyond_the_credit_is_refused_and_one_below_it_is_not() {
        let mut pool = CreditPool::default();
        let mut credit = ReceiveCredit::new();
        assert_eq!(credit.receive(1).unwrap_err().code(), Code::PeerOverranCredit, "nothing was granted yet");
        assert_eq!(credit.grant(&mut pool), Some(4096));
        credit.receive(4095).unwrap();
        credit.receive(16_384).unwrap();
        assert_eq!(credit.receive(1).unwrap_err().code(), Code::PeerOverranCredit);
    }

    #[test]
    fn a_channel_that_consumes_grows_to_its_maximum_and_gives_everything_back() {
        let mut pool = CreditPool::default();
        let mut credit = ReceiveCredit::new();
        let mut sender = SendCredit::default();
        sender.raise(credit.grant(&mut pool).unwrap());
        for _ in 0..1000 {
            while sender.may_send() {
                sender.sent(8192);
                credit.receive(8192).unwrap();
            }
            credit.consume(credit.received - credit.consumed);
            sender.raise(credit.grant(&mut pool).unwrap());
        }
        assert_eq!(credit.window, CHANNEL_CREDIT_MAX);
        credit.release(&mut pool);
        assert_eq!(pool, CreditPool::default());
    }

    #[test]
    fn d7_the_channels_of_a_link_never_hold_more_than_its_pool_beyond_their_minimum() {
        let mut pool = CreditPool::default();
        let mut channels = vec![ReceiveCredit::new(); 100];
        for _ in 0..20 {
            for channel in &mut channels {
                channel.grant(&mut pool);
                let rest = channel.granted - channel.received;
                channel.receive(rest).unwrap();
                channel.consume(rest);
            }
        }
        let beyond: u64 = channels.iter().map(|channel| channel.window - CHANNEL_CREDIT_MIN).sum();
        assert_eq!(beyond, pool.taken);
        assert!(beyond <= LINK_CREDIT_MAX);
    }
}
