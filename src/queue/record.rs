//! Records: a fixed header with a salted checksum, and a body. Section 3 of the specification.

/// `crc u32 · length u32 · kind u8 · priority u8 · reserved u16 · sent i32 · agent u64 · sequence u64`.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// The node that owns the log.
pub(crate) const OWN_AGENT: u64 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Batch = 1,
    Message = 2,
    Ack = 3,
    Source = 4,
    Down = 5,
    Rekey = 6,
    /// Of a spool, as the two that follow: not written by this release.
    Register = 7,
    Gap = 8,
    Purge = 9,
    Footer = 10,
    Seen = 11,
}

impl RecordKind {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Batch,
            2 => Self::Message,
            3 => Self::Ack,
            4 => Self::Source,
            5 => Self::Down,
            6 => Self::Rekey,
            7 => Self::Register,
            8 => Self::Gap,
            9 => Self::Purge,
            10 => Self::Footer,
            11 => Self::Seen,
            _ => return None,
        })
    }
}

/// The start value of every checksum of a segment.
pub(crate) fn salt_of(segment: u64) -> u32 {
    crc32c::crc32c(&segment.to_le_bytes())
}

/// What a message of this payload takes in the log.
pub(crate) fn message_bytes(payload: usize) -> u64 {
    (RECORD_HEADER_BYTES + payload) as u64
}

/// The fields of a record's header that its writer chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) kind: RecordKind,
    pub(crate) priority: u8,
    /// Milliseconds after the batch's time.
    pub(crate) sent: i32,
    pub(crate) sequence: u64,
}

impl RecordHeader {
    pub(crate) fn plain(kind: RecordKind, sequence: u64) -> Self {
        Self { kind, priority: 0, sent: 0, sequence }
    }
}

/// Appends a record of this node's own agent.
pub(crate) fn put_record(out: &mut Vec<u8>, salt: u32, header: RecordHeader, body: &[u8]) {
    let start = out.len();
    // A message is at most 64 MiB (limits::MESSAGE_BYTES_MAX), a footer far less.
    let length = u32::try_from(body.len()).expect("a record's body is shorter than 4 GiB");
    let mut head = [0_u8; RECORD_HEADER_BYTES];
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8] = header.kind as u8;
    head[9] = header.priority;
    head[12..16].copy_from_slice(&header.sent.to_le_bytes());
    head[16..24].copy_from_slice(&OWN_AGENT.to_le_bytes());
    head[24..32].copy_from_slice(&header.sequence.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
    seal_record(&mut out[start..], salt);
}

/// Writes the checksum of a whole record into its first four bytes.
pub(crate) fn seal_record(record: &mut [u8], salt: u32) {
    let crc = crc32c::crc32c_append(salt, &record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

/// A record that checks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) priority: u8,
    pub(crate) sent: i32,
    pub(crate) agent: u64,
    pub(crate) sequence: u64,
    pub(crate) body: &'a [u8],
    /// Where the record ends.
    pub(crate) end: usize,
}

/// The record at `at`, if a whole one that checks is there and ends at `limit` or before.
pub(crate) fn read_record(bytes: &[u8], at: usize, limit: usize, salt: u32) -> Option<Record<'_>> {
    let kind = RecordKind::from_number(*bytes.get(at.checked_add(8)?)?)?;
    let end = record_end(bytes, at)?;
    if end > limit || bytes[at + 10..at + 12] != [0, 0] {
        return None;
    }
    let record = bytes.get(at..end)?;
    if crc32c::crc32c_append(salt, &record[4..]) != u32_at(record, 0) {
        return None;
    }
    Some(Record {
        kind,
        priority: record[9],
        sent: u32_at(record, 12) as i32,
        agent: u64_at(record, 16),
        sequence: u64_at(record, 24),
        body: &record[RECORD_HEADER_BYTES..],
        end,
    })
}

/// Where the record at `at` says that it ends, checked or not; none where no header fits.
pub(crate) fn record_end(bytes: &[u8], at: usize) -> Option<usize> {
    let head = bytes.get(at..at.checked_add(RECORD_HEADER_BYTES)?)?;
    (at + RECORD_HEADER_BYTES).checked_add(usize::try_from(u32_at(head, 4)).ok()?)
}

/// Reads a number whose place was checked.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// Reads a number whose place was checked.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
