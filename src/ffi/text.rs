//! Texts that C may borrow.

use std::ffi::{CStr, CString, c_char};

/// A text that ends with NUL and lives as long as the object that holds it.
#[derive(Debug, Default)]
pub(super) struct Text(CString);

impl Text {
    /// A copy; a NUL inside, which C would take for the end, becomes U+FFFD.
    pub(super) fn new(text: &str) -> Self {
        Self(CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default())
    }

    /// The text for C.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr()
    }
}

/// The empty text that accessors give for a NULL object.
pub(super) const EMPTY: &CStr = c"";
