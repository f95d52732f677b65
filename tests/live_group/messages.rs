//! Messages to agents that run, and to one that is away: pending, delivered, expired (rule D8), on both engines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use farpost::{Agent, MessageFilter, MessageState, Name, Received, Recipients};

use crate::cluster::Cluster;
use crate::events::within;
use crate::lab::Lab;

const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";
/// Of 50 agents the first one is away, the second one's application takes its time.
const AGENTS: usize = 50;
const AWAY: usize = 0;
const SLOW: usize = 1;

const HOUR: Duration = Duration::from_secs(3_600);
/// How long anything that is sure to happen may take for all agents.
const WITHIN: Duration = Duration::from_secs(120);

fn agent(at: usize) -> String {
    format!("pc{at}.branch.example")
}

fn name(at: usize) -> Name {
    Name::parse(&agent(at)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_i4_messages_to_fifty_agents_are_pending_delivered_or_expired_on_sqlite() {
    messages(&Lab::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_i4_messages_to_fifty_agents_are_pending_delivered_or_expired_on_postgresql() {
    let Some(cluster) = Cluster::start("") else { return };
    messages(&Lab::on_store(cluster.url(&cluster.database())).await).await;
}

async fn messages(lab: &Lab) {
    let server = lab.server(SERVER).await;
    let gateway = lab.gateway(GATEWAY, &[&server]).await.start().await.unwrap();
    let builder = |at: usize| lab.agent(&agent(at), &[(GATEWAY, &gateway)]).state_directory(lab.state(&agent(at)));
    let away = builder(AWAY);
    let mut agents = Vec::new();
    for at in 0..AGENTS {
        agents.push(if at == AWAY { away.clone() } else { builder(at) }.start().await.unwrap());
    }
    everybody_is_known(lab).await;
    agents.remove(AWAY).close(Duration::from_secs(20)).await.unwrap();

    let everybody = Recipients::Pattern("pc*.branch.example".parse().unwrap());
    let sent = lab.group.send_to(everybody, "to all", HOUR).await.unwrap();
    assert_eq!(sent.agents, AGENTS as u64);
    let shortly = Recipients::Agents(vec![name(AWAY)]);
    lab.group.send_to(shortly, "too late", Duration::from_secs(1)).await.unwrap();

    // Delivered is what the application has taken, not what it was given.
    let held = receive(&agents[SLOW - 1]).await;
    assert_eq!(&held.payload()[..], b"to all");
    for agent in &agents[SLOW..] {
        let received = receive(agent).await;
        assert_eq!(&received.payload()[..], b"to all");
        received.acknowledge().unwrap();
    }
    use MessageState::{Delivered, Expired, Pending};
    let of_away = [(AWAY, 1, Pending), (AWAY, 2, Expired)];
    let mut expected: BTreeMap<_, _> = (SLOW..AGENTS).map(|at| ((agent(at), 1), Delivered)).collect();
    expected.extend(of_away.map(|(at, number, state)| ((agent(at), number), state)));
    expected.insert((agent(SLOW), 1), Pending);
    become_(lab, &expected).await;

    held.acknowledge().unwrap();
    expected.insert((agent(SLOW), 1), Delivered);
    become_(lab, &expected).await;

    // Back again: what still counts, and what came later; what expired does not come any more.
    let back = away.start().await.unwrap();
    lab.group.send(&agent(AWAY), "later").await.unwrap();
    for payload in ["to all", "later"] {
        let received = receive(&back).await;
        assert_eq!(String::from_utf8_lossy(received.payload()), payload);
        received.acknowledge().unwrap();
    }
    expected.extend([((agent(AWAY), 1), Delivered), ((agent(AWAY), 3), Delivered)]);
    become_(lab, &expected).await;
    for agent in &agents {
        assert!(agent.try_receive().is_none(), "one copy for each");
    }
}

async fn receive(agent: &Agent) -> Received {
    within("a message", agent.receive()).await.expect("the agent runs")
}

/// Waits until the group has seen all agents.
async fn everybody_is_known(lab: &Lab) {
    let since = Instant::now();
    while lab.group.agents().await.unwrap().len() < AGENTS {
        assert!(since.elapsed() < WITHIN, "not all came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until all messages stand so, by agent and number.
async fn become_(lab: &Lab, expected: &BTreeMap<(String, u64), MessageState>) {
    let since = Instant::now();
    loop {
        let messages = lab.group.messages(MessageFilter::default(), 1_000).await.unwrap();
        let states: BTreeMap<_, _> =
            messages.iter().map(|one| ((one.agent.as_str().to_owned(), one.number), one.state)).collect();
        if states == *expected {
            let is_ended = |state| !matches!(state, MessageState::Pending);
            assert!(messages.iter().all(|one| one.ended.is_some() == is_ended(one.state)), "{messages:#?}");
            return;
        }
        assert!(since.elapsed() < WITHIN, "not within {WITHIN:?}: {states:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
