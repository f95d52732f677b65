//! The index: which messages are held, where, and which segments no longer hold any. Section 6 of the specification.

use std::collections::VecDeque;

use crate::queue::record::{RecordHeader, RecordKind, put_record, read_record, salt_of, u32_at, u64_at};
use crate::time::Timestamp;

/// A stretch of a segment that holds whole batches of rising sequences: what is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Messages in it: fewer than the sequences between first and last only after damage.
    pub(crate) count: u32,
    pub(crate) offset: u64,
    /// Bytes of the segment.
    pub(crate) length: u32,
    /// Bytes that its messages take, headers included.
    pub(crate) bytes: u64,
    /// When the first message was sent.
    pub(crate) sent: Timestamp,
}

impl Point {
    /// Joins a batch that follows directly, so that an index has one entry per 64 KiB and not per message.
    fn join(&mut self, next: &Self) -> bool {
        let follows = self.offset + u64::from(self.length) == next.offset && self.last < next.first;
        if !follows || self.length >= POINT_BYTES || next.length >= POINT_BYTES {
            return false;
        }
        self.last = next.last;
        self.count += next.count;
        self.length += next.length;
        self.bytes += next.bytes;
        true
    }

    /// How many of these messages, and bytes, lie beyond the watermark. Exact at both ends; between them as if all
    /// messages were equally long.
    fn held_beyond(&self, delivered: u64) -> (u64, u64) {
        if delivered < self.first {
            return (u64::from(self.count), self.bytes);
        }
        let rest = self.last.saturating_sub(delivered);
        let span = self.last - self.first + 1;
        // Neither product overflows 128 bits.
        let share = |whole: u64| (u128::from(whole) * u128::from(rest)).div_ceil(u128::from(span)) as u64;
        (share(u64::from(self.count)), share(self.bytes))
    }
}

/// Adds a batch to a list of points, joined with the last one where it fits.
pub(crate) fn push_point(points: &mut VecDeque<Point>, point: Point) {
    if !points.back_mut().is_some_and(|last| last.join(&point)) {
        points.push_back(point);
    }
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// When the oldest was sent (to within one index point).
    pub(crate) oldest: Option<Timestamp>,
}

#[derive(Debug)]
struct Segment {
    id: u64,
    points: VecDeque<Point>,
}

/// Where the messages are, oldest segment first.
#[derive(Debug, Default)]
pub(crate) struct Index {
    segments: VecDeque<Segment>,
    delivered: u64,
    /// Of all points, delivered parts included.
    count: u64,
    bytes: u64,
}

impl Index {
    pub(crate) fn begin_segment(&mut self, id: u64) {
        assert!(self.segments.back().is_none_or(|last| last.id < id), "segment ids rise");
        self.segments.push_back(Segment { id, points: VecDeque::new() });
    }

    /// Adds messages to the newest segment. Of two copies of a sequence the newer one stays.
    pub(crate) fn push(&mut self, point: Point) {
        self.forget_from(point.first);
        self.count += u64::from(point.count);
        self.bytes += point.bytes;
        let segment = self.segments.back_mut().expect("a segment was begun");
        push_point(&mut segment.points, point);
    }

    /// Cuts points that reach `first` or beyond: an older copy of what is added now.
    fn forget_from(&mut self, first: u64) {
        for segment in self.segments.iter_mut().rev() {
            while let Some(last) = segment.points.back_mut() {
                if last.last < first {
                    return;
                }
                let (count, bytes) = if last.first >= first { (0, 0) } else { kept_below(last, first) };
                self.count -= u64::from(last.count) - count;
                self.bytes -= last.bytes - bytes;
                if count == 0 {
                    segment.points.pop_back();
                } else {
                    last.last = first - 1;
                    last.count = count as u32;
                    last.bytes = bytes;
                }
            }
        }
    }

    /// Forgets what is delivered. The watermark only rises.
    pub(crate) fn set_delivered(&mut self, delivered: u64) {
        self.delivered = self.delivered.max(delivered);
        for segment in &mut self.segments {
            while let Some(point) = segment.points.front().filter(|point| point.last <= self.delivered) {
                self.count -= u64::from(point.count);
                self.bytes -= point.bytes;
                segment.points.pop_front();
            }
            if !segment.points.is_empty() {
                break;
            }
        }
    }

    /// The oldest segment, if nothing in it is live and a newer one is there: its preface, which has all watermarks,
    /// was synced before the index knew it.
    pub(crate) fn reclaimable(&self) -> Option<u64> {
        let oldest = self.segments.front()?;
        (self.segments.len() > 1 && oldest.points.is_empty()).then_some(oldest.id)
    }

    pub(crate) fn remove_oldest(&mut self) {
        self.segments.pop_front();
    }

    pub(crate) fn held(&self) -> Held {
        let Some(head) = self.head() else { return Held::default() };
        let (count, bytes) = head.held_beyond(self.delivered);
        Held {
            count: self.count - u64::from(head.count) + count,
            bytes: self.bytes - head.bytes + bytes,
            oldest: Some(head.sent),
        }
    }

    /// The delivered watermark at which the next point is done.
    pub(crate) fn attention(&self) -> u64 {
        self.head().map_or(u64::MAX, |head| head.last)
    }

