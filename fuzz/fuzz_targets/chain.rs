//! Anchors, a peer's chain and revocation lists: the verify function.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run chain`; seeds: `fuzz/seeds.sh` has openssl make one.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::chain(data));
