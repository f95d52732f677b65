//! A gateway behind the honest one that does as it likes (rules G1 and I6), and what it costs the others: nothing (D7).

use farpost::{ApprovedFor, Code};

use crate::lab::{HONEST, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ACCEPTED, AGENT, CHALLENGE, DATA, GATEWAY, OPENED, Open, Opened, run};

const INNER: &str = "gw2.site.example";

/// It is introduced at the honest gateway, and has opened its own channel.
async fn inner(lab: &Lab) -> (Peer, Certified, crate::wire::Challenge, Opened) {
    let inner = lab.authority.issue(INNER);
    let mut peer = Peer::introduced(lab.gateway_address(), &inner, GATEWAY).await;
    let challenge = peer.challenge().await;
    peer.write(&Open::attested_gateway(&inner, &lab.gateway_certified, &challenge).frame(1)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    (peer, inner, challenge, opened)
}

#[tokio::test]
async fn g1_a_gateway_that_opens_channels_before_it_is_approved_loses_its_link_and_none_of_it_goes_up() {
    let lab = Lab::start().await;
    let agent = lab.authority.issue("pc7.site.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let (mut peer, certified, challenge, opened) = inner(&lab).await;
    assert_eq!(opened.code, u32::from(Code::GatewayPending.number()));
    lab.server_events.told(Code::GatewayPending, INNER).await;
    let open = Open { behind: 1, ..Open::attested(&agent, &certified, &challenge) };
    peer.write(&open.frame(2)).await;
    peer.refused(0, Code::FrameUnexpected).await;
    lab.gateway_events.told(Code::FrameUnexpected, INNER).await;
    peer.closed().await;
    let (mut peer, ..) = inner(&lab).await;
    peer.send(DATA, 1, &run(1, 1, b"no")).await;
    peer.refused(1, Code::FrameUnexpected).await;
    assert_eq!(lab.server_events.count(Code::AgentConnected), 1, "the honest one");
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i6_a_gateway_behind_another_speaks_for_nobody_without_an_attestation_to_its_own_key() {
    let lab = Lab::start().await;
    lab.group.approve_gateway(INNER, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let port = lab.gateway_address().port();
    lab.group.set_failover(INNER, &format!("gw1.branch.example:{port}"), &[] as &[&str]).await.unwrap();
    let agent = lab.authority.issue("pc7.site.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let (mut peer, certified, challenge, opened) = inner(&lab).await;
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    for one in [&agent, &lab.authority.issue(HONEST)] {
        peer.teach(one).await;
    }
    let replayed = Open::attested(&agent, &lab.gateway_certified, &challenge);
    peer.write(&Open { behind: 1, ..replayed.clone() }.frame(2)).await;
    peer.refused(2, Code::AttestationElsewhere).await;
    let unattested = Open { behind: 1, attestation: None, name: HONEST.into(), ..replayed.clone() };
    peer.write(&unattested.frame(3)).await;
    peer.refused(3, Code::AttestationInvalid).await;
    // The same, made for its own key, opens on the same link.
    peer.write(&Open { behind: 1, ..Open::attested(&agent, &certified, &challenge) }.frame(4)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    // Its own name as its agent's, and a channel that never was.
    peer.write(&Open { behind: 1, name: INNER.into(), ..replayed.clone() }.frame(5)).await;
    peer.refused(5, Code::GatewayLoop).await;
    lab.honest_delivers().await;
    peer.write(&Open { behind: 99, ..replayed }.frame(6)).await;
    peer.refused(0, Code::ChannelUnknown).await;
    peer.closed().await;
    lab.honest_delivers().await;
}

/// Rule I1: what it proved by TLS is what it may open a channel for.
#[tokio::test]
async fn i6_an_agent_opens_no_gateways_channel_and_a_gateway_none_under_another_name() {
    let lab = Lab::start().await;
    let (agent, other) = (lab.authority.issue("pc7.branch.example"), lab.authority.issue(INNER));
    for (certified, role, shown) in [(&agent, AGENT, &agent), (&other, GATEWAY, &agent)] {
        let mut peer = Peer::introduced(lab.gateway_address(), certified, role).await;
        let challenge = peer.until(CHALLENGE).await.read();
        peer.write(&Open::attested_gateway(shown, &lab.gateway_certified, &challenge).frame(1)).await;
        peer.refused(0, Code::HelloNameMismatch).await;
        peer.closed().await;
    }
    lab.honest_delivers().await;
}
