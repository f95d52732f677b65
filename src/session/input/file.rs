//! The lines of a file as it grows, over rotation and truncation.
//!
//! What is handed out is a function of the position and the files alone: nothing read is held back, so going
//! on after a restart is the same as going on.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use crate::code::Code;
use crate::event::Event;
use crate::queue::SourcePosition;
use crate::session::input::siblings::{self, Sibling};
use crate::session::input::{Batch, InputLimits, too_long};

/// Up to where the lines of an input were handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    device: u64,
    inode: u64,
    /// How many of the file's first bytes are hashed: inodes are used again, first lines seldom are.
    head_bytes: u16,
    head_hash: u64,
    /// Bytes of the file that are done with: a line's end.
    offset: u64,
}

impl Position {
    pub(super) fn start(metadata: &fs::Metadata) -> Self {
        let head_hash = hash(&[]);
        Self { device: metadata.dev(), inode: metadata.ino(), head_bytes: 0, head_hash, offset: 0 }
    }

    /// Whether this file still has what was read of it.
    fn is_in(&self, file: &File, metadata: &fs::Metadata) -> io::Result<bool> {
        // A device may get another number at boot; then what was read must speak for the file.
        let same_place = metadata.ino() == self.inode && (metadata.dev() == self.device || self.head_bytes > 0);
        Ok(same_place && metadata.len() >= self.offset && head(file, self.head_bytes)? == Some(self.head_hash))
    }
}

/// Follows one path. [`Self::poll`] never blocks for longer than a read.
pub(super) struct FileFollower {
    path: PathBuf,
    limits: InputLimits,
    resume: Option<Position>,
    open: Option<Open>,
    events: Vec<Event>,
    /// What was told last as unreadable, so that it is told once.
    trouble: Option<String>,
    skipped: (u64, u64),
}

struct Open {
    file: File,
    position: Position,
    /// Bytes after the position that are known to hold no newline and are more than a line may have.
    overlong: u64,
    /// Length and last write when nothing more was found, so that an idle file is not read again.
    seen: Option<(u64, i128)>,
}

/// What a read found.
enum Found {
    /// Lines, or a position that moved.
    Progress(Vec<Bytes>),
    Nothing,
}

impl FileFollower {
    pub(super) fn new(path: &Path, position: Option<Position>, limits: InputLimits) -> Self {
        let path = path.to_owned();
        Self { path, limits, resume: position, open: None, events: Vec::new(), trouble: None, skipped: (0, 0) }
    }

    /// What is there now; `None` if nothing came since the last time.
    pub(super) fn poll(&mut self) -> Option<Batch> {
        let lines = match self.step() {
            Ok(Found::Progress(lines)) => {
                self.trouble = None;
                lines
            }
            Ok(Found::Nothing) => Vec::new(),
            Err(error) => {
                self.tell_trouble(&error);
                Vec::new()
            }
        };
        let (count, bytes) = std::mem::take(&mut self.skipped);
        if count > 0 {
            self.events.push(too_long(&self.subject(), count, bytes, self.limits));
        }
        let events = std::mem::take(&mut self.events);
        let position = self.open.as_ref().map(|open| open.position).or(self.resume);
        // Only a skipped line moves the position without a line, and it is told.
        (!lines.is_empty() || !events.is_empty()).then_some(Batch { lines, position, events })
    }

    /// Reads on, and goes from file to file as they end.
    fn step(&mut self) -> io::Result<Found> {
        if self.open.is_none() {
            self.open_first()?;
        }
        loop {
            self.check_truncation()?;
            if let Found::Progress(lines) = self.read(LastLine::Waits)? {
                return Ok(Found::Progress(lines));
            }
            let Some(next) = self.next_file()? else { return Ok(Found::Nothing) };
            // The next file has data, so this one's writer has left: what is here now is all there will be.
            if let Found::Progress(lines) = self.read(LastLine::Counts)? {
                return Ok(Found::Progress(lines));
            }
            if !self.move_to(&next)? {
                return Ok(Found::Nothing);
            }
        }
    }

