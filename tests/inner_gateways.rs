//! An agent behind two gateways, over real TLS: who must have approved what, what the deliveries say, how soon a change of
//! the group takes effect (rules G1, G2, F2 and I5), and a loop.

#[path = "common/chain.rs"]
mod chain;
#[path = "common/events.rs"]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chain::{AGENT, Chain, GATEWAY, GROUP, SERVER, any_port};
use events::{EventLog, within};
use farpost::{
    Agent, ApprovedFor, Assignment, Code, Deliveries, Gateway, GatewayBuilder, Item, ManagementServer, Message, Name,
};

const INNER: &str = "gw2.site.example";
const SECOND: &str = "gw9.branch.example";

/// A gateway under another node.
fn gateway_under(chain: &Chain, name: &str, upstream: &str, address: SocketAddr) -> GatewayBuilder {
    let builder = Gateway::builder(chain.identity(name))
        .management_group(GROUP)
        .listen(any_port())
        .upstream(Assignment::primary(&format!("{upstream}:{}", address.port())).unwrap())
        .host(Name::parse(upstream).unwrap(), vec![address.ip()]);
    let builder = builder.set("backoff.min", "50ms").and_then(|builder| builder.set("backoff.max", "500ms"));
    builder.unwrap()
}

/// Server, outer and inner gateway, an agent behind the inner one; the group has approved the outer one only.
struct Path {
    chain: Chain,
    server: ManagementServer,
    server_events: EventLog,
    deliveries: Deliveries,
    outer: Gateway,
    inner: Gateway,
    inner_events: EventLog,
    agent: Agent,
}

impl Path {
    async fn start() -> Self {
        let chain = Chain::new().await;
        let mut server = chain.server().await.start().await.unwrap();
        let server_events = EventLog::follow("the server", server.events());
        let deliveries = server.deliveries().unwrap();
        chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let outer = chain.gateway(server.local_address().unwrap()).start().await.unwrap();
        let below = outer.local_address().unwrap();
        let inner = gateway_under(&chain, INNER, GATEWAY, below).host(Name::parse(SECOND).unwrap(), vec![below.ip()]);
        let inner = inner.start().await.unwrap();
        let inner_events = EventLog::follow("the inner gateway", inner.events());
        let agent = chain.agent(AGENT, INNER, inner.local_address().unwrap()).start().await.unwrap();
        Self { chain, server, server_events, deliveries, outer, inner, inner_events, agent }
    }

