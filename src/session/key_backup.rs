//! The backup of the group's key: a file that brings it into another store (rule G6).
//!
//! JSON. The private key is an encrypted PKCS#8 key (RFC 5958; PBES2 with scrypt and AES-256, RFC 8018 and RFC 7914), which any
//! tool reads: `jq -r .contents.private_key FILE | openssl pkey`. Everything else is in the clear, and nothing of it can be
//! changed: the key itself has signed all of it (Ed25519 over [`CONTEXT`] and the contents as JSON in the order of
//! [`Contents`]).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::Bytes;
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::Decode as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{GroupKey, KeySuccession};
use crate::identity::{import, pem};
use crate::store::KeyBackup;
use crate::time::Timestamp;

/// What a file of this format begins with.
const FORMAT: &str = "farpost group key backup 1";
/// What no other signature of farpost begins with.
const CONTEXT: &[u8] = b"farpost group key backup 1\0";

/// What comes before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 section 7).
const SEED_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    contents: Contents,
    /// Hexadecimal digits.
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    group: String,
    made: Timestamp,
    /// Hexadecimal digits, like what the statements hold.
    public_key: String,
    version: u64,
    since: Option<Timestamp>,
    versions_to: u64,
    successions: Vec<Statement>,
    /// PEM.
    private_key: String,
    /// PEM: the 32 bytes of the secret of the group's challenges, in the form of an Ed25519 key and encrypted like one.
    challenge_secret: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    body: String,
    signature: String,
}

/// The file's text. Takes a tenth of a second for the password.
pub(crate) fn encode(backup: &KeyBackup, password: &str, made: Timestamp) -> Result<String> {
    let key = GroupKey::from_pkcs8(&backup.pkcs8)?;
    let secret = Zeroizing::new([&SEED_PREFIX[..], &backup.challenge_secret[..]].concat());
    let statement =
        |one: &KeySuccession| Statement { body: hexadecimal(&one.body), signature: hexadecimal(&one.signature) };
    let contents = Contents {
        group: backup.group.clone(),
        made,
        public_key: key.public().to_string(),
        version: backup.version,
        since: backup.since,
        versions_to: backup.versions_to,
        successions: backup.successions.iter().map(statement).collect(),
        private_key: encrypt(&backup.pkcs8, password)?,
        challenge_secret: encrypt(&secret, password)?,
    };
    let signature = hexadecimal(&key.sign_bytes(&signed_bytes(&contents)?));
    let file = File { format: FORMAT.to_owned(), contents, signature };
    let text = serde_json::to_string_pretty(&file).map_err(|error| internal(&error))?;
    Ok(text + "\n")
}

/// An Ed25519 key (PKCS#8) under a password, PEM.
fn encrypt(pkcs8: &[u8], password: &str) -> Result<String> {
    let plain = PrivateKeyInfoRef::from_der(pkcs8).map_err(|error| internal(&error))?;
    // Without the public key beside it, which OpenSSL 3.0 does not read.
    let plain = PrivateKeyInfoRef::new(plain.algorithm, plain.private_key);
    let encrypted = plain.encrypt(password).map_err(|error| internal(&error))?;
    Ok(pem::encode("ENCRYPTED PRIVATE KEY", encrypted.as_bytes()).to_string())
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::Internal).subject("the backup of the group's key").found(error.to_string())
}

/// What a file's text holds. Takes a tenth of a second for the password.
///
/// # Errors
///
/// [`Code::KeyBackupUnusable`] for what is no such file, or was changed; [`Code::PasswordWrong`].
pub(crate) fn decode(text: &str, password: &str) -> Result<KeyBackup> {
    let file: File = serde_json::from_str(text).map_err(|error| {
        // Not serde's text: it may hold what the file holds.
        unusable(&format!("line {}: no such file", error.line())).expected(format!("JSON with the format \"{FORMAT}\""))
    })?;
    if file.format != FORMAT {
        let found: String = file.format.chars().take(60).collect();
        return Err(unusable(&format!("the format \"{found}\"")).expected(format!("\"{FORMAT}\"")));
    }
    let contents = file.contents;
    let pkcs8 = decrypt(&contents.private_key, password)?;
    let key = GroupKey::from_pkcs8(&pkcs8).map_err(|_| unusable("a private key that is no Ed25519 key"))?.public();
    let changed = || unusable("a file that was changed since it was made");
    let signature = bytes_of(&file.signature).ok_or_else(changed)?;
    UnparsedPublicKey::new(&ED25519, key.as_bytes())
        .verify(&signed_bytes(&contents)?, &signature)
        .map_err(|_| changed())?;
    let secret = decrypt(&contents.challenge_secret, password)?;
    let challenge_secret = secret.strip_prefix(&SEED_PREFIX).and_then(|secret| secret.try_into().ok());
    let successions = contents.successions.iter().map(succession_of).collect::<Option<Vec<_>>>().ok_or_else(changed)?;
    Ok(KeyBackup {
        group: contents.group,
        pkcs8,
        version: contents.version,
        since: contents.since,
        versions_to: contents.versions_to,
        successions,
        challenge_secret: Zeroizing::new(challenge_secret.ok_or_else(changed)?),
    })
}

fn decrypt(private_key: &str, password: &str) -> Result<Zeroizing<Vec<u8>>> {
    let options = import::Options::with_password(Some(password));
    match import::read(private_key.as_bytes(), &options) {
        Ok(mut material) if material.keys.len() == 1 && material.keys.iter().all(|key| key.was_encrypted) => {
            material.keys.pop().map(|key| key.der).ok_or_else(|| unusable("no private key"))
        }
        Ok(_) => Err(unusable("no encrypted private key, or several")),
        Err(error) if error.code() == Code::PasswordWrong => {
            Err(error.expected("the password that the backup was made with").remedy("give that password"))
        }
        Err(error) => Err(unusable(error.found_text())),
    }
}

fn signed_bytes(contents: &Contents) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(contents).map_err(|error| internal(&error))?;
    Ok([CONTEXT, &json].concat())
}

fn succession_of(statement: &Statement) -> Option<KeySuccession> {
    let (body, signature) = (bytes_of(&statement.body)?, bytes_of(&statement.signature)?);
    Some(KeySuccession { body: Bytes::from(body), signature: Bytes::from(signature) })
}

fn unusable(found: &str) -> Error {
    Error::new(Code::KeyBackupUnusable).found(found)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
