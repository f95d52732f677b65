//! Rules of approval, pinned keys and the agents that a gateway may speak for, over real TLS.

use std::time::{Duration, Instant};

use farpost::{
    AgentChoice, AgentDecision, ApprovalRule, ApprovedFor, Code, GatewayTerms, KeyDemand, Message, UnknownAgents,
    key_of_certificate,
};

use crate::events::{EventLog, within};
use crate::lab::{GATEWAY, Lab, SERVER, agent};

/// Rule G2.
const TAKES_EFFECT_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test]
async fn g1_g2_a_rule_for_the_proven_issuer_lets_a_waiting_agent_in_within_two_seconds() {
    let lab = Lab::start().await;
    let name = "ruled.branch.example";
    let waiting = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let events = EventLog::follow("the agent that waits", waiting.events());
    let receipt = waiting.send(Message::new("early")).await.unwrap();
    events.told(Code::AgentPending, "").await;

    let rule = |rule: &str, issuer: &str| {
        ApprovalRule::new(rule, "*.branch.example", UnknownAgents::Approve).unwrap().issuer(issuer).unwrap()
    };
    // Another CA's key lets nobody in.
    lab.group.add_rule(&rule("another", &"a5".repeat(32)), None).await.unwrap();
    lab.honest_delivers().await;
    assert_eq!(events.count(Code::LinkUp), 1, "its link, and no channel");

    let issuer = key_of_certificate(lab.authority.pem().as_bytes()).unwrap();
    let ours = rule("ours", &issuer).gateway(GATEWAY).unwrap();
    let since = Instant::now();
    lab.group.add_rule(&ours, None).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();
    let took = since.elapsed();
    println!("delivered {took:?} after the rule");
    assert!(took < TAKES_EFFECT_WITHIN, "delivered after {took:?}");
    let agents = lab.group.agents().await.unwrap();
    let record = agents.iter().find(|agent| agent.name.as_str() == name).unwrap();
    assert_eq!(record.rule.as_ref().map(|rule| rule.as_str()), Some("ours"));
}

#[tokio::test]
async fn g1_g5_a_pin_refuses_a_second_key_and_both_sides_say_so() {
    let lab = Lab::start().await;
    let name = "pinned.branch.example";
    let choice = AgentChoice::named(&[name]).unwrap();
    lab.group.decide_agents(&choice, AgentDecision::Approve(Some(KeyDemand::First))).await.unwrap();
    let first = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let receipt = first.send(Message::new("first")).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();
    drop(first);

    // Another certificate of the same CA for the same name.
    let identity = lab.identity(name);
    let second = agent(identity.clone(), GATEWAY, lab.gateway_address().port()).await;
    let events = EventLog::follow("the second key", second.events());
    events.told(Code::KeyNotPinned, "").await;
    lab.server_events.told(Code::KeyNotPinned, name).await;
    let agents = lab.group.agents().await.unwrap();
    let record = agents.iter().find(|agent| agent.name.as_str() == name).unwrap();
    let refused = record.pin.refused_fingerprint().unwrap();
    assert_ne!(Some(&refused), record.key_fingerprint().as_ref());

    // An operator who means it pins the new one.
    lab.group.decide_agents(&choice, AgentDecision::Approve(Some(refused.parse().unwrap()))).await.unwrap();
    drop(second);
    let again = agent(identity, GATEWAY, lab.gateway_address().port()).await;
    let receipt = again.send(Message::new("second")).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();
    lab.honest_delivers().await;
}

#[tokio::test]
async fn h4_an_agent_outside_its_gateways_patterns_is_refused_within_two_seconds_and_the_server_says_so() {
    let lab = Lab::start().await;
    let name = "foreign.other.example";
    lab.group.approve_agent(name).await.unwrap();
    let foreign = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let events = EventLog::follow("the agent of another site", foreign.events());
    let receipt = foreign.send(Message::new("before")).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();

    let terms = GatewayTerms::default().agents(&["*.branch.example"]).unwrap();
    let (mark, since) = (lab.server_events.mark(), Instant::now());
    lab.group.approve_gateway_with(GATEWAY, ApprovedFor::ManagementServer(SERVER), &terms).await.unwrap();
    lab.server_events.after(mark, Code::GatewayMayNotSpeak, name).await;
    events.told(Code::GatewayMayNotSpeak, "").await;
    let took = since.elapsed();
    assert!(took < TAKES_EFFECT_WITHIN, "refused after {took:?}");
    lab.honest_delivers().await;
}
