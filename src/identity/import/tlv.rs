//! Tags, lengths and values: as much of BER and DER as PKCS#7, PKCS#8 and PKCS#12 need.
//!
//! Programs write PKCS#12 and PKCS#7 in BER: indefinite lengths, and octet strings in pieces. [`to_definite`] turns
//! that into definite lengths and whole octet strings; [`Reader`] reads nothing else. Only tags below 31 occur in these
//! formats.

use zeroize::Zeroizing;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[0] IMPLICIT` of a primitive type.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
/// `[1]`, constructed.
pub(super) const CONTEXT_1: u8 = 0xa1;
/// An OCTET STRING in pieces.
const OCTET_STRING_PIECES: u8 = 0x24;
const CONSTRUCTED: u8 = 0x20;
/// Deeper than any of these formats.
const DEPTH_MAX: usize = 32;

/// What is wrong with the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

/// One element of definite length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    /// With its header.
    pub(super) raw: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Element<'a> {
    /// Reads the elements in this one.
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::new(self.body)
    }

    /// The value of a small INTEGER.
    pub(super) fn number(&self) -> Result<u64, Damaged> {
        let significant = self.body.iter().position(|byte| *byte != 0).unwrap_or(self.body.len());
        let digits = self.body.get(significant..).unwrap_or_default();
        let is_negative = self.body.first().is_some_and(|first| first & 0x80 != 0);
        if self.tag != INTEGER || self.body.is_empty() || is_negative || digits.len() > 8 {
            return Err(Damaged("a number that is none"));
        }
        Ok(digits.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The bytes of an OCTET STRING, or of one that is `[0] IMPLICIT`, in one piece or in several.
    pub(super) fn octets(&self) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.body.len()));
        if matches!(self.tag, OCTET_STRING | CONTEXT_0_PRIMITIVE) {
            out.extend_from_slice(self.body);
            return Ok(out);
        }
        let mut pieces = self.reader();
        while let Some(piece) = pieces.next_element()? {
            if piece.tag != OCTET_STRING {
                return Err(Damaged("something else among the pieces of an octet string"));
            }
            out.extend_from_slice(piece.body);
        }
        Ok(out)
    }
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element; `None` at the end.
    pub(super) fn next_element(&mut self) -> Result<Option<Element<'a>>, Damaged> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, length, header) = header_of(self.rest)?;
        let length = length.ok_or(Damaged("an indefinite length"))?;
        let end = header.checked_add(length).ok_or(CUT_SHORT)?;
        let raw = self.rest.get(..end).ok_or(CUT_SHORT)?;
        self.rest = &self.rest[end..];
        Ok(Some(Element { tag, raw, body: &raw[header..] }))
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Damaged> {
        match self.next_element()? {
            Some(element) if element.tag == tag => Ok(element),
            Some(_) => Err(Damaged("an element of another kind than expected")),
            None => Err(Damaged("an element is missing")),
        }
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Damaged> {
        if self.rest.first() == Some(&tag) { self.next_element() } else { Ok(None) }
    }

    /// The tags of the elements that are left, at most `most`; those up to damage.
    pub(super) fn tags(&self, most: usize) -> Vec<u8> {
        let mut reader = self.clone();
        let mut tags = Vec::new();
        while tags.len() < most
            && let Ok(Some(element)) = reader.next_element()
        {
            tags.push(element.tag);
        }
        tags
    }
}

/// The first element of the bytes with definite lengths and whole octet strings. The result is cleared when dropped: it
/// may hold a key.
pub(super) fn to_definite(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Damaged> {
    let (node, _) = Node::parse(bytes, 0)?;
    let mut out = Zeroizing::new(Vec::with_capacity(node.length()));
    node.write(&mut out);
    Ok(out)
}

/// An element of any BER.
enum Node<'a> {
    Primitive { tag: u8, body: &'a [u8] },
    Constructed { tag: u8, children: Vec<Self> },
}

impl<'a> Node<'a> {
    /// Parses the first element; answers what follows it.
    fn parse(bytes: &'a [u8], depth: usize) -> Result<(Self, &'a [u8]), Damaged> {
        if depth > DEPTH_MAX {
            return Err(Damaged("elements nested too deeply"));
        }
        let (tag, length, header) = header_of(bytes)?;
        let inner = bytes.get(header..).ok_or(CUT_SHORT)?;
        let Some(length) = length else {
            let (children, rest) = Self::children_to_end(inner, depth)?;
            return Ok((Self::Constructed { tag, children }, rest));
        };
        let body = inner.get(..length).ok_or(CUT_SHORT)?;
        let rest = &inner[length..];
        if tag & CONSTRUCTED == 0 {
            return Ok((Self::Primitive { tag, body }, rest));
        }
        let (mut children, mut left) = (Vec::new(), body);
        while !left.is_empty() {
            let (child, after) = Self::parse(left, depth + 1)?;
            children.push(child);
            left = after;
        }
        Ok((Self::Constructed { tag, children }, rest))
    }

    /// The elements up to the end-of-contents octets.
    fn children_to_end(bytes: &'a [u8], depth: usize) -> Result<(Vec<Self>, &'a [u8]), Damaged> {
        let (mut children, mut left) = (Vec::new(), bytes);
        loop {
            if let Some(rest) = left.strip_prefix(&[0, 0]) {
                return Ok((children, rest));
            }
            let (child, after) = Self::parse(left, depth + 1)?;
            children.push(child);
            left = after;
        }
    }

    fn body_length(&self) -> usize {
        match self {
            Self::Primitive { body, .. } => body.len(),
            Self::Constructed { tag: OCTET_STRING_PIECES, children } => children.iter().map(Self::body_length).sum(),
            Self::Constructed { children, .. } => children.iter().map(Self::length).sum(),
        }
    }

    fn length(&self) -> usize {
        let body = self.body_length();
        1 + length_octets(body).count() + body
    }

    fn write(&self, out: &mut Vec<u8>) {
        let tag = match self {
            Self::Constructed { tag: OCTET_STRING_PIECES, .. } => OCTET_STRING,
            Self::Primitive { tag, .. } | Self::Constructed { tag, .. } => *tag,
        };
        out.push(tag);
        out.extend(length_octets(self.body_length()));
        self.write_body(out);
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Primitive { body, .. } => out.extend_from_slice(body),
            Self::Constructed { tag: OCTET_STRING_PIECES, children } => {
                children.iter().for_each(|child| child.write_body(out));
            }
            Self::Constructed { children, .. } => children.iter().for_each(|child| child.write(out)),
        }
    }
}

/// Tag, length (`None` if indefinite) and the size of both.
fn header_of(bytes: &[u8]) -> Result<(u8, Option<usize>, usize), Damaged> {
    let (tag, first) = match bytes {
        [tag, first, ..] => (*tag, *first),
        _ => return Err(CUT_SHORT),
    };
    if tag & 0x1f == 0x1f {
        return Err(Damaged("a tag that these formats do not have"));
    }
    match first {
        0..0x80 => Ok((tag, Some(usize::from(first)), 2)),
        0x80 if tag & CONSTRUCTED != 0 => Ok((tag, None, 2)),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let octets = bytes.get(2..2 + count).ok_or(CUT_SHORT)?;
            let length = octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
            Ok((tag, Some(length), 2 + count))
        }
        _ => Err(Damaged("a length that cannot be")),
    }
}

/// A length as DER writes it.
fn length_octets(length: usize) -> impl Iterator<Item = u8> {
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let count = bytes.len() - significant;
    let is_short = length < 0x80;
    // At most eight octets: the marker fits a byte.
    let marker = (!is_short).then_some(0x80 | count as u8);
    marker.into_iter().chain(bytes.into_iter().skip(significant))
}

const CUT_SHORT: Damaged = Damaged("it ends too early");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indefinite_lengths_and_octet_strings_in_pieces_become_definite_and_whole() {
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 2, 1, 2, 4, 1, 3, 0, 0, 0xa0, 0x80, 2, 1, 5, 0, 0, 0, 0];
        assert_eq!(**to_definite(&ber).unwrap(), [0x30, 10, 4, 3, 1, 2, 3, 0xa0, 3, 2, 1, 5]);
        for cut in 0..ber.len() {
            assert!(to_definite(&ber[..cut]).is_err(), "cut at {cut}");
        }
        let long: Vec<u8> = [&[0x30, 0x80, 4, 0x81, 200][..], &[7; 200], &[0, 0]].concat();
        let definite = to_definite(&long).unwrap();
        assert_eq!(definite[..6], [0x30, 0x81, 203, 4, 0x81, 200]);
        assert_eq!(**to_definite(&definite).unwrap(), **definite, "what is definite stays as it is");
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        assert_eq!(to_definite(&[0x30, 0x80].repeat(100_000)), Err(Damaged("elements nested too deeply")));
    }
}
