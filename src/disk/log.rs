//! The log: commits batches, seals and begins segments, reads back, reclaims. Synchronous; `writer` gives it a thread.

use std::io;

use bytes::Bytes;

use crate::code::Code;
use crate::disk::files::{Disk, SegmentFile, read_part};
use crate::disk::open::{find_log, segment_name};
use crate::error::Error;
use crate::event::Event;
use crate::message::{Epoch, Numbered, Sequence};
use crate::queue::{
    BatchPlace, BatchWriter, Checkpoint, Footer, Index, Missing, Point, Preface, SourcePosition, batch_bytes,
    damage_text, message_bytes, read_messages, salt_of,
};
use crate::time::Timestamp;

/// What one call of the application adds: whole or not at all.
pub(crate) struct Call {
    /// With the numbers that travel; `base` makes the log's of them.
    pub(crate) messages: Vec<Numbered>,
    pub(crate) base: u64,
    /// In the log.
    pub(crate) bytes: u64,
    pub(crate) sent: Timestamp,
    pub(crate) source: Option<SourcePosition>,
    /// A new epoch and its base, from here on.
    pub(crate) rekey: Option<(Epoch, u64)>,
}

/// What one batch writes.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) calls: Vec<Call>,
    /// The log's sequence up to which all is delivered, if it rose.
    pub(crate) delivered: Option<u64>,
    pub(crate) down_cursor: Option<u64>,
    /// The epoch under which the group has seen this boot.
    pub(crate) seen: Option<Epoch>,
}

/// An open log.
pub(crate) struct Log {
    disk: Box<dyn Disk>,
    /// As of the last synced batch.
    state: Checkpoint,
    index: Index,
    segment_bytes: u64,
    current: Option<Current>,
    /// The newest segment before the current one that counts, and its valid length.
    previous: (u64, u64),
    highest: u64,
    /// Reused for every batch.
    buffer: Vec<u8>,
    reading: Option<(u64, Box<dyn SegmentFile>)>,
    events: Vec<Event>,
    disk_is_full: bool,
}

struct Current {
    id: u64,
    file: Box<dyn SegmentFile>,
    /// Synced bytes.
    valid: u64,
    batches: u64,
}

impl Log {
    /// Recovers the log, counts the boot and begins a segment; when this returns, all of it is durable.
    ///
    /// # Errors
    ///
    /// [`Code::QueueFormat`], [`Code::StateDirectoryForeign`], [`Code::FileUnreadable`], [`Code::QueueSyncFailed`].
    pub(crate) fn open(mut disk: Box<dyn Disk>, segment_bytes: u64, fresh: Checkpoint) -> Result<Self, Error> {
        let found = find_log(&mut *disk, &fresh)?;
        let mut events = found.recovered.events("queue");
        let mut state = found.recovered.state.unwrap_or_else(|| fresh.clone());
        if state.owner != fresh.owner {
            return Err(Error::new(Code::StateDirectoryForeign)
                .found(format!("the queue of {}", state.owner))
                .expected(fresh.owner.to_string()));
        }
        state.begin_boot(state.boot + 1);
        let held = found.recovered.index.held();
        let text = format!("boot {}, epoch {}, {} messages, {} bytes", state.boot, state.epoch, held.count, held.bytes);
        events.push(Event::new(Code::QueueRecovered, "queue", text));
        let mut log = Self {
            disk,
            state,
            index: found.recovered.index,
            segment_bytes,
            current: None,
            previous: found.previous,
            highest: found.highest,
            buffer: Vec::new(),
            reading: None,
            events,
            disk_is_full: false,
        };
        log.attempt(|log| log.write_preface())?;
        for id in found.void {
            // A void file that stays is void at the next opening too.
            let _ = log.disk.unlink(id);
        }
        log.reclaim(log.state.delivered);
        Ok(log)
    }

