//! An agent's queue on disk, synced: how many messages it takes, how soon they are stored, how a backlog opens.
//!
//! `--backlog MIB` makes a backlog and opens it in a process of its own, instead of the other measurements.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use farpost::Message;
use farpost::bench::Log;

/// Calls that wait to be stored while more are made.
const CALLS_OUTSTANDING: usize = 64;
/// Far above what is ever undelivered here.
const BYTES_MAX: u64 = 8 << 30;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |key: &str| arguments.iter().position(|argument| argument == key).and_then(|at| arguments.get(at + 1));
    if let Some(directory) = value("--open") {
        return open_backlog(Path::new(directory));
    }
    if let Some(mib) = value("--backlog") {
        return backlog(mib.parse().expect("--backlog takes MiB"));
    }
    let limits = (Duration::from_millis(300), Duration::from_secs(1));
    let criterion = Criterion::default().warm_up_time(limits.0).measurement_time(limits.1).sample_size(10);
    let mut criterion = criterion.configure_from_args();
    appends(&mut criterion);
    criterion.final_summary();
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for bytes in [256, 1024] {
        for count in [1, 64, 1000] {
            let id = format!("{bytes} B, {count} per call");
            let messages = vec![Message::new(Bytes::from(vec![0x5a; bytes])); count];
            let directory = temporary();
            let log = Log::open(directory.path(), BYTES_MAX).expect("a queue");
            group.throughput(Throughput::ElementsAndBytes { elements: count as u64, bytes: (count * bytes) as u64 });
            group.bench_function(BenchmarkId::new("one call until stored", &id), |bencher| {
                bencher.iter(|| append_and_wait(&log, &messages));
            });
            group.bench_function(BenchmarkId::new("64 calls outstanding", &id), |bencher| {
                bencher.iter_custom(|calls| append_many(&log, &messages, calls));
            });
            log.close();
        }
    }
    group.finish();
}

fn append_and_wait(log: &Log, messages: &[Message]) {
    let last = log.append(messages.to_vec()).expect("room");
    log.wait_stored(last).expect("a disk that works");
    log.delivered(last);
}

fn append_many(log: &Log, messages: &[Message], calls: u64) -> Duration {
    let began = Instant::now();
    let mut outstanding = VecDeque::new();
    for _ in 0..calls {
        if outstanding.len() >= CALLS_OUTSTANDING {
            settle(log, outstanding.pop_front());
        }
        outstanding.push_back(log.append(messages.to_vec()).expect("room"));
    }
    settle(log, outstanding.pop_back());
    began.elapsed()
}

fn settle(log: &Log, last: Option<u64>) {
    if let Some(last) = last {
        log.wait_stored(last).expect("a disk that works");
        log.delivered(last);
    }
}

/// Writes a backlog of 1 KiB messages, then opens it in another process, which has nothing of it in memory.
fn backlog(mib: u64) {
    let directory = temporary();
    let log = Log::open(directory.path(), BYTES_MAX).expect("a queue");
    let messages = vec![Message::new(Bytes::from(vec![0x5a; 1024])); 1024];
    for _ in 0..mib {
        let last = log.append(messages.clone()).expect("room");
        log.wait_stored(last).expect("a disk that works");
    }
    log.close();
    let program = std::env::current_exe().expect("this program's path");
    for _ in 0..3 {
        let status = Command::new(&program).arg("--open").arg(directory.path()).status();
        assert!(status.expect("a process").success(), "the backlog did not open");
    }
}

fn open_backlog(directory: &Path) {
    let began = Instant::now();
    let log = Log::open(directory, BYTES_MAX).expect("the backlog");
    let took = began.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    let (count, bytes) = log.held();
    println!("{count} messages, {bytes} bytes, opened in {took:?}, {most} (goal: 300 ms, 50 MiB)");
    log.close();
}

/// On the disk that the build is on: /tmp may be in memory.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}
