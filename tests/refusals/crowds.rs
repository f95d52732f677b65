//! Many connections at once, of peers that never prove who they are and of peers that do (rule D7).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use farpost::{Code, Message};
use futures::future::join_all;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::events::within;
use crate::lab::{GATEWAY, Lab, agent};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{AGENT, Hello};

/// More than all places for those who have not yet proven who they are.
const CROWD: usize = 300;

/// A connection from an address of the loopback network other than everybody's.
async fn connect_from(source: [u8; 4], listener: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    within("a connection", socket.connect(listener)).await.unwrap()
}

#[tokio::test]
async fn d7_a_crowd_that_never_speaks_leaves_room_for_others() {
    let lab = Lab::start().await;
    let mut silent = Vec::new();
    for (listener, _) in lab.listeners() {
        for _ in 0..CROWD {
            silent.push(connect_from([127, 0, 0, 2], listener).await);
        }
    }
    lab.honest_delivers().await;
    let name = "new.branch.example";
    lab.group.approve_agent(name).await.unwrap();
    let new = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let receipt = new.send(Message::new("through the crowd")).await.unwrap();
    within("the newcomer's delivery", receipt.delivered()).await.unwrap();
    lab.honest_delivers().await;
}

/// Many agents behind one address, cut at once, come back at once: those beyond the address's places wait their turn,
/// and nobody is sent away.
#[tokio::test]
async fn d7_a_crowd_of_good_peers_behind_one_address_is_let_in_to_the_last_one() {
    let lab = Lab::start().await;
    let certified = lab.authority.issue("pc7.branch.example");
    for (listener, _) in lab.listeners() {
        // All connections stand before the first handshake begins.
        let crowd = join_all((0..CROWD).map(|_| connect_from([127, 0, 0, 3], listener))).await;
        let peers = join_all(crowd.into_iter().map(|tcp| Peer::on(tcp, &certified))).await;
        assert_eq!(peers.len(), CROWD);
        drop(peers);
        Peer::introduced(lab.gateway_address(), &certified, AGENT).await;
    }
    lab.honest_delivers().await;
}

/// Chains of another CA, as fast as they come: fifty of them are looked at, then ten a second, and whoever comes from
/// elsewhere is let in at once (SECURITY section 4, failures per source).
#[tokio::test]
async fn h7_d7_hostile_chains_at_a_rate_are_slowed_down_and_honest_peers_connect_within_a_second() {
    const AT_ONCE: usize = 8;
    let lab = Lab::start().await;
    let stranger = Arc::new(Certified::authority("Test CA").issue("pc7.branch.example"));
    let honest = lab.authority.issue("pc8.branch.example");
    let listener = lab.gateway_address();
    let looked_at = Arc::new(AtomicUsize::new(0));
    let (began, mut hostile) = (Instant::now(), JoinSet::new());
    for _ in 0..AT_ONCE {
        let (stranger, looked_at) = (stranger.clone(), looked_at.clone());
        hostile.spawn(async move {
            loop {
                let tcp = connect_from([127, 0, 0, 2], listener).await;
                let mut peer = Peer::on(tcp, &stranger).await;
                peer.closed().await;
                looked_at.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let slowest = async {
        let mut slowest = Duration::ZERO;
        while began.elapsed() < Duration::from_secs(3) || looked_at.load(Ordering::Relaxed) < 50 {
            let connecting = Instant::now();
            drop(Peer::introduced(listener, &honest, AGENT).await);
            slowest = slowest.max(connecting.elapsed());
        }
        slowest
    };
    let slowest = within("honest peers", slowest).await;
    let (looked_at, seconds) = (looked_at.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
    hostile.abort_all();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let most = 50.0 + 10.0 * seconds + 2.0 * AT_ONCE as f64;
    assert!((looked_at as f64) < most, "{looked_at} hostile chains in {seconds} s, at most {most}");
    lab.honest_delivers().await;
}

/// Links of one name beyond a bound are refused; they would take the descriptors of all others.
#[tokio::test]
async fn d7_one_good_certificate_holds_sixteen_links_and_no_more() {
    let lab = Lab::start().await;
    let certified = lab.authority.issue("pc7.branch.example");
    lab.group.approve_agent(&certified.name).await.unwrap();
    for (listener, events) in lab.listeners() {
        let mark = events.mark();
        let mut peers = Vec::new();
        for _ in 0..16 {
            peers.push(Peer::introduced(listener, &certified, AGENT).await);
        }
        let mut one_more = Peer::connect(listener, &certified).await;
        one_more.hello(&Hello::of(AGENT, &certified.name)).await;
        one_more.refused(0, Code::TooManyConnections).await;
        events.after(mark, Code::TooManyConnections, &one_more.address).await;
        one_more.closed().await;
        drop(peers);
    }
    lab.honest_delivers().await;
}
