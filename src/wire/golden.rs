//! The bytes of every frame kind as version 1 of the protocol has them: `tests/golden/wire-1/*.hex`.
//!
//! The files are frozen at the first tagged release: from then on a test that fails here means that the code is wrong,
//! and a new meaning takes a new field, a new kind or a new version. Until then a change of the protocol changes them
//! in the same commit.

use bytes::{Bytes, BytesMut};

use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Numbered, Priority, Sequence};
use crate::time::Timestamp;
use crate::wire::asking::{Answered, Ask};
use crate::wire::certificates::{Enrol, Enrolled, Issued, Request};
use crate::wire::frame::{Frame, Kind, next_frame};
use crate::wire::messages::{
    Assign, Attestation, Body, Chain, Challenge, Close, Down, GapFrame, Hello, KeySuccession, Open, Opened,
    PURPOSE_USE, Refuse, STATUS_ACCEPTED, STATUS_PENDING, State, Succeed, Welcome, put_message, read_message,
    read_number,
};
use crate::wire::read_body;
use crate::wire::reports::{Report, ReportedRefusal, ReportedStandby};
use crate::wire::run::{Fragment, Run, put_data};

/// The file of a kind. The match has no default arm: a kind without golden bytes does not compile.
fn file(kind: Kind) -> &'static str {
    macro_rules! hex {
        ($name:literal) => {
            include_str!(concat!("../../tests/golden/wire-1/", $name, ".hex"))
        };
    }
    match kind {
        Kind::Hello => hex!("hello"),
        Kind::Welcome => hex!("welcome"),
        Kind::Refuse => hex!("refuse"),
        Kind::Ping => hex!("ping"),
        Kind::Pong => hex!("pong"),
        Kind::Chain => hex!("chain"),
        Kind::Open => hex!("open"),
        Kind::Opened => hex!("opened"),
        Kind::Data => hex!("data"),
        Kind::Fragment => hex!("fragment"),
        Kind::Ack => hex!("ack"),
        Kind::Credit => hex!("credit"),
        Kind::Close => hex!("close"),
        Kind::Gap => hex!("gap"),
        Kind::Assign => hex!("assign"),
        Kind::Challenge => hex!("challenge"),
        Kind::Attest => hex!("attest"),
        Kind::State => hex!("state"),
        Kind::Down => hex!("down"),
        Kind::DownAck => hex!("down-ack"),
        Kind::Request => hex!("request"),
        Kind::Issued => hex!("issued"),
        Kind::Enrol => hex!("enrol"),
        Kind::Enrolled => hex!("enrolled"),
        Kind::Succeed => hex!("succeed"),
        Kind::Ask => hex!("ask"),
        Kind::Answer => hex!("answer"),
        Kind::Report => hex!("report"),
    }
}

