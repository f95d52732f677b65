//! A gateway with thousands of agents behind it, all at once: it signs for each, and shows that to a management server.

use std::io::BufRead;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message as _;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::lab::{Authority, GROUP, LOOPBACK, SERVER, node};
use crate::options::Options;
use crate::wire::{
    ACCEPTED, Attestation, CHAIN, CHALLENGE, Chain, Challenge, Frame, GATEWAY, HELLO, Hello, OPENED, Open, Opened,
    REFUSE, Refuse, WELCOME, frame,
};

const NAME: &str = "gw2.bench.example";

/// Shows all attestations to the first server (`shown`); then, for each port that standard input says, to the server
/// there (`opened SECONDS`).
pub(crate) async fn crowd(options: &Options) {
    let gateway = Gateway::open(options);
    let agents = Agent::of_all(options);
    let mut link = gateway.connect(options.number("upstream", 0)).await;
    let challenge: Challenge = Challenge::decode(&*link.until(CHALLENGE).await.body).expect("a challenge");
    let frames: Vec<u8> =
        (1..).zip(&agents).flat_map(|(channel, agent)| agent.shown(channel, &gateway, &challenge)).collect();
    link.show(frames.clone(), agents.len()).await;
    println!("shown");
    loop {
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
        let Some(Ok(port)) = line.await.expect("a thread that reads") else { return };
        let mut link = gateway.connect(port.parse().expect("a port")).await;
        let now: Challenge = Challenge::decode(&*link.until(CHALLENGE).await.body).expect("a challenge");
        let frames = if now == challenge {
            frames.clone()
        } else {
            (1..).zip(&agents).flat_map(|(channel, agent)| agent.shown(channel, &gateway, &now)).collect()
        };
        let began = Instant::now();
        link.show(frames, agents.len()).await;
        println!("opened {}", began.elapsed().as_secs_f64());
    }
}

/// The gateway's own certificate.
struct Gateway {
    config: Arc<ClientConfig>,
    key_hash: Vec<u8>,
}

impl Gateway {
    fn open(options: &Options) -> Self {
        let authority = Authority::open(&options.directory());
        let (chain, key) = authority.issue(NAME);
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.trust().as_bytes()).expect("a CA");
        roots.add(root).expect("a usable CA");
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
        let key_hash = digest(&SHA256, &key.subject_public_key_info()).as_ref().to_vec();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"farpost/1".to_vec()];
        Self { config: Arc::new(config), key_hash }
    }

    /// Connected, introduced and welcomed.
    async fn connect(&self, port: u64) -> Link {
        let address = (LOOPBACK, u16::try_from(port).expect("a port"));
        let tcp = TcpStream::connect(address).await.expect("the server listens");
        let name = ServerName::try_from(SERVER).expect("a name");
        let stream = TlsConnector::from(self.config.clone()).connect(name, tcp).await.expect("TLS");
        let mut link = Link { stream, input: Vec::new() };
        let hello = Hello { heartbeat_ms: 300_000, ..Hello::of(GATEWAY, NAME) };
        link.stream.write_all(&frame(HELLO, 0, &hello.encode_to_vec())).await.expect("a link");
        link.until(WELCOME).await;
        link
    }
}

/// An agent that has its own certificate of the issuing CA.
struct Agent {
    name: String,
    key: KeyPair,
    chain: Vec<Vec<u8>>,
}

impl Agent {
    fn of_all(options: &Options) -> Vec<Self> {
        let (issuer, issuing) = Authority::issuing(&options.directory());
        let agent = |index: u64| {
            let name = format!("agent{index}.bench.example");
            let key = KeyPair::generate().expect("a key");
            let leaf = node(&name).signed_by(&key, &issuer).expect("a certificate");
            Self { name, key, chain: vec![leaf.der().to_vec(), issuing.to_vec()] }
        };
        (0..options.number("agents", 20_000)).map(agent).collect()
    }

    /// CHAIN and OPEN, as a gateway sends them.
    fn shown(&self, channel: u32, gateway: &Gateway, challenge: &Challenge) -> Vec<u8> {
        let mut open = Open { name: self.name.clone(), epoch: 7, boot: 1, nonce: 9, connection: 1, ..Open::default() };
        (open.boot_first, open.lowest_held) = (1, 1);
        let mut signed = b"farpost attestation 1\0".to_vec();
        for field in [GROUP.as_bytes(), &challenge.challenge, &gateway.key_hash, self.name.as_bytes()] {
            put_field(&mut signed, field);
        }
        for number in [open.epoch, open.boot, open.nonce, open.connection] {
            put_field(&mut signed, &number.to_be_bytes());
        }
        let mut chain = Vec::new();
        self.chain.iter().for_each(|der| put_field(&mut chain, der));
        open.attestation = Some(Attestation {
            period: challenge.period,
            scheme: 0x0403,
            signature: self.key.sign(&signed).expect("a signature"),
            chain: digest(&SHA256, &chain).as_ref().to_vec(),
            gateway_key: gateway.key_hash.clone(),
        });
        let taught = Chain { certificates: self.chain.clone(), more: false };
        let mut out = frame(CHAIN, 0, &taught.encode_to_vec());
        out.extend(open.frame(channel));
        out
    }
}

fn put_field(out: &mut Vec<u8>, field: &[u8]) {
    out.extend(u32::try_from(field.len()).expect("a short field").to_be_bytes());
    out.extend(field);
}

struct Link {
    stream: TlsStream<TcpStream>,
    input: Vec<u8>,
}

impl Link {
    async fn until(&mut self, kind: u8) -> Frame {
        loop {
            if let Some(frame) = take(&mut self.input) {
                assert_ne!(frame.kind, REFUSE, "{:?}", frame.read::<Refuse>());
                if frame.kind == kind {
                    return frame;
                }
                continue;
            }
            assert!(self.stream.read_buf(&mut self.input).await.expect("a link") > 0, "the server has closed");
        }
    }

    /// Writes all of it, and waits until so many channels are open.
    async fn show(self, frames: Vec<u8>, channels: usize) {
        let (mut reader, mut writer) = tokio::io::split(self.stream);
        let writing = tokio::spawn(async move {
            writer.write_all(&frames).await.expect("a link");
            writer.flush().await.expect("a link");
            writer
        });
        let (mut input, mut open) = (self.input, 0);
        while open < channels {
            while let Some(frame) = take(&mut input) {
                assert_ne!(frame.kind, REFUSE, "{:?}", frame.read::<Refuse>());
                if frame.kind == OPENED {
                    assert_eq!(frame.read::<Opened>().status, ACCEPTED);
                    open += 1;
                }
            }
            if open < channels {
                assert!(reader.read_buf(&mut input).await.expect("a link") > 0, "the server has closed");
            }
        }
        writing.await.expect("a writer");
    }
}

/// The first whole frame.
fn take(input: &mut Vec<u8>) -> Option<Frame> {
    let header = input.get(..8)?;
    let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    let (kind, channel) = (header[3], u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
    let body = input.get(8..length)?.to_vec();
    input.drain(..length);
    Some(Frame { kind, channel, body })
}
