use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::frame::next_frame;
use crate::wire::order::Order;

/// What an application may send: any time, any priority, mostly small, some as large as a run bears, some larger.
fn message() -> impl Strategy<Value = (u8, i64, Vec<u8>)> {
    let length = prop_oneof![
        8 => 0..300_usize,
        1 => PAYLOAD_IN_RUN_MAX - 2..=PAYLOAD_IN_RUN_MAX,
        1 => PAYLOAD_IN_RUN_MAX + 1..3 * FRAME_BYTES_MAX,
    ];
    let sent = prop_oneof![4 => 0..2_000_000_000_000_i64, 1 => any::<i64>()];
    (0..3_u8, sent, (length, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]))
}

fn numbered(first: u64, messages: Vec<(u8, i64, Vec<u8>)>) -> Vec<Numbered> {
    (first..)
        .zip(messages)
        .map(|(sequence, (priority, sent, payload))| Numbered {
            sequence: Sequence(sequence),
            priority: Priority::from_number(priority).unwrap(),
            sent: Timestamp::from_unix_millis(sent),
            payload: payload.into(),
        })
        .collect()
}

/// Sends as an agent does: runs of what fits, fragments of what does not.
fn send(messages: &[Numbered], frame_bytes_max: usize) -> BytesMut {
    let mut out = BytesMut::new();
    let mut rest = messages;
    while let Some(message) = rest.first() {
        let taken = put_data(&mut out, 1, rest.iter(), frame_bytes_max);
        rest = &rest[taken..];
        if taken == 0 {
            put_fragments(&mut out, message);
            rest = &rest[1..];
        }
    }
    out
}

fn put_fragments(out: &mut BytesMut, message: &Numbered) {
    let total = message.payload.len();
    for offset in (0..total).step_by(FRAGMENT_PAYLOAD_MAX) {
        let bytes = message.payload.slice(offset..total.min(offset + FRAGMENT_PAYLOAD_MAX));
        let (sequence, sent, priority) = (message.sequence, message.sent, message.priority);
        let (total, offset) = (total as u32, offset as u32);
        Fragment { sequence, sent, priority, total, offset, bytes }.encode(out, 1);
    }
}

/// Receives as a gateway and a management server do: every frame in order, joined.
fn receive(mut stream: BytesMut, after: Sequence) -> Vec<Numbered> {
    let mut order = Order::after(after);
    let (mut received, mut joined) = (Vec::new(), BytesMut::new());
    while let Some(frame) = next_frame(&mut stream, FRAME_BYTES_MAX).unwrap() {
        if frame.kind == Kind::Data {
            let run = Run::parse(frame.body.clone()).unwrap();
            assert_eq!(Run::peek(&frame.body), Ok((run.first(), run.last())));
            order.range(run.first(), run.last()).unwrap();
            received.extend(run.messages());
            continue;
        }
        let part = Fragment::parse(frame.body).unwrap();
        joined.extend_from_slice(&part.bytes);
        if order.fragment(&part).unwrap() {
            let Fragment { sequence, priority, sent, .. } = part;
            received.push(Numbered { sequence, priority, sent, payload: joined.split().freeze() });
        }
    }
    assert!(stream.is_empty() && joined.is_empty());
    received
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// D5: each once and in order, whatever the sizes and times.
    #[test]
    fn d5_messages_come_as_they_were_sent_in_runs_and_fragments(
        messages in vec(message(), 1..40),
        first in prop_oneof![Just(1), 1..1_000_000_u64, Just(u64::MAX - 100)],
        frame_bytes_max in prop_oneof![Just(FRAME_BYTES_MAX), 64..FRAME_BYTES_MAX],
    ) {
        let messages = numbered(first, messages);
        let stream = send(&messages, frame_bytes_max);
        prop_assert_eq!(receive(stream, Sequence(first - 1)), messages);
    }

    #[test]
    fn d7_a_body_of_any_bytes_is_read_or_refused(body in vec(any::<u8>(), 0..80), count in 0..4_u8) {
        let mut body = body;
        if let Some(low) = body.get_mut(17) {
            *low = count;
            body[16] = 0;
        }
        for kind in [Kind::Data, Kind::Fragment] {
            let frame = crate::wire::Frame { kind, channel: 1, body: body.clone().into() };
            if let Err(error) = crate::wire::read_body(&frame) {
                prop_assert_eq!(error.code(), Code::FrameMalformed);
            }
        }
    }
}

