//! What is refused on an agent's channel: data before it is open, another agent's name, credit overrun, sequences that
//! go back. A gateway ends the agent's link; a management server ends the channel, and the gateway's other agents lose
//! nothing (rule D7).

use farpost::{ApprovedFor, Code};

use crate::lab::{HONEST, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ACCEPTED, ACK, AGENT, CREDIT, DATA, GATEWAY, OPENED, Open, Opened, frame, run};

/// An approved agent of the test's own, at the lab's gateway, with an open channel 1.
async fn agent_at_gateway(lab: &Lab, certified: &Certified) -> Peer {
    let mut peer = Peer::introduced(lab.gateway_address(), certified, AGENT).await;
    let challenge = peer.challenge().await;
    peer.write(&Open::attested(certified, &lab.gateway_certified, &challenge).frame(1)).await;
    opened(&mut peer).await;
    peer.until(CREDIT).await;
    peer
}

async fn opened(peer: &mut Peer) {
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
}

async fn approved_agent(lab: &Lab, name: &str) -> Certified {
    lab.group.approve_agent(name).await.unwrap();
    lab.authority.issue(name)
}

/// A gateway of the test's own at the server, with an open channel for each of the agents, from 1 on.
async fn gateway_at_server(lab: &Lab, agents: &[&Certified]) -> (Peer, Certified) {
    let gateway = lab.authority.issue("gw9.branch.example");
    lab.group.approve_gateway(&gateway.name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let mut peer = Peer::introduced(lab.server_address(), &gateway, GATEWAY).await;
    let challenge = peer.challenge().await;
    for (channel, agent) in (1..).zip(agents) {
        peer.teach(agent).await;
        peer.write(&Open::attested(agent, &gateway, &challenge).frame(channel)).await;
        opened(&mut peer).await;
        peer.until(CREDIT).await;
    }
    (peer, gateway)
}

/// Much more than a receiver grants while it commits what came before: 4 MiB against a window of 4 KiB.
fn flood() -> Vec<u8> {
    (0..256).flat_map(|count| frame(DATA, 1, &run(1 + count, 1, &[b'x'; 16_000]))).collect()
}

#[tokio::test]
async fn d7_an_agent_that_overruns_its_credit_loses_its_link() {
    let lab = Lab::start().await;
    let greedy = approved_agent(&lab, "greedy.branch.example").await;
    let mut peer = agent_at_gateway(&lab, &greedy).await;
    peer.write(&flood()).await;
    peer.refused(0, Code::PeerOverranCredit).await;
    lab.gateway_events.told(Code::PeerOverranCredit, &greedy.name).await;
    peer.closed().await;
    lab.honest_delivers().await;
}

#[tokio::test]
async fn d7_a_channel_that_overruns_its_credit_ends_and_the_gateways_other_channels_go_on() {
    let lab = Lab::start().await;
    let greedy = approved_agent(&lab, "greedy.branch.example").await;
    let modest = approved_agent(&lab, "modest.branch.example").await;
    let (mut peer, _) = gateway_at_server(&lab, &[&greedy, &modest]).await;
    peer.write(&flood()).await;
    peer.refused(1, Code::PeerOverranCredit).await;
    lab.server_events.told(Code::PeerOverranCredit, &greedy.name).await;
    // What is still on its way on the ended channel is skipped.
    peer.send(DATA, 1, &run(300, 1, b"late")).await;
    peer.send(DATA, 2, &run(1, 3, b"modest")).await;
    acknowledged(&mut peer, 2, 3).await;
    lab.honest_delivers().await;
}

async fn acknowledged(peer: &mut Peer, channel: u32, through: u64) {
    loop {
        let ack = peer.until(ACK).await;
        if ack.channel == channel && ack.body == through.to_be_bytes() {
            return;
        }
    }
}

#[tokio::test]
async fn d5_an_agent_whose_sequence_goes_back_or_leaves_a_gap_loses_its_link() {
    let lab = Lab::start().await;
    for (name, next) in [("back.branch.example", 3), ("again.branch.example", 5), ("gap.branch.example", 7)] {
        let certified = approved_agent(&lab, name).await;
        let mut peer = agent_at_gateway(&lab, &certified).await;
        peer.send(DATA, 1, &run(1, 5, b"good")).await;
        acknowledged(&mut peer, 1, 5).await;
        peer.send(DATA, 1, &run(next, 1, b"bad")).await;
        peer.refused(0, Code::SequenceBroken).await;
        lab.gateway_events.told(Code::SequenceBroken, name).await;
        peer.closed().await;
    }
    lab.honest_delivers().await;
}

#[tokio::test]
async fn d5_a_channel_whose_sequence_goes_back_ends_and_the_gateways_other_channels_go_on() {
    let lab = Lab::start().await;
    let broken = approved_agent(&lab, "broken.branch.example").await;
    let sound = approved_agent(&lab, "sound.branch.example").await;
    let (mut peer, _) = gateway_at_server(&lab, &[&broken, &sound]).await;
    peer.send(DATA, 1, &run(1, 5, b"good")).await;
    acknowledged(&mut peer, 1, 5).await;
    peer.send(DATA, 1, &run(5, 1, b"bad")).await;
    peer.refused(1, Code::SequenceBroken).await;
    lab.server_events.told(Code::SequenceBroken, &broken.name).await;
    peer.send(DATA, 2, &run(1, 1, b"sound")).await;
    acknowledged(&mut peer, 2, 1).await;
    lab.honest_delivers().await;
    let of_broken = lab.group.deliveries(0, 1000).await.unwrap();
    let of_broken: Vec<u64> = of_broken
        .iter()
        .filter(|delivery| delivery.agent.as_str() == broken.name)
        .map(|delivery| delivery.sequence.0)
        .collect();
    assert_eq!(of_broken, [1, 2, 3, 4, 5]);
}

/// Rule G1: no data before the group said yes, at the gateway and behind it.
#[tokio::test]
async fn g1_data_before_the_channel_is_open_is_refused() {
    let lab = Lab::start().await;
    let pending = lab.authority.issue("pending.branch.example");
    let mut peer = Peer::introduced(lab.gateway_address(), &pending, AGENT).await;
    let challenge = peer.challenge().await;
    peer.write(&Open::attested(&pending, &lab.gateway_certified, &challenge).frame(1)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.code, u32::from(Code::AgentPending.number()));
    peer.send(DATA, 1, &run(1, 1, b"early")).await;
    peer.refused(0, Code::FrameUnexpected).await;
    lab.gateway_events.told(Code::FrameUnexpected, &pending.name).await;

    // A gateway that passes it on all the same.
    let (mut peer, gateway) = gateway_at_server(&lab, &[]).await;
    let challenge = lab_challenge(&lab, &pending).await;
    peer.teach(&pending).await;
    peer.write(&Open::attested(&pending, &gateway, &challenge).frame(1)).await;
    peer.until(OPENED).await;
    peer.send(DATA, 1, &run(1, 1, b"early")).await;
    peer.refused(1, Code::FrameUnexpected).await;
    lab.server_events.told(Code::FrameUnexpected, &pending.name).await;
    lab.honest_delivers().await;
}

/// The group's challenge of the period, as the lab's gateway tells every agent.
async fn lab_challenge(lab: &Lab, certified: &Certified) -> crate::wire::Challenge {
    Peer::introduced(lab.gateway_address(), certified, AGENT).await.challenge().await
}

/// Rule I1: an agent speaks for itself alone; channels have numbers that rise.
#[tokio::test]
async fn i1_an_agent_that_opens_a_channel_for_another_one_loses_its_link() {
    let lab = Lab::start().await;
    let thief = approved_agent(&lab, "thief.branch.example").await;
    for (listener, events, neighbour) in [
        (lab.gateway_address(), &lab.gateway_events, &lab.gateway_certified),
        (lab.server_address(), &lab.server_events, &lab.gateway_certified),
    ] {
        let mut peer = Peer::introduced(listener, &thief, AGENT).await;
        let challenge = peer.challenge().await;
        let open = Open { name: HONEST.into(), ..Open::attested(&thief, neighbour, &challenge) };
        peer.write(&open.frame(1)).await;
        peer.refused(0, Code::HelloNameMismatch).await;
        events.told(Code::HelloNameMismatch, &peer.address).await;
        peer.closed().await;
    }
    let mut peer = agent_at_gateway(&lab, &thief).await;
    peer.write(&Open::default().frame(1)).await;
    peer.refused(0, Code::ChannelReused).await;
    peer.closed().await;
    lab.honest_delivers().await;
}
