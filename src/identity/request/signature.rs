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
    let oid = request.signature_algorithm.algorithm.to_id_string();
    let kind = key_kind(&info.subject_pki).unwrap_or_default();
    let family = kind.split(' ').next().unwrap_or_default();
    let known = ALGORITHMS.iter().find(|(known, of, _)| *known == oid && (*of == kind || *of == family));
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

/// Signature algorithm, kind or family of the key, and how it is checked.
static ALGORITHMS: [(&str, &str, &dyn SignatureVerificationAlgorithm); 13] = [
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
    ("1.3.101.112", "Ed25519", ED25519),
];
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
const RSA_SHA384: &str = "1.2.840.113549.1.1.12";
const RSA_SHA512: &str = "1.2.840.113549.1.1.13";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
const ECDSA_SHA512: &str = "1.2.840.10045.4.3.4";
