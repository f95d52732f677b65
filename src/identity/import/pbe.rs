//! Decryption with a password: PBES2, and the two schemes of PKCS#12 that Windows still exports.
//!
//! What a file may cost is decided before anything is computed ([`Work`]): a file's author chooses the iterations.

use aws_lc_rs::{digest, hmac};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use pkcs8::der::Decode;
use pkcs8::pkcs5::pbes2;
use zeroize::{Zeroize, Zeroizing};

use super::tlv::{Damaged, Element, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};
use crate::limits::{PASSWORD_ITERATIONS_MAX, PASSWORD_WORK_MAX, SCRYPT_BYTES_MAX, SCRYPT_WORK_MAX};

/// Why something was not decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The encoding is damaged.
    Damaged(&'static str),
    /// A scheme that is not supported: what it is.
    Unsupported(String),
    /// More work than a file may ask for: what it asks for.
    TooMuchWork(String),
    /// The password does not fit, or the data are damaged: nobody can tell which.
    WrongPassword,
}

impl From<Damaged> for Refusal {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.0)
    }
}

/// What a file may still cost: hashes that are left.
#[derive(Debug)]
pub(super) struct Work {
    left: u64,
    iterations_max: u64,
}

impl Work {
    /// For one file; `iterations_max` only lowers the limit, for a fuzzer.
    pub(super) fn new(iterations_max: u64) -> Self {
        let iterations_max = iterations_max.min(PASSWORD_ITERATIONS_MAX);
        Self { left: PASSWORD_WORK_MAX.min(iterations_max.saturating_mul(10)), iterations_max }
    }

    /// Takes the cost of a key derivation, `passes` times over, or refuses.
    fn charge(&mut self, iterations: u64, passes: u64) -> Result<u32, Refusal> {
        if iterations == 0 {
            return Err(Refusal::Damaged("no iterations"));
        }
        let small = u32::try_from(iterations).ok().filter(|_| iterations <= self.iterations_max);
        let Some(small) = small else { return Err(Refusal::TooMuchWork(format!("{iterations} iterations"))) };
        let cost = iterations.saturating_mul(passes);
        self.left = self
            .left
            .checked_sub(cost)
            .ok_or_else(|| Refusal::TooMuchWork(format!("more than {PASSWORD_WORK_MAX} iterations in all")))?;
        Ok(small)
    }
}

/// A password in the forms that the schemes take. Cleared when it is dropped.
pub(super) struct Password<'a> {
    text: &'a str,
    /// UTF-16, big endian, with a zero at its end (RFC 7292 appendix B.1); empty for the other reading of an empty one.
    wide: Zeroizing<Vec<u8>>,
}

impl<'a> Password<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut wide = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        wide.extend(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes));
        Self { text, wide }
    }

    /// No password: some programs write an empty one without the zero at its end.
    pub(super) fn none() -> Self {
        Self { text: "", wide: Zeroizing::default() }
    }
}

/// Decrypts what this AlgorithmIdentifier describes.
pub(super) fn decrypt(
    algorithm: &Element<'_>,
    data: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let mut reader = algorithm.reader();
    let scheme = reader.expect(OBJECT_IDENTIFIER)?;
    match scheme.body {
        PBES2 => decrypt_pbes2(&reader.expect(SEQUENCE)?, data, password, work),
        [prefix @ .., last] if prefix == PKCS12_PBE => {
            decrypt_pkcs12(*last, &reader.expect(SEQUENCE)?, data, password, work)
        }
        other => Err(Refusal::Unsupported(scheme_name(other))),
    }
}

/// Whether this AlgorithmIdentifier is PBES2.
pub(super) fn is_pbes2(algorithm: &Element<'_>) -> Result<bool, Damaged> {
    Ok(algorithm.reader().expect(OBJECT_IDENTIFIER)?.body == PBES2)
}

/// What a scheme is called.
pub(super) fn scheme_of(algorithm: &Element<'_>) -> String {
    algorithm
        .reader()
        .expect(OBJECT_IDENTIFIER)
        .map_or_else(|damaged| damaged.0.to_owned(), |oid| scheme_name(oid.body))
}

