//! What an authority is asked to sign, and the text of a one-time token.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run identity_request`; seeds: `fuzz/seeds.sh` lets openssl make some requests.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::identity_request(data));
