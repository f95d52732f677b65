//! The built-in output to a file: one JSON line per delivery (DESIGN section 11).
//!
//! A batch is written and synced before it is acknowledged; the file's length is committed with the cursors, and at
//! start the file is cut back to it. What a crash left beyond it was not acknowledged and comes again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::deliveries::{Deliveries, DeliveryBatch, Item};
use crate::code::Code;
use crate::disk::StateDirectory;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::session::events::EventHub;
use crate::session::json::{Object, put_base64, put_string};

/// How long the file was after each batch that is not yet committed.
pub(super) type Lengths = Arc<Mutex<BTreeMap<u64, u64>>>;

/// The file, or standard output.
pub(super) struct OutputFile {
    target: Target,
    lengths: Lengths,
    /// Held while anything may still be written: a server that is started again must not meet its predecessor's writer.
    _state: Option<Arc<StateDirectory>>,
}

enum Target {
    File { path: PathBuf, file: File, length: u64 },
    Standard,
}

impl OutputFile {
    /// Opens the file and cuts it back to its committed length; `-` is standard output, which cannot be cut.
    ///
    /// # Errors
    ///
    /// [`Code::OutputFailed`].
    pub(super) fn open(
        path: &Path,
        committed: Option<u64>,
        lengths: Lengths,
        state: Option<Arc<StateDirectory>>,
    ) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { target: Target::Standard, lengths, _state: state });
        }
        let open = || -> io::Result<(File, u64)> {
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
            let found = file.metadata()?.len();
            // A file that this server never wrote to keeps what it has; one that is shorter was rotated away.
            let length = committed.map_or(found, |committed| committed.min(found));
            if length < found {
                file.set_len(length)?;
                file.sync_all()?;
            }
            sync_parent(path)?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| failed(path, &error))?;
        Ok(Self { target: Target::File { path: path.to_owned(), file, length }, lengths, _state: state })
    }

    /// Writes batches until the server stops. A write that fails is tried again: nothing is acknowledged meanwhile.
    pub(super) async fn run(mut self, mut deliveries: Deliveries, events: EventHub) {
        while let Some(batch) = deliveries.next().await {
            // What the node did not live to hear acknowledged would be cut off at the next start.
            if batch.is_orphaned() {
                return;
            }
            let mut lines = lines(&batch);
            loop {
                let writing = tokio::task::spawn_blocking(move || {
                    let result = self.write(lines.as_bytes());
                    (self, lines, result)
                });
                // A panic of the writer ends the output: nothing is acknowledged any more.
                let Ok((returned, kept, result)) = writing.await else { return };
                (self, lines) = (returned, kept);
                match result {
                    Ok(()) => break,
                    Err(error) => events.emit(Event::of_error(error.subject_text().to_owned(), &error)),
                }
                if batch.is_orphaned() {
                    return;
                }
                tokio::time::sleep(WRITE_AGAIN).await;
            }
            if let Target::File { length, .. } = &self.target {
                self.lengths.lock().unwrap_or_else(PoisonError::into_inner).insert(batch.number(), *length);
            }
            batch.acknowledge();
        }
    }

    fn write(&mut self, lines: &[u8]) -> Result<()> {
        match &mut self.target {
            Target::Standard => {
                let mut out = io::stdout().lock();
                let written = out.write_all(lines).and_then(|()| out.flush());
                written.map_err(|error| failed(Path::new("-"), &error))
            }
            Target::File { path, file, length } => {
                let start = append(file, *length, lines).map_err(|error| failed(path, &error))?;
                *length = start + lines.len() as u64;
                Ok(())
            }
        }
    }
}

/// Appends and syncs; answers where. What an earlier try left is cut off first; a file that somebody made shorter
/// (logrotate's copytruncate) goes on where it ends now, and is not filled up with zeros.
fn append(file: &mut File, length: u64, lines: &[u8]) -> io::Result<u64> {
    let start = length.min(file.metadata()?.len());
    file.set_len(start)?;
    file.write_all(lines)?;
    file.sync_data()?;
    Ok(start)
}

/// Makes the file's name durable: what is acknowledged must be found again (rule D4).
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::OutputFailed).subject(path.display().to_string()).found(error.to_string())
}

fn lines(batch: &DeliveryBatch) -> String {
    let mut out = String::new();
    for item in batch.iter() {
        put_line(&mut out, &item);
    }
    out
}

fn put_line(out: &mut String, item: &Item<'_>) {
    let (agent, via, epoch) = match item {
        Item::Message(message) => (message.agent, message.via, message.epoch),
        Item::Gap(gap) => (gap.agent, gap.via, gap.epoch),
    };
    let mut object = Object::new();
    object.text("agent", agent.as_str());
    object.texts("via", via.iter().map(crate::name::Name::as_str));
    object.text("epoch", &epoch.to_string());
    match item {
        Item::Gap(gap) => {
            object.raw("gap", &format!("[{},{}]", gap.gap.first, gap.gap.last));
            object.text("reason", &format!("{} {}", gap.gap.reason, gap.gap.reason.summary()));
        }
        Item::Message(message) => {
            object.number("sequence", message.sequence.0);
            object.text("sent", &message.sent.to_string());
            if message.redelivered {
                object.boolean("redelivered", true);
            }
            let mut payload = String::new();
            match std::str::from_utf8(&message.payload) {
                Ok(text) => {
                    put_string(&mut payload, text);
                    object.raw("payload", &payload);
                }
                Err(_) => {
                    put_base64(&mut payload, &message.payload);
                    object.raw("payload_base64", &payload);
                }
            }
        }
    }
    out.push_str(&object.finish());
    out.push('\n');
}

/// A disk that did not take a write is tried again after this.
const WRITE_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_a_file_that_was_cut_from_outside_goes_on_where_it_ends_and_a_failed_write_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.jsonl");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap();
        assert_eq!(append(&mut file, 0, b"one\n").unwrap(), 0);
        // A write that failed half-way.
        file.write_all(b"tw").unwrap();
        assert_eq!(append(&mut file, 4, b"two\n").unwrap(), 4);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        // logrotate with copytruncate.
        OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        assert_eq!(append(&mut file, 8, b"three\n").unwrap(), 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
    }
}
