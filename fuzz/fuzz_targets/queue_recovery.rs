//! What an agent's queue finds on its disk at its start.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run queue_recovery`; seeds: `fuzz/seeds.sh` takes the golden segment.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::queue(data));
