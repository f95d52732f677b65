//! The handle and its thread: numbers, quota, receipts, the lock, the end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::*;
use crate::code::Code;
use crate::disk::faulty::Fault;
use crate::disk::{Opened, Queue, QueueOptions, QueueSink};
use crate::event::Event;
use crate::message::Message;

#[derive(Default)]
struct Told {
    durable: Vec<Numbered>,
    batches: usize,
    answers: Vec<Vec<Numbered>>,
    spaces: usize,
    events: Vec<Event>,
    failed: Option<Error>,
    cursors: Vec<u64>,
    unseen: Vec<u64>,
    rekeyed: Vec<Opened>,
}

#[derive(Default)]
struct Collector {
    told: Mutex<Told>,
    change: Condvar,
}

impl Collector {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap());
        self.change.notify_all();
    }

    fn wait<T>(&self, mut until: impl FnMut(&mut Told) -> Option<T>) -> T {
        let mut told = self.told.lock().unwrap();
        loop {
            if let Some(answer) = until(&mut told) {
                return answer;
            }
            let (again, timeout) = self.change.wait_timeout(told, Duration::from_secs(20)).unwrap();
            assert!(!timeout.timed_out(), "nothing came");
            told = again;
        }
    }

    fn durable(&self, count: usize) -> Vec<Numbered> {
        self.wait(|told| (told.durable.len() >= count).then(|| told.durable.clone()))
    }
}

impl QueueSink for Collector {
    fn durable(&self, messages: Vec<Numbered>) {
        self.tell(|told| {
            told.durable.extend(messages);
            told.batches += 1;
        });
    }

    fn read(&self, messages: Vec<Numbered>) {
        self.tell(|told| told.answers.push(messages));
    }

    fn space(&self) {
        self.tell(|told| told.spaces += 1);
    }

    fn event(&self, event: Event) {
        self.tell(|told| told.events.push(event));
    }

    fn failed(&self, error: Error) {
        self.tell(|told| told.failed = Some(error));
    }
}

fn options(directory: Option<&Path>) -> QueueOptions {
    QueueOptions {
        directory: directory.map(Path::to_path_buf),
        bytes_max: 1 << 20,
        segment_bytes: 1 << 16,
        commit_delay: Duration::ZERO,
        message_bytes_max: 64 << 10,
        new_epoch: EPOCH,
        owner: owner(),
    }
}

fn start(directory: Option<&Path>) -> (Queue, Opened, Arc<Collector>) {
    let (queue, opened) = Queue::open(options(directory)).unwrap();
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    (queue, opened, sink)
}

fn append(queue: &Queue, first: u64, count: u64) -> Result<(Sequence, Sequence), Error> {
    let messages: Vec<Message> = (first..first + count).map(|sequence| Message::new(payload(sequence))).collect();
    queue.try_append(messages, Timestamp::from_unix_millis(SENT), Some(position(first + count - 1)))
}

#[test]
fn d1_d2_what_was_reported_durable_is_there_after_a_reopening_and_numbers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/state");
    let (queue, opened, sink) = start(Some(&path));
    assert_eq!((opened.boot, opened.next, opened.lowest_held), (1, Sequence(1), Sequence(1)));
    assert_eq!(append(&queue, 1, 3).unwrap(), (Sequence(1), Sequence(3)));
    assert_eq!(append(&queue, 4, 2).unwrap(), (Sequence(4), Sequence(5)));
    let sequences: Vec<u64> = sink.durable(5).iter().map(|message| message.sequence.0).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    queue.delivered(Sequence(2));
    queue.close();
    assert_eq!(append(&queue, 6, 1).unwrap_err().code(), Code::Closed);

    let (queue, opened, sink) = start(Some(&path));
    assert_eq!((opened.boot, opened.next, opened.epoch), (2, Sequence(6), EPOCH));
    assert_eq!((opened.delivered, opened.lowest_held, opened.held_count), (Sequence(2), Sequence(3), 3));
    assert!(opened.held_bytes > 3 * 32 && opened.down_cursor == 0);
    assert_eq!(opened.source, Some(position(5)));
    queue.read(Sequence(1), 1 << 20);
    let answer = sink.wait(|told| told.answers.pop());
    assert_eq!(answer.iter().map(|message| message.sequence.0).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(answer[0].payload, payload(3));
    queue.close();
}

