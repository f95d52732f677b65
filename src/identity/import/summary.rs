//! What a file would bring into an identity, without bringing it.

use super::{Options, read};
use crate::error::Error;
use crate::identity::selection::public_key_of;

/// How much a file holds. Its keys themselves are not handed out: `CertificateImport` installs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceSummary {
    /// Certificates, of nodes and of CAs.
    pub certificates: usize,
    /// Private keys, all of them of a kind that a node can use.
    pub keys: usize,
    /// Revocation lists.
    pub lists: usize,
}

/// Reads a file as [`CertificateImport`](crate::CertificateImport) would and says what it holds: PEM, DER, PKCS#7, PKCS#8
/// or PKCS#12. Without a password the empty one is tried. Nothing is judged but the file: neither validity nor trust.
///
/// Takes as long as the file's key derivation asks for, up to a bound.
///
/// # Errors
///
/// Why it cannot be imported: [`Code::SourceUnreadable`](crate::Code::SourceUnreadable),
/// [`Code::PasswordMissing`](crate::Code::PasswordMissing), [`Code::PasswordWrong`](crate::Code::PasswordWrong),
/// [`Code::WorkTooLarge`](crate::Code::WorkTooLarge),
/// [`Code::KeyEncryptionUnsupported`](crate::Code::KeyEncryptionUnsupported),
/// [`Code::KeyUnreadable`](crate::Code::KeyUnreadable), and those of PKCS#12 from
/// [`Code::PfxUnreadable`](crate::Code::PfxUnreadable) on.
pub fn read_source(bytes: &[u8], password: Option<&str>) -> Result<SourceSummary, Error> {
    let material = read(bytes, &Options::with_password(password))?;
    material.keys.iter().try_for_each(|key| public_key_of(&key.der).map(|_| ()))?;
    let (certificates, keys, lists) = (material.certificates.len(), material.keys.len(), material.lists.len());
    Ok(SourceSummary { certificates, keys, lists })
}
