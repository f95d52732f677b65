//! The group's key with nodes that run (rule G6): rotated under them, rotated while they are away, and brought back into a
//! new store after the old one was lost.

#[path = "common/chain.rs"]
mod chain;
#[path = "common/events.rs"]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chain::{AGENT, Chain, GATEWAY, GROUP, SERVER};
use events::{EventLog, within};
use farpost::{Agent, ApprovedFor, Code, Gateway, ManagementGroup, ManagementServer};

const NONE: &[&str] = &[];

/// A server, a gateway and an agent behind it, both with an assignment of the group.
struct Lab {
    chain: Chain,
    /// Where the server listens, also when it comes again.
    address: SocketAddr,
    server: Option<ManagementServer>,
    gateway: Option<(Gateway, EventLog)>,
    agent: Option<(Agent, EventLog)>,
}

impl Lab {
    async fn start() -> Self {
        let chain = Chain::new().await;
        let server = chain.server().await.start().await.unwrap();
        let address = server.local_address().unwrap();
        let mut lab = Self { chain, address, server: Some(server), gateway: None, agent: None };
        lab.approve(&lab.chain.group).await;
        lab.start_nodes().await;
        lab.assign(&lab.chain.group).await;
        let [gateway, agent] = lab.logs();
        gateway.told(Code::AssignmentChanged, "version 1").await;
        agent.told(Code::AssignmentChanged, "version 1").await;
        lab
    }

    async fn approve(&self, group: &ManagementGroup) {
        group.approve_gateway(GATEWAY, ApprovedFor::ManagementServer(SERVER)).await.unwrap();
        group.approve_agent(AGENT).await.unwrap();
    }

    /// What both have already, which the group says now.
    async fn assign(&self, group: &ManagementGroup) {
        group.set_failover(GATEWAY, &format!("{SERVER}:{}", self.address.port()), NONE).await.unwrap();
        let (gateway, _) = self.gateway.as_ref().unwrap();
        let port = gateway.local_address().unwrap().port();
        group.set_failover(AGENT, &format!("{GATEWAY}:{port}"), NONE).await.unwrap();
    }

    /// On the state directories of before.
    async fn start_nodes(&mut self) {
        let state = |name: &str| {
            let directory = self.chain.directory.path().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            directory
        };
        let gateway = self.chain.gateway(self.address).state_directory(state("gateway"));
        let gateway = gateway.set("backoff.max", "500ms").unwrap().start().await.unwrap();
        let agent = self.chain.agent(AGENT, GATEWAY, gateway.local_address().unwrap()).state_directory(state("agent"));
        let agent = agent.set("backoff.max", "500ms").unwrap().start().await.unwrap();
        let logs = [EventLog::follow("the gateway", gateway.events()), EventLog::follow("the agent", agent.events())];
        let [of_gateway, of_agent] = logs;
        (self.gateway, self.agent) = (Some((gateway, of_gateway)), Some((agent, of_agent)));
    }

    async fn stop_nodes(&mut self) {
        let ((gateway, _), (agent, _)) = (self.gateway.take().unwrap(), self.agent.take().unwrap());
        let _ = agent.close(Duration::ZERO).await;
        gateway.close(Duration::from_secs(5)).await.unwrap();
    }

    fn logs(&self) -> [&EventLog; 2] {
        [&self.gateway.as_ref().unwrap().1, &self.agent.as_ref().unwrap().1]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.chain.directory.path().join(name)
    }

