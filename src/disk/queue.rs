//! The queue's handle: numbers messages, admits them by quota and priority, hands them to the writer's thread.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::code::Code;
use crate::disk::StateDirectory;
use crate::disk::files::{Disk, FileDisk};
use crate::disk::lock::unusable;
use crate::disk::log::{Call, Log};
use crate::disk::memory::MemoryDisk;
use crate::disk::writer::{Rekeyed, Shared, Writer};
use crate::error::Error;
use crate::event::Event;
use crate::message::{Epoch, Message, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::queue::{Admission, Checkpoint, Quota, SourcePosition, message_bytes};
use crate::time::Timestamp;

/// How a queue is opened.
#[derive(Clone, Debug)]
pub(crate) struct QueueOptions {
    /// The node's state directory; None: the queue is in memory and lost with the process.
    pub(crate) directory: Option<PathBuf>,
    /// What undelivered messages may take, with 32 bytes each for the log's header.
    pub(crate) bytes_max: u64,
    /// When a segment is full; made smaller for a small queue, so that a queue never takes much more than `bytes_max`.
    pub(crate) segment_bytes: u64,
    /// How long the first message of a batch waits for others; zero: a sync begins at once.
    pub(crate) commit_delay: Duration,
    pub(crate) message_bytes_max: usize,
    /// A random number, used if the directory has no queue yet (rule D1).
    pub(crate) new_epoch: Epoch,
    /// Whose queue it is.
    pub(crate) owner: Name,
}

/// What an opened queue knows. The sequences are those that travel.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) epoch: Epoch,
    /// Rises with every opening; durable (rule F5).
    pub(crate) boot: u64,
    /// The first sequence given since the last boot that the group has seen (rule D1).
    pub(crate) first: Sequence,
    /// The next sequence to be given.
    pub(crate) next: Sequence,
    pub(crate) delivered: Sequence,
    /// `next` if nothing is held.
    #[cfg_attr(not(test), expect(dead_code, reason = "the node reads on from `delivered` and finds it"))]
    pub(crate) lowest_held: Sequence,
    #[cfg_attr(not(any(test, feature = "bench")), expect(dead_code, reason = "status asks the running queue"))]
    pub(crate) held_count: u64,
    #[cfg_attr(not(any(test, feature = "bench")), expect(dead_code, reason = "status asks the running queue"))]
    pub(crate) held_bytes: u64,
    pub(crate) source: Option<SourcePosition>,
    pub(crate) down_cursor: u64,
    pub(crate) events: Vec<Event>,
}

impl Opened {
    pub(crate) fn of(log: &mut Log) -> Self {
        let events = log.take_events();
        let (state, held) = (log.state(), log.index().held());
        Self {
            epoch: state.epoch,
            boot: state.boot,
            // A queue is opened, and a new epoch begins, unseen.
            first: state.sequence_of(state.unseen_first),
            next: state.sequence_of(state.next),
            delivered: state.sequence_of(state.delivered),
            lowest_held: state.sequence_of(log.index().lowest_held().unwrap_or(state.next)),
            held_count: held.count,
            held_bytes: held.bytes,
            source: state.source,
            down_cursor: state.down_cursor,
            events,
        }
    }
}

/// Who is told what the queue did. Called on the writer's thread; must not block. A sink that owns the queue keeps the
/// thread alive until `end` or `close`.
pub(crate) trait QueueSink: Send + Sync {
    /// These are durable (in a memory queue: taken); in order, each once.
    fn durable(&self, messages: Vec<Numbered>);
    /// The answer to one `read`: consecutive, from the sequence asked for or the next held one; empty if none.
    fn read(&self, messages: Vec<Numbered>);
    /// There is room again after a refusal.
    fn space(&self);
    /// Something that people should know.
    fn event(&self, event: Event);
    /// The queue cannot go on; what was not reported durable is not.
    fn failed(&self, error: Error);
}

/// A queue; clones share it. The writer's thread ends when the last clone is gone, or at `close`.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Handle>);

struct Handle {
    link: Arc<Link>,
    quota: Quota,
    message_bytes_max: usize,
    commit_delay: Duration,
    idle: Mutex<Option<(Log, Option<StateDirectory>)>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the writer's thread share.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) shared: Mutex<Shared>,
    pub(crate) wake: Condvar,
}

