//! The rare frames' bodies: protobuf messages, so that they can grow. Section 3 of the specification.

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use crate::role::Role;
use crate::wire::frame::{Frame, HEADER_BYTES, Kind, put_header};

/// HELLO: who the dialler is and what it wants.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Hello {
    /// The highest protocol version that it speaks.
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    /// [`Role`](crate::role::Role) as a number.
    #[prost(uint32, tag = "2")]
    pub(crate) role: u32,
    /// [`PURPOSE_USE`] or [`PURPOSE_PROBE`].
    #[prost(uint32, tag = "3")]
    pub(crate) purpose: u32,
    #[prost(string, tag = "4")]
    pub(crate) name: String,
    #[prost(string, tag = "5")]
    pub(crate) group: String,
    #[prost(string, tag = "6")]
    pub(crate) software: String,
    /// How often the dialler will send at least something.
    #[prost(uint32, tag = "7")]
    pub(crate) heartbeat_ms: u32,
    /// Bits of optional features; none is defined yet.
    #[prost(uint64, tag = "8")]
    pub(crate) features: u64,
    /// The version of the assignment that the dialler holds; 0 is none.
    #[prost(uint64, tag = "9")]
    pub(crate) assignment_version: u64,
}

pub(crate) const PURPOSE_USE: u32 = 1;
/// A proof that the standby would take this node; never opens, fences or changes the inventory (rule F3).
pub(crate) const PURPOSE_PROBE: u32 = 2;

pub(crate) const STATUS_ACCEPTED: u32 = 1;
/// The link or channel stays open and waits for the group's approval (rule G5).
pub(crate) const STATUS_PENDING: u32 = 2;

/// WELCOME: the acceptor takes the dialler, or keeps it waiting for approval.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Welcome {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) status: u32,
    /// Why it waits, where it waits.
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) role: u32,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(string, tag = "6")]
    pub(crate) group: String,
    #[prost(string, tag = "7")]
    pub(crate) software: String,
    #[prost(uint32, tag = "8")]
    pub(crate) heartbeat_ms: u32,
    #[prost(uint64, tag = "9")]
    pub(crate) features: u64,
    /// The group's Ed25519 public key (rule G6); empty where the acceptor does not know it yet.
    #[prost(bytes = "bytes", tag = "10")]
    pub(crate) group_key: Bytes,
}

/// REFUSE: no, with the permanent code.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Refuse {
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
    /// What was found and expected, for people.
    #[prost(string, tag = "2")]
    pub(crate) text: String,
    #[prost(uint32, tag = "3")]
    pub(crate) retry_after_ms: u32,
}

/// CHAIN: a certificate chain, leaf first, in DER, in as many frames as it needs. Its name is the SHA-256 over each
/// certificate's length (u32) and bytes.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Chain {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) certificates: Vec<Bytes>,
    /// The next CHAIN frame continues this chain.
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
}

/// The proof that an agent is connected to this gateway now (rule I6).
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Attestation {
    /// The period whose challenge was signed.
    #[prost(uint64, tag = "1")]
    pub(crate) period: u64,
    /// TLS SignatureScheme (RFC 8446 section 4.2.3).
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) signature: Bytes,
    /// The chain of the key that signed, by SHA-256.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) chain: Bytes,
    /// The key hash of the gateway that was signed, as the agent says.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) gateway_key: Bytes,
}

/// OPEN: a channel for one agent's session.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Open {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(fixed64, tag = "2")]
    pub(crate) epoch: u64,
    /// The durable boot counter, from 1.
    #[prost(uint64, tag = "3")]
    pub(crate) boot: u64,
    #[prost(fixed64, tag = "4")]
    pub(crate) nonce: u64,
    /// The connection counter of this boot, from 1.
    #[prost(uint64, tag = "5")]
    pub(crate) connection: u64,
    /// The first sequence given since the last boot that the group has seen (rule D1).
    #[prost(uint64, tag = "6")]
    pub(crate) boot_first: u64,
    /// The lowest sequence that the agent still holds, or the next one if it holds none (rule D9).
    #[prost(uint64, tag = "7")]
    pub(crate) lowest_held: u64,
    /// What may have been handed over before: messages up to here come marked `redelivered` (rule D5).
    #[prost(uint64, tag = "8")]
    pub(crate) sent_through: u64,
    #[prost(message, optional, tag = "9")]
    pub(crate) attestation: Option<Attestation>,
    /// The agent's address as the gateway sees it.
    #[prost(string, tag = "10")]
    pub(crate) address: String,
    #[prost(string, tag = "11")]
    pub(crate) software: String,
    #[prost(uint64, tag = "12")]
    pub(crate) assignment_version: u64,
    /// The last downstream message that the agent's application took (rule D8).
    #[prost(uint64, tag = "13")]
    pub(crate) down_cursor: u64,
    /// [`Role`](crate::role::Role) as a number: 2 is a gateway's own channel, 0 and 1 an agent's.
    #[prost(uint32, tag = "14")]
    pub(crate) role: u32,
    /// The number of the gateway channel on this link that this one is behind; 0: the node at the link's end is its own
    /// gateway, or itself.
    #[prost(uint32, tag = "15")]
    pub(crate) behind: u32,
}

