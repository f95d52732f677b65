//! The bodies that ask for certificates and bring them, and the answer that they carry in parts. Section 13 of the
//! specification.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::error::Error;
use crate::limits::{
    CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX,
    WIRE_REQUEST_BYTES_MAX,
};
use crate::wire::frame::{HEADER_BYTES, Kind, next_frame};
use crate::wire::messages::{Body, Refuse, read_message};

/// REQUEST: a node asks for a new certificate for the name that it has.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Request {
    /// PKCS#10, DER.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) request: Bytes,
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    /// By the key of the node's present certificate.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) signature: Bytes,
}

/// ISSUED: a part of the answer to REQUEST.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Issued {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) certificates: Vec<Bytes>,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
    #[prost(string, tag = "4")]
    pub(crate) text: String,
    #[prost(uint32, tag = "5")]
    pub(crate) retry_after_ms: u32,
    /// The SHA-256 of the request that is answered.
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) request: Bytes,
}

/// ENROL: a node without a certificate asks for its first one.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Enrol {
    /// PKCS#10, DER.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) request: Bytes,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// [`Role`](crate::role::Role) as a number.
    #[prost(uint32, tag = "3")]
    pub(crate) role: u32,
    #[prost(string, tag = "4")]
    pub(crate) group: String,
    /// The token's public key.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) token_key: Bytes,
    /// By the token's private key.
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) signature: Bytes,
    /// The gateway's number for it.
    #[prost(uint64, tag = "7")]
    pub(crate) id: u64,
    /// The node's, as the gateway sees it; for people.
    #[prost(string, tag = "8")]
    pub(crate) address: String,
}

/// ENROLLED: a part of the answer to ENROL.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Enrolled {
    /// The ENROL that is answered.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) certificates: Vec<Bytes>,
    #[prost(bool, tag = "3")]
    pub(crate) more: bool,
    #[prost(uint32, tag = "4")]
    pub(crate) code: u32,
    #[prost(string, tag = "5")]
    pub(crate) text: String,
    #[prost(uint32, tag = "6")]
    pub(crate) retry_after_ms: u32,
}

impl Body for Request {
    const KIND: Kind = Kind::Request;
    const BYTES_MAX: usize = REQUEST_FRAME_BYTES_MAX - HEADER_BYTES;
}

impl Body for Issued {
    const KIND: Kind = Kind::Issued;
    const BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
}

impl Body for Enrol {
    const KIND: Kind = Kind::Enrol;
    const BYTES_MAX: usize = REQUEST_FRAME_BYTES_MAX - HEADER_BYTES;
}

impl Body for Enrolled {
    const KIND: Kind = Kind::Enrolled;
    const BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
}

/// What became of a request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The chain, leaf first, DER.
    Issued(Vec<Bytes>),
    /// The authority has the request and will answer later: ask again with the same one after this.
    Pending(Duration),
    /// No, with a reason. Zero: when to ask again is the asker's to decide.
    Refused(Error, Duration),
}

impl Answer {
    /// A refusal without a word on when to ask again.
    pub(crate) fn refused(error: Error) -> Self {
        Self::Refused(error, Duration::ZERO)
    }

    /// The frames that answer the request with this hash.
    pub(crate) fn to_issued(&self, request: [u8; 32]) -> Vec<Issued> {
        let issued = |part: Part| Issued {
            certificates: part.certificates,
            more: part.more,
            code: part.code,
            text: part.text,
            retry_after_ms: part.retry_after_ms,
            request: Bytes::copy_from_slice(&request),
        };
        self.to_parts().into_iter().map(issued).collect()
    }

    /// The frames that answer the ENROL with this number.
    pub(crate) fn to_enrolled(&self, id: u64) -> Vec<Enrolled> {
        let enrolled = |part: Part| Enrolled {
            id,
            certificates: part.certificates,
            more: part.more,
            code: part.code,
            text: part.text,
            retry_after_ms: part.retry_after_ms,
        };
        self.to_parts().into_iter().map(enrolled).collect()
    }

    /// A certificate per part: any that is accepted fits into a frame.
    fn to_parts(&self) -> Vec<Part> {
        match self {
            Self::Issued(chain) if chain.iter().all(|der| der.len() <= CERTIFICATE_BYTES_MAX) && !chain.is_empty() => {
                let last = chain.len() - 1;
                let part = |(at, der): (usize, &Bytes)| Part {
                    certificates: vec![der.clone()],
                    more: at < last,
                    ..Part::default()
                };
                chain.iter().enumerate().map(part).collect()
            }
            Self::Issued(chain) => {
                let error = Error::new(Code::ChainTooLarge)
                    .found(format!("an issued chain of {} certificates", chain.len()))
                    .expected(format!("each at most {CERTIFICATE_BYTES_MAX} bytes"));
                Self::refused(error).to_parts()
            }
            Self::Pending(after) => {
                let error = Error::new(Code::RenewalPending);
                vec![Part { retry_after_ms: millis(*after), ..Part::of_error(&error) }]
            }
            Self::Refused(error, after) => vec![Part { retry_after_ms: millis(*after), ..Part::of_error(error) }],
        }
    }
}

