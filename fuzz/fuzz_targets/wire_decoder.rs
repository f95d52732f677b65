//! What a peer sends: the frame cutter, every body's reader, the link machine at both ends in every phase.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run wire_decoder`; seeds: `fuzz/seeds.sh` makes a corpus of the golden frames.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::wire(data));
