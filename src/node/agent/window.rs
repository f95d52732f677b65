//! What the agent's node holds in memory of the durable, undelivered messages; the rest is read from the queue.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::limits::{FRAME_BYTES_MAX, WINDOW_BYTES_MAX};
use crate::message::{Gap, Numbered, Sequence};
use crate::wire::{
    CHUNK_BYTES, FRAGMENT_PAYLOAD_MAX, Fragment, GapFrame, PAYLOAD_IN_RUN_MAX, SendCredit, put_data, put_message,
};

/// One thing to send: a message, or sequences that the queue does not hold any more.
#[derive(Debug)]
enum Item {
    Message(Numbered),
    Gap(Gap),
}

impl Item {
    fn last(&self) -> Sequence {
        match self {
            Self::Message(message) => message.sequence,
            Self::Gap(gap) => gap.last,
        }
    }
}

/// Invariant: the items are consecutive from `delivered + 1` on; those before `cursor` were sent on the open channel.
#[derive(Debug)]
pub(super) struct Window {
    items: VecDeque<Item>,
    bytes: usize,
    /// The first item that was not sent yet, and how much of it was (large messages travel in fragments).
    cursor: usize,
    offset: usize,
    delivered: Sequence,
    durable: Sequence,
    /// A read is out; what was durable when it was asked for.
    reading: Option<Sequence>,
    /// Answers that are still to come to reads of an epoch that is no more.
    void_reads: usize,
}

impl Window {
    /// Nothing in memory; messages up to `durable` are in the queue.
    pub(super) fn new(delivered: Sequence, durable: Sequence) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            cursor: 0,
            offset: 0,
            delivered,
            durable,
            reading: None,
            void_reads: 0,
        }
    }

    /// The window of a new epoch: the answer to a read of the old one, whose numbers mean other messages now, is dropped.
    pub(super) fn rekeyed(&self, delivered: Sequence, durable: Sequence) -> Self {
        let void_reads = self.void_reads + usize::from(self.reading.is_some());
        Self { void_reads, ..Self::new(delivered, durable) }
    }

    pub(super) fn delivered(&self) -> Sequence {
        self.delivered
    }

    /// The last item in memory, or the watermark before the first.
    fn end(&self) -> Sequence {
        self.items.back().map_or(self.delivered, Item::last)
    }

    /// The lowest sequence that this node can still send (rule D9).
    pub(super) fn lowest_held(&self) -> Sequence {
        self.delivered.next()
    }

    /// Takes messages that just became durable. What does not fit stays in the queue and is read when its turn comes.
    pub(super) fn push_durable(&mut self, messages: Vec<Numbered>) {
        for message in messages {
            let fits = self.end() == self.durable && self.bytes < WINDOW_BYTES_MAX && self.reading.is_none();
            self.durable = self.durable.max(message.sequence);
            if fits && message.sequence > self.end() {
                self.push(message);
            }
        }
    }

    fn push(&mut self, message: Numbered) {
        let expected = self.end().next();
        if message.sequence > expected {
            let last = Sequence(message.sequence.0 - 1);
            self.items.push_back(Item::Gap(Gap { first: expected, last, reason: Code::NotHeld }));
        }
        self.bytes += message.payload.len() + ITEM_BYTES;
        self.items.push_back(Item::Message(message));
    }

    /// What to read from the queue next, if something is missing and there is room.
    pub(super) fn wants_read(&mut self) -> Option<(Sequence, usize)> {
        let room = WINDOW_BYTES_MAX.saturating_sub(self.bytes);
        if self.reading.is_some() || self.end() >= self.durable || room < READ_BYTES_MIN {
            return None;
        }
        // What was sent and waits for its acknowledgement fills the window too; reading ahead of it is enough.
        self.reading = Some(self.durable);
        Some((self.end().next(), room.min(READ_BYTES_MAX)))
    }

    /// Takes what was read. An empty answer means that the queue holds nothing more of what was durable when it was
    /// asked: a gap. What became durable since is there.
    pub(super) fn handle_read(&mut self, messages: Vec<Numbered>) {
        if self.void_reads > 0 {
            self.void_reads -= 1;
            return;
        }
        let Some(asked) = self.reading.take() else { return };
        if messages.is_empty() && self.end() < asked {
            let gap = Gap { first: self.end().next(), last: asked, reason: Code::NotHeld };
            self.items.push_back(Item::Gap(gap));
            return;
        }
        for message in messages {
            if message.sequence > self.end() {
                self.push(message);
            }
        }
        self.durable = self.durable.max(self.end());
    }

    /// The group has everything up to here.
    pub(super) fn handle_delivered(&mut self, through: Sequence) {
        while self.items.front().is_some_and(|item| item.last() <= through) {
            if let Some(Item::Message(message)) = self.items.pop_front() {
                self.bytes -= message.payload.len() + ITEM_BYTES;
            }
            if self.cursor == 0 {
                self.offset = 0;
            }
            self.cursor = self.cursor.saturating_sub(1);
        }
        if let Some(Item::Gap(gap)) = self.items.front_mut() {
            // The group knew a part of it, from an earlier boot: only the rest is told.
            gap.first = gap.first.max(through.next());
        }
        self.delivered = self.delivered.max(through);
        self.durable = self.durable.max(self.delivered);
    }

    /// A channel was opened: everything that is not delivered is to be sent on it.
    pub(super) fn rewind(&mut self) {
        self.cursor = 0;
        self.offset = 0;
    }

    /// The last sequence sent on the open channel.
    pub(super) fn sent_through(&self) -> Sequence {
        match self.cursor.checked_sub(1).and_then(|at| self.items.get(at)) {
            Some(item) => item.last(),
            None => self.delivered,
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.cursor < self.items.len()
    }

    /// Appends frames for the channel while the chunk and the credit have room. Answers the highest sequence of which
    /// anything was sent.
    pub(super) fn fill(&mut self, chunk: &mut BytesMut, channel: u32, credit: &mut SendCredit) -> Option<Sequence> {
        let mut touched = None;
        while chunk.len() < CHUNK_BYTES && credit.may_send() {
            let before = chunk.len();
            let Some(item) = self.items.get(self.cursor) else { break };
            touched = Some(item.last());
            match item {
                Item::Gap(gap) => {
                    put_message(
                        chunk,
                        channel,
                        &GapFrame { first: gap.first.0, last: gap.last.0, reason: u32::from(gap.reason.number()) },
                    );
                    self.cursor += 1;
                }
                Item::Message(message) if message.payload.len() > PAYLOAD_IN_RUN_MAX => {
                    let (fragment, done) = fragment_at(message, self.offset);
                    self.offset = if done { 0 } else { self.offset + fragment.bytes.len() };
                    self.cursor += usize::from(done);
                    fragment.encode(chunk, channel);
                }
                Item::Message(_) => {
                    let run = self.items.range(self.cursor..).map_while(|item| match item {
                        Item::Message(message) if message.payload.len() <= PAYLOAD_IN_RUN_MAX => Some(message),
                        _ => None,
                    });
                    let taken = put_data(chunk, channel, run, FRAME_BYTES_MAX);
                    self.cursor += taken;
                    touched = Some(self.sent_through());
                }
            }
            credit.sent((chunk.len() - before) as u64);
        }
        touched
    }
}

