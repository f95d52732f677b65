//! Two management servers on one PostgreSQL: what an operator decides on a third connection takes effect at both.

#[path = "common/postgres.rs"]
mod cluster;
#[path = "common/events.rs"]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cluster::Cluster;
use events::{EventLog, within};
use farpost::{
    Agent, Assignment, Code, Identity, IdentityPolicy, ManagementGroup, ManagementServer, Message, Name, Timestamp,
};
use pki::Certified;

/// Within which a change takes effect (rule G2).
const EFFECT_WITHIN: Duration = Duration::from_secs(2);
const SERVERS: [&str; 2] = ["ms1.corp.example", "ms2.corp.example"];
const AGENTS: [&str; 2] = ["pc1.branch.example", "pc2.branch.example"];

fn identity(authority: &Certified, name: &str) -> Identity {
    let certified = authority.issue(name);
    let (chain, key, trust) = (certified.pem(), certified.key_pem(), authority.pem());
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let (name, policy, now) = (parsed(name), IdentityPolicy::default(), Timestamp::from_unix_seconds(now));
    Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust.as_bytes()], &[], policy, now).unwrap()
}

fn parsed(name: &str) -> Name {
    Name::parse(name).unwrap()
}

async fn server(authority: &Certified, url: &str, name: &str) -> ManagementServer {
    let group = ManagementGroup::open_new(url, "CORP").await.unwrap();
    let builder = ManagementServer::builder(identity(authority, name), group);
    let builder = builder.listen(SocketAddr::from(([127, 0, 0, 1], 0))).set("output.store", "true").unwrap();
    builder.start().await.unwrap()
}

