use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;

use tempfile::TempDir;

use super::file::FileFollower;
use super::stream::StreamLines;
use super::*;

const LIMITS: InputLimits = InputLimits { lines_max: 3, batch_bytes_max: 16, line_bytes_max: 40 };

/// A log file and its writer, which keeps its file open over a rename, as writers do.
struct Log {
    directory: TempDir,
    writer: Option<File>,
    rotated: usize,
}

impl Log {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), writer: None, rotated: 0 }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("app.log")
    }

    fn append(&mut self, bytes: &[u8]) {
        let path = self.path();
        let writer =
            self.writer.get_or_insert_with(|| OpenOptions::new().create(true).append(true).open(path).unwrap());
        writer.write_all(bytes).unwrap();
    }

    fn rename(&mut self) {
        if !self.path().exists() {
            return;
        }
        for number in (1..=self.rotated).rev() {
            let name = |number| self.directory.path().join(format!("app.log.{number}"));
            fs::rename(name(number), name(number + 1)).unwrap();
        }
        fs::rename(self.path(), self.directory.path().join("app.log.1")).unwrap();
        self.rotated += 1;
    }

    /// The writer opens the path anew with its next write.
    fn reopen(&mut self) {
        self.writer = None;
    }

    fn rotate(&mut self) {
        self.rename();
        self.reopen();
    }

    fn follow(&self, position: Option<Position>) -> FileFollower {
        FileFollower::new(&self.path(), position, LIMITS)
    }
}

fn drain(follower: &mut FileFollower, taken: &mut Vec<Taken>) {
    while let Some(batch) = follower.poll() {
        taken.push(Taken {
            lines: batch.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect(),
            position: batch.position,
            codes: batch.events.iter().map(|event| event.code).collect(),
        });
    }
}

#[derive(Debug)]
struct Taken {
    lines: Vec<String>,
    position: Option<Position>,
    codes: Vec<Code>,
}

fn lines(taken: &[Taken]) -> Vec<String> {
    taken.iter().flat_map(|batch| batch.lines.clone()).collect()
}

fn codes(taken: &[Taken]) -> Vec<Code> {
    taken.iter().flat_map(|batch| batch.codes.clone()).filter(|code| *code != Code::InputUnreadable).collect()
}

#[test]
fn every_cut_of_the_writes_gives_the_same_lines() {
    let text = b"a\nbb\n\nccc\r\nd d\n";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let mut log = Log::new();
            let mut follower = log.follow(None);
            let mut taken = Vec::new();
            for part in [&text[..first], &text[first..second], &text[second..]] {
                log.append(part);
                drain(&mut follower, &mut taken);
            }
            assert_eq!(lines(&taken), ["a", "bb", "", "ccc\r", "d d"], "cuts {first} {second}");
        }
    }
}

#[test]
fn an_unterminated_last_line_waits_for_its_newline_or_for_rotation() {
    let mut log = Log::new();
    let mut follower = log.follow(None);
    let mut taken = Vec::new();
    log.append(b"one\ntw");
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), ["one"]);
    log.append(b"o\nthr");
    log.rotate();
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), ["one", "two"]);
    log.append(b"four\n");
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), ["one", "two", "thr", "four"]);
    assert_eq!(codes(&taken), []);
}

