//! The result of every call, and the guard that no panic passes (rule C1).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::ffi::error::ErrorObject;

/// The result of a call: FARPOST_OK, or the negative of a FARPOST_CODE_ constant. New codes may come.
pub type Status = i32;

/// It was done.
pub const FARPOST_OK: Status = 0;

/// Runs a body; an error or a panic becomes a status and, where the caller wants one, an error object.
///
/// # Safety
///
/// `error` is NULL or may be written.
pub(super) unsafe fn guard(error: *mut *mut ErrorObject, body: impl FnOnce() -> Result<()>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return FARPOST_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => of_panic(payload),
    };
    if !error.is_null() {
        let object = Box::into_raw(Box::new(ErrorObject::new(&failure)));
        // SAFETY: not null, and the caller allows the write.
        unsafe { error.write(object) };
    }
    -i32::from(failure.code().number())
}

/// Runs a body without a status; a panic is caught and forgotten.
pub(super) fn quietly(body: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        of_panic(payload);
    }
}

/// The error of a caught panic. Its payload may panic when dropped; that one is leaked.
fn of_panic(payload: Box<dyn Any + Send>) -> Error {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    Error::new(Code::Internal).found(text)
}