#[test]
fn the_largest_payload_of_a_run_fills_a_frame_to_the_byte_and_one_more_byte_is_not_taken() {
    for (bytes, taken) in [(PAYLOAD_IN_RUN_MAX, 1), (PAYLOAD_IN_RUN_MAX + 1, 0)] {
        let mut out = BytesMut::new();
        let messages = numbered(1, vec![(1, 0, vec![7; bytes])]);
        assert_eq!(put_data(&mut out, 1, messages.iter(), FRAME_BYTES_MAX), taken);
        assert_eq!(out.len(), taken * FRAME_BYTES_MAX, "nothing is written of what does not fit");
    }
}

#[test]
fn a_run_ends_before_a_message_whose_time_is_too_far_from_the_first() {
    let day = 86_400_000;
    let messages = numbered(1, vec![(1, 0, vec![1]), (1, 24 * day, vec![2]), (1, 25 * day, vec![3])]);
    let mut out = BytesMut::new();
    assert_eq!(put_data(&mut out, 1, messages.iter(), FRAME_BYTES_MAX), 2, "the difference has 32 bits: 24.8 days");
}

/// Section 5: what no message and no part can be.
#[test]
fn d5_sequences_that_no_message_can_have_are_malformed() {
    let run = |first: u64, count: u16| {
        let mut body = BytesMut::new();
        body.put_u64(first);
        body.put_i64(0);
        body.put_u16(count);
        (0..count).for_each(|_| body.put_slice(&[1, 0, 0, 0, 0, 0, 0]));
        Run::parse(body.freeze()).map(|run| run.last().0).map_err(|error| error.code())
    };
    assert_eq!(run(0, 1), Err(Code::FrameMalformed));
    assert_eq!(run(1, 0), Err(Code::FrameMalformed));
    assert_eq!(run(u64::MAX, 1), Err(Code::FrameMalformed));
    assert_eq!(run(u64::MAX - 1, 1), Ok(u64::MAX - 1));
    assert_eq!(run(u64::MAX - 1, 2), Err(Code::FrameMalformed));

    let part = |sequence, total, offset, bytes: &'static [u8]| {
        let (sent, priority) = (Timestamp::from_unix_millis(0), Priority::Normal);
        let mut out = BytesMut::new();
        let sequence = Sequence(sequence);
        Fragment { sequence, sent, priority, total, offset, bytes: Bytes::from_static(bytes) }.encode(&mut out, 1);
        Fragment::parse(out.split_off(HEADER_BYTES).freeze()).map(|part| part.is_last()).map_err(|error| error.code())
    };
    assert_eq!(part(1, 10, 8, b"ab"), Ok(true));
    assert_eq!(part(1, 10, 7, b"ab"), Ok(false));
    for wrong in [part(0, 2, 0, b"ab"), part(u64::MAX, 2, 0, b"ab"), part(1, 10, 9, b"ab"), part(1, 0, 0, b"")] {
        assert_eq!(wrong, Err(Code::FrameMalformed));
    }
    assert_eq!(part(1, u32::MAX, u32::MAX, b"ab"), Err(Code::FrameMalformed), "the end is past 32 bits");
}

/// Section 5: nothing may come between the parts of a message, and they come in order.
#[test]
fn d5_a_large_message_is_neither_interrupted_nor_reordered() {
    let message = &numbered(5, vec![(1, 0, vec![7; 40_000])])[0];
    let mut out = BytesMut::new();
    put_fragments(&mut out, message);
    let mut parts = Vec::new();
    while let Some(frame) = next_frame(&mut out, FRAME_BYTES_MAX).unwrap() {
        parts.push(Fragment::parse(frame.body).unwrap());
    }
    let mut order = Order::after(Sequence(4));
    assert!(order.fragment(&parts[1]).is_err(), "it begins with its first part");
    assert_eq!(order.fragment(&parts[0]), Ok(false));
    assert!(order.range(Sequence(5), Sequence(5)).is_err(), "no run, no gap before it is complete");
    assert!(order.range(Sequence(6), Sequence(6)).is_err());
    assert!(order.fragment(&parts[2]).is_err());
    assert_eq!(order.fragment(&parts[1]), Ok(false));
    assert_eq!(order.fragment(&parts[2]), Ok(true));
    order.range(Sequence(6), Sequence(6)).unwrap();
}
