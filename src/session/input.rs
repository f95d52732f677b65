//! What `agent run` sends: the lines of a file as it grows, or standard input.
//!
//! A file is followed over rotation (renamed, a new one in its place: the old one is read to its end first) and
//! truncation. A [`Position`] says up to where lines were handed out; following from it skips and repeats
//! nothing, as long as the files are there. An unterminated last line waits for its newline, or for the end of
//! its file's life: rotation, or the end of standard input. Bytes pass as they are; only the newline goes.
//!
//! Reading blocks, so it has its own thread; batches come through a bounded channel.

mod file;
mod siblings;
mod stream;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::event::Event;

use file::FileFollower;
use stream::StreamLines;

pub(crate) use file::Position;

/// What one batch may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputLimits {
    /// Lines of a batch.
    pub(crate) lines_max: usize,
    /// Bytes of a batch, unless one line alone is longer.
    pub(crate) batch_bytes_max: usize,
    /// A line; a longer one is skipped, counted and told ([`Code::MessageTooLarge`]).
    pub(crate) line_bytes_max: usize,
}

/// Lines, where they end, and what happened on the way.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The lines without their newlines; none where only the position moved or something happened.
    pub(crate) lines: Vec<Bytes>,
    /// Where to go on after these lines; `None` for standard input, which cannot be read again.
    pub(crate) position: Option<Position>,
    /// [`Code::InputReplaced`], [`Code::InputUnreadable`], [`Code::MessageTooLarge`].
    pub(crate) events: Vec<Event>,
}

/// Follows an input. Dropping it stops its thread within [`POLL`], or, for standard input, with the process.
pub(crate) struct Follower {
    batches: mpsc::Receiver<Batch>,
    reader: Thread,
}

impl Follower {
    /// Follows a file from a position, or from its start; `-` is standard input.
    ///
    /// A file that is missing or cannot be read yet is told as an event and awaited.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] if the system gives no thread.
    pub(crate) fn open(path: &Path, position: Option<Position>, limits: InputLimits) -> Result<Self> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let reader: Box<dyn FnOnce() + Send> = if path == Path::new("-") {
            Box::new(move || read_stream(StreamLines::new(std::io::stdin(), limits), &sender))
        } else {
            let follower = FileFollower::new(path, position, limits);
            Box::new(move || follow_file(follower, &sender))
        };
        let thread = std::thread::Builder::new()
            .name("farpost-input".to_owned())
            .spawn(reader)
            .map_err(|error| Error::new(Code::Internal).subject("a thread for the input").found(error.to_string()))?;
        Ok(Self { batches, reader: thread.thread().clone() })
    }

    /// The next batch; `None` at the end of standard input. A file has no end. Cancel-safe.
    pub(crate) async fn next_batch(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.batches.close();
        self.reader.unpark();
    }
}

fn follow_file(mut follower: FileFollower, sender: &mpsc::Sender<Batch>) {
    while !sender.is_closed() {
        match follower.poll() {
            Some(batch) => {
                if sender.blocking_send(batch).is_err() {
                    return;
                }
            }
            None => std::thread::park_timeout(POLL),
        }
    }
}

fn read_stream<R: std::io::Read>(mut lines: StreamLines<R>, sender: &mpsc::Sender<Batch>) {
    while let Some(batch) = lines.next_batch() {
        if sender.blocking_send(batch).is_err() {
            return;
        }
    }
}

/// The event of lines that were skipped.
fn too_long(subject: &str, lines: u64, bytes: u64, limits: InputLimits) -> Event {
    let text = format!("{lines} lines of {bytes} bytes skipped; expected at most {} each", limits.line_bytes_max);
    Event::new(Code::MessageTooLarge, subject, text)
}

/// How often a file is looked at while nothing comes: what a person who follows a log does not notice.
const POLL: Duration = Duration::from_millis(150);
/// Batches that are read ahead of the queue: one waits while one is taken.
const BATCHES_AHEAD: usize = 2;