#[test]
fn a_state_directory_has_one_owner_who_is_named_and_is_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (queue, ..) = start(Some(&path));
    append(&queue, 1, 1).unwrap();
    let error = Queue::open(options(Some(&path))).err().unwrap();
    assert_eq!(error.code(), Code::StateDirectoryInUse);
    assert!(error.found_text().contains(&std::process::id().to_string()), "{error}");
    queue.close();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("queue")), mode(&path.join("lock"))), (0o700, 0o700, 0o600));
    let segments: Vec<_> = std::fs::read_dir(path.join("queue")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!segments.is_empty() && segments.iter().all(|segment| mode(segment) == 0o600));
    // The lock file stays, its owner is gone: the directory is free.
    let other = QueueOptions { owner: Name::parse("pc8.branch.example").unwrap(), ..options(Some(&path)) };
    assert_eq!(Queue::open(other).err().unwrap().code(), Code::StateDirectoryForeign);
    assert_eq!(Queue::open(options(Some(&path))).unwrap().1.boot, 2);
}

#[test]
fn d6_a_full_queue_refuses_by_priority_and_says_when_there_is_space() {
    let (queue, opened, sink) = start(None);
    assert_eq!(opened.events[0].code, Code::QueueInMemory);
    let message = |priority| Message::new(vec![7; 10_208]).priority(priority);
    let fill = |priority| {
        let mut taken = 0;
        while queue.try_append(vec![message(priority)], Timestamp::default(), None).is_ok() {
            taken += 1;
        }
        taken
    };
    // 10,240 bytes each in the log, of 1,048,576.
    assert_eq!(fill(Priority::Bulk), 81);
    assert_eq!(fill(Priority::Normal), 13);
    assert_eq!(fill(Priority::Critical), 5);
    let error = queue.try_append(vec![message(Priority::Critical)], Timestamp::default(), None).unwrap_err();
    assert!(error.code() == Code::QueueFull && error.is_retriable());
    assert_eq!(sink.durable(99).len(), 99);
    queue.delivered(Sequence(60));
    // A refusal after which nobody is told that there is space would let this wait for ever.
    let taken = loop {
        match queue.try_append(vec![message(Priority::Bulk)], Timestamp::default(), None) {
            Ok((first, _)) => break first,
            Err(_) => sink.wait(|told| (std::mem::take(&mut told.spaces) > 0).then_some(())),
        }
    };
    assert_eq!(taken, Sequence(100));
    sink.durable(100);
    assert_eq!(queue.lowest_held(), Sequence(61));
    assert!((400_000..500_000).contains(&queue.held().bytes), "{:?}", queue.held());
    queue.close();
}

#[test]
fn what_can_never_be_taken_is_refused_for_good() {
    let (queue, ..) = start(None);
    let large = Message::new(vec![0; (64 << 10) + 1]);
    let error = queue.try_append(vec![large], Timestamp::default(), None).unwrap_err();
    assert_eq!(error.code(), Code::MessageTooLarge);
    let many = vec![Message::new(vec![0; 64 << 10]); 17];
    let error = queue.try_append(many, Timestamp::default(), None).unwrap_err();
    assert!(error.code() == Code::MessageTooLarge && !error.is_retriable());
    assert_eq!(append(&queue, 1, 1).unwrap().0, Sequence(1), "a refusal uses no number");
}

#[test]
fn what_arrives_during_a_sync_is_one_batch() {
    let disk = FaultyDisk::default();
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
    for first in 1..=500 {
        append(&queue, first, 1).unwrap();
    }
    let syncs = disk.model().syncs;
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    assert_eq!(sink.durable(500).len(), 500);
    assert_eq!(disk.model().syncs - syncs, 1);
    queue.close();
}