fn scheme_name(oid: &[u8]) -> String {
    let known = match oid {
        [prefix @ .., last] if prefix == PKCS12_PBE => match last {
            1 => "RC4 with 128 bits",
            2 => "RC4 with 40 bits",
            3 => "SHA-1 and 3DES (PBES1)",
            4 => "two-key 3DES",
            5 => "RC2 with 128 bits",
            6 => "RC2 with 40 bits",
            _ => "an unknown scheme of PKCS#12",
        },
        [prefix @ .., last] if prefix == PKCS5 => match last {
            1 | 3 | 4 | 6 | 10 | 11 => "DES or RC2 with MD2, MD5 or SHA-1 (PBES1)",
            14 => "PBMAC1",
            _ => "an unknown scheme of PKCS#5",
        },
        _ => "an unknown scheme",
    };
    known.to_owned()
}

fn decrypt_pbes2(
    parameters: &Element<'_>,
    data: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    charge_pbes2(parameters, work)?;
    let parameters = pbes2::Parameters::from_der(parameters.raw)
        .map_err(|error| Refusal::Unsupported(format!("PBES2 with parameters that are not known: {error}")))?;
    let mut buffer = Zeroizing::new(data.to_vec());
    let length = match parameters.decrypt_in_place(password.text.as_bytes(), &mut buffer) {
        Ok(plain) => plain.len(),
        Err(pkcs8::pkcs5::Error::DecryptFailed) => return Err(Refusal::WrongPassword),
        Err(error) => return Err(Refusal::Unsupported(format!("PBES2: {error}"))),
    };
    truncate(&mut buffer, length);
    Ok(buffer)
}

/// Looks at the key derivation's cost before it is made.
fn charge_pbes2(parameters: &Element<'_>, work: &mut Work) -> Result<(), Refusal> {
    let mut derivation = parameters.reader().expect(SEQUENCE)?.reader();
    let function = derivation.expect(OBJECT_IDENTIFIER)?;
    let mut arguments = derivation.expect(SEQUENCE)?.reader();
    let salt = arguments.expect(OCTET_STRING)?;
    match function.body {
        PBKDF2 => {
            let iterations = arguments.expect(super::tlv::INTEGER)?.number()?;
            // pkcs5 keeps salts of 32 bytes; no program writes longer ones.
            if salt.body.len() > 32 {
                return Err(Refusal::Unsupported(format!("a salt of {} bytes", salt.body.len())));
            }
            work.charge(iterations, 1)?;
        }
        SCRYPT => {
            let mut number = || arguments.expect(super::tlv::INTEGER)?.number();
            let (cost, block, parallel) = (number()?, number()?, number()?);
            let blocks = cost.saturating_mul(block);
            let is_small = blocks.saturating_mul(128) <= SCRYPT_BYTES_MAX
                && blocks.saturating_mul(parallel) <= SCRYPT_WORK_MAX.min(work.iterations_max);
            if !is_small {
                return Err(Refusal::TooMuchWork(format!("scrypt with N {cost}, r {block}, p {parallel}")));
            }
            work.charge(blocks.saturating_mul(parallel), 1)?;
        }
        _ => return Err(Refusal::Unsupported("PBES2 with an unknown key derivation".to_owned())),
    }
    Ok(())
}

/// The schemes of RFC 7292 appendix C that are still met: 3DES with three keys, and RC2 with 40 bits.
fn decrypt_pkcs12(
    scheme: u8,
    parameters: &Element<'_>,
    data: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let key_bytes = match scheme {
        3 => 24,
        6 => 5,
        other => return Err(Refusal::Unsupported(scheme_name(&[PKCS12_PBE, &[other]].concat()))),
    };
    let mut reader = parameters.reader();
    let salt = reader.expect(OCTET_STRING)?;
    // Two blocks of the key, one of the initial vector.
    let iterations = work.charge(reader.expect(super::tlv::INTEGER)?.number()?, 3)?;
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    let key = derive(sha1, &password.wide, salt.body, Purpose::Key, iterations, key_bytes);
    let vector = derive(sha1, &password.wide, salt.body, Purpose::InitialVector, iterations, 8);
    let mut buffer = Zeroizing::new(data.to_vec());
    let length = if scheme == 3 {
        unpadded::<des::TdesEde3>(&key, &vector, &mut buffer)
    } else {
        unpadded::<rc2::Rc2>(&key, &vector, &mut buffer)
    };
    truncate(&mut buffer, length.ok_or(Refusal::WrongPassword)?);
    Ok(buffer)
}

