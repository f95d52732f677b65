//! What an identity is made of, out of any file: PEM in any order, DER, PKCS#7, PKCS#8 and PKCS#12.
//!
//! What a block or file is, its bytes tell, not its label or its name: programs label PKCS#7 as CERTIFICATE, and people
//! rename files. Keys stay in memory that is cleared when it is dropped (H14): PKCS#12 and PKCS#8 are read by this
//! module itself, since the libraries for them keep copies of keys. What cannot be cleared are the derived encryption
//! keys in the ciphers' own state.

mod blocks;
mod pbe;
mod pfx;
mod summary;
mod tlv;

#[cfg(test)]
mod tests;

use std::fmt;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

pub use summary::{SourceSummary, read_source};

use self::pbe::{Password, Refusal, Work};
use self::tlv::{
    CONTEXT_0, CONTEXT_1, Damaged, Element, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, SET,
    to_definite,
};
use crate::code::Code;
use crate::error::Error;
use crate::limits::{MATERIAL_CERTIFICATES_MAX, MATERIAL_KEYS_MAX, PASSWORD_ITERATIONS_MAX};

/// What was found in files: certificates and revocation lists as they are, keys decrypted.
#[derive(Default)]
pub(crate) struct Material {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<ImportedKey>,
    pub(crate) lists: Vec<CertificateRevocationListDer<'static>>,
    /// Certificate requests: of no use here, but what the file is.
    requests: usize,
}

/// A private key: PKCS#8, PKCS#1 or SEC1 in DER, in the clear.
pub(crate) struct ImportedKey {
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// Whether a password protected it in its file.
    pub(crate) was_encrypted: bool,
}

impl fmt::Debug for ImportedKey {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedKey")
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, keys, lists) = (self.certificates.len(), self.keys.len(), self.lists.len());
        write!(f, "Material({certificates} certificates, {keys} keys, {lists} lists)")
    }
}

impl Material {
    /// Adds what another file holds.
    pub(crate) fn merge(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
        self.keys.extend(other.keys);
        self.lists.extend(other.lists);
        self.requests += other.requests;
    }
}

/// How a file is read.
pub(crate) struct Options<'a> {
    /// The password of what is encrypted. Without one the empty password is tried.
    pub(crate) password: Option<&'a str>,
    /// Takes a PKCS#12 file without an integrity code, and one whose key or certificates are not encrypted.
    pub(crate) allow_unprotected: bool,
    /// Leaves keys where they are: a file of certificates is not looked at as one of keys must be.
    pub(crate) skip_keys: bool,
    /// The most iterations of a key derivation; only ever below the limit of the library.
    pub(crate) iterations_max: u64,
}

impl<'a> Options<'a> {
    /// With this password.
    pub(crate) fn with_password(password: Option<&'a str>) -> Self {
        Self { password, allow_unprotected: false, skip_keys: false, iterations_max: PASSWORD_ITERATIONS_MAX }
    }

    /// For files of certificates and lists.
    pub(crate) fn without_keys() -> Self {
        Self { skip_keys: true, ..Self::with_password(None) }
    }
}

/// Reads everything in a file.
///
/// # Errors
///
/// [`Code::SourceUnreadable`] for what is none of the formats or holds nothing of use; [`Code::PasswordMissing`],
/// [`Code::PasswordWrong`], [`Code::WorkTooLarge`]; [`Code::KeyEncryptionUnsupported`] for keys; for PKCS#12
/// [`Code::PfxUnreadable`], [`Code::PfxUnprotected`], [`Code::PfxUnsupported`], [`Code::PfxWithoutKey`] and
/// [`Code::PfxWithoutCertificate`].
pub(crate) fn read(bytes: &[u8], options: &Options<'_>) -> Result<Material, Error> {
    if let Some(text) = of_wide_text(bytes) {
        return read(&text, options);
    }
    let mut material = Material::default();
    if blocks::is_pem(bytes) {
        let mut work = Work::new(options.iterations_max);
        for block in blocks::blocks(bytes)? {
            read_block(&block, options, &mut work, &mut material)?;
        }
    } else if bytes.first() == Some(&SEQUENCE) {
        let whole = read_der(bytes, options, &mut Work::new(options.iterations_max), &mut material)?;
        if whole.is_none() {
            return Err(nothing(bytes));
        }
    } else {
        return Err(nothing(bytes));
    }
    let is_empty = material.certificates.is_empty() && material.keys.is_empty() && material.lists.is_empty();
    match is_empty {
        true if material.requests > 0 => Err(Error::new(Code::SourceUnreadable)
            .found("a certificate request")
            .expected("the certificate that the CA made of it")
            .remedy("send the request to the CA, and import its answer")),
        true => Err(nothing(bytes)),
        false => check_counts(material),
    }
}

