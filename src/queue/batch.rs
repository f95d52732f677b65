//! Encoding of batches into one reusable buffer. Section 5 of the specification.

use crate::message::{Epoch, Numbered};
use crate::queue::checkpoint::SourcePosition;
use crate::queue::record::{RECORD_HEADER_BYTES, RecordHeader, RecordKind, put_record, seal_record};
use crate::time::Timestamp;

/// `offset u64 · durable u64 · boot u64 · time i64 · bytes u64 · records u32 · reserved u32`.
pub(crate) const BATCH_BODY_BYTES: usize = 48;
const BATCH_BYTES: usize = RECORD_HEADER_BYTES + BATCH_BODY_BYTES;

/// What a batch of this many message bytes takes at most, with the small records that ride along.
pub(crate) fn batch_bytes(messages: u64, calls: usize) -> u64 {
    // Per call a SOURCE; per batch a REKEY, an ACK, a DOWN and a SEEN.
    messages + (BATCH_BYTES + (calls + 4) * (RECORD_HEADER_BYTES + 32)) as u64
}

/// Appends one batch to a buffer that will be written at a known place of a segment.
pub(crate) struct BatchWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    salt: u32,
    time: i64,
    records: u32,
}

/// What a batch states about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPlace {
    /// Where in the segment the batch begins.
    pub(crate) offset: u64,
    /// How much of the segment was synced before.
    pub(crate) durable: u64,
    pub(crate) boot: u64,
    /// The log's next sequence after the batch.
    pub(crate) next: u64,
}

impl<'a> BatchWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, salt: u32, time: Timestamp) -> Self {
        let start = out.len();
        out.resize(start + BATCH_BYTES, 0);
        Self { out, start, salt, time: time.unix_millis(), records: 0 }
    }

    /// Whether a message of this time can be in the batch: a record has 32 bits for the milliseconds between.
    pub(crate) fn takes_time(base: Timestamp, sent: Timestamp) -> bool {
        i32::try_from(sent.unix_millis().wrapping_sub(base.unix_millis())).is_ok()
    }

    /// A message; `base` makes the log's number of the one that travels.
    pub(crate) fn message(&mut self, message: &Numbered, base: u64) {
        let delta = message.sent.unix_millis().wrapping_sub(self.time);
        let header = RecordHeader {
            kind: RecordKind::Message,
            priority: message.priority as u8,
            sent: i32::try_from(delta).unwrap_or(0),
            sequence: message.sequence.0 + base,
        };
        self.put(header, &message.payload);
    }

    pub(crate) fn source(&mut self, position: SourcePosition) {
        self.put(RecordHeader::plain(RecordKind::Source, 0), &position.to_bytes());
    }

    pub(crate) fn ack(&mut self, delivered: u64) {
        self.put(RecordHeader::plain(RecordKind::Ack, delivered), &[]);
    }

    pub(crate) fn down(&mut self, cursor: u64) {
        self.put(RecordHeader::plain(RecordKind::Down, cursor), &[]);
    }

    pub(crate) fn rekey(&mut self, epoch: Epoch, base: u64) {
        let mut body = [0; 16];
        body[..8].copy_from_slice(&epoch.0.to_le_bytes());
        body[8..].copy_from_slice(&base.to_le_bytes());
        self.put(RecordHeader::plain(RecordKind::Rekey, 0), &body);
    }

    pub(crate) fn seen(&mut self, epoch: Epoch) {
        self.put(RecordHeader::plain(RecordKind::Seen, 0), &epoch.0.to_le_bytes());
    }

    fn put(&mut self, header: RecordHeader, body: &[u8]) {
        put_record(self.out, self.salt, header, body);
        self.records += 1;
    }

    /// Writes the BATCH record in front of what was added.
    pub(crate) fn finish(self, place: BatchPlace) {
        let bytes = (self.out.len() - self.start - BATCH_BYTES) as u64;
        let mut body = [0_u8; BATCH_BODY_BYTES];
        let numbers = [place.offset, place.durable, place.boot, self.time as u64, bytes, u64::from(self.records)];
        for (at, number) in numbers.into_iter().enumerate() {
            body[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        let record = &mut self.out[self.start..self.start + BATCH_BYTES];
        record[4..8].copy_from_slice(&(BATCH_BODY_BYTES as u32).to_le_bytes());
        record[8] = RecordKind::Batch as u8;
        record[16..24].copy_from_slice(&crate::queue::record::OWN_AGENT.to_le_bytes());
        record[24..32].copy_from_slice(&place.next.to_le_bytes());
        record[RECORD_HEADER_BYTES..].copy_from_slice(&body);
        seal_record(record, self.salt);
    }
}