#[test]
fn d8_the_downstream_cursor_is_durable_when_done_is_called() {
    let disk = FaultyDisk::default();
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    let (told, seen) = (sink.clone(), disk.clone());
    let done = move || {
        let lost = seen.after_power_loss(crate::disk::faulty::Survives::Nothing);
        let cursor = self::open(&lost, 1 << 16).unwrap().state().down_cursor;
        told.tell(|told| told.cursors.push(cursor));
    };
    queue.set_down_cursor(41, Box::new(done));
    assert_eq!(sink.wait(|told| told.cursors.pop()), 41);
    queue.close();
}

/// Tells what the next boot would state as its first sequence if the power failed when `done` is called.
fn keep_seen(queue: &Queue, disk: &FaultyDisk, sink: &Arc<Collector>) {
    let (told, seen) = (sink.clone(), disk.clone());
    let done = move || {
        let lost = seen.after_power_loss(crate::disk::faulty::Survives::Nothing);
        let unseen_first = self::open(&lost, 1 << 16).unwrap().state().unseen_first;
        told.tell(|told| told.unseen.push(unseen_first));
    };
    queue.keep_seen(EPOCH, Box::new(done));
}

#[test]
fn d1_that_the_group_has_seen_the_boot_is_durable_when_done_is_called() {
    let disk = FaultyDisk::default();
    let slow = QueueOptions { commit_delay: Duration::from_secs(3600), ..options(None) };
    let (queue, opened) = Queue::open_on(Box::new(disk.clone()), None, &slow).unwrap();
    assert_eq!(opened.first, Sequence(1));
    append(&queue, 1, 3).unwrap();
    let sink = Arc::new(Collector::default());
    keep_seen(&queue, &disk, &sink);
    queue.start(sink.clone()).unwrap();
    assert_eq!(sink.wait(|told| told.unseen.pop()), 4, "and no commit delay is waited for");
    append(&queue, 4, 2).unwrap();
    queue.close();
    // Two boots that nobody sees.
    for (next, boot) in [(6, 2), (8, 3)] {
        let (queue, opened) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
        assert_eq!((opened.boot, opened.first, opened.next), (boot, Sequence(6), Sequence(next)));
        queue.start(Arc::new(Collector::default())).unwrap();
        append(&queue, next, 2).unwrap();
        queue.close();
    }
}

/// Only what is sent and delivered makes space: the agent that waits for its disk before it sends would wait for ever.
#[test]
fn d1_on_a_full_disk_messages_may_leave_before_it_is_durable_that_the_boot_was_seen() {
    let disk = FaultyDisk::default();
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
    let sink = Arc::new(Collector::default());
    let operations = disk.model().operations;
    disk.model().fault = Some((operations, Fault::Full));
    append(&queue, 1, 2).unwrap();
    keep_seen(&queue, &disk, &sink);
    queue.start(sink.clone()).unwrap();
    assert_eq!(sink.wait(|told| told.unseen.pop()), 1, "in the batch that finds no space");
    keep_seen(&queue, &disk, &sink);
    assert_eq!(sink.wait(|told| told.unseen.pop()), 1, "while that batch waits");
    assert!(sink.told.lock().unwrap().durable.is_empty());
    disk.model().fault = None;
    assert_eq!(sink.durable(2).len(), 2);
    queue.close();
    assert_eq!(self::open(&disk, 1 << 16).unwrap().state().unseen_first, 3, "it was written when there was space");
}

#[test]
fn d1_a_rolled_back_queue_numbers_what_is_undelivered_anew_under_a_new_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, _, sink) = start(Some(directory.path()));
    append(&queue, 1, 5).unwrap();
    sink.durable(5);
    queue.delivered(Sequence(2));
    let told = sink.clone();
    queue.rekey(Epoch(99), Box::new(move |opened| told.tell(|told| told.rekeyed.push(opened))));
    assert_eq!(append(&queue, 6, 2).unwrap(), (Sequence(4), Sequence(5)), "new numbers at once");
    let opened = sink.wait(|told| told.rekeyed.pop());
    assert_eq!((opened.epoch, opened.next, opened.delivered), (Epoch(99), Sequence(4), Sequence(0)));
    assert_eq!(opened.first, Sequence(1), "the group has seen nothing of the new epoch");
    assert_eq!((opened.lowest_held, opened.held_count), (Sequence(1), 3));
    sink.durable(7);
    queue.delivered(Sequence(1));
    queue.close();
    let (queue, opened, sink) = start(Some(directory.path()));
    assert_eq!((opened.epoch, opened.next, opened.delivered), (Epoch(99), Sequence(6), Sequence(1)));
    assert_eq!(opened.first, Sequence(1));
    queue.read(Sequence(1), 1 << 20);
    let answer = sink.wait(|told| told.answers.pop());
    let found: Vec<_> = answer.iter().map(|message| (message.sequence.0, message.payload.clone())).collect();
    assert_eq!(found, [(2, payload(4)), (3, payload(5)), (4, payload(6)), (5, payload(7))]);
    queue.close();
}

