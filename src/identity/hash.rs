//! The short names of keys and chains.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{self, SHA256};

use crate::code::Code;
use crate::error::Error;
use crate::text_form::{bytes_of_hexadecimal, text_form};

/// SHA-256 of a leaf's SubjectPublicKeyInfo in DER: the name of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyHash(pub(crate) [u8; 32]);

/// SHA-256 over each certificate's length (u32, big-endian) and DER bytes, leaf first: the name of a chain (rule I6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChainHash(pub(crate) [u8; 32]);

impl KeyHash {
    /// Of a SubjectPublicKeyInfo in DER.
    pub(crate) fn of(public_key: &[u8]) -> Self {
        Self(bytes_of(&digest::digest(&SHA256, public_key)))
    }

    /// The first 16 hexadecimal digits: enough to tell the keys of one name apart, and to be read by people.
    pub(crate) fn first_digits(self) -> String {
        self.to_string().chars().take(16).collect()
    }
}

impl ChainHash {
    /// Of a chain, leaf first.
    pub(crate) fn of(chain: &[impl AsRef<[u8]>]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        for der in chain {
            let der = der.as_ref();
            context.update(&u32::try_from(der.len()).unwrap_or(u32::MAX).to_be_bytes());
            context.update(der);
        }
        Self(bytes_of(&context.finish()))
    }
}

fn bytes_of(digest: &digest::Digest) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

macro_rules! hexadecimal {
    ($($hash:ident)*) => { $(
        impl fmt::Display for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )* };
}

hexadecimal! { KeyHash ChainHash }

impl FromStr for KeyHash {
    type Err = Error;

    /// Of 64 hexadecimal digits, as SHA-256 is usually written; colons between them do not matter.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unreadable = || {
            Error::new(Code::ConfigBadValue)
                .found(format!("\"{}\"", crate::error::printable(text)))
                .expected("the SHA-256 of a public key: 64 hexadecimal digits")
        };
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let bytes = bytes_of_hexadecimal(&digits).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(unreadable)
    }
}

text_form!(KeyHash);

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_name_of_a_chain_covers_lengths_bytes_and_order() {
        let chain = |parts: &[&[u8]]| ChainHash::of(parts);
        assert_ne!(chain(&[b"ab", b"c"]), chain(&[b"a", b"bc"]));
        assert_ne!(chain(&[b"ab", b"c"]), chain(&[b"c", b"ab"]));
        assert_eq!(chain(&[b"ab", b"c"]).0, KeyHash::of(b"\0\0\0\x02ab\0\0\0\x01c").0);
        assert_eq!(KeyHash::of(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
