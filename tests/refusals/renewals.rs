//! Requests for certificates that are not the node's own: altered or replayed on the way, for another name, out of
//! place; and of nodes that the group let in and has thrown out since (SECURITY section 3, incident 46).

use farpost::{ApprovedFor, CertificateRequest, Code, KeyKind, Name};
use prost::Message as _;

use crate::lab::{GROUP, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ACCEPTED, AGENT, GATEWAY, ISSUED, Issued, OPENED, Open, Opened, REQUEST, Request};

/// A request for this name, with a key of its own.
fn request(name: &str) -> Vec<u8> {
    let (request, _) = CertificateRequest::make(&Name::parse(name).unwrap(), KeyKind::P256, false).unwrap();
    request.der().to_vec()
}

/// A gateway gone bad, with the channels of agents on the numbers from 1.
struct Bad {
    peer: Peer,
    agents: Vec<Certified>,
}

impl Bad {
    async fn with_agents(lab: &Lab, count: u32) -> Self {
        let bad = lab.authority.issue("bad.branch.example");
        lab.group.approve_gateway(&bad.name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let mut peer = Peer::introduced(lab.server_address(), &bad, GATEWAY).await;
        let challenge = peer.challenge().await;
        let mut agents = Vec::new();
        for channel in 1..=count {
            let agent = lab.authority.issue(&format!("pc{channel}.branch.example"));
            lab.group.approve_agent(&agent.name).await.unwrap();
            peer.teach(&agent).await;
            peer.write(&Open::attested(&agent, &bad, &challenge).frame(channel)).await;
            let opened: Opened = peer.until(OPENED).await.read();
            assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
            agents.push(agent);
        }
        Self { peer, agents }
    }

    /// What a request on a channel is answered: its code, 0 if a certificate was issued.
    async fn ask(&mut self, channel: u32, request: &Request) -> Issued {
        self.peer.send(REQUEST, channel, &request.encode_to_vec()).await;
        loop {
            let frame = self.peer.until(ISSUED).await;
            let issued: Issued = frame.read();
            if frame.channel == channel && !issued.more {
                return issued;
            }
        }
    }
}

/// A right one: an agent's own.
fn own(agent: &Certified) -> Request {
    Request::signed(agent, GROUP, &agent.name, &request(&agent.name))
}

/// What is wrong: made for an agent, of what it has and what another agent has.
type Wrong = fn(&Certified, &Certified) -> Request;

const WRONG: [(Wrong, Code); 10] = [
    // Another agent's, as it was.
    (|_, other| own(other), Code::RenewalSignatureInvalid),
    // The gateway's own key, in a request that is otherwise right.
    (|mine, _| Request { request: request(&mine.name), ..own(mine) }, Code::RenewalSignatureInvalid),
    (|mine, _| Request { scheme: 0, ..own(mine) }, Code::RenewalSignatureInvalid),
    (|mine, _| Request { scheme: 0x0401, ..own(mine) }, Code::RenewalSignatureInvalid),
    (|mine, _| Request { signature: Vec::new(), ..own(mine) }, Code::RenewalSignatureInvalid),
    // The right key for another group, and for another name.
    (|mine, _| Request::signed(mine, "corp", &mine.name, &request(&mine.name)), Code::RenewalSignatureInvalid),
    (|mine, other| Request::signed(mine, GROUP, &other.name, &request(&mine.name)), Code::RenewalSignatureInvalid),
    // The agent itself asks for another's name.
    (|mine, other| Request::signed(mine, GROUP, &mine.name, &request(&other.name)), Code::RenewalNameMismatch),
    (|mine, _| Request::signed(mine, GROUP, &mine.name, &request(SERVER)), Code::RenewalNameMismatch),
    (|mine, _| Request::signed(mine, GROUP, &mine.name, &[0x30; 200]), Code::RequestUnusable),
];

#[tokio::test]
async fn h4_a_gateway_can_neither_make_nor_alter_nor_replay_an_agents_request() {
    let lab = Lab::start().await;
    let mut bad = Bad::with_agents(&lab, 11).await;
    let last = own(&bad.agents[10]);
    for (channel, (wrong, code)) in (1..).zip(WRONG) {
        let at = usize::try_from(channel).unwrap();
        let wrong = wrong(&bad.agents[at - 1], &bad.agents[at]);
        let name = bad.agents[at - 1].name.clone();
        let issued = bad.ask(channel, &wrong).await;
        assert_eq!((issued.code, issued.certificates.len()), (u32::from(code.number()), 0), "{issued:?}");
        lab.server_events.told(code, &name).await;
        let again = bad.ask(channel, &wrong).await;
        assert_eq!(again.code, u32::from(Code::RenewalTooOften.number()), "not looked at again so soon");
        assert!((1..=5000).contains(&again.retry_after_ms), "{again:?}");
    }
    assert!(lab.issuing.orders().is_empty(), "the authority was never asked");
    assert_eq!(lab.server_events.count(Code::RenewalTooOften), 0, "nobody fills the log with it");
    // What is an agent's own is answered, on its own channel.
    let issued = bad.ask(11, &last).await;
    assert_eq!((issued.code, issued.certificates.len()), (0, 1), "{issued:?}");
    assert_eq!(lab.issuing.orders().len(), 1);
    let again = bad.ask(11, &last).await;
    assert_eq!(again.code, u32::from(Code::RenewalTooOften.number()), "one a minute");
    assert!((40_000..=60_000).contains(&again.retry_after_ms), "{again:?}");
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g1_a_name_that_the_group_rejects_meanwhile_gets_no_certificate() {
    let lab = Lab::start().await;
    let mut bad = Bad::with_agents(&lab, 2).await;
    let (name, request) = (bad.agents[0].name.clone(), own(&bad.agents[0]));
    // The answer races with the channel's refusal: neither brings a certificate.
    lab.group.reject_agent(&name).await.unwrap();
    bad.peer.send(REQUEST, 1, &request.encode_to_vec()).await;
    bad.peer.refused(1, Code::NameRejected).await;
    assert!(lab.issuing.orders().is_empty(), "{:?}", lab.issuing.orders());
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g1_a_gateway_that_was_removed_meanwhile_gets_no_certificate() {
    let lab = Lab::start().await;
    let bad = lab.authority.issue("bad.branch.example");
    lab.group.approve_gateway(&bad.name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let mut peer = Peer::introduced(lab.server_address(), &bad, GATEWAY).await;
    lab.group.delete_gateway(&bad.name).await.unwrap();
    peer.send(REQUEST, 0, &own(&bad).encode_to_vec()).await;
    // Told on the channel that asked, or on the link that ends: which comes first is chance.
    peer.closed().await;
    assert!(lab.issuing.orders().is_empty(), "{:?}", lab.issuing.orders());
    lab.honest_delivers().await;
}

#[tokio::test]
async fn h8_a_certificate_that_was_revoked_meanwhile_brings_no_new_one() {
    let lab = Lab::start().await;
    let mut bad = Bad::with_agents(&lab, 2).await;
    let request = own(&bad.agents[0]);
    let revoked = lab.authority.revocation_list(&[&lab.revoked, &bad.agents[0]]);
    lab.server.replace_identity(lab.identity_with(SERVER, &revoked)).await.unwrap();
    bad.peer.send(REQUEST, 1, &request.encode_to_vec()).await;
    bad.peer.refused(1, Code::CertificateRevoked).await;
    assert!(lab.issuing.orders().is_empty(), "{:?}", lab.issuing.orders());
    // The other agent of the same gateway is not concerned.
    let other = own(&bad.agents[1]);
    assert_eq!(bad.ask(2, &other).await.code, 0);
}

#[tokio::test]
async fn h1_a_request_out_of_place_ends_the_channel_or_the_link() {
    let lab = Lab::start().await;
    let mut bad = Bad::with_agents(&lab, 2).await;
    let good = own(&bad.agents[0]);
    // A second one while the first is with the authority.
    lab.issuing.stall();
    for _ in 0..2 {
        bad.peer.send(REQUEST, 1, &good.encode_to_vec()).await;
    }
    bad.peer.refused(1, Code::FrameUnexpected).await;
    // Too long for what it may be.
    let long = Request { request: vec![0x30; 4097], ..good.clone() };
    bad.peer.send(REQUEST, 2, &long.encode_to_vec()).await;
    bad.peer.refused(2, Code::FrameTooLong).await;
    // An agent asks on its channel, not on its link, and not before that is open.
    let agent = lab.authority.issue("pc9.branch.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let mut direct = Peer::introduced(lab.server_address(), &agent, AGENT).await;
    direct.send(REQUEST, 0, &good.encode_to_vec()).await;
    direct.refused(0, Code::FrameUnexpected).await;
    for listener in [lab.server_address(), lab.gateway_address()] {
        let mut direct = Peer::introduced(listener, &agent, AGENT).await;
        direct.send(REQUEST, 1, &good.encode_to_vec()).await;
        direct.refused(0, Code::ChannelUnknown).await;
    }
    // On channel 0 a gateway asks for itself: an agent's request is not its own.
    bad.peer.send(REQUEST, 0, &good.encode_to_vec()).await;
    let issued: Issued = bad.peer.until(ISSUED).await.read();
    assert_eq!(issued.code, u32::from(Code::RenewalSignatureInvalid.number()));
    lab.honest_delivers().await;
}