/// The script is fixed; every subset of places is polled at, and a poll may be made by a new follower.
#[test]
fn rotation_between_any_two_polls_and_a_restart_at_any_skips_and_repeats_nothing() {
    let script: [fn(&mut Log); 9] = [
        |log| log.append(b"a1\na2\na3\na4\na5\n"),
        Log::rename,
        |log| log.append(b"a6\na"),
        |log| log.append(b"7\n"),
        Log::reopen,
        |log| log.append(b"b1\nb2\n"),
        Log::rotate,
        |log| log.append(b"c1\n"),
        Log::rotate,
    ];
    let expected = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "b1", "b2", "c1", "d1"];
    for polls in 0..1_u32 << script.len() {
        for restart in [false, true] {
            let mut log = Log::new();
            log.append(b"a0\n");
            let start = follower_start(&log);
            let mut follower = log.follow(start);
            let mut taken = Vec::new();
            for (index, act) in script.iter().enumerate() {
                act(&mut log);
                if polls & 1 << index != 0 {
                    drain(&mut follower, &mut taken);
                    if restart {
                        follower = log.follow(taken.iter().rev().find_map(|batch| batch.position).or(start));
                    }
                }
            }
            log.append(b"d1\n");
            drain(&mut follower, &mut taken);
            assert_eq!(lines(&taken), expected, "polls {polls:09b} restart {restart}");
            assert_eq!(codes(&taken), [], "polls {polls:09b} restart {restart}");
        }
    }
}

#[test]
fn a_writer_that_stays_with_the_old_file_is_read_until_the_new_one_has_data() {
    let mut log = Log::new();
    let mut follower = log.follow(None);
    let mut taken = Vec::new();
    log.append(b"one\n");
    drain(&mut follower, &mut taken);
    log.rename();
    File::create(log.path()).unwrap();
    drain(&mut follower, &mut taken);
    log.append(b"two\n");
    drain(&mut follower, &mut taken);
    log.append(b"three\n");
    log.reopen();
    log.append(b"four\n");
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), ["one", "two", "three", "four"]);
}

#[test]
fn a_cut_file_is_read_from_its_start_and_told() {
    for again in ["x\n", "something longer than what was there before\n"] {
        let mut log = Log::new();
        let mut follower = log.follow(None);
        let mut taken = Vec::new();
        log.append(b"one\ntwo\n");
        drain(&mut follower, &mut taken);
        let position = taken.last().unwrap().position;
        File::create(log.path()).unwrap();
        log.append(again.as_bytes());
        let (mut alive, mut resumed) = (Vec::new(), Vec::new());
        drain(&mut follower, &mut alive);
        drain(&mut log.follow(position), &mut resumed);
        for seen in [alive, resumed] {
            let skipped = again.len() > LIMITS.line_bytes_max;
            assert_eq!(lines(&seen).is_empty(), skipped);
            assert_eq!(codes(&seen)[0], Code::InputReplaced, "{again}");
        }
    }
}

#[test]
fn a_position_whose_file_is_gone_is_told_and_the_live_file_read() {
    let mut log = Log::new();
    let mut taken = Vec::new();
    log.append(b"one\ntwo\n");
    drain(&mut log.follow(None), &mut taken);
    let position = taken.last().unwrap().position;
    // Written before the old one goes, so that it cannot have its inode.
    fs::write(log.directory.path().join("new"), b"three\n").unwrap();
    fs::rename(log.directory.path().join("new"), log.path()).unwrap();
    let mut seen = Vec::new();
    drain(&mut log.follow(position), &mut seen);
    assert_eq!((lines(&seen), codes(&seen)), (vec!["three".to_owned()], vec![Code::InputReplaced]));
}

#[test]
fn a_line_that_is_too_long_is_skipped_counted_and_told_once() {
    for length in [41, 42, 1_000, 200_000] {
        let mut log = Log::new();
        let mut follower = log.follow(None);
        let mut taken = Vec::new();
        log.append(b"before\n");
        for part in vec![b'x'; length].chunks(length.div_ceil(3)) {
            log.append(part);
            drain(&mut follower, &mut taken);
        }
        log.append(b"\nafter\n");
        log.append(&[b'y'; 40]);
        log.append(b"\n");
        drain(&mut follower, &mut taken);
        assert_eq!(lines(&taken), ["before".to_owned(), "after".to_owned(), "y".repeat(40)], "{length}");
        assert_eq!(codes(&taken), [Code::MessageTooLarge], "{length}");
    }
}

