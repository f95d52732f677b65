//! The C interface (feature `capi`): the functions of `include/farpost.h`, which build.rs writes from these files.
//!
//! This is the only floor with `unsafe`. Its rules (C1, C2):
//!
//! - Every body runs in [`status::guard`]: no panic crosses the boundary; a session that met one is poisoned.
//! - Every pointer is tested alone; a text must be UTF-8; `(NULL, 0)` is an empty array of bytes.
//! - Results are written on success only. Handles are opaque, and only shared references to them are made.
//! - A number that C passes in is an `int32_t`, never a Rust enum.
//! - A session belongs to the process that opened it; a forked child gets `FARPOST_ERR_FORKED`.
//! - No callbacks: events wait in a queue, behind a descriptor that is readable exactly while something waits.
//!
//! `agent` alone knows the library's session types; everything else works on the traits of `port`.

#![expect(unsafe_code, reason = "the boundary to C is made of raw pointers; every block says why it holds")]
#![expect(unreachable_pub, reason = "C reaches these functions by their symbols, whatever Rust's visibility")]

mod agent;
mod arguments;
mod calls;
mod config;
mod doorbell;
mod error;
mod event;
mod port;
mod session;
mod status;
mod text;
mod threads;
mod verify;
mod version;

#[cfg(test)]
mod tests;
