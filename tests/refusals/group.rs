//! What the group's decisions do to links that stand: approval, rejection, removal, exclusion, assignment take effect
//! within two seconds (rule G2), and nobody else notices.

use std::time::{Duration, Instant};

use farpost::{ApprovedFor, Code, Message, Name};

use crate::events::{EventLog, within};
use crate::lab::{GATEWAY, HONEST, Lab, SERVER, agent, agent_builder, gateway};

/// Rule G2.
const TAKES_EFFECT_WITHIN: Duration = Duration::from_secs(2);

/// Waits for the event, and says how long after `since` it came.
async fn within_two_seconds(log: &EventLog, mark: usize, code: Code, about: &str, since: Instant) {
    log.after(mark, code, about).await;
    let took = since.elapsed();
    println!("{code} about \"{about}\" after {took:?}");
    assert!(took < TAKES_EFFECT_WITHIN, "{code} came after {took:?}");
}

#[tokio::test]
async fn g2_an_agent_that_waits_delivers_on_its_open_link_within_two_seconds_of_its_approval() {
    let lab = Lab::start().await;
    let name = "new.branch.example";
    let new = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let events = EventLog::follow("the new agent", new.events());
    let receipt = new.send(Message::new("early")).await.unwrap();
    // Both sides say why (rule G5), and nothing passes (rule G1).
    events.told(Code::AgentPending, "").await;
    lab.server_events.told(Code::AgentPending, name).await;
    lab.honest_delivers().await;
    let through = |log: Vec<farpost::Delivery>| log.iter().filter(|one| one.agent.as_str() == name).count();
    assert_eq!(through(lab.group.deliveries(0, 1000).await.unwrap()), 0);

    let since = Instant::now();
    lab.group.approve_agent(name).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();
    let took = since.elapsed();
    println!("delivered {took:?} after the approval");
    assert!(took < TAKES_EFFECT_WITHIN, "delivered after {took:?}");
    assert_eq!(events.count(Code::LinkUp), 2, "one link, then its channel: {:#?}", events.all());
    assert_eq!(through(lab.group.deliveries(0, 1000).await.unwrap()), 1);
}