/// The bytes of a golden file: hexadecimal digits and white space, after lines that begin with `#`.
fn golden(kind: Kind) -> BytesMut {
    let digits: Vec<u32> = file(kind)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("{kind:?}: '{c}'")))
        .collect();
    assert_eq!(digits.len() % 2, 0, "{kind:?}: half a byte");
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Encodes the known value of a kind and decodes the golden bytes to it; gives the encoded bytes.
fn encoded(kind: Kind, golden: &BytesMut) -> BytesMut {
    let frame = next_frame(&mut golden.clone(), FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(frame.kind, kind);
    match kind {
        Kind::Hello => body(&frame, &hello()),
        Kind::Welcome => body(&frame, &welcome()),
        Kind::Refuse => body(&frame, &refuse()),
        Kind::Chain => body(&frame, &chain()),
        Kind::Open => body(&frame, &open()),
        Kind::Opened => body(&frame, &Opened { status: STATUS_ACCEPTED, code: 0, delivered: 8410 }),
        Kind::Close => body(&frame, &Close { code: 2114, text: "moved".into(), forwarded: Some(0) }),
        Kind::Gap => body(&frame, &GapFrame { first: 8412, last: 8499, reason: 4007 }),
        Kind::Assign => body(&frame, &assign()),
        Kind::Challenge => body(&frame, &Challenge { period: 2_990_000, challenge: bytes(0xc0, 32) }),
        Kind::Attest => body(&frame, &attestation()),
        Kind::State => body(
            &frame,
            &State { available: false, code: 2110, path: vec!["gw1.branch.example".into(), "gw2.corp.example".into()] },
        ),
        Kind::Down => body(&frame, &Down { number: 3, sent_unix_ms: SENT, payload: "restart".into() }),
        Kind::Succeed => body(&frame, &succeed()),
        Kind::Ping | Kind::Pong => number(&frame, 0x0001_0203_0405_0607),
        Kind::Ack => number(&frame, 8411),
        Kind::Credit => number(&frame, 1 << 20),
        Kind::DownAck => number(&frame, 3),
        Kind::Request => body(&frame, &request()),
        Kind::Issued => body(&frame, &issued()),
        Kind::Enrol => body(&frame, &enrol()),
        Kind::Enrolled => body(&frame, &enrolled()),
        Kind::Ask => body(&frame, &Ask { id: 3, more: true, operation: "{\"inventory\":".into() }),
        Kind::Answer => body(&frame, &answered()),
        Kind::Report => body(&frame, &report()),
        Kind::Data => data(&frame),
        Kind::Fragment => fragment(&frame),
    }
}

fn body<B: Body + PartialEq + std::fmt::Debug>(frame: &Frame, value: &B) -> BytesMut {
    assert_eq!(&read_message::<B>(frame).unwrap(), value);
    let mut out = BytesMut::new();
    put_message(&mut out, frame.channel, value);
    out
}

fn number(frame: &Frame, value: u64) -> BytesMut {
    assert_eq!(read_number(frame), Ok(value));
    let mut out = BytesMut::new();
    let body = Bytes::copy_from_slice(&value.to_be_bytes());
    Frame { kind: frame.kind, channel: frame.channel, body }.encode(&mut out);
    out
}

fn data(frame: &Frame) -> BytesMut {
    let message = |sequence, priority, after, payload: &'static str| Numbered {
        sequence: Sequence(sequence),
        priority,
        sent: Timestamp::from_unix_millis(SENT + after),
        payload: payload.into(),
    };
    let messages = [
        message(8411, Priority::Normal, 0, "disk /var 91% full"),
        message(8412, Priority::Critical, -1, ""),
        message(8413, Priority::Bulk, 250, "load 0.4"),
    ];
    assert_eq!(Run::parse(frame.body.clone()).unwrap().messages().collect::<Vec<_>>(), messages);
    let mut out = BytesMut::new();
    assert_eq!(put_data(&mut out, frame.channel, messages.iter(), FRAME_BYTES_MAX), messages.len());
    out
}

fn fragment(frame: &Frame) -> BytesMut {
    let fragment = Fragment {
        sequence: Sequence(8414),
        sent: Timestamp::from_unix_millis(SENT),
        priority: Priority::Normal,
        total: 40_000,
        offset: 16_351,
        bytes: "a part".into(),
    };
    assert_eq!(Fragment::parse(frame.body.clone()).as_ref(), Ok(&fragment));
    let mut out = BytesMut::new();
    fragment.encode(&mut out, frame.channel);
    out
}

fn hello() -> Hello {
    Hello {
        version: 1,
        role: 2,
        purpose: PURPOSE_USE,
        name: "gw1.branch.example".into(),
        group: "CORP".into(),
        software: "farpost 0.1.0".into(),
        heartbeat_ms: 10_000,
        features: 0x8000_0000_0000_0001,
        assignment_version: 7,
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        status: STATUS_PENDING,
        code: 3001,
        role: 3,
        name: "ms1.corp.example".into(),
        group: "CORP".into(),
        software: "farpost 0.1.0".into(),
        heartbeat_ms: 10_000,
        features: 1,
        group_key: bytes(0x60, 32),
    }
}

