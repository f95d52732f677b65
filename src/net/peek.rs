//! What a listener presents, good or bad: for `farpost cert check`.
//!
//! This is the only client that goes on with a certificate before anybody judged it. Nothing is sent through it, no
//! stream leaves it, and what it returns is not a verified peer: only bytes to look at.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, PeerIncompatible, SignatureScheme};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::limits::{CONNECT_TIMEOUT, HELLO_TIMEOUT};
use crate::name::Name;
use crate::net::tls::ALPN;

/// What a listener presented. It is not verified: [`PeerCheck`](crate::identity::PeerCheck) does that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresentedChain {
    /// The chain in DER, leaf first, as it came.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Where it was reached.
    pub address: String,
    /// What went wrong after the chain had come: no proof of the private key, another protocol, an alert.
    pub findings: Vec<Error>,
}

/// Fetches the certificate chain that a listener presents, by TLS 1.3 with ALPN `farpost/1`, and breaks off. With an
/// identity it is presented if the listener asks for one. `address` is `host:port`; `name` is what the listener is asked
/// for (SNI). Blocks, for at most 20 s.
///
/// # Errors
///
/// [`Code::NameNotResolved`], [`Code::ConnectFailed`], [`Code::TlsFailed`] where no certificate came.
pub fn fetch_chain(address: &str, name: &Name, own: Option<&Identity>) -> Result<PresentedChain> {
    let mut tcp = connect(address)?;
    let reached = tcp.peer_addr().map_or_else(|_| address.to_owned(), |address| address.to_string());
    let witness = Arc::new(Witness::new());
    let server_name = ServerName::try_from(name.as_str().to_owned())
        .map_err(|error| Error::new(Code::NameUnreadable).subject(name.as_str()).found(error.to_string()))?;
    let connection = ClientConnection::new(Arc::new(config(&witness, own)?), server_name);
    let fault = |error: rustls::Error| Error::new(Code::Internal).subject("TLS").found(error.to_string());
    let mut connection = connection.map_err(fault)?;
    let outcome = shake_hands(&mut connection, &mut tcp);
    let certificates = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut findings = Vec::new();
    match outcome {
        Ok(()) if connection.alpn_protocol() != Some(ALPN) => {
            findings
                .push(Error::new(Code::AlpnMissing).subject(address).found("no protocol").expected("ALPN farpost/1"));
        }
        Ok(()) => {}
        Err(problem) => findings.push(Error::new(Code::TlsFailed).subject(address).found(problem)),
    }
    connection.send_close_notify();
    // The listener is told as well as may be; it has shown all that it is asked for.
    let _ = connection.write_tls(&mut tcp).and_then(|_| tcp.flush());
    match (certificates.is_empty(), findings.pop()) {
        (true, finding) => Err(finding.unwrap_or_else(|| Error::new(Code::CertificateMissing).subject(address))),
        (false, finding) => {
            Ok(PresentedChain { certificates, address: reached, findings: finding.into_iter().collect() })
        }
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let unresolved = |found: String| Error::new(Code::NameNotResolved).subject(address).found(found);
    let addresses: Vec<_> = address.to_socket_addrs().map_err(|error| unresolved(error.to_string()))?.collect();
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let mut failures = Vec::new();
    for one in &addresses {
        let rest = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(one, rest) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failures.push(format!("{one}: {error}")),
        }
    }
    if addresses.is_empty() {
        return Err(unresolved("no address".to_owned()));
    }
    Err(Error::new(Code::ConnectFailed).subject(address).found(failures.join("; ")))
}

/// Runs the handshake to its end, in bounded time whatever the listener sends.
fn shake_hands(connection: &mut ClientConnection, tcp: &mut TcpStream) -> Result<(), String> {
    let deadline = Instant::now() + HELLO_TIMEOUT;
    let text = |error: io::Error| error.to_string();
    while connection.is_handshaking() || connection.wants_write() {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(format!("no end of the handshake within {HELLO_TIMEOUT:?}"));
        }
        tcp.set_read_timeout(Some(rest)).and_then(|()| tcp.set_write_timeout(Some(rest))).map_err(text)?;
        if connection.wants_write() {
            connection.write_tls(tcp).map_err(text)?;
        } else {
            if connection.read_tls(tcp).map_err(text)? == 0 {
                return Err("the listener closed the connection".to_owned());
            }
            connection.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn config(witness: &Arc<Witness>, own: Option<&Identity>) -> Result<ClientConfig> {
    let fault = |error: rustls::Error| Error::new(Code::Internal).subject("TLS configuration").found(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone());
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified_key().clone()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// Takes down what is presented. It judges no chain; that the listener has the key is proven as everywhere.
#[derive(Debug)]
struct Witness {
    seen: Mutex<Vec<CertificateDer<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Witness {
    fn new() -> Self {
        Self { seen: Mutex::default(), algorithms: default_provider().signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
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
