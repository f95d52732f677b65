//! PEM: the blocks of a text, whatever stands between them.

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::Error;

/// One block.
pub(super) struct Block<'a> {
    /// `CERTIFICATE`, `PRIVATE KEY`, …
    pub(super) label: &'a str,
    /// Whether it has header lines, as traditional encrypted keys do.
    pub(super) has_headers: bool,
    /// Cleared when dropped: it may hold a key.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// Whether the bytes are a text with a PEM block.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    find(bytes, BEGIN).is_some()
}

/// The blocks of a text.
///
/// # Errors
///
/// [`Code::SourceUnreadable`] where a block has no end or holds something else than base64.
pub(super) fn blocks(mut text: &[u8]) -> Result<Vec<Block<'_>>, Error> {
    let mut out = Vec::new();
    while let Some(start) = find(text, BEGIN) {
        let after = &text[start + BEGIN.len()..];
        let label = find(after, DASHES).and_then(|end| std::str::from_utf8(&after[..end]).ok());
        let Some(label) = label.filter(|label| label.len() <= LABEL_BYTES_MAX) else {
            return Err(damaged("a PEM block without a label"));
        };
        let content = &after[label.len() + DASHES.len()..];
        let end = format!("-----END {label}-----");
        let Some(length) = find(content, end.as_bytes()) else {
            return Err(damaged(&format!("a PEM block {label} without its end")));
        };
        // Keys of OpenSSL have headers, up to an empty line.
        let body = &content[..length];
        let has_headers = body.contains(&b':');
        let der = if has_headers { Zeroizing::default() } else { decode(body, label)? };
        out.push(Block { label, has_headers, der });
        text = &content[length + end.len()..];
    }
    Ok(out)
}

/// Decodes base64 with any white space in it.
fn decode(text: &[u8], label: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = || damaged(&format!("a PEM block {label} that is not base64"));
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => return Err(wrong()),
        };
        if padding > 0 {
            return Err(wrong());
        }
        bits = bits << 6 | u32::from(digit);
        count += 1;
        if count == 4 {
            out.extend(bits.to_be_bytes().into_iter().skip(1));
            (bits, count) = (0, 0);
        }
    }
    match (count, padding) {
        (0, 0) => {}
        (2, 2) => out.extend((bits << 12).to_be_bytes().into_iter().skip(1).take(1)),
        (3, 1) => out.extend((bits << 6).to_be_bytes().into_iter().skip(1).take(2)),
        _ => return Err(wrong()),
    }
    Ok(out)
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = text.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes.get(from..)?.starts_with(text) {
            return Some(from);
        }
        from += 1;
    }
}

fn damaged(found: &str) -> Error {
    Error::new(Code::SourceUnreadable).found(found).expected("whole PEM blocks")
}

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
/// The longest label in use has 24 characters.
const LABEL_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::pem::encode;

    #[test]
    fn what_is_encoded_is_decoded_whatever_its_length_and_its_line_ends() {
        for length in 0..200 {
            let der: Vec<u8> = (0..length).map(|n| (n * 7 + length) as u8).collect();
            let text = encode("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64), "{}", *text);
            for text in
                [text.to_string(), text.replace('\n', "\r\n"), format!("Bag Attributes\n  a: b\n{}after", *text)]
            {
                let found = blocks(text.as_bytes()).unwrap();
                assert_eq!((found.len(), found[0].label, &**found[0].der), (1, "CERTIFICATE", &der[..]), "{length}");
            }
        }
    }

    #[test]
    fn a_block_cut_anywhere_is_no_block_and_no_panic() {
        let text = encode("PRIVATE KEY", &[9; 100]);
        let begun = "-----BEGIN ".len();
        for cut in begun..text.len() - 1 {
            assert!(blocks(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }
}