fn refuse() -> Refuse {
    Refuse { code: 2015, text: "found \"corp\"; expected \"CORP\"".into(), retry_after_ms: 30_000 }
}

fn chain() -> Chain {
    Chain { certificates: vec![bytes(0x30, 5), bytes(0x40, 3)], more: true }
}

fn attestation() -> Attestation {
    let (signature, chain, gateway_key) = (bytes(0x50, 8), bytes(0x80, 32), bytes(0xa0, 32));
    Attestation { period: 2_990_000, scheme: 0x0403, signature, chain, gateway_key }
}

fn succeed() -> Succeed {
    Succeed { chain: bytes(0x80, 32), scheme: 0x0403, signature: bytes(0x50, 8), next: bytes(0x20, 32) }
}

fn open() -> Open {
    Open {
        name: "pc7.branch.example".into(),
        epoch: 0x9f3c_0000_0000_0001,
        boot: 4,
        nonce: 0x0123_4567_89ab_cdef,
        connection: 2,
        boot_first: 8000,
        lowest_held: 8411,
        sent_through: 8450,
        attestation: Some(attestation()),
        address: "10.1.0.7:49152".into(),
        software: "farpost 0.1.0".into(),
        assignment_version: 7,
        down_cursor: 2,
        role: 1,
        behind: 3,
    }
}

fn assign() -> Assign {
    let succession = KeySuccession { body: bytes(0x10, 6), signature: bytes(0x20, 64) };
    Assign { body: bytes(0x10, 6), signature: bytes(0x20, 64), key: bytes(0x60, 32), successions: vec![succession] }
}

fn request() -> Request {
    Request { request: bytes(0x30, 5), scheme: 0x0403, signature: bytes(0x50, 8) }
}

fn issued() -> Issued {
    Issued {
        certificates: vec![bytes(0x30, 5)],
        more: true,
        code: 1814,
        text: "asked".into(),
        retry_after_ms: 60_000,
        request: bytes(0x90, 32),
    }
}

fn enrol() -> Enrol {
    Enrol {
        request: bytes(0x30, 5),
        name: "pc7.branch.example".into(),
        role: 1,
        group: "CORP".into(),
        token_key: bytes(0x60, 32),
        signature: bytes(0x20, 64),
        id: 3,
        address: "10.1.0.7:49152".into(),
    }
}

fn enrolled() -> Enrolled {
    Enrolled {
        id: 3,
        certificates: vec![bytes(0x30, 5)],
        more: false,
        code: 1814,
        text: "asked".into(),
        retry_after_ms: 60_000,
    }
}

fn report() -> Report {
    let standby = ReportedStandby {
        name: "ms1.corp.example".into(),
        ready: false,
        code: 2103,
        text: "found nothing for 30 s".into(),
        proven_ms: 4_000,
    };
    let refusal = ReportedRefusal {
        name: "pc8.branch.example".into(),
        role: 1,
        address: "10.1.0.8".into(),
        code: 1202,
        text: "found 2026-11-01".into(),
        first_ms: 9_000,
        last_ms: 1_000,
        count: 3,
    };
    Report {
        software: "farpost 0.1.0".into(),
        upstream: "ms2.corp.example".into(),
        upstream_code: 2107,
        upstream_text: "ms1.corp.example: FP2103".into(),
        since_ms: 61_000,
        standbys: vec![standby, ReportedStandby { name: "ms3.corp.example".into(), ready: true, ..Default::default() }],
        queue_messages: 1_204,
        queue_bytes: 317_440,
        oldest_ms: 800,
        delivered: 8_411,
        certificate_until_ms: SENT,
        assignment_version: 7,
        assignment_pending: 8,
        agents_connected: 412,
        agents_silent: 3,
        agents_pending: 1,
        refusals: vec![refusal],
    }
}

