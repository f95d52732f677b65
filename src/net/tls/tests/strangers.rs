//! What else connects to a port: other programs, other protocols, nobody in particular.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::{GATEWAY, identity, sockets};
use crate::code::Code;
use crate::error::Error;
use crate::identity::Identity;
use crate::identity::testing::{Issued, hostile_chains, now};
use crate::net::tls::accept;

#[tokio::test]
async fn what_is_not_tls_is_told_apart_and_gets_nothing_but_an_alert() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let garbage: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(37)).collect();
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: gw1\r\n\r\n"[..], &garbage, &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3], b"\0\0\0\0\0\0"]
    {
        let (accepted, mut dialled) = sockets().await;
        let dial = async {
            dialled.write_all(bytes).await.unwrap();
            dialled.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = dialled.read_to_end(&mut answer).await;
            answer
        };
        let (verdict, answer) = tokio::join!(accept(&gateway, accepted, now), dial);
        assert_eq!(verdict.unwrap_err().code(), Code::TlsFailed);
        assert!(answer.len() <= 7, "{answer:?}");
    }
}

#[tokio::test]
async fn a_peer_that_goes_away_ends_the_handshake_at_once() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let (accepted, dialled) = sockets().await;
    drop(dialled);
    let verdict = tokio::time::timeout(Duration::from_secs(5), accept(&gateway, accepted, now)).await.unwrap();
    assert!(verdict.unwrap_err().found_text().contains("closed during the handshake"));
}

/// Runs `openssl s_client` against one [`accept`]; its output and the gateway's verdict. `None` without openssl.
async fn s_client(gateway: &Identity, directory: &Path, arguments: &str) -> Option<(String, Result<(), Error>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let arguments = format!("s_client -connect {address} {arguments}");
    let mut child = Command::new("openssl")
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| eprintln!("skipped: openssl: {error}"))
        .ok()?;
    // Kept open: at the end of its input s_client leaves without reading what is on the way.
    let input = child.stdin.take();
    let client = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let (tcp, _) = listener.accept().await.unwrap();
    let verdict = match accept(gateway, tcp, now).await {
        Err(error) => Err(error),
        Ok((mut stream, _)) => {
            let _ = stream.shutdown().await;
            Ok(())
        }
    };
    let output = client.await.unwrap();
    drop(input);
    let text = [output.stdout, output.stderr].concat();
    Some((String::from_utf8_lossy(&text).into_owned(), verdict))
}

fn files(directory: &Path, leaf: &Issued) {
    std::fs::write(directory.join("leaf.pem"), leaf.pem()).unwrap();
    std::fs::write(directory.join("leaf.key"), leaf.key_pem()).unwrap();
}

#[tokio::test]
async fn h1_openssl_without_certificate_protocol_or_validity_is_refused_with_its_code() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let directory = tempfile::tempdir().unwrap();
    files(directory.path(), &root.leaf(|params| params.not_after = rcgen::date_time_ymd(2026, 2, 1)));
    let own = "-cert leaf.pem -key leaf.key";
    for (arguments, code, alert) in [
        ("-alpn farpost/1".to_owned(), Code::CertificateMissing, "certificate required"),
        (format!("-alpn farpost/1 {own}"), Code::CertificateExpired, "certificate expired"),
        (format!("-alpn h2 {own}"), Code::AlpnMissing, "no application protocol"),
        (format!("-tls1_2 -alpn farpost/1 {own}"), Code::TlsFailed, "protocol version"),
    ] {
        let Some((output, verdict)) = s_client(&gateway, directory.path(), &arguments).await else { return };
        assert_eq!(verdict.unwrap_err().code(), code, "{arguments}");
        assert!(output.contains(alert), "{arguments}: the refused side must see the alert: {output}");
    }
}

/// The time of the tests, for rustls' own verifier: their certificates are of one year.
#[derive(Debug)]
struct TestTime;

impl TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now().unix_seconds().unsigned_abs())))
    }
}

/// What one [`accept`] says of a client that presents this chain, and how long that took.
async fn presented(
    gateway: &Identity,
    root: &Issued,
    leaf: &Issued,
    chain: &[CertificateDer<'static>],
) -> (Code, Duration) {
    let mut roots = RootCertStore::empty();
    roots.add(root.der()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem().as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(TestTime))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.to_vec(), key)
        .unwrap();
    config.alpn_protocols = vec![b"farpost/1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let (accepted, dialled) = sockets().await;
    let began = Instant::now();
    let dial = async {
        if let Ok(mut stream) = connector.connect(GATEWAY.try_into().unwrap(), dialled).await {
            let _ = stream.read(&mut [0; 16]).await;
        }
    };
    // The accepted stream is let go at once: the client reads to its end.
    let answer = async { accept(gateway, accepted, now).await.err().map_or(Code::Approved, |error| error.code()) };
    let both = async { tokio::join!(answer, dial) };
    let (code, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    (code, began.elapsed())
}

/// SECURITY incidents 28 and 29, through the socket: the worst chain within the limits of a link costs no more than an
/// honest handshake and a few milliseconds.
#[tokio::test]
async fn d7_a_handshake_with_a_hostile_chain_takes_little_longer_than_an_honest_one() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let honest = root.leaf(|_| {});
    let shortest = async |leaf: &Issued, chain: &[CertificateDer<'static>], expected: &[Code]| {
        let mut shortest = Duration::MAX;
        for _ in 0..10 {
            let (code, took) = presented(&gateway, &root, leaf, chain).await;
            assert!(expected.contains(&code), "{code}");
            shortest = shortest.min(took);
        }
        shortest
    };
    let usual = shortest(&honest, &[honest.der()], &[Code::Approved]).await;
    for (label, leaf, chain) in hostile_chains() {
        let took = shortest(&leaf, &chain, &[Code::ChainTooLarge, Code::IssuerUnknown, Code::SignatureInvalid]).await;
        println!("{label}: {took:?}, an honest one {usual:?}");
        assert!(took < usual + Duration::from_millis(5), "{label}: {took:?}, an honest one {usual:?}");
    }
}

#[tokio::test]
async fn i5_openssl_gets_no_session_to_resume() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let directory = tempfile::tempdir().unwrap();
    files(directory.path(), &root.leaf(|_| {}));
    let base = "-alpn farpost/1 -cert leaf.pem -key leaf.key";
    let Some((output, verdict)) = s_client(&gateway, directory.path(), &format!("{base} -sess_out session")).await
    else {
        return;
    };
    verdict.unwrap();
    assert!(output.contains("New, TLSv1.3") && !output.contains("Reused"), "{output}");
    if directory.path().join("session").exists() {
        let (output, verdict) =
            s_client(&gateway, directory.path(), &format!("{base} -sess_in session")).await.unwrap();
        verdict.unwrap();
        assert!(output.contains("New, TLSv1.3") && !output.contains("Reused"), "{output}");
    }
}
