//! What an import reads: PEM, DER, PKCS#7, PKCS#8 and PKCS#12, and what it makes of it.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run identity_import`; seeds: `fuzz/seeds.sh` makes one of each with OpenSSL.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| farpost::fuzzing::identity_import(data));