async fn agent(authority: &Certified, name: &str, upstream: &str, address: SocketAddr) -> Agent {
    Agent::builder(identity(authority, name))
        .management_group("CORP")
        .upstream(Assignment::primary(&format!("{upstream}:{}", address.port())).unwrap())
        .host(parsed(upstream), vec![address.ip()])
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_an_approval_and_a_rejection_take_effect_at_both_servers_within_two_seconds() {
    let Some(cluster) = Cluster::start("") else { return };
    let url = cluster.url(&cluster.database());
    let authority = Certified::authority("Test CA");
    let mut running = Vec::new();
    for (server_name, agent_name) in SERVERS.into_iter().zip(AGENTS) {
        let server = server(&authority, &url, server_name).await;
        let agent = agent(&authority, agent_name, server_name, server.local_address().unwrap()).await;
        let log = EventLog::follow(agent_name, agent.events());
        log.told(Code::AgentPending, "").await;
        running.push((server, agent, log));
    }
    let operator = ManagementGroup::open(&url).await.unwrap();
    let mut receipts = Vec::new();
    for (_, agent, _) in &running {
        receipts.push(agent.send(Message::new("here")).await.unwrap());
    }
    let since = Instant::now();
    for name in AGENTS {
        operator.approve_agent(name).await.unwrap();
    }
    for receipt in receipts {
        within("delivery", receipt.delivered()).await.unwrap();
    }
    let approved = since.elapsed();
    let since = Instant::now();
    for name in AGENTS {
        operator.reject_agent(name).await.unwrap();
    }
    for (_, _, log) in &running {
        log.told(Code::NameRejected, "").await;
    }
    let rejected = since.elapsed();
    println!("approved to delivered {approved:?}, rejected to told {rejected:?}");
    assert!(approved < EFFECT_WITHIN && rejected < EFFECT_WITHIN, "{approved:?}, {rejected:?}");
    assert_eq!(operator.delivery_count().await.unwrap(), 2);
    for (server, agent, _) in running {
        agent.close(Duration::ZERO).await.unwrap_or_default();
        server.close(Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_while_the_database_is_gone_links_stay_nothing_is_acknowledged_and_one_event_says_so() {
    let Some(cluster) = Cluster::start("") else { return };
    let url = cluster.url(&cluster.database());
    let authority = Certified::authority("Test CA");
    let (server, name) = (server(&authority, &url, SERVERS[0]).await, AGENTS[0]);
    let told = EventLog::follow(SERVERS[0], server.events());
    ManagementGroup::open(&url).await.unwrap().approve_agent(name).await.unwrap();
    let agent = agent(&authority, name, SERVERS[0], server.local_address().unwrap()).await;
    let log = EventLog::follow(name, agent.events());
    within("delivery", agent.send(Message::new("before")).await.unwrap().delivered()).await.unwrap();
    let (of_agent, of_server) = (log.mark(), told.mark());
    let server_of_before = cluster.processes()[0];
    cluster.stop("immediate");
    let during = agent.send(Message::new("during")).await.unwrap().delivered();
    let mut during = std::pin::pin!(during);
    told.after(of_server, Code::StoreUnavailable, "postgres://").await;
    // Long enough for several attempts.
    let early = tokio::time::timeout(Duration::from_secs(3), &mut during).await;
    assert!(early.is_err(), "acknowledged without a store: {early:?}");
    assert_eq!(told.count(Code::StoreUnavailable), 1);
    tokio::task::block_in_place(|| cluster.start_again(""));
    within("delivery", during).await.unwrap();
    told.after(of_server, Code::StoreBack, "postgres://").await;
    assert_ne!(cluster.processes()[0], server_of_before);
    assert_eq!(log.mark(), of_agent, "the agent noticed: {:#?}", log.all());
    agent.close(Duration::from_secs(10)).await.unwrap();
    server.close(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_busy_servers_cost_the_database_less_than_fifty_transactions_a_second() {
    let Some(cluster) = Cluster::start("") else { return };
    let database = cluster.database();
    let url = cluster.url(&database);
    let authority = Certified::authority("Test CA");
    let operator = ManagementGroup::open_new(&url, "CORP").await.unwrap();
    let (mut running, mut sending) = (Vec::new(), Vec::new());
    for (at, name) in SERVERS.into_iter().enumerate() {
        let group = ManagementGroup::open(&url).await.unwrap();
        let builder = ManagementServer::builder(identity(&authority, name), group);
        let mut server = builder.listen(SocketAddr::from(([127, 0, 0, 1], 0))).start().await.unwrap();
        let mut deliveries = server.deliveries().unwrap();
        sending.push(tokio::spawn(async move {
            while let Some(batch) = deliveries.next().await {
                batch.acknowledge();
            }
        }));
        for number in 0..AGENTS_PER_SERVER {
            let agent_name = format!("pc{number}.branch{at}.example");
            operator.approve_agent(&agent_name).await.unwrap();
            let agent = agent(&authority, &agent_name, name, server.local_address().unwrap()).await;
            sending.push(tokio::spawn(async move {
                loop {
                    let messages = (0..100).map(|_| Message::new(vec![b'x'; 256])).collect::<Vec<_>>();
                    let Ok(receipt) = agent.send_batch(messages).await else { return };
                    if receipt.delivered().await.is_err() {
                        return;
                    }
                }
            }));
        }
        running.push(server);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let moved = async || operator.cursors().await.unwrap().iter().map(|cursor| cursor.through.0).sum::<u64>();
    let committed = || {
        let sql = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'");
        cluster.sql("postgres", &sql).parse::<u64>().unwrap()
    };
    let (since, messages, transactions) = (Instant::now(), moved().await, committed());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (messages, transactions) = (moved().await - messages, committed() - transactions);
    let seconds = since.elapsed().as_secs_f64();
    let (messages, transactions) = (messages as f64 / seconds, transactions as f64 / seconds);
    println!("{messages:.0} messages/s in {transactions:.1} transactions/s");
    assert!(messages > 1_000.0 && transactions < 50.0, "{messages} messages/s, {transactions} transactions/s");
    sending.iter().for_each(tokio::task::JoinHandle::abort);
    for server in running {
        server.close(Duration::from_secs(10)).await.unwrap();
    }
}

const AGENTS_PER_SERVER: usize = 20;
