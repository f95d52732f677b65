//! Kills: a child process appends as fast as it can and says what it was told; it is killed at any moment; nothing
//! that it was told may be missing. The child is this test binary again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::disk::{Opened, Queue, QueueOptions, QueueSink};
use crate::error::Error;
use crate::event::Event;
use crate::message::{Epoch, Message, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::queue::SourcePosition;
use crate::time::Timestamp;

/// How many children are killed, unless `FARPOST_KILLS` says.
const KILLS: u64 = 40;
const CHILD: &str = "FARPOST_QUEUE_CHILD";

fn options(directory: &Path) -> QueueOptions {
    QueueOptions {
        directory: Some(directory.to_path_buf()),
        bytes_max: 4 << 20,
        segment_bytes: 64 << 10,
        commit_delay: Duration::ZERO,
        message_bytes_max: 1 << 20,
        new_epoch: Epoch(7),
        owner: Name::parse("pc7.branch.example").unwrap(),
    }
}

/// Line `number` of the input; the input's offset after it is the number itself.
fn line(number: u64) -> Bytes {
    Bytes::from(format!("line {number} {}", "y".repeat((number * 37 % 300) as usize)))
}

/// Tells the parent the durable watermark, and delivers what lies 2,000 behind.
struct Teller(Mutex<Option<Queue>>);

impl QueueSink for Teller {
    fn durable(&self, messages: Vec<Numbered>) {
        let Some(last) = messages.last() else { return };
        let mut out = std::io::stdout().lock();
        writeln!(out, "durable {}", last.sequence).unwrap();
        out.flush().unwrap();
        let queue = self.0.lock().unwrap();
        let (Some(queue), Some(through)) = (queue.as_ref(), last.sequence.0.checked_sub(2000)) else { return };
        writeln!(out, "delivered {through}").unwrap();
        out.flush().unwrap();
        queue.delivered(Sequence(through));
    }

    fn read(&self, _messages: Vec<Numbered>) {}

    fn space(&self) {}

    fn event(&self, event: Event) {
        println!("event {event}");
    }

    fn failed(&self, error: Error) {
        println!("failed {error}");
    }
}

/// Does nothing, unless the parent below started it.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let (queue, opened) = Queue::open(options(Path::new(&directory))).unwrap();
    let teller = Arc::new(Teller(Mutex::new(None)));
    *teller.0.lock().unwrap() = Some(queue.clone());
    queue.start(teller).unwrap();
    let mut read = opened.source.map_or(0, |position| position.offset);
    assert_eq!(read + 1, opened.next.0, "the position parts from the lines");
    println!("opened {}", opened.boot);
    // A queue that the last child left full would never become durable here, and nothing would be delivered.
    let done = opened.next.0.saturating_sub(2_001);
    if done > opened.delivered.0 {
        println!("delivered {done}");
        queue.delivered(Sequence(done));
    }
    for count in (1..=9).cycle() {
        let lines: Vec<Message> = (read + 1..=read + count).map(|number| Message::new(line(number))).collect();
        let source = SourcePosition { device: 1, inode: 2, fingerprint: 3, offset: read + count };
        match queue.try_append(lines, Timestamp::from_unix_millis(read as i64), Some(source)) {
            Ok((first, last)) => {
                assert_eq!((first.0, last.0), (read + 1, read + count));
                read += count;
            }
            Err(error) if error.is_retriable() => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[derive(Default)]
struct Watermarks {
    durable: u64,
    delivered: u64,
    boot: u64,
}

/// Runs a child until it said `lines` lines, kills it, and takes in everything that it had said.
fn run_and_kill(directory: &Path, lines: u64, told: &mut Watermarks) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disk::crash::child", "--nocapture", "--test-threads", "1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        match kind {
            "durable" => told.durable = told.durable.max(number),
            "delivered" => told.delivered = told.delivered.max(number),
            // The harness begins the child's first line with the test's name.
            _ if line.contains("opened") => told.boot += 1,
            "event" | "failed" => panic!("{line}"),
            _ => {}
        }
        heard += u64::from(told.boot > 0);
        if heard >= lines && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
}

/// Opens after a kill and compares with what the child was told.
fn check(directory: &Path, told: &mut Watermarks, context: &str) {
    let (queue, opened) = Queue::open(options(directory)).unwrap();
    told.boot += 1;
    assert_eq!(opened.boot, told.boot, "{context}");
    assert!(opened.next.0 > told.durable, "{context}: told {}, next is {}", told.durable, opened.next);
    assert_eq!(opened.source.map_or(0, |position| position.offset) + 1, opened.next.0, "{context}");
    assert!(opened.lowest_held.0 <= told.delivered + 1, "{context}");
    let torn_only = |event: &Event| event.severity() == crate::Severity::Info;
    assert!(opened.events.iter().all(torn_only), "{context}: {:?}", opened.events);
    let held = read_all(&queue, &opened);
    assert_eq!(held.len() as u64, opened.next.0 - opened.lowest_held.0, "{context}");
    for (number, message) in (opened.lowest_held.0..).zip(&held) {
        assert_eq!((message.sequence.0, &message.payload), (number, &line(number)), "{context}");
        assert_eq!(message.priority, Priority::Normal);
    }
    told.durable = opened.next.0 - 1;
    queue.close();
}

#[derive(Default)]
struct Reader(Mutex<Option<std::sync::mpsc::Sender<Vec<Numbered>>>>);

impl QueueSink for Reader {
    fn durable(&self, _messages: Vec<Numbered>) {}

    fn read(&self, messages: Vec<Numbered>) {
        self.0.lock().unwrap().as_ref().unwrap().send(messages).unwrap();
    }

    fn space(&self) {}

    fn event(&self, event: Event) {
        panic!("{event}");
    }

    fn failed(&self, error: Error) {
        panic!("{error}");
    }
}

fn read_all(queue: &Queue, opened: &Opened) -> Vec<Numbered> {
    let (answers, answer) = std::sync::mpsc::channel();
    queue.start(Arc::new(Reader(Mutex::new(Some(answers))))).unwrap();
    let mut held: Vec<Numbered> = Vec::new();
    loop {
        queue.read(held.last().map_or(opened.lowest_held, |last| last.sequence.next()), 256 << 10);
        let messages = answer.recv_timeout(Duration::from_secs(120)).unwrap();
        if messages.is_empty() {
            return held;
        }
        held.extend(messages);
    }
}

#[test]
fn d1_d2_d4_nothing_told_durable_is_missing_after_a_kill_at_any_moment() {
    let asked = |variable| std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let seed: u64 = asked("FARPOST_SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64));
    let kills = asked("FARPOST_KILLS").unwrap_or(KILLS);
    println!("FARPOST_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let mut told = Watermarks::default();
    let mut dice = seed | 1;
    let mut lengths = BTreeMap::new();
    for kill in 0..kills {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let lines = 1 + dice % 60;
        run_and_kill(directory.path(), lines, &mut told);
        check(directory.path(), &mut told, &format!("FARPOST_SEED={seed}, kill {kill}"));
        *lengths.entry(told.durable).or_insert(0) += 1;
    }
    assert!(lengths.len() as u64 > kills / 2, "the children wrote nothing");
}
