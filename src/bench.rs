//! The doors of the benchmarks in `benches/`: frames and the queue without a node around them. Not part of the public
//! interface.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::disk::{Queue, QueueOptions, QueueSink};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_DEFAULT, SEGMENT_BYTES};
use crate::message::{Epoch, Message, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::time::Timestamp;
use crate::wire::{Run, next_frame, put_data};

/// Numbered messages of one size.
pub struct Numbers(Vec<Numbered>);

impl Numbers {
    /// `count` messages of `bytes` each, from sequence 1.
    pub fn new(count: u64, bytes: usize) -> Self {
        let payload = Bytes::from(vec![0x5a; bytes]);
        let message = |sequence| Numbered {
            sequence: Sequence(sequence),
            priority: Priority::Normal,
            sent: Timestamp::from_unix_millis(1_790_000_000_000),
            payload: payload.clone(),
        };
        Self((1..=count).map(message).collect())
    }

    /// Appends all of them as DATA frames; answers how many frames.
    pub fn encode(&self, out: &mut BytesMut) -> usize {
        let (mut rest, mut frames) = (&self.0[..], 0);
        while !rest.is_empty() {
            let taken = put_data(out, 1, rest.iter(), FRAME_BYTES_MAX);
            assert!(taken > 0, "a message of a benchmark fits into a frame");
            rest = &rest[taken..];
            frames += 1;
        }
        frames
    }
}

/// Cuts a stream into frames, checks each and goes through its messages; answers their count and payload bytes.
///
/// # Errors
///
/// What makes a link refuse the stream.
pub fn decode(stream: &mut BytesMut) -> Result<(u64, u64)> {
    let (mut count, mut bytes) = (0, 0);
    while let Some(frame) = next_frame(stream, FRAME_BYTES_MAX)? {
        for message in Run::parse(frame.body)?.messages() {
            count += 1;
            bytes += message.payload.len() as u64;
        }
    }
    Ok((count, bytes))
}

/// An agent's queue with its writer's thread.
pub struct Log {
    queue: Queue,
    stored: Arc<Stored>,
    held: (u64, u64),
}

impl Log {
    /// Opens, or makes, the queue of this state directory; it holds up to `bytes_max`.
    ///
    /// # Errors
    ///
    /// What opening a queue finds.
    pub fn open(directory: &Path, bytes_max: u64) -> Result<Self> {
        let (queue, opened) = Queue::open(QueueOptions {
            directory: Some(directory.to_owned()),
            bytes_max,
            segment_bytes: SEGMENT_BYTES,
            commit_delay: std::time::Duration::ZERO,
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            new_epoch: Epoch(1),
            owner: Name::parse("pc1.bench.example")?,
        })?;
        let stored = Arc::new(Stored::default());
        queue.start(stored.clone())?;
        Ok(Self { queue, stored, held: (opened.held_count, opened.held_bytes) })
    }

    /// Messages and bytes that it held when it was opened.
    pub fn held(&self) -> (u64, u64) {
        self.held
    }

    /// Hands messages to the writer; answers the last sequence, not yet stored.
    ///
    /// # Errors
    ///
    /// [`crate::Code::QueueFull`].
    pub fn append(&self, messages: Vec<Message>) -> Result<u64> {
        Ok(self.queue.try_append(messages, Timestamp::from_unix_millis(1_790_000_000_000), None)?.1.0)
    }

    /// Blocks until this sequence is synced.
    ///
    /// # Errors
    ///
    /// What the writer failed with.
    pub fn wait_stored(&self, sequence: u64) -> Result<()> {
        let mut state = self.stored.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                Err(error) => return Err(error.clone()),
                Ok(stored) if *stored >= sequence => return Ok(()),
                Ok(_) => state = self.stored.rose.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Forgets everything up to this sequence.
    pub fn delivered(&self, through: u64) {
        self.queue.delivered(Sequence(through));
    }

    /// Ends the writer's thread.
    pub fn close(self) {
        self.queue.close();
    }
}

/// How far the writer is.
struct Stored {
    state: Mutex<Result<u64>>,
    rose: Condvar,
}

impl Default for Stored {
    fn default() -> Self {
        Self { state: Mutex::new(Ok(0)), rose: Condvar::new() }
    }
}

impl Stored {
    fn set(&self, state: Result<u64>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.rose.notify_all();
    }
}

impl QueueSink for Stored {
    fn durable(&self, messages: Vec<Numbered>) {
        if let Some(last) = messages.last() {
            self.set(Ok(last.sequence.0));
        }
    }

    fn read(&self, _messages: Vec<Numbered>) {}

    fn space(&self) {}

    fn event(&self, _event: Event) {}

    fn failed(&self, error: Error) {
        self.set(Err(error));
    }
}
