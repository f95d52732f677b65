//! Whether a key signed a revocation list: what webpki does anew in each path validation, done once.

use crate::identity::path::ALGORITHMS;

/// Whether a list (DER) has a good signature of this key (SubjectPublicKeyInfo in DER) by an accepted algorithm.
pub(super) fn is_signed_by(list: &[u8], public_key: &[u8]) -> bool {
    signed_parts(list).is_some_and(|(signed, algorithm, signature)| {
        key_parts(public_key).is_some_and(|(key_algorithm, key)| {
            ALGORITHMS.iter().any(|accepted| {
                accepted.signature_alg_id().as_ref() == algorithm
                    && accepted.public_key_alg_id().as_ref() == key_algorithm
                    && accepted.verify_signature(key, signed, signature).is_ok()
            })
        })
    })
}

/// What was signed (with its header), the content of the algorithm, the signature.
fn signed_parts(list: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (outer, []) = content(list, SEQUENCE)? else { return None };
    let (_, after_signed) = content(outer, SEQUENCE)?;
    let signed = outer.get(..outer.len() - after_signed.len())?;
    let (algorithm, rest) = content(after_signed, SEQUENCE)?;
    let (bits, []) = content(rest, BIT_STRING)? else { return None };
    Some((signed, algorithm, whole_bytes(bits)?))
}

/// The content of the key's algorithm, and the key.
fn key_parts(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, []) = content(public_key, SEQUENCE)? else { return None };
    let (algorithm, rest) = content(outer, SEQUENCE)?;
    let (bits, []) = content(rest, BIT_STRING)? else { return None };
    Some((algorithm, whole_bytes(bits)?))
}

/// The content of the first DER object, which must have this tag, and what follows it.
fn content(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if *found == tag { rest.split_at_checked(length) } else { None }
}

/// A bit string without unused bits.
fn whole_bytes(bits: &[u8]) -> Option<&[u8]> {
    match bits.split_first() {
        Some((0, bytes)) => Some(bytes),
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