/// A text of 16-bit characters, as PowerShell writes one, as the ASCII that it is.
fn of_wide_text(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let units = bytes.strip_prefix(&[0xff, 0xfe])?;
    let mut text = Zeroizing::new(Vec::with_capacity(units.len() / 2));
    text.extend(units.chunks_exact(2).map(|unit| if unit[1] == 0 { unit[0] } else { b'?' }));
    blocks::is_pem(&text).then_some(text)
}

/// The revocation lists of a file.
///
/// # Errors
///
/// [`Code::CrlUnusable`].
pub(crate) fn lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    crate::identity::pem::revocation_lists(bytes)
}

fn check_counts(material: Material) -> Result<Material, Error> {
    let (certificates, keys) = (material.certificates.len(), material.keys.len());
    if certificates > MATERIAL_CERTIFICATES_MAX || keys > MATERIAL_KEYS_MAX {
        return Err(Error::new(Code::SourceUnreadable)
            .found(format!("{certificates} certificates and {keys} private keys"))
            .expected(format!("at most {MATERIAL_CERTIFICATES_MAX} and {MATERIAL_KEYS_MAX}")));
    }
    Ok(material)
}

fn read_block(
    block: &blocks::Block<'_>,
    options: &Options<'_>,
    work: &mut Work,
    material: &mut Material,
) -> Result<(), Error> {
    let is_key = block.label.ends_with("PRIVATE KEY");
    if is_key && options.skip_keys {
        return Ok(());
    }
    if block.has_headers {
        return if is_key { Err(traditional(block.label)) } else { Ok(()) };
    }
    let known = [
        "CERTIFICATE",
        "X509 CERTIFICATE",
        "TRUSTED CERTIFICATE",
        "PKCS7",
        "CMS",
        "PKCS12",
        "X509 CRL",
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
    ];
    if block.label.ends_with("CERTIFICATE REQUEST") {
        material.requests += 1;
    } else if known.contains(&block.label) && read_der(&block.der, options, work, material)?.is_none() {
        return Err(Error::new(Code::SourceUnreadable)
            .found(format!("a PEM block {} that holds something else", block.label))
            .expected("a certificate, key or revocation list"));
    }
    // Parameters, public keys and what programs may add later is not of interest.
    Ok(())
}

/// What a DER object is.
enum Kind {
    Certificate,
    List,
    Request,
    Key,
    EncryptedKey,
    Pkcs7,
    Pkcs12,
}

/// Reads one object; `None` if it is of no known kind.
fn read_der(
    bytes: &[u8],
    options: &Options<'_>,
    work: &mut Work,
    material: &mut Material,
) -> Result<Option<()>, Error> {
    // An indefinite length at the outside: only PKCS#7 and PKCS#12 are written so.
    let definite;
    let shape = if bytes.get(1) == Some(&0x80) {
        definite = to_definite(bytes).map_err(damaged)?;
        &definite
    } else {
        bytes
    };
    let mut reader = Reader::new(shape);
    let Some(object) = reader.next_element().map_err(damaged)? else { return Ok(None) };
    let Some(kind) = kind_of(&object) else { return Ok(None) };
    match kind {
        // What OpenSSL appends to a TRUSTED CERTIFICATE is left out.
        Kind::Certificate => material.certificates.push(CertificateDer::from(object.raw.to_vec())),
        Kind::List => material.lists.push(CertificateRevocationListDer::from(object.raw.to_vec())),
        Kind::Request => material.requests += 1,
        Kind::Key | Kind::EncryptedKey | Kind::Pkcs12 if options.skip_keys => return Ok(None),
        Kind::Key => {
            material.keys.push(ImportedKey { der: Zeroizing::new(object.raw.to_vec()), was_encrypted: false });
        }
        Kind::EncryptedKey => {
            let der = decrypt_key(&object, options, work)?;
            material.keys.push(ImportedKey { der, was_encrypted: true });
        }
        Kind::Pkcs7 => {
            let definite = to_definite(bytes).map_err(damaged)?;
            read_pkcs7(&definite, material).map_err(damaged)?;
        }
        Kind::Pkcs12 => material.merge(pfx::read(bytes, options)?),
    }
    Ok(Some(()))
}