#[test]
fn d3_delivered_segments_are_unlinked_and_disk_space_stays_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, _, sink) = start(Some(directory.path()));
    let mut sent = 0;
    for _ in 0..40 {
        let messages = vec![Message::new(vec![1; 1000]); 100];
        let (_, last) = queue.try_append(messages, Timestamp::default(), None).unwrap();
        sent += 100;
        sink.durable(sent);
        queue.delivered(last);
    }
    queue.close();
    let bytes: u64 = std::fs::read_dir(directory.path().join("queue"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 400_000, "{bytes} bytes on disk of 4 MB that were delivered");
    let (_, opened) = Queue::open(options(Some(directory.path()))).unwrap();
    assert_eq!((opened.held_count, opened.delivered, opened.next), (0, Sequence(4000), Sequence(4001)));
}

#[test]
fn a_disk_that_takes_nothing_more_fails_the_queue_and_nothing_is_called_durable() {
    let disk = FaultyDisk::default();
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    let operations = disk.model().operations;
    disk.model().fault = Some((operations, Fault::Off));
    append(&queue, 1, 1).unwrap();
    let error = sink.wait(|told| told.failed.clone());
    assert_eq!(error.code(), Code::QueueSyncFailed);
    assert!(sink.told.lock().unwrap().durable.is_empty());
    assert_eq!(append(&queue, 2, 1).unwrap_err().code(), Code::QueueSyncFailed);
    queue.close();
}

#[test]
fn a_disk_without_space_is_waited_for() {
    let disk = FaultyDisk::default();
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &options(None)).unwrap();
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    let operations = disk.model().operations;
    disk.model().fault = Some((operations, Fault::NoSpace));
    append(&queue, 1, 2).unwrap();
    assert_eq!(sink.durable(2).len(), 2);
    assert_eq!(sink.told.lock().unwrap().events[0].code, Code::QueueSyncFailed);
    queue.close();
}

#[test]
fn commit_delay_lets_calls_share_a_sync_and_a_close_does_not_wait_for_it() {
    let disk = FaultyDisk::default();
    let slow = QueueOptions { commit_delay: Duration::from_secs(3600), ..options(None) };
    let (queue, _) = Queue::open_on(Box::new(disk.clone()), None, &slow).unwrap();
    let sink = Arc::new(Collector::default());
    queue.start(sink.clone()).unwrap();
    for first in 1..=20 {
        append(&queue, first, 1).unwrap();
    }
    queue.close();
    assert_eq!(sink.durable(20).len(), 20);
    assert_eq!(sink.told.lock().unwrap().batches, 1);
}

#[test]
fn after_a_fault_of_the_sink_appending_is_refused() {
    struct Broken;
    impl QueueSink for Broken {
        fn durable(&self, _messages: Vec<Numbered>) {
            std::panic::resume_unwind(Box::new("a fault of the sink"));
        }
        fn read(&self, _messages: Vec<Numbered>) {}
        fn space(&self) {}
        fn event(&self, _event: Event) {}
        fn failed(&self, _error: Error) {}
    }
    let (queue, _) = Queue::open(options(None)).unwrap();
    append(&queue, 1, 1).unwrap();
    assert_eq!(queue.lowest_held(), Sequence(1));
    queue.start(Arc::new(Broken)).unwrap();
    queue.close();
    assert_eq!(append(&queue, 2, 1).unwrap_err().code(), Code::Closed);
}