    /// The group lets the inner gateway in, behind the outer one.
    async fn approve(&self) {
        self.chain.group.approve_gateway(INNER, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let outer = format!("{GATEWAY}:{}", self.outer.local_address().unwrap().port());
        self.chain.group.set_failover(INNER, &outer, &[] as &[&str]).await.unwrap();
    }

    /// The next message, with the gateways that it came through.
    async fn next(&mut self) -> (String, Vec<String>, bool) {
        let batch = within("a delivery", self.deliveries.next()).await.unwrap();
        let items: Vec<_> = batch
            .iter()
            .map(|item| match item {
                Item::Message(message) => (
                    String::from_utf8(message.payload.to_vec()).unwrap(),
                    message.via.iter().map(ToString::to_string).collect(),
                    message.redelivered,
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        batch.acknowledge();
        assert_eq!(items.len(), 1, "{items:?}");
        items.into_iter().next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_an_inner_gateway_waits_for_approval_and_is_in_and_out_within_two_seconds() {
    let mut path = Path::start().await;
    path.inner_events.told(Code::GatewayPending, GATEWAY).await;
    let receipt = path.agent.send(Message::new("first")).await.unwrap();
    assert_eq!(path.server_events.count(Code::AgentConnected), 0, "nothing came before the group approved it");

    let (mark, since) = (path.server_events.mark(), Instant::now());
    path.approve().await;
    path.server_events.after(mark, Code::GatewayConnected, INNER).await;
    assert!(since.elapsed() < Duration::from_secs(2), "approved and connected after {:?}", since.elapsed());
    let through = vec![INNER.to_owned(), GATEWAY.to_owned()];
    assert_eq!(path.next().await, ("first".to_owned(), through.clone(), false));
    within("delivery", receipt.delivered()).await.unwrap();

    // The outer gateway's own agent, which must notice nothing.
    let own =
        path.chain.agent("pc8.branch.example", GATEWAY, path.outer.local_address().unwrap()).start().await.unwrap();
    let own_events = EventLog::follow("the outer gateway's agent", own.events());
    let receipt = own.send(Message::new("own")).await.unwrap();
    assert_eq!(path.next().await, ("own".to_owned(), vec![GATEWAY.to_owned()], false));
    within("delivery", receipt.delivered()).await.unwrap();

    let (mark, since) = (path.server_events.mark(), Instant::now());
    path.chain.group.delete_gateway(INNER).await.unwrap();
    path.server_events.after(mark, Code::AgentGone, AGENT).await;
    path.server_events.after(mark, Code::GatewayGone, INNER).await;
    assert!(since.elapsed() < Duration::from_secs(2), "deleted and out after {:?}", since.elapsed());
    path.agent.send(Message::new("second")).await.unwrap();
    let receipt = own.send(Message::new("own again")).await.unwrap();
    assert_eq!(path.next().await.0, "own again", "and nothing of the agent behind the deleted one");
    within("delivery", receipt.delivered()).await.unwrap();
    assert_eq!(own_events.count(Code::LinkUp), 2, "its link, and its channel: {:#?}", own_events.all());

    path.approve().await;
    // It may have been on its way when the channel ended, and then says so.
    let (payload, via, _) = path.next().await;
    assert_eq!((payload, via), ("second".to_owned(), through));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_new_keys_of_both_gateways_keep_the_agents_link_and_nothing_comes_twice() {
    let mut path = Path::start().await;
    path.approve().await;
    let agent_events = EventLog::follow("the agent", path.agent.events());
    for round in 0..4 {
        let sent = path.agent.send(Message::new(format!("before {round}"))).await.unwrap();
        let (payload, _, redelivered) = path.next().await;
        assert_eq!((payload, redelivered), (format!("before {round}"), false));
        within("delivery", sent.delivered()).await.unwrap();
        let (gateway, name) = if round % 2 == 0 { (&path.inner, INNER) } else { (&path.outer, GATEWAY) };
        let log = EventLog::follow("the gateway", gateway.events());
        gateway.replace_identity(path.chain.identity(name)).await.unwrap();
        log.told(Code::LinkRenewed, "").await;
    }
    let sent = path.agent.send(Message::new("after")).await.unwrap();
    assert_eq!(path.next().await, ("after".to_owned(), vec![INNER.to_owned(), GATEWAY.to_owned()], false));
    within("delivery", sent.delivered()).await.unwrap();
    assert_eq!(agent_events.count(Code::LinkDown), 0, "{:#?}", agent_events.all());
    assert_eq!(agent_events.count(Code::LinkClosed), 0, "{:#?}", agent_events.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_an_inner_gateway_leaves_an_outer_one_without_an_upstream_for_its_failover() {
    let mut path = Path::start().await;
    let port = path.server.local_address().unwrap();
    path.chain.group.approve_gateway(SECOND, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let other = gateway_under(&path.chain, SECOND, SERVER, port).start().await.unwrap();
    path.approve().await;
    assert!(path.agent.send(Message::new("one")).await.is_ok());
    assert_eq!(path.next().await.1, [INNER, GATEWAY]);
    // Under the first it finds the second, and the first has lost its way.
    let hosts = [(GATEWAY, path.outer.local_address().unwrap()), (SECOND, other.local_address().unwrap())];
    let [primary, failover] = hosts.map(|(name, address)| format!("{name}:{}", address.port()));
    path.chain.group.set_failover(INNER, &primary, &[failover]).await.unwrap();
    path.inner_events.told(Code::AssignmentChanged, "version 2").await;
    path.chain.group.delete_gateway(GATEWAY).await.unwrap();
    path.inner_events.told(Code::FailedOver, SECOND).await;
    assert!(path.agent.send(Message::new("two")).await.is_ok());
    let (payload, via, _) = path.next().await;
    assert_eq!((payload, via), ("two".to_owned(), vec![INNER.to_owned(), SECOND.to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_that_have_only_each_other_find_it_out_and_say_so() {
    let chain = Chain::new().await;
    let holder = std::net::TcpListener::bind(any_port()).unwrap();
    let later = holder.local_addr().unwrap();
    let first = gateway_under(&chain, GATEWAY, INNER, later).start().await.unwrap();
    let first_events = EventLog::follow("the first", first.events());
    drop(holder);
    let second = gateway_under(&chain, INNER, GATEWAY, first.local_address().unwrap()).listen(later);
    let second = second.start().await.unwrap();
    let second_events = EventLog::follow("the second", second.events());
    tokio::select! {
        _ = first_events.told(Code::GatewayLoop, "") => {}
        _ = second_events.told(Code::GatewayLoop, "") => {}
    }
}
