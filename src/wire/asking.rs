//! What operators ask and are answered, in parts. Section 15 of the specification.

use bytes::{BufMut, Bytes, BytesMut};

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::limits::{ANSWER_BYTES_MAX, ASK_BYTES_MAX, FRAME_BYTES_MAX};
use crate::wire::frame::{HEADER_BYTES, Kind};
use crate::wire::messages::{Body, code_of};

/// ASK: a part of what an operator asks.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Ask {
    /// The operator's number for it.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    /// The next ASK continues this one.
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    /// JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) operation: Bytes,
}

/// ANSWER: a part of what it is answered, or why not.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct Answered {
    /// The ASK that is answered.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    /// JSON.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) answer: Bytes,
    /// 0: answered; else why not.
    #[prost(uint32, tag = "4")]
    pub(crate) code: u32,
    #[prost(string, tag = "5")]
    pub(crate) subject: String,
    #[prost(string, tag = "6")]
    pub(crate) found: String,
    #[prost(string, tag = "7")]
    pub(crate) expected: String,
    #[prost(string, tag = "8")]
    pub(crate) remedy: String,
}

impl Body for Ask {
    const KIND: Kind = Kind::Ask;
    const BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
}

impl Body for Answered {
    const KIND: Kind = Kind::Answer;
    const BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES;
}

impl Answered {
    /// Why an ask is not answered. The texts are cut to what a frame bears.
    pub(crate) fn of_error(id: u64, error: &Error) -> Self {
        Self {
            id,
            code: u32::from(error.code().number()),
            subject: short(error.subject_text()),
            found: short(error.found_text()),
            expected: short(error.expected_text()),
            remedy: short(error.remedy_text()),
            ..Self::default()
        }
    }

    /// The error that it brings, if it brings one.
    pub(crate) fn error(&self) -> Option<Error> {
        if self.code == 0 {
            return None;
        }
        let error = code_of(self.code);
        let error = if self.subject.is_empty() { error } else { error.subject(self.subject.clone()) };
        Some(error.found(self.found.clone()).expected(self.expected.clone()).remedy(self.remedy.clone()))
    }
}

impl Ask {
    /// The parts of an ask, in as many frames as it needs.
    pub(crate) fn parts(id: u64, operation: &Bytes) -> Vec<Self> {
        let mut rest = operation.clone();
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let operation = rest.split_to(rest.len().min(PART_BYTES_MAX));
            parts.push(Self { id, more: !rest.is_empty(), operation });
        }
        parts
    }
}

/// A text for people, escaped and so short that four of them fit into a frame.
fn short(text: &str) -> String {
    let mut text = printable(text);
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text
}

/// An answer on its way out: its frames are made as the link takes them.
#[derive(Debug)]
pub(crate) struct OutgoingAnswer {
    id: u64,
    /// What is left shares its memory with what has gone.
    rest: Bytes,
    bytes: usize,
    error: Option<Error>,
    done: bool,
}

impl OutgoingAnswer {
    pub(crate) fn new(id: u64, result: Result<Bytes>) -> Self {
        let (rest, error) = match result {
            Ok(answer) => (answer, None),
            Err(error) => (Bytes::new(), Some(error)),
        };
        Self { id, bytes: rest.len(), rest, error, done: false }
    }

    /// The ask that it answers.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The memory that it holds until its last frame is made.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its next frame; none after the last one.
    pub(crate) fn next_part(&mut self) -> Option<Answered> {
        if std::mem::replace(&mut self.done, self.rest.len() <= PART_BYTES_MAX || self.error.is_some()) {
            return None;
        }
        if let Some(error) = &self.error {
            return Some(Answered::of_error(self.id, error));
        }
        let part = self.rest.split_to(self.rest.len().min(PART_BYTES_MAX));
        Some(Answered { id: self.id, more: !self.done, answer: part, ..Answered::default() })
    }
}

/// Asks as they come in: one at a time is put together, so that no number of open ones costs memory.
#[derive(Debug, Default)]
pub(crate) struct AskAssembly(Option<(u64, BytesMut)>);

impl AskAssembly {
    /// Takes a part; answers the whole once its last one is there.
    ///
    /// # Errors
    ///
    /// [`Code::FrameMalformed`] for a part of another ask in between, and for one that brings nothing;
    /// [`Code::FrameTooLong`] for an ask that is longer than allowed.
    pub(crate) fn handle(&mut self, part: &Ask) -> Result<Option<(u64, Bytes)>> {
        join(&mut self.0, "ASK", (part.id, part.more, &part.operation), ASK_BYTES_MAX)
    }
}

/// The same for answers, at the operator's end.
#[derive(Debug, Default)]
pub(crate) struct AnswerAssembly(Option<(u64, BytesMut)>);