#[test]
fn a_long_last_line_of_a_rotated_file_is_told_and_the_next_file_read() {
    for length in [41, 1_000, 200_000] {
        let mut log = Log::new();
        let mut follower = log.follow(None);
        let mut taken = Vec::new();
        log.append(b"before\n");
        log.append(&vec![b'x'; length]);
        drain(&mut follower, &mut taken);
        let position = taken.last().unwrap().position;
        log.rotate();
        log.append(b"after\n");
        for mut follower in [follower, log.follow(position)] {
            let mut rest = Vec::new();
            drain(&mut follower, &mut rest);
            assert_eq!(
                (lines(&rest), codes(&rest)),
                (vec!["after".to_owned()], vec![Code::MessageTooLarge]),
                "{length}"
            );
        }
    }
}

#[test]
fn a_file_that_is_not_there_yet_is_told_once_and_awaited() {
    let mut log = Log::new();
    let mut follower = log.follow(None);
    let first = follower.poll().unwrap();
    assert_eq!(first.events[0].code, Code::InputUnreadable);
    assert!(follower.poll().is_none());
    log.append(b"now\n");
    assert_eq!(follower.poll().unwrap().lines, ["now"]);
}

#[test]
fn bytes_that_are_no_text_pass_as_they_are() {
    let mut log = Log::new();
    log.append(b"\xff\xfe\0\x80\n");
    assert_eq!(log.follow(None).poll().unwrap().lines, [&b"\xff\xfe\0\x80"[..]]);
}

#[test]
fn a_file_that_only_looks_like_a_rotated_one_is_not_read() {
    let mut log = Log::new();
    let mut follower = log.follow(None);
    let mut taken = Vec::new();
    log.append(b"one\n");
    drain(&mut follower, &mut taken);
    log.rotate();
    for name in ["app.log.lock", "app.log.2.gz", "app.log.pos", "app.logs", "other.log.1"] {
        fs::write(log.directory.path().join(name), b"not a line of the log\n").unwrap();
    }
    log.append(b"two\n");
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), ["one", "two"]);
}

#[test]
fn rotation_by_date_and_by_an_unknown_name_is_followed() {
    for names in [["app.log-20261121", "app.log-20261122"], ["yesterday", "today"]] {
        let mut log = Log::new();
        let mut follower = log.follow(None);
        let mut taken = Vec::new();
        for (name, text) in names.iter().zip(["one\ntw", "three\nfo"]) {
            log.append(text.as_bytes());
            drain(&mut follower, &mut taken);
            let position = taken.last().unwrap().position;
            fs::rename(log.path(), log.directory.path().join(name)).unwrap();
            log.reopen();
            follower = log.follow(position);
        }
        log.append(b"five\n");
        drain(&mut follower, &mut taken);
        assert_eq!(lines(&taken), ["one", "tw", "three", "fo", "five"]);
    }
}

#[test]
fn rotation_while_the_directory_is_read_skips_and_repeats_nothing() {
    let mut log = Log::new();
    log.append(b"0\n");
    let mut follower = log.follow(follower_start(&log));
    let writer = std::thread::spawn(move || {
        for number in 1..6_000 {
            if number % 200 == 0 {
                log.rotate();
            }
            log.append(format!("{number}\n").as_bytes());
        }
        log
    });
    let mut taken = Vec::new();
    while !writer.is_finished() {
        drain(&mut follower, &mut taken);
    }
    let _log = writer.join().unwrap();
    drain(&mut follower, &mut taken);
    let read = lines(&taken);
    let broken = read.iter().enumerate().find(|(number, line)| **line != number.to_string());
    assert_eq!((broken, read.len()), (None, 6_000));
}

