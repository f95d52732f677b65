//! The functions of `farpost_session_t`.

use std::ffi::c_int;

use crate::error::Result;
use crate::ffi::agent;
use crate::ffi::arguments::{bytes, fill, invalid, object, options, output};
use crate::ffi::config::ConfigObject;
use crate::ffi::error::ErrorObject;
use crate::ffi::event::EventObject;
use crate::ffi::session::{
    FARPOST_PRIORITY_BULK, FARPOST_PRIORITY_CRITICAL, FARPOST_PRIORITY_DEFAULT, FARPOST_PRIORITY_NORMAL, Receipt,
    SendOptions, Session, home_only,
};
use crate::ffi::status::{Status, guard, quietly};
use crate::message::Priority;

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
        session.run(body)
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
    session.map_or(-1, |session| session.doorbell().number())
}

/// Takes the next event. Waits for one up to `timeout_ms`; 0 does not wait, a negative number waits without limit.
/// FARPOST_ERR_WOULD_BLOCK if none came, or if a signal handler ran meanwhile. A closed session gives what still waits,
/// then FARPOST_ERR_CLOSED. The caller frees the event. Any thread, with a timeout none of the library's.
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
        session.doorbell().wake();
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

/// Waits until a stage, a FARPOST_STAGE_ constant, covers a sequence; 0 means everything that was sent so far, in
/// earlier runs too. Waits up to `timeout_ms`, a negative number without limit; then FARPOST_ERR_TIMED_OUT. Without a
/// state directory FARPOST_STAGE_STORED never comes: an error at once. Any thread but the library's.
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

/// Reads the identity's files again and takes what they hold into use; the link stays. Files are watched as well: what
/// changed is in use within two seconds without this call. Waits up to `timeout_ms`, a negative number without limit; then
/// FARPOST_ERR_TIMED_OUT, and the reload goes on. On an error the last good identity stays in use. Any thread but the
/// library's.
///
/// # Safety
///
/// `session` is NULL or not freed yet; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_session_reload_identity(
    session: *mut Session,
    timeout_ms: i32,
    error: *mut *mut ErrorObject,
) -> Status {
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { call(session, error, |session| session.reload_identity(timeout_ms)) }
}

/// Closes the session: waits up to `timeout_ms`, a negative number without limit, until everything is delivered, then up
/// to 4 s more for the links and the disk. FARPOST_ERR_TIMED_OUT if something was not delivered: it is closed all the
/// same, and the rest stays in the queue on disk for the next run; without a state directory it is lost. Other calls,
/// also those that wait, end with FARPOST_ERR_CLOSED. A repeat is harmless. Any thread but the library's.
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
    let body = || {
        // SAFETY: the caller passes NULL or a live object.
        let session = unsafe { object(session, "session") }?;
        home_only(session.home)?;
        session.close(timeout_ms) // a poisoned one too
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
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
    quietly(|| session.finish());
}

fn priority(number: i32) -> Result<Priority> {
    match number {
        FARPOST_PRIORITY_BULK => Ok(Priority::Bulk),
        FARPOST_PRIORITY_DEFAULT | FARPOST_PRIORITY_NORMAL => Ok(Priority::Normal),
        FARPOST_PRIORITY_CRITICAL => Ok(Priority::Critical),
        _ => Err(invalid("options.priority", number.to_string(), "a FARPOST_PRIORITY_ constant")),
    }
}
