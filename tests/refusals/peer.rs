//! A peer that does as it likes: TLS with any certificate, then any bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use farpost::Code;
use prost::Message as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::events::within;
use crate::pki::Certified;
use crate::wire::{
    ACCEPTED, CHALLENGE, Chain, Challenge, Frame, HELLO, Hello, REFUSE, Refuse, WELCOME, Welcome, frame,
};

/// One connection to a listener.
pub(crate) struct Peer {
    stream: TlsStream<TcpStream>,
    input: Vec<u8>,
    /// As the listener sees it, and names it in its events.
    pub(crate) address: String,
}

impl Peer {
    pub(crate) async fn connect(listener: SocketAddr, certified: &Certified) -> Self {
        Self::on(TcpStream::connect(listener).await.unwrap(), certified).await
    }

    pub(crate) async fn on(tcp: TcpStream, certified: &Certified) -> Self {
        let address = tcp.local_addr().unwrap().to_string();
        let connector = TlsConnector::from(Arc::new(config(certified)));
        let name = ServerName::try_from("anybody.example").unwrap();
        let stream = within("the TLS handshake", connector.connect(name, tcp)).await.unwrap();
        Self { stream, input: Vec::new(), address }
    }

    /// Connects and is welcomed.
    pub(crate) async fn introduced(listener: SocketAddr, certified: &Certified, role: u32) -> Self {
        let mut peer = Self::connect(listener, certified).await;
        peer.hello(&Hello::of(role, &certified.name)).await;
        let welcome: Welcome = peer.until(WELCOME).await.read();
        assert_eq!(welcome.status, ACCEPTED, "FP{}", welcome.code);
        peer
    }

    pub(crate) async fn hello(&mut self, hello: &Hello) {
        self.send(HELLO, 0, &hello.encode_to_vec()).await;
    }

    /// The group's challenge, which every attestation signs.
    pub(crate) async fn challenge(&mut self) -> Challenge {
        self.until(CHALLENGE).await.read()
    }

    /// Teaches an agent's chain, as a gateway does.
    pub(crate) async fn teach(&mut self, agent: &Certified) {
        let chain = Chain { certificates: vec![agent.certificate.der().to_vec()], more: false };
        self.send(crate::wire::CHAIN, 0, &chain.encode_to_vec()).await;
    }

    pub(crate) async fn send(&mut self, kind: u8, channel: u32, body: &[u8]) {
        self.write(&frame(kind, channel, body)).await;
    }

    /// Writes bytes as they are. Whoever is refused meanwhile may see the connection end under its hands.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let _ = within("a write", writing).await;
    }

    /// The next frame; none when the other end has closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            match within("a frame", self.stream.read_buf(&mut self.input)).await {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let length = self.input.get(..3)?;
        let length = usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2]);
        let bytes: Vec<u8> = self.input.get(..length)?.to_vec();
        self.input.drain(..length);
        let channel = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
        Some(Frame { kind: bytes[3], channel, body: bytes[8..].to_vec() })
    }

    /// The next frame of this kind; a refusal in its place is told.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == kind => return frame,
                Some(frame) if frame.kind == REFUSE => panic!("refused: {:?}", frame.read::<Refuse>()),
                Some(_) => {}
                None => panic!("the link ended before a frame of type {kind:#04x}"),
            }
        }
    }

    /// Rule G5: the refusal of this channel, or of the link where it is 0, comes with this code.
    pub(crate) async fn refused(&mut self, channel: u32, code: Code) {
        while let Some(frame) = self.next().await {
            if frame.kind == REFUSE && frame.channel == channel {
                let refuse: Refuse = frame.read();
                assert_eq!(refuse.code, u32::from(code.number()), "{refuse:?}");
                return;
            }
        }
        panic!("the link ended without {code}");
    }

    /// The other end closes the link, after whatever it still had to say.
    pub(crate) async fn closed(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Takes every server, and shows this certificate.
fn config(certified: &Certified) -> ClientConfig {
    let key = PrivateKeyDer::try_from(certified.key.serialize_der()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_auth_cert(vec![certified.certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"farpost/1".to_vec()];
    config
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
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
