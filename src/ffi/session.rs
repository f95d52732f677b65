//! `farpost_session_t`: a running agent (later: a gateway or management server too), behind the functions of `calls`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::ffi::arguments::{Sized32, invalid};
use crate::ffi::doorbell::{Doorbell, Waited};
use crate::ffi::event::{EventObject, Ready};
use crate::ffi::port::{Port, Stage, Watermarks};
use crate::ffi::threads::{Threads, may_block};
use crate::message::{Message, Priority, Sequence};

/// Like FARPOST_PRIORITY_NORMAL.
pub const FARPOST_PRIORITY_DEFAULT: i32 = 0;
/// Refused or dropped first.
pub const FARPOST_PRIORITY_BULK: i32 = 1;
/// What most messages are.
pub const FARPOST_PRIORITY_NORMAL: i32 = 2;
/// Never dropped for the others.
pub const FARPOST_PRIORITY_CRITICAL: i32 = 3;

/// On this computer's disk: survives the process and power loss.
pub const FARPOST_STAGE_STORED: i32 = 1;
/// On a gateway's disk, or further.
pub const FARPOST_STAGE_RELAYED: i32 = 2;
/// Acknowledged by the application at the management server.
pub const FARPOST_STAGE_DELIVERED: i32 = 3;

/// Options of farpost_session_send. Set struct_size to sizeof the struct and all else to 0, then what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// sizeof(farpost_send_options_t).
    pub struct_size: u32,
    /// A FARPOST_PRIORITY_ constant.
    pub priority: i32,
}

// SAFETY: two 32-bit numbers without padding, the first is the size.
unsafe impl Sized32 for SendOptions {
    const FIRST_SIZE: usize = 8;

    fn defaults() -> Self {
        Self { struct_size: 0, priority: FARPOST_PRIORITY_DEFAULT }
    }
}

/// How far the messages are: each number covers all sequences up to itself; 0 covers none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// sizeof(farpost_receipt_t), set by the caller.
    pub struct_size: u32,
    /// 1 if the queue is on disk; 0 if it is in memory: then `stored` never comes.
    pub durable: u32,
    /// On this computer's disk.
    pub stored: u64,
    /// On a gateway's disk.
    pub relayed: u64,
    /// Acknowledged by the application at the management server.
    pub delivered: u64,
}

// SAFETY: two 32-bit and three 64-bit numbers without padding, the first is the size.
unsafe impl Sized32 for Receipt {
    const FIRST_SIZE: usize = 32;

    fn defaults() -> Self {
        Self { struct_size: 0, durable: 0, stored: 0, relayed: 0, delivered: 0 }
    }
}

/// A running node. Any thread may use it; farpost_session_free alone must not race with another call.
pub struct Session {
    /// The process that opened it.
    pub(super) home: u32,
    /// A panic happened in a call: no further one is trusted.
    poisoned: AtomicBool,
    closed: AtomicBool,
    durable: bool,
    port: Arc<dyn Port>,
    bells: Arc<Bells>,
    /// What the next poll gives. One item is taken ahead, to know whether the descriptor must stay readable.
    ahead: Mutex<Option<Ready>>,
    threads: Threads,
}

/// What the node's threads touch: never a lock.
pub(super) struct Bells {
    doorbell: Doorbell,
    /// A message was refused for lack of space since the program was last told of space.
    wants_space: AtomicBool,
    /// There may be space again.
    writable: AtomicBool,
}

impl Bells {
    /// Something may wait: an event, a message, space. Called by the node's threads.
    pub(super) fn notify(&self) {
        if self.wants_space.swap(false, SeqCst) {
            self.writable.store(true, SeqCst);
        }
        self.doorbell.ring();
    }
}

impl Session {
    /// Starts a node: `start` runs on the session's threads.
    pub(super) fn open(
        durable: bool,
        start: impl FnOnce(&Threads, Arc<Bells>) -> Result<Arc<dyn Port>>,
    ) -> Result<Self> {
        may_block()?;
        let bells = Arc::new(Bells {
            doorbell: Doorbell::new()?,
            wants_space: AtomicBool::new(false),
            writable: AtomicBool::new(false),
        });
        let threads = Threads::start()?;
        let port = match start(&threads, Arc::clone(&bells)) {
            Ok(port) => port,
            Err(failure) => {
                threads.finish(());
                return Err(failure);
            }
        };
        Ok(Self {
            home: std::process::id(),
            poisoned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            durable,
            port,
            bells,
            ahead: Mutex::new(None),
            threads,
        })
    }

    pub(super) fn send(&self, payload: &[u8], priority: Priority) -> Result<Sequence> {
        self.open_only()?;
        let message = Message::new(Bytes::copy_from_slice(payload)).priority(priority);
        match self.port.try_send(message.clone()) {
            Err(full) if full.code() == Code::QueueFull => {
                // Space that came before the wish was known was not announced: try once more.
                self.bells.wants_space.store(true, SeqCst);
                let sequence = self.port.try_send(message)?;
                self.bells.wants_space.store(false, SeqCst);
                Ok(sequence)
            }
            result => result,
        }
    }

