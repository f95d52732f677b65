//! From a name to a new key and its certificate request.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::{CertificateRequest, KeyKind};
use crate::name::Name;

impl CertificateRequest {
    /// Makes a new key of a kind and the request of a node for it; the key is PKCS#8 in DER. RSA takes up to a second:
    /// not on a task.
    ///
    /// The common name is written where it is asked for (`name_rule` `cn` and `cn-and-san` demand one); X.509 gives
    /// it 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Code::CommonNameNotInSan`] for a common name that would be too long; [`Code::Internal`] where the system has no
    /// random numbers.
    pub fn make(name: &Name, kind: KeyKind, include_common_name: bool) -> Result<(Self, Zeroizing<Vec<u8>>)> {
        let key = generate(kind)?;
        Ok((Self::sign(name, kind, include_common_name, &key)?, key))
    }
}

/// A new private key, PKCS#8 version 1 in DER: what every other implementation reads.
fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>> {
    let no_key = |_| Error::new(Code::Internal).subject("a new key").found("no random numbers from the system");
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| -> Result<_, aws_lc_rs::error::Unspecified> {
        Ok(Zeroizing::new(EcdsaKeyPair::generate(algorithm)?.to_pkcs8v1()?.as_ref().to_vec()))
    };
    let rsa = |size: KeySize| -> Result<_, aws_lc_rs::error::Unspecified> {
        let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(size)?.as_der()?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    };
    match kind {
        KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        KeyKind::Ed25519 => {
            Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1()).map(|der| Zeroizing::new(der.as_ref().to_vec()))
        }
    }
    .map_err(no_key)
}
