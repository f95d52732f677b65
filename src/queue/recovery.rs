//! Recovery: which segments count, what they hold, what is damaged, what is torn. Section 5 of the specification.

use std::collections::VecDeque;

use crate::code::Code;
use crate::event::Event;
use crate::queue::checkpoint::{Checkpoint, Preface};
use crate::queue::index::{Footer, Index, Point, push_point};
use crate::queue::record::{RecordKind, message_bytes};
use crate::queue::scan::{Damage, Step, Walk};

/// A range of the log's sequences that no readable record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What the shell found out about one file.
#[derive(Clone, Debug)]
pub(crate) struct SegmentInput {
    pub(crate) id: u64,
    /// None: unreadable.
    pub(crate) preface: Option<Preface>,
    /// Whether it has a batch that checks, preface or not.
    pub(crate) has_batch: bool,
}

/// A segment that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) id: u64,
    /// How much of it a newer segment calls valid; None at the tail, and where the newer preface is damaged.
    pub(crate) valid: Option<u64>,
}

/// Follows the chain from the newest segment down. Answers the segments that count, oldest first; all others are
/// void: never synced, or replaced after a failed write.
pub(crate) fn prefaces_chain(found: &[SegmentInput]) -> Vec<Link> {
    let mut chain = Vec::new();
    let mut rest = found;
    let mut valid = None;
    while let Some((segment, lower)) = rest.split_last() {
        rest = lower;
        if segment.preface.is_none() && !segment.has_batch && valid.is_none() {
            continue;
        }
        chain.push(Link { id: segment.id, valid });
        valid = None;
        if let Some(preface) = &segment.preface {
            if preface.previous == 0 {
                break;
            }
            if let Ok(at) = lower.binary_search_by_key(&preface.previous, |lower| lower.id) {
                rest = &lower[..=at];
                valid = Some(preface.previous_valid);
            }
        }
    }
    chain.reverse();
    chain
}

/// Collects what the segments say, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    state: Option<Checkpoint>,
    index: Index,
    /// The sequence after the last one seen; 0 where nothing is expected.
    expected: u64,
    damage: Vec<Damage>,
    missing: Vec<Missing>,
    torn_bytes: u64,
    unknown: bool,
}

/// A log as its files tell it.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// None: no checkpoint can be read (or there never was one).
    pub(crate) state: Option<Checkpoint>,
    pub(crate) index: Index,
    pub(crate) damage: Vec<Damage>,
    /// Lost sequences that were not delivered.
    pub(crate) missing: Vec<Missing>,
    pub(crate) torn_bytes: u64,
}

impl Recovery {
    /// Adds a sealed segment by its footer; its successor's checkpoint says the rest.
    pub(crate) fn sealed(&mut self, id: u64, preface: Option<&Preface>, footer: &Footer) {
        self.begin(id, preface);
        for point in &footer.points {
            self.index.push(*point);
        }
        // A footer leaves out what was delivered when it was written: it cannot show that something is missing.
        self.expected = 0;
    }

    /// Adds a segment by its bytes, up to the valid length, where known. Answers where its valid part ends.
    ///
    /// `fresh` stands in where no checkpoint can be read: the messages are kept under a new epoch.
    pub(crate) fn scanned(
        &mut self,
        preface: Option<&Preface>,
        walk: Walk<'_>,
        start: usize,
        fresh: &Checkpoint,
    ) -> u64 {
        self.begin(walk.segment, preface);
        let state = self.state.get_or_insert_with(|| fresh.clone());
        let mut expected = self.expected;
        let mut points = VecDeque::new();
        let mut point: Option<Point> = None;
        let (mut begin, mut batch_next) = (0, 0);
        let (damage, missing, unknown) = (&mut self.damage, &mut self.missing, &mut self.unknown);
        let end = walk.run(start, |step| match step {
            Step::Begin { offset } => (begin, batch_next) = (offset, 0),
            Step::Damage(found) => damage.push(found),
            Step::Record { record, sent } => {
                *unknown |= !state.apply(&record);
                if record.kind == RecordKind::Batch {
                    batch_next = record.sequence;
                } else if record.kind == RecordKind::Message {
                    note_missing(missing, &mut expected, record.sequence);
                    expected = expected.max(record.sequence.saturating_add(1));
                    let entry = point.get_or_insert(Point {
                        first: record.sequence,
                        last: record.sequence,
                        count: 0,
                        offset: begin,
                        length: 0,
                        bytes: 0,
                        sent,
                    });
                    entry.last = record.sequence;
                    entry.count += 1;
                    entry.bytes += message_bytes(record.body.len());
                }
            }
            Step::End { offset } => {
                note_missing(missing, &mut expected, batch_next);
                if let Some(mut done) = point.take() {
                    // A batch is bounded far below 4 GiB; a longer damaged stretch is read in part.
                    done.length = u32::try_from(offset - begin).unwrap_or(u32::MAX);
                    push_point(&mut points, done);
                }
            }
        });
        self.expected = expected;
        points.into_iter().for_each(|point| self.index.push(point));
        self.torn_bytes += (walk.bytes.len() - end) as u64;
        walk.origin + end as u64
    }

