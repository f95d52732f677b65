//! Two computers with one identity, as a cloned virtual machine has (rule F5).

use farpost::{Code, Message};

use crate::lab::Lab;

const SERVER: &str = "ms1.corp.example";
const GATEWAY: &str = "gw1.branch.example";
const AGENT: &str = "pc7.branch.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_two_computers_with_one_identity_are_told_to_the_group_and_lose_nothing() {
    let lab = Lab::on_sqlite().await;
    let server = lab.server(SERVER).await;
    let gateway = lab.gateway(GATEWAY, &[&server]).await.start().await.unwrap();
    let start = async |state: &str| {
        let builder = lab.agent(AGENT, &[(GATEWAY, &gateway)]).state_directory(lab.state(state));
        builder.start().await.unwrap()
    };
    let original = start("original").await;
    original.send(Message::new("of the original".to_owned())).await.unwrap().delivered().await.unwrap();
    lab.stands(AGENT, "alone", |agent| agent.clones_seen.is_none()).await;

    let clone = start("clone").await;
    let said = server.events.told(Code::IdentityShared, AGENT).await;
    assert!(said.text.contains("one is") && said.text.contains("the other was"), "{said:?}");
    lab.stands(AGENT, "one of two", |agent| agent.clones_seen.is_some()).await;
    for agent in [&original, &clone] {
        agent.send(Message::new("of each".to_owned())).await.unwrap().delivered().await.unwrap();
    }
}
