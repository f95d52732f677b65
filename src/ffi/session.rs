//! `farpost_session_t`: a running agent (later: a gateway or management server too).

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::ffi::agent;
use crate::ffi::arguments::{Sized32, bytes, fill, invalid, object, options, output};
use crate::ffi::config::ConfigObject;
use crate::ffi::doorbell::{Doorbell, Waited};
use crate::ffi::error::ErrorObject;
use crate::ffi::event::{EventObject, Ready};
use crate::ffi::port::{Port, Watermarks};
use crate::ffi::status::{Status, guard, quietly};
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
    /// The highest sequence that was sent in this session.
    sent: AtomicU64,
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
            sent: AtomicU64::new(0),
            port,
            bells,
            ahead: Mutex::new(None),
            threads,
        })
    }

    fn send(&self, payload: &[u8], priority: Priority) -> Result<Sequence> {
        self.open_only()?;
        let message = Message::new(Bytes::copy_from_slice(payload)).priority(priority);
        let sequence = match self.port.try_send(message.clone()) {
            Err(full) if full.code() == Code::QueueFull => {
                // Space that came before the wish was known was not announced: try once more.
                self.bells.wants_space.store(true, SeqCst);
                let sequence = self.port.try_send(message)?;
                self.bells.wants_space.store(false, SeqCst);
                sequence
            }
            result => result?,
        };
        self.sent.fetch_max(sequence.0, SeqCst);
        Ok(sequence)
    }

    fn receipt(&self) -> Receipt {
        let Watermarks { stored, relayed, delivered } = self.port.watermarks();
        let durable = u32::from(self.durable);
        Receipt { durable, stored: stored.0, relayed: relayed.0, delivered: delivered.0, ..Receipt::defaults() }
    }

    fn poll(&self, timeout_ms: i32) -> Result<EventObject> {
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

    fn flush(&self, stage: i32, sequence: u64, timeout_ms: i32) -> Result<()> {
        may_block()?;
        let reached: fn(&Receipt) -> u64 = match stage {
            FARPOST_STAGE_STORED if !self.durable => return Err(Error::new(Code::QueueInMemory)),
            FARPOST_STAGE_STORED => |receipt| receipt.stored,
            FARPOST_STAGE_RELAYED => |receipt| receipt.relayed.max(receipt.delivered),
            FARPOST_STAGE_DELIVERED => |receipt| receipt.delivered,
            _ => return Err(invalid("stage", stage.to_string(), "a FARPOST_STAGE_ constant")),
        };
        let goal = if sequence == 0 { self.sent.load(SeqCst) } else { sequence };
        let deadline = deadline(timeout_ms);
        let mut pause = PAUSE_MIN;
        while reached(&self.receipt()) < goal {
            self.open_only()?;
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if rest == Some(Duration::ZERO) {
                let found = format!("{} of {goal}", reached(&self.receipt()));
                return Err(Error::new(Code::TimedOut).subject("flush").found(found));
            }
            std::thread::sleep(rest.map_or(pause, |rest| rest.min(pause)));
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    fn close(&self, timeout_ms: i32) -> Result<()> {
        may_block()?;
        if self.closed.swap(true, SeqCst) {
            return Ok(());
        }
        self.bells.doorbell.ring(); // a poll that waits ends
        let within = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        let closing = self.port.close(within.unwrap_or(FOREVER));
        self.threads.run(within.map(|within| within + CLOSE_GRACE), closing)?
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
    u64::try_from(timeout_ms).ok().map(|timeout| Instant::now() + Duration::from_millis(timeout))
}

fn priority(number: i32) -> Result<Priority> {
    match number {
        FARPOST_PRIORITY_BULK => Ok(Priority::Bulk),
        FARPOST_PRIORITY_DEFAULT | FARPOST_PRIORITY_NORMAL => Ok(Priority::Normal),
        FARPOST_PRIORITY_CRITICAL => Ok(Priority::Critical),
        _ => Err(invalid("options.priority", number.to_string(), "a FARPOST_PRIORITY_ constant")),
    }
}

/// Runs the body of a call on a session: NULL, a forked child and an earlier panic are refused, and a panic
/// poisons the session.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `error` is NULL or may be written.
unsafe fn call(
    session: *const Session,
    error: *mut *mut ErrorObject,
    body: impl FnOnce(&Session) -> Result<()>,
) -> Status {
    let guarded = || {
        // SAFETY: the caller passes NULL or a live object.
        let session = unsafe { object(session, "session") }?;
        home_only(session.home)?;
        if session.poisoned.load(SeqCst) {
            return Err(Error::new(Code::Poisoned));
        }
        catch_unwind(AssertUnwindSafe(|| body(session))).unwrap_or_else(|payload| {
            session.poisoned.store(true, SeqCst);
            resume_unwind(payload)
        })
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, guarded) }
}

/// Opens a session: starts the node that the configuration describes. The configuration is copied and may be freed.
/// Any thread but the library's; blocks while the queue on disk is opened, not for a connection.
///
/// # Safety
///
/// `config` is NULL or not freed yet; `session` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_open(
    config: *const ConfigObject,
    session: *mut *mut Session,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        // SAFETY: the caller passes NULL or a live object.
        let config = unsafe { object(config, "config") }?.snapshot();
        let target = output(session, "session")?;
        let durable = config.state_directory.is_some();
        let opened = Session::open(durable, |threads, bells| agent::start(config, threads, bells))?;
        // SAFETY: not null, and the caller allows the write.
        unsafe { target.write(Box::into_raw(Box::new(opened))) };
        Ok(())
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// The descriptor to wait for with poll(2), epoll or an event loop: readable while farpost_session_poll has something to
/// give (rarely when another thread was faster: then poll gives FARPOST_ERR_WOULD_BLOCK), and from the close of the
/// session on. It is the library's: do not read, write or close it. -1 for NULL and in a forked child. Any
/// thread; does not block.
///
/// # Safety
///
/// `session` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_fd(session: *const Session) -> c_int {
    // SAFETY: the caller passes NULL or a live object.
    let session = unsafe { session.as_ref() }.filter(|session| home_only(session.home).is_ok());
    session.map_or(-1, |session| session.bells.doorbell.number())
}

/// Takes the next event. Waits for one up to `timeout_ms`; 0 does not wait, a negative number waits without limit.
/// FARPOST_ERR_WOULD_BLOCK if none came, or if a signal handler ran meanwhile. The caller frees the event. Any thread,
/// with a timeout none of the library's.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `event` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_poll(
    session: *mut Session,
    timeout_ms: i32,
    event: *mut *mut EventObject,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = |session: &Session| {
        let target = output(event, "event")?;
        let taken = session.poll(timeout_ms)?;
        // SAFETY: not null, and the caller allows the write.
        unsafe { target.write(Box::into_raw(Box::new(taken))) };
        Ok(())
    };
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { call(session, error, body) }
}

