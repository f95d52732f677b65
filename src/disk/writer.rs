//! The writer's thread: takes what waits, commits it as one batch, tells the sink, reads, reclaims.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::disk::log::{Call, Log, Work};
use crate::disk::queue::{Link, Opened, QueueSink};
use crate::error::Error;
use crate::event::Event;
use crate::message::{Epoch, Sequence};
use crate::queue::{BatchWriter, Held};

/// What is called when a new epoch is durable.
pub(crate) type Rekeyed = Box<dyn FnOnce(Opened) + Send>;
/// What is called when the downstream cursor, or that the group has seen the boot, is durable.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// The state under the queue's one lock; sequences are the log's.
#[derive(Default)]
pub(crate) struct Shared {
    calls: VecDeque<(Call, Option<Rekeyed>)>,
    /// Of calls that are not durable yet, those being written included.
    pub(crate) waiting_bytes: u64,
    pub(crate) waiting_count: u64,
    /// The next sequence.
    pub(crate) next: u64,
    pub(crate) base: u64,
    pub(crate) delivered: u64,
    /// The writer wants to be woken when `delivered` reaches this.
    pub(crate) attention: u64,
    /// What is durable and undelivered, as of the writer's last look.
    pub(crate) held: Held,
    /// The lowest of it; `u64::MAX` if nothing is.
    pub(crate) lowest_held: u64,
    pub(crate) down_cursor: Option<u64>,
    pub(crate) down_done: Vec<Done>,
    /// The epoch under which the group has seen this boot, until that is durable.
    pub(crate) seen: Option<Epoch>,
    pub(crate) seen_done: Vec<Done>,
    pub(crate) reads: VecDeque<(Sequence, usize)>,
    /// Somebody was refused and waits for space.
    pub(crate) refused: bool,
    pub(crate) closing: bool,
    failed: Option<Error>,
}

impl Shared {
    pub(crate) fn begin(&mut self, log: &Log) {
        let state = log.state();
        (self.next, self.base, self.delivered) = (state.next, state.base, state.delivered);
        self.look_at(log);
    }

    fn look_at(&mut self, log: &Log) {
        self.held = log.index().held();
        self.lowest_held = log.index().lowest_held().unwrap_or(u64::MAX);
        self.attention = log.index().attention();
    }

    pub(crate) fn push(&mut self, call: Call, rekeyed: Option<Rekeyed>) {
        self.waiting_bytes += call.bytes;
        self.waiting_count += call.messages.len() as u64;
        self.calls.push_back((call, rekeyed));
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.closing => Err(Error::new(Code::Closed).subject("queue")),
            None => Ok(()),
        }
    }

    fn has_work(&self) -> bool {
        !self.calls.is_empty() || !self.down_done.is_empty() || self.seen.is_some()
    }

    fn has_news(&self) -> bool {
        self.has_work() || !self.reads.is_empty() || self.closing
    }

    /// Calls for one batch, at least one if any waits.
    fn take_calls(&mut self) -> Vec<(Call, Option<Rekeyed>)> {
        let mut bytes = 0;
        let mut count = 0;
        let base = self.calls.front().map(|(call, _)| call.sent).unwrap_or_default();
        for (call, _) in &self.calls {
            bytes += call.bytes;
            let fits = bytes <= BATCH_BYTES && count < BATCH_CALLS && BatchWriter::takes_time(base, call.sent);
            if count > 0 && !fits {
                break;
            }
            count += 1;
            if call.rekey.is_some() {
                // What follows has numbers of the new epoch; it is reported after the new epoch is.
                break;
            }
        }
        self.calls.drain(..count).collect()
    }
}

/// The thread's own.
pub(crate) struct Writer {
    log: Log,
    link: Arc<Link>,
    sink: Arc<dyn QueueSink>,
    commit_delay: Duration,
    /// The watermark up to which the log has reclaimed.
    reclaimed: u64,
}

