//! A revocation list as a file may hold it.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run crl`; seeds: `fuzz/seeds.sh` has openssl make some.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::revocation_list(data));
