//! Frames: the header, the kinds, cutting a byte stream into frames. Sections 1 and 2 of the specification.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::limits::FRAME_BYTES_MAX;

/// `length u24 · type u8 · channel u32`.
pub(crate) const HEADER_BYTES: usize = 8;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What a frame is. Section 2 lists who may send which and when.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub(crate) enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// Every kind, in the order of the numbers.
            #[cfg(any(fuzzing, test))]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(crate) fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The dialler introduces itself.
    Hello = 0x01;
    /// The acceptor's answer, and again when a pending peer was approved.
    Welcome = 0x02;
    /// No, with a reason; on a channel it ends the channel, on channel 0 the link.
    Refuse = 0x03;
    /// Says that the sender is alive; asks for a PONG.
    Ping = 0x04;
    /// Answers a PING with its eight bytes.
    Pong = 0x05;
    /// Teaches the peer a certificate chain, which is then named by its SHA-256.
    Chain = 0x06;
    /// Opens a channel for an agent.
    Open = 0x07;
    /// The answer to OPEN, and again when a pending agent was approved.
    Opened = 0x08;
    /// A run of messages with consecutive sequences.
    Data = 0x09;
    /// A part of one large message.
    Fragment = 0x0a;
    /// Delivered up to here (absolute).
    Ack = 0x0b;
    /// The receiver has room up to here (absolute).
    Credit = 0x0c;
    /// The end of a channel, in order with its data.
    Close = 0x0d;
    /// Sequences that will never come, in order with the channel's data.
    Gap = 0x0e;
    /// A new signed assignment for the node at the end of the channel (channel 0: for the peer).
    Assign = 0x0f;
    /// The group's challenge of the period.
    Challenge = 0x10;
    /// A renewed attestation for an open channel.
    Attest = 0x11;
    /// Whether the sender has an upstream.
    State = 0x12;
    /// A message to the agent.
    Down = 0x13;
    /// The agent's application has taken all downstream messages up to here (absolute).
    DownAck = 0x14;
    /// A node asks for a new certificate, signed with its present key.
    Request = 0x15;
    /// The answer to REQUEST.
    Issued = 0x16;
    /// A node without a certificate asks for its first one, with a token.
    Enrol = 0x17;
    /// The answer to ENROL.
    Enrolled = 0x18;
    /// A gateway's former key vouches for the one of this link.
    Succeed = 0x19;
    /// An operator asks something of the group.
    Ask = 0x1a;
    /// The answer to ASK.
    Answer = 0x1b;
    /// How a node stands.
    Report = 0x1c;
}

/// One frame; the body shares the memory it was read into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) channel: u32,
    pub(crate) body: Bytes,
}

impl Frame {
    /// What it takes on the wire, which is also what it costs in credit.
    pub(crate) fn wire_bytes(&self) -> u64 {
        (HEADER_BYTES + self.body.len()) as u64
    }

    #[cfg(test)]
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        put_header(out, self.kind, self.channel, self.body.len());
        out.put_slice(&self.body);
    }
}

/// Writes a frame's header; the body of `body_bytes` follows.
pub(crate) fn put_header(out: &mut BytesMut, kind: Kind, channel: u32, body_bytes: usize) {
    let length = HEADER_BYTES + body_bytes;
    assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes was built");
    out.put_uint(length as u64, 3);
    out.put_u8(kind as u8);
    out.put_u32(channel);
}

/// Cuts the next frame off a stream. `Ok(None)` asks for more bytes; frames of unknown types above 0x7f are skipped
/// (section 2).
///
/// # Errors
///
/// A length outside 8 ..= `bytes_max` ([`Code::FrameTooLong`], [`Code::FrameMalformed`]), found as soon as the three
/// length bytes are there, before anything is buffered for it; an unknown type below 0x80 ([`Code::FrameUnknown`]).
pub(crate) fn next_frame(stream: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, Error> {
    loop {
        if stream.len() < 3 {
            return Ok(None);
        }
        let length = usize::from(stream[0]) << 16 | usize::from(stream[1]) << 8 | usize::from(stream[2]);
        if length > bytes_max {
            return Err(Error::new(Code::FrameTooLong)
                .found(format!("a frame of {length} bytes"))
                .expected(format!("at most {bytes_max}")));
        }
        if length < HEADER_BYTES {
            return Err(Error::new(Code::FrameMalformed)
                .found(format!("a frame length of {length}"))
                .expected(format!("at least {HEADER_BYTES}, the header")));
        }
        if stream.len() < length {
            return Ok(None);
        }
        let mut frame = stream.split_to(length).freeze();
        frame.advance(3);
        let number = frame.get_u8();
        let channel = frame.get_u32();
        match Kind::from_number(number) {
            Some(kind) => return Ok(Some(Frame { kind, channel, body: frame })),
            None if number >= 0x80 => continue,
            None => {
                return Err(Error::new(Code::FrameUnknown)
                    .found(format!("type 0x{number:02x}"))
                    .expected("a type of this protocol version, or one from 0x80 up, which is skipped"));
            }
        }
    }
}
