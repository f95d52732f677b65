//! The outer shape of DER: tag, length, content.

/// An object at the beginning of some bytes.
pub(super) struct Object<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
    /// What follows it.
    pub(super) rest: &'a [u8],
}

/// Reads the object at the beginning; `None` if there is none that is whole.
pub(super) fn object(bytes: &[u8]) -> Option<Object<'_>> {
    let (tag, after) = bytes.split_first()?;
    let (first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(*first), after),
        0x81..=0x84 => {
            let (digits, after) = after.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), after)
        }
        _ => return None,
    };
    let (content, rest) = after.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some(Object { tag: *tag, content, whole, rest })
}

/// A SEQUENCE of this content.
pub(super) fn sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = length.iter().position(|digit| *digit != 0).map_or(&[][..], |first| &length[first..]);
    let mut out = vec![0x30];
    match digits {
        [] => out.push(0),
        [digit] if *digit < 0x80 => out.push(*digit),
        // A length has eight digits at most.
        _ => {
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_beginning_of_it_is() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let written = sequence(&vec![7; length]);
            let read = object(&written).unwrap();
            assert_eq!((read.tag, read.content.len(), read.whole.len()), (0x30, length, written.len()));
            assert!(read.rest.is_empty());
            for cut in [0, 1, 2, 3, written.len() / 2, written.len() - 1] {
                assert!(cut >= written.len() || object(&written[..cut]).is_none(), "{length} cut at {cut}");
            }
        }
        assert!(object(&[0x30, 0x80, 0, 0]).is_none() && object(&[0x30, 0x85, 0, 0, 0, 0, 1, 0]).is_none());
    }
}
