//! Statements by which keys of the group name the next ones.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run group_key`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::group_key(data));