/// Decrypts in place; how much of the buffer is the text.
fn unpadded<C>(key: &[u8], vector: &[u8], buffer: &mut [u8]) -> Option<usize>
where
    C: cbc::cipher::BlockCipherDecrypt,
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, vector).ok()?;
    cipher.decrypt_padded::<Pkcs7>(buffer).ok().map(<[u8]>::len)
}

/// Cuts the padding off, cleared.
fn truncate(buffer: &mut Zeroizing<Vec<u8>>, length: usize) {
    if let Some(padding) = buffer.get_mut(length..) {
        padding.zeroize();
    }
    buffer.truncate(length);
}

/// Compares the integrity code of a PKCS#12 file (RFC 7292 section 5.1).
pub(super) fn check_mac(
    mac: &Element<'_>,
    content: &[u8],
    password: &Password<'_>,
    work: &mut Work,
) -> Result<(), Refusal> {
    let mut reader = mac.reader();
    let mut info = reader.expect(SEQUENCE)?.reader();
    let function = info.expect(SEQUENCE)?;
    let (digest, code) = match function.reader().expect(OBJECT_IDENTIFIER)?.body {
        SHA1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        SHA224 => (&digest::SHA224, hmac::HMAC_SHA224),
        SHA256 => (&digest::SHA256, hmac::HMAC_SHA256),
        SHA384 => (&digest::SHA384, hmac::HMAC_SHA384),
        SHA512 => (&digest::SHA512, hmac::HMAC_SHA512),
        other => return Err(Refusal::Unsupported(format!("an integrity code of {}", scheme_name(other)))),
    };
    let expected = info.expect(OCTET_STRING)?;
    let salt = reader.expect(OCTET_STRING)?;
    let iterations = reader.optional(super::tlv::INTEGER)?.map_or(Ok(1), |element| element.number())?;
    let iterations = work.charge(iterations, 1)?;
    let key = derive(digest, &password.wide, salt.body, Purpose::Mac, iterations, digest.output_len());
    hmac::verify(&hmac::Key::new(code, &key), content, expected.body).map_err(|_| Refusal::WrongPassword)
}

/// What a key of PKCS#12 is for.
#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    InitialVector = 2,
    Mac = 3,
}

/// The key derivation of RFC 7292 appendix B.2.
fn derive(
    algorithm: &'static digest::Algorithm,
    password: &[u8],
    salt: &[u8],
    purpose: Purpose,
    iterations: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = algorithm.block_len();
    let diversifier = vec![purpose as u8; block];
    let repeated = |bytes: &[u8]| {
        let whole = bytes.len().div_ceil(block) * block;
        Zeroizing::new(bytes.iter().copied().cycle().take(whole).collect::<Vec<u8>>())
    };
    let (salt, password) = (repeated(salt), repeated(password));
    let mut state = Zeroizing::new(Vec::with_capacity(salt.len() + password.len()));
    state.extend_from_slice(&salt);
    state.extend_from_slice(&password);
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    while out.len() < length {
        let mut context = digest::Context::new(algorithm);
        context.update(&diversifier);
        context.update(&state);
        let mut hash = context.finish();
        for _ in 1..iterations {
            hash = digest::digest(algorithm, hash.as_ref());
        }
        let missing = length - out.len();
        out.extend(hash.as_ref().iter().take(missing));
        let addend: Zeroizing<Vec<u8>> = Zeroizing::new(hash.as_ref().iter().copied().cycle().take(block).collect());
        state.chunks_exact_mut(block).for_each(|part| add_one_more(part, &addend));
    }
    out
}

/// `part = part + addend + 1`, big endian, without what overflows.
fn add_one_more(part: &mut [u8], addend: &[u8]) {
    let mut carry = 1_u16;
    for (digit, more) in part.iter_mut().rev().zip(addend.iter().rev()) {
        let [high, low] = (u16::from(*digit) + u16::from(*more) + carry).to_be_bytes();
        (*digit, carry) = (low, u16::from(high));
    }
}

/// 1.2.840.113549.1.5.
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.3.6.1.4.1.11591.4.11.
const SCRYPT: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b];
/// 1.2.840.113549.1.12.1.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// 1.3.14.3.2.26.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA224: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

/// The element at the start of these bytes, for what is only looked at.
pub(super) fn first_of(bytes: &[u8]) -> Result<Element<'_>, Damaged> {
    Reader::new(bytes).next_element()?.ok_or(Damaged("nothing"))
}