/// Makes the descriptor readable and gives a FARPOST_EVENT_WAKEUP to the next poll. Several calls may give one event.
/// NULL is allowed. Any thread; async-signal-safe.
///
/// # Safety
///
/// `session` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_wakeup(session: *const Session) {
    // SAFETY: the caller passes NULL or a live object.
    if let Some(session) = unsafe { session.as_ref() }.filter(|session| home_only(session.home).is_ok()) {
        session.bells.doorbell.wake();
    }
}

/// Sends a message: copies its bytes into the queue. `(NULL, 0)` is an empty message. FARPOST_ERR_FULL if the queue is
/// full: wait for FARPOST_EVENT_WRITABLE. `options` and `sequence` may be NULL. Any thread; does not block.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `length` bytes can be read at `data`; `options` is NULL or as large as its
/// struct_size says; `sequence` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_send(
    session: *mut Session,
    data: *const u8,
    length: usize,
    options: *const SendOptions,
    sequence: *mut u64,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = |session: &Session| {
        // SAFETY: the caller vouches for the options and the bytes.
        let (given, payload) = unsafe { (self::options(options, "options")?, bytes(data, length, "data")?) };
        let number = session.send(payload, priority(given.priority)?)?;
        if !sequence.is_null() {
            // SAFETY: not null, and the caller allows the write.
            unsafe { sequence.write(number.0) };
        }
        Ok(())
    };
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { call(session, error, body) }
}

/// Tells how far the messages are. Set `receipt->struct_size` first. Any thread; does not block.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `receipt` is NULL or as large as its struct_size says; `error` is NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_receipt(
    session: *const Session,
    receipt: *mut Receipt,
    error: *mut *mut ErrorObject,
) -> Status {
    // SAFETY: the caller passes NULL or a live object, vouches for the receipt, and allows the write.
    unsafe { call(session, error, |session| fill(receipt, "receipt", &session.receipt())) }
}

/// Waits until a stage, a FARPOST_STAGE_ constant, covers a sequence; 0 means the last one sent in this session. Waits
/// up to `timeout_ms`, a negative number without limit; then FARPOST_ERR_TIMED_OUT. Any thread but the library's.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_flush(
    session: *mut Session,
    stage: i32,
    sequence: u64,
    timeout_ms: i32,
    error: *mut *mut ErrorObject,
) -> Status {
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { call(session, error, |session| session.flush(stage, sequence, timeout_ms)) }
}

/// Closes the session: what is out is waited for up to `timeout_ms`, a negative number without limit; the rest stays in
/// the queue on disk. Other calls, also those that wait, end with FARPOST_ERR_CLOSED. A repeat is harmless. Any thread
/// but the library's.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_close(
    session: *mut Session,
    timeout_ms: i32,
    error: *mut *mut ErrorObject,
) -> Status {
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { call(session, error, |session| session.close(timeout_ms)) }
}

/// Frees a session, closed or not; waits for its threads up to 5 s. NULL is allowed. In a forked child nothing happens.
/// Events and errors that it gave stay valid. Must not race with another call on the session.
///
/// # Safety
///
/// `session` is NULL or not freed yet, and no other call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_free(session: *mut Session) {
    if session.is_null() {
        return;
    }
    // SAFETY: made by Box::into_raw, and the caller gives it up.
    let session = unsafe { Box::from_raw(session) };
    if home_only(session.home).is_err() {
        std::mem::forget(session); // its threads are not in this process
        return;
    }
    quietly(|| {
        let Session { port, ahead, threads, bells, .. } = *session;
        threads.finish((port, ahead));
        drop(bells);
    });
}

/// First and longest pause of a flush between two looks at the receipt.
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// What a close may take beyond its time before it is given up.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Without limit.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
