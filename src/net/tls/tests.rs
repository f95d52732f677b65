//! Handshakes over real sockets: who is refused, with which code, and what the refused side learns.

mod peers;
mod strangers;

use rustls::NamedGroup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::code::Code;
use crate::error::Error;
use crate::identity::testing::{Issued, NAME, name, now};
use crate::identity::{Identity, IdentityPolicy, VerifiedPeer};
use crate::name::Name;
use crate::net::tls::{accept, connect, reason_of};
use crate::time::Timestamp;

type Accepted = Result<(tokio_rustls::server::TlsStream<TcpStream>, VerifiedPeer), Error>;
type Connected = Result<(tokio_rustls::client::TlsStream<TcpStream>, VerifiedPeer), Error>;

const GATEWAY: &str = "gw1.branch.example";

fn gateway_name() -> Name {
    Name::parse(GATEWAY).unwrap()
}

fn identity(root: &Issued, name: &str, lists: &[&str]) -> Identity {
    root.leaf_of(name, |_| {}).identity(root, lists, IdentityPolicy::default()).unwrap()
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap());
    let (dialled, accepted) = tokio::join!(dialled, listener.accept());
    (accepted.unwrap().0, dialled.unwrap())
}

async fn link(server: &Identity, client: &Identity, at: fn() -> Timestamp) -> (Accepted, Connected) {
    let (accepted, dialled) = sockets().await;
    let gateway = gateway_name();
    tokio::join!(accept(server, accepted, at), connect(client, dialled, &gateway, at))
}

/// What the dialler learns after a handshake that only it took for good.
async fn learnt(identity: &Identity, connected: Connected, at: fn() -> Timestamp) -> Error {
    match connected {
        Err(error) => error,
        Ok((mut stream, _)) => {
            let error = stream.read(&mut [0; 16]).await.unwrap_err();
            reason_of(identity, &mut stream, error, at).await
        }
    }
}

fn next_year() -> Timestamp {
    Timestamp::from_unix_seconds(now().unix_seconds() + 366 * 86_400)
}

#[tokio::test]
async fn i1_both_sides_prove_their_names_and_bytes_pass() {
    let root = Issued::root(|_| {});
    let (gateway, agent) = (identity(&root, GATEWAY, &[]), identity(&root, NAME, &[]));
    let (accepted, connected) = link(&gateway, &agent, now).await;
    let ((mut server, from_agent), (mut client, from_gateway)) = (accepted.unwrap(), connected.unwrap());
    assert!(from_agent.proves(&name()) && from_gateway.proves(&gateway_name()));
    assert_eq!(from_agent.key_hash(), agent.key_hash());
    assert_eq!(from_gateway.chain_hash(), gateway.chain_hash());
    let group = client.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    client.write_all(b"to").await.unwrap();
    server.write_all(b"fro").await.unwrap();
    let (mut to, mut fro) = ([0; 2], [0; 3]);
    server.read_exact(&mut to).await.unwrap();
    client.read_exact(&mut fro).await.unwrap();
    assert_eq!((&to, &fro), (b"to", b"fro"));
}

#[tokio::test]
async fn f2_a_link_whose_peer_is_gone_is_lost_and_no_failed_handshake() {
    let root = Issued::root(|_| {});
    let (gateway, agent) = (identity(&root, GATEWAY, &[]), identity(&root, NAME, &[]));
    let (accepted, connected) = link(&gateway, &agent, now).await;
    drop(accepted.unwrap());
    let error = learnt(&agent, connected, now).await;
    assert_eq!(error.code(), Code::LinkDown, "{error}");
}

#[tokio::test]
async fn handshakes_at_once_keep_their_own_verdicts() {
    let root = Issued::root(|_| {});
    let gateway = identity(&root, GATEWAY, &[]);
    let names: Vec<String> = (0..8).map(|n| format!("pc{n}.branch.example")).collect();
    let agents: Vec<_> = names.iter().map(|name| identity(&root, name, &[])).collect();
    let all = futures::future::join_all(agents.iter().map(|agent| link(&gateway, agent, now))).await;
    for (name, (accepted, _)) in names.iter().zip(all) {
        let (_, peer) = accepted.unwrap();
        assert!(peer.proves(&Name::parse(name).unwrap()));
    }
}