/// Tells what an object is by the kinds of its parts.
fn kind_of(object: &Element<'_>) -> Option<Kind> {
    if object.tag != SEQUENCE {
        return None;
    }
    let tags = object.reader().tags(4);
    match tags.as_slice() {
        [SEQUENCE, SEQUENCE, BIT_STRING] => {
            let signed = object.reader().expect(SEQUENCE).ok()?.reader().tags(6);
            Some(match signed.as_slice() {
                [CONTEXT_0, ..] => Kind::Certificate,
                [INTEGER, SEQUENCE, SEQUENCE, UTC_TIME | GENERALIZED_TIME, ..]
                | [SEQUENCE, SEQUENCE, UTC_TIME | GENERALIZED_TIME, ..] => Kind::List,
                [INTEGER, SEQUENCE, SEQUENCE, CONTEXT_0] => Kind::Request,
                _ => Kind::Certificate,
            })
        }
        [SEQUENCE, OCTET_STRING] => Some(Kind::EncryptedKey),
        [INTEGER, SEQUENCE, OCTET_STRING, ..] | [INTEGER, OCTET_STRING, ..] | [INTEGER, INTEGER, INTEGER, ..] => {
            Some(Kind::Key)
        }
        [INTEGER, SEQUENCE] | [INTEGER, SEQUENCE, SEQUENCE] => Some(Kind::Pkcs12),
        [OBJECT_IDENTIFIER, CONTEXT_0] => {
            let kind = object.reader().expect(OBJECT_IDENTIFIER).ok()?;
            (kind.body == pfx::SIGNED_DATA).then_some(Kind::Pkcs7)
        }
        _ => None,
    }
}

/// The certificates and lists of a SignedData (RFC 5652 section 5.1): what a CA hands out as `.p7b`.
fn read_pkcs7(definite: &[u8], material: &mut Material) -> Result<(), Damaged> {
    let mut info = pbe::first_of(definite)?.reader();
    info.expect(OBJECT_IDENTIFIER)?;
    let mut data = pbe::first_of(info.expect(CONTEXT_0)?.body)?.reader();
    data.expect(INTEGER)?;
    data.expect(SET)?;
    data.expect(SEQUENCE)?;
    if let Some(certificates) = data.optional(CONTEXT_0)? {
        let mut reader = certificates.reader();
        while let Some(certificate) = reader.next_element()? {
            // The other choices are attribute certificates and relics.
            if certificate.tag == SEQUENCE {
                material.certificates.push(CertificateDer::from(certificate.raw.to_vec()));
            }
        }
    }
    if let Some(lists) = data.optional(CONTEXT_1)? {
        let mut reader = lists.reader();
        while let Some(list) = reader.next_element()? {
            if list.tag == SEQUENCE {
                material.lists.push(CertificateRevocationListDer::from(list.raw.to_vec()));
            }
        }
    }
    Ok(())
}

/// Decrypts a PKCS#8 key (RFC 5958 section 3).
fn decrypt_key(object: &Element<'_>, options: &Options<'_>, work: &mut Work) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut reader = object.reader();
    let algorithm = reader.expect(SEQUENCE).map_err(damaged)?;
    let data = reader.expect(OCTET_STRING).map_err(damaged)?;
    let unsupported = |found: String| {
        Error::new(Code::KeyEncryptionUnsupported).found(found).expected("PBES2 with AES or 3DES, PBKDF2 or scrypt")
    };
    if !pbe::is_pbes2(&algorithm).map_err(damaged)? {
        return Err(unsupported(format!("a key encrypted with {}", pbe::scheme_of(&algorithm))));
    }
    let Some(password) = options.password else {
        let missing = Error::new(Code::PasswordMissing).found("an encrypted private key and no password");
        return Err(missing.expected("the password that it was encrypted with"));
    };
    let wrong = || Error::new(Code::PasswordWrong).found("a key that this password does not decrypt");
    let plain =
        pbe::decrypt(&algorithm, data.body, &Password::new(password), work).map_err(|refusal| match refusal {
            Refusal::Damaged(found) => damaged(Damaged(found)),
            Refusal::Unsupported(found) => unsupported(found),
            Refusal::TooMuchWork(found) => Error::new(Code::WorkTooLarge).found(found),
            Refusal::WrongPassword => wrong(),
        })?;
    // A wrong password leaves padding that looks right once in 256 times.
    let is_key = pbe::first_of(&plain).is_ok_and(|key| matches!(kind_of(&key), Some(Kind::Key)));
    if is_key { Ok(plain) } else { Err(wrong()) }
}

fn traditional(label: &str) -> Error {
    Error::new(Code::KeyEncryptionUnsupported)
        .found(format!("a PEM block {label} encrypted the traditional way (DEK-Info)"))
        .expected("PKCS#8: -----BEGIN ENCRYPTED PRIVATE KEY-----")
}

fn damaged(damaged: Damaged) -> Error {
    Error::new(Code::SourceUnreadable).found(damaged.0).expected("a whole certificate, key, PKCS#7 or PKCS#12 file")
}

fn nothing(bytes: &[u8]) -> Error {
    Error::new(Code::SourceUnreadable)
        .found(format!("{} bytes that hold none of them", bytes.len()))
        .expected("certificates, keys or revocation lists as PEM or DER, PKCS#7 or PKCS#12")
}

const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
