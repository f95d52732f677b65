//! A private key that never leaves its owner (a TPM, a PKCS#11 token, a key service), as an identity's key.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{OtherError, SignatureAlgorithm};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::attestation::prove_key;
use crate::identity::{Identity, IdentityPolicy, Report, Snapshot, Trust, kept, pem, verify_peer, without_anchors};
use crate::name::Name;
use crate::time::Timestamp;

/// How a [`Signer`] signs: the algorithms of TLS 1.3 that a certificate key may have (rule I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// Ed25519 over the message itself; 64 bytes (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256; the signature is an `ECDSA-Sig-Value` in DER.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384; in DER.
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512; in DER.
    EcdsaP521Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with the same, and a salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with the same, and a salt of 48 bytes.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1 with the same, and a salt of 64 bytes.
    RsaPssSha512,
}

impl SignatureScheme {
    fn of_tls(self) -> rustls::SignatureScheme {
        match self {
            Self::Ed25519 => rustls::SignatureScheme::ED25519,
            Self::EcdsaP256Sha256 => rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::EcdsaP384Sha384 => rustls::SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::EcdsaP521Sha512 => rustls::SignatureScheme::ECDSA_NISTP521_SHA512,
            Self::RsaPssSha256 => rustls::SignatureScheme::RSA_PSS_SHA256,
            Self::RsaPssSha384 => rustls::SignatureScheme::RSA_PSS_SHA384,
            Self::RsaPssSha512 => rustls::SignatureScheme::RSA_PSS_SHA512,
        }
    }

    fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Ed25519 => SignatureAlgorithm::ED25519,
            Self::EcdsaP256Sha256 | Self::EcdsaP384Sha384 | Self::EcdsaP521Sha512 => SignatureAlgorithm::ECDSA,
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => SignatureAlgorithm::RSA,
        }
    }
}

/// Makes signatures with a private key that this process need not hold.
///
/// [`Identity::with_signer`] takes one. It signs TLS handshakes on both sides of a link and, for an agent, an
/// attestation every ten minutes; nothing else.
///
/// `sign` may block for as long as a token takes, typically 100 to 500 ms: it is called on threads that are made for it,
/// never on a thread of the runtime. Whoever speaks to an asynchronous service waits for it there
/// (`Handle::block_on`). A call that has not answered within five seconds, that returns an error, or that panics, fails
/// the one handshake or attestation that needed it, with a code; other links and their data go on, also those of the
/// same node. A call that never returns keeps its thread, and counts against [`Self::concurrency`].
///
/// On a current-thread runtime the handshake that waits for a signature keeps the runtime's other tasks waiting: run
/// nodes with a slow signer on a multi-thread one.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The public key, SubjectPublicKeyInfo in DER; asked for once.
    fn public_key(&self) -> Vec<u8>;

    /// How it can sign, the preferred one first; asked for once. Each is tried when the identity is made.
    fn schemes(&self) -> Vec<SignatureScheme>;

    /// Signs a message: the message itself, not its hash.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; its text is told with [`Code::SignerFailed`].
    fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

    /// How many calls of [`Self::sign`] may run at the same time, 1 to 16. A TPM does one after the other, a key service
    /// many.
    fn concurrency(&self) -> usize {
        1
    }
}

impl Identity {
    /// An identity whose key is behind a signer that answers in bounded time; the rest is as in [`Identity::from_pem`].
    pub(crate) fn from_signer(
        name: &Name,
        certificates: &[u8],
        signer: Arc<dyn Signer>,
        trust: &[&[u8]],
        crls: &[&[u8]],
        policy: IdentityPolicy,
        at: Timestamp,
    ) -> Result<Self, Report> {
        let mut report = Report::default();
        let trust = kept(Trust::from_pem(trust, crls), &mut report);
        let chain = kept(pem::certificates(certificates).map_err(Report::of), &mut report);
        let chain = chain.map(|chain| without_anchors(chain, trust.as_ref()));
        let (Some(trust), Some(chain)) = (trust, chain) else { return Err(report) };
        let key = RemoteKey::new(signer);
        let key = kept(key.map(|key| CertifiedKey::new(chain.clone(), Arc::new(key))).map_err(Report::of), &mut report);
        if key.as_ref().is_some_and(|key| key.keys_match().is_err()) {
            report.add(
                Error::new(Code::KeyMismatch)
                    .subject("the signer")
                    .found("another public key than the certificate's")
                    .expected("the key that the certificate was requested with"),
            );
        }
        let own = kept(verify_peer(&trust, &policy, &chain, Some(name), at), &mut report);
        let (Some(key), Some(own)) = (key, own) else { return Err(report) };
        if !report.is_clean() {
            return Err(report);
        }
        let (name, trust, tls) = (name.clone(), Arc::new(trust), OnceLock::new());
        let identity = Self {
            generation: 1,
            snapshot: Arc::new(Snapshot { name, key: Arc::new(key), own, trust, policy, tls }),
            files: None,
        };
        prove_every_scheme(&identity).map_err(Report::of)?;
        Ok(identity)
    }
}