impl AnswerAssembly {
    /// Takes a part; answers the whole, or the error that it brings, once that is there.
    ///
    /// # Errors
    ///
    /// As [`AskAssembly::handle`].
    pub(crate) fn handle(&mut self, part: &Answered) -> Result<Option<(u64, Result<Bytes>)>> {
        if let Some(error) = part.error() {
            self.0 = None;
            return Ok(Some((part.id, Err(error))));
        }
        let whole = join(&mut self.0, "ANSWER", (part.id, part.more, &part.answer), ANSWER_BYTES_MAX)?;
        Ok(whole.map(|(id, bytes)| (id, Ok(bytes))))
    }
}

fn join(
    begun: &mut Option<(u64, BytesMut)>,
    kind: &str,
    (id, more, bytes): (u64, bool, &Bytes),
    bytes_max: usize,
) -> Result<Option<(u64, Bytes)>> {
    let malformed = |found: String| Error::new(Code::FrameMalformed).subject(kind).found(found);
    if bytes.is_empty() {
        return Err(malformed("a part without bytes".to_owned()));
    }
    let (of, mut whole) = begun.take().unwrap_or_else(|| (id, BytesMut::new()));
    if of != id {
        return Err(malformed(format!("a part of {id} among those of {of}")));
    }
    if whole.len() + bytes.len() > bytes_max {
        return Err(Error::new(Code::FrameTooLong)
            .subject(kind)
            .found(format!("more than {} bytes", whole.len()))
            .expected(format!("at most {bytes_max} in all its parts")));
    }
    whole.put_slice(bytes);
    if more {
        *begun = Some((id, whole));
        return Ok(None);
    }
    Ok(Some((id, whole.freeze())))
}

/// One of an error's four texts.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// The bytes of one part: a frame without its header, the id, and what protobuf writes before each.
const PART_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES - 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::next_frame;
    use crate::wire::messages::{put_message, read_message};

    fn bytes(count: usize) -> Bytes {
        (0..count).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn asks_and_answers_of_any_length_come_whole_through_frames_that_a_link_takes() {
        for count in [1, PART_BYTES_MAX - 1, PART_BYTES_MAX, PART_BYTES_MAX + 1, 2 * PART_BYTES_MAX, ASK_BYTES_MAX] {
            let (mut stream, mut asks, mut answers) =
                (BytesMut::new(), AskAssembly::default(), AnswerAssembly::default());
            Ask::parts(u64::MAX, &bytes(count)).iter().for_each(|part| put_message(&mut stream, 0, part));
            let mut whole = None;
            while let Some(frame) = next_frame(&mut stream, FRAME_BYTES_MAX).unwrap() {
                assert_eq!(whole, None, "nothing after the last part");
                whole = asks.handle(&read_message(&frame).unwrap()).unwrap();
            }
            assert_eq!(whole, Some((u64::MAX, bytes(count))));

            let mut answer = OutgoingAnswer::new(u64::MAX, Ok(bytes(count)));
            let mut whole = None;
            while let Some(part) = answer.next_part() {
                assert_eq!(whole, None, "nothing after the last part");
                put_message(&mut BytesMut::new(), 0, &part);
                whole = answers.handle(&part).unwrap();
            }
            assert_eq!(whole, Some((u64::MAX, Ok(bytes(count)))));
            assert_eq!(answer.bytes(), count, "it is held as a whole until it has gone");
        }
    }

    #[test]
    fn d7_parts_that_never_end_that_bring_nothing_or_that_are_mixed_are_refused_and_kept_by_nobody() {
        let part = |id, count| Ask { id, more: true, operation: bytes(count) };
        let mut asks = AskAssembly::default();
        let taken = (0..).find(|_| asks.handle(&part(1, 10_000)).is_err()).unwrap();
        assert_eq!(taken, ASK_BYTES_MAX / 10_000);
        assert!(asks.0.is_none(), "what was too long is not kept");
        assert_eq!(asks.handle(&part(1, 0)).unwrap_err().code(), Code::FrameMalformed);
        assert_eq!(asks.handle(&part(1, 1)), Ok(None));
        assert_eq!(asks.handle(&part(2, 1)).unwrap_err().code(), Code::FrameMalformed);
    }

    #[test]
    fn g5_an_error_comes_with_all_that_it_says_and_in_one_frame_however_long_its_texts_are() {
        let error = Error::new(Code::ServerUnknown).subject("ms9").found("f").expected("e").remedy("r");
        let mut outgoing = OutgoingAnswer::new(7, Err(error.clone()));
        let part = outgoing.next_part().unwrap();
        assert_eq!(AnswerAssembly::default().handle(&part), Ok(Some((7, Err(error)))));
        assert_eq!(outgoing.next_part(), None);
        for long in ["\u{202e}", "\u{10ffff}", "x", "é\n"].map(|text| text.repeat(100_000)) {
            let error = Error::new(Code::Internal).subject(&long).found(&long).expected(&long).remedy(&long);
            put_message(&mut BytesMut::new(), 0, &Answered::of_error(7, &error));
        }
        let unknown = Answered { id: 7, code: 60_000, ..Answered::default() };
        assert_eq!(unknown.error().unwrap().code(), Code::PeerRefused);
    }
}