#[tokio::test]
async fn g5_a_refused_dialler_learns_it_with_its_own_check() {
    let root = Issued::root(|_| {});
    let (gateway, agent) = (
        root.leaf_of(GATEWAY, |params| params.not_after = rcgen::date_time_ymd(2029, 1, 1)),
        identity(&root, NAME, &[]),
    );
    let gateway = gateway.identity(&root, &[], IdentityPolicy::default()).unwrap();
    let (accepted, connected) = link(&gateway, &agent, next_year).await;
    let (refused, learnt) = (accepted.unwrap_err(), learnt(&agent, connected, next_year).await);
    assert_eq!(refused.code(), Code::CertificateExpired);
    assert_eq!(learnt.code(), Code::OwnCertificateRefused);
    assert!(learnt.to_string().contains("alert certificate expired; its own check says FP1202"), "{learnt}");
}

#[tokio::test]
async fn g5_a_dialler_that_only_writes_still_learns_why_it_was_refused() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let list = root.list(1, &[&leaf], |_| {});
    let gateway = root.leaf_of(GATEWAY, |_| {}).identity(&root, &[&list], IdentityPolicy::default()).unwrap();
    let agent = leaf.identity(&root, &[], IdentityPolicy::default()).unwrap();
    let (accepted, dialled) = sockets().await;
    let dial = async {
        let (mut stream, _) = connect(&agent, dialled, &gateway_name(), now).await.unwrap();
        // Until the pipe breaks: the gateway reads a little only.
        let broken = loop {
            if let Err(error) = stream.write_all(&[7; 4096]).await {
                break error;
            }
        };
        assert!(!crate::net::tls::failure::is_of_tls(&broken), "{broken}");
        reason_of(&agent, &mut stream, broken, now).await
    };
    let (refused, learnt) = tokio::join!(accept(&gateway, accepted, now), dial);
    assert_eq!(refused.unwrap_err().code(), Code::CertificateRevoked);
    assert_eq!(learnt.code(), Code::OwnCertificateRefused, "{learnt}");
    assert!(learnt.found_text().contains("finds nothing wrong"), "{learnt}");
}

#[tokio::test]
async fn f1_a_gateway_with_another_name_is_refused_and_told() {
    let root = Issued::root(|_| {});
    let (impostor, agent) = (identity(&root, "pc8.branch.example", &[]), identity(&root, NAME, &[]));
    let (accepted, connected) = link(&impostor, &agent, now).await;
    assert_eq!(connected.unwrap_err().code(), Code::NameMismatch);
    assert_eq!(accepted.unwrap_err().code(), Code::OwnCertificateRefused);
}

#[tokio::test]
async fn a_dialler_of_another_authority_is_refused_and_its_own_check_finds_nothing() {
    let (root, other) = (
        Issued::root(|_| {}),
        Issued::root(|params| params.distinguished_name.push(rcgen::DnType::OrganizationName, "other")),
    );
    let gateway = identity(&root, GATEWAY, &[]);
    let leaf = other.leaf(|_| {});
    let both = [root.pem(), other.pem()].concat();
    let (chain, key) = (leaf.pem(), leaf.key_pem());
    let policy = IdentityPolicy::default();
    let agent =
        Identity::from_pem(&name(), chain.as_bytes(), key.as_bytes(), &[both.as_bytes()], &[], policy, now()).unwrap();
    let (accepted, connected) = link(&gateway, &agent, now).await;
    assert_eq!(accepted.unwrap_err().code(), Code::IssuerUnknown);
    let learnt = learnt(&agent, connected, now).await;
    assert_eq!(learnt.code(), Code::OwnCertificateRefused);
    assert!(learnt.to_string().contains("alert unknown ca; its own check finds nothing wrong"), "{learnt}");
}