    /// Opens the file of the position to resume from, wherever rotation put it, or else the live one.
    fn open_first(&mut self) -> io::Result<()> {
        if let Some(position) = self.resume {
            for path in [self.path.clone()].into_iter().chain(siblings::with_inode(&self.path, position.inode)) {
                let Ok((file, metadata)) = open_regular(&path) else { continue };
                if position.is_in(&file, &metadata)? {
                    self.open = Some(Open::new(file, position));
                    self.resume = None;
                    return Ok(());
                }
            }
        }
        let (file, metadata) = open_regular(&self.path)?;
        if let Some(position) = self.resume.take() {
            self.tell_replaced(format!(
                "the file that was read up to byte {} is gone; expected it here or renamed beside it",
                position.offset
            ));
        }
        self.open = Some(Open::new(file, Position::start(&metadata)));
        Ok(())
    }

    /// A file that lost what was read of it was cut, perhaps filled again: it is read from its start.
    fn check_truncation(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let metadata = open.file.metadata()?;
        if open.is_as_seen(&metadata) || open.position.is_in(&open.file, &metadata)? {
            return Ok(());
        }
        let read = open.position.offset;
        open.position = Position::start(&metadata);
        open.overlong = 0;
        open.seen = None;
        self.tell_replaced(format!(
            "cut after byte {read} was read; what was written behind it is lost, if there was any; {} bytes now",
            metadata.len()
        ));
        Ok(())
    }

    fn read(&mut self, last_line: LastLine) -> io::Result<Found> {
        let Some(open) = &mut self.open else { return Ok(Found::Nothing) };
        let metadata = open.file.metadata()?;
        if last_line == LastLine::Waits && open.is_as_seen(&metadata) {
            return Ok(Found::Nothing);
        }
        let before = open.position.offset;
        let lines = open.read_lines(self.limits, last_line, &mut self.skipped)?;
        if lines.is_empty() && open.position.offset == before {
            open.seen = Some((metadata.len(), siblings::modified(&metadata)));
            return Ok(Found::Nothing);
        }
        open.cover_head()?;
        Ok(Found::Progress(lines))
    }

    /// The file to go on with, once this one was renamed or removed and its writer writes elsewhere.
    fn next_file(&self) -> io::Result<Option<Sibling>> {
        let Some(open) = &self.open else { return Ok(None) };
        match fs::metadata(&self.path) {
            Ok(live) if live.ino() == open.position.inode => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let modified = siblings::modified(&open.file.metadata()?);
        let next = siblings::successor(&self.path, open.position.inode, modified);
        // While the new file is empty, the writer may still be at the old one.
        Ok(next.filter(|next| next.path != self.path || next.length > 0))
    }

    /// False if rotation went on meanwhile and the file is another one: look again.
    fn move_to(&mut self, next: &Sibling) -> io::Result<bool> {
        let (file, metadata) = open_regular(&next.path)?;
        let same = metadata.ino() == next.inode;
        if same {
            self.open = Some(Open::new(file, Position::start(&metadata)));
        }
        Ok(same)
    }

    fn tell_replaced(&mut self, text: String) {
        self.events.push(Event::new(Code::InputReplaced, self.subject(), text));
    }

    fn tell_trouble(&mut self, error: &io::Error) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            self.events.push(Event::new(Code::InputUnreadable, self.subject(), text.clone()));
            self.trouble = Some(text);
        }
    }

    fn subject(&self) -> String {
        self.path.display().to_string()
    }
}

/// What an unterminated last line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastLine {
    /// Not yet a line.
    Waits,
    /// A line: its file is finished.
    Counts,
}

impl Open {
    fn new(file: File, position: Position) -> Self {
        Self { file, position, overlong: 0, seen: None }
    }

    fn is_as_seen(&self, metadata: &fs::Metadata) -> bool {
        self.seen == Some((metadata.len(), siblings::modified(metadata)))
    }

    /// Lines from the position on, which moves behind them; lines that are too long are counted in `skipped`.
    fn read_lines(
        &mut self,
        limits: InputLimits,
        last_line: LastLine,
        skipped: &mut (u64, u64),
    ) -> io::Result<Vec<Bytes>> {
        if self.overlong > 0 && !self.pass_overlong(last_line, skipped)? {
            return Ok(Vec::new());
        }
        let mut wanted = limits.batch_bytes_max.max(1);
        loop {
            let bytes = Bytes::from(read_at(&self.file, self.position.offset, wanted)?);
            let at_end = bytes.len() < wanted;
            let tail = if at_end { last_line } else { LastLine::Waits };
            let (lines, done) = split(&bytes, tail, limits, skipped);
            self.position.offset += done as u64;
            if done > 0 || at_end {
                return Ok(lines);
            }
            // Not even one line: a longer look, or one that no look is long enough for.
            if wanted <= limits.line_bytes_max {
                wanted = limits.line_bytes_max + 1;
            } else {
                self.overlong = bytes.len() as u64;
                if !self.pass_overlong(last_line, skipped)? {
                    return Ok(Vec::new());
                }
            }
        }
    }

