//! A gateway that speaks for agents that are not connected to it (rule I6), or teaches chains without end.

use farpost::{ApprovedFor, Code};
use prost::Message as _;

use crate::lab::{HONEST, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ACCEPTED, CHAIN, Chain, GATEWAY, OPENED, Open, Opened};

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

    // Made for the good gateway, shown by the bad one.
    let replayed = Open::attested(&agent, &lab.gateway_certified, &challenge);
    peer.write(&replayed.frame(1)).await;
    peer.refused(1, Code::AttestationInvalid).await;
    lab.server_events.told(Code::AttestationInvalid, &agent.name).await;

    // The signature is what was wrong, and nothing else: the same, made for the bad gateway, opens on the same link.
    peer.write(&Open::attested(&agent, &bad, &challenge).frame(2)).await;
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
