//! How an agent behind a gateway proves itself to the management server (rule I6): what is signed, and by whom.
//!
//! The signature is made with the agent's certificate key. It binds the agent's session to one gateway's key and to
//! the group's challenge of a period, so that a gateway can show it to another server of the group, but neither
//! another gateway nor a later period can use it. A gateway behind another one attests itself in the same way.

use std::fmt;

use aws_lc_rs::hmac;
use bytes::Bytes;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::default_provider;
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::Error;
use crate::identity::signer::signer_error;
use crate::identity::{Identity, KeyHash, VerifiedPeer};
use crate::message::Epoch;
use crate::name::Name;
use crate::role::Role;

/// What an attestation says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// What the node says it is: an agent, or a gateway behind another one.
    pub(crate) role: Role,
    /// The management group.
    pub(crate) group: &'a str,
    /// The group's challenge of the period.
    pub(crate) challenge: &'a [u8],
    /// The key of the gateway that the agent is connected to.
    pub(crate) gateway_key: KeyHash,
    /// The agent.
    pub(crate) name: &'a Name,
    /// The instance: epoch, durable boot counter, boot nonce (rule F5).
    pub(crate) epoch: Epoch,
    pub(crate) boot: u64,
    pub(crate) nonce: u64,
    /// The connection counter of this boot.
    pub(crate) connection: u64,
}

impl Claim<'_> {
    /// The bytes that are signed: a context string, then each field with its length (u32, big-endian), so that no two
    /// claims have the same bytes.
    pub(crate) fn to_be_signed(self) -> Vec<u8> {
        // So that neither can ever be shown as the other.
        let context = if self.role == Role::Gateway { GATEWAY_CONTEXT } else { CONTEXT };
        let mut out = context.to_vec();
        put_field(&mut out, self.group.as_bytes());
        put_field(&mut out, self.challenge);
        put_field(&mut out, &self.gateway_key.0);
        put_field(&mut out, self.name.as_str().as_bytes());
        for number in [self.epoch.0, self.boot, self.nonce, self.connection] {
            put_field(&mut out, &number.to_be_bytes());
        }
        out
    }
}

/// Signs bytes that begin with a context string with the node's key. The result is the TLS SignatureScheme and the
/// signature.
///
/// # Errors
///
/// What a [`Signer`](crate::identity::Signer) found; else [`Code::Internal`], since the key was checked when the identity
/// was made.
pub(crate) fn sign(identity: &Identity, bytes: &[u8]) -> Result<(u16, Bytes), Error> {
    sign_by(identity, &SCHEMES, bytes)
}

fn sign_by(identity: &Identity, schemes: &[SignatureScheme], bytes: &[u8]) -> Result<(u16, Bytes), Error> {
    let fault = |found: String| Error::new(Code::Internal).subject("attestation").found(found);
    let signer =
        identity.certified_key().key.choose_scheme(schemes).ok_or_else(|| fault("no signature scheme".to_owned()))?;
    let signature =
        signer.sign(bytes).map_err(|error| signer_error(&error).unwrap_or_else(|| fault(error.to_string())))?;
    Ok((signer.scheme().into(), signature.into()))
}

/// Signs with the key behind an identity by one scheme, and checks the signature with the certificate.
///
/// # Errors
///
/// [`Code::SignerUnusable`] for a wrong signature; what the signer found.
pub(super) fn prove_key(identity: &Identity, scheme: SignatureScheme) -> Result<(), Error> {
    let mut bytes = PROOF_CONTEXT.to_vec();
    put_field(&mut bytes, identity.name().as_str().as_bytes());
    let (by, signature) = sign_by(identity, &[scheme], &bytes)?;
    verify(&identity.snapshot.own, by, &bytes, &signature).map_err(|wrong| {
        Error::new(Code::SignerUnusable)
            .subject(format!("{scheme:?}"))
            .found(wrong.found_text())
            .expected("a signature that the certificate's key verifies")
    })
}

/// Checks a signature over bytes that begin with a context string against a verified chain's leaf.
///
/// # Errors
///
/// [`Code::AttestationInvalid`].
pub(crate) fn verify(peer: &VerifiedPeer, scheme: u16, bytes: &[u8], signature: &[u8]) -> Result<(), Error> {
    let invalid = |found: String| Error::new(Code::AttestationInvalid).found(found);
    let scheme = SignatureScheme::from(scheme);
    if !SCHEMES.contains(&scheme) {
        return Err(invalid(format!("the signature scheme {:#06x}", u16::from(scheme))).expected("a scheme of TLS 1.3"));
    }
    let provider = default_provider();
    let mapping = provider.signature_verification_algorithms.mapping;
    // In TLS 1.3 a scheme names one curve: the first algorithm, not any that shares the hash.
    let algorithm = mapping.iter().find(|(known, _)| *known == scheme).and_then(|(_, algorithms)| algorithms.first());
    let algorithm = algorithm.ok_or_else(|| invalid(format!("the signature scheme {scheme:?}")))?;
    let leaf = peer.chain().first().ok_or_else(|| invalid("an empty chain".to_owned()))?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| invalid(format!("{error:?}")))?;
    leaf.verify_signature(*algorithm, bytes, signature)
        .map_err(|error| invalid(format!("a signature that the key of {} did not make ({error:?})", peer.key_hash())))
}

/// The group's secret that its challenges are made with: shown by nothing (SECURITY H14), wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct ChallengeSecret(Zeroizing<[u8; 32]>);

impl ChallengeSecret {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ChallengeSecret {
    fn from(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl fmt::Debug for ChallengeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeSecret")
    }
}

/// The challenge of a period (rule I6). It needs no store: every server that knows the group's secret computes it.
pub(crate) fn challenge_of_period(secret: &[u8; 32], group: &str, period: u64) -> [u8; 32] {
    let mut bytes = CHALLENGE_CONTEXT.to_vec();
    put_field(&mut bytes, group.as_bytes());
    put_field(&mut bytes, &period.to_be_bytes());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &bytes);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// Appends a field with its length (u32, big-endian), so that no two lists of fields have the same bytes.
pub(crate) fn put_field(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

/// What is signed can never be taken for something else that a certificate key signs: TLS 1.3 begins with 64 spaces.
const CONTEXT: &[u8] = b"farpost attestation 1\0";
const GATEWAY_CONTEXT: &[u8] = b"farpost gateway attestation 1\0";
/// What a key that the process does not hold signs when an identity is made with it.
const PROOF_CONTEXT: &[u8] = b"farpost key proof 1\0";
const CHALLENGE_CONTEXT: &[u8] = b"farpost challenge 1\0";

/// The schemes of TLS 1.3: no SHA-1, no PKCS#1 v1.5.
const SCHEMES: [SignatureScheme; 7] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];