    /// The lowest sequence that is held and not delivered.
    pub(crate) fn lowest_held(&self) -> Option<u64> {
        self.head().map(|head| head.first.max(self.delivered + 1))
    }

    fn head(&self) -> Option<&Point> {
        self.segments.iter().find_map(|segment| segment.points.front())
    }

    /// The point that holds `from`, or the next sequence that is held.
    pub(crate) fn find(&self, from: u64) -> Option<(u64, Point)> {
        let from = from.max(self.delivered + 1);
        self.segments.iter().find_map(|segment| {
            let at = segment.points.partition_point(|point| point.last < from);
            segment.points.get(at).map(|point| (segment.id, *point))
        })
    }

    /// Writes down what a damaged point really held: first, last and number of the messages that check.
    pub(crate) fn correct(&mut self, segment: u64, offset: u64, found: Option<(u64, u64, u32, u64)>) {
        let Some(segment) = self.segments.iter_mut().find(|candidate| candidate.id == segment) else { return };
        let Some(at) = segment.points.iter().position(|point| point.offset == offset) else { return };
        let point = &mut segment.points[at];
        let (first, last, count, bytes) = found.unwrap_or_default();
        self.count = self.count - u64::from(point.count) + u64::from(count);
        self.bytes = self.bytes - point.bytes + bytes;
        if count == 0 {
            segment.points.remove(at);
        } else {
            *point = Point { first, last, count, bytes, ..*point };
        }
    }

    /// The points of the newest segment, for its footer.
    pub(crate) fn newest_points(&self) -> impl Iterator<Item = &Point> {
        self.segments.back().into_iter().flat_map(|segment| segment.points.iter())
    }
}

fn kept_below(point: &Point, first: u64) -> (u64, u64) {
    let (count, bytes) = point.held_beyond(first - 1);
    (u64::from(point.count) - count, point.bytes - bytes)
}

/// The index of a sealed segment, kept at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Length of preface and batches.
    pub(crate) valid: u64,
    pub(crate) points: Vec<Point>,
}

impl Footer {
    /// The record and the trailer that finds it.
    pub(crate) fn encode(&self, segment: u64) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend_from_slice(&(self.points.len() as u32).to_le_bytes());
        for point in &self.points {
            body.extend_from_slice(&point.first.to_le_bytes());
            body.extend_from_slice(&point.last.to_le_bytes());
            body.extend_from_slice(&point.count.to_le_bytes());
            body.extend_from_slice(&point.length.to_le_bytes());
            body.extend_from_slice(&point.offset.to_le_bytes());
            body.extend_from_slice(&point.bytes.to_le_bytes());
            body.extend_from_slice(&point.sent.unix_millis().to_le_bytes());
        }
        let mut out = Vec::with_capacity(body.len() + 48);
        put_record(&mut out, salt_of(segment), RecordHeader::plain(RecordKind::Footer, self.valid), &body);
        out.extend_from_slice(&self.valid.to_le_bytes());
        out.extend_from_slice(FOOTER_MAGIC);
        out
    }

    /// Where the first batch that it lists begins.
    pub(crate) fn first_batch(&self) -> u64 {
        self.points.first().map_or(0, |point| point.offset)
    }

    /// Where the footer of a file begins, by its last 16 bytes.
    pub(crate) fn place(trailer: &[u8]) -> Option<u64> {
        (trailer.len() == FOOTER_TRAILER_BYTES && &trailer[8..] == FOOTER_MAGIC).then(|| u64_at(trailer, 0))
    }

    /// Of the bytes from that place to the end of the file. None unless everything in it checks.
    pub(crate) fn parse(segment: u64, place: u64, bytes: &[u8]) -> Option<Self> {
        let limit = bytes.len().checked_sub(FOOTER_TRAILER_BYTES)?;
        let record = read_record(bytes, 0, limit, salt_of(segment))?;
        if record.kind != RecordKind::Footer || record.sequence != place || record.end != limit || record.body.len() < 8
        {
            return None;
        }
        let (head, entries) = record.body.split_at(8);
        if entries.len() != u32_at(head, 4) as usize * POINT_ENTRY_BYTES {
            return None;
        }
        let points: Vec<Point> = entries.chunks_exact(POINT_ENTRY_BYTES).map(point_of).collect();
        let mut before = 0;
        for point in &points {
            let end = point.offset.checked_add(u64::from(point.length))?;
            if point.first <= before || point.last < point.first || end > place || point.count == 0 {
                return None;
            }
            before = point.last;
        }
        Some(Self { valid: place, points })
    }
}

fn point_of(entry: &[u8]) -> Point {
    Point {
        first: u64_at(entry, 0),
        last: u64_at(entry, 8),
        count: u32_at(entry, 16),
        length: u32_at(entry, 20),
        offset: u64_at(entry, 24),
        bytes: u64_at(entry, 32),
        sent: Timestamp::from_unix_millis(u64_at(entry, 40) as i64),
    }
}

/// Bytes of a file after the footer record.
pub(crate) const FOOTER_TRAILER_BYTES: usize = 16;
const FOOTER_MAGIC: &[u8; 8] = b"farpostF";
const POINT_ENTRY_BYTES: usize = 48;
/// One read; 16 MiB then have 256 points, 12 KiB of footer, and 1 GiB of backlog less than 1 MiB of index.
const POINT_BYTES: u32 = 64 << 10;
