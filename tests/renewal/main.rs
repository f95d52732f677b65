//! Renewal over the chain: agent, gateway, management server and a certificate authority, on loopback.

#[path = "../common/authority.rs"]
#[expect(dead_code, reason = "shared with the tests whose authority never answers")]
mod authority;
#[path = "../common/chain.rs"]
mod chain;
#[path = "../common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that count events")]
mod events;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

mod files;

use std::time::Duration;

use authority::TestAuthority;
use chain::{AGENT, Chain, GATEWAY, SERVER};
use events::{EventLog, within};
use farpost::{
    Agent, AgentChoice, AgentDecision, ApprovedFor, Code, Gateway, GatewayTerms, KeyDemand, KeyPin, ManagementServer,
    Message,
};

const SOON: Duration = Duration::from_secs(10);
/// So much is left of a certificate past its time: it is asked for within a twentieth of this.
const REST: Duration = Duration::from_secs(60);

/// A whole chain whose agent or gateway has a certificate past its time.
struct Lab {
    chain: Chain,
    server: ManagementServer,
    server_log: EventLog,
    gateway: Gateway,
    gateway_log: EventLog,
}

impl Lab {
    async fn with(chain: Chain, authority: Option<&TestAuthority>, gateway_renews: bool) -> Self {
        let mut builder = chain.server().await.set("output.store", "true").unwrap();
        if let Some(authority) = authority {
            builder = builder.certificate_authority(authority.clone());
        }
        let server = builder.start().await.unwrap();
        let server_log = EventLog::follow("the server", server.events());
        chain.group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        let renews = if gateway_renews { "true" } else { "false" };
        let gateway = chain.gateway(server.local_address().unwrap()).set("identity.renewal", renews).unwrap();
        let gateway = gateway.start().await.unwrap();
        let gateway_log = EventLog::follow("the gateway", gateway.events());
        Self { chain, server, server_log, gateway, gateway_log }
    }

    async fn agent(&self) -> (Agent, EventLog) {
        let upstream = self.gateway.local_address().unwrap();
        let builder = self.chain.agent(AGENT, GATEWAY, upstream).set("identity.renewal", "true").unwrap();
        let agent = builder.set("identity.renewal_key", "p384").unwrap().start().await.unwrap();
        let log = EventLog::follow("the agent", agent.events());
        (agent, log)
    }