struct Turn {
    work: Work,
    /// Of the last call, if it began a new epoch.
    rekeyed: Option<Rekeyed>,
    done: Vec<Done>,
    seen_done: Vec<Done>,
    read: Option<(Sequence, usize)>,
    delivered: u64,
    last: bool,
}

impl Writer {
    pub(crate) fn new(log: Log, link: Arc<Link>, sink: Arc<dyn QueueSink>, commit_delay: Duration) -> Self {
        let reclaimed = log.state().delivered;
        Self { log, link, sink, commit_delay, reclaimed }
    }

    /// Runs until the queue is closed or fails.
    pub(crate) fn run(mut self) {
        loop {
            let turn = self.next_turn();
            let last = turn.last;
            let delivered = turn.delivered;
            if let Err(error) =
                self.take_turn(turn).and_then(|()| if last { self.log.close(delivered) } else { Ok(()) })
            {
                self.fail(error);
                return;
            }
            if last {
                return;
            }
        }
    }

    fn next_turn(&self) -> Turn {
        let mut shared = self.link.lock();
        while !shared.has_news() && !self.can_reclaim(&shared) {
            shared = wait(&self.link, shared, None);
        }
        if !self.commit_delay.is_zero() {
            shared = self.gather(shared);
        }
        let (calls, mut rekeyed): (Vec<Call>, Vec<Option<Rekeyed>>) = shared.take_calls().into_iter().unzip();
        let rekeyed = rekeyed.pop().flatten();
        let delivered = shared.delivered;
        let rose = delivered > self.log.state().delivered;
        let read = shared.reads.pop_front();
        Turn {
            work: Work {
                calls,
                delivered: rose.then_some(delivered),
                down_cursor: shared.down_cursor.take(),
                seen: shared.seen.take(),
            },
            rekeyed,
            done: std::mem::take(&mut shared.down_done),
            seen_done: std::mem::take(&mut shared.seen_done),
            read,
            delivered,
            last: shared.closing && shared.calls.is_empty() && shared.reads.is_empty(),
        }
    }

    fn can_reclaim(&self, shared: &Shared) -> bool {
        shared.delivered > self.reclaimed && (shared.delivered >= shared.attention || shared.refused)
    }

