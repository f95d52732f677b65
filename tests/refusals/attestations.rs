//! A gateway that speaks for agents that are not connected to it (rule I6), or teaches chains without end.

use farpost::{ApprovedFor, Code};
use prost::Message as _;

use crate::lab::{HONEST, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ACCEPTED, ACK, AGENT, CHAIN, Chain, DATA, GATEWAY, OPENED, Open, Opened, run};

/// A second gateway, approved like the first and gone bad.
async fn bad_gateway(lab: &Lab) -> (Peer, Certified) {
    let bad = lab.authority.issue("bad.branch.example");
    lab.group.approve_gateway(&bad.name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    (Peer::introduced(lab.server_address(), &bad, GATEWAY).await, bad)
}

#[tokio::test]
async fn i6_an_attestation_replayed_from_another_gateway_is_refused() {
    let lab = Lab::start().await;
    let agent = lab.authority.issue("pc7.branch.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let (mut peer, bad) = bad_gateway(&lab).await;
    let challenge = peer.challenge().await;
    peer.teach(&agent).await;

    // Made for the good gateway, shown by the bad one: told as that. Without the agent's word for whom it was made, or
    // with a false one, it is a wrong signature.
    let replayed = Open::attested(&agent, &lab.gateway_certified, &challenge);
    peer.write(&replayed.frame(1)).await;
    peer.refused(1, Code::AttestationElsewhere).await;
    lab.server_events.told(Code::AttestationElsewhere, &agent.name).await;
    let own_key = Open::attested(&agent, &bad, &challenge).attestation.unwrap().gateway_key;
    for (channel, gateway_key) in (2..).zip([Vec::new(), vec![7; 32], own_key]) {
        let mut unsaid = replayed.clone();
        unsaid.attestation.as_mut().unwrap().gateway_key = gateway_key;
        peer.write(&unsaid.frame(channel)).await;
        peer.refused(channel, Code::AttestationInvalid).await;
    }
    lab.server_events.told(Code::AttestationInvalid, &agent.name).await;

    // The signature is what was wrong, and nothing else: the same, made for the bad gateway, opens on the same link.
    peer.write(&Open::attested(&agent, &bad, &challenge).frame(5)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i6_an_attestation_of_another_key_session_period_or_chain_or_none_at_all_is_refused() {
    let lab = Lab::start().await;
    let (agent, thief) = (lab.authority.issue(HONEST), lab.authority.issue("thief.branch.example"));
    let (mut peer, bad) = bad_gateway(&lab).await;
    let challenge = peer.challenge().await;
    for certified in [&agent, &thief] {
        peer.teach(certified).await;
    }
    let good = Open::attested(&agent, &bad, &challenge);
    let altered = |alter: fn(&mut Open)| {
        let mut open = good.clone();
        alter(&mut open);
        open
    };
    let stolen = Open { name: HONEST.into(), ..Open::attested(&thief, &bad, &challenge) };
    let wrong = [
        (altered(|open| open.attestation = None), Code::AttestationInvalid),
        (altered(|open| open.epoch += 1), Code::AttestationInvalid),
        (altered(|open| open.boot += 1), Code::AttestationInvalid),
        (altered(|open| open.connection += 1), Code::AttestationInvalid),
        (altered(|open| open.attestation.as_mut().unwrap().scheme = 0x0201), Code::AttestationInvalid),
        (altered(|open| open.attestation.as_mut().unwrap().period -= 2), Code::AttestationStale),
        (altered(|open| open.attestation.as_mut().unwrap().period += 2), Code::AttestationStale),
        (altered(|open| open.attestation.as_mut().unwrap().chain.reverse()), Code::ChainUnknown),
        // A chain that proves another name than the channel's.
        (stolen, Code::NameMismatch),
    ];
    for (channel, (open, code)) in (1..).zip(&wrong) {
        let mark = lab.server_events.mark();
        peer.write(&open.frame(channel)).await;
        peer.refused(channel, *code).await;
        lab.server_events.after(mark, *code, HONEST).await;
    }
    lab.honest_delivers().await;
}

/// The agent was behind the bad gateway, and has moved on: what it left there opens nothing any more (SECURITY H4).
#[tokio::test]
async fn i6_h4_a_gateway_that_keeps_speaking_for_an_agent_that_has_left_is_fenced() {
    let lab = Lab::start().await;
    let agent = lab.authority.issue("pc7.branch.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let (mut peer, bad) = bad_gateway(&lab).await;
    let challenge = peer.challenge().await;
    peer.teach(&agent).await;
    peer.write(&Open::attested(&agent, &bad, &challenge).frame(1)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);

    let mut moved = Peer::introduced(lab.gateway_address(), &agent, AGENT).await;
    let challenge = moved.challenge().await;
    moved.write(&Open::attested_as(&agent, &lab.gateway_certified, &challenge, 2).frame(1)).await;
    let opened: Opened = moved.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    peer.refused(1, Code::SessionFenced).await;

    let mark = lab.server_events.mark();
    peer.write(&Open::attested(&agent, &bad, &challenge).frame(2)).await;
    peer.refused(2, Code::SessionStale).await;
    lab.server_events.after(mark, Code::SessionStale, &agent.name).await;
    // The agent's own session stands: what it sends is acknowledged.
    moved.send(DATA, 1, &run(1, 1, b"still mine")).await;
    moved.until(ACK).await;
    lab.honest_delivers().await;
}

/// An agent on the honest gateway cannot speak for its neighbour there (SECURITY H3).
#[tokio::test]
async fn i6_h3_an_agent_that_opens_a_channel_for_its_neighbour_at_the_same_gateway_loses_its_link() {
    let lab = Lab::start().await;
    let (agent, thief) = (lab.authority.issue("pc7.branch.example"), lab.authority.issue("thief.branch.example"));
    for name in [&agent.name, &thief.name] {
        lab.group.approve_agent(name).await.unwrap();
    }
    // It may even have the neighbour's own attestation for that gateway.
    for stolen in [&agent, &thief] {
        let mut peer = Peer::introduced(lab.gateway_address(), &thief, AGENT).await;
        let challenge = peer.challenge().await;
        let open = Open::attested(stolen, &lab.gateway_certified, &challenge);
        peer.write(&Open { name: agent.name.clone(), ..open }.frame(1)).await;
        peer.refused(0, Code::HelloNameMismatch).await;
        lab.gateway_events.told(Code::HelloNameMismatch, &thief.name).await;
    }
    // What a link of an agent is worth is its own name's, at the server too.
    let mut peer = Peer::introduced(lab.server_address(), &thief, AGENT).await;
    let challenge = peer.challenge().await;
    peer.write(&Open::attested(&agent, &lab.gateway_certified, &challenge).frame(1)).await;
    peer.refused(0, Code::HelloNameMismatch).await;
    lab.honest_delivers().await;
}

#[tokio::test]
async fn d7_a_gateway_that_teaches_a_chain_without_end_is_refused() {
    let lab = Lab::start().await;
    let (mut peer, bad) = bad_gateway(&lab).await;
    let part = Chain { certificates: vec![bad.certificate.der().to_vec()], more: true };
    for _ in 0..9 {
        peer.send(CHAIN, 0, &part.encode_to_vec()).await;
    }
    peer.refused(0, Code::ChainTooLarge).await;
    lab.server_events.told(Code::ChainTooLarge, &bad.name).await;
    lab.honest_delivers().await;
}
