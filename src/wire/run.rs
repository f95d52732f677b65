//! DATA: runs of messages with consecutive sequences, parsed in place. Section 5 of the specification.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Gap, Numbered, Priority, Sequence};
use crate::time::Timestamp;
use crate::wire::frame::{HEADER_BYTES, Kind, put_header};

/// `first u64 · sent i64 · count u16`, then per message `priority u8 · sent delta i32 · length u16 · payload`.
const RUN_HEADER_BYTES: usize = 18;
/// What a message costs in a run beside its payload.
const MESSAGE_HEADER_BYTES: usize = 7;
/// The largest payload that a run carries; a larger one travels in FRAGMENT frames.
pub(crate) const PAYLOAD_IN_RUN_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES - RUN_HEADER_BYTES - MESSAGE_HEADER_BYTES;

/// The body of a DATA frame, checked once, read without copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    first: Sequence,
    count: u16,
    body: Bytes,
}

impl Run {
    /// Checks a DATA body: every length inside it, at least one message, nothing left over.
    pub(crate) fn parse(body: Bytes) -> Result<Self, Error> {
        let malformed = |what: &str| Error::new(Code::FrameMalformed).subject("DATA").found(what.to_owned());
        let mut rest = &body[..];
        if rest.len() < RUN_HEADER_BYTES {
            return Err(malformed("a body shorter than its header"));
        }
        let first = rest.get_u64();
        let _sent = rest.get_i64();
        let count = rest.get_u16();
        if count == 0 || first == 0 || first.checked_add(u64::from(count)).is_none() {
            return Err(malformed("no message, or a sequence that no message can have"));
        }
        for _ in 0..count {
            if rest.len() < MESSAGE_HEADER_BYTES {
                return Err(malformed("a message header cut short"));
            }
            let priority = rest.get_u8();
            rest.advance(4);
            let length = usize::from(rest.get_u16());
            if Priority::from_number(priority).is_none() {
                return Err(malformed("an unknown priority"));
            }
            if rest.len() < length {
                return Err(malformed("a payload cut short"));
            }
            rest.advance(length);
        }
        if !rest.is_empty() {
            return Err(malformed("bytes after the last message"));
        }
        Ok(Self { first: Sequence(first), count, body })
    }

    /// First and last sequence, and the count, of a body that may be anything: what a gateway needs to forward it.
    pub(crate) fn peek(body: &[u8]) -> Result<(Sequence, Sequence), Error> {
        let mut rest = body;
        if rest.len() < RUN_HEADER_BYTES {
            return Err(Error::new(Code::FrameMalformed).subject("DATA").found("a body shorter than its header"));
        }
        let first = rest.get_u64();
        rest.advance(8);
        let count = u64::from(rest.get_u16());
        match first.checked_add(count) {
            Some(end) if first > 0 && count > 0 => Ok((Sequence(first), Sequence(end - 1))),
            _ => Err(Error::new(Code::FrameMalformed)
                .subject("DATA")
                .found("no message, or a sequence that no message can have")),
        }
    }

    pub(crate) fn first(&self) -> Sequence {
        self.first
    }

    pub(crate) fn last(&self) -> Sequence {
        Sequence(self.first.0 + u64::from(self.count) - 1)
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes of the body, for budgets.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The messages in order; the payloads share the frame's memory.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Numbered> + '_ {
        let mut header = &self.body[8..16];
        let sent = header.get_i64();
        let mut at = RUN_HEADER_BYTES;
        (0..u64::from(self.count)).map(move |index| {
            let mut head = &self.body[at..at + MESSAGE_HEADER_BYTES];
            let priority = Priority::from_number(head.get_u8()).unwrap_or_default();
            let delta = head.get_i32();
            let length = usize::from(head.get_u16());
            let start = at + MESSAGE_HEADER_BYTES;
            at = start + length;
            Numbered {
                sequence: Sequence(self.first.0 + index),
                priority,
                sent: Timestamp::from_unix_millis(sent.wrapping_add(i64::from(delta))),
                payload: self.body.slice(start..at),
            }
        })
    }

    /// A run of these messages, for tests and for messages that were joined from fragments.
    #[cfg(test)]
    pub(crate) fn of(messages: &[Numbered]) -> Self {
        let mut out = BytesMut::new();
        let taken = put_data(&mut out, 1, messages.iter(), FRAME_BYTES_MAX);
        assert_eq!(taken, messages.len(), "the messages do not fit into one frame");
        out.advance(HEADER_BYTES);
        Self::parse(out.freeze()).expect("a run that was just made")
    }
}

/// What a channel delivers, in order: messages, or sequences that will never come.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Run(Run),
    /// A message that was joined from fragments.
    Large(Numbered),
    Gap(Gap),
}