impl Link {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Opens the queue of a state directory, or makes one; the boot is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`Code::StateDirectoryInUse`], [`Code::StateDirectoryForeign`], [`Code::QueueFormat`],
    /// [`Code::FileUnreadable`], [`Code::QueueSyncFailed`].
    pub(crate) fn open(options: QueueOptions) -> Result<(Self, Opened), Error> {
        let Some(directory) = &options.directory else {
            return Self::open_on(Box::new(MemoryDisk::default()), None, &options);
        };
        let state = StateDirectory::lock(directory)?;
        let path = state.queue_directory();
        let disk = FileDisk::open(path.clone()).map_err(|error| unusable(&path, &error))?;
        Self::open_on(Box::new(disk), Some(state), &options)
    }

    /// Opens a queue on any disk.
    pub(crate) fn open_on(
        disk: Box<dyn Disk>,
        directory: Option<StateDirectory>,
        options: &QueueOptions,
    ) -> Result<(Self, Opened), Error> {
        let segment_bytes = options.segment_bytes.min(options.bytes_max / 8).max(SEGMENT_BYTES_MIN);
        let fresh = Checkpoint::new(options.owner.clone(), options.new_epoch);
        let mut log = Log::open(disk, segment_bytes, fresh)?;
        let mut opened = Opened::of(&mut log);
        if options.directory.is_none() {
            opened.events = vec![Event::new(Code::QueueInMemory, "queue", "")];
        }
        let link = Arc::new(Link::default());
        link.lock().begin(&log);
        let handle = Handle {
            link,
            quota: Quota { bytes_max: options.bytes_max },
            message_bytes_max: options.message_bytes_max,
            commit_delay: options.commit_delay,
            idle: Mutex::new(Some((log, directory))),
            thread: Mutex::new(None),
        };
        Ok((Self(Arc::new(handle)), opened))
    }

    /// Starts the writer's thread. What was appended before waits until now. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] if the system gives no thread.
    pub(crate) fn start(&self, sink: Arc<dyn QueueSink>) -> Result<(), Error> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((log, directory)) = idle else { return Ok(()) };
        let writer = Writer::new(log, self.0.link.clone(), sink, self.0.commit_delay);
        let run = move || {
            writer.run();
            drop(directory);
        };
        let thread = std::thread::Builder::new().name("farpost-queue".to_owned()).spawn(run).map_err(|error| {
            self.0.link.lock().closing = true;
            Error::new(Code::Internal).found(format!("no thread for the queue: {error}"))
        })?;
        *self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Numbers the messages and hands them to the writer: all of them, with the position of the input that they were
    /// read from, or none. Never waits for the disk. Without messages only the position is kept.
    ///
    /// Answers the first and the last sequence (the last is below the first if there is no message).
    ///
    /// # Errors
    ///
    /// [`Code::QueueFull`]: wait for `space`; [`Code::MessageTooLarge`]: never; [`Code::Closed`]; what the writer
    /// failed with.
    pub(crate) fn try_append(
        &self,
        messages: impl AsRef<[Message]>,
        sent: Timestamp,
        source: Option<SourcePosition>,
    ) -> Result<(Sequence, Sequence), Error> {
        let mut bytes = 0;
        let mut priority = Priority::Critical;
        let messages = messages.as_ref();
        for message in messages {
            self.check_length(message.payload.len())?;
            bytes += message_bytes(message.payload.len());
            priority = priority.min(message.priority);
        }
        let mut numbered: Vec<Numbered> = messages.iter().map(|message| unnumbered(message, sent)).collect();
        let mut shared = self.0.link.lock();
        shared.check_open()?;
        if let Err(error) = self.admit(&shared, bytes, numbered.len(), priority) {
            // The writer looks whether what was delivered meanwhile makes room.
            shared.refused |= error.code() == Code::QueueFull;
            drop(shared);
            self.0.link.wake.notify_one();
            return Err(error);
        }
        let first = shared.next - shared.base;
        for (sequence, message) in (first..).zip(&mut numbered) {
            message.sequence = Sequence(sequence);
        }
        shared.next += numbered.len() as u64;
        let last = Sequence(shared.next - shared.base - 1);
        let base = shared.base;
        shared.push(Call { messages: numbered, base, bytes, sent, source, rekey: None }, None);
        drop(shared);
        self.0.link.wake.notify_one();
        Ok((Sequence(first), last))
    }

    fn check_length(&self, length: usize) -> Result<(), Error> {
        if length <= self.0.message_bytes_max {
            return Ok(());
        }
        Err(Error::new(Code::MessageTooLarge)
            .found(format!("{length} bytes"))
            .expected(format!("at most {}", self.0.message_bytes_max)))
    }

    fn admit(&self, shared: &Shared, bytes: u64, count: usize, priority: Priority) -> Result<(), Error> {
        let held = shared.held.bytes + shared.waiting_bytes;
        let waits = shared.waiting_bytes > 0 && shared.waiting_bytes + bytes > WAITING_BYTES_MAX;
        match self.0.quota.admit(held, bytes, priority) {
            _ if count == 0 => Ok(()),
            Admission::Admitted if !waits => Ok(()),
            Admission::Admitted => Err(Error::new(Code::QueueFull)
                .found(format!("{} bytes that the disk has not taken yet", shared.waiting_bytes))
                .remedy("wait until the disk has taken them")),
            Admission::Full => Err(Error::new(Code::QueueFull)
                .found(format!("{held} bytes held, {bytes} more"))
                .expected(format!("at most {} for priority {priority:?}", self.0.quota.limit(priority)))),
            Admission::Never => Err(Error::new(Code::MessageTooLarge)
                .found(format!("{count} messages of {bytes} bytes together"))
                .expected(format!("at most {} at once", self.0.quota.limit(priority)))
                .remedy("send fewer at once, or raise queue.bytes_max")),
        }
    }

    /// Everything up to here was delivered (rule D3): forgotten at once, written with the next batch.
    pub(crate) fn delivered(&self, through: Sequence) {
        let mut shared = self.0.link.lock();
        let log = through.0.saturating_add(shared.base).min(shared.next - 1);
        if log <= shared.delivered {
            return;
        }
        shared.delivered = log;
        if log >= shared.attention || shared.refused {
            drop(shared);
            self.0.link.wake.notify_one();
        }
    }

    /// Makes the downstream cursor durable, then calls `done` on the writer's thread (rule D8).
    pub(crate) fn set_down_cursor(&self, number: u64, done: Box<dyn FnOnce() + Send>) {
        let mut shared = self.0.link.lock();
        shared.down_cursor = Some(shared.down_cursor.map_or(number, |waiting| waiting.max(number)));
        shared.down_done.push(done);
        drop(shared);
        self.0.link.wake.notify_one();
    }

    /// Makes durable that the group has seen this boot under `epoch`, then calls `done` on the writer's thread: from now
    /// on its messages may leave, and the next boot's first sequence is one that this boot did not give (rule D1).
    ///
    /// On a full disk `done` comes first: only what is sent and delivered makes space. A crash before there is some
    /// then costs a new epoch, which repeats messages, and loses none.
    pub(crate) fn keep_seen(&self, epoch: Epoch, done: Box<dyn FnOnce() + Send>) {
        let mut shared = self.0.link.lock();
        shared.seen = Some(epoch);
        shared.seen_done.push(done);
        drop(shared);
        self.0.link.wake.notify_one();
    }

    /// Asks for held messages; the answer comes by `QueueSink::read`, one per call, in the order of the calls.
    pub(crate) fn read(&self, from: Sequence, bytes_max: usize) {
        self.0.link.lock().reads.push_back((from, bytes_max));
        self.0.link.wake.notify_one();
    }

    /// Begins a new epoch (rule D1, rolled back): what is undelivered is numbered anew from 1, at once for what is
    /// appended after this call. `done` is called on the writer's thread when it is durable; what was reported
    /// durable before then has old numbers, and all that is held can be read under the new ones.
    pub(crate) fn rekey(&self, epoch: Epoch, done: Rekeyed) {
        let mut shared = self.0.link.lock();
        shared.base = shared.delivered;
        let base = shared.base;
        let call = Call {
            messages: Vec::new(),
            base,
            bytes: 0,
            sent: Timestamp::default(),
            source: None,
            rekey: Some((epoch, base)),
        };
        shared.push(call, Some(done));
        drop(shared);
        self.0.link.wake.notify_one();
    }

    /// Undelivered messages, their bytes, and when the oldest was sent.
    pub(crate) fn held(&self) -> crate::queue::Held {
        let shared = self.0.link.lock();
        let mut held = shared.held;
        held.count += shared.waiting_count;
        held.bytes += shared.waiting_bytes;
        held
    }

    /// The lowest sequence that is held and not delivered; the next one to be given if nothing is (rule D9).
    #[cfg(test)]
    pub(crate) fn lowest_held(&self) -> Sequence {
        let shared = self.0.link.lock();
        let durable = shared.lowest_held.max(shared.delivered + 1);
        let waiting = shared.next - shared.waiting_count;
        Sequence(durable.min(waiting.max(shared.delivered + 1)) - shared.base)
    }

    /// Lets the thread write what waits, end, and give the state directory back. Does not wait for it.
    pub(crate) fn end(&self) {
        self.0.end();
    }

    /// Writes what waits, ends the thread, gives the state directory back. Blocks; not to be called by the sink.
    pub(crate) fn close(&self) {
        self.end();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the sink ended the thread; there is nothing left to wait for.
            let _ = thread.join();
        }
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Handle {
    fn end(&self) {
        self.link.lock().closing = true;
        self.link.wake.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

fn unnumbered(message: &Message, sent: Timestamp) -> Numbered {
    Numbered { sequence: Sequence::NONE, priority: message.priority, sent, payload: message.payload.clone() }
}

/// A preface, and some batches before the next.
const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// What may wait in memory for the disk, unless one call alone is more (rule D7).
const WAITING_BYTES_MAX: u64 = 16 << 20;
