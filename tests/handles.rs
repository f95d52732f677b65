//! The public handles as a program meets them: where they may go, and what a close leaves behind.

#[path = "common/chain.rs"]
mod chain;
#[path = "common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that count events")]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::fmt::Debug;
use std::time::Duration;

use chain::{AGENT, Chain, GATEWAY, SERVER};
use events::{EventLog, within};
use farpost::{
    Agent, AgentBuilder, ApprovedFor, CertificateAuthority, CertificateRequest, Code, Deliveries, DeliveryBatch, Error,
    Event, Events, Gateway, GatewayBuilder, Identity, Issuance, KeyKind, LocalAuthority, ManagementGroup,
    ManagementServer, ManagementServerBuilder, Message, MessageChoice, MessageFilter, MessageState, Name, Order,
    Reason, Receipt, Received, Role,
};
use futures::future::BoxFuture;

const SOON: Duration = Duration::from_secs(10);

fn goes_anywhere<T: Send + Sync + Debug + 'static>() {}

#[test]
fn every_handle_can_be_shared_between_threads_and_shown() {
    goes_anywhere::<Agent>();
    goes_anywhere::<AgentBuilder>();
    goes_anywhere::<Receipt>();
    goes_anywhere::<Received>();
    goes_anywhere::<Gateway>();
    goes_anywhere::<GatewayBuilder>();
    goes_anywhere::<ManagementServer>();
    goes_anywhere::<ManagementServerBuilder>();
    goes_anywhere::<Deliveries>();
    goes_anywhere::<DeliveryBatch>();
    goes_anywhere::<ManagementGroup>();
    goes_anywhere::<Identity>();
    goes_anywhere::<Events>();
    goes_anywhere::<Event>();
    goes_anywhere::<Error>();
}

/// An application's own authority: it refuses everybody.
struct NoOne;

impl CertificateAuthority for NoOne {
    fn issue(&self, order: Order) -> BoxFuture<'_, Result<Issuance, Error>> {
        Box::pin(async move { Err(Error::of_application(format!("not {}", order.name))) })
    }
}