/// What ISSUED and ENROLLED have in common.
#[derive(Clone, Debug, Default)]
struct Part {
    certificates: Vec<Bytes>,
    more: bool,
    code: u32,
    text: String,
    retry_after_ms: u32,
}

impl Part {
    fn of_error(error: &Error) -> Self {
        let refuse = Refuse::of_error(error);
        Self { code: refuse.code, text: refuse.text, ..Self::default() }
    }
}

/// An answer whose parts are coming.
#[derive(Debug, Default)]
pub(crate) struct Assembly(Vec<Bytes>);

impl Assembly {
    /// Takes a part of the answer to a renewal; `Some` with the last one.
    ///
    /// # Errors
    ///
    /// [`Code::ChainTooLarge`] beyond what a chain may have.
    pub(crate) fn take_issued(&mut self, issued: Issued) -> Result<Option<Answer>, Error> {
        let Issued { certificates, more, code, text, retry_after_ms, request: _ } = issued;
        self.take(Part { certificates, more, code, text, retry_after_ms })
    }

    /// Takes a part of the answer to an enrolment; `Some` with the last one.
    ///
    /// # Errors
    ///
    /// As [`Self::take_issued`].
    pub(crate) fn take_enrolled(&mut self, enrolled: Enrolled) -> Result<Option<Answer>, Error> {
        let Enrolled { id: _, certificates, more, code, text, retry_after_ms } = enrolled;
        self.take(Part { certificates, more, code, text, retry_after_ms })
    }

    fn take(&mut self, part: Part) -> Result<Option<Answer>, Error> {
        let retry_after = Duration::from_millis(u64::from(part.retry_after_ms));
        if part.code == u32::from(Code::RenewalPending.number()) {
            return Ok(Some(Answer::Pending(retry_after)));
        }
        if part.code != 0 {
            let told = Refuse { code: part.code, text: part.text, retry_after_ms: 0 };
            return Ok(Some(Answer::Refused(told.to_error(), retry_after)));
        }
        // A part that brings nothing would let the sender go on for ever.
        let is_empty = part.certificates.is_empty();
        self.0.extend(part.certificates);
        let bytes: usize = self.0.iter().map(Bytes::len).sum();
        if is_empty || self.0.len() > CHAIN_CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
            return Err(Error::new(Code::ChainTooLarge)
                .found(format!("an issued chain of {} certificates, {bytes} bytes", self.0.len()))
                .expected(format!("1 to {CHAIN_CERTIFICATES_MAX} certificates, at most {CHAIN_BYTES_MAX} bytes")));
        }
        if part.more { Ok(None) } else { Ok(Some(Answer::Issued(std::mem::take(&mut self.0)))) }
    }
}

/// Cuts an ENROL off the bytes of an enrolment connection; `None` asks for more.
///
/// # Errors
///
/// [`Code::FrameUnexpected`] for any other type, as soon as it is there; what [`next_frame`] and [`read_message`] find.
pub(crate) fn next_enrol(stream: &mut BytesMut) -> Result<Option<Enrol>, Error> {
    let Some(enrol) = only::<Enrol>(stream, REQUEST_FRAME_BYTES_MAX)? else { return Ok(None) };
    check_request_length(&enrol.request)?;
    Ok(Some(enrol))
}

/// Cuts an ENROLLED off the bytes of an enrolment connection; `None` asks for more.
///
/// # Errors
///
/// As [`next_enrol`].
pub(crate) fn next_enrolled(stream: &mut BytesMut) -> Result<Option<Enrolled>, Error> {
    only(stream, FRAME_BYTES_MAX)
}

/// The one type that an end of an enrolment connection takes. Types from 0x80 up, which a link skips, are refused too.
fn only<B: Body>(stream: &mut BytesMut, bytes_max: usize) -> Result<Option<B>, Error> {
    let unexpected = |found: String| Error::new(Code::FrameUnexpected).found(found).expected(format!("{:?}", B::KIND));
    if let Some(number) = stream.get(TYPE_AT).filter(|number| **number != B::KIND as u8) {
        return Err(unexpected(format!("type 0x{number:02x}")));
    }
    match next_frame(stream, bytes_max)? {
        Some(frame) if frame.channel == 0 => read_message(&frame).map(Some),
        Some(frame) => Err(unexpected(format!("it on channel {}", frame.channel))),
        None => Ok(None),
    }
}

