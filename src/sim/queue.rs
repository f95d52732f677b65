//! An agent's queue and its disk, with the contract of the disk queue: numbered when appended, durable after a sync,
//! the boot counted at every opening, a crash loses what was not synced.

use std::collections::{BTreeMap, VecDeque};

use crate::message::{Epoch, Numbered, Sequence};
use crate::node::agent::{Held, Instance};
use crate::sim::dice::Dice;

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) epoch: Epoch,
    pub(super) boot: u64,
    pub(super) next: u64,
    pub(super) delivered: u64,
    /// The first sequence given since the last boot that the group has seen; 0 once it has seen this one.
    unseen_first: u64,
    pub(super) down_cursor: u64,
    pub(super) held: BTreeMap<u64, Numbered>,
}

/// What the node asked of the writer, in order.
#[derive(Debug)]
pub(super) enum Call {
    Append(Numbered),
    Read { from: Sequence, bytes_max: usize },
    Rekey,
    KeepDownCursor { number: u64 },
    KeepSeen { epoch: Epoch },
}

/// What the writer answers.
#[derive(Debug)]
pub(super) enum Answer {
    Durable(Vec<Numbered>),
    Read(Vec<Numbered>),
    Rekeyed { instance: Instance, held: Held },
    DownCursorKept { number: u64 },
    SeenKept { epoch: Epoch },
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) disk: Disk,
    /// The next sequence that an append gets.
    next: u64,
    delivered: u64,
    nonce: u64,
    calls: VecDeque<Call>,
}

impl Queue {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { disk: Disk { epoch, next: 1, unseen_first: 1, ..Disk::default() }, ..Self::default() }
    }

    /// Opens the queue: memory is what the disk has.
    pub(super) fn open(&mut self, dice: &mut Dice) -> (Instance, Held) {
        self.disk.boot += 1;
        if self.disk.unseen_first == 0 {
            self.disk.unseen_first = self.disk.next;
        }
        self.calls.clear();
        self.next = self.disk.next;
        self.delivered = self.disk.delivered;
        self.nonce = dice.next();
        (self.instance(), self.held())
    }

    fn instance(&self) -> Instance {
        let Disk { epoch, boot, unseen_first, .. } = self.disk;
        Instance { epoch, boot, nonce: self.nonce, first: Sequence(unseen_first) }
    }

    fn held(&self) -> Held {
        Held {
            delivered: Sequence(self.disk.delivered),
            durable: Sequence(self.disk.next - 1),
            down_cursor: self.disk.down_cursor,
        }
    }

    /// Numbers a message and hands it to the writer.
    pub(super) fn append(&mut self, mut message: Numbered) {
        message.sequence = Sequence(self.next);
        self.next += 1;
        self.calls.push_back(Call::Append(message));
    }

    pub(super) fn call(&mut self, call: Call) {
        self.calls.push_back(call);
    }

    /// Forgotten at once, written with the next batch.
    pub(super) fn delivered(&mut self, through: Sequence) {
        self.delivered = self.delivered.max(through.0.min(self.next - 1));
    }

    pub(super) fn has_work(&self) -> bool {
        !self.calls.is_empty()
    }

    /// One batch of the writer: some of what waits becomes durable. A crash between this and its answers loses the
    /// answers only.
    pub(super) fn write(&mut self, dice: &mut Dice) -> Vec<Answer> {
        // The disk queue serves reads after the batch: one may be answered under a new epoch's numbers.
        let read_first = matches!(self.calls.front(), Some(Call::Read { .. }));
        if read_first && self.calls.get(1).is_some_and(|call| !matches!(call, Call::Read { .. })) && dice.percent(50) {
            self.calls.swap(0, 1);
        }
        let (mut answers, mut durable) = (Vec::new(), Vec::new());
        let delivered = self.delivered.min(self.disk.next - 1);
        self.disk.delivered = self.disk.delivered.max(delivered);
        self.disk.held = self.disk.held.split_off(&(self.disk.delivered + 1));
        // What follows a new epoch is numbered by it, and is another batch.
        let until_rekey =
            self.calls.iter().position(|call| matches!(call, Call::Rekey)).map_or(usize::MAX, |at| at + 1);
        let count = (1 + dice.below(self.calls.len().max(1))).min(until_rekey);
        for call in self.calls.drain(..count.min(self.calls.len())).collect::<Vec<_>>() {
            if !matches!(call, Call::Append(_)) && !durable.is_empty() {
                answers.push(Answer::Durable(std::mem::take(&mut durable)));
            }
            match call {
                Call::Append(message) => {
                    self.disk.next = message.sequence.0 + 1;
                    self.disk.held.insert(message.sequence.0, message.clone());
                    durable.push(message);
                }
                Call::Read { from, bytes_max } => answers.push(Answer::Read(self.read(from, bytes_max))),
                Call::Rekey => answers.push(self.rekey(Epoch(dice.next()))),
                Call::KeepDownCursor { number } => {
                    self.disk.down_cursor = self.disk.down_cursor.max(number);
                    answers.push(Answer::DownCursorKept { number });
                }
                Call::KeepSeen { epoch } => {
                    if epoch == self.disk.epoch {
                        self.disk.unseen_first = 0;
                    }
                    answers.push(Answer::SeenKept { epoch });
                }
            }
        }
        if !durable.is_empty() {
            answers.push(Answer::Durable(durable));
        }
        answers
    }

    fn read(&self, from: Sequence, bytes_max: usize) -> Vec<Numbered> {
        let (mut bytes, mut messages) = (0, Vec::<Numbered>::new());
        for message in self.disk.held.range(from.0..).map(|(_, message)| message) {
            let consecutive = messages.last().is_none_or(|last| last.sequence.next() == message.sequence);
            if !consecutive || bytes >= bytes_max {
                break;
            }
            bytes += message.payload.len();
            messages.push(message.clone());
        }
        messages
    }

    fn rekey(&mut self, epoch: Epoch) -> Answer {
        let base = self.disk.delivered;
        let renumber = |mut message: Numbered| {
            message.sequence = Sequence(message.sequence.0 - base);
            message
        };
        let held = std::mem::take(&mut self.disk.held).into_values().map(renumber);
        self.disk.held = held.map(|message| (message.sequence.0, message)).collect();
        for call in &mut self.calls {
            if let Call::Append(message) = call {
                message.sequence = Sequence(message.sequence.0 - base);
            }
        }
        self.next -= base;
        self.disk.next -= base;
        (self.disk.delivered, self.delivered) = (0, 0);
        (self.disk.epoch, self.disk.unseen_first) = (epoch, 1);
        Answer::Rekeyed { instance: self.instance(), held: self.held() }
    }
}
