//! Whether a key signed a revocation list, or a certificate: webpki does so anew in each path validation.

use crate::identity::der::{Object, object};
use crate::identity::path::ALGORITHMS;

/// Whether a list or a certificate (DER) has a good signature of this key (SubjectPublicKeyInfo in DER) by an accepted
/// algorithm.
pub(super) fn is_signed_by(der: &[u8], public_key: &[u8]) -> bool {
    signed_parts(der).is_some_and(|(signed, algorithm, signature)| {
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
fn signed_parts(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let signed = with_tag(with_tag(der, SEQUENCE)?.content, SEQUENCE)?;
    let algorithm = with_tag(signed.rest, SEQUENCE)?;
    Some((signed.whole, algorithm.content, bits(algorithm.rest)?))
}

/// The content of the key's algorithm, and the key.
fn key_parts(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let algorithm = with_tag(with_tag(public_key, SEQUENCE)?.content, SEQUENCE)?;
    Some((algorithm.content, bits(algorithm.rest)?))
}

/// A bit string of whole bytes, with nothing after it.
fn bits(bytes: &[u8]) -> Option<&[u8]> {
    let string = with_tag(bytes, BIT_STRING).filter(|string| string.rest.is_empty())?;
    match string.content.split_first() {
        Some((0, bits)) => Some(bits),
        _ => None,
    }
}

fn with_tag(bytes: &[u8], tag: u8) -> Option<Object<'_>> {
    object(bytes).filter(|object| object.tag == tag)
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
