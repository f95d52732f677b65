//! TLS for enrolment: the acceptor alone shows a certificate, since the dialler has none yet. No resumption, no 0-RTT.
//!
//! What comes out is [`EnrolmentStream`], which carries one ENROL and its answer and nothing else: it is no stream that
//! a link could be made of, and nobody is a [`VerifiedPeer`](crate::identity::VerifiedPeer) by it (SECURITY section 3,
//! incident 20).

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::verifier::{Handshake, LinkVerifier};
use crate::code::Code;
use crate::error::Error;
use crate::identity::{Identity, IdentityPolicy, Trust};
use crate::limits::{ENROLMENT_ANSWER_TIMEOUT, ENROLMENT_TIMEOUT, REQUEST_FRAME_BYTES_MAX};
use crate::name::Name;
use crate::time::Timestamp;
use crate::wire::{Answer, Assembly, Enrol, next_enrol, next_enrolled, put_message};

/// One end of an enrolment connection.
pub(crate) struct EnrolmentStream<S> {
    tls: S,
    input: BytesMut,
}

/// What an acceptor has: a stream to answer on, and what was asked, or what is wrong with it.
pub(crate) type Asked = (EnrolmentStream<server::TlsStream<TcpStream>>, Result<Enrol, Error>);

/// Accepts a node that has a token and no certificate, and reads what it asks: both within the time for that.
///
/// # Errors
///
/// [`Code::TlsFailed`], [`Code::AlpnMissing`], [`Code::HelloTimeout`].
pub(crate) async fn accept(identity: &Identity, tcp: TcpStream) -> Result<Asked, Error> {
    let reading = async {
        let tls = TlsAcceptor::from(Arc::new(server_config(identity)?)).accept(tcp).await.map_err(failed)?;
        check_alpn(tls.get_ref().1.alpn_protocol())?;
        let mut stream = EnrolmentStream { tls, input: BytesMut::new() };
        let enrol = stream.read_enrol().await;
        Ok((stream, enrol))
    };
    match timeout(ENROLMENT_TIMEOUT, reading).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(Code::HelloTimeout)
            .found("no complete ENROL")
            .expected(format!("one within {ENROLMENT_TIMEOUT:?}"))),
    }
}

/// Connects to a gateway or management server that must prove this name by trust that the node was given before.
///
/// # Errors
///
/// The code of the first finding about the acceptor's certificate; [`Code::TlsFailed`], [`Code::AlpnMissing`],
/// [`Code::TimedOut`].
pub(crate) async fn connect(
    (trust, policy): (Arc<Trust>, IdentityPolicy),
    tcp: TcpStream,
    expected: &Name,
    at: fn() -> Timestamp,
) -> Result<EnrolmentStream<client::TlsStream<TcpStream>>, Error> {
    let server_name = ServerName::try_from(expected.as_str().to_owned())
        .map_err(|error| Error::new(Code::NameUnreadable).subject(expected.as_str()).found(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(client_config(trust, policy)?));
    let handshake = Handshake::new(Some(expected.clone()), at).run(connector.connect(server_name, tcp));
    let Ok((outcome, verdict)) = timeout(ENROLMENT_TIMEOUT, handshake).await else {
        return Err(Error::new(Code::TimedOut).found("no answer to the TLS handshake"));
    };
    let tls = match (outcome, verdict) {
        (_, Some(Err(report))) => return Err(report.into()),
        (Err(error), _) => return Err(failed(error)),
        (Ok(_), None) => return Err(Error::new(Code::Internal).found("a handshake whose verifier was not asked")),
        (Ok(tls), Some(Ok(_))) => tls,
    };
    check_alpn(tls.get_ref().1.alpn_protocol())?;
    Ok(EnrolmentStream { tls, input: BytesMut::new() })
}

impl EnrolmentStream<server::TlsStream<TcpStream>> {
    async fn read_enrol(&mut self) -> Result<Enrol, Error> {
        loop {
            if let Some(enrol) = next_enrol(&mut self.input)? {
                return Ok(enrol);
            }
            if self.tls.read_buf(&mut (&mut self.input).limit(REQUEST_FRAME_BYTES_MAX)).await.map_err(failed)? == 0 {
                return Err(Error::new(Code::LinkDown).found("the peer closed the connection before its ENROL"));
            }
        }
    }

    /// Answers and closes. Nobody may be there any more: there is nothing to be done about that.
    pub(crate) async fn answer(mut self, answer: &Answer) {
        let mut out = BytesMut::new();
        answer.to_enrolled(0).iter().for_each(|enrolled| put_message(&mut out, 0, enrolled));
        let _ = timeout(GOODBYE, async {
            self.tls.write_all(&out).await?;
            self.tls.shutdown().await?;
            // A socket closed with unread input sends a reset, which destroys what the peer has not read yet.
            self.tls.read(&mut [0; 64]).await
        })
        .await;
    }
}

impl EnrolmentStream<client::TlsStream<TcpStream>> {
    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// [`Code::LinkDown`] or [`Code::TlsFailed`] where the connection ends first, [`Code::TimedOut`], and what breaks the
    /// protocol.
    pub(crate) async fn ask(mut self, enrol: &Enrol) -> Result<Answer, Error> {
        let asking = async {
            let mut out = BytesMut::new();
            put_message(&mut out, 0, enrol);
            self.tls.write_all(&out).await.map_err(failed)?;
            self.tls.flush().await.map_err(failed)?;
            let answer = self.read_answer().await?;
            let _ = timeout(GOODBYE, self.tls.shutdown()).await;
            Ok(answer)
        };
        match timeout(ENROLMENT_ANSWER_TIMEOUT, asking).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::new(Code::TimedOut).expected(format!("an answer within {ENROLMENT_ANSWER_TIMEOUT:?}")))
            }
        }
    }

    async fn read_answer(&mut self) -> Result<Answer, Error> {
        let mut assembly = Assembly::default();
        loop {
            while let Some(enrolled) = next_enrolled(&mut self.input)? {
                if let Some(answer) = assembly.take_enrolled(enrolled)? {
                    return Ok(answer);
                }
            }
            if self.tls.read_buf(&mut self.input).await.map_err(failed)? == 0 {
                return Err(Error::new(Code::LinkDown).found("the peer closed the connection before its answer"));
            }
        }
    }
}

fn server_config(identity: &Identity) -> Result<ServerConfig, Error> {
    let key = Arc::new(SingleCertAndKey::from(identity.certified_key().clone()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .with_no_client_auth()
        .with_cert_resolver(key);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_config(trust: Arc<Trust>, policy: IdentityPolicy) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LinkVerifier::of(trust, policy)))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn check_alpn(found: Option<&[u8]>) -> Result<(), Error> {
    match found {
        Some(ALPN) => Ok(()),
        found => Err(Error::new(Code::AlpnMissing)
            .found(found.map_or("no protocol".into(), |found| String::from_utf8_lossy(found).into_owned()))
            .expected("ALPN farpost-enrol/1")),
    }
}

fn failed(error: std::io::Error) -> Error {
    let code = if super::failure::is_of_tls(&error) { Code::TlsFailed } else { Code::LinkDown };
    Error::new(code).found(error.to_string())
}

fn fault(error: rustls::Error) -> Error {
    Error::new(Code::Internal).subject("TLS configuration").found(error.to_string())
}

/// Another protocol than a link's: neither end can take one for the other.
const ALPN: &[u8] = b"farpost-enrol/1";
/// How long a closing connection may take to say so.
const GOODBYE: Duration = Duration::from_secs(2);