    /// Lets the first of a batch wait for others; what somebody waits for, and a read, do not wait.
    fn gather<'a>(&self, mut shared: MutexGuard<'a, Shared>) -> MutexGuard<'a, Shared> {
        let until = Instant::now() + self.commit_delay;
        loop {
            let awaited = !shared.down_done.is_empty() || shared.seen.is_some();
            let urgent = shared.closing || awaited || !shared.reads.is_empty();
            let rest = until.saturating_duration_since(Instant::now());
            if urgent || shared.calls.is_empty() || shared.waiting_bytes >= BATCH_BYTES || rest.is_zero() {
                return shared;
            }
            shared = wait(&self.link, shared, Some(rest));
        }
    }

    fn take_turn(&mut self, turn: Turn) -> Result<(), Error> {
        let Turn { work, rekeyed, done, mut seen_done, read, delivered, .. } = turn;
        if !work.calls.is_empty() || !done.is_empty() || work.seen.is_some() {
            self.commit(&work, &mut seen_done)?;
        }
        self.reclaim(delivered);
        let space = self.publish(&work);
        self.tell_durable(work, rekeyed);
        done.into_iter().chain(seen_done).for_each(|done| done());
        self.answer(read);
        if space {
            self.sink.space();
        }
        self.log.take_events().into_iter().for_each(|event| self.sink.event(event));
        Ok(())
    }

    /// Commits; a full disk is waited for, since what was accepted must not be lost. Meanwhile messages may leave, for
    /// what is delivered makes space: see [`Queue::keep_seen`](crate::disk::Queue::keep_seen).
    fn commit(&mut self, work: &Work, seen_done: &mut Vec<Done>) -> Result<(), Error> {
        let mut told = false;
        loop {
            let Err(error) = self.log.commit(work) else { return Ok(()) };
            self.log.take_events().into_iter().for_each(|event| self.sink.event(event));
            if !self.log.disk_is_full() || self.link.lock().closing {
                return Err(error);
            }
            if !told {
                self.sink.event(Event::of_error("queue", &error));
                told = true;
            }
            seen_done.drain(..).for_each(|done| done());
            self.wait_for_space();
        }
    }

    /// Lets time pass before the next attempt; what is delivered meanwhile is reclaimed, which may be the space.
    fn wait_for_space(&mut self) {
        let until = Instant::now() + FULL_DISK_WAIT;
        loop {
            let mut shared = self.link.lock();
            while shared.reads.is_empty() && shared.seen_done.is_empty() && !self.can_reclaim(&shared) {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() || shared.closing {
                    return;
                }
                shared = wait(&self.link, shared, Some(rest));
            }
            let (delivered, read) = (shared.delivered, shared.reads.pop_front());
            let seen_done = std::mem::take(&mut shared.seen_done);
            drop(shared);
            seen_done.into_iter().for_each(|done| done());
            self.reclaim(delivered);
            self.link.lock().look_at(&self.log);
            self.answer(read);
        }
    }

    fn reclaim(&mut self, delivered: u64) {
        if delivered > self.reclaimed {
            self.log.reclaim(delivered);
            self.reclaimed = delivered;
        }
    }

    fn answer(&mut self, read: Option<(Sequence, usize)>) {
        if let Some((from, bytes_max)) = read {
            let messages = self.log.read(from, bytes_max);
            self.sink.read(messages);
        }
    }

    /// Says what is held now. Answers whether somebody who was refused should try again.
    fn publish(&self, work: &Work) -> bool {
        let mut shared = self.link.lock();
        let before = shared.held.bytes + shared.waiting_bytes;
        let bytes: u64 = work.calls.iter().map(|call| call.bytes).sum();
        shared.waiting_bytes -= bytes;
        shared.waiting_count -= work.calls.iter().map(|call| call.messages.len() as u64).sum::<u64>();
        shared.look_at(&self.log);
        let less = bytes > 0 || shared.held.bytes + shared.waiting_bytes < before;
        less && std::mem::take(&mut shared.refused)
    }

    fn tell_durable(&mut self, work: Work, rekeyed: Option<Rekeyed>) {
        let mut calls = work.calls.into_iter();
        let mut messages = calls.next().map(|call| call.messages).unwrap_or_default();
        for call in calls {
            messages.extend(call.messages);
        }
        if !messages.is_empty() {
            self.sink.durable(messages);
        }
        if let Some(rekeyed) = rekeyed {
            rekeyed(Opened::of(&mut self.log));
        }
    }

    fn fail(self, error: Error) {
        self.link.lock().failed = Some(error.clone());
        self.sink.failed(error);
    }
}

impl Drop for Writer {
    /// However the thread ends, nobody goes on appending to a queue that nobody writes.
    fn drop(&mut self) {
        let mut shared = self.link.lock();
        shared.failed.get_or_insert_with(|| Error::new(Code::Closed).subject("queue"));
        let calls = std::mem::take(&mut shared.calls);
        let done = (std::mem::take(&mut shared.down_done), std::mem::take(&mut shared.seen_done));
        shared.reads.clear();
        drop(shared);
        // They promise what did not become durable: dropped, not called; and not under the lock.
        drop((calls, done));
    }
}

fn wait<'a>(link: &Link, shared: MutexGuard<'a, Shared>, most: Option<Duration>) -> MutexGuard<'a, Shared> {
    match most {
        None => link.wake.wait(shared).unwrap_or_else(PoisonError::into_inner),
        Some(most) => link.wake.wait_timeout(shared, most).unwrap_or_else(PoisonError::into_inner).0,
    }
}

/// What one batch takes in, unless one call alone is more: what a disk writes in a few milliseconds.
const BATCH_BYTES: u64 = 4 << 20;
/// Calls of one batch: bounds the positions and the vectors that ride in it.
const BATCH_CALLS: usize = 65_536;
/// Between two attempts on a full disk.
const FULL_DISK_WAIT: Duration = Duration::from_secs(1);