    pub(crate) fn state(&self) -> &Checkpoint {
        &self.state
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Whether the last failed commit failed for want of space.
    pub(crate) fn disk_is_full(&self) -> bool {
        self.disk_is_full
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Writes and syncs one batch; when this returns, all of it is durable. A failed write or sync costs the segment:
    /// the batch is written again to a new one.
    ///
    /// # Errors
    ///
    /// [`Code::QueueSyncFailed`] after three segments failed. Nothing of the batch counts; the same work may be
    /// committed again.
    pub(crate) fn commit(&mut self, work: &Work) -> Result<(), Error> {
        self.attempt(|log| log.write_batch(work))
    }

    fn attempt(&mut self, mut write: impl FnMut(&mut Self) -> io::Result<()>) -> Result<(), Error> {
        for attempt in 1.. {
            let Err(error) = write(self) else { break };
            let subject = self.current.as_ref().map_or_else(|| "a new segment".to_owned(), |at| segment_name(at.id));
            self.poison();
            let failure = Error::new(Code::QueueSyncFailed).subject(subject).found(error.to_string());
            self.disk_is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if attempt == ATTEMPTS_MAX || self.disk_is_full {
                return Err(failure.expected("a disk that takes a batch"));
            }
            self.events.push(Event::of_error("queue", &failure));
        }
        Ok(())
    }

    /// Leaves the current segment as it is: nothing is retried in a file whose sync failed.
    fn poison(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.valid == 0 {
            // Nothing in it counts; that it stays on a failing disk is harmless: no preface names it.
            let _ = self.disk.unlink(current.id);
        } else {
            self.previous = (current.id, current.valid);
        }
    }

    fn write_preface(&mut self) -> io::Result<()> {
        self.begin_segment()?;
        self.write_buffer()
    }

    fn write_batch(&mut self, work: &Work) -> io::Result<()> {
        let bytes = batch_bytes(work.calls.iter().map(|call| call.bytes).sum(), work.calls.len());
        let full = |current: &Current| current.batches > 0 && current.valid + bytes > self.segment_bytes;
        if self.current.as_ref().is_some_and(full) {
            self.seal();
        }
        self.buffer.clear();
        if self.current.is_none() {
            self.begin_segment()?;
        }
        let point = self.encode(work);
        self.write_buffer()?;
        if let Some(current) = &mut self.current {
            current.batches += 1;
        }
        point.into_iter().for_each(|point| self.index.push(point));
        self.apply(work);
        Ok(())
    }

    /// Makes a file and puts its preface into the buffer.
    fn begin_segment(&mut self) -> io::Result<()> {
        let id = self.highest + 1;
        self.highest = id;
        let file = self.disk.create(id)?;
        self.current = Some(Current { id, file, valid: 0, batches: 0 });
        let (previous, previous_valid) = self.previous;
        self.buffer.clear();
        Preface { segment: id, previous, previous_valid, checkpoint: self.state.clone() }.put(&mut self.buffer);
        Ok(())
    }

    /// One positioned write and one sync.
    fn write_buffer(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::Error::other("no segment was begun")) };
        current.file.write_at(&self.buffer, current.valid)?;
        current.file.sync()?;
        if current.valid == 0 {
            self.disk.sync_directory()?;
            self.index.begin_segment(current.id);
        }
        current.valid += self.buffer.len() as u64;
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    fn encode(&mut self, work: &Work) -> Option<Point> {
        let Some(current) = &self.current else { return None };
        let offset = current.valid + self.buffer.len() as u64;
        let time = work.calls.first().map_or(Timestamp::default(), |call| call.sent);
        let mut batch = BatchWriter::new(&mut self.buffer, salt_of(current.id), time);
        let mut next = self.state.next;
        let mut point: Option<Point> = None;
        for call in &work.calls {
            for message in &call.messages {
                batch.message(message, call.base);
                next = message.sequence.0 + call.base + 1;
                let entry = point.get_or_insert(Point {
                    first: next - 1,
                    last: next - 1,
                    count: 0,
                    offset,
                    length: 0,
                    bytes: 0,
                    sent: message.sent,
                });
                entry.last = next - 1;
                entry.count += 1;
                entry.bytes += message_bytes(message.payload.len());
            }
            call.source.into_iter().for_each(|position| batch.source(position));
            call.rekey.into_iter().for_each(|(epoch, base)| batch.rekey(epoch, base));
        }
        work.delivered.into_iter().for_each(|delivered| batch.ack(delivered));
        work.down_cursor.into_iter().for_each(|cursor| batch.down(cursor));
        work.seen.into_iter().for_each(|epoch| batch.seen(epoch));
        batch.finish(BatchPlace { offset, durable: current.valid, boot: self.state.boot, next });
        let length = current.valid + self.buffer.len() as u64 - offset;
        // The writer's batches are bounded by what waits in memory, far below 4 GiB.
        point.map(|point| Point { length: length as u32, ..point })
    }

    fn apply(&mut self, work: &Work) {
        let state = &mut self.state;
        for call in &work.calls {
            if let Some(last) = call.messages.last() {
                state.next = last.sequence.0 + call.base + 1;
            }
            state.source = call.source.or(state.source);
            if let Some((epoch, base)) = call.rekey {
                state.begin_epoch(epoch, base);
            }
        }
        state.delivered = work.delivered.map_or(state.delivered, |delivered| delivered.max(state.delivered));
        state.down_cursor = work.down_cursor.map_or(state.down_cursor, |cursor| cursor.max(state.down_cursor));
        work.seen.into_iter().for_each(|epoch| state.note_seen(epoch));
    }

    /// Ends the current segment with its index. The footer is not synced: losing it costs a scan.
    fn seal(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        let points = self.index.newest_points().copied().collect();
        let footer = Footer { valid: current.valid, points }.encode(current.id);
        let _ = current.file.write_at(&footer, current.valid);
        self.previous = (current.id, current.valid);
    }

    /// Ends the log for this life of the process: the last watermark is written if it rose, the footer too.
    pub(crate) fn close(&mut self, delivered: u64) -> Result<(), Error> {
        if delivered > self.state.delivered {
            self.commit(&Work { delivered: Some(delivered), ..Work::default() })?;
        }
        self.seal();
        Ok(())
    }

    /// Forgets what is delivered and unlinks segments without live records, oldest first, each unlink synced before
    /// the next: a missing segment below a present one then always means damage. One that cannot be unlinked is tried
    /// again the next time.
    pub(crate) fn reclaim(&mut self, delivered: u64) {
        self.index.set_delivered(delivered);
        while let Some(id) = self.index.reclaimable() {
            if self.reading.as_ref().is_some_and(|(open, _)| *open == id) {
                self.reading = None;
            }
            let unlinked = match self.disk.unlink(id) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
            if let Err(error) = unlinked.and_then(|()| self.disk.sync_directory()) {
                self.events.push(Event::new(Code::FileUnreadable, segment_name(id), error.to_string()));
                return;
            }
            self.index.remove_oldest();
        }
    }

    /// Held messages from `from` on: consecutive, at least one if any is held, and about `bytes_max` at most.
    /// The numbers are those that travel.
    pub(crate) fn read(&mut self, from: Sequence, bytes_max: usize) -> Vec<Numbered> {
        let mut from = from.0.saturating_add(self.state.base);
        let mut taken: Vec<Numbered> = Vec::new();
        let mut bytes = 0;
        while let Some((segment, point)) = self.index.find(from) {
            let begin = from.max(self.index.lowest_held().unwrap_or(from));
            for message in self.read_point(segment, point) {
                let log = message.sequence.0;
                if log < begin || log > point.last {
                    continue;
                }
                let hole = taken.last().is_some_and(|last| last.sequence.0 + self.state.base + 1 != log);
                if hole || (!taken.is_empty() && bytes + message.payload.len() > bytes_max) {
                    return taken;
                }
                bytes += message.payload.len();
                taken.push(Numbered { sequence: self.state.sequence_of(log), ..message });
            }
            from = point.last.saturating_add(1);
        }
        taken
    }

    /// The messages of a point that check. What does not is set aside, counted and reported (rule D6), once.
    fn read_point(&mut self, segment: u64, point: Point) -> Vec<Numbered> {
        let read = match self.read_segment(segment, point) {
            Ok(bytes) => {
                let whole = bytes.len() as u64 == u64::from(point.length);
                let read = read_messages(segment, &bytes, point.offset);
                if whole && read.damage.is_empty() {
                    return read.messages;
                }
                for damage in &read.damage {
                    let start = (damage.offset - point.offset) as usize;
                    let part = &bytes[start..start + damage.length as usize];
                    let _ = self.disk.set_aside(segment, damage.offset, part);
                }
                read
            }
            Err(error) => {
                self.events.push(Event::new(Code::FileUnreadable, segment_name(segment), error.to_string()));
                crate::queue::ReadMessages::default()
            }
        };
        let lost = missing_of(&point, &read.messages);
        if !lost.is_empty() {
            let text = damage_text(&read.damage, &lost, self.state.base);
            self.events.push(Event::new(Code::QueueCorrupt, "queue", text));
            let bytes = read.messages.iter().map(|message| message_bytes(message.payload.len())).sum();
            let found = read
                .messages
                .first()
                .zip(read.messages.last())
                .map(|(first, last)| (first.sequence.0, last.sequence.0, read.messages.len() as u32, bytes));
            self.index.correct(segment, point.offset, found);
        }
        read.messages
    }

    fn read_segment(&mut self, segment: u64, point: Point) -> io::Result<Bytes> {
        if self.reading.as_ref().is_none_or(|(open, _)| *open != segment) {
            self.reading = Some((segment, self.disk.open(segment)?));
        }
        let Some((_, file)) = &self.reading else { return Ok(Bytes::new()) };
        Ok(Bytes::from(read_part(&**file, point.offset, u64::from(point.length))?))
    }
}

/// The sequences of a point that were not found, unless it was known that it lacks as many.
fn missing_of(point: &Point, found: &[Numbered]) -> Vec<Missing> {
    if found.len() == point.count as usize {
        return Vec::new();
    }
    let mut missing = Vec::new();
    let mut expected = point.first;
    for message in found {
        if message.sequence.0 > expected {
            missing.push(Missing { first: expected, last: message.sequence.0 - 1 });
        }
        expected = message.sequence.0 + 1;
    }
    if expected <= point.last {
        missing.push(Missing { first: expected, last: point.last });
    }
    missing
}

/// Segments that one batch may cost before the queue gives up.
const ATTEMPTS_MAX: u32 = 3;
/// A buffer that one large message made is not kept.
const BUFFER_KEPT_BYTES: usize = 8 << 20;
