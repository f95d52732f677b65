//! Versions of the interface and of the release.

use std::ffi::c_char;

/// The version of the binary interface, and the number in the library's file name.
pub const FARPOST_ABI_VERSION: u32 = 0;

/// The version of the library's binary interface; compare with FARPOST_ABI_VERSION, or call
/// farpost_abi_is_compatible. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn farpost_abi_version() -> u32 {
    FARPOST_ABI_VERSION
}

/// Whether a program that was compiled with this FARPOST_ABI_VERSION can use the library. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn farpost_abi_is_compatible(abi_version: u32) -> bool {
    abi_version == FARPOST_ABI_VERSION
}

/// The library's release, such as "0.1.0"; FARPOST_VERSION is that of the header. Any thread; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn farpost_version() -> *const c_char {
    const { concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast() }
}

/// The library's release as major × 65536 + minor × 256 + patch, like FARPOST_VERSION_NUMBER. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn farpost_version_number() -> u32 {
    env!("CARGO_PKG_VERSION")
        .split('.')
        .filter_map(|part| part.parse::<u32>().ok())
        .fold(0, |sum, part| sum * 256 + part)
}