impl Content {
    pub(crate) fn last(&self) -> Sequence {
        match self {
            Self::Run(run) => run.last(),
            Self::Large(message) => message.sequence,
            Self::Gap(gap) => gap.last,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Run(run) => run.bytes(),
            Self::Large(message) => message.payload.len(),
            Self::Gap(_) => 0,
        }
    }

    /// Bytes that no credit bounds any more: those of a joined message.
    pub(crate) fn large_bytes(&self) -> usize {
        match self {
            Self::Large(message) => message.payload.len(),
            Self::Run(_) | Self::Gap(_) => 0,
        }
    }

    /// The messages in order; none for a gap.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Numbered> + '_ {
        let (run, large) = match self {
            Self::Run(run) => (Some(run), None),
            Self::Large(message) => (None, Some(message.clone())),
            Self::Gap(_) => (None, None),
        };
        run.into_iter().flat_map(Run::messages).chain(large)
    }
}

/// Writes one DATA frame with as many of the messages, which must have consecutive sequences, as fit into
/// `frame_bytes_max`; answers how many it took. Takes none, and writes nothing, if the first does not fit.
pub(crate) fn put_data<'a>(
    out: &mut BytesMut,
    channel: u32,
    messages: impl Iterator<Item = &'a Numbered>,
    frame_bytes_max: usize,
) -> usize {
    let start = out.len();
    let room = frame_bytes_max.min(FRAME_BYTES_MAX);
    let mut count = 0_u16;
    let mut base = 0_i64;
    let mut expected = Sequence::NONE;
    for message in messages {
        let base_now = if count == 0 { message.sent.unix_millis() } else { base };
        let Ok(delta) = i32::try_from(message.sent.unix_millis().wrapping_sub(base_now)) else { break };
        let used = if count == 0 { HEADER_BYTES + RUN_HEADER_BYTES } else { out.len() - start };
        if used + MESSAGE_HEADER_BYTES + message.payload.len() > room || count == u16::MAX {
            break;
        }
        if count == 0 {
            base = base_now;
            put_header(out, Kind::Data, channel, RUN_HEADER_BYTES);
            out.put_u64(message.sequence.0);
            out.put_i64(base);
            out.put_u16(0);
        } else {
            assert_eq!(message.sequence, expected, "a run's sequences are consecutive");
        }
        expected = message.sequence.next();
        out.put_u8(message.priority as u8);
        out.put_i32(delta);
        // Within a frame of 16,384 bytes every payload length fits into 16 bits.
        out.put_u16(message.payload.len() as u16);
        out.put_slice(&message.payload);
        count += 1;
    }
    if count > 0 {
        let length = out.len() - start;
        let length_at = &mut out[start..start + 3];
        length_at.copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        let count_at = start + HEADER_BYTES + 16;
        out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
    }
    usize::from(count)
}

/// A part of a message that no run can carry: `sequence u64 · sent i64 · priority u8 · total u32 · offset u32 · bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) sequence: Sequence,
    pub(crate) sent: Timestamp,
    pub(crate) priority: Priority,
    /// Bytes of the whole message; the first fragment's offset is 0.
    pub(crate) total: u32,
    pub(crate) offset: u32,
    pub(crate) bytes: Bytes,
}

const FRAGMENT_HEADER_BYTES: usize = 25;
/// Payload bytes of a full fragment.
pub(crate) const FRAGMENT_PAYLOAD_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES - FRAGMENT_HEADER_BYTES;

impl Fragment {
    pub(crate) fn parse(mut body: Bytes) -> Result<Self, Error> {
        let malformed = |what: &str| Error::new(Code::FrameMalformed).subject("FRAGMENT").found(what.to_owned());
        if body.len() <= FRAGMENT_HEADER_BYTES {
            return Err(malformed("a body without payload"));
        }
        let sequence = Sequence(body.get_u64());
        let sent = Timestamp::from_unix_millis(body.get_i64());
        let priority = Priority::from_number(body.get_u8()).ok_or_else(|| malformed("an unknown priority"))?;
        let (total, offset) = (body.get_u32(), body.get_u32());
        let end = u64::from(offset) + body.len() as u64;
        if sequence == Sequence::NONE || sequence.0 == u64::MAX || end > u64::from(total) {
            return Err(malformed("a part outside its message"));
        }
        Ok(Self { sequence, sent, priority, total, offset, bytes: body })
    }

    pub(crate) fn is_last(&self) -> bool {
        u64::from(self.offset) + self.bytes.len() as u64 == u64::from(self.total)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut, channel: u32) {
        put_header(out, Kind::Fragment, channel, FRAGMENT_HEADER_BYTES + self.bytes.len());
        out.put_u64(self.sequence.0);
        out.put_i64(self.sent.unix_millis());
        out.put_u8(self.priority as u8);
        out.put_u32(self.total);
        out.put_u32(self.offset);
        out.put_slice(&self.bytes);
    }
}

#[cfg(test)]
mod tests;
