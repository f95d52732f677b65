//! Certificates, keys and revocation lists out of files' bytes: PEM, or one DER object.

use pkcs8::LineEnding;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::Error;
use crate::identity::key_text;

/// Reads the certificates of a file.
///
/// # Errors
///
/// [`Code::CertificateUnreadable`] where a section is damaged or there is none.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    if is_der(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let unreadable = |found: String| {
        Error::new(Code::CertificateUnreadable)
            .found(found)
            .expected("PEM sections CERTIFICATE, or one certificate as DER")
    };
    let mut out = Vec::new();
    for section in CertificateDer::pem_slice_iter(bytes) {
        out.push(section.map_err(|error| unreadable(format!("damaged PEM: {error:?}")))?);
    }
    if out.is_empty() {
        return Err(unreadable(format!("no certificate in {} bytes", bytes.len())));
    }
    Ok(out)
}

/// Reads the revocation lists of a file.
///
/// # Errors
///
/// [`Code::CrlUnusable`] where a section is damaged or there is none.
pub(super) fn revocation_lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    if is_der(bytes) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let unusable =
        |found: String| Error::new(Code::CrlUnusable).found(found).expected("PEM sections X509 CRL, or one CRL as DER");
    let mut out = Vec::new();
    for section in CertificateRevocationListDer::pem_slice_iter(bytes) {
        out.push(section.map_err(|error| unusable(format!("damaged PEM: {error:?}")))?);
    }
    if out.is_empty() {
        return Err(unusable(format!("no revocation list in {} bytes", bytes.len())));
    }
    Ok(out)
}

/// Reads the first private key of a file: PKCS#8, SEC1 or PKCS#1, unencrypted.
///
/// # Errors
///
/// [`Code::KeyUnreadable`]; an encrypted key gets the command that converts it.
pub(crate) fn private_key(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unreadable = || Error::new(Code::KeyUnreadable).expected("an unencrypted PEM key: PKCS#8, SEC1 or PKCS#1");
    if is_der(bytes) {
        PrivateKeyDer::try_from(bytes).map_err(|problem| unreadable().found(problem))?;
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    if contains(bytes, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(unreadable()
            .found("an encrypted key")
            .remedy("openssl pkcs8 -topk8 -nocrypt -in KEY -out PLAIN, then chmod 600 PLAIN"));
    }
    key_text::decode(bytes).ok_or_else(|| unreadable().found(format!("no private key in {} bytes", bytes.len())))
}

/// One DER object as a PEM section, with lines of 64 characters (RFC 7468). It may be a key: the text is made at once in
/// its length, which leaves no copies, and is cleared when it is dropped.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    // It fails only for a label that is none, or a text above the memory's size.
    Zeroizing::new(pkcs8::der::pem::encode_string(label, LineEnding::LF, der).unwrap_or_default())
}

/// A DER object begins with a SEQUENCE; PEM text never does (0x30 is the digit 0).
fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30) && !contains(bytes, b"-----BEGIN ")
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