impl Open {
    /// Whether it opens a gateway's own channel.
    pub(crate) fn is_of_gateway(&self) -> bool {
        self.role == Role::Gateway as u32
    }
}

/// OPENED: the session stands, or waits for approval.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Opened {
    #[prost(uint32, tag = "1")]
    pub(crate) status: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) code: u32,
    /// Delivered so far: the channel begins with the sequence after it.
    #[prost(uint64, tag = "3")]
    pub(crate) delivered: u64,
}

/// CLOSE: the end of a channel.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Close {
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
    /// From a gateway: nothing above this sequence was sent on, so it will not come as redelivered.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) forwarded: Option<u64>,
}

/// GAP: sequences that will never come.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct GapFrame {
    #[prost(uint64, tag = "1")]
    pub(crate) first: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) last: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) reason: u32,
}

/// ASSIGN: a signed assignment (rule G6).
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Assign {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) signature: Bytes,
    /// The group's public key, for nodes that do not know it yet and take it from a configured upstream.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) key: Bytes,
    /// How a node that trusts a former key gets to this one, the oldest first.
    #[prost(message, repeated, tag = "4")]
    pub(crate) successions: Vec<KeySuccession>,
}

/// A statement by which a key of the group named the next one.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct KeySuccession {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) signature: Bytes,
}

/// CHALLENGE: what attestations of this period sign (rule I6).
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Challenge {
    #[prost(uint64, tag = "1")]
    pub(crate) period: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) challenge: Bytes,
}

/// STATE: whether the sender can reach a management server.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct State {
    #[prost(bool, tag = "1")]
    pub(crate) available: bool,
    /// Why not.
    #[prost(uint32, tag = "2")]
    pub(crate) code: u32,
    /// Told to gateways: the gateways on the sender's way to a management server, the sender first; none from a server.
    #[prost(string, repeated, tag = "3")]
    pub(crate) path: Vec<String>,
}

/// DOWN: a message to the agent.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Down {
    /// Numbered per agent by the group store, from 1.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(int64, tag = "2")]
    pub(crate) sent_unix_ms: i64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) payload: Bytes,
}

/// SUCCEED: a gateway's former key vouches for the one that it proved on this link (rule I5), or that one for the next.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Succeed {
    /// The former chain, by SHA-256.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) chain: Bytes,
    /// TLS SignatureScheme.
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) signature: Bytes,
    /// The key that takes the place of the one proven here, by SHA-256; empty where a former one vouches.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) next: Bytes,
}

/// The number of a fixed body: ACK, CREDIT and DOWN_ACK are `u64`.
pub(crate) fn read_number(frame: &Frame) -> Result<u64, Error> {
    match <[u8; 8]>::try_from(&frame.body[..]) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(Error::new(Code::FrameMalformed)
            .subject(format!("{:?}", frame.kind))
            .found(format!("{} bytes", frame.body.len()))
            .expected("8")),
    }
}

/// Which frame a body belongs to, and how long it may be.
pub(crate) trait Body: prost::Message + Default {
    const KIND: Kind;
    const BYTES_MAX: usize;
}

macro_rules! bodies {
    ($($body:ident = $kind:ident, $bytes_max:expr;)*) => {
        $(impl Body for $body { const KIND: Kind = Kind::$kind; const BYTES_MAX: usize = $bytes_max; })*
    }
}

/// What fits into a frame.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;

bodies! {
    Hello = Hello, HELLO_BYTES_MAX - HEADER_BYTES;
    Welcome = Welcome, BODY_BYTES_MAX;
    Refuse = Refuse, BODY_BYTES_MAX;
    Chain = Chain, BODY_BYTES_MAX;
    // A gateway writes the agent's address into it: what came must leave room for that in the frame that goes on.
    Open = Open, HELLO_BYTES_MAX - HEADER_BYTES;
    Opened = Opened, BODY_BYTES_MAX;
    Close = Close, BODY_BYTES_MAX;
    GapFrame = Gap, BODY_BYTES_MAX;
    Assign = Assign, BODY_BYTES_MAX;
    Challenge = Challenge, BODY_BYTES_MAX;
    Attestation = Attest, BODY_BYTES_MAX;
    State = State, BODY_BYTES_MAX;
    Down = Down, BODY_BYTES_MAX;
    Succeed = Succeed, BODY_BYTES_MAX;
}

/// Writes a frame with this body.
pub(crate) fn put_message<B: Body>(out: &mut BytesMut, channel: u32, body: &B) {
    put_header(out, B::KIND, channel, body.encoded_len());
    body.encode(out).expect("BytesMut grows");
}

