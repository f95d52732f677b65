//! Diallers with rustls that do not check themselves first: every bad certificate meets the gateway.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;

use super::{GATEWAY, identity, sockets};
use crate::code::Code;
use crate::error::Error;
use crate::identity::testing::{Issued, now};
use crate::identity::{Identity, IdentityPolicy};
use crate::net::tls::{ALPN, accept};

/// Believes every server: what a careless or hostile dialler does.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn dialler(chain: Vec<CertificateDer<'static>>, key: &Issued, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::try_from(key.key.serialize_der()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// What the gateway says to this dialler, and what kind of handshake it was.
async fn answer(gateway: &Identity, config: &Arc<ClientConfig>) -> Result<HandshakeKind, Error> {
    let (accepted, dialled) = sockets().await;
    let dial = async {
        let server_name = ServerName::try_from(GATEWAY).unwrap();
        if let Ok(mut stream) = TlsConnector::from(config.clone()).connect(server_name, dialled).await {
            let _ = stream.read(&mut [0; 16]).await;
        }
    };
    let serve = async {
        let (stream, _) = accept(gateway, accepted, now).await?;
        Ok(stream.get_ref().1.handshake_kind().expect("the handshake is over"))
    };
    tokio::join!(serve, dial).0
}

#[tokio::test]
async fn h1_every_bad_certificate_is_refused_with_its_code() {
    type Spoil = fn(&mut CertificateParams);
    let cases: &[(Spoil, Code)] = &[
        (|params| params.not_after = date_time_ymd(2026, 2, 1), Code::CertificateExpired),
        (|params| params.not_before = date_time_ymd(2026, 12, 1), Code::CertificateNotYetValid),
        (|params| params.extended_key_usages.clear(), Code::EkuMissing),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], Code::EkuIncomplete),
        (|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement], Code::KeyUsageWrong),
        (|params| params.subject_alt_names.clear(), Code::SanMissing),
        (|params| params.distinguished_name.push(DnType::CommonName, "other.example"), Code::CommonNameNotInSan),
    ];
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    for (spoil, code) in cases {
        let leaf = root.leaf(*spoil);
        let error = answer(&gateway, &dialler(vec![leaf.der()], &leaf, &[ALPN])).await.unwrap_err();
        assert_eq!(error.code(), *code, "{error}");
    }
    let good = root.leaf(|_| {});
    answer(&gateway, &dialler(vec![good.der()], &good, &[ALPN])).await.unwrap();
}

#[tokio::test]
async fn a_chain_of_nine_is_refused_before_path_building() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let leaf = root.leaf(|_| {});
    let fill = (0..8).map(|n| root.intermediate(&format!("fill {n}"), |_| {}).der());
    let chain: Vec<_> = std::iter::once(leaf.der()).chain(fill).collect();
    let eight = dialler(chain[..8].to_vec(), &leaf, &[ALPN]);
    answer(&gateway, &eight).await.unwrap();
    let error = answer(&gateway, &dialler(chain, &leaf, &[ALPN])).await.unwrap_err();
    assert_eq!(error.code(), Code::ChainTooLarge, "{error}");
}

#[tokio::test]
async fn a_dialler_without_the_protocol_is_refused_in_both_ways() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let leaf = root.leaf(|_| {});
    for alpn in [&[][..], &[&b"http/1.1"[..]], &[&b"farpost/2"[..]]] {
        let error = answer(&gateway, &dialler(vec![leaf.der()], &leaf, alpn)).await.unwrap_err();
        assert_eq!(error.code(), Code::AlpnMissing, "{error}");
    }
}

#[tokio::test]
async fn i5_a_dialler_that_would_resume_gets_a_full_handshake_and_a_full_check() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    // One configuration with rustls' default cache of sessions, against the gateway before and after a revocation.
    let config = dialler(vec![leaf.der()], &leaf, &[ALPN]);
    let own = root.leaf_of(GATEWAY, |_| {});
    let before = own.identity(&root, &[], IdentityPolicy::default()).unwrap();
    for _ in 0..3 {
        let kind = answer(&before, &config).await.unwrap();
        // With an exchange of the key share where the dialler guessed another group.
        assert!(matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest), "{kind:?}");
    }
    let list = root.list(1, &[&leaf], |_| {});
    let after = own.identity(&root, &[&list], IdentityPolicy::default()).unwrap();
    assert_eq!(answer(&after, &config).await.unwrap_err().code(), Code::CertificateRevoked);
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let (victim, thief) = (root.leaf(|_| {}), root.leaf(|_| {}));
    let provider = default_provider();
    let key = PrivateKeyDer::try_from(thief.key.serialize_der()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(vec![victim.der()], key));
    let mut config = (*dialler(vec![thief.der()], &thief, &[ALPN])).clone();
    config.client_auth_cert_resolver = Arc::new(stolen);
    let error = answer(&gateway, &Arc::new(config)).await.unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
}
