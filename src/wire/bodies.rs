//! Reads the body of any frame: what fuzzing and the golden bytes go through.

use crate::error::Error;
use crate::wire::asking::{Answered, Ask};
use crate::wire::certificates::{Enrol, Enrolled, Issued, Request};
use crate::wire::frame::{Frame, Kind};
use crate::wire::messages::{
    Assign, Attestation, Chain, Challenge, Close, Down, GapFrame, Hello, Open, Opened, Refuse, State, Succeed, Welcome,
    read_message, read_number,
};
use crate::wire::reports::read_report;
use crate::wire::run::{Fragment, Run};

/// Reads a frame's body with the reader that its kind has.
///
/// The match has no default arm: a new kind cannot be left out of the fuzzing.
///
/// # Errors
///
/// As the reader's.
pub(crate) fn read_body(frame: &Frame) -> Result<(), Error> {
    match frame.kind {
        Kind::Hello => read_message::<Hello>(frame).map(drop),
        Kind::Welcome => read_message::<Welcome>(frame).map(drop),
        Kind::Refuse => read_message::<Refuse>(frame).map(|refuse| drop(refuse.to_error().to_string())),
        Kind::Chain => read_message::<Chain>(frame).map(drop),
        Kind::Open => read_message::<Open>(frame).map(drop),
        Kind::Opened => read_message::<Opened>(frame).map(drop),
        Kind::Close => read_message::<Close>(frame).map(drop),
        Kind::Gap => read_message::<GapFrame>(frame).map(drop),
        Kind::Assign => read_message::<Assign>(frame).map(drop),
        Kind::Challenge => read_message::<Challenge>(frame).map(drop),
        Kind::Attest => read_message::<Attestation>(frame).map(drop),
        Kind::State => read_message::<State>(frame).map(drop),
        Kind::Down => read_message::<Down>(frame).map(drop),
        Kind::Request => read_message::<Request>(frame).map(drop),
        Kind::Issued => read_message::<Issued>(frame).map(drop),
        Kind::Enrol => read_message::<Enrol>(frame).map(drop),
        Kind::Enrolled => read_message::<Enrolled>(frame).map(drop),
        Kind::Succeed => read_message::<Succeed>(frame).map(drop),
        Kind::Ask => read_message::<Ask>(frame).map(drop),
        Kind::Answer => read_message::<Answered>(frame).map(|part| drop(part.error().map(|error| error.to_string()))),
        Kind::Report => read_report(frame).map(drop),
        Kind::Ping | Kind::Pong | Kind::Ack | Kind::Credit | Kind::DownAck => read_number(frame).map(|_| ()),
        Kind::Data => read_run(frame),
        Kind::Fragment => read_fragment(frame),
    }
}

/// What a gateway and a management server each do with a run: they must agree on its first and last sequence.
fn read_run(frame: &Frame) -> Result<(), Error> {
    let peeked = Run::peek(&frame.body);
    let run = Run::parse(frame.body.clone())?;
    assert_eq!(peeked, Ok((run.first(), run.last())), "a run that can be parsed can be forwarded");
    assert_eq!(run.messages().map(|message| message.sequence).last(), Some(run.last()));
    let payloads: usize = run.messages().map(|message| message.payload.len()).sum();
    assert!(payloads < run.bytes(), "payloads lie within their run");
    Ok(())
}

fn read_fragment(frame: &Frame) -> Result<(), Error> {
    let fragment = Fragment::parse(frame.body.clone())?;
    let end = u64::from(fragment.offset) + fragment.bytes.len() as u64;
    assert_eq!(fragment.is_last(), end == u64::from(fragment.total));
    assert!(end <= u64::from(fragment.total), "a part lies within its message");
    Ok(())
}