/// A model with random writes, rotations, polls and restarts; afterwards every position is gone on from.
#[test]
fn from_every_position_exactly_the_rest_is_read() {
    let seed = std::env::var("FARPOST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_0001_u64);
    println!("FARPOST_SEED={seed}");
    for round in 0..150 {
        model(&mut Random(seed.wrapping_add(round)));
    }
}

fn model(random: &mut Random) {
    let mut log = Log::new();
    let mut expected = Vec::new();
    let mut taken = Vec::new();
    log.append(b"");
    let mut follower = log.follow(None);
    drain(&mut follower, &mut taken);
    for number in 0..60 {
        match random.below(8) {
            0..=3 => {
                let line = format!("{number}{}", "z".repeat(random.below(30)));
                let cut = random.below(line.len());
                log.append(&line.as_bytes()[..cut]);
                if random.below(2) == 0 {
                    drain(&mut follower, &mut taken);
                }
                log.append(format!("{}\n", &line[cut..]).as_bytes());
                expected.push(line);
            }
            4 => log.rename(),
            5 => {
                if !log.path().exists() {
                    log.reopen();
                    log.append(b"");
                }
            }
            6 => drain(&mut follower, &mut taken),
            _ => follower = log.follow(taken.iter().rev().find_map(|batch| batch.position).or(follower_start(&log))),
        }
    }
    log.reopen();
    log.append(b"end\n");
    expected.push("end".to_owned());
    drain(&mut follower, &mut taken);
    assert_eq!(lines(&taken), expected);
    let mut done = 0;
    for batch in &taken {
        done += batch.lines.len();
        let kept = Position::from(crate::queue::SourcePosition::from(batch.position.unwrap()));
        let mut rest = Vec::new();
        drain(&mut log.follow(Some(kept)), &mut rest);
        assert_eq!(lines(&rest), expected[done..]);
    }
}

/// Before the first batch there is no position: a restart begins with the oldest file, as the model has it.
fn follower_start(log: &Log) -> Option<Position> {
    let oldest = (1..=log.rotated).rev().map(|number| log.directory.path().join(format!("app.log.{number}")));
    let oldest = oldest.chain([log.path()]).find(|path| path.exists())?;
    Some(Position::start(&fs::metadata(oldest).unwrap()))
}

struct Random(u64);

impl Random {
    /// SplitMix64.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) % end as u64).unwrap()
    }
}

/// A stream that gives what it is told to, piece by piece.
struct Pieces(VecDeque<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.pop_front() else { return Ok(0) };
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

fn stream(pieces: &[&[u8]]) -> (Vec<String>, Vec<Code>) {
    let pieces = Pieces(pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect());
    let mut source = StreamLines::new(pieces, LIMITS);
    let (mut lines, mut codes) = (Vec::new(), Vec::new());
    while let Some(batch) = source.next_batch() {
        assert!(batch.lines.len() <= LIMITS.lines_max);
        lines.extend(batch.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        codes.extend(batch.events.iter().map(|event| event.code));
    }
    (lines, codes)
}

#[test]
fn every_cut_of_a_stream_gives_the_same_lines_and_its_end_ends_the_last() {
    let text = b"a\nbb\n\nc\nlast without";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let (lines, codes) = stream(&[&text[..first], &text[first..second], &text[second..]]);
            assert_eq!((lines.join("|"), codes.len()), ("a|bb||c|last without".to_owned(), 0), "{first} {second}");
        }
    }
}

#[test]
fn a_long_line_of_a_stream_is_skipped_counted_and_told_wherever_it_is_cut() {
    let text = [b"a\n".to_vec(), vec![b'x'; 41], b"\nb\n".to_vec(), vec![b'y'; 50]].concat();
    for cut in 0..=text.len() {
        let (lines, codes) = stream(&[&text[..cut], &text[cut..]]);
        assert_eq!(lines, ["a", "b"], "{cut}");
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == Code::MessageTooLarge), "{cut}");
    }
}

#[test]
fn a_follower_hands_out_what_is_written_and_stops_when_dropped() {
    let mut log = Log::new();
    log.append(b"one\ntwo\n");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut follower = Follower::open(&log.path(), None, LIMITS).unwrap();
        assert_eq!(follower.next_batch().await.unwrap().lines, ["one", "two"]);
        log.append(b"three\n");
        assert_eq!(follower.next_batch().await.unwrap().lines, ["three"]);
    });
}
