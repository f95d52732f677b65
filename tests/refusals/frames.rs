//! Frames that no peer may send: too long, too short, of the wrong kind, at the wrong time. What is not listed is
//! denied (section 4 of the protocol), and whoever sent it hears why (rule G5).

use farpost::Code;

use crate::lab::{HONEST, Lab};
use crate::peer::Peer;
use crate::wire::{AGENT, ANSWER, ASK, DATA, HELLO, Hello, OPENED, PING, WELCOME, frame, run};

/// Before HELLO is answered a peer gets one frame, HELLO, of at most 4 KiB: refused by its length, or by its type.
#[tokio::test]
async fn d7_before_hello_every_other_frame_is_refused() {
    let lab = Lab::start().await;
    let stranger = lab.authority.issue("stranger.branch.example");
    let mut wrong: Vec<(Vec<u8>, Code)> = vec![
        (vec![0x00, 0x10, 0x01, HELLO], Code::FrameTooLong),
        (vec![0xff, 0xff, 0xff, HELLO], Code::FrameTooLong),
        (vec![0x00, 0x00, 0x07, HELLO], Code::FrameMalformed),
        (frame(HELLO, 0, &[0xff; 40]), Code::FrameMalformed),
        (frame(HELLO, 1, &[]), Code::FrameUnexpected),
    ];
    for kind in [0, 0x15, 0x7f, 0x80, 0xff].into_iter().chain(WELCOME..=0x14) {
        wrong.push((frame(kind, u32::from(kind > PING), &[0; 8]), Code::FrameUnexpected));
    }
    for (listener, events) in lab.listeners() {
        for (bytes, code) in &wrong {
            let mut peer = Peer::connect(listener, &stranger).await;
            peer.write(bytes).await;
            peer.refused(0, *code).await;
            events.told(*code, &peer.address).await;
            peer.closed().await;
        }
        lab.honest_delivers().await;
    }
}

/// On an open link: what only an upstream may send, a second HELLO, and what no protocol knows.
#[tokio::test]
async fn d7_on_an_open_link_a_frame_that_is_not_the_peers_to_send_is_refused() {
    let lab = Lab::start().await;
    let rogue = lab.authority.issue("rogue.branch.example");
    lab.group.approve_agent(&rogue.name).await.unwrap();
    let mut wrong = vec![
        (vec![0x00, 0x40, 0x01, DATA, 0, 0, 0, 1], Code::FrameTooLong),
        (vec![0x00, 0x00, 0x00], Code::FrameMalformed),
        (frame(PING, 0, &[0; 9]), Code::FrameMalformed),
        (frame(PING, 1, &[0; 8]), Code::FrameUnexpected),
        (frame(HELLO, 0, &[]), Code::FrameUnexpected),
        (frame(DATA, 0, &run(1, 1, b"x")), Code::FrameUnexpected),
        (frame(DATA, 1, &run(1, 1, b"x")), Code::ChannelUnknown),
        (frame(ASK, 0, &[]), Code::FrameUnexpected),
        (frame(ANSWER, 0, &[]), Code::FrameUnexpected),
        (frame(0x7e, 0, &[]), Code::FrameUnknown),
        // An agent asks for certificates on its channel, and passes no enrolments on.
        (frame(0x15, 0, &[]), Code::FrameUnexpected),
        (frame(0x17, 0, &[]), Code::FrameUnexpected),
        (frame(0x19, 0, &[]), Code::SuccessionInvalid),
        (frame(0x7f, 0, &[]), Code::FrameUnknown),
    ];
    for kind in [WELCOME, 0x03, OPENED, 0x0b, 0x0c, 0x0f, 0x10, 0x12, 0x13] {
        wrong.push((frame(kind, u32::from((OPENED..0x0f).contains(&kind)), &[]), Code::FrameUnexpected));
    }
    for (listener, events) in lab.listeners() {
        for (bytes, code) in &wrong {
            let mut peer = Peer::introduced(listener, &rogue, AGENT).await;
            peer.write(bytes).await;
            peer.refused(0, *code).await;
            events.told(*code, &peer.address).await;
            peer.closed().await;
        }
        lab.honest_delivers().await;
    }
}

/// Rule G1: a peer that waits for approval may send heartbeats and nothing else.
#[tokio::test]
async fn g1_a_pending_peer_that_sends_more_than_heartbeats_is_refused() {
    let lab = Lab::start().await;
    let pending = lab.authority.issue("pending.branch.example");
    for kind in [HELLO, 0x06, 0x07, DATA] {
        let mut peer = Peer::connect(lab.server_address(), &pending).await;
        peer.hello(&Hello::of(AGENT, &pending.name)).await;
        peer.until(WELCOME).await;
        peer.send(PING, 0, &[7; 8]).await;
        assert_eq!(peer.until(PING + 1).await.body, [7; 8]);
        peer.send(kind, u32::from(kind > 0x06), &[]).await;
        peer.refused(0, Code::FrameUnexpected).await;
        lab.server_events.told(Code::FrameUnexpected, &peer.address).await;
        peer.closed().await;
    }
    lab.honest_delivers().await;
}

/// Bytes that are no frames, from a peer that proved a certificate: nothing but its own link ends.
#[tokio::test]
async fn d7_garbage_inside_tls_ends_the_link_of_its_sender_alone() {
    let lab = Lab::start().await;
    let rogue = lab.authority.issue(HONEST);
    for (listener, events) in lab.listeners() {
        let mark = events.mark();
        let mut peer = Peer::connect(listener, &rogue).await;
        peer.write(&[0xa5; 60_000]).await;
        peer.refused(0, Code::FrameUnexpected).await;
        events.after(mark, Code::FrameUnexpected, &peer.address).await;
        peer.closed().await;
        lab.honest_delivers().await;
    }
}

/// Whoever asks without end and reads no answer fills nobody's memory: the link ends, the others' go on meanwhile.
#[tokio::test]
async fn d7_a_peer_that_does_not_read_its_answers_is_cut_off() {
    let lab = Lab::start().await;
    let deaf = lab.authority.issue("deaf.branch.example");
    lab.group.approve_agent(&deaf.name).await.unwrap();
    let pings: Vec<u8> = (0..4096).flat_map(|_| frame(PING, 0, &[0; 8])).collect();
    for (listener, events) in lab.listeners() {
        let mut peer = Peer::introduced(listener, &deaf, AGENT).await;
        // What the kernel's buffers take comes on top of what the node keeps.
        for count in 0..1000 {
            peer.write(&pings).await;
            if count % 100 == 0 {
                lab.honest_delivers().await;
            }
            if events.count(Code::PeerDoesNotRead) > 0 {
                break;
            }
        }
        events.told(Code::PeerDoesNotRead, &deaf.name).await;
        lab.honest_delivers().await;
    }
}
