//! A group that withdraws what it assigned: live nodes go back to their site's assignment or their own configuration, and
//! stay there over a restart.

use std::time::Duration;

use farpost::{Agent, AssignmentTarget, Code, Gateway, Message, Name};

use crate::events::{EventLog, within};
use crate::lab::{Lab, Server, upstream};

const FIRST: &str = "ms1.corp.example";
const SECOND: &str = "ms2.corp.example";
const GATEWAY: &str = "gw1.branch.example";
const OTHER: &str = "gw2.branch.example";
const AGENT: &str = "pc7.branch.example";

fn node(name: &str) -> AssignmentTarget {
    AssignmentTarget::Node(Name::parse(name).unwrap())
}

/// Waits until the node's link to this upstream is in use; answers the mark after it.
async fn links_to(log: &EventLog, mark: usize, upstream: &str) {
    // An upstream that is left for another in one list is told as a failover or a failback.
    tokio::select! {
        _ = log.after(mark, Code::LinkUp, upstream) => {}
        _ = log.after(mark, Code::FailedOver, upstream) => {}
        _ = log.after(mark, Code::FailedBack, upstream) => {}
    }
}

async fn delivers(agent: &Agent, payload: &str) {
    let receipt = agent.send(Message::new(payload.to_owned())).await.unwrap();
    within("delivery", receipt.delivered()).await.unwrap();
}

/// The gateway takes an assignment of the second server and knows it as applied.
async fn moves_to_second(lab: &Lab, gateway: &EventLog, mark: usize, second: &Server) {
    gateway.after(mark, Code::AssignmentChanged, SECOND).await;
    links_to(gateway, mark, SECOND).await;
    second.events.told(Code::GatewayConnected, GATEWAY).await;
    lab.stands(GATEWAY, "at the second server", |gateway| {
        gateway.upstream.as_ref().is_some_and(|upstream| upstream.as_str() == SECOND)
            && gateway.assignment_held == gateway.assignment
    })
    .await;
}