    /// Notes durable bytes that are not there, or a preface of which one copy is damaged.
    pub(crate) fn damaged(&mut self, damage: Damage) {
        self.damage.push(damage);
    }

    /// Notes a segment that was begun and never synced.
    pub(crate) fn torn(&mut self, bytes: u64) {
        self.torn_bytes += bytes;
    }

    /// What was found damaged so far.
    pub(crate) fn damage(&self) -> &[Damage] {
        &self.damage
    }

    fn begin(&mut self, id: u64, preface: Option<&Preface>) {
        self.index.begin_segment(id);
        let Some(preface) = preface else { return };
        // What was in segments that were reclaimed is delivered, not missing: before the first nothing is expected.
        note_missing(&mut self.missing, &mut self.expected, preface.checkpoint.next);
        self.state = Some(preface.checkpoint.clone());
    }

    /// The log.
    ///
    /// # Errors
    ///
    /// It has records that this release cannot keep.
    pub(crate) fn finish(mut self) -> Result<Recovered, UnknownRecords> {
        if self.unknown {
            return Err(UnknownRecords);
        }
        if let Some(state) = &mut self.state {
            state.next = state.next.max(self.expected);
            state.delivered = state.delivered.min(state.next - 1);
            self.index.set_delivered(state.delivered);
            let delivered = state.delivered;
            self.missing.retain(|missing| missing.last > delivered);
        }
        Ok(Recovered {
            state: self.state,
            index: self.index,
            damage: self.damage,
            missing: self.missing,
            torn_bytes: self.torn_bytes,
        })
    }
}

/// The log has records of a spool, or of a newer release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownRecords;

impl Recovered {
    /// What the people who run the node are told.
    pub(crate) fn events(&self, subject: &str) -> Vec<Event> {
        let mut events = Vec::new();
        if self.torn_bytes > 0 {
            events.push(Event::new(Code::QueueTorn, subject, format!("{} bytes", self.torn_bytes)));
        }
        let base = self.state.as_ref().map_or(0, |state| state.base);
        if !self.damage.is_empty() || !self.missing.is_empty() {
            events.push(Event::new(Code::QueueCorrupt, subject, damage_text(&self.damage, &self.missing, base)));
        }
        events
    }
}

/// Places and lost sequences, as they travel; at most eight of each are named, all are counted.
pub(crate) fn damage_text(damage: &[Damage], missing: &[Missing], base: u64) -> String {
    let bytes: u64 = damage.iter().map(|damage| damage.length).sum();
    let lost: u64 = missing.iter().map(|missing| missing.last - missing.first + 1).sum();
    let mut text = format!("{lost} messages lost");
    for missing in missing.iter().take(8) {
        text.push_str(&format!(" {}-{}", missing.first.saturating_sub(base), missing.last.saturating_sub(base)));
    }
    text.push_str(&format!("; {bytes} damaged bytes in {} places:", damage.len()));
    for damage in damage.iter().take(8) {
        text.push_str(&format!(" segment-{:016x} at {}", damage.segment, damage.offset));
    }
    text
}

fn note_missing(missing: &mut Vec<Missing>, expected: &mut u64, next: u64) {
    if next > *expected {
        if *expected > 0 {
            missing.push(Missing { first: *expected, last: next - 1 });
        }
        *expected = next;
    }
}