/// Reads a frame's body.
///
/// # Errors
///
/// [`Code::FrameTooLong`] for a body beyond [`Body::BYTES_MAX`], [`Code::FrameMalformed`] for one that is no such
/// message.
pub(crate) fn read_message<B: Body>(frame: &Frame) -> Result<B, Error> {
    debug_assert_eq!(frame.kind, B::KIND);
    if frame.body.len() > B::BYTES_MAX {
        return Err(Error::new(Code::FrameTooLong)
            .subject(format!("{:?}", frame.kind))
            .found(format!("a body of {} bytes", frame.body.len()))
            .expected(format!("at most {}", B::BYTES_MAX)));
    }
    B::decode(frame.body.clone())
        .map_err(|error| Error::new(Code::FrameMalformed).subject(format!("{:?}", frame.kind)).found(error.to_string()))
}

impl Refuse {
    /// The refusal that tells a peer of an error. The text is cut to what a frame and a log line bear.
    pub(crate) fn of_error(error: &Error) -> Self {
        let text = match (error.found_text(), error.expected_text()) {
            ("", "") => String::new(),
            ("", expected) => format!("expected {expected}"),
            (found, "") => format!("found {found}"),
            (found, expected) => format!("found {found}; expected {expected}"),
        };
        Self { code: u32::from(error.code().number()), text: crate::error::printable(&text), retry_after_ms: 0 }
    }

    /// The error that a peer's refusal means here.
    pub(crate) fn to_error(&self) -> Error {
        // As `of_error` puts them together; another implementation may say it in its own way.
        let (found, expected) = match (self.text.strip_prefix("found "), self.text.strip_prefix("expected ")) {
            (Some(text), _) => text.split_once("; expected ").unwrap_or((text, "")),
            (None, Some(expected)) => ("", expected),
            (None, None) => (self.text.as_str(), ""),
        };
        code_of(self.code).found(found).expected(expected)
    }
}

/// An error with the code of this number; one that this release does not know becomes [`Code::PeerRefused`].
pub(crate) fn code_of(number: u32) -> Error {
    match u16::try_from(number).ok().and_then(Code::from_number) {
        Some(code) => Error::new(code),
        None => Error::new(Code::PeerRefused).subject(format!("FP{number}, which this release does not know")),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// The longest OPEN that is read, with the longest text that a socket address has, still fits into a frame.
    #[test]
    fn d7_an_open_that_would_not_fit_with_the_address_that_a_gateway_adds_is_refused() {
        let open_of = |bytes: usize| Open { software: "x".repeat(bytes), ..Open::default() };
        let frame_of = |open: &Open| Frame { kind: Kind::Open, channel: 1, body: open.encode_to_vec().into() };
        let fixed = open_of(1000).encoded_len() - 1000;
        let longest = open_of(Open::BYTES_MAX - fixed);
        let mut read: Open = read_message(&frame_of(&longest)).unwrap();
        read.address = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535".into();
        put_message(&mut BytesMut::new(), 1, &read);

        let error = read_message::<Open>(&frame_of(&open_of(Open::BYTES_MAX - fixed + 1))).unwrap_err();
        assert_eq!(error.code(), Code::FrameTooLong);
    }

    /// Section 3: a field that this version does not know is passed over, so that messages can grow.
    #[test]
    fn a_field_that_is_not_known_is_passed_over() {
        let mut body = Opened { status: STATUS_ACCEPTED, code: 0, delivered: 7 }.encode_to_vec();
        body.extend([0xfa, 0x01, 3, 1, 2, 3]);
        let frame = Frame { kind: Kind::Opened, channel: 1, body: body.into() };
        assert_eq!(read_message::<Opened>(&frame).unwrap().delivered, 7);
    }

    #[test]
    fn g5_a_refusal_tells_its_code_and_texts_and_an_unknown_code_stays_a_refusal() {
        let error = Error::new(Code::GroupMismatch).found("\"corp\"\u{1b}[2J").expected("\"CORP\"");
        let refuse = Refuse::of_error(&error);
        assert_eq!(refuse.text, "found \"corp\"\\u{1b}[2J; expected \"CORP\"");
        let told = refuse.to_error();
        assert_eq!(told.code(), Code::GroupMismatch);
        assert_eq!((told.found_text(), told.expected_text()), ("\"corp\"\\u{1b}[2J", "\"CORP\""));
        let alone = Refuse::of_error(&Error::new(Code::TimedOut).expected("a quiet moment"));
        assert_eq!(alone.text, "expected a quiet moment");
        let told = alone.to_error();
        assert_eq!((told.found_text(), told.expected_text()), ("", "a quiet moment"));
        for number in [0, 2999, 70_000, u32::MAX] {
            assert_eq!(code_of(number).code(), Code::PeerRefused, "{number}");
        }
    }
}