#[tokio::test]
async fn a_management_server_whose_authority_cannot_be_used_does_not_start() {
    let chain = Chain::new().await;
    let nowhere = chain.directory.path().join("ca");
    let configured = async || {
        let server = chain.server().await.set("authority.kind", "local").unwrap();
        server.set("authority.directory", &nowhere.display().to_string()).unwrap()
    };
    let error = configured().await.start().await.unwrap_err();
    assert_eq!(error.code(), Code::FileMissing);
    // The application's own one is used instead.
    let server = configured().await.certificate_authority(NoOne).start().await.unwrap();
    server.close(SOON).await.unwrap();
    LocalAuthority::make(&nowhere, "Lab CA", Duration::from_secs(86_400)).unwrap();
    configured().await.start().await.unwrap().close(SOON).await.unwrap();
    let (request, _) = CertificateRequest::make(&AGENT.parse().unwrap(), KeyKind::P256, true).unwrap();
    let refused = NoOne.issue(Order::new(request, Role::Agent, None, Reason::Enrolment)).await;
    assert_eq!(refused.unwrap_err().found_text(), format!("not {AGENT}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_node_starts_again_on_its_directory_at_once() {
    let chain = Chain::new().await;
    let directory = chain.directory.path();
    let mut upstream = chain::any_port();
    for _ in 0..10 {
        let server = chain.server().await.state_directory(directory.join("server"));
        let output = directory.join("out.jsonl").display().to_string();
        let server = server.set("output.path", &output).unwrap().start().await.unwrap();
        upstream = server.local_address().unwrap_or(upstream);
        let gateway = chain.gateway(upstream).state_directory(directory.join("gateway")).start().await.unwrap();
        let agent =
            chain.agent(AGENT, SERVER, upstream).state_directory(directory.join("agent")).start().await.unwrap();
        within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
        agent.close(SOON).await.unwrap();
        gateway.close(SOON).await.unwrap();
        server.close(SOON).await.unwrap();
        let socket = |node: &str| directory.join(node).join("status.sock").exists();
        assert!(!["agent", "gateway", "server"].into_iter().any(socket), "a closed node leaves no socket");
    }
    let written = std::fs::read_to_string(directory.join("out.jsonl")).unwrap();
    assert_eq!(written.lines().count(), 10, "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_what_the_application_acknowledged_before_a_close_is_committed_by_it() {
    let chain = Chain::new().await;
    for round in 1..=20 {
        let mut server = chain.server().await.start().await.unwrap();
        let mut deliveries = server.deliveries().unwrap();
        let state = chain.directory.path().join("agent");
        let upstream = server.local_address().unwrap();
        let agent = chain.agent(AGENT, SERVER, upstream).state_directory(state).start().await.unwrap();
        let sent = agent.send(Message::new("here")).await.unwrap().sequence();
        let batch = within("a batch", deliveries.next()).await.unwrap();
        assert!(batch.iter().count() > 0);
        batch.acknowledge();
        server.close(SOON).await.unwrap();
        let cursors = chain.group.cursors().await.unwrap();
        assert_eq!(cursors.first().map(|cursor| cursor.through), Some(sent), "round {round}");
        agent.close(Duration::ZERO).await.unwrap_or_default();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_what_was_acknowledged_before_a_close_does_not_come_again() {
    let chain = Chain::new().await;
    let server = chain.server().await.set("output.store", "true").unwrap().start().await.unwrap();
    let upstream = server.local_address().unwrap();
    for round in 1..=10_u64 {
        let state = chain.directory.path().join("agent");
        let agent = chain.agent(AGENT, SERVER, upstream).state_directory(state).start().await.unwrap();
        within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
        chain.group.send(AGENT, format!("order {round}")).await.unwrap();
        let received = within("an order", agent.receive()).await.unwrap();
        assert_eq!(received.sequence().0, round, "an order came twice");
        received.acknowledge().unwrap();
        agent.close(SOON).await.unwrap();
    }
    server.close(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_an_acknowledgement_that_comes_too_late_says_so() {
    let chain = Chain::new().await;
    let server = chain.server().await.set("output.store", "true").unwrap().start().await.unwrap();
    let agent = chain.agent(AGENT, SERVER, server.local_address().unwrap()).start().await.unwrap();
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    chain.group.send(AGENT, "an order").await.unwrap();
    let received = within("the order", agent.receive()).await.unwrap();
    agent.close(SOON).await.unwrap();
    assert_eq!(received.acknowledge().unwrap_err().code(), Code::Closed);
    assert!(agent.receive().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_an_agent_that_comes_later_gets_what_was_not_cancelled_however_many_were() {
    let chain = Chain::new().await;
    let server = chain.server().await.set("output.store", "true").unwrap().start().await.unwrap();
    chain.group.approve_agent(AGENT).await.unwrap();
    // More lie between the two that are left than may be under way at once.
    for number in 1..=40_u64 {
        assert_eq!(chain.group.send(AGENT, format!("order {number}")).await.unwrap(), number);
    }
    let numbers = (1..40).filter(|number| *number != 2).collect();
    let choice = MessageChoice::Numbers { agent: Name::parse(AGENT).unwrap(), numbers };
    let cancelled = chain.group.cancel_messages(choice).await.unwrap();
    assert_eq!((cancelled.messages, cancelled.agents), (38, 1));
    let agent = chain.agent(AGENT, SERVER, server.local_address().unwrap()).start().await.unwrap();
    let first = within("the first order", agent.receive()).await.unwrap();
    let second = within("the second order", agent.receive()).await.unwrap();
    assert_eq!((first.sequence().0, second.sequence().0), (2, 40));
    first.acknowledge().unwrap();
    assert_eq!(chain.group.send(AGENT, "the last order").await.unwrap(), 41);
    second.acknowledge().unwrap();
    let last = within("the last order", agent.receive()).await.unwrap();
    assert_eq!(last.sequence().0, 41);
    last.acknowledge().unwrap();
    let of = |state| MessageFilter { state: Some(state), ..MessageFilter::default() };
    within("the word of the last order", async {
        while chain.group.messages(of(MessageState::Delivered), 99).await.unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(chain.group.messages(of(MessageState::Cancelled), 99).await.unwrap().len(), 38);
    agent.close(SOON).await.unwrap();
    server.close(SOON).await.unwrap();
}

#[test]
fn g5_a_gateway_that_was_closed_has_told_its_agents_even_if_its_process_ends_then() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let of_gateway = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let chain = Chain::new().await;
        let server = chain.server().await.set("output.store", "true").unwrap().start().await.unwrap();
        chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let builder = chain.gateway(server.local_address().unwrap());
        let gateway = of_gateway.spawn(builder.start()).await.unwrap().unwrap();
        let agent = chain.agent(AGENT, GATEWAY, gateway.local_address().unwrap()).start().await.unwrap();
        let log = EventLog::follow("the agent", agent.events());
        within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
        let mark = log.mark();
        of_gateway.spawn(gateway.close(SOON)).await.unwrap().unwrap();
        of_gateway.shutdown_background();
        log.after(mark, Code::ShuttingDown, GATEWAY).await;
    });
}
