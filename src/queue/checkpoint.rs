//! The checkpoint and the preface that carries it. Section 2 of the specification.

use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::queue::record::{OWN_AGENT, Record, RecordKind, salt_of, u32_at, u64_at};

/// How far an input file was read: kept in the same batch as the lines that it covers, so that a crash neither skips
/// nor repeats a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct SourcePosition {
    /// Device and inode of the file, which a rename does not change.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// What the reader chose to tell a reused inode by, a checksum of the file's first bytes say; 0 if nothing.
    pub(crate) fingerprint: u64,
    /// Bytes of it whose lines are in the queue.
    pub(crate) offset: u64,
}

impl SourcePosition {
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (at, number) in [self.device, self.inode, self.fingerprint, self.offset].into_iter().enumerate() {
            out[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self {
            device: u64_at(bytes, 0),
            inode: u64_at(bytes, 8),
            fingerprint: u64_at(bytes, 16),
            offset: u64_at(bytes, 24),
        })
    }
}

/// The whole state of a log of one agent, beside the messages themselves. `next`, `delivered` and `base` are numbers
/// of the log (section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) owner: Name,
    /// How often the log was opened: rises with every boot (rule F5).
    pub(crate) boot: u64,
    pub(crate) epoch: Epoch,
    /// What is subtracted from a log's sequence to get the one that travels.
    pub(crate) base: u64,
    pub(crate) next: u64,
    pub(crate) delivered: u64,
    /// The first sequence given since the last boot that the group has seen (rule D1); 0 once it has seen this boot.
    pub(crate) unseen_first: u64,
    /// The downstream messages up to here were taken (rule D8).
    pub(crate) down_cursor: u64,
    pub(crate) source: Option<SourcePosition>,
}

impl Checkpoint {
    /// Of a log that was never opened.
    pub(crate) fn new(owner: Name, epoch: Epoch) -> Self {
        Self { owner, boot: 0, epoch, base: 0, next: 1, delivered: 0, unseen_first: 1, down_cursor: 0, source: None }
    }

    /// The number that travels.
    pub(crate) fn sequence_of(&self, log: u64) -> Sequence {
        Sequence(log.saturating_sub(self.base))
    }

    /// A boot began, before it gave a sequence.
    pub(crate) fn begin_boot(&mut self, boot: u64) {
        self.boot = boot;
        if self.unseen_first == 0 {
            self.unseen_first = self.next;
        }
    }

    /// What follows has numbers of a new epoch, of which the group knows nothing yet.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch, base: u64) {
        (self.epoch, self.base) = (epoch, base);
        self.unseen_first = base.saturating_add(1);
    }

    /// The group has seen this boot, if it is still the boot's epoch that it saw.
    pub(crate) fn note_seen(&mut self, epoch: Epoch) {
        if epoch == self.epoch {
            self.unseen_first = 0;
        }
    }

    /// Takes in what a record says. False: the record is one that this release cannot keep.
    pub(crate) fn apply(&mut self, record: &Record<'_>) -> bool {
        match record.kind {
            RecordKind::Batch => {
                // A boot that no checkpoint told of: its preface is damaged.
                if record.body.len() >= 24 && u64_at(record.body, 16) > self.boot {
                    self.begin_boot(u64_at(record.body, 16));
                }
                self.next = self.next.max(record.sequence);
            }
            RecordKind::Message => {
                if record.agent != OWN_AGENT {
                    return false;
                }
                self.next = self.next.max(record.sequence.saturating_add(1));
            }
            RecordKind::Ack => self.delivered = self.delivered.max(record.sequence),
            RecordKind::Source => self.source = SourcePosition::from_bytes(record.body).or(self.source),
            RecordKind::Down => self.down_cursor = self.down_cursor.max(record.sequence),
            RecordKind::Rekey if record.body.len() == 16 => {
                self.begin_epoch(Epoch(u64_at(record.body, 0)), u64_at(record.body, 8));
            }
            RecordKind::Seen if record.body.len() == 8 => self.note_seen(Epoch(u64_at(record.body, 0))),
            RecordKind::Rekey | RecordKind::Seen => return false,
            RecordKind::Register | RecordKind::Gap | RecordKind::Purge => return false,
            RecordKind::Footer => {}
        }
        true
    }
}

/// What a segment begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preface {
    pub(crate) segment: u64,
    /// The segment before this one, 0 if none, and how much of it is valid.
    pub(crate) previous: u64,
    pub(crate) previous_valid: u64,
    pub(crate) checkpoint: Checkpoint,
}

/// Why a segment has no preface that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrefaceProblem {
    /// Neither copy checks.
    Unreadable,
    /// A version or an agent table that this release does not read.
    Unknown,
}

