//! Keys that the group pinned and an administrator changes by hand: the present one announces the next (rules G1 and I5).

use farpost::{Agent, ApprovedFor, Code, Gateway, GatewayTerms, KeyDemand, Message};

use crate::events::{EventLog, within};
use crate::lab::{Lab, upstream};

const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";
const INNER: &str = "gw2.site.example";
const AGENT: &str = "pc7.site.example";

/// The gateway gets another key; it is the pinned one when the link upstream was renewed with it.
async fn changes_its_key(lab: &Lab, name: &str, gateway: &Gateway, log: &EventLog) {
    let mark = log.mark();
    let before = pin(lab, name).await;
    gateway.replace_identity(lab.identity(name)).await.unwrap();
    log.after(mark, Code::LinkRenewed, "").await;
    let moved = async {
        while pin(lab, name).await == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    within("the pin follows", moved).await;
}

/// The key that the name must come with.
async fn pin(lab: &Lab, name: &str) -> KeyDemand {
    let gateways = lab.group.gateways().await.unwrap();
    gateways.into_iter().find(|gateway| gateway.name.as_str() == name).unwrap().pin.demand
}

async fn delivers(agent: &Agent, payload: &str) {
    let receipt = agent.send(Message::new(payload.to_owned())).await.unwrap();
    within("delivery", receipt.delivered()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_i5_a_pinned_gateways_key_that_is_changed_by_hand_is_pinned_when_it_is_shown_and_costs_no_link() {
    let lab = Lab::on_sqlite().await;
    let server = lab.server(SERVER).await;
    let builder = lab.gateway(GATEWAY, &[&server]).await;
    let first = GatewayTerms::default().key(KeyDemand::First);
    lab.group.approve_gateway_with(GATEWAY, ApprovedFor::ManagementServer(SERVER), &first).await.unwrap();
    let gateway = builder.start().await.unwrap();
    let log = EventLog::follow("the gateway", gateway.events());
    let agent = lab.agent(AGENT, &[(GATEWAY, &gateway)]).start().await.unwrap();
    let agent_log = EventLog::follow("the agent", agent.events());
    delivers(&agent, "before").await;
    for round in 0..3 {
        changes_its_key(&lab, GATEWAY, &gateway, &log).await;
        delivers(&agent, &format!("round {round}")).await;
    }
    assert_eq!(agent_log.count(Code::LinkDown), 0, "{:#?}", agent_log.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_i5_a_pinned_gateway_behind_another_one_announces_its_next_key_too() {
    let lab = Lab::on_sqlite().await;
    let server = lab.server(SERVER).await;
    let outer = lab.gateway(GATEWAY, &[&server]).await.start().await.unwrap();
    let above = upstream((GATEWAY, &outer));
    let first = GatewayTerms::default().key(KeyDemand::First);
    lab.group.approve_gateway_with(INNER, ApprovedFor::Gateway(GATEWAY), &first).await.unwrap();
    let inner = lab.gateway_under(INNER, (GATEWAY, &outer)).start().await.unwrap();
    let log = EventLog::follow("the inner gateway", inner.events());
    let agent = lab.agent(AGENT, &[(INNER, &inner)]).start().await.unwrap();
    delivers(&agent, "before").await;
    for round in 0..2 {
        changes_its_key(&lab, INNER, &inner, &log).await;
        delivers(&agent, &format!("round {round} through {above}")).await;
    }
}
