//! `farpost_error_t`: what went wrong, for whom, and what to do.

use std::ffi::c_char;

use crate::code::Code;
use crate::error::Error;
use crate::ffi::text::{EMPTY, Text};

/// What went wrong: a permanent code, what was found, what was expected, what to do.
///
/// A function that fails stores one in its last argument, unless that is NULL. The caller frees it.
#[derive(Debug)]
pub struct ErrorObject {
    code: Code,
    retriable: bool,
    name: Text,
    message: Text,
    found: Text,
    expected: Text,
    remedy: Text,
    subject: Text,
}

impl ErrorObject {
    pub(super) fn new(error: &Error) -> Self {
        Self {
            code: error.code(),
            retriable: error.is_retriable(),
            name: Text::new(error.code().name()),
            message: Text::new(&error.to_string()),
            found: Text::new(error.found_text()),
            expected: Text::new(error.expected_text()),
            remedy: Text::new(error.remedy_text()),
            subject: Text::new(error.subject_text()),
        }
    }
}

/// The permanent code, a FARPOST_CODE_ constant; the status that the call returned is its negative. 0 for NULL.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_code(error: *const ErrorObject) -> i32 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { error.as_ref() }.map_or(0, |error| i32::from(error.code.number()))
}

/// The code's name, such as "QueueFull". Empty for NULL. The text lives as long as the error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_name(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.name) }
}

/// The whole error as one line, without control characters. Empty for NULL. The text lives as long as the error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_message(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.message) }
}

/// What was found; may be empty. The text lives as long as the error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_found(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.found) }
}

/// What was expected instead; may be empty. The text lives as long as the error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_expected(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.expected) }
}

/// What to do; may be empty. The text lives as long as the error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_remedy(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.remedy) }
}

/// What it is about: a node, a file, a configuration key, an argument; may be empty. The text lives as long as the
/// error.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_subject(error: *const ErrorObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { borrow(error, |error| &error.subject) }
}

/// Whether the same call may succeed later without anybody's help. False for NULL.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_is_retriable(error: *const ErrorObject) -> bool {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { error.as_ref() }.is_some_and(|error| error.retriable)
}

/// Whether the session is of no more use: close it, free it, open a new one. False for NULL.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_is_fatal(error: *const ErrorObject) -> bool {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { error.as_ref() }
        .is_some_and(|error| matches!(error.code, Code::Internal | Code::Poisoned | Code::Closed | Code::Forked))
}

/// Frees an error. NULL is allowed.
///
/// # Safety
///
/// `error` is NULL or was given by a farpost call and is not freed yet; no text borrowed from it is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_error_free(error: *mut ErrorObject) {
    if !error.is_null() {
        // SAFETY: made by Box::into_raw, and the caller gives it up.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// # Safety
///
/// `error` is NULL or a live object; the text is used no longer than it lives.
unsafe fn borrow(error: *const ErrorObject, text: impl FnOnce(&ErrorObject) -> &Text) -> *const c_char {
    // SAFETY: as above.
    unsafe { error.as_ref() }.map_or(EMPTY.as_ptr(), |error| text(error).as_ptr())
}