    async fn close(self, agent: Agent) {
        agent.close(SOON).await.unwrap();
        self.gateway.close(SOON).await.unwrap();
        self.server.close(SOON).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_past_its_time_has_a_new_certificate_with_a_new_key_while_it_sends() {
    let chain = Chain::lasting(Some(REST)).await;
    let authority = TestAuthority::of(&chain.authority);
    let lab = Lab::with(chain, Some(&authority), false).await;
    let (agent, log) = lab.agent().await;
    let sender = async {
        loop {
            agent.send(Message::new("load")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let renewed = tokio::select! {
        event = log.told(Code::CertificateRenewed, AGENT) => event,
        () = sender => unreachable!("it sends for ever"),
    };
    assert!(renewed.text.contains("until") && renewed.text.contains("key"), "{}", renewed.text);
    lab.server_log.told(Code::CertificateIssuedTo, AGENT).await;
    within("all delivered", agent.all_delivered()).await.unwrap();
    assert_eq!(log.count(Code::LinkDown), 0, "{:#?}", log.all());
    let orders = authority.orders();
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0].request.key_kind(), "ECDSA P-384", "as it is configured");
    assert_eq!((orders[0].name.as_str(), orders[0].via.as_ref().map(|via| via.as_str())), (AGENT, Some(GATEWAY)));
    lab.close(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_right_under_the_server_renews_there() {
    let chain = Chain::lasting(Some(REST)).await;
    let authority = TestAuthority::of(&chain.authority);
    let lab = Lab::with(chain, Some(&authority), false).await;
    let upstream = lab.server.local_address().unwrap();
    let builder = lab.chain.agent(AGENT, SERVER, upstream).set("identity.renewal", "true").unwrap();
    let agent = builder.start().await.unwrap();
    let log = EventLog::follow("the agent", agent.events());
    log.told(Code::CertificateRenewed, AGENT).await;
    assert!(authority.orders().iter().all(|order| order.via.is_none() && order.name.as_str() == AGENT));
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    lab.close(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_renews_its_own_certificate_as_well() {
    let chain = Chain::lasting(Some(REST)).await;
    let authority = TestAuthority::of(&chain.authority);
    let lab = Lab::with(chain, Some(&authority), true).await;
    lab.gateway_log.told(Code::CertificateRenewed, GATEWAY).await;
    lab.server_log.told(Code::CertificateIssuedTo, GATEWAY).await;
    assert!(authority.orders().iter().all(|order| order.via.is_none()));
    lab.gateway.close(SOON).await.unwrap();
    lab.server.close(SOON).await.unwrap();
}

/// A pin moves with the renewal: neither of them locks itself out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_i5_a_pinned_agent_and_its_pinned_gateway_renew_and_are_pinned_to_their_new_keys() {
    let chain = Chain::lasting(Some(REST)).await;
    let authority = TestAuthority::of(&chain.authority);
    let first = GatewayTerms::default().key(KeyDemand::First);
    let choice = AgentChoice::named(&[AGENT]).unwrap();
    chain.group.decide_agents(&choice, AgentDecision::Approve(Some(KeyDemand::First))).await.unwrap();
    let lab = Lab::with(chain, Some(&authority), true).await;
    let group = &lab.chain.group;
    group.approve_gateway_with(GATEWAY, ApprovedFor::ManagementServer(SERVER), &first).await.unwrap();
    let (agent, log) = lab.agent().await;
    log.told(Code::CertificateRenewed, AGENT).await;
    lab.gateway_log.told(Code::CertificateRenewed, GATEWAY).await;
    let moved = async {
        loop {
            let (agent, gateway) = (group.agents().await.unwrap().remove(0), group.gateways().await.unwrap().remove(0));
            let fits = |pin: &KeyPin, key: Option<String>| Some(pin.demand.to_string()) == key;
            let keys = (agent.key_fingerprint(), gateway.key_fingerprint());
            let is_moved = agent.key_changed.is_some() && gateway.key_changed.is_some();
            if is_moved && fits(&agent.pin, keys.0) && fits(&gateway.pin, keys.1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("both are pinned to their new keys", moved).await;
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    assert_eq!(lab.server_log.count(Code::KeyNotPinned), 0, "{:#?}", lab.server_log.all());
    lab.close(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_authority_answers_later_is_picked_up_with_the_same_request() {
    let chain = Chain::lasting(Some(REST)).await;
    let authority = TestAuthority::of(&chain.authority);
    authority.answer_after(2);
    let lab = Lab::with(chain, Some(&authority), false).await;
    let (agent, log) = lab.agent().await;
    log.told(Code::RenewalPending, AGENT).await;
    log.told(Code::CertificateRenewed, AGENT).await;
    let orders = authority.orders();
    assert_eq!(orders.len(), 3, "two that were not answered, and one that was");
    assert!(orders.iter().all(|order| order.request.der() == orders[0].request.der()), "always the same request");
    assert_eq!(log.count(Code::RenewalPending), 1, "told once");
    lab.close(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_an_authority_says_so_once_and_nothing_else_happens() {
    let lab = Lab::with(Chain::lasting(Some(REST)).await, None, false).await;
    let (agent, log) = lab.agent().await;
    log.told(Code::RenewalByHand, AGENT).await;
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    assert_eq!(log.count(Code::RenewalRefused), 0);
    assert_eq!(lab.server_log.count(Code::RenewalByHand), 0, "no noise at the server");
    lab.close(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_peers_would_refuse_reaches_no_node() {
    for spoilt in [authority::Spoilt::OtherKey, authority::Spoilt::OtherName, authority::Spoilt::Panic] {
        let chain = Chain::lasting(Some(REST)).await;
        let authority = TestAuthority::of(&chain.authority);
        authority.spoil(spoilt);
        let lab = Lab::with(chain, Some(&authority), false).await;
        let (agent, log) = lab.agent().await;
        let refused = log.told(Code::RenewalRefused, AGENT).await;
        let expected = if spoilt == authority::Spoilt::Panic { "FP9001" } else { "FP1805" };
        assert!(refused.text.contains(expected), "{spoilt:?}: {}", refused.text);
        within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
        assert_eq!(log.count(Code::CertificateRenewed), 0);
        lab.close(agent).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_in_its_youth_is_not_renewed() {
    let lab = Lab::with(Chain::new().await, None, true).await;
    let (agent, log) = lab.agent().await;
    within("delivery", agent.send(Message::new("here")).await.unwrap().delivered()).await.unwrap();
    assert_eq!(log.count(Code::RenewalByHand), 0, "it was not asked for: {:#?}", log.all());
    lab.close(agent).await;
}
