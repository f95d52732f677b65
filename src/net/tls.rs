//! TLS for links: TLS 1.3 only, both sides prove a certificate, no resumption and no 0-RTT (rules I1 and I5).
//!
//! rustls asks a verifier that is shared by all handshakes of an identity; what it decides must reach the one
//! [`accept`] or [`connect`] that it was asked for, with the full report and not only an alert. The handshake runs in
//! a task-local scope that holds the question and takes the answer: the verifier is called on the thread that polls
//! the handshake, inside that poll.

pub(crate) mod enrolment;
mod failure;
mod verifier;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream, client, server};

use crate::code::Code;
use crate::error::Error;
use crate::identity::{Identity, TlsConfigs, VerifiedPeer};
use crate::name::Name;
use crate::net::tls::failure::{error_of, explain};
use crate::net::tls::verifier::{Handshake, LinkVerifier};
use crate::time::Timestamp;

/// Answers a peer's handshake. The peer must present a chain that [`verify_peer`](crate::identity::verify_peer)
/// accepts; which of its names it uses comes with HELLO. The caller bounds the time: a peer may send one byte a second.
///
/// # Errors
///
/// The code of the first finding about the peer's certificate, [`Code::CertificateMissing`], [`Code::AlpnMissing`],
/// [`Code::OwnCertificateRefused`] or [`Code::TlsFailed`]. The peer has been told what TLS can tell.
pub(crate) async fn accept(
    identity: &Identity,
    tcp: TcpStream,
    at: fn() -> Timestamp,
) -> Result<(server::TlsStream<TcpStream>, VerifiedPeer), Error> {
    let acceptor = TlsAcceptor::from(identity.tls_configs(make_configs)?.server.clone());
    let (outcome, verdict) = Handshake::new(None, at).run(acceptor.accept(tcp).into_fallible()).await;
    match outcome {
        Ok(stream) => match admitted(stream.get_ref().1.alpn_protocol(), verdict) {
            Ok(peer) => Ok((stream, peer)),
            Err(error) => {
                close(stream.into()).await;
                Err(error)
            }
        },
        Err((error, tcp)) => {
            linger(tcp).await;
            Err(error_of(identity, &error, verdict, at()))
        }
    }
}

/// Begins a handshake with a peer that must prove this name (rule F1).
///
/// In TLS 1.3 the dialler is done before the peer has looked at its certificate: a refusal comes as an error of the
/// first read or write, which [`reason_of`] puts into words.
///
/// # Errors
///
/// As [`accept`].
pub(crate) async fn connect(
    identity: &Identity,
    tcp: TcpStream,
    expected: &Name,
    at: fn() -> Timestamp,
) -> Result<(client::TlsStream<TcpStream>, VerifiedPeer), Error> {
    let server_name = ServerName::try_from(expected.as_str().to_owned())
        .map_err(|error| Error::new(Code::NameUnreadable).subject(expected.as_str()).found(error.to_string()))?;
    let connector = TlsConnector::from(identity.tls_configs(make_configs)?.client.clone());
    let handshake = Handshake::new(Some(expected.clone()), at);
    let (outcome, verdict) = handshake.run(connector.connect(server_name, tcp).into_fallible()).await;
    match outcome {
        Ok(stream) => match admitted(stream.get_ref().1.alpn_protocol(), verdict) {
            Ok(peer) => Ok((stream, peer)),
            Err(error) => {
                close(stream.into()).await;
                Err(error)
            }
        },
        Err((error, tcp)) => {
            linger(tcp).await;
            Err(error_of(identity, &error, verdict, at()))
        }
    }
}

/// Why a link ended with this error. A dialler that was refused may see a broken pipe at its first write while the
/// peer's alert waits to be read: that is read first (rule G5).
pub(crate) async fn reason_of(
    identity: &Identity,
    stream: &mut (impl AsyncRead + Unpin),
    error: std::io::Error,
    at: fn() -> Timestamp,
) -> Error {
    if failure::is_of_tls(&error) {
        return explain(identity, &error, at());
    }
    let read = async {
        let mut buffer = [0; 2048];
        let mut rest = LINGER_BYTES_MAX;
        while rest > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => rest = rest.saturating_sub(read),
                Err(error) => return Some(error),
            }
        }
        None
    };
    let alert = tokio::time::timeout(LINGER, read).await.ok().flatten().filter(failure::is_of_tls);
    match alert {
        Some(alert) => explain(identity, &alert, at()),
        None => Error::new(Code::LinkDown).found(error.to_string()),
    }
}

/// What must hold after a handshake: the protocol was agreed (rustls takes a dialler that offers none), and the
/// verifier was asked and found the peer good.
fn admitted(alpn: Option<&[u8]>, verdict: Option<verifier::Verdict>) -> Result<VerifiedPeer, Error> {
    let peer = match verdict {
        Some(Ok(peer)) => peer,
        Some(Err(report)) => return Err(report.into()),
        None => return Err(Error::new(Code::Internal).found("a handshake whose verifier was not asked")),
    };
    match alpn {
        Some(ALPN) => Ok(peer),
        Some(other) => Err(no_alpn(&String::from_utf8_lossy(other))),
        None => Err(no_alpn("no protocol")),
    }
}

fn no_alpn(found: &str) -> Error {
    Error::new(Code::AlpnMissing).found(found).expected("ALPN farpost/1")
}

/// Ends a link whose handshake was good but whose protocol is not ours.
async fn close(mut stream: TlsStream<TcpStream>) {
    match &mut stream {
        TlsStream::Server(stream) => stream.get_mut().1.send_close_notify(),
        TlsStream::Client(stream) => stream.get_mut().1.send_close_notify(),
    }
    // Bounded as the linger is: a peer that does not read must not hold the connection.
    let _ = tokio::time::timeout(LINGER, stream.flush()).await;
    linger(match stream {
        TlsStream::Server(stream) => stream.into_inner().0,
        TlsStream::Client(stream) => stream.into_inner().0,
    })
    .await;
}

/// Lets the peer read the alert that was just sent: closing a socket with unread input sends a reset, which destroys
/// what the peer has not read yet. Ends the write side, then reads a little until the peer closes too.
async fn linger(mut tcp: TcpStream) {
    let drain = async {
        tcp.shutdown().await?;
        let mut buffer = [0; 2048];
        let mut rest = LINGER_BYTES_MAX;
        while rest > 0 {
            match tcp.read(&mut buffer).await? {
                0 => break,
                read => rest = rest.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    // Nobody is left to tell: the connection is refused, however it ends.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// The configurations of both ends. One per identity, used by all its handshakes.
fn make_configs(identity: &Identity) -> Result<TlsConfigs, Error> {
    let fault = |error: rustls::Error| Error::new(Code::Internal).subject("TLS configuration").found(error.to_string());
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(LinkVerifier::new(identity));
    let key = Arc::new(SingleCertAndKey::from(identity.certified_key().clone()));

    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(key.clone());
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;

    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(key);
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_early_data = false;
    Ok(TlsConfigs { server: Arc::new(server), client: Arc::new(client) })
}

/// The protocol of every link (wire specification).
pub(super) const ALPN: &[u8] = b"farpost/1";
/// How long a refuser waits for the peer to read the alert: longer than a slow WAN's round trip.
const LINGER: Duration = Duration::from_secs(1);
/// What it reads meanwhile: the most that a peer's chain may have.
const LINGER_BYTES_MAX: usize = 16 << 10;
