//! Keys that wait for their certificates.

use std::path::{Path, PathBuf};

use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::contents::listed;
use super::file::{parent_of, read_key};
use super::store::{Access, Store};
use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::import::{self, Options};
use crate::identity::selection::public_key_of;
use crate::identity::{KeyHash, file_stem, pem};
use crate::limits::SOURCE_BYTES_MAX;
use crate::name::Name;

/// A key whose request was made and whose certificate has not come yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitingKey {
    /// `NAME-HASH.key`.
    pub key: PathBuf,
    /// `NAME-HASH.csr`.
    pub request: PathBuf,
    hash: KeyHash,
}

impl WaitingKey {
    /// SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal.
    pub fn public_key_sha256(&self) -> String {
        self.hash.to_string()
    }
}

impl IdentityFiles {
    /// Keeps a private key (PKCS#8 in DER) and the request that was made of it (PKCS#10 in DER) in the identity
    /// directory until the certificate comes: `NAME-HASH.key`, mode 0600, and `NAME-HASH.csr`. Both are durable when this
    /// returns; the identity that is in use does not change.
    ///
    /// # Errors
    ///
    /// [`Code::KeyUnreadable`], [`Code::DirectoryExposed`], [`Code::FileUnreadable`], [`Code::ConfigMissingKey`].
    pub fn keep_waiting_key(&self, name: &Name, pkcs8: &[u8], request: &[u8]) -> Result<WaitingKey> {
        keep_waiting_key(self, name, pkcs8, request)
    }

    /// The keys of this name that wait for their certificates.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigMissingKey`], [`Code::FileUnreadable`], [`Code::KeyExposed`].
    pub fn waiting_keys(&self, name: &Name) -> Result<Vec<WaitingKey>> {
        waiting_keys(self, name)
    }
}

/// Where the keys of a node wait: the store, or the directory of the configured key.
///
/// # Errors
///
/// [`Code::ConfigMissingKey`].
pub(crate) fn waiting_room(files: &IdentityFiles) -> Result<PathBuf> {
    let of_key = || files.key.as_deref().or(files.pkcs12.as_deref()).map(parent_of);
    let room = files.directory.clone().or_else(of_key);
    room.ok_or_else(|| Error::new(Code::ConfigMissingKey).subject("identity.directory"))
}

/// Keeps a key (PKCS#8) and the request that was made of it (DER) until the certificate comes: as `NAME-HASH.key`, mode
/// 0600, and `NAME-HASH.csr`, PEM. Both are durable when this returns.
///
/// # Errors
///
/// [`Code::KeyUnreadable`], [`Code::DirectoryExposed`], [`Code::FileUnreadable`].
pub(crate) fn keep_waiting_key(files: &IdentityFiles, name: &Name, pkcs8: &[u8], request: &[u8]) -> Result<WaitingKey> {
    let store = Store::open(&waiting_room(files)?)?;
    let hash = public_key_of(pkcs8)?;
    let key = store.path(&key_file(name, hash));
    let request_path = key.with_extension("csr");
    let staged_key = store.stage(&key, key_text(pkcs8)?.as_bytes(), Access::Owner)?;
    let text = pem::encode("CERTIFICATE REQUEST", request);
    let staged_request = store.stage(&request_path, text.as_bytes(), Access::All)?;
    // The key first: a request without its key would bring a certificate that nobody can use.
    staged_key.place()?;
    staged_request.place()?;
    store.sync()?;
    Ok(WaitingKey { key, request: request_path, hash })
}

/// The keys of this name that wait: those with their request beside them.
///
/// # Errors
///
/// [`Code::ConfigMissingKey`], [`Code::FileUnreadable`], [`Code::KeyExposed`].
pub(crate) fn waiting_keys(files: &IdentityFiles, name: &Name) -> Result<Vec<WaitingKey>> {
    let mut waiting = Vec::new();
    for key in listed(&waiting_room(files)?, &["key"])? {
        let request = key.with_extension("csr");
        if is_key_of(&key, name) && request.exists() {
            let bytes = read_key(&key, SOURCE_BYTES_MAX)?;
            let material = import::read(&bytes, &Options::with_password(None))
                .map_err(|error| error.subject(key.display().to_string()))?;
            for found in material.keys {
                waiting.push(WaitingKey {
                    key: key.clone(),
                    request: request.clone(),
                    hash: public_key_of(&found.der)?,
                });
            }
        }
    }
    Ok(waiting)
}

/// `NAME-HASH.key`: 16 digits of the public key's hash.
pub(super) fn key_file(name: &Name, hash: KeyHash) -> String {
    format!("{}.key", file_stem(name, &hash.first_digits()))
}

/// Whether a file is one of this name's keys, as [`key_file`] calls them.
pub(super) fn is_key_of(path: &Path, name: &Name) -> bool {
    let stem = path.file_name().and_then(|file| file.to_str()?.strip_suffix(".key"));
    stem.is_some_and(|stem| {
        let digits = stem.rsplit_once('-').map_or("", |(_, digits)| digits);
        let is_hash = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hash && stem == file_stem(name, digits)
    })
}

/// A key as PEM, under the label of its form.
///
/// # Errors
///
/// [`Code::KeyUnreadable`].
pub(super) fn key_text(der: &[u8]) -> Result<Zeroizing<String>> {
    let label = match PrivateKeyDer::try_from(der) {
        Ok(PrivateKeyDer::Pkcs8(_)) => "PRIVATE KEY",
        Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
        Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
        Ok(_) => return Err(Error::new(Code::KeyUnreadable).found("a key of an unknown form")),
        Err(problem) => return Err(Error::new(Code::KeyUnreadable).found(problem)),
    };
    Ok(pem::encode(label, der))
}