/// Where the checksummed part of the preface stands: `magic · version · reserved · length`.
const PREFIX_BYTES: usize = 16;
const FIXED_BYTES: usize = PREFIX_BYTES + 5 * 8 + 1 + 32 + 4;
const AGENT_BYTES: usize = 49;
const MAGIC: &[u8; 8] = b"farpostQ";
const VERSION: u16 = 1;
/// One copy of a spool's preface with 40,000 agents of the longest names.
const COPY_BYTES_MAX: usize = 16 << 20;

impl Preface {
    /// Appends both copies.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let copy = self.copy();
        out.extend_from_slice(&copy);
        out.extend_from_slice(&copy);
    }

    fn copy(&self) -> Vec<u8> {
        let state = &self.checkpoint;
        let name = state.owner.as_str().as_bytes();
        let length = FIXED_BYTES + AGENT_BYTES + name.len() + 4;
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(length as u32).to_le_bytes());
        for number in [self.segment, self.previous, self.previous_valid, state.boot, state.down_cursor] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(u8::from(state.source.is_some()));
        out.extend_from_slice(&state.source.unwrap_or_default().to_bytes());
        out.extend_from_slice(&1_u32.to_le_bytes());
        for number in [OWN_AGENT, state.epoch.0, state.base, state.next, state.delivered, state.unseen_first] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        // A name is at most 253 bytes.
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        let crc = crc32c::crc32c_append(salt_of(self.segment), &out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Finds the first copy that checks. Answers it, where the batches begin, and whether both copies were whole.
    ///
    /// # Errors
    ///
    /// See [`PrefaceProblem`]; the caller decides whether the segment was never synced or is damaged.
    pub(crate) fn find(bytes: &[u8], segment: u64) -> Result<(Self, usize, bool), PrefaceProblem> {
        let first = Self::parse(bytes, segment);
        if let Ok((preface, length)) = &first {
            let whole = bytes.get(*length..2 * length).is_some_and(|second| second == &bytes[..*length]);
            return Ok((preface.clone(), 2 * length, whole));
        }
        let reach = bytes.len().min(COPY_BYTES_MAX);
        for at in 1..reach {
            if bytes[at..].starts_with(MAGIC)
                && let Ok((preface, length)) = Self::parse(&bytes[at..], segment)
                && length == at
            {
                return Ok((preface, 2 * length, false));
            }
        }
        match first {
            Err(problem) => Err(problem),
            Ok(_) => Err(PrefaceProblem::Unreadable),
        }
    }

    fn parse(bytes: &[u8], segment: u64) -> Result<(Self, usize), PrefaceProblem> {
        let unreadable = PrefaceProblem::Unreadable;
        if bytes.len() < FIXED_BYTES || !bytes.starts_with(MAGIC) {
            return Err(unreadable);
        }
        if bytes[8..10] != VERSION.to_le_bytes() {
            return Err(PrefaceProblem::Unknown);
        }
        let length = u32_at(bytes, 12) as usize;
        let copy = bytes.get(..length).filter(|copy| copy.len() >= FIXED_BYTES + 4).ok_or(unreadable)?;
        let (content, crc) = copy.split_at(length - 4);
        if crc32c::crc32c_append(salt_of(segment), content) != u32_at(crc, 0) || u64_at(content, 16) != segment {
            return Err(unreadable);
        }
        Ok((Self::parse_content(content, segment).ok_or(PrefaceProblem::Unknown)?, length))
    }

    /// Of bytes that check; none if they say what this release does not know.
    fn parse_content(content: &[u8], segment: u64) -> Option<Self> {
        let agent = content.get(FIXED_BYTES..)?;
        if u32_at(content, FIXED_BYTES - 4) != 1 || agent.len() < AGENT_BYTES || u64_at(agent, 0) != OWN_AGENT {
            return None;
        }
        let name = std::str::from_utf8(agent.get(AGENT_BYTES..)?).ok()?;
        if name.len() != usize::from(agent[48]) {
            return None;
        }
        let source = SourcePosition::from_bytes(&content[57..89])?;
        Some(Self {
            segment,
            previous: u64_at(content, 24),
            previous_valid: u64_at(content, 32),
            checkpoint: Checkpoint {
                owner: Name::parse(name).ok()?,
                boot: u64_at(content, 40),
                down_cursor: u64_at(content, 48),
                source: (content[56] == 1).then_some(source),
                epoch: Epoch(u64_at(agent, 8)),
                base: u64_at(agent, 16),
                next: u64_at(agent, 24),
                delivered: u64_at(agent, 32),
                unseen_first: u64_at(agent, 40),
            },
        })
    }
}
