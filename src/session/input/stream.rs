//! Lines of a stream that cannot be read again: standard input.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};

use bytes::{Buf as _, Bytes, BytesMut};

use crate::code::Code;
use crate::event::Event;
use crate::session::input::{Batch, InputLimits, too_long};

/// Splits a stream into batches of lines; its end ends the last line.
pub(super) struct StreamLines<R> {
    source: R,
    limits: InputLimits,
    /// What was read and not yet handed out.
    held: BytesMut,
    /// Bytes of `held` that are known to hold no newline.
    scanned: usize,
    /// Bytes so far of the line that is too long; `None` outside of one.
    skipping: Option<u64>,
    /// Skipped lines and their bytes, until they are told.
    skipped: (u64, u64),
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl<R: Read> StreamLines<R> {
    pub(super) fn new(source: R, limits: InputLimits) -> Self {
        Self {
            source,
            limits,
            held: BytesMut::new(),
            scanned: 0,
            skipping: None,
            skipped: (0, 0),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Blocks until something comes; `None` at the end.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        let mut events = Vec::new();
        while self.ready.is_empty() && !self.ended {
            if let Err(error) = self.read() {
                events.push(Event::new(Code::InputUnreadable, SUBJECT, error.to_string()));
                self.end();
            }
        }
        let lines = self.take();
        if self.skipped.0 > 0 {
            let (count, bytes) = std::mem::take(&mut self.skipped);
            events.push(too_long(SUBJECT, count, bytes, self.limits));
        }
        let nothing = lines.is_empty() && events.is_empty();
        (!nothing).then_some(Batch { lines, position: None, events })
    }

    fn take(&mut self) -> Vec<Bytes> {
        let mut bytes = 0;
        let mut lines = Vec::new();
        while let Some(line) = self.ready.front() {
            bytes += line.len();
            if lines.len() == self.limits.lines_max || (bytes > self.limits.batch_bytes_max && !lines.is_empty()) {
                break;
            }
            lines.extend(self.ready.pop_front());
        }
        lines
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.source.read(&mut chunk) {
            Ok(0) => self.end(),
            Ok(count) => {
                self.held.extend_from_slice(chunk.get(..count).unwrap_or_default());
                self.split();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn split(&mut self) {
        while let Some(at) = self.held.iter().skip(self.scanned).position(|byte| *byte == b'\n') {
            let line = self.held.split_to(self.scanned + at).freeze();
            self.held.advance(1);
            self.scanned = 0;
            self.line(line);
        }
        self.scanned = self.held.len();
        if self.skipping.is_some() || self.held.len() > self.limits.line_bytes_max {
            *self.skipping.get_or_insert(0) += self.held.len() as u64;
            self.held.clear();
            self.scanned = 0;
        }
    }

    fn line(&mut self, line: Bytes) {
        let earlier = self.skipping.take();
        if earlier.is_some() || line.len() > self.limits.line_bytes_max {
            self.skipped.0 += 1;
            self.skipped.1 += earlier.unwrap_or(0) + line.len() as u64;
        } else {
            self.ready.push_back(line);
        }
    }

    fn end(&mut self) {
        self.ended = true;
        let rest = self.held.split().freeze();
        if !rest.is_empty() || self.skipping.is_some() {
            self.line(rest);
        }
    }
}

const SUBJECT: &str = "standard input";
/// One read: what a pipe holds.
const CHUNK: usize = 64 << 10;
