//! A server whose PostgreSQL falls silent, or moves to the other address of the connection string.

use std::time::{Duration, Instant};

use farpost::{Code, ManagementGroup, ManagementServer, UnknownAgents};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Scene;
use crate::chain::{Chain, GROUP, SERVER, any_port};
use crate::cluster::Cluster;

/// A server of the chain on this store, for any agent.
async fn server(chain: &Chain, url: &str) -> farpost::ManagementServerBuilder {
    let group = ManagementGroup::open_new(url, GROUP).await.unwrap();
    group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
    ManagementServer::builder(chain.identity(SERVER), group).listen(any_port())
}

/// A cluster that answers nothing, and accepts connections all the same; until this goes.
struct Silence(Vec<Pid>);

impl Silence {
    fn of(cluster: &Cluster) -> Self {
        let processes: Vec<Pid> = cluster.processes().into_iter().map(Pid::from_raw).collect();
        for pid in &processes {
            kill(*pid, Signal::SIGSTOP).unwrap();
        }
        Self(processes)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_database_that_is_silent_for_a_minute_costs_no_link_and_no_message() {
    let Some(cluster) = Cluster::start("") else { return };
    let chain = Chain::new().await;
    let url = format!("{}&connect_timeout=1", cluster.url(&cluster.database()));
    let scene = Scene::start(&chain, server(&chain, &url).await).await;
    let outage = Duration::from_secs(std::env::var("FARPOST_OUTAGE").ok().map_or(20, |text| text.parse().unwrap()));
    let (since, silence) = (Instant::now(), Silence::of(&cluster));
    let receipt = scene.fails(Code::StoreUnavailable, Duration::from_millis(1500)).await;
    let rest = outage.saturating_sub(since.elapsed());
    scene.is_not_acknowledged(receipt.sequence(), rest).await;
    println!("silent for {:?}", since.elapsed());
    drop(silence);
    scene.goes_on(receipt).await;
    scene.ends(&url, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_server_moves_to_the_other_address_of_its_database_and_keeps_its_links() {
    let (Some(first), Some(second)) = (Cluster::start(""), Cluster::start("")) else { return };
    let chain = Chain::new().await;
    let (database, other) = (first.database(), second.database());
    let url = format!("postgres://farpost@127.0.0.1:{},127.0.0.1:{}/{database}", first.port, second.port);
    let scene = Scene::start(&chain, server(&chain, &url).await).await;
    // The standby as it would be by replication: it has all that was committed, and is a store once it is promoted.
    let dump = first.path("dump.sql");
    std::fs::write(&dump, first.tool("pg_dump", &database, &[])).unwrap();
    second.tool("psql", &other, &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &dump]);
    first.stop("immediate");
    let receipt = scene.fails(Code::StoreUnavailable, Duration::from_millis(1500)).await;
    second.sql("postgres", &format!("ALTER DATABASE {other} RENAME TO {database}"));
    scene.goes_on(receipt).await;
    assert_eq!(second.sql(&database, "SELECT count(*) FROM deliveries"), "2");
    scene.ends(&url, 2).await;
}