/// Where a frame has its type (section 1).
const TYPE_AT: usize = 3;

/// Checks the length of a request before anything reads it.
///
/// # Errors
///
/// [`Code::FrameTooLong`].
pub(crate) fn check_request_length(request: &[u8]) -> Result<(), Error> {
    if request.is_empty() || request.len() > WIRE_REQUEST_BYTES_MAX {
        return Err(Error::new(Code::FrameTooLong)
            .subject("REQUEST")
            .found(format!("a certificate request of {} bytes", request.len()))
            .expected(format!("1 to {WIRE_REQUEST_BYTES_MAX}")));
    }
    Ok(())
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::put_message;

    fn chain(lengths: &[usize]) -> Answer {
        Answer::Issued(lengths.iter().map(|length| Bytes::from(vec![0x30; *length])).collect())
    }

    /// An answer goes into its frames and comes out of them.
    fn back(answer: &Answer) -> Result<Option<Answer>, Error> {
        let mut assembly = Assembly::default();
        let mut last = Ok(None);
        for issued in answer.to_issued([9; 32]) {
            assert_eq!(issued.request.as_ref(), [9; 32]);
            last = assembly.take_issued(issued);
        }
        let mut assembly = Assembly::default();
        let enrolled: Vec<_> =
            answer.to_enrolled(4).into_iter().map(|enrolled| assembly.take_enrolled(enrolled)).collect();
        assert_eq!(enrolled.last(), Some(&last), "both kinds carry the same");
        last
    }

    #[test]
    fn every_answer_comes_out_of_its_frames_as_it_went_in() {
        let refusal = Error::new(Code::NameRejected).found("pc7.example").expected("an approved name");
        let answers = [
            chain(&[900]),
            chain(&[8192, 8192]),
            chain(&[1; 8]),
            Answer::Pending(Duration::from_secs(60)),
            Answer::Refused(refusal, Duration::from_secs(3)),
        ];
        for answer in answers {
            assert_eq!(back(&answer), Ok(Some(answer.clone())), "{answer:?}");
        }
    }

    #[test]
    fn h1_an_enrolment_connection_takes_enrol_and_nothing_else() {
        let mut whole = BytesMut::new();
        let enrol = Enrol { request: vec![0x30; 4096].into(), ..Enrol::default() };
        put_message(&mut whole, 0, &enrol);
        for cut in 0..whole.len() {
            let mut stream = BytesMut::from(&whole[..cut]);
            assert_eq!(next_enrol(&mut stream), Ok(None), "{cut} bytes of it");
        }
        assert_eq!(next_enrol(&mut whole.clone()), Ok(Some(enrol.clone())));
        for number in (0..=u8::MAX).filter(|number| *number != Kind::Enrol as u8) {
            let mut stream = BytesMut::from(&[0, 0x0f, 0, number][..]);
            assert_eq!(next_enrol(&mut stream).unwrap_err().code(), Code::FrameUnexpected, "0x{number:02x}");
        }
        let mut announced = BytesMut::from(&[0, 0x20, 0x01][..]);
        assert_eq!(next_enrol(&mut announced).unwrap_err().code(), Code::FrameTooLong, "8,193 bytes");
        for (channel, length, code) in [(1, 5, Code::FrameUnexpected), (0, 4097, Code::FrameTooLong)] {
            let mut stream = BytesMut::new();
            put_message(&mut stream, channel, &Enrol { request: vec![0x30; length].into(), ..Enrol::default() });
            assert_eq!(next_enrol(&mut stream).unwrap_err().code(), code);
        }
    }

    #[test]
    fn a_chain_beyond_the_limits_is_refused_however_it_is_cut_into_parts() {
        for answer in [chain(&[1; 9]), chain(&[8192, 8192, 1])] {
            assert_eq!(back(&answer).unwrap_err().code(), Code::ChainTooLarge, "{answer:?}");
        }
        // The sender sees it first where one frame cannot carry it, or there is nothing.
        for answer in [chain(&[8193]), chain(&[])] {
            let told = back(&answer).unwrap().unwrap();
            assert!(matches!(told, Answer::Refused(error, _) if error.code() == Code::ChainTooLarge));
        }
        let empty = Issued { more: true, ..Issued::default() };
        assert_eq!(Assembly::default().take_issued(empty).unwrap_err().code(), Code::ChainTooLarge, "for ever");
    }
}