/// The gateway is where its configuration says, as version `held` of its assignment lets it.
async fn is_at_first(lab: &Lab, held: u64) {
    lab.stands(GATEWAY, "where its configuration says", |gateway| {
        gateway.upstream.as_ref().is_some_and(|upstream| upstream.as_str() == FIRST)
            && gateway.upstream_code == 0
            && gateway.standbys.is_empty()
            && gateway.assignment_held == held
            && gateway.assignment_pending == 0
            && gateway.assigned.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_g6_a_gateway_whose_assignment_is_withdrawn_follows_its_configuration_and_does_so_after_a_restart() {
    let lab = Lab::on_sqlite().await;
    let (first, second) = (lab.server(FIRST).await, lab.server(SECOND).await);
    let builder = lab.gateway(GATEWAY, &[&first, &second]).await;
    let gateway = builder.clone().start().await.unwrap();
    let log = EventLog::follow("the gateway", gateway.events());
    let agent = lab.agent(AGENT, &[(GATEWAY, &gateway)]).start().await.unwrap();
    delivers(&agent, "through the first").await;

    lab.group.set_failover(GATEWAY, &second.upstream(), &[] as &[&str]).await.unwrap();
    moves_to_second(&lab, &log, 0, &second).await;
    delivers(&agent, "through the second").await;

    let (mark, at_first) = (log.mark(), first.events.mark());
    lab.group.clear_failover(&node(GATEWAY)).await.unwrap();
    log.after(mark, Code::AssignmentChanged, "version 2, withdrawn").await;
    links_to(&log, mark, FIRST).await;
    first.events.after(at_first, Code::GatewayConnected, GATEWAY).await;
    delivers(&agent, "through the first again").await;
    is_at_first(&lab, 2).await;
    // It moved while the one that it left still let it: no link was lost, and nothing came twice.
    assert_eq!(log.count(Code::ParentNotApproved), 0, "{:#?}", log.all());

    // Nothing of it is assigned or withdrawn once more: it is on disk.
    agent.close(Duration::from_secs(20)).await.unwrap();
    gateway.close(Duration::from_secs(20)).await.unwrap();
    let gateway = builder.start().await.unwrap();
    let log = EventLog::follow("the gateway after its restart", gateway.events());
    links_to(&log, 0, FIRST).await;
    is_at_first(&lab, 2).await;
    assert_eq!((log.count(Code::AssignmentChanged), log.count(Code::AssignmentPending)), (0, 0), "{:#?}", log.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_g6_a_withdrawal_that_comes_while_the_gateway_is_down_is_followed_when_it_is_up() {
    let lab = Lab::on_sqlite().await;
    let (first, second) = (lab.server(FIRST).await, lab.server(SECOND).await);
    let builder = lab.gateway(GATEWAY, &[&first, &second]).await;
    let gateway = builder.clone().start().await.unwrap();
    let log = EventLog::follow("the gateway", gateway.events());
    lab.group.set_failover(GATEWAY, &second.upstream(), &[] as &[&str]).await.unwrap();
    moves_to_second(&lab, &log, 0, &second).await;

    gateway.close(Duration::from_secs(20)).await.unwrap();
    lab.group.clear_failover(&node(GATEWAY)).await.unwrap();
    let gateway = builder.start().await.unwrap();
    let log = EventLog::follow("the gateway after its restart", gateway.events());
    // It knows of nothing yet and goes to where it was assigned, where it may not be any more; what it is configured for
    // is its last resort, and there it hears why.
    log.told(Code::ParentNotApproved, SECOND).await;
    log.told(Code::AssignmentChanged, "version 2, withdrawn").await;
    links_to(&log, 0, FIRST).await;
    is_at_first(&lab, 2).await;
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_g6_a_gateway_without_an_assignment_of_its_own_follows_its_sites_and_leaves_it_with_that() {
    let lab = Lab::on_sqlite().await;
    let (first, second) = (lab.server(FIRST).await, lab.server(SECOND).await);
    let gateway = lab.gateway(GATEWAY, &[&first, &second]).await.start().await.unwrap();
    let log = EventLog::follow("the gateway", gateway.events());
    lab.group.create_site("branch").await.unwrap();
    lab.group.set_site_failover("branch", &second.upstream(), &[] as &[&str]).await.unwrap();
    lab.group.set_failover(GATEWAY, &first.upstream(), &[] as &[&str]).await.unwrap();
    lab.group.add_to_site("branch", &[GATEWAY]).await.unwrap();
    log.told(Code::AssignmentChanged, "version 1").await;

    let mark = log.mark();
    lab.group.clear_failover(&node(GATEWAY)).await.unwrap();
    moves_to_second(&lab, &log, mark, &second).await;
    let held = lab.standing(GATEWAY).await.assignment_held;

    let mark = log.mark();
    lab.group.clear_failover(&AssignmentTarget::Site("branch".parse().unwrap())).await.unwrap();
    log.after(mark, Code::AssignmentChanged, "withdrawn").await;
    links_to(&log, mark, FIRST).await;
    is_at_first(&lab, held + 1).await;
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_g6_an_agent_whose_assignment_is_withdrawn_follows_its_configuration_and_loses_nothing() {
    let lab = Lab::on_sqlite().await;
    let server = lab.server(FIRST).await;
    let gateway = lab.gateway(GATEWAY, &[&server]).await.start().await.unwrap();
    let other = lab.gateway(OTHER, &[&server]).await.start().await.unwrap();
    let gateways: [(&str, &Gateway); 2] = [(GATEWAY, &gateway), (OTHER, &other)];
    let builder = lab.agent(AGENT, &gateways).state_directory(lab.state(AGENT));
    let agent = builder.clone().start().await.unwrap();
    let log = EventLog::follow("the agent", agent.events());
    delivers(&agent, "one").await;

    lab.group.set_failover(AGENT, &upstream(gateways[1]), &[] as &[&str]).await.unwrap();
    log.told(Code::AssignmentChanged, OTHER).await;
    links_to(&log, 0, OTHER).await;
    delivers(&agent, "two").await;

    let mark = log.mark();
    lab.group.clear_failover(&node(AGENT)).await.unwrap();
    log.after(mark, Code::AssignmentChanged, "version 2, withdrawn").await;
    links_to(&log, mark, GATEWAY).await;
    delivers(&agent, "three").await;
    is_behind(&lab, GATEWAY).await;

    agent.close(Duration::from_secs(20)).await.unwrap();
    let agent = builder.start().await.unwrap();
    let log = EventLog::follow("the agent after its restart", agent.events());
    delivers(&agent, "four").await;
    is_behind(&lab, GATEWAY).await;
    assert_eq!((log.count(Code::AssignmentChanged), log.count(Code::AssignmentPending)), (0, 0), "{:#?}", log.all());
    let kept = lab.group.deliveries(0, 100).await.unwrap();
    let payloads: Vec<_> = kept.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect();
    assert_eq!(payloads, ["one", "two", "three", "four"]);
}

async fn is_behind(lab: &Lab, gateway: &str) {
    lab.stands(AGENT, gateway, |agent| {
        agent.via.iter().map(Name::as_str).eq([gateway])
            && agent.assignment_held == 2
            && agent.upstream.as_ref().is_some_and(|upstream| upstream.as_str() == gateway)
    })
    .await;
}
