//! The enrolment port itself: what else comes there, and how little it leaves.

use std::net::SocketAddr;
use std::sync::Arc;

use farpost::Code;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Lab;
use crate::chain::{AGENT, GATEWAY};
use crate::events::within;

/// A connection with this protocol, with or without the certificate of an agent.
async fn connect(
    lab: &Lab,
    to: SocketAddr,
    alpn: &[u8],
    with_certificate: bool,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(lab.chain.authority.certificate.der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = if with_certificate {
        let certified = lab.chain.authority.issue(AGENT);
        let key = PrivateKeyDer::try_from(certified.key.serialize_der()).unwrap();
        builder.with_client_auth_cert(vec![certified.certificate.der().clone()], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(to).await?;
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(GATEWAY).unwrap(), tcp))
        .await
}

/// What comes until the other end closes; a handshake that fails brings nothing.
async fn answer_to(stream: std::io::Result<TlsStream<TcpStream>>, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut stream) = stream else { return Vec::new() };
    let mut answer = Vec::new();
    let _ = stream.write_all(bytes).await;
    let _ = within("the end", stream.read_to_end(&mut answer)).await;
    answer
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0, 0, 0, 0], body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_no_link_comes_of_the_enrolment_port_and_no_enrolment_of_a_link() {
    let lab = Lab::start().await;
    let (enrolment, links) = (lab.gateway.enrolment_address().unwrap(), lab.gateway.local_address().unwrap());
    // A right HELLO with a good certificate, on the wrong port, under either protocol.
    let hello = frame(0x01, b"\x08\x01\x10\x01\x18\x01\x22\x12pc7.branch.example\x2a\x04CORP");
    let refusal = answer_to(connect(&lab, enrolment, b"farpost-enrol/1", true).await, &hello).await;
    assert_eq!(refusal.get(3), Some(&0x18), "told by ENROLLED: {refusal:02x?}");
    assert_eq!(answer_to(connect(&lab, enrolment, b"farpost/1", true).await, &hello).await, [0_u8; 0]);
    // An ENROL where links are accepted: without a certificate nobody gets as far, with one it is no HELLO.
    let enrol = frame(0x17, b"\x0a\x01x");
    for protocol in [&b"farpost/1"[..], b"farpost-enrol/1"] {
        assert_eq!(answer_to(connect(&lab, links, protocol, false).await, &enrol).await, [0_u8; 0]);
    }
    let refusal = answer_to(connect(&lab, links, b"farpost/1", true).await, &enrol).await;
    assert_eq!(refusal.get(3), Some(&0x03), "told by REFUSE: {refusal:02x?}");
    lab.gateway_log.told(Code::FrameUnexpected, "0x17").await;
    assert_eq!(lab.gateway_log.count(Code::AgentConnected), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_a_hundred_strangers_at_the_port_leave_few_lines() {
    let lab = Lab::start().await;
    let enrolment = lab.gateway.enrolment_address().unwrap();
    let mut served = 0;
    for _ in 0..100 {
        if !answer_to(connect(&lab, enrolment, b"farpost-enrol/1", false).await, &frame(0x17, b"\x0a\x00"))
            .await
            .is_empty()
        {
            served += 1;
        }
    }
    assert!((1..=20).contains(&served), "{served} of one address in a minute");
    let lines = lab.gateway_log.all().len() + lab.server_log.all().len();
    assert!(lines < 40, "{lines} events");
}
