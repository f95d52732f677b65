use super::*;
use crate::wire::messages::{PURPOSE_USE, Welcome};

const BEAT: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn hello() -> Hello {
    Hello { version: 1, role: 1, purpose: PURPOSE_USE, name: "pc7.example".into(), ..Hello::default() }
}

fn output(link: &mut Link) -> BytesMut {
    link.begin_chunk()
}

/// SECURITY section 3 incident 1: every kind in every phase at both ends, against a table written by hand.
#[test]
fn h1_only_what_the_table_lists_is_accepted() {
    let mut accepted = Vec::new();
    for &kind in Kind::ALL {
        for phase in [Phase::Introduction, Phase::Pending, Phase::Open, Phase::Asking] {
            for end in [End::Upstream, End::Downstream] {
                for channel in [0, 1] {
                    if allowed(kind, phase, end, channel) {
                        accepted.push(format!("{kind:?} {phase:?} at {end:?} channel {channel}"));
                    }
                }
            }
        }
    }
    let before_hello: Vec<_> = accepted.iter().filter(|line| line.contains("Introduction at Upstream")).collect();
    assert_eq!(before_hello, ["Hello Introduction at Upstream channel 0"]);
    let while_pending: Vec<_> = accepted.iter().filter(|line| line.contains("Pending at Upstream")).collect();
    assert_eq!(while_pending, ["Ping Pending at Upstream channel 0", "Pong Pending at Upstream channel 0"]);
    let of_operators: Vec<_> = accepted.iter().filter(|line| line.contains("Asking at Upstream")).collect();
    let listed = ["Ping", "Pong", "Request", "Ask"].map(|kind| format!("{kind} Asking at Upstream channel 0"));
    assert_eq!(of_operators, listed.iter().collect::<Vec<_>>());
    assert!(!accepted.iter().any(|line| line.contains("Ask ") && !line.contains("Asking at Upstream channel 0")));
    assert_eq!(accepted, LISTED);
}

/// Section 4 of the specification, once more.
const LISTED: [&str; 53] = [
    "Hello Introduction at Upstream channel 0",
    "Welcome Introduction at Downstream channel 0",
    "Welcome Pending at Downstream channel 0",
    "Refuse Introduction at Downstream channel 0",
    "Refuse Pending at Downstream channel 0",
    "Refuse Open at Downstream channel 0",
    "Refuse Open at Downstream channel 1",
    "Refuse Asking at Downstream channel 0",
    "Ping Pending at Upstream channel 0",
    "Ping Pending at Downstream channel 0",
    "Ping Open at Upstream channel 0",
    "Ping Open at Downstream channel 0",
    "Ping Asking at Upstream channel 0",
    "Ping Asking at Downstream channel 0",
    "Pong Pending at Upstream channel 0",
    "Pong Pending at Downstream channel 0",
    "Pong Open at Upstream channel 0",
    "Pong Open at Downstream channel 0",
    "Pong Asking at Upstream channel 0",
    "Pong Asking at Downstream channel 0",
    "Chain Open at Upstream channel 0",
    "Open Open at Upstream channel 1",
    "Opened Open at Downstream channel 1",
    "Data Open at Upstream channel 1",
    "Fragment Open at Upstream channel 1",
    "Ack Open at Downstream channel 1",
    "Credit Open at Downstream channel 1",
    "Close Open at Upstream channel 1",
    "Close Open at Downstream channel 1",
    "Gap Open at Upstream channel 1",
    "Assign Open at Downstream channel 0",
    "Assign Open at Downstream channel 1",
    "Challenge Open at Downstream channel 0",
    "Attest Open at Upstream channel 1",
    "State Open at Downstream channel 0",
    "Down Open at Downstream channel 1",
    "DownAck Open at Upstream channel 1",
    "Request Open at Upstream channel 0",
    "Request Open at Upstream channel 1",
    "Request Asking at Upstream channel 0",
    "Issued Open at Downstream channel 0",
    "Issued Open at Downstream channel 1",
    "Issued Asking at Downstream channel 0",
    "Enrol Open at Upstream channel 0",
    "Enrol Open at Upstream channel 1",
    "Enrolled Open at Downstream channel 0",
    "Enrolled Open at Downstream channel 1",
    "Succeed Open at Upstream channel 0",
    "Succeed Open at Upstream channel 1",
    "Ask Asking at Upstream channel 0",
    "Answer Asking at Downstream channel 0",
    "Report Open at Upstream channel 0",
    "Report Open at Upstream channel 1",
];

#[test]
fn a_hello_is_taken_once_and_only_up_to_four_kibibytes() {
    let mut dialler = Link::dialled(&hello(), BEAT, at(0));
    let bytes = output(&mut dialler);
    let mut acceptor = Link::accepted(BEAT, at(0));
    acceptor.handle_bytes(bytes.clone(), at(0));
    assert_eq!(acceptor.next_frame().unwrap().unwrap().kind, Kind::Hello);
    acceptor.handle_bytes(bytes, at(0));
    assert_eq!(acceptor.next_frame().unwrap_err().code(), Code::FrameUnexpected);

    let mut acceptor = Link::accepted(BEAT, at(0));
    acceptor.handle_bytes(BytesMut::from(&[0, 0x10, 0x01][..]), at(0));
    assert_eq!(acceptor.next_frame().unwrap_err().code(), Code::FrameTooLong, "4,097 bytes announced, none buffered");
}

