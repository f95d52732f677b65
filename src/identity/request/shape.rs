//! The shape of a request, strictly: what the parser passes over must not be there, since another parser may read it.

use crate::error::{Error, Result};
use crate::identity::request::unusable;

const INTEGER: u8 = 0x02;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const ATTRIBUTES: u8 = 0xa0;

/// Checks that a request is `SEQUENCE { SEQUENCE { INTEGER, SEQUENCE, SEQUENCE, [0] { attribute … } }, SEQUENCE, BIT
/// STRING }` with nothing between or after, where an attribute is `SEQUENCE { OID, SET { one value } }`.
///
/// # Errors
///
/// [`crate::code::Code::RequestUnusable`].
pub(super) fn check(der: &[u8]) -> Result<()> {
    let [(SEQUENCE, request)] = elements(der)?[..] else { return Err(wrong("the request")) };
    let [(SEQUENCE, info), (SEQUENCE, algorithm), (BIT_STRING, [0, ..])] = elements(request)?[..] else {
        return Err(wrong("the parts of the request"));
    };
    let ([(OID, _)] | [(OID, _), (NULL, [])]) = elements(algorithm)?[..] else {
        return Err(wrong("the signature's algorithm"));
    };
    let [(INTEGER, _), (SEQUENCE, _), (SEQUENCE, _), (ATTRIBUTES, attributes)] = elements(info)?[..] else {
        return Err(wrong("the content of the request"));
    };
    for (tag, attribute) in elements(attributes)? {
        let is_attribute = match elements(attribute)?[..] {
            [(OID, _), (SET, values)] => tag == SEQUENCE && elements(values)?.len() == 1,
            _ => false,
        };
        if !is_attribute {
            return Err(wrong("an attribute").expected("a type and one value"));
        }
    }
    Ok(())
}

fn wrong(what: &str) -> Error {
    unusable(format!("{what} in another form")).expected("PKCS#10 in DER")
}

/// The elements that fill some bytes: tag and content of each. At most as many as a request has.
fn elements(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest).ok_or_else(|| wrong("a length"))?;
        out.push((tag, content));
        if out.len() > ELEMENTS_MAX {
            return Err(unusable("more parts than a request has"));
        }
        rest = after;
    }
    Ok(out)
}

/// Tag, content and what follows. Lengths are definite and minimal, tags of one byte.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (length, rest) = match (first, rest) {
        (0..=0x7f, _) => (usize::from(*first), rest),
        (0x81, [length, rest @ ..]) if *length >= 0x80 => (usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) if *high > 0 => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

/// Above what any level of a request has.
const ELEMENTS_MAX: usize = 16;
