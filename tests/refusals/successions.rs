//! A gateway that says that former keys were its own (rule I5): only what such a key signed itself is believed.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use farpost::{ApprovedFor, Code, GatewayTerms, KeyDemand};
use prost::Message as _;
use rcgen::PublicKeyData as _;

use crate::lab::{GROUP, HONEST, Lab, SERVER};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{
    ACCEPTED, AGENT, GATEWAY, OPENED, Open, Opened, PING, PONG, SUCCEED, Succeed, chain_hash, put_field,
};

const NAME: &str = "gw9.branch.example";

/// The statement of `former` that the key of `newer` takes its place (section 8).
fn succeed(former: &Certified, newer: &Certified, signer: &Certified, group: &str, name: &str) -> Succeed {
    let hash = |certified: &Certified| digest(&SHA256, &certified.key.subject_public_key_info());
    let mut signed = b"farpost succession 1\0".to_vec();
    for field in [group.as_bytes(), name.as_bytes(), hash(former).as_ref(), hash(newer).as_ref()] {
        put_field(&mut signed, field);
    }
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &signer.key.serialize_der()).unwrap();
    let signature = key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
    Succeed { chain: chain_hash(former), scheme: 0x0403, signature, next: Vec::new() }
}

/// A gateway that is approved, on a link with this certificate.
async fn gateway(lab: &Lab, certified: &Certified) -> Peer {
    lab.group.approve_gateway(NAME, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    Peer::introduced(lab.server_address(), certified, GATEWAY).await
}

#[tokio::test]
async fn i5_i6_an_attestation_for_a_former_key_is_taken_once_that_key_vouched_and_not_before() {
    let lab = Lab::start().await;
    let (former, newer) = (lab.authority.issue(NAME), lab.authority.issue(NAME));
    let agent = lab.authority.issue("pc7.branch.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let mut peer = gateway(&lab, &newer).await;
    let challenge = peer.challenge().await;
    peer.teach(&agent).await;
    peer.write(&Open::attested(&agent, &former, &challenge).frame(1)).await;
    peer.refused(1, Code::AttestationElsewhere).await;
    // In one breath: the channel waits for the statement that came before it.
    peer.teach(&former).await;
    peer.send(SUCCEED, 0, &succeed(&former, &newer, &former, GROUP, NAME).encode_to_vec()).await;
    peer.write(&Open::attested(&agent, &former, &challenge).frame(2)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    // The present key goes on to be taken; another gateway's is not.
    peer.write(&Open::attested_as(&agent, &newer, &challenge, 2).frame(3)).await;
    let opened: Opened = peer.until(OPENED).await.read();
    assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    peer.write(&Open::attested(&agent, &lab.gateway_certified, &challenge).frame(4)).await;
    peer.refused(4, Code::AttestationElsewhere).await;
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i5_a_statement_that_the_former_key_did_not_make_or_of_a_bad_certificate_is_believed_by_nobody() {
    let lab = Lab::start().await;
    let (former, newer, other) = (lab.authority.issue(NAME), lab.authority.issue(NAME), lab.authority.issue(NAME));
    let (foreign, agent) = (lab.authority.issue(HONEST), lab.authority.issue("pc7.branch.example"));
    lab.group.approve_agent(&agent.name).await.unwrap();
    let expired = lab.authority.issue_spoilt(NAME, |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    let wrong = [
        (succeed(&former, &newer, &newer, GROUP, NAME), &former, Code::SuccessionInvalid),
        (succeed(&former, &newer, &former, "corp", NAME), &former, Code::SuccessionInvalid),
        (succeed(&former, &newer, &former, GROUP, HONEST), &former, Code::SuccessionInvalid),
        (succeed(&former, &other, &former, GROUP, NAME), &former, Code::SuccessionInvalid),
        (succeed(&foreign, &newer, &foreign, GROUP, NAME), &foreign, Code::NameMismatch),
        (succeed(&lab.revoked, &newer, &lab.revoked, GROUP, NAME), &lab.revoked, Code::NameMismatch),
        (succeed(&expired, &newer, &expired, GROUP, NAME), &expired, Code::CertificateExpired),
    ];
    for (statement, former, code) in wrong {
        let mark = lab.server_events.mark();
        let mut peer = gateway(&lab, &newer).await;
        let challenge = peer.challenge().await;
        peer.teach(&agent).await;
        peer.teach(former).await;
        peer.send(SUCCEED, 0, &statement.encode_to_vec()).await;
        peer.write(&Open::attested(&agent, former, &challenge).frame(1)).await;
        peer.refused(1, Code::AttestationElsewhere).await;
        lab.server_events.after(mark, code, NAME).await;
    }
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i5_a_third_statement_one_of_an_agent_and_one_of_an_unknown_chain_end_the_link() {
    let lab = Lab::start().await;
    let (former, newer) = (lab.authority.issue(NAME), lab.authority.issue(NAME));
    let statement = succeed(&former, &newer, &former, GROUP, NAME).encode_to_vec();

    let mut peer = gateway(&lab, &newer).await;
    peer.send(SUCCEED, 0, &statement).await;
    peer.refused(0, Code::ChainUnknown).await;

    let mut peer = gateway(&lab, &newer).await;
    peer.teach(&former).await;
    for _ in 0..3 {
        peer.send(SUCCEED, 0, &statement).await;
    }
    peer.refused(0, Code::SuccessionInvalid).await;

    let agent = lab.authority.issue("pc7.branch.example");
    lab.group.approve_agent(&agent.name).await.unwrap();
    let mut peer = Peer::introduced(lab.server_address(), &agent, AGENT).await;
    peer.teach(&former).await;
    peer.send(SUCCEED, 0, &statement).await;
    peer.refused(0, Code::SuccessionInvalid).await;
    lab.honest_delivers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_h8_a_channel_of_a_former_key_ends_with_that_keys_certificate_and_the_others_stay() {
    let lab = Lab::start().await;
    let ends_at = std::time::SystemTime::now() + std::time::Duration::from_secs(8);
    let brief = lab.authority.issue_spoilt(NAME, |params| params.not_after = ends_at.into());
    let (former, newer) = (lab.authority.issue(NAME), lab.authority.issue(NAME));
    let mut peer = gateway(&lab, &newer).await;
    let challenge = peer.challenge().await;
    for former in [&brief, &former] {
        peer.teach(former).await;
        peer.send(SUCCEED, 0, &succeed(former, &newer, former, GROUP, NAME).encode_to_vec()).await;
    }
    for (channel, key) in (1..).zip([&brief, &former, &newer]) {
        let agent = lab.authority.issue(&format!("pc{channel}.branch.example"));
        lab.group.approve_agent(&agent.name).await.unwrap();
        peer.teach(&agent).await;
        peer.write(&Open::attested(&agent, key, &challenge).frame(channel)).await;
        let opened: Opened = peer.until(OPENED).await.read();
        assert_eq!(opened.status, ACCEPTED, "FP{}", opened.code);
    }
    // By its end, and by a list; the third one is of the present key.
    peer.refused(1, Code::AttestationStale).await;
    lab.server.replace_identity(lab.server_identity(&[&lab.revoked, &former])).await.unwrap();
    peer.refused(2, Code::AttestationStale).await;
    peer.send(PING, 0, &[7; 8]).await;
    let answer = peer.until(PONG).await;
    assert_eq!(answer.body, [7; 8], "and nothing of the third channel before it");
    lab.honest_delivers().await;
}

/// Whoever holds the pinned key says which comes next, and nobody else does.
#[tokio::test]
async fn g1_i5_a_next_key_that_the_pinned_one_did_not_announce_is_let_in_by_nobody() {
    let lab = Lab::start().await;
    let (pinned, next) = (lab.authority.issue(NAME), lab.authority.issue(NAME));
    let first = GatewayTerms::default().key(KeyDemand::First);
    lab.group.approve_gateway_with(NAME, ApprovedFor::ManagementServer(SERVER), &first).await.unwrap();
    let mut peer = Peer::introduced(lab.server_address(), &pinned, GATEWAY).await;
    let announced = |said: Succeed, next: &Certified| {
        let hash = digest(&SHA256, &next.key.subject_public_key_info()).as_ref().to_vec();
        Succeed { chain: Vec::new(), next: hash, ..said }.encode_to_vec()
    };
    for wrong in [
        announced(succeed(&pinned, &next, &next, GROUP, NAME), &next),
        announced(succeed(&pinned, &next, &pinned, GROUP, HONEST), &next),
        announced(succeed(&pinned, &pinned, &pinned, GROUP, NAME), &next),
    ] {
        let mark = lab.server_events.mark();
        peer.send(SUCCEED, 0, &wrong).await;
        lab.server_events.after(mark, Code::SuccessionInvalid, NAME).await;
        let mut refused = Peer::connect(lab.server_address(), &next).await;
        refused.hello(&crate::wire::Hello::of(GATEWAY, NAME)).await;
        refused.refused(0, Code::KeyNotPinned).await;
    }
    // The link stands, and what the pinned key says is believed.
    peer.send(SUCCEED, 0, &announced(succeed(&pinned, &next, &pinned, GROUP, NAME), &next)).await;
    let since = std::time::Instant::now();
    loop {
        let mut peer = Peer::connect(lab.server_address(), &next).await;
        peer.hello(&crate::wire::Hello::of(GATEWAY, NAME)).await;
        if peer.next().await.is_some_and(|frame| frame.kind == crate::wire::WELCOME) {
            break;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(20), "the next key is not let in");
    }
    lab.honest_delivers().await;
}
