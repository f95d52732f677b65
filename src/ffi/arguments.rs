//! What C passes in, checked: NULL, UTF-8, lengths, sizes of structs (rule C2).

use std::ffi::{CStr, c_char};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::limits::MESSAGE_BYTES_MAX;

/// A struct of the interface: plain numbers, the first of them `struct_size`.
///
/// # Safety
///
/// The type is `repr(C)`, without padding, any bytes are a value of it, and its first field is a `u32`.
pub(super) unsafe trait Sized32: Copy {
    /// The size it had in the first release that has it.
    const FIRST_SIZE: usize;
    /// What fields have that the caller's release does not know.
    fn defaults() -> Self;
}

/// The object behind a handle.
///
/// # Safety
///
/// The pointer is NULL or the object lives, and is not changed elsewhere, for `'a`.
pub(super) unsafe fn object<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: as above.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Refuses NULL where a result is to be written.
pub(super) fn output<T>(pointer: *mut T, name: &str) -> Result<*mut T> {
    if pointer.is_null() { Err(null(name)) } else { Ok(pointer) }
}

/// A text.
///
/// # Safety
///
/// The pointer is NULL or leads to a text that ends with NUL and lives for `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not null, and the caller vouches for the rest.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str()
        .map_err(|error| Error::new(Code::NotUtf8).subject(name).found(format!("{} ({error})", text.to_string_lossy())))
}

/// The bytes of a message; `(NULL, 0)` is an empty one.
///
/// # Safety
///
/// `length` bytes can be read at the pointer for `'a`, unless `length` is 0.
pub(super) unsafe fn bytes<'a>(pointer: *const u8, length: usize, name: &str) -> Result<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(Error::new(Code::MessageTooLarge)
            .subject(name)
            .found(format!("{length} bytes"))
            .expected(format!("at most {MESSAGE_BYTES_MAX}")));
    }
    // SAFETY: not null, at most MESSAGE_BYTES_MAX < isize::MAX, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// The options that a caller of any release passes: what its struct does not have has its default; what
/// this release does not know must be zero.
///
/// # Safety
///
/// The pointer is NULL or leads to as many bytes as its `struct_size` says.
pub(super) unsafe fn options<T: Sized32>(pointer: *const T, name: &str) -> Result<T> {
    let mut value = T::defaults();
    if pointer.is_null() {
        return Ok(value);
    }
    // SAFETY: at least the first field can be read.
    let size = unsafe { stated_size::<T>(pointer.cast(), name) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes can be read there and written here, and any bytes are a value.
    unsafe { std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), known) };
    // SAFETY: the caller vouches for `size` bytes.
    let unknown = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(invalid(name, "a field that this release does not know", "zero there, or a newer library"));
    }
    Ok(value)
}

/// Fills the struct of a caller of any release: as much as it has; what this release does not know becomes zero.
/// Its `struct_size` stays.
///
/// # Safety
///
/// The pointer is NULL or leads to as many writable bytes as its `struct_size` says.
pub(super) unsafe fn fill<T: Sized32>(pointer: *mut T, name: &str, value: &T) -> Result<()> {
    let pointer = output(pointer, name)?;
    // SAFETY: at least the first field can be read.
    let size = unsafe { stated_size::<T>(pointer.cast(), name) }?;
    let known = size.min(size_of::<T>());
    let first = size_of::<u32>();
    // SAFETY: `known` bytes can be read here and `size` written there.
    unsafe {
        let target = pointer.cast::<u8>();
        std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>().add(first), target.add(first), known - first);
        std::ptr::write_bytes(target.add(known), 0, size - known);
    }
    Ok(())
}

/// The error of a number that means nothing here.
pub(super) fn invalid(name: &str, found: impl Into<String>, expected: &str) -> Error {
    Error::new(Code::ArgumentInvalid).subject(name).found(found).expected(expected)
}

/// The error of a NULL that is not allowed.
pub(super) fn null(name: &str) -> Error {
    Error::new(Code::NullArgument).subject(name).found("NULL")
}

/// # Safety
///
/// A `u32` can be read at the pointer.
unsafe fn stated_size<T: Sized32>(pointer: *const u32, name: &str) -> Result<usize> {
    // SAFETY: as above; the struct may be misaligned in a foreign language's buffer.
    let stated = unsafe { pointer.read_unaligned() };
    let size = usize::try_from(stated).unwrap_or(usize::MAX);
    if (T::FIRST_SIZE..=STRUCT_BYTES_MAX).contains(&size) {
        return Ok(size);
    }
    Err(invalid(name, format!("struct_size {stated}"), &format!("{} to {STRUCT_BYTES_MAX}", T::FIRST_SIZE))
        .remedy("set struct_size to sizeof the struct"))
}

/// More than any struct of the interface will ever have: a larger size is a field that was not set.
const STRUCT_BYTES_MAX: usize = 4096;
