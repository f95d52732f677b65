//! The bridge from rustls' two verifier traits to the one verify function.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible, SignatureScheme,
};

use crate::code::Code;
use crate::identity::{Identity, IdentityPolicy, Report, Trust, VerifiedPeer, verify_peer};
use crate::name::Name;
use crate::time::Timestamp;

/// What the verifier found of a peer.
pub(super) type Verdict = Result<VerifiedPeer, Report>;

tokio::task_local! {
    /// The handshake that the current task polls.
    static HANDSHAKE: Handshake;
}

/// What the verifier must know of one handshake, and where it leaves its answer.
pub(super) struct Handshake {
    /// The name that was dialled; none on the accepting side.
    expected: Option<Name>,
    at: fn() -> Timestamp,
    verdict: RefCell<Option<Verdict>>,
}

impl Handshake {
    pub(super) fn new(expected: Option<Name>, at: fn() -> Timestamp) -> Self {
        Self { expected, at, verdict: RefCell::new(None) }
    }

    /// Runs a handshake; the second value is the verdict, if the handshake came as far.
    pub(super) async fn run<F: Future>(self, handshake: F) -> (F::Output, Option<Verdict>) {
        HANDSHAKE
            .scope(self, async {
                let output = handshake.await;
                (output, HANDSHAKE.with(|handshake| handshake.verdict.take()))
            })
            .await
    }
}

/// The verifier of an identity, for both sides of a link.
#[derive(Debug)]
pub(super) struct LinkVerifier {
    // Not the identity: it holds the configuration that holds this.
    trust: Arc<Trust>,
    policy: IdentityPolicy,
    algorithms: WebPkiSupportedAlgorithms,
}

impl LinkVerifier {
    pub(super) fn new(identity: &Identity) -> Self {
        Self::of(identity.trust().clone(), *identity.policy())
    }

    /// The verifier of a node that has no identity yet.
    pub(super) fn of(trust: Arc<Trust>, policy: IdentityPolicy) -> Self {
        let algorithms = default_provider().signature_verification_algorithms;
        Self { trust, policy, algorithms }
    }

    /// Judges the peer's chain and leaves the verdict with the handshake. Outside of one nobody is believed.
    fn judge(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(leaf).chain(rest).map(|der| CertificateDer::from(der.as_ref())).collect();
        let judged = HANDSHAKE.try_with(|handshake| {
            let verdict = verify_peer(&self.trust, &self.policy, &chain, handshake.expected.as_ref(), (handshake.at)());
            let answer = verdict.as_ref().map(|_| ()).map_err(alert_of);
            *handshake.verdict.borrow_mut() = Some(verdict);
            answer
        });
        judged.unwrap_or_else(|_| Err(rustls::Error::General("a handshake outside of accept and connect".to_owned())))
    }
}

/// The alert that tells a peer the most about a refusal; the full report stays with the refuser (rule G5).
fn alert_of(report: &Report) -> rustls::Error {
    let error = match report.first().map(crate::error::Error::code) {
        Some(Code::CertificateExpired) => CertificateError::Expired,
        Some(Code::CertificateNotYetValid) => CertificateError::NotValidYet,
        Some(Code::CertificateRevoked) => CertificateError::Revoked,
        Some(Code::IssuerUnknown) => CertificateError::UnknownIssuer,
        Some(Code::CertificateUnreadable) => CertificateError::BadEncoding,
        Some(Code::EkuMissing | Code::EkuIncomplete | Code::KeyUsageWrong) => CertificateError::InvalidPurpose,
        Some(Code::NameMismatch) => CertificateError::NotValidForName,
        _ => CertificateError::Other(OtherError(Arc::new(report.clone()))),
    };
    error.into()
}

impl ClientCertVerifier for LinkVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// Empty: a node has one certificate, and a stranger need not learn whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for LinkVerifier {
    /// The name is the one that was dialled, which [`Handshake`] holds; SNI is the same text.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
