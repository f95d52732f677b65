//! Reading a segment's bytes: batches, and what to do where one does not check. Section 5 of the specification.

use bytes::Bytes;

use crate::message::{Numbered, Priority, Sequence};
use crate::queue::batch::BATCH_BODY_BYTES;
use crate::queue::record::{
    OWN_AGENT, RECORD_HEADER_BYTES, Record, RecordKind, read_record, record_end, salt_of, u32_at, u64_at,
};
use crate::time::Timestamp;

/// Bytes of a segment that were durable and do not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What a walk meets, in the order of the file.
pub(crate) enum Step<'a> {
    /// A batch begins at this place of the segment.
    Begin { offset: u64 },
    /// A record of the batch; the BATCH record itself comes first, where it checks.
    Record { record: Record<'a>, sent: Timestamp },
    /// The batch ends before this place.
    End { offset: u64 },
    /// Durable bytes that do not check.
    Damage(Damage),
}

/// A part of a segment that holds whole batches.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub(crate) segment: u64,
    pub(crate) bytes: &'a [u8],
    /// Where in the segment `bytes` begins.
    pub(crate) origin: u64,
    /// Whether all of `bytes` is known to have been synced, so that nothing in it can be a torn tail.
    pub(crate) durable: bool,
}

struct Batch {
    end: usize,
    time: i64,
    records: u32,
}

impl<'a> Walk<'a> {
    /// Walks the batches from `start` on. Answers where the log's valid part ends: the end of `bytes`, or a torn tail.
    pub(crate) fn run(self, start: usize, mut visit: impl FnMut(Step<'a>)) -> usize {
        let salt = salt_of(self.segment);
        let mut at = start;
        let mut time = 0;
        while at < self.bytes.len() {
            let batch = self.batch_at(at, salt).filter(|batch| batch.end <= self.bytes.len());
            let whole = batch.as_ref().is_some_and(|batch| self.durable || self.is_whole(at, batch, salt));
            if !whole && !self.durable && self.claim_after(at, salt).is_none() {
                return at;
            }
            let end = match batch {
                Some(batch) => {
                    time = batch.time;
                    batch.end
                }
                None => self.claim_after(at, salt).unwrap_or(self.bytes.len()),
            };
            visit(Step::Begin { offset: self.origin + at as u64 });
            self.visit_records((at, end), salt, time, &mut visit);
            visit(Step::End { offset: self.origin + end as u64 });
            at = end;
        }
        at
    }

    /// The first batch that checks, anywhere: a segment without one, and without a preface, was never synced.
    pub(crate) fn first_batch(self) -> Option<usize> {
        self.next_batch(0, salt_of(self.segment), 0)
    }

    fn batch_at(&self, at: usize, salt: u32) -> Option<Batch> {
        let record = read_record(self.bytes, at, self.bytes.len(), salt)?;
        if record.kind != RecordKind::Batch
            || record.body.len() != BATCH_BODY_BYTES
            || u64_at(record.body, 0) != self.origin + at as u64
        {
            return None;
        }
        let end = record.end.checked_add(usize::try_from(u64_at(record.body, 32)).ok()?)?;
        Some(Batch { end, time: u64_at(record.body, 24) as i64, records: u32_at(record.body, 40) })
    }

    fn is_whole(&self, at: usize, batch: &Batch, salt: u32) -> bool {
        let mut at = at + RECORD_HEADER_BYTES + BATCH_BODY_BYTES;
        let mut records = 0;
        while at < batch.end {
            let Some(record) = read_record(self.bytes, at, batch.end, salt) else { return false };
            at = record.end;
            records += 1;
        }
        records == batch.records
    }

    /// The next batch that checks and claims that the bytes from `at` on were durable before it.
    fn claim_after(&self, at: usize, salt: u32) -> Option<usize> {
        self.next_batch(at + 1, salt, self.origin + at as u64 + 1)
    }

    /// The first batch from `at` on that checks and states that at least `durable` bytes were synced before it.
    fn next_batch(&self, at: usize, salt: u32, durable: u64) -> Option<usize> {
        let last = self.bytes.len().checked_sub(RECORD_HEADER_BYTES + BATCH_BODY_BYTES)?;
        (at..=last).find(|candidate| {
            self.bytes[candidate + 8] == RecordKind::Batch as u8
                && u64_at(self.bytes, candidate + RECORD_HEADER_BYTES) == self.origin + *candidate as u64
                && u64_at(self.bytes, candidate + RECORD_HEADER_BYTES + 8) >= durable
                && self.batch_at(*candidate, salt).is_some()
        })
    }

    fn visit_records(&self, (start, end): (usize, usize), salt: u32, time: i64, visit: &mut impl FnMut(Step<'a>)) {
        let mut at = start;
        while at < end {
            if let Some(record) = read_record(self.bytes, at, end, salt) {
                at = record.end;
                let sent = Timestamp::from_unix_millis(time.wrapping_add(i64::from(record.sent)));
                visit(Step::Record { record, sent });
            } else {
                let next = self.after_damage(at, end, salt);
                visit(Step::Damage(Damage {
                    segment: self.segment,
                    offset: self.origin + at as u64,
                    length: (next - at) as u64,
                }));
                at = next;
            }
        }
    }

    /// Where reading goes on: the end that the damaged record states, if a good record (or the end) is there, else
    /// the next place where a record checks.
    fn after_damage(&self, at: usize, end: usize, salt: u32) -> usize {
        let checks = |place: usize| place == end || read_record(self.bytes, place, end, salt).is_some();
        if let Some(stated) = record_end(self.bytes, at)
            && stated <= end
            && checks(stated)
        {
            return stated;
        }
        (at + 1..end).find(|place| checks(*place)).unwrap_or(end)
    }
}

/// The messages of a durable stretch of a segment, and what of it does not check.
#[derive(Debug, Default)]
pub(crate) struct ReadMessages {
    /// In the order of the file; the sequences are the log's.
    pub(crate) messages: Vec<Numbered>,
    pub(crate) damage: Vec<Damage>,
}

/// Reads messages in place: the payloads share `bytes`.
pub(crate) fn read_messages(segment: u64, bytes: &Bytes, origin: u64) -> ReadMessages {
    let mut out = ReadMessages::default();
    let walk = Walk { segment, bytes: &bytes[..], origin, durable: true };
    walk.run(0, |step| match step {
        Step::Record { record, sent } if record.kind == RecordKind::Message && record.agent == OWN_AGENT => {
            out.messages.push(Numbered {
                sequence: Sequence(record.sequence),
                priority: Priority::from_number(record.priority).unwrap_or_default(),
                sent,
                payload: bytes.slice(record.end - record.body.len()..record.end),
            });
        }
        Step::Damage(damage) => out.damage.push(damage),
        Step::Record { .. } | Step::Begin { .. } | Step::End { .. } => {}
    });
    out
}
