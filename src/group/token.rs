//! One-time tokens: how a node without a certificate proves that an operator expects it.
//!
//! A token is 32 random bytes that the operator is shown once, and an Ed25519 key is made of them. The node signs its
//! certificate request with that key, and shows the public half; the group's store has SHA-256 of the public half. So
//! neither the gateway that carries an enrolment nor whoever steals the store can use a token, and the signature is for
//! one group, name, role, gateway and certificate request.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::attestation::put_field;
use crate::limits::{TOKEN_TEXT_BYTES_MAX, TOKEN_VALIDITY};
use crate::name::Name;
use crate::role::Role;

/// A one-time token. Its text is for the one who enrols the node: it is in no log, no error and no Debug output, and is
/// cleared from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken(Zeroizing<[u8; SEED_BYTES]>);

/// SHA-256 of a token's public key: what the group's store has of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "management-server", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct TokenHash(
    #[cfg_attr(feature = "management-server", serde(with = "crate::text_form::hexadecimal"))] pub(crate) [u8; 32],
);

/// What a token's key signs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnrolmentClaim<'a> {
    /// The management group.
    pub(crate) group: &'a str,
    /// The node that enrols.
    pub(crate) name: &'a Name,
    /// What it will be.
    pub(crate) role: Role,
    /// The gateway that it is connected to; none at a management server.
    pub(crate) gateway: Option<&'a Name>,
    /// The certificate request, DER.
    pub(crate) request: &'a [u8],
}

impl EnrolmentToken {
    /// How long a token is usually valid: an hour.
    pub const VALIDITY: Duration = TOKEN_VALIDITY;

    /// The token of a random seed.
    #[cfg_attr(not(feature = "management-server"), expect(dead_code, reason = "a management server makes tokens"))]
    pub(crate) fn from_seed(seed: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        Self(seed)
    }

    /// Reads a token's text. Case, spaces and hyphens do not matter; `O` is read as 0, `I` and `L` as 1.
    ///
    /// # Errors
    ///
    /// [`Code::TokenUnreadable`]; what was found is not told, since it may be nearly a token.
    pub fn parse(text: &str) -> Result<Self> {
        let unreadable = |found: &str| {
            let expected = "fpt1- and 56 letters and digits, as farpost token create showed them";
            Error::new(Code::TokenUnreadable).found(found).expected(expected)
        };
        if text.len() > TOKEN_TEXT_BYTES_MAX {
            return Err(unreadable("a longer text"));
        }
        let prefix = text.trim().split_at_checked(PREFIX.len());
        let (_, digits) = prefix
            .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX))
            .ok_or_else(|| unreadable("a text that does not begin with fpt1-"))?;
        let mut bytes = Zeroizing::new([0_u8; SEED_BYTES + CHECK_BYTES]);
        let mut count = 0;
        for character in digits.chars().filter(|character| !matches!(character, '-' | ' ')) {
            let value = value_of(character).ok_or_else(|| unreadable("a character that no token has"))?;
            put_bits(&mut bytes[..], count, value).ok_or_else(|| unreadable("too many characters"))?;
            count += 1;
        }
        if count != DIGITS {
            return Err(unreadable("too few characters"));
        }
        let (seed, check) = bytes.split_at(SEED_BYTES);
        let mut token = Self(Zeroizing::new([0; SEED_BYTES]));
        token.0.copy_from_slice(seed);
        if check != token.check() {
            return Err(unreadable("a mistyped token"));
        }
        Ok(token)
    }

    /// The text, for the one who enrols the node: `fpt1-` and eight groups of seven. Shown once, kept nowhere.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; SEED_BYTES + CHECK_BYTES]);
        let (seed, check) = bytes.split_at_mut(SEED_BYTES);
        seed.copy_from_slice(&self.0[..]);
        check.copy_from_slice(&self.check());
        // Made large enough at once: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + DIGITS + DIGITS / GROUP_DIGITS));
        text.push_str(PREFIX);
        for digit in 0..DIGITS {
            if digit > 0 && digit.is_multiple_of(GROUP_DIGITS) {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(bits_at(&bytes[..], digit))]));
        }
        text
    }

    /// The public key that an enrolling node shows.
    pub(crate) fn public_key(&self) -> Result<[u8; 32]> {
        let mut out = [0; 32];
        out.copy_from_slice(self.key()?.public_key().as_ref());
        Ok(out)
    }

    /// The name of the token in the store.
    pub(crate) fn hash(&self) -> Result<TokenHash> {
        Ok(TokenHash::of(&self.public_key()?))
    }

    /// Proves that the sender of a certificate request holds this token: an Ed25519 signature.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`].
    pub(crate) fn prove(&self, claim: EnrolmentClaim<'_>) -> Result<[u8; 64]> {
        let mut out = [0; 64];
        out.copy_from_slice(self.key()?.sign(&claim.to_be_signed()).as_ref());
        Ok(out)
    }

    /// Checks a proof with the public key that was shown with it; the token's name in the store. That the group has
    /// such a token is for the store to say.
    ///
    /// # Errors
    ///
    /// [`Code::TokenProofInvalid`].
    pub(crate) fn verify_proof(public_key: &[u8], claim: EnrolmentClaim<'_>, proof: &[u8]) -> Result<TokenHash> {
        UnparsedPublicKey::new(&ED25519, public_key).verify(&claim.to_be_signed(), proof).map_err(|_| {
            Error::new(Code::TokenProofInvalid)
                .subject(claim.name.as_str())
                .found("a signature that the token's key did not make")
                .expected("one over this group, name, role, gateway and certificate request")
        })?;
        Ok(TokenHash::of(public_key))
    }

    fn key(&self) -> Result<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(&self.0[..])
            .map_err(|_| Error::new(Code::Internal).subject("enrolment token").found("a seed that makes no key"))
    }

    /// What tells a mistyped token: it says nothing of the seed that the text does not say already.
    fn check(&self) -> [u8; CHECK_BYTES] {
        let mut context = digest::Context::new(&SHA256);
        context.update(CHECK_CONTEXT);
        context.update(&self.0[..]);
        let mut out = [0; CHECK_BYTES];
        out.copy_from_slice(&context.finish().as_ref()[..CHECK_BYTES]);
        out
    }
}

