//! Signers of every kind of key, and what each fault of one leads to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant as Clock;

use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

use super::*;
use crate::identity::attestation;
use crate::identity::testing::{Issued, name, now};

/// What a call does that is not good.
type Fault = fn() -> Signature;
type Signature = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

/// A token in this process.
#[derive(Debug)]
struct Token {
    key: Arc<dyn SigningKey>,
    public_key: Vec<u8>,
    schemes: Vec<SignatureScheme>,
    /// What the calls after so many good ones do.
    good: usize,
    then: Fault,
    calls: AtomicUsize,
}

impl Token {
    fn of(key: &KeyPair, schemes: &[SignatureScheme]) -> Self {
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self {
            key: any_supported_type(&der).unwrap(),
            public_key: key.subject_public_key_info(),
            schemes: schemes.to_vec(),
            good: usize::MAX,
            then: || unreachable!(),
            calls: AtomicUsize::new(0),
        }
    }
}

impl Signer for Token {
    fn public_key(&self) -> Vec<u8> {
        self.public_key.clone()
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Signature {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= self.good {
            return (self.then)();
        }
        let signer = self.key.choose_scheme(&[of_tls(scheme)]).ok_or("the token has no such scheme")?;
        Ok(signer.sign(message)?)
    }
}

fn of_tls(scheme: SignatureScheme) -> rustls::SignatureScheme {
    match scheme {
        SignatureScheme::Ed25519 => rustls::SignatureScheme::ED25519,
        SignatureScheme::EcdsaP256Sha256 => rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::EcdsaP384Sha384 => rustls::SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::EcdsaP521Sha512 => rustls::SignatureScheme::ECDSA_NISTP521_SHA512,
        SignatureScheme::RsaPssSha256 => rustls::SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RsaPssSha384 => rustls::SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RsaPssSha512 => rustls::SignatureScheme::RSA_PSS_SHA512,
    }
}

const P256: [SignatureScheme; 1] = [SignatureScheme::EcdsaP256Sha256];

/// A leaf of this key under a root, and an identity of both with this signer.
fn identity_of(key: KeyPair, signer: impl Signer + 'static) -> Result<Identity, Report> {
    let root = Issued::root(|_| {});
    let leaf = root.issue(root.leaf(|_| {}).params, key);
    let (chain, root) = (leaf.pem(), root.pem());
    let policy = IdentityPolicy::default();
    Identity::with_signer(&name(), chain.as_bytes(), Arc::new(signer), &[root.as_bytes()], &[], policy, now())
}

fn generated(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

#[test]
fn i6_a_signer_of_every_kind_of_key_attests_by_every_scheme() {
    use SignatureScheme::{EcdsaP256Sha256, EcdsaP384Sha384, EcdsaP521Sha512, Ed25519};
    use SignatureScheme::{RsaPssSha256, RsaPssSha384, RsaPssSha512};

    let rsa = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let kinds = [
        (generated(&rcgen::PKCS_ED25519), vec![Ed25519]),
        (generated(&rcgen::PKCS_ECDSA_P256_SHA256), vec![EcdsaP256Sha256]),
        (generated(&rcgen::PKCS_ECDSA_P384_SHA384), vec![EcdsaP384Sha384]),
        (generated(&rcgen::PKCS_ECDSA_P521_SHA512), vec![EcdsaP521Sha512]),
        (rsa(), vec![RsaPssSha256, RsaPssSha384, RsaPssSha512]),
        (rsa(), vec![RsaPssSha512]),
        (rsa(), vec![RsaPssSha384]),
    ];
    for (key, schemes) in kinds {
        let token = Token::of(&key, &schemes);
        let identity = identity_of(key, token).unwrap_or_else(|report| panic!("{schemes:?}: {report:?}"));
        let (scheme, signature) = attestation::sign(&identity, b"farpost attestation 1\0.").unwrap();
        assert_eq!(scheme, u16::from(of_tls(schemes[0])));
        attestation::verify(identity.own(), scheme, b"farpost attestation 1\0.", &signature).unwrap();
        assert!(attestation::verify(identity.own(), scheme, b"farpost attestation 1\0!", &signature).is_err());
    }
}

/// What makes an identity with this token fail.
fn refused(key: KeyPair, token: Token) -> Error {
    identity_of(key, token).unwrap_err().first().unwrap().clone()
}

#[test]
fn i2_a_signer_with_another_key_or_without_a_working_scheme_is_refused_when_the_identity_is_made() {
    let key = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let other = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let twin = |key: &KeyPair| KeyPair::try_from(key.serialize_der()).unwrap();

    assert_eq!(refused(twin(&key), Token::of(&other, &P256)).code(), Code::KeyMismatch);
    // It says that it has the certificate's key, and signs with another one.
    let liar = Token { public_key: key.subject_public_key_info(), ..Token::of(&other, &P256) };
    assert_eq!(refused(twin(&key), liar).code(), Code::SignerUnusable);
    let garbage = Token { good: 0, then: || Ok(vec![7; 70]), ..Token::of(&key, &P256) };
    assert_eq!(refused(twin(&key), garbage).code(), Code::SignerUnusable);
    let empty = Token { good: 0, then: || Ok(Vec::new()), ..Token::of(&key, &P256) };
    assert_eq!(refused(twin(&key), empty).code(), Code::SignerUnusable);
    assert_eq!(refused(twin(&key), Token::of(&key, &[])).code(), Code::SignerUnusable);
    let mixed = [SignatureScheme::EcdsaP256Sha256, SignatureScheme::Ed25519];
    assert_eq!(refused(twin(&key), Token::of(&key, &mixed)).code(), Code::SignerUnusable);
    // One of its schemes does not work: no peer that offers only that is to find it out.
    let wishful = [SignatureScheme::EcdsaP256Sha256, SignatureScheme::EcdsaP384Sha384];
    assert_eq!(refused(twin(&key), Token::of(&key, &wishful)).code(), Code::SignerFailed);
}

#[test]
fn a_signer_that_fails_or_panics_is_told_with_its_code_and_signs_again_later() {
    let faults: [(Fault, &str); 2] =
        [(|| Err("the PIN\nis locked".into()), "the PIN\\nis locked"), (|| panic!("a broken driver"), "a panic")];
    for (then, found) in faults {
        let key = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
        let token = Token { good: 1, then, ..Token::of(&key, &P256) };
        let identity = identity_of(key, token).unwrap();
        for _ in 0..3 {
            let error = attestation::sign(&identity, b"x").unwrap_err();
            assert_eq!((error.code(), error.found_text()), (Code::SignerFailed, found));
        }
    }
}

#[test]
fn a_signer_that_hangs_holds_its_own_thread_and_nobody_else_for_longer_than_allowed() {
    let key = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let hangs = || {
        std::thread::sleep(Duration::from_secs(3600));
        Err("never".into())
    };
    let token = Arc::new(Token { good: 0, then: hangs, ..Token::of(&key, &P256) });
    let desk = Desk::open(token.clone(), Duration::from_millis(10)).unwrap();
    let began = Clock::now();
    for _ in 0..SIGNATURES_WAITING_MAX + 1 {
        let error = desk.ask(SignatureScheme::EcdsaP256Sha256, b"x").unwrap_err();
        assert_eq!(error.code(), Code::SignerTimedOut, "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    // Its one thread is stuck, and what may wait waits: the next one is told at once.
    let error = desk.ask(SignatureScheme::EcdsaP256Sha256, b"x").unwrap_err();
    assert_eq!(error.found_text(), format!("{SIGNATURES_WAITING_MAX} that wait already"));
    assert_eq!(token.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn h14_nothing_that_holds_a_signer_shows_what_the_signer_would() {
    #[derive(Debug)]
    struct Talkative(#[expect(dead_code, reason = "shown by its Debug, if anybody asked it")] &'static str, Token);

    impl Signer for Talkative {
        fn public_key(&self) -> Vec<u8> {
            self.1.public_key()
        }

        fn schemes(&self) -> Vec<SignatureScheme> {
            self.1.schemes()
        }

        fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Signature {
            self.1.sign(scheme, message)
        }
    }

    let key = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let token = Token::of(&key, &P256);
    let identity = identity_of(key, Talkative("PIN sesame", token)).unwrap();
    let shown = format!("{identity:?} {:?}", identity.certified_key());
    assert!(!shown.contains("sesame"), "{shown}");
}