#[tokio::test]
async fn g2_a_gateway_that_waits_is_in_use_within_two_seconds_of_its_approval_and_out_after_its_removal() {
    let lab = Lab::start().await;
    let name = "gw2.branch.example";
    let new = gateway(lab.identity(name), SERVER, lab.server_address().port()).start().await.unwrap();
    let events = EventLog::follow("the new gateway", new.events());
    events.told(Code::GatewayPending, SERVER).await;
    lab.server_events.told(Code::GatewayPending, name).await;
    lab.honest_delivers().await;
    assert_eq!(events.count(Code::LinkUp), 0);

    let since = Instant::now();
    lab.group.approve_gateway(name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    within_two_seconds(&events, 0, Code::LinkUp, SERVER, since).await;
    assert_eq!(events.count(Code::GatewayPending), 1, "it was the link that waited");
    lab.server_events.told(Code::GatewayConnected, name).await;

    let (mark, since) = (lab.server_events.mark(), Instant::now());
    lab.group.delete_gateway(name).await.unwrap();
    within_two_seconds(&events, 0, Code::ApprovalWithdrawn, SERVER, since).await;
    lab.server_events.after(mark, Code::ApprovalWithdrawn, name).await;
    lab.honest_delivers().await;

    // It waits again, on a link that stands: who was removed by mistake is back at once.
    lab.server_events.after(mark, Code::GatewayPending, name).await;
    let (mark, since) = (events.mark(), Instant::now());
    lab.group.approve_gateway(name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    within_two_seconds(&events, mark, Code::LinkUp, SERVER, since).await;
}

#[tokio::test]
async fn g2_a_rejected_agent_is_out_within_two_seconds_and_what_it_sends_then_is_not_delivered() {
    let lab = Lab::start().await;
    let name = "bad.branch.example";
    lab.group.approve_agent(name).await.unwrap();
    let bad = agent(lab.identity(name), GATEWAY, lab.gateway_address().port()).await;
    let events = EventLog::follow("the rejected agent", bad.events());
    let receipt = bad.send(Message::new("before")).await.unwrap();
    within("the delivery", receipt.delivered()).await.unwrap();

    let (mark, since) = (lab.server_events.mark(), Instant::now());
    lab.group.reject_agent(name).await.unwrap();
    within_two_seconds(&events, 0, Code::NameRejected, "", since).await;
    lab.server_events.after(mark, Code::NameRejected, name).await;
    let _receipt = bad.send(Message::new("after")).await.unwrap();
    for _ in 0..20 {
        lab.honest_delivers().await;
    }
    let deliveries = lab.group.deliveries(0, 1000).await.unwrap();
    assert_eq!(deliveries.iter().filter(|one| one.agent.as_str() == name).count(), 1);
}

#[tokio::test]
async fn g2_an_assignment_reaches_gateway_and_agent_within_two_seconds() {
    let lab = Lab::start().await;
    let second = lab.another_server("ms2.corp.example").await;
    let server = |name: &str, address: std::net::SocketAddr| format!("{name}:{}", address.port());
    let ms1 = server(SERVER, lab.server_address());
    let ms2 = server("ms2.corp.example", second.local_address().unwrap());
    let since = Instant::now();
    lab.group.set_failover(GATEWAY, &ms1, &[&ms2]).await.unwrap();
    within_two_seconds(&lab.gateway_events, 0, Code::AssignmentChanged, &ms2, since).await;

    lab.group.approve_gateway("gw2.branch.example", ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let gw1 = server(GATEWAY, lab.gateway_address());
    let since = Instant::now();
    lab.group.set_failover(HONEST, &gw1, &["gw2.branch.example:5723"]).await.unwrap();
    within_two_seconds(&lab.honest_events, 0, Code::AssignmentChanged, "gw2.branch.example", since).await;
    lab.honest_delivers().await;
}

/// The assignment takes effect where the agent is, although it is refused there from then on, and wherever its own
/// configuration sends it: what it is assigned is all that it needs to know.
#[tokio::test]
async fn g2_an_agent_that_is_assigned_another_gateway_moves_there_within_two_seconds() {
    let lab = Lab::start().await;
    let second = gateway(lab.identity("gw2.branch.example"), SERVER, lab.server_address().port());
    let second = second.start().await.unwrap();
    lab.group.approve_gateway("gw2.branch.example", ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let name = "moved.branch.example";
    lab.group.approve_agent(name).await.unwrap();
    let start = async |label| {
        let builder = agent_builder(lab.identity(name), GATEWAY, lab.gateway_address().port());
        let agent = builder.host(Name::parse("gw2.branch.example").unwrap(), vec![[127, 0, 0, 1].into()]);
        let agent = agent.start().await.unwrap();
        let events = EventLog::follow(label, agent.events());
        (agent, events)
    };
    let (moved, events) = start("the moved agent").await;
    within("a delivery", moved.send(Message::new("before")).await.unwrap().delivered()).await.unwrap();

    let gw2 = format!("gw2.branch.example:{}", second.local_address().unwrap().port());
    let since = Instant::now();
    lab.group.set_failover(name, &gw2, &[] as &[&str]).await.unwrap();
    within_two_seconds(&events, 0, Code::AgentElsewhere, "", since).await;
    within_two_seconds(&events, 0, Code::LinkUp, &gw2, since).await;
    within("a delivery", moved.send(Message::new("after")).await.unwrap().delivered()).await.unwrap();

    // A new agent of that name, which knows nothing but its configuration.
    drop(moved);
    let (again, events) = start("the agent that begins anew").await;
    within("a delivery", again.send(Message::new("anew")).await.unwrap().delivered()).await.unwrap();
    events.told(Code::LinkUp, &gw2).await;
    lab.honest_delivers().await;
}

/// Here the server that it must leave refuses it too; what it is assigned comes first.
#[tokio::test]
async fn g2_a_gateway_that_is_approved_for_another_server_moves_there_within_two_seconds() {
    let lab = Lab::start().await;
    let second = lab.another_server("ms2.corp.example").await;
    let ms2 = format!("ms2.corp.example:{}", second.local_address().unwrap().port());
    let name = "gw2.branch.example";
    lab.group.approve_gateway(name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let moved = gateway(lab.identity(name), SERVER, lab.server_address().port());
    let moved = moved.host(Name::parse("ms2.corp.example").unwrap(), vec![[127, 0, 0, 1].into()]);
    let moved = moved.start().await.unwrap();
    let events = EventLog::follow("the moved gateway", moved.events());
    events.told(Code::LinkUp, SERVER).await;

    let since = Instant::now();
    lab.group.set_failover(name, &ms2, &[] as &[&str]).await.unwrap();
    lab.group.approve_gateway(name, ApprovedFor::ManagementServer("ms2.corp.example")).await.unwrap();
    within_two_seconds(&events, 0, Code::AssignmentChanged, &ms2, since).await;
    within_two_seconds(&events, 0, Code::LinkUp, &ms2, since).await;
    lab.server_events.told(Code::ParentNotApproved, name).await;
    lab.honest_delivers().await;
}

/// Rule G3, on a link that stands and on every later one: not even when no other server is alive.
#[tokio::test]
async fn g3_an_excluded_server_is_never_used_even_when_it_is_the_only_one_alive() {
    let lab = Lab::start().await;
    let second = lab.another_server("ms2.corp.example").await;
    let second_events = EventLog::follow("the excluded server", second.events());
    let second_port = second.local_address().unwrap().port();
    let name = "gw2.branch.example";
    lab.group.approve_gateway(name, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
    let (ms1, ms2) = (format!("{SERVER}:{}", lab.server_address().port()), format!("ms2.corp.example:{second_port}"));
    lab.group.set_failover(name, &ms1, &[&ms2]).await.unwrap();
    // Configured with the second server alone, assigned both: it is on its primary as soon as it knows of it.
    let builder = gateway(lab.identity(name), "ms2.corp.example", second_port);
    let builder = builder.host(Name::parse(SERVER).unwrap(), vec![[127, 0, 0, 1].into()]);
    let builder = builder.set("failback.hold_down", "100ms").and_then(|builder| builder.set("failback.jitter", "0s"));
    let failing_over = builder.unwrap().start().await.unwrap();
    let events = EventLog::follow("the gateway with two servers", failing_over.events());
    events.told(Code::LinkUp, "ms2.corp.example").await;
    events.told(Code::FailedBack, SERVER).await;

    lab.group.set_server_excluded("ms2.corp.example", true).await.unwrap();
    let refused = lab.group.set_failover(GATEWAY, &ms1, &[&ms2]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ServerExcluded);
    let (mark, second_mark) = (events.mark(), second_events.mark());
    let Lab { server, .. } = lab;
    drop(server);
    events.after(mark, Code::ServerExcluded, "ms2.corp.example").await;
    second_events.after(second_mark, Code::ServerExcluded, name).await;
    let later = events.all().split_off(mark);
    let up = [Code::LinkUp, Code::FailedOver, Code::FailedBack];
    assert!(!later.iter().any(|event| up.contains(&event.code)), "{later:#?}");
    assert!(!second_events.all()[second_mark..].iter().any(|event| event.code == Code::GatewayConnected));
}

#[tokio::test]
async fn g3_a_server_that_becomes_excluded_loses_its_gateways_within_two_seconds() {
    let lab = Lab::start().await;
    let since = Instant::now();
    lab.group.set_server_excluded(SERVER, true).await.unwrap();
    within_two_seconds(&lab.gateway_events, 0, Code::ServerExcluded, SERVER, since).await;
    lab.server_events.told(Code::ServerExcluded, GATEWAY).await;
}