impl fmt::Debug for EnrolmentToken {
    /// Nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken")
    }
}

impl TokenHash {
    fn of(public_key: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&SHA256, public_key).as_ref());
        Self(out)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl EnrolmentClaim<'_> {
    /// The bytes that are signed: a context string, then each field with its length (u32, big-endian).
    fn to_be_signed(self) -> Vec<u8> {
        let mut out = CONTEXT.to_vec();
        put_field(&mut out, self.group.as_bytes());
        put_field(&mut out, self.name.as_str().as_bytes());
        put_field(&mut out, &[self.role as u8]);
        put_field(&mut out, self.gateway.map_or("", Name::as_str).as_bytes());
        put_field(&mut out, self.request);
        out
    }
}

/// The value of a digit (Crockford's base 32).
fn value_of(character: char) -> Option<u8> {
    let digit = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let value = ALPHABET.iter().position(|known| char::from(*known) == digit)?;
    u8::try_from(value).ok()
}

/// Five bits at a digit's place, the highest first.
fn bits_at(bytes: &[u8], digit: usize) -> u8 {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..5).fold(0, |value, offset| value << 1 | bit(digit * 5 + offset))
}

/// Puts them there; none if that is behind the end.
fn put_bits(bytes: &mut [u8], digit: usize, value: u8) -> Option<()> {
    for offset in 0..5 {
        let at = digit * 5 + offset;
        *bytes.get_mut(at / 8)? |= (value >> (4 - offset) & 1) << (7 - at % 8);
    }
    Some(())
}

const PREFIX: &str = "fpt1-";
const SEED_BYTES: usize = 32;
/// With the seed 280 bits: 56 digits without a rest.
const CHECK_BYTES: usize = 3;
const DIGITS: usize = (SEED_BYTES + CHECK_BYTES) * 8 / 5;
const GROUP_DIGITS: usize = 7;
/// Crockford's: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// What a token's key signs is nothing else.
const CONTEXT: &[u8] = b"farpost enrolment 1\0";
const CHECK_CONTEXT: &[u8] = b"farpost token check 1\0";

#[cfg(test)]
mod tests;