#[test]
fn f2_three_silent_heartbeats_end_a_link_and_a_quiet_side_pings_after_one() {
    let mut link = Link::accepted(BEAT, at(0));
    assert_eq!(link.poll_timeout(), at(10));
    assert_eq!(link.handle_timeout(at(10)).unwrap_err().code(), Code::HelloTimeout);

    let mut link = Link::accepted(BEAT, at(0));
    link.enter(Phase::Open, BEAT);
    link.handle_timeout(at(9)).unwrap();
    assert!(!link.has_control());
    assert_eq!(link.poll_timeout(), at(10));
    link.handle_timeout(at(10)).unwrap();
    let ping = output(&mut link);

    let mut peer = Link::dialled(&hello(), BEAT, at(0));
    let _hello = output(&mut peer);
    peer.enter(Phase::Open, BEAT);
    peer.handle_bytes(ping, at(10));
    assert_eq!(peer.next_frame().unwrap(), None);
    assert!(peer.has_control(), "a PONG");

    link.handle_timeout(at(29)).unwrap();
    assert_eq!(link.handle_timeout(at(30)).unwrap_err().code(), Code::LinkSilent);
}

#[test]
fn frames_come_whole_however_the_stream_is_cut() {
    let mut sender = Link::accepted(BEAT, at(0));
    sender.send(0, &Welcome { version: 1, name: "gw1.example".into(), ..Welcome::default() });
    sender.send(0, &Welcome { version: 2, name: "gw2.example".into(), ..Welcome::default() });
    let bytes = output(&mut sender);
    for cut in 0..=bytes.len() {
        let mut link = Link::dialled(&hello(), BEAT, at(0));
        let mut kinds = 0;
        for part in [&bytes[..cut], &bytes[cut..]] {
            link.handle_bytes(BytesMut::from(part), at(1));
            while link.next_frame().unwrap().is_some() {
                kinds += 1;
            }
        }
        assert_eq!(kinds, 2, "cut at {cut}");
    }
}

#[test]
fn unknown_types_below_0x80_end_the_link_and_above_are_skipped() {
    for (number, skipped) in [(0x1d_u8, false), (0x7f, false), (0x80, true), (0xff, true)] {
        let mut link = Link::dialled(&hello(), BEAT, at(0));
        link.handle_bytes(BytesMut::from(&[0, 0, 8, number, 0, 0, 0, 0][..]), at(0));
        match link.next_frame() {
            Ok(None) => assert!(skipped, "0x{number:02x}"),
            Err(error) => assert!(!skipped && error.code() == Code::FrameUnknown),
            Ok(Some(frame)) => panic!("{frame:?}"),
        }
    }
}

#[test]
fn h1_a_stranger_is_cut_off_by_the_type_of_what_is_not_a_hello() {
    for number in (0..=u8::MAX).filter(|number| *number != Kind::Hello as u8) {
        let mut link = Link::accepted(BEAT, at(0));
        link.handle_bytes(BytesMut::from(&[0, 0x0f, 0, number][..]), at(0));
        assert_eq!(link.next_frame().unwrap_err().code(), Code::FrameUnexpected, "0x{number:02x}, four bytes of it");
    }
    let mut dialler = Link::dialled(&hello(), BEAT, at(0));
    let mut bytes = output(&mut dialler);
    bytes.extend_from_slice(&[0, 0, 8, 0x80, 0, 0, 0, 0]);
    let mut link = Link::accepted(BEAT, at(0));
    link.handle_bytes(bytes, at(0));
    assert_eq!(link.next_frame().unwrap().unwrap().kind, Kind::Hello);
    assert_eq!(link.next_frame().unwrap_err().code(), Code::FrameUnexpected, "one frame in all");
}

#[test]
fn d7_a_peer_that_asks_and_never_reads_the_answers_is_cut_off_before_they_fill_the_memory() {
    let mut link = Link::accepted(BEAT, at(0));
    link.enter(Phase::Open, BEAT);
    let mut pings = BytesMut::new();
    for _ in 0..4096 {
        put_header(&mut pings, Kind::Ping, 0, PING_BYTES);
        pings.extend_from_slice(&[7; PING_BYTES]);
    }
    let error = (0..1000).find_map(|_| {
        link.handle_bytes(pings.clone(), at(1));
        link.next_frame().err()
    });
    assert_eq!(error.unwrap().code(), Code::PeerDoesNotRead);
    assert!(link.control.len() <= CONTROL_BYTES_MAX + 64);
}

#[test]
fn a_link_whose_output_waits_is_not_looked_at_before_it_may_be_dead() {
    let mut link = Link::accepted(BEAT, at(0));
    link.enter(Phase::Open, BEAT);
    link.sent(at(1));
    link.sent(at(1));
    assert!(!link.is_writable());
    assert_eq!(link.poll_timeout(), at(30), "not at 11, where there is nothing to do");
    link.handle_written();
    assert_eq!(link.poll_timeout(), at(11));
}