    /// Runs `farpost group key` on the store.
    fn key(&self, arguments: &[&str]) -> Output {
        let mut farpost = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let store = format!("sqlite://{}", self.file("group.db").display());
        farpost.args(["group", "key"]).args(arguments).args(["--store", &store]).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.key(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.key(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_g6_nodes_follow_a_rotated_key_within_two_seconds_and_after_two_that_they_missed() {
    let mut lab = Lab::start().await;
    let began = Instant::now();
    assert!(lab.done(&["rotate"]).contains("version 2"));
    for log in lab.logs() {
        log.told(Code::AssignmentChanged, "version 2").await;
    }
    println!("a rotated key is followed by all after {:?}", began.elapsed());
    assert!(lab.refused(&["rotate", "--version", "1"]).contains("FP3062"));

    lab.stop_nodes().await;
    lab.done(&["rotate"]);
    lab.done(&["rotate"]);
    lab.start_nodes().await;
    // The gateway has another port now: the agent learns of it from what it was configured with.
    lab.assign(&lab.chain.group).await;
    for log in lab.logs() {
        log.told(Code::AssignmentChanged, "version 5").await;
        assert_eq!(log.count(Code::GroupKeyMismatch) + log.count(Code::AssignmentForged), 0);
    }
    let shown: serde_json::Value = serde_json::from_str(&lab.done(&["show", "--json"])).unwrap();
    assert_eq!((&shown["version"], shown["former"].as_array().map(Vec::len)), (&4.into(), Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_configured_key_is_where_a_node_begins_and_another_groups_key_assigns_it_nothing() {
    let lab = Lab::start().await;
    let first = lab.chain.group.group_key().await.unwrap();
    lab.done(&["rotate"]);
    let (gateway, _) = lab.gateway.as_ref().unwrap();
    let agent = |name: &str, key: &str| {
        let agent = lab.chain.agent(name, GATEWAY, gateway.local_address().unwrap());
        agent.set("group_key", key).unwrap()
    };
    let (follows, refuses) = ("pc8.branch.example", "pc9.branch.example");
    for name in [follows, refuses] {
        lab.chain.group.approve_agent(name).await.unwrap();
        let upstream = format!("{GATEWAY}:{}", gateway.local_address().unwrap().port());
        lab.chain.group.set_failover(name, &upstream, NONE).await.unwrap();
    }
    let follower = agent(follows, &first.public_key).start().await.unwrap();
    EventLog::follow("who follows", follower.events()).told(Code::AssignmentChanged, "version 1").await;
    let refuser = agent(refuses, &"7".repeat(64)).start().await.unwrap();
    let log = EventLog::follow("who refuses", refuser.events());
    log.told(Code::GroupKeyMismatch, "").await;
    // It stays with what it is configured with, and its data flows.
    let receipt = refuser.send(farpost::Message::new("still there")).await.unwrap();
    let mut server = lab.server;
    let deliveries = server.as_mut().unwrap().deliveries().unwrap();
    tokio::spawn(async move {
        let mut deliveries = deliveries;
        while let Some(batch) = deliveries.next().await {
            batch.acknowledge();
        }
    });
    within("delivery", receipt.delivered()).await.unwrap();
    assert_eq!(log.count(Code::AssignmentChanged), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_a_group_whose_store_was_lost_comes_back_with_its_key_and_its_nodes_take_what_it_assigns() {
    let mut lab = Lab::start().await;
    let (password, wrong, backup) = (lab.file("password"), lab.file("wrong"), lab.file("key.backup"));
    for (file, text) in [(&password, "correct horse\n"), (&wrong, "battery staple\n")] {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let [password, wrong, backup] = [&password, &wrong, &backup].map(|file| file.to_str().unwrap().to_owned());
    lab.done(&["rotate"]);
    lab.done(&["backup", "--out", &backup, "--password-file", &password]);
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(lab.refused(&["backup", "--out", &backup, "--password-file", &password]).contains("there already"));
    lab.assign(&lab.chain.group).await;
    for log in lab.logs() {
        log.told(Code::AssignmentChanged, "version 3").await;
    }

    // The store is lost, with everything that was decided since.
    lab.server.take().unwrap().close(Duration::from_secs(5)).await.unwrap();
    for file in ["group.db", "group.db-wal", "group.db-shm"] {
        let _ = std::fs::remove_file(lab.file(file));
    }
    let url = format!("sqlite://{}", lab.file("group.db").display());
    let group = ManagementGroup::open_new(&url, GROUP).await.unwrap();
    assert!(lab.refused(&["restore", "--in", &backup, "--password-file", &wrong]).contains("FP1012"));
    assert!(lab.done(&["restore", "--in", &backup, "--password-file", &password]).contains("version 2"));
    let marks = lab.logs().map(EventLog::mark);
    let server = ManagementServer::builder(lab.chain.identity(SERVER), group.clone()).listen(lab.address);
    lab.server = Some(within("the server's address is free", server.start()).await.unwrap());
    lab.approve(&group).await;
    lab.assign(&group).await;
    for (log, mark) in lab.logs().into_iter().zip(marks) {
        log.after(mark, Code::AssignmentChanged, "version").await;
        assert_eq!(log.count(Code::GroupKeyMismatch) + log.count(Code::AssignmentForged), 0);
    }
    let audit = group.audit(farpost::Timestamp::default(), 0, 100).await.unwrap();
    assert!(audit.iter().any(|entry| entry.action == "restore group key"));
}
