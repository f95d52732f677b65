//! What is refused when a peer introduces itself (rules G1, G5 and I1).

use std::time::{Duration, Instant};

use farpost::Code;

use crate::lab::{GATEWAY as GATEWAY_NAME, HONEST, Lab};
use crate::peer::Peer;
use crate::wire::{AGENT, GATEWAY, HELLO, Hello, MANAGEMENT_SERVER, Open, frame};

#[tokio::test]
async fn g5_a_hello_that_never_comes_is_told_and_ends_the_link() {
    let lab = Lab::with_hello_timeout("1s").await;
    let silent = lab.authority.issue("silent.branch.example");
    for (listener, events) in lab.listeners() {
        let mut peer = Peer::connect(listener, &silent).await;
        lab.honest_delivers().await;
        peer.refused(0, Code::HelloTimeout).await;
        events.told(Code::HelloTimeout, &peer.address).await;
        peer.closed().await;
        lab.honest_delivers().await;
    }
}

/// Bytes that come in time do not make up for a frame that does not: the deadline is for all of it.
#[tokio::test]
async fn d7_a_hello_that_drips_in_ends_at_its_deadline() {
    let lab = Lab::with_hello_timeout("1s").await;
    let slow = lab.authority.issue("slow.branch.example");
    let hello = frame(HELLO, 0, &[0; 4000]);
    for (listener, events) in lab.listeners() {
        let mut peer = Peer::connect(listener, &slow).await;
        let since = Instant::now();
        for byte in &hello {
            peer.write(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if events.count(Code::HelloTimeout) > 0 {
                break;
            }
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        events.told(Code::HelloTimeout, &peer.address).await;
        peer.refused(0, Code::HelloTimeout).await;
        lab.honest_delivers().await;
    }
}

/// Rule I1: the name comes from the certificate alone. The group decides by it, so that this is where it ends.
#[tokio::test]
async fn i1_a_name_that_the_certificate_does_not_prove_is_refused() {
    let lab = Lab::start().await;
    let thief = lab.authority.issue("thief.branch.example");
    for (listener, events) in lab.listeners() {
        for name in [HONEST, "THIEF.branch.example", "thief.branch.example."] {
            let mark = events.mark();
            let mut peer = Peer::connect(listener, &thief).await;
            peer.hello(&Hello::of(AGENT, name)).await;
            peer.refused(0, Code::HelloNameMismatch).await;
            events.after(mark, Code::HelloNameMismatch, &peer.address).await;
            peer.closed().await;
        }
        lab.honest_delivers().await;
    }
}

#[tokio::test]
async fn g5_a_hello_of_another_group_version_role_or_purpose_is_refused() {
    let lab = Lab::start().await;
    let certified = lab.authority.issue("pc7.branch.example");
    let right = Hello::of(AGENT, &certified.name);
    let wrong = [
        (Hello { group: "corp".into(), ..right.clone() }, Code::GroupMismatch),
        (Hello { version: 0, ..right.clone() }, Code::VersionUnsupported),
        (Hello { role: 5, ..right.clone() }, Code::RoleUnexpected),
        (Hello { role: MANAGEMENT_SERVER, ..right.clone() }, Code::RoleUnexpected),
        (Hello { purpose: 3, ..right.clone() }, Code::FrameMalformed),
        (Hello { name: "../pc7".into(), ..right }, Code::NameUnreadable),
    ];
    for (listener, events) in lab.listeners() {
        for (hello, code) in &wrong {
            let mut peer = Peer::connect(listener, &certified).await;
            peer.hello(hello).await;
            peer.refused(0, *code).await;
            events.told(*code, &peer.address).await;
            peer.closed().await;
        }
        lab.honest_delivers().await;
    }
}

/// Rule G1: all certificates carry both purposes, so that the role comes from the group's approval and nothing else.
#[tokio::test]
async fn g1_a_name_that_is_approved_for_another_role_is_refused() {
    let lab = Lab::start().await;
    let agent = lab.authority.issue(HONEST);
    let mut peer = Peer::connect(lab.server_address(), &agent).await;
    peer.hello(&Hello::of(GATEWAY, HONEST)).await;
    peer.refused(0, Code::RoleNotApproved).await;
    peer.closed().await;
    lab.server_events.told(Code::RoleNotApproved, HONEST).await;
    // Behind a gateway it is the group that says so, of the channel that it opens for itself.
    let mark = lab.server_events.mark();
    let mut peer = Peer::introduced(lab.gateway_address(), &agent, GATEWAY).await;
    let challenge = peer.challenge().await;
    peer.write(&Open::attested_gateway(&agent, &lab.gateway_certified, &challenge).frame(1)).await;
    peer.refused(1, Code::RoleNotApproved).await;
    lab.server_events.after(mark, Code::RoleNotApproved, HONEST).await;

    let mut peer = Peer::connect(lab.server_address(), &lab.gateway_certified).await;
    peer.hello(&Hello::of(AGENT, GATEWAY_NAME)).await;
    peer.refused(0, Code::RoleNotApproved).await;
    lab.server_events.told(Code::RoleNotApproved, GATEWAY_NAME).await;
    peer.closed().await;
    lab.honest_delivers().await;
}
