//! Operators from afar: who may ask and who not (rule G1), each refusal told to both sides with its code (rule G5), what
//! takes effect when (rule G2), and what hostile operators cost (rule D7).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use farpost::{Access, AgentState, ApprovedFor, Code, Error, Identity, ManagementGroup, Name, OperatorConnection};
use prost::Message as _;
use rcgen::date_time_ymd;

use crate::events::{EventLog, within};
use crate::lab::{GATEWAY, GROUP, HONEST, Lab, SERVER, agent, any_port, identity};
use crate::openssl::{FARPOST, files, s_client};
use crate::peer::Peer;
use crate::pki::Certified;
use crate::wire::{ANSWER, ASK, Answered, Ask, Hello, OPERATOR};

/// Rule G2.
const TAKES_EFFECT_WITHIN: Duration = Duration::from_secs(2);
const ANN: &str = "ann.corp.example";

fn connection(identity: Identity, server: &str, address: SocketAddr) -> OperatorConnection {
    let connection = OperatorConnection::new(identity, &format!("{server}:{}", address.port())).unwrap();
    connection.host(Name::parse(server).unwrap(), vec![any_port().ip()]).management_group(GROUP)
}

async fn connect(lab: &Lab, certified: &Certified) -> Result<ManagementGroup, Error> {
    let identity = identity(&lab.authority, certified, &[]);
    within("a connection", connection(identity, SERVER, lab.server_address()).connect()).await
}

/// Ann, who may do this.
async fn ann(lab: &Lab, access: Access) -> ManagementGroup {
    lab.group.approve_operator(ANN, access, None).await.unwrap();
    connect(lab, &lab.authority.issue(ANN)).await.unwrap()
}

fn code<T>(result: Result<T, Error>) -> Code {
    result.err().expect("it was done").code()
}

/// Least privilege: no certificate of the chain's nodes can do any of it, nor one that nobody approved.
#[tokio::test]
async fn g1_g5_only_who_is_approved_as_operator_comes_in_and_each_other_learns_why_on_both_sides() {
    let lab = Lab::start().await;
    lab.group.approve_operator("rejected.corp.example", Access::Full, None).await.unwrap();
    lab.group.reject_operator("rejected.corp.example").await.unwrap();
    let pinned = lab.authority.issue("pinned.corp.example");
    lab.group.approve_operator(&pinned.name, Access::Full, Some(&"ab".repeat(32))).await.unwrap();
    for (certified, expected) in [
        (&lab.gateway_certified, Code::RoleNotApproved),
        (&lab.authority.issue(HONEST), Code::RoleNotApproved),
        (&lab.authority.issue(SERVER), Code::RoleNotApproved),
        (&lab.authority.issue("nobody.corp.example"), Code::OperatorUnknown),
        (&lab.authority.issue("rejected.corp.example"), Code::NameRejected),
        (&pinned, Code::OperatorKeyMismatch),
    ] {
        let mark = lab.server_events.mark();
        assert_eq!(code(connect(&lab, certified).await), expected, "{}", certified.name);
        lab.server_events.after(mark, expected, &certified.name).await;
    }
    assert!(lab.group.agents().await.unwrap().iter().all(|agent| agent.name.as_str() == HONEST));
    lab.honest_delivers().await;
}

