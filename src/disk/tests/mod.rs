//! What the log keeps, whatever the disk does.

mod faults;
mod golden;
mod handle;
mod model;
mod seen;

use bytes::Bytes;

use crate::disk::faulty::FaultyDisk;
use crate::disk::log::{Call, Log, Work};
use crate::error::Error;
use crate::message::{Epoch, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::queue::{Checkpoint, SourcePosition, message_bytes};
use crate::time::Timestamp;

const EPOCH: Epoch = Epoch(0x0123_4567_89ab_cdef);
const SENT: i64 = 1_795_349_051_020;

fn owner() -> Name {
    Name::parse("pc7.branch.example").unwrap()
}

fn open(disk: &FaultyDisk, segment_bytes: u64) -> Result<Log, Error> {
    Log::open(Box::new(disk.clone()), segment_bytes, Checkpoint::new(owner(), EPOCH))
}

/// What message `sequence` of the tests says.
fn payload(sequence: u64) -> Bytes {
    Bytes::from(format!("message {sequence} {}", "x".repeat((sequence % 7) as usize)))
}

fn position(offset: u64) -> SourcePosition {
    SourcePosition { device: 5, inode: 6, fingerprint: 7, offset }
}

/// A call of `count` messages from `first` on, with the position that covers exactly them.
fn call(first: u64, count: u64) -> Call {
    let messages: Vec<Numbered> = (first..first + count)
        .map(|sequence| Numbered {
            sequence: Sequence(sequence),
            priority: Priority::Normal,
            sent: Timestamp::from_unix_millis(SENT + sequence as i64),
            payload: payload(sequence),
        })
        .collect();
    Call {
        bytes: messages.iter().map(|message| message_bytes(message.payload.len())).sum(),
        messages,
        base: 0,
        sent: Timestamp::from_unix_millis(SENT + first as i64),
        source: Some(position(first + count - 1)),
        rekey: None,
    }
}

fn work(first: u64, count: u64) -> Work {
    Work { calls: vec![call(first, count)], ..Work::default() }
}

/// All that is held; every message must say what it said, at the time it said it.
fn held(log: &mut Log) -> Vec<u64> {
    let mut out = Vec::new();
    let mut from = Sequence(1);
    loop {
        let messages = log.read(from, 50);
        let Some(last) = messages.last() else { return out };
        from = last.sequence.next();
        for message in messages {
            assert_eq!(message.payload, payload(message.sequence.0));
            out.push(message.sequence.0);
        }
    }
}
