//! The order within a channel: every sequence once, in order, nothing left out. Section 5 of the specification.

use crate::code::Code;
use crate::error::Error;
use crate::message::Sequence;
use crate::wire::run::Fragment;

/// What a channel must send next. Gateways and management servers check it, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    next: Sequence,
    /// Bytes of a large message that have come; 0 between messages.
    offset: u32,
}

impl Order {
    /// A channel on which everything up to `delivered` is known.
    pub(crate) fn after(delivered: Sequence) -> Self {
        // `delivered` comes from a peer (OPENED): after the highest number there is none, and `range` refuses it.
        Self { next: Sequence(delivered.0.saturating_add(1)), offset: 0 }
    }

    /// Takes a run of messages or a gap.
    ///
    /// # Errors
    ///
    /// [`Code::SequenceBroken`]: it went back, left something out, or came inside a large message.
    pub(crate) fn range(&mut self, first: Sequence, last: Sequence) -> Result<(), Error> {
        if first != self.next || last < first || last.0 == u64::MAX || self.offset != 0 {
            return Err(self.broken(format!("sequences {first} to {last}")));
        }
        self.next = last.next();
        Ok(())
    }

    /// Takes a part of a large message; true if it is complete now.
    pub(crate) fn fragment(&mut self, fragment: &Fragment) -> Result<bool, Error> {
        if fragment.sequence != self.next || fragment.offset != self.offset {
            return Err(self.broken(format!("byte {} of sequence {}", fragment.offset, fragment.sequence)));
        }
        if fragment.is_last() {
            self.offset = 0;
            self.next = self.next.next();
            return Ok(true);
        }
        self.offset += u32::try_from(fragment.bytes.len()).unwrap_or(0);
        Ok(false)
    }

    fn broken(&self, found: String) -> Error {
        Error::new(Code::SequenceBroken)
            .found(found)
            .expected(format!("sequence {} from its byte {} on", self.next, self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_a_sequence_that_goes_back_or_leaves_something_out_is_refused() {
        let mut order = Order::after(Sequence(7));
        for (first, last) in [(7, 8), (9, 9), (8, 7), (8, u64::MAX)] {
            let error = order.range(Sequence(first), Sequence(last)).unwrap_err();
            assert_eq!(error.code(), Code::SequenceBroken, "{first} to {last}");
        }
        order.range(Sequence(8), Sequence(10)).unwrap();
        order.range(Sequence(11), Sequence(11)).unwrap();
    }

    #[test]
    fn a_peer_that_names_the_highest_number_as_delivered_gets_nothing_through() {
        let mut order = Order::after(Sequence(u64::MAX));
        for first in [0, 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(order.range(Sequence(first), Sequence(u64::MAX)).unwrap_err().code(), Code::SequenceBroken);
        }
    }
}
