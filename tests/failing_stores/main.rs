//! The group store fails: what management servers do meanwhile, and what every command of the group says.
//!
//! A server keeps its links, acknowledges nothing that is not in the store, says so by one event and by its status, and
//! goes on by itself (rule D4). A command ends with code, found, expected and remedy, and leaves nothing half done.
//! `FARPOST_OUTAGE=60` has a longer silence of the database than a short run.

#[path = "../common/chain.rs"]
#[expect(dead_code, reason = "shared with the tests that need a gateway")]
mod chain;
#[path = "../common/postgres.rs"]
mod cluster;
mod commands;
mod databases;
#[path = "../common/events.rs"]
mod events;
mod files;
mod full;
mod hostile;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use farpost::{Agent, Code, ManagementServer, Message, Receipt};

use chain::{AGENT, Chain, SERVER};
use events::{EventLog, within};

const SOON: Duration = Duration::from_secs(10);
/// How long a failure may take to be told: no answer of a database is one after 20 s.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// A server on a store that is about to fail, and an agent of it.
struct Scene {
    server: ManagementServer,
    state: PathBuf,
    agent: Agent,
    of_server: EventLog,
    of_agent: EventLog,
}

impl Scene {
    /// Starts both, and lets a first message arrive.
    async fn start(chain: &Chain, server: farpost::ManagementServerBuilder) -> Self {
        let state = chain.directory.path().join("server");
        let server = server.state_directory(&state).set("output.store", "true").unwrap().start().await.unwrap();
        let agent = chain.agent(AGENT, SERVER, server.local_address().unwrap()).start().await.unwrap();
        let of_server = EventLog::follow(SERVER, server.events());
        let of_agent = EventLog::follow(AGENT, agent.events());
        within("delivery", agent.send(Message::new("before")).await.unwrap().delivered()).await.unwrap();
        Self { server, state, agent, of_server, of_agent }
    }

    /// Waits until the failure is told with this code, for a message that is then not acknowledged; answers its receipt.
    async fn fails(&self, code: Code, waits: Duration) -> Receipt {
        let of_agent = self.of_agent.mark();
        let receipt = self.agent.send(Message::new("x".repeat(10_000))).await.unwrap();
        let since = Instant::now();
        while self.of_server.count(code) == 0 {
            assert!(since.elapsed() < TOLD_WITHIN, "not told {code}: {:#?}", self.of_server.all());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.is_not_acknowledged(receipt.sequence(), waits).await;
        let status = status(&self.state);
        assert_eq!(status["store"]["works"], false, "{status}");
        let why = status["store"]["why"].as_str().unwrap();
        assert!(why.contains(&code.to_string()) && status["store"]["since"].is_string(), "{status}");
        assert_eq!(self.of_server.count(code), 1, "told more than once: {:#?}", self.of_server.all());
        assert_eq!(self.of_agent.mark(), of_agent, "the agent noticed: {:#?}", self.of_agent.all());
        receipt
    }

    /// Waits long enough for several attempts to commit.
    async fn is_not_acknowledged(&self, sequence: farpost::Sequence, waits: Duration) {
        let early = tokio::time::timeout(waits, self.agent.receipt_of(sequence).delivered()).await;
        assert!(early.is_err(), "acknowledged without a store: {early:?}");
    }

    /// Waits until it goes on by itself: the message arrives, and the end of the failure is told.
    async fn goes_on(&self, receipt: Receipt) {
        within("delivery", receipt.delivered()).await.unwrap();
        self.of_server.told(Code::StoreBack, "").await;
        assert_eq!(status(&self.state)["store"]["works"], true);
    }

    /// Ends; the store has what was sent, once and in order.
    async fn ends(self, store_url: &str, count: usize) {
        self.agent.close(SOON).await.unwrap();
        self.server.close(SOON).await.unwrap();
        let group = farpost::ManagementGroup::open(store_url).await.unwrap();
        let stored = group.deliveries(0, 1000).await.unwrap();
        let sequences: Vec<_> = stored.iter().map(|delivery| delivery.sequence.0).collect();
        assert_eq!(sequences, (1..=count as u64).collect::<Vec<_>>());
    }
}

/// What `farpost status` says of a node.
fn status(state: &Path) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    let output = command.args(["status", "--json", "--state-directory"]).arg(state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A golden store's statements.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store").join(name);
    std::fs::read_to_string(path).unwrap()
}
