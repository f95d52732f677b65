//! Whether a request was signed with the key that it shows.

use rustls::pki_types::SignatureVerificationAlgorithm;
use webpki::aws_lc_rs::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P256_SHA512, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ECDSA_P384_SHA512,
    ECDSA_P521_SHA256, ECDSA_P521_SHA384, ECDSA_P521_SHA512, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
};
use x509_parser::certification_request::X509CertificationRequest;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::certificate::key_kind;
use crate::identity::request::unusable;

/// Verifies the signature of a request with its own key.
///
/// # Errors
///
/// [`Code::RequestUnusable`], [`Code::SignatureAlgorithmWeak`] for what is not accepted (rule I2: no SHA-1).
pub(super) fn check(request: &X509CertificationRequest<'_>) -> Result<()> {
    let info = &request.certification_request_info;
    // The bytes: the text of an object identifier may be that of another, badly written.
    let oid = &request.signature_algorithm.algorithm;
    let kind = key_kind(&info.subject_pki).unwrap_or_default();
    let family = kind.split(' ').next().unwrap_or_default();
    let known = ALGORITHMS.iter().find(|(known, of, _)| *known == oid.as_bytes() && (*of == kind || *of == family));
    let Some((_, _, algorithm)) = known else {
        return Err(Error::new(Code::SignatureAlgorithmWeak)
            .found(format!("a request signed with {oid} by a key of the kind {kind}"))
            .expected("SHA-256, SHA-384 or SHA-512, or Ed25519")
            .remedy("request again: farpost cert request, or openssl req -sha256"));
    };
    let key = &info.subject_pki.subject_public_key.data;
    algorithm.verify_signature(key, info.raw, &request.signature_value.data).map_err(|_| {
        unusable("a signature that its key did not make").expected("a request signed with the key that it shows")
    })
}

/// Signature algorithm (object identifier in DER), kind or family of the key, and how it is checked.
static ALGORITHMS: [(&[u8], &str, &dyn SignatureVerificationAlgorithm); 13] = [
    (RSA_SHA256, "RSA", RSA_PKCS1_2048_8192_SHA256),
    (RSA_SHA384, "RSA", RSA_PKCS1_2048_8192_SHA384),
    (RSA_SHA512, "RSA", RSA_PKCS1_2048_8192_SHA512),
    (ECDSA_SHA256, "ECDSA P-256", ECDSA_P256_SHA256),
    (ECDSA_SHA384, "ECDSA P-256", ECDSA_P256_SHA384),
    (ECDSA_SHA512, "ECDSA P-256", ECDSA_P256_SHA512),
    (ECDSA_SHA256, "ECDSA P-384", ECDSA_P384_SHA256),
    (ECDSA_SHA384, "ECDSA P-384", ECDSA_P384_SHA384),
    (ECDSA_SHA512, "ECDSA P-384", ECDSA_P384_SHA512),
    (ECDSA_SHA256, "ECDSA P-521", ECDSA_P521_SHA256),
    (ECDSA_SHA384, "ECDSA P-521", ECDSA_P521_SHA384),
    (ECDSA_SHA512, "ECDSA P-521", ECDSA_P521_SHA512),
    (EDDSA_25519, "Ed25519", ED25519),
];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
const EDDSA_25519: &[u8] = &[0x2b, 0x65, 0x70];
