//! The bytes that every later release opens.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

fn golden_segment() -> Vec<u8> {
    let disk = FaultyDisk::default();
    let mut log = open(&disk, 1 << 20).unwrap();
    log.commit(&work(1, 2)).unwrap();
    log.commit(&Work { delivered: Some(1), down_cursor: Some(9), ..work(3, 1) }).unwrap();
    let rekey = Call { rekey: Some((Epoch(0xfeed), 1)), source: None, ..call(4, 0) };
    log.commit(&Work { calls: vec![rekey], ..Work::default() }).unwrap();
    log.commit(&Work { seen: Some(Epoch(0xfeed)), ..Work::default() }).unwrap();
    log.close(0).unwrap();
    disk.files().remove(&1).unwrap()
}

#[test]
fn the_first_release_s_segment_has_these_bytes_and_opens() {
    let mut text = String::new();
    for line in golden_segment().chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/queue-segment-1.hex");
    if std::env::var_os("FARPOST_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    let digits: Vec<u8> = golden.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let mut log = open(&FaultyDisk::with(&BTreeMap::from([(1, bytes)])), 1 << 20).unwrap();
    let messages = log.read(Sequence(1), 1 << 20);
    let read: Vec<_> = messages.iter().map(|message| (message.sequence.0, message.payload.clone())).collect();
    assert_eq!(read, [(1, payload(2)), (2, payload(3))], "numbered anew by the new epoch");
    assert_eq!(messages[0].sent, Timestamp::from_unix_millis(SENT + 2));
    let state = log.state();
    assert_eq!((state.epoch, state.base, state.next, state.delivered), (Epoch(0xfeed), 1, 4, 1));
    assert_eq!((state.boot, state.down_cursor, state.source), (2, 9, Some(position(3))));
    assert_eq!(state.unseen_first, 4, "the group saw the boot before, under the new epoch");
    assert_eq!(golden, text, "the format changed: that needs a new version and a new golden file");
}
