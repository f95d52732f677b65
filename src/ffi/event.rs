//! `farpost_event_t`: what one poll gave: news of the node, a message, space in the queue, a wake-up.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::code::Severity;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ffi::arguments::{invalid, object};
use crate::ffi::error::ErrorObject;
use crate::ffi::port::Incoming;
use crate::ffi::session::home_only;
use crate::ffi::status::{Status, guard, quietly};
use crate::ffi::text::{EMPTY, Text};

/// Something happened at the node: see farpost_event_code and farpost_event_message.
pub const FARPOST_EVENT_NOTICE: i32 = 1;
/// A message came from the management server: see farpost_event_payload; acknowledge it.
pub const FARPOST_EVENT_MESSAGE: i32 = 2;
/// The queue may have space again after FARPOST_ERR_FULL.
pub const FARPOST_EVENT_WRITABLE: i32 = 3;
/// farpost_session_wakeup was called.
pub const FARPOST_EVENT_WAKEUP: i32 = 4;

/// Worth knowing; nothing to do.
pub const FARPOST_SEVERITY_INFO: i32 = 1;
/// It goes on by itself, but somebody should look.
pub const FARPOST_SEVERITY_WARNING: i32 = 2;
/// Somebody has to act.
pub const FARPOST_SEVERITY_ERROR: i32 = 3;

/// What one poll gave. It owns what it shows: the session may be freed first.
pub struct EventObject {
    kind: i32,
    code: i32,
    severity: i32,
    operations_manager: i32,
    time_unix_ms: i64,
    sequence: u64,
    name: Text,
    subject: Text,
    message: Text,
    payload: Bytes,
    incoming: Mutex<Option<Box<dyn Incoming>>>,
    /// The process that may acknowledge.
    home: u32,
}

/// What waits in a session.
pub(super) enum Ready {
    Notice(Event),
    Message(Box<dyn Incoming>),
    Writable,
    Wakeup,
}

impl EventObject {
    pub(super) fn new(ready: Ready) -> Self {
        let mut object = Self {
            kind: FARPOST_EVENT_WAKEUP,
            code: 0,
            severity: FARPOST_SEVERITY_INFO,
            operations_manager: 0,
            time_unix_ms: 0,
            sequence: 0,
            name: Text::default(),
            subject: Text::default(),
            message: Text::default(),
            payload: Bytes::new(),
            incoming: Mutex::new(None),
            home: std::process::id(),
        };
        match ready {
            Ready::Wakeup => {}
            Ready::Writable => object.kind = FARPOST_EVENT_WRITABLE,
            Ready::Notice(event) => object.tell(&event),
            Ready::Message(incoming) => {
                object.kind = FARPOST_EVENT_MESSAGE;
                object.sequence = incoming.sequence().0;
                object.payload = incoming.payload();
                object.incoming = Mutex::new(Some(incoming));
            }
        }
        object
    }

    fn tell(&mut self, event: &Event) {
        self.kind = FARPOST_EVENT_NOTICE;
        self.code = i32::from(event.code.number());
        self.severity = match event.severity() {
            Severity::Info => FARPOST_SEVERITY_INFO,
            Severity::Warning => FARPOST_SEVERITY_WARNING,
            Severity::Error => FARPOST_SEVERITY_ERROR,
        };
        self.operations_manager = event.code.operations_manager_event().map_or(0, i32::from);
        self.time_unix_ms = event.time.unix_millis();
        self.name = Text::new(event.code.name());
        self.subject = Text::new(&event.subject);
        self.message = Text::new(&event.to_string());
    }

    fn acknowledge(&self) -> Result<()> {
        home_only(self.home)?;
        let incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner).take();
        match incoming {
            Some(incoming) => incoming.acknowledge(),
            None if self.kind == FARPOST_EVENT_MESSAGE => Ok(()), // a repeat is harmless
            None => Err(not_a_message()),
        }
    }
}

fn not_a_message() -> Error {
    invalid("event", "an event without a message", "one of the kind FARPOST_EVENT_MESSAGE")
}

/// What the event is, a FARPOST_EVENT_ constant; later releases may add kinds: skip those. 0 for NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_kind(event: *const EventObject) -> i32 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.kind)
}

/// A notice's permanent code, a FARPOST_CODE_ constant. 0 for other kinds and NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_code(event: *const EventObject) -> i32 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.code)
}

/// How bad it is, a FARPOST_SEVERITY_ constant. 0 for NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_severity(event: *const EventObject) -> i32 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.severity)
}

/// A notice's event number in Operations Manager, where it has one; else 0.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_operations_manager(event: *const EventObject) -> i32 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.operations_manager)
}

/// When a notice happened, in milliseconds since 1970 (UTC). 0 for other kinds and NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_time_unix_ms(event: *const EventObject) -> i64 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.time_unix_ms)
}

/// The name of a notice's code, such as "FailedOver". Empty for other kinds and NULL. Lives as long as the event.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_name(event: *const EventObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(EMPTY.as_ptr(), |event| event.name.as_ptr())
}

/// What a notice is about: a node, an address, a file; may be empty. Lives as long as the event.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_subject(event: *const EventObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(EMPTY.as_ptr(), |event| event.subject.as_ptr())
}

/// A notice as one line, without control characters. Empty for other kinds and NULL. Lives as long as the event.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_message(event: *const EventObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(EMPTY.as_ptr(), |event| event.message.as_ptr())
}

/// A message's number among the messages to this agent. 0 for other kinds and NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_sequence(event: *const EventObject) -> u64 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { event.as_ref() }.map_or(0, |event| event.sequence)
}

/// A message's bytes, which live as long as the event; their count is stored in `length`. NULL and 0 for other kinds
/// and NULL. The bytes of an empty message are not NULL.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet; `length` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_payload(event: *const EventObject, length: *mut usize) -> *const u8 {
    // SAFETY: the caller passes NULL or a live object.
    let message = unsafe { event.as_ref() }.filter(|event| event.kind == FARPOST_EVENT_MESSAGE);
    if !length.is_null() {
        // SAFETY: not null, and the caller allows the write.
        unsafe { length.write(message.map_or(0, |event| event.payload.len())) };
    }
    message.map_or(std::ptr::null(), |event| event.payload.as_ptr())
}

/// Acknowledges a message, so that it is not handed out again. A repeat is harmless. Any thread; does not block.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_acknowledge(event: *mut EventObject, error: *mut *mut ErrorObject) -> Status {
    // SAFETY: the caller passes NULL or a live object, and allows the write.
    unsafe { guard(error, || object(event, "event")?.acknowledge()) }
}

/// Frees an event. NULL is allowed. A message that was not acknowledged is handed out again by a later session.
///
/// # Safety
///
/// `event` is NULL or was given by farpost_session_poll and is not freed yet, and no other call uses it; nothing
/// borrowed from it is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_event_free(event: *mut EventObject) {
    if event.is_null() {
        return;
    }
    // SAFETY: made by Box::into_raw, and the caller gives it up.
    let event = unsafe { Box::from_raw(event) };
    if home_only(event.home).is_ok() {
        quietly(|| drop(event));
    } else {
        std::mem::forget(event); // it may hold what belongs to threads that this process does not have
    }
}