#[tokio::test]
async fn i2_an_operators_certificate_that_is_revoked_expired_or_of_another_ca_comes_to_nothing() {
    let lab = Lab::start().await;
    lab.group.approve_operator(&lab.revoked.name, Access::Full, None).await.unwrap();
    lab.group.approve_operator(ANN, Access::Full, None).await.unwrap();
    let mark = lab.server_events.mark();
    let told = connect(&lab, &lab.revoked).await.err().unwrap();
    assert!((1000..2000).contains(&told.code().number()), "{told}");
    lab.server_events.after(mark, Code::CertificateRevoked, "").await;

    // One that loads such a certificate refuses it itself.
    let expired = lab.authority.issue_spoilt(ANN, |params| params.not_after = date_time_ymd(2021, 1, 1));
    for (spoilt, expected) in
        [(&expired, Code::CertificateExpired), (&Certified::authority("Another CA").issue(ANN), Code::IssuerUnknown)]
    {
        let (certificate, key) = files(lab.directory.path(), spoilt);
        let mark = lab.server_events.mark();
        s_client(lab.server_address(), &["-alpn", FARPOST, "-cert", &certificate, "-key", &key]).await;
        lab.server_events.after(mark, expected, "").await;
    }
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g1_a_gateway_takes_no_operator_and_an_operator_takes_no_gateway_for_a_server() {
    let lab = Lab::start().await;
    lab.group.approve_operator(ANN, Access::Full, None).await.unwrap();
    let certified = lab.authority.issue(ANN);
    let mut peer = Peer::connect(lab.gateway_address(), &certified).await;
    peer.hello(&Hello::of(OPERATOR, ANN)).await;
    peer.refused(0, Code::RoleUnexpected).await;
    lab.gateway_events.told(Code::RoleUnexpected, ANN).await;
    let identity = identity(&lab.authority, &certified, &[]);
    let result = connection(identity, GATEWAY, lab.gateway_address()).connect().await;
    assert_eq!(code(result), Code::RoleUnexpected);
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g1_an_operator_does_what_it_may_and_a_read_only_one_looks() {
    let lab = Lab::start().await;
    let full = ann(&lab, Access::Full).await;
    full.approve_agent("pc8.branch.example").await.unwrap();
    assert_eq!(full.name().await.unwrap(), GROUP);
    assert_eq!(full.inventory().await.unwrap(), lab.group.inventory().await.unwrap());
    assert_eq!(full.operators().await.unwrap()[0].name.as_str(), ANN);
    assert_eq!(code(full.approve_gateway("gw9", ApprovedFor::ManagementServer("ms9")).await), Code::ServerUnknown);
    assert_eq!(code(full.deliveries(0, 10).await), Code::OperationLocal);
    assert_eq!(code(full.acting_as("somebody else")), Code::OperationLocal);
    let entry = lab.group.audit(farpost::Timestamp::default(), 0, 1000).await.unwrap().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.author.kind), ("approve agent", farpost::AuthorKind::Operator));
    assert_eq!(entry.author.name, ANN);
    assert!(entry.author.from.starts_with("127.0.0.1:") && entry.author.from.ends_with(SERVER), "{}", entry.author);

    let bob = lab.authority.issue("bob.corp.example");
    full.approve_operator(&bob.name, Access::ReadOnly, None).await.unwrap();
    let bob = connect(&lab, &bob).await.unwrap();
    assert_eq!(bob.agents().await.unwrap(), lab.group.agents().await.unwrap());
    let mark = lab.server_events.mark();
    assert_eq!(code(bob.reject_agent(HONEST).await), Code::OperatorReadOnly);
    lab.server_events.after(mark, Code::OperatorReadOnly, "bob.corp.example").await;
    assert_eq!(code(bob.operators().await), Code::OperatorReadOnly);
    assert_eq!(code(bob.approve_operator("bob.corp.example", Access::Full, None).await), Code::OperatorReadOnly);
    assert!(bob.inventory().await.is_ok(), "the link stands");

    let builder = farpost::ManagementServer::builder(lab.identity("ms2.corp.example"), full);
    assert_eq!(code(builder.listen(any_port()).start().await), Code::OperationLocal);
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g2_what_an_operator_does_at_one_server_takes_effect_at_another_and_so_does_its_own_removal() {
    let lab = Lab::start().await;
    let ms2 = lab.another_server("ms2.corp.example").await;
    let events = EventLog::follow("ms2", ms2.events());
    lab.group.approve_operator(ANN, Access::Full, None).await.unwrap();
    let certified = lab.authority.issue(ANN);
    let at_ms1 = connect(&lab, &certified).await.unwrap();
    let address = ms2.local_address().unwrap();
    let identity = || identity(&lab.authority, &certified, &[]);
    let at_ms2 = connection(identity(), "ms2.corp.example", address).connect().await.unwrap();

    let name = "new.branch.example";
    let new = agent(lab.identity(name), "ms2.corp.example", address.port()).await;
    events.told(Code::AgentPending, name).await;
    let receipt = new.send(farpost::Message::new("early")).await.unwrap();
    let since = Instant::now();
    at_ms1.approve_agent(name).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();
    assert!(since.elapsed() < TAKES_EFFECT_WITHIN, "{:?}", since.elapsed());

    // Access is looked at with each ask, at any server.
    lab.group.approve_operator(ANN, Access::ReadOnly, None).await.unwrap();
    assert_eq!(code(at_ms2.reject_agent(name).await), Code::OperatorReadOnly);
    assert_eq!(at_ms2.agents().await.unwrap().len(), 2);

    let (mark, since) = (events.mark(), Instant::now());
    lab.group.delete_operator(ANN).await.unwrap();
    assert_eq!(code(at_ms2.agents().await), Code::OperatorUnknown, "at once, whatever the link still does");
    events.after(mark, Code::OperatorUnknown, ANN).await;
    let open = Instant::now();
    while lab.server_events.count(Code::OperatorUnknown) == 0 && open.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(since.elapsed() < TAKES_EFFECT_WITHIN, "{:?}", since.elapsed());
    assert_eq!(code(at_ms1.approve_agent(name).await), Code::OperatorUnknown);
    lab.honest_delivers().await;
}

/// An operator by hand.
async fn by_hand(lab: &Lab) -> Peer {
    lab.group.approve_operator(ANN, Access::Full, None).await.unwrap();
    Peer::introduced(lab.server_address(), &lab.authority.issue(ANN), OPERATOR).await
}

async fn ask(peer: &mut Peer, id: u64, more: bool, operation: &[u8]) {
    peer.send(ASK, 0, &Ask { id, more, operation: operation.to_vec() }.encode_to_vec()).await;
}

async fn answered(peer: &mut Peer) -> Answered {
    peer.until(ANSWER).await.read()
}

#[tokio::test]
async fn d7_what_cannot_be_read_as_an_operation_is_answered_with_its_code_and_the_link_stands() {
    let lab = Lab::start().await;
    let mut peer = by_hand(&lab).await;
    let deep = "[".repeat(200_000);
    let deep_inside = format!("{{\"approvals\":{}", "{\"a\":".repeat(40_000));
    let injected = "{\"approvals\":{\"approve_agent\":{\"agent\":\"a'; DROP TABLE agents; --\"}}}";
    for (id, json) in [(u64::MAX, deep.as_str()), (0, &deep_inside), (7, injected), (7, "{\"later\":1}"), (8, "\u{0}")]
    {
        let parts: Vec<&[u8]> = json.as_bytes().chunks(16_000).collect();
        for (at, part) in parts.iter().enumerate() {
            ask(&mut peer, id, at + 1 < parts.len(), part).await;
        }
        let answer = answered(&mut peer).await;
        assert_eq!((answer.id, answer.code), (id, u32::from(Code::AskUnreadable.number())), "{}", answer.found);
    }
    lab.server_events.told(Code::AskUnreadable, ANN).await;
    ask(&mut peer, 9, false, b"{\"inventory\":\"name\"}").await;
    let answer = answered(&mut peer).await;
    assert_eq!((answer.id, answer.code, answer.answer.as_slice()), (9, 0, &b"{\"text\":\"CORP\"}"[..]));
    lab.honest_delivers().await;
}

#[tokio::test]
async fn d7_parts_without_end_ten_thousand_asks_and_frames_of_other_roles_end_the_operators_link_alone() {
    let lab = Lab::start().await;
    let mut peer = by_hand(&lab).await;
    for _ in 0..17 {
        ask(&mut peer, 1, true, &[b' '; 16_000]).await;
    }
    peer.refused(0, Code::FrameTooLong).await;
    let mut peer = by_hand(&lab).await;
    ask(&mut peer, 1, true, b"").await;
    peer.refused(0, Code::FrameMalformed).await;
    let mut peer = by_hand(&lab).await;
    for id in 0..10_000_u64 {
        let body = Ask { id, more: false, operation: b"{\"inventory\":\"inventory\"}".to_vec() }.encode_to_vec();
        peer.write(&crate::wire::frame(ASK, 0, &body)).await;
        if lab.server_events.count(Code::AskedTooMuch) > 0 {
            break;
        }
    }
    lab.server_events.told(Code::AskedTooMuch, ANN).await;
    for kind in [crate::wire::CHAIN, crate::wire::SUCCEED, 0x17, ANSWER] {
        let mut peer = by_hand(&lab).await;
        peer.send(kind, 0, b"").await;
        peer.refused(0, Code::FrameUnexpected).await;
    }
    // It may ask for its own certificate, with a request.
    let mut peer = by_hand(&lab).await;
    peer.send(crate::wire::REQUEST, 0, b"").await;
    peer.refused(0, Code::FrameTooLong).await;
    for kind in [crate::wire::OPEN, crate::wire::DATA, crate::wire::REQUEST, ASK] {
        let mut peer = by_hand(&lab).await;
        peer.send(kind, 1, b"").await;
        peer.refused(0, Code::FrameUnexpected).await;
    }
    lab.honest_delivers().await;
}

#[tokio::test]
async fn g1_an_ask_on_a_nodes_link_ends_it() {
    let lab = Lab::start().await;
    for (certified, role) in [
        (lab.authority.issue(GATEWAY), crate::wire::GATEWAY),
        (lab.authority.issue("pc9.branch.example"), crate::wire::AGENT),
    ] {
        lab.group.approve_agent("pc9.branch.example").await.unwrap();
        let mut peer = Peer::introduced(lab.server_address(), &certified, role).await;
        ask(&mut peer, 1, false, b"{\"inventory\":\"inventory\"}").await;
        peer.refused(0, Code::FrameUnexpected).await;
        lab.server_events.told(Code::FrameUnexpected, &certified.name).await;
    }
    let pending = lab.authority.issue("pending.branch.example");
    let mut peer = Peer::connect(lab.server_address(), &pending).await;
    peer.hello(&Hello::of(crate::wire::AGENT, &pending.name)).await;
    peer.until(crate::wire::WELCOME).await;
    ask(&mut peer, 1, false, b"{\"inventory\":\"inventory\"}").await;
    peer.refused(0, Code::FrameUnexpected).await;
    let states = lab.group.agents().await.unwrap();
    assert!(states.iter().any(|agent| agent.name.as_str() == pending.name && agent.state == AgentState::Pending));
    lab.honest_delivers().await;
}

#[tokio::test]
async fn a_broken_link_is_said_so_and_the_next_call_connects_again() {
    let lab = Lab::start().await;
    let operator = ann(&lab, Access::Full).await;
    assert!(operator.agents().await.is_ok());
    let address = lab.server_address();
    let Lab { server, group, authority, directory, .. } = lab;
    server.close(Duration::from_secs(10)).await.unwrap();
    let lost = operator.approve_agent("pc8.branch.example").await.unwrap_err();
    let is_known =
        matches!(lost.code(), Code::ConnectFailed | Code::LinkDown | Code::ShuttingDown | Code::ChangeUnconfirmed);
    assert!(is_known, "{lost}");
    let again = farpost::ManagementServer::builder(
        identity(&authority, &authority.issue(SERVER), &[]),
        crate::lab::open_group(&directory).await,
    );
    let again = again.listen(address).start().await.unwrap();
    operator.approve_agent("pc9.branch.example").await.unwrap();
    assert!(group.agents().await.unwrap().iter().any(|agent| agent.name.as_str() == "pc9.branch.example"));
    again.close(Duration::from_secs(10)).await.unwrap();
}