fn answered() -> Answered {
    Answered {
        id: 3,
        more: true,
        answer: "\"done\"".into(),
        code: 3023,
        subject: "ms9".into(),
        found: "found".into(),
        expected: "expected".into(),
        remedy: "remedy".into(),
    }
}

/// `count` bytes that rise from `first`.
fn bytes(first: u8, count: u8) -> Bytes {
    (first..first + count).collect()
}

/// 2026-11-22T12:04:11.020Z
const SENT: i64 = 1_795_349_051_020;

#[test]
fn every_kind_has_its_golden_bytes_and_reads_them_back() {
    for &kind in Kind::ALL {
        let golden = golden(kind);
        let encoded = encoded(kind, &golden);
        assert_eq!(encoded, golden, "{kind:?} is encoded as {}", hexadecimal(&encoded));
        let mut stream = golden;
        let frame = next_frame(&mut stream, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(read_body(&frame), Ok(()));
        assert!(stream.is_empty(), "{kind:?}: bytes after the frame");
    }
}

#[test]
fn every_truncation_of_a_golden_frame_asks_for_more_and_every_shortened_body_is_read_or_refused_with_a_code() {
    for &kind in Kind::ALL {
        let golden = golden(kind);
        for length in 0..golden.len() {
            let mut stream = BytesMut::from(&golden[..length]);
            assert_eq!(next_frame(&mut stream, FRAME_BYTES_MAX), Ok(None), "{kind:?}, {length} bytes");
            assert_eq!(stream.len(), length, "what is not whole stays");
        }
        let frame = next_frame(&mut golden.clone(), FRAME_BYTES_MAX).unwrap().unwrap();
        for length in 0..frame.body.len() {
            let result = read_body(&Frame { body: frame.body.slice(..length), ..frame.clone() });
            let fixed = matches!(kind, Kind::Ping | Kind::Pong | Kind::Ack | Kind::Credit | Kind::DownAck | Kind::Data);
            assert!(!fixed || result.is_err(), "{kind:?} took {length} of {} bytes", frame.body.len());
            check_error(result);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_golden_frame_is_read_or_refused_with_a_code() {
    for &kind in Kind::ALL {
        let golden = golden(kind);
        for bit in 0..golden.len() * 8 {
            let mut stream = golden.clone();
            stream[bit / 8] ^= 1 << (bit % 8);
            crate::fuzzing::wire(&stream);
            match next_frame(&mut stream, FRAME_BYTES_MAX) {
                Ok(Some(frame)) => check_error(read_body(&frame)),
                Ok(None) => {
                    assert!(bit < 32, "{kind:?}, bit {bit}: only the length makes it wait, or a type that is skipped")
                }
                Err(error) => check_error(Err(error)),
            }
        }
    }
}

/// `DownAck` is DOWN_ACK in the specification.
fn written(kind: Kind) -> String {
    let mut name = String::new();
    for c in format!("{kind:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_uppercase());
    }
    name
}

#[test]
fn e1_the_specification_lists_every_kind_with_its_number_and_only_codes_that_there_are() {
    let specification = include_str!("mod.rs");
    for &kind in Kind::ALL {
        let row = format!("//! | 0x{:02x} | {} | ", kind as u8, written(kind));
        assert!(specification.contains(&row), "{row}");
    }
    let mut codes = 0;
    for text in specification.split("FP").skip(1) {
        let number: String = text.chars().take_while(char::is_ascii_digit).collect();
        let code = number.parse().ok().and_then(crate::code::Code::from_number);
        assert!(code.is_some(), "FP{number}");
        codes += 1;
    }
    assert!(codes > 30, "only {codes} codes were found");
}

/// An error of a peer's bytes names the frames' codes and says what was found.
fn check_error(result: Result<(), crate::error::Error>) {
    let Err(error) = result else { return };
    assert!(matches!(error.code().number(), 2001..=2099), "{error}");
    assert!(!error.found_text().is_empty(), "{error}");
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(32).map(|line| format!("\n{}", line.concat())).collect()
}