    pub(super) fn receipt(&self) -> Receipt {
        let Watermarks { stored, relayed, delivered } = self.port.watermarks();
        let durable = u32::from(self.durable);
        Receipt { durable, stored: stored.0, relayed: relayed.0, delivered: delivered.0, ..Receipt::defaults() }
    }

    pub(super) fn poll(&self, timeout_ms: i32) -> Result<EventObject> {
        if timeout_ms != 0 {
            may_block()?;
        }
        let deadline = deadline(timeout_ms);
        loop {
            if let Some(ready) = self.take_ready() {
                return Ok(EventObject::new(ready));
            }
            self.open_only()?;
            let over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            if over || self.bells.doorbell.wait(deadline) != Waited::Rung {
                return Err(Error::new(Code::WouldBlock));
            }
        }
    }

    fn take_ready(&self) -> Option<Ready> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = ahead.take().or_else(|| self.next_ready());
        *ahead = self.next_ready();
        if ahead.is_none() {
            self.bells.doorbell.quiet();
            *ahead = self.next_ready();
        }
        if taken.is_none() && ahead.is_some() {
            taken = ahead.take();
            *ahead = self.next_ready();
        }
        if ahead.is_some() || self.closed.load(SeqCst) {
            self.bells.doorbell.ring();
        }
        taken
    }

    fn next_ready(&self) -> Option<Ready> {
        if self.bells.doorbell.take_wake() {
            return Some(Ready::Wakeup);
        }
        if self.bells.writable.swap(false, SeqCst) {
            return Some(Ready::Writable);
        }
        let notice = self.port.try_event().map(Ready::Notice);
        notice.or_else(|| self.port.try_receive().map(Ready::Message))
    }

    pub(super) fn flush(&self, stage: i32, sequence: u64, timeout_ms: i32) -> Result<()> {
        may_block()?;
        let stage = match stage {
            FARPOST_STAGE_STORED => Stage::Stored,
            FARPOST_STAGE_RELAYED => Stage::Relayed,
            FARPOST_STAGE_DELIVERED => Stage::Delivered,
            _ => return Err(invalid("stage", stage.to_string(), "a FARPOST_STAGE_ constant")),
        };
        let reached = self.port.reached(stage, (sequence != 0).then_some(Sequence(sequence)));
        let Some(within) = span(timeout_ms) else { return self.threads.run(None, reached)? };
        // The session's own timer ends it, so that nothing goes on waiting behind a caller who went away.
        let waited = self.threads.run(None, async move { tokio::time::timeout(within, reached).await })?;
        waited.unwrap_or_else(|_| {
            let Watermarks { stored, relayed, delivered } = self.port.watermarks();
            let found = format!("stored up to {stored}, relayed up to {relayed}, delivered up to {delivered}");
            Err(Error::new(Code::TimedOut).subject("flush").found(found))
        })
    }

    pub(super) fn reload_identity(&self, timeout_ms: i32) -> Result<()> {
        may_block()?;
        self.open_only()?;
        let reloaded = self.port.reload_identity();
        let Some(within) = span(timeout_ms) else { return self.threads.run(None, reloaded)? };
        let waited = self.threads.run(None, async move { tokio::time::timeout(within, reloaded).await })?;
        waited.unwrap_or_else(|_| Err(Error::new(Code::TimedOut).subject("the reload of the identity")))
    }

    pub(super) fn close(&self, timeout_ms: i32) -> Result<()> {
        may_block()?;
        if self.closed.swap(true, SeqCst) {
            return Ok(());
        }
        self.bells.doorbell.ring(); // a poll that waits ends
        let within = span(timeout_ms);
        let closing = self.port.close(within.unwrap_or(FOREVER));
        self.threads.run(within.map(|within| within + CLOSE_GRACE), closing)?
    }

    /// Runs the body of a call, unless an earlier one panicked; a panic poisons the session and goes on to the guard.
    pub(super) fn run(&self, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if self.poisoned.load(SeqCst) {
            return Err(Error::new(Code::Poisoned));
        }
        catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or_else(|payload| {
            self.poisoned.store(true, SeqCst);
            resume_unwind(payload)
        })
    }

    /// Ends the node and its threads, which may take seconds, but not for ever.
    pub(super) fn finish(self) {
        self.threads.finish((self.port, self.ahead));
    }

    /// What the program waits for.
    pub(super) fn doorbell(&self) -> &Doorbell {
        &self.bells.doorbell
    }

    fn open_only(&self) -> Result<()> {
        if self.closed.load(SeqCst) { Err(Error::new(Code::Closed)) } else { Ok(()) }
    }
}

/// Refuses a child process that was forked off: the threads of a session are not in it.
pub(super) fn home_only(home: u32) -> Result<()> {
    if std::process::id() == home { Ok(()) } else { Err(Error::new(Code::Forked)) }
}

fn deadline(timeout_ms: i32) -> Option<Instant> {
    span(timeout_ms).map(|timeout| Instant::now() + timeout)
}

/// None, without limit, for a negative number.
fn span(timeout_ms: i32) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

/// What a close may take beyond its time before it is given up: the links take 3 s at most, and then the disk.
const CLOSE_GRACE: Duration = Duration::from_secs(4);
/// Without limit.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

// "Any thread" in the header: raw pointers pass by the compiler's own check of these.
const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<Session>();
    any_thread::<EventObject>();
};
