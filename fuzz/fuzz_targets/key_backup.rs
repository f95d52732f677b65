//! A backup of the group's key, as somebody may have changed it.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run key_backup`

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::key_backup(data));