    /// Looks for the end of a line that is too long, without holding it; false if it has not come yet.
    fn pass_overlong(&mut self, last_line: LastLine, skipped: &mut (u64, u64)) -> io::Result<bool> {
        loop {
            let bytes = read_at(&self.file, self.position.offset + self.overlong, CHUNK)?;
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            self.overlong += newline.unwrap_or(bytes.len()) as u64;
            let finished = bytes.len() < CHUNK && last_line == LastLine::Counts;
            if newline.is_some() || finished {
                skipped.0 += 1;
                skipped.1 += self.overlong;
                self.position.offset += self.overlong + u64::from(newline.is_some());
                self.overlong = 0;
                return Ok(true);
            }
            if bytes.len() < CHUNK {
                return Ok(false);
            }
        }
    }

    /// Hashes as much of the head as was read, up to the maximum.
    fn cover_head(&mut self) -> io::Result<()> {
        let cover = u16::try_from(self.position.offset).unwrap_or(HEAD_BYTES_MAX).min(HEAD_BYTES_MAX);
        if cover == self.position.head_bytes {
            return Ok(());
        }
        if let Some(hash) = head(&self.file, cover)? {
            self.position.head_bytes = cover;
            self.position.head_hash = hash;
        }
        Ok(())
    }
}

/// The lines at the beginning of these bytes, as many as a batch may have, and how many bytes they are.
fn split(bytes: &Bytes, last_line: LastLine, limits: InputLimits, skipped: &mut (u64, u64)) -> (Vec<Bytes>, usize) {
    let mut lines = Vec::new();
    let mut done = 0;
    for (end, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if lines.len() == limits.lines_max {
            return (lines, done);
        }
        take_line(bytes.slice(done..end), limits, &mut lines, skipped);
        done = end + 1;
    }
    if last_line == LastLine::Counts && done < bytes.len() && lines.len() < limits.lines_max {
        take_line(bytes.slice(done..), limits, &mut lines, skipped);
        done = bytes.len();
    }
    (lines, done)
}

fn take_line(line: Bytes, limits: InputLimits, lines: &mut Vec<Bytes>, skipped: &mut (u64, u64)) {
    if line.len() > limits.line_bytes_max {
        skipped.0 += 1;
        skipped.1 += line.len() as u64;
    } else {
        lines.push(line);
    }
}

fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    // Asked before opening: opening a pipe waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("found no regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Up to `wanted` bytes; fewer only at the end of the file.
fn read_at(file: &File, offset: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len().saturating_sub(offset)).unwrap_or(wanted);
    let mut bytes = vec![0; wanted.min(length)];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The hash of the first bytes; `None` if the file has fewer.
fn head(file: &File, head_bytes: u16) -> io::Result<Option<u64>> {
    let bytes = read_at(file, 0, usize::from(head_bytes))?;
    Ok((bytes.len() == usize::from(head_bytes)).then(|| hash(&bytes)))
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl From<Position> for SourcePosition {
    /// As the queue keeps it: the hash and its length share 64 bits.
    fn from(position: Position) -> Self {
        Self {
            device: position.device,
            inode: position.inode,
            fingerprint: u64::from(position.head_bytes) << HASH_BITS | position.head_hash,
            offset: position.offset,
        }
    }
}

impl From<SourcePosition> for Position {
    fn from(kept: SourcePosition) -> Self {
        // The upper 16 bits are what `from` above put there; a file that they do not fit is another file.
        let head_bytes = (kept.fingerprint >> HASH_BITS) as u16;
        Self {
            device: kept.device,
            inode: kept.inode,
            head_bytes,
            head_hash: kept.fingerprint & HASH_MASK,
            offset: kept.offset,
        }
    }
}

/// What a kept fingerprint has room for beside its length.
const HASH_BITS: u32 = 48;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;
/// Bytes of a file's head that tell it from another one with its inode.
const HEAD_BYTES_MAX: u16 = 256;
/// One look for the end of a line that is too long.
const CHUNK: usize = 64 << 10;