fn fragment_at(message: &Numbered, offset: usize) -> (Fragment, bool) {
    let end = message.payload.len().min(offset + FRAGMENT_PAYLOAD_MAX);
    let bytes: Bytes = message.payload.slice(offset..end);
    // MESSAGE_BYTES_MAX is 64 MiB: lengths and offsets fit into 32 bits.
    let fragment = Fragment {
        sequence: message.sequence,
        sent: message.sent,
        priority: message.priority,
        total: message.payload.len() as u32,
        offset: offset as u32,
        bytes,
    };
    (fragment, end == message.payload.len())
}

/// What an item costs beside its payload.
const ITEM_BYTES: usize = std::mem::size_of::<Item>();
/// A read is worth its system calls from here on.
const READ_BYTES_MIN: usize = 64 << 10;
/// One read, so that the first messages of a large backlog travel while the next are read.
const READ_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Priority;
    use crate::time::Timestamp;
    use crate::wire::{HEADER_BYTES, Kind, Run, next_frame};

    fn message(sequence: u64, bytes: usize) -> Numbered {
        Numbered {
            sequence: Sequence(sequence),
            priority: Priority::Normal,
            sent: Timestamp::from_unix_millis(1),
            payload: vec![sequence as u8; bytes].into(),
        }
    }

    fn open() -> SendCredit {
        let mut credit = SendCredit::default();
        credit.raise(1 << 30);
        credit
    }

    #[test]
    fn what_the_queue_lost_travels_as_a_gap_in_its_place() {
        let mut window = Window::new(Sequence(0), Sequence(9));
        assert_eq!(window.wants_read().map(|(from, _)| from), Some(Sequence(1)));
        window.handle_read(vec![message(1, 10), message(4, 10)]);
        assert_eq!(window.wants_read().map(|(from, _)| from), Some(Sequence(5)));
        window.handle_read(Vec::new());
        let mut chunk = BytesMut::new();
        window.fill(&mut chunk, 7, &mut open());
        let mut kinds = Vec::new();
        while let Some(frame) = next_frame(&mut chunk, FRAME_BYTES_MAX).unwrap() {
            kinds.push(frame.kind);
        }
        assert_eq!(kinds, [Kind::Data, Kind::Gap, Kind::Data, Kind::Gap]);
        assert_eq!(window.sent_through(), Sequence(9));
    }

    #[test]
    fn a_large_message_travels_in_fragments_between_its_neighbours_and_again_whole_after_a_rewind() {
        let mut window = Window::new(Sequence(0), Sequence(0));
        window.push_durable(vec![message(1, 10), message(2, 40_000), message(3, 10)]);
        for _ in 0..2 {
            let mut frames = Vec::new();
            let mut credit = open();
            loop {
                let mut chunk = BytesMut::new();
                if window.fill(&mut chunk, 1, &mut credit).is_none() {
                    break;
                }
                while let Some(frame) = next_frame(&mut chunk, FRAME_BYTES_MAX).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(Run::parse(frames[0].body.clone()).unwrap().count(), 1);
            let parts: Vec<_> = frames[1..4].iter().map(|f| Fragment::parse(f.body.clone()).unwrap()).collect();
            assert_eq!(parts.iter().map(|part| part.bytes.len()).sum::<usize>(), 40_000);
            assert!(parts[2].is_last() && !parts[1].is_last());
            assert_eq!(Run::parse(frames[4].body.clone()).unwrap().first(), Sequence(3));
            assert!(frames.iter().all(|frame| frame.body.len() + HEADER_BYTES <= FRAME_BYTES_MAX));
            window.rewind();
        }
    }

    #[test]
    fn a_full_window_leaves_the_rest_in_the_queue_and_reads_it_in_order_later() {
        let mut window = Window::new(Sequence(0), Sequence(0));
        for sequence in 1..=20 {
            window.push_durable(vec![message(sequence, 1 << 20)]);
        }
        let in_memory = window.end();
        assert!(in_memory < Sequence(20) && window.durable == Sequence(20));
        assert_eq!(window.wants_read(), None, "there is no room yet");
        window.handle_delivered(in_memory);
        assert_eq!(window.wants_read().map(|(from, _)| from), Some(in_memory.next()));
        window.push_durable(vec![message(21, 1)]);
        assert_eq!(window.end(), in_memory, "21 must not overtake what is being read");
    }

    #[test]
    fn d1_the_answer_to_a_read_of_the_old_epoch_is_dropped_after_the_rekeying() {
        let mut old = Window::new(Sequence(10), Sequence(20));
        assert_eq!(old.wants_read().map(|(from, _)| from), Some(Sequence(11)));
        let mut window = old.rekeyed(Sequence(0), Sequence(30));
        assert_eq!(window.wants_read().map(|(from, _)| from), Some(Sequence(1)));
        window.handle_read((11..=20).map(|sequence| message(sequence, 10)).collect());
        assert_eq!(window.end(), Sequence(0), "1 to 10 are held, and no gap");
        window.handle_read((1..=30).map(|sequence| message(sequence, 10)).collect());
        assert_eq!(window.end(), Sequence(30));
    }

    #[test]
    fn d9_of_a_gap_that_the_group_knows_in_part_only_the_rest_is_told() {
        let mut window = Window::new(Sequence(0), Sequence(9));
        window.wants_read();
        window.handle_read(Vec::new());
        window.handle_delivered(Sequence(4));
        window.rewind();
        let mut chunk = BytesMut::new();
        window.fill(&mut chunk, 1, &mut open());
        let frame = next_frame(&mut chunk, FRAME_BYTES_MAX).unwrap().unwrap();
        let gap: GapFrame = crate::wire::read_message(&frame).unwrap();
        assert_eq!((gap.first, gap.last), (5, 9));
    }

    #[test]
    fn d6_an_empty_read_is_a_gap_up_to_what_was_durable_when_it_was_asked() {
        let mut window = Window::new(Sequence(0), Sequence(5));
        window.wants_read();
        window.push_durable(vec![message(6, 10)]);
        window.handle_read(Vec::new());
        assert_eq!(window.end(), Sequence(5));
        assert_eq!(window.wants_read().map(|(from, _)| from), Some(Sequence(6)), "6 is there");
    }
}