/// A signature by each scheme that the signer says it has, checked with the certificate's key: what does not work is
/// found here, and not in the handshake of a peer that offers just that.
fn prove_every_scheme(identity: &Identity) -> Result<(), Error> {
    let key = &identity.certified_key().key;
    for scheme in ALL.map(SignatureScheme::of_tls) {
        if key.choose_scheme(&[scheme]).is_some() {
            prove_key(identity, scheme)?;
        }
    }
    Ok(())
}

/// What a rustls error says of a signer, if it comes from one.
pub(crate) fn signer_error(error: &rustls::Error) -> Option<Error> {
    match error {
        rustls::Error::Other(OtherError(inner)) => inner.downcast_ref::<Error>().cloned(),
        _ => None,
    }
}

/// Calls a signer once: neither an error nor a panic of it is more than a signature that was not made.
///
/// # Errors
///
/// [`Code::SignerFailed`], or the library's own error that it returns.
pub(crate) fn call(signer: &dyn Signer, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |found: String| Error::new(Code::SignerFailed).subject(format!("{scheme:?}")).found(found);
    match catch_unwind(AssertUnwindSafe(|| signer.sign(scheme, message))) {
        Ok(Ok(signature)) => Ok(signature),
        Ok(Err(error)) => match error.downcast::<Error>() {
            Ok(own) => Err(*own),
            Err(other) => Err(failed(printable(&other.to_string()))),
        },
        Err(_) => Err(failed("a panic".to_owned())),
    }
}

/// A signer as rustls takes a key.
#[derive(Debug)]
struct RemoteKey {
    signer: Arc<dyn Signer>,
    public_key: SubjectPublicKeyInfoDer<'static>,
    schemes: Vec<SignatureScheme>,
    algorithm: SignatureAlgorithm,
}

impl RemoteKey {
    /// Asks the signer what it is; it is other people's code.
    fn new(signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let unusable = |found: &str| {
            Error::new(Code::SignerUnusable)
                .subject("the signer")
                .found(found)
                .expected("a public key and the schemes of one kind of key")
        };
        let asked = catch_unwind(AssertUnwindSafe(|| (signer.public_key(), signer.schemes())));
        let (public_key, schemes) = asked.map_err(|_| unusable("a panic"))?;
        let first = schemes.first().ok_or_else(|| unusable("no signature scheme"))?;
        let algorithm = first.algorithm();
        if schemes.iter().any(|scheme| scheme.algorithm() != algorithm) {
            return Err(unusable("schemes of several kinds of keys"));
        }
        Ok(Self { signer, public_key: SubjectPublicKeyInfoDer::from(public_key), schemes, algorithm })
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let scheme = self.schemes.iter().copied().find(|scheme| offered.contains(&scheme.of_tls()))?;
        Some(Box::new(RemoteSigner { signer: self.signer.clone(), scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public_key.clone())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

#[derive(Debug)]
struct RemoteSigner {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl rustls::sign::Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        call(self.signer.as_ref(), self.scheme, message)
            .map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        self.scheme.of_tls()
    }
}

const ALL: [SignatureScheme; 7] = [
    SignatureScheme::Ed25519,
    SignatureScheme::EcdsaP256Sha256,
    SignatureScheme::EcdsaP384Sha384,
    SignatureScheme::EcdsaP521Sha512,
    SignatureScheme::RsaPssSha256,
    SignatureScheme::RsaPssSha384,
    SignatureScheme::RsaPssSha512,
];
