//! A private key out of PEM text, without leaving copies (SECURITY H14).
//!
//! The reader of rustls-pki-types frees its buffers as they are, with the key's text in them. Here the text is decoded in
//! place into memory that is wiped, by arithmetic alone: neither a branch nor an address depends on a digit.

use zeroize::Zeroizing;

/// The first section of the text that holds an unencrypted private key, decoded; `None` where there is none, or where it
/// is damaged.
pub(super) fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (begin, label) =
        LABELS.iter().filter_map(|label| Some((find(text, &boundary("BEGIN", label))?, *label))).min()?;
    let start = begin + boundary("BEGIN", label).len();
    let rest = text.get(start..)?;
    decode_base64(rest.get(..find(rest, &boundary("END", label))?)?)
}

/// What may stand in a section's boundary lines: PKCS#8, SEC1, PKCS#1.
const LABELS: [&str; 3] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];

fn boundary(which: &str, label: &str) -> Vec<u8> {
    format!("-----{which} {label}-----").into_bytes()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// White space may stand anywhere, padding at the end only.
fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Made large enough at once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    let (mut bits, mut count, mut padding, mut wrong) = (Zeroizing::new(0_u32), 0_u32, 0_u32, 0_i16);
    for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        let digit = digit(byte);
        // Digits after padding, or a character that is none.
        wrong |= digit | -i16::from(padding > 0);
        *bits = *bits << 6 | u32::from(digit.unsigned_abs() & 63);
        count += 1;
        if count.is_multiple_of(4) {
            let [_, whole @ ..] = bits.to_be_bytes();
            out.extend_from_slice(&whole);
            *bits = 0;
        }
    }
    let [_, first, second, _] = (*bits << (6 * (4 - count % 4))).to_be_bytes();
    let rest: &[u8] = match (count % 4, padding) {
        (0, 0) => &[],
        (2, 2) => &[first],
        (3, 1) => &[first, second],
        _ => return None,
    };
    out.extend_from_slice(rest);
    (wrong >= 0).then_some(out)
}

/// The value of a digit, or -1: each line adds its range's value plus one, or nothing.
fn digit(byte: u8) -> i16 {
    let byte = i16::from(byte);
    let mut value = -1;
    value += (((64 - byte) & (byte - 91)) >> 8) & (byte - 64);
    value += (((96 - byte) & (byte - 123)) >> 8) & (byte - 70);
    value += (((47 - byte) & (byte - 58)) >> 8) & (byte + 5);
    value += (((42 - byte) & (byte - 44)) >> 8) & 63;
    value += (((46 - byte) & (byte - 48)) >> 8) & 64;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    #[test]
    fn every_byte_is_its_digit_or_none() {
        for byte in 0..=255 {
            let value = DIGITS.iter().position(|digit| *digit == byte).map_or(-1, |at| i16::try_from(at).unwrap());
            assert_eq!(digit(byte), value, "{byte}");
        }
    }

    #[test]
    fn keys_are_decoded_as_the_reader_of_pki_types_does_wherever_they_stand_and_however_they_are_wrapped() {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject as _;

        for count in 0..10 {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
            let pem = key.serialize_pem();
            let expected = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
            let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            for text in [
                pem.clone(),
                pem.replace('\n', "\r\n"),
                format!("Bag Attributes\n{certificate}{pem}{certificate}"),
                pem.replace('\n', "").replace("KEY-----", "KEY-----\n"),
            ] {
                let decoded = decode(text.as_bytes()).unwrap_or_else(|| panic!("{count}: {text}"));
                assert_eq!(&decoded[..], expected.secret_der(), "{text}");
            }
        }
    }

    #[test]
    fn every_length_is_decoded_and_every_damage_is_none() {
        let encode = |bytes: &[u8]| {
            let mut text = String::new();
            for chunk in bytes.chunks(3) {
                let whole = chunk.iter().chain(&[0; 2]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
                for at in 0..4 {
                    let digit = DIGITS[(whole >> (18 - 6 * at) & 63) as usize];
                    text.push(if at <= chunk.len() { digit as char } else { '=' });
                }
            }
            text
        };
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 89 + 3) as u8).collect();
            let text = encode(&bytes);
            assert_eq!(decode_base64(text.as_bytes()).as_deref(), Some(&bytes), "{text}");
            for cut in 0..text.trim_end_matches('=').len() {
                let shorter = decode_base64(&text.as_bytes()[..cut]);
                assert!(shorter.is_none_or(|shorter| cut % 4 == 0 && shorter.len() == cut / 4 * 3), "{text} {cut}");
            }
        }
        for wrong in ["A", "AB", "ABC", "AB=", "ABC==", "ABCD=", "AB==CD==", "AB-D", "ABC\u{7f}", "====", "AB=C"] {
            assert!(decode_base64(wrong.as_bytes()).is_none(), "{wrong}");
        }
        for wrong in
            ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
        {
            assert!(decode(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
