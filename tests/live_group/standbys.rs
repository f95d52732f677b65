//! Standbys of nodes with the interval that is the default: five minutes (rule F3).

use farpost::{NodeStanding, Outlook};

use crate::lab::Lab;

const FIRST: &str = "ms1.corp.example";
const SECOND: &str = "ms2.corp.example";
const GATEWAY: &str = "gw1.branch.example";

fn has_standby(gateway: &NodeStanding, ready: bool) -> bool {
    gateway.standbys.iter().any(|one| one.name.as_str() == SECOND && one.ready == ready && (ready || one.code != 0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_i4_a_standby_is_known_soon_after_it_is_assigned_and_soon_after_it_is_up() {
    let lab = Lab::on_sqlite().await;
    let (first, second) = (lab.server(FIRST).await, lab.server(SECOND).await);
    let _gateway = lab.gateway(GATEWAY, &[&first, &second]).await.start().await.unwrap();
    lab.stands(GATEWAY, "connected", |gateway| gateway.upstream.is_some()).await;
    let (address, upstream) = (second.address, second.upstream());
    second.close().await;
    lab.group.set_failover(GATEWAY, &first.upstream(), &[upstream]).await.unwrap();
    lab.stands(GATEWAY, "its standby was tried", |gateway| has_standby(gateway, false)).await;
    let _second = lab.server_at(SECOND, address).await;
    lab.stands(GATEWAY, "its standby was tried again", |gateway| has_standby(gateway, true)).await;
    let outlooks = lab.group.simulate_failover(&[FIRST]).await.unwrap();
    let of_gateway: Vec<_> = outlooks.iter().filter(|one| one.node.as_str() == GATEWAY).collect();
    assert_eq!(of_gateway.len(), 1, "{outlooks:#?}");
    assert_eq!(of_gateway[0].outlook, Outlook::Moves, "{outlooks:#?}");
}
