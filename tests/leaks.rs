//! What is started goes away again, closed or only dropped: its threads, its descriptors, its locks. One test alone in
//! its process, since it counts all of them.
#![cfg(target_os = "linux")]

#[path = "common/chain.rs"]
#[expect(dead_code, reason = "shared with the tests that look at the group")]
mod chain;
#[path = "common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that look at events")]
mod events;
#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::fs;
use std::time::Duration;

use chain::{Chain, SERVER};
use farpost::{Code, Message};

const AGENTS: usize = 200;
const SERVERS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_agents_and_forty_servers_leave_no_thread_no_descriptor_and_no_lock() {
    let chain = Chain::new().await;
    let server = chain.server().await.set("output.store", "true").unwrap().start().await.unwrap();
    let before = standing().await;
    for turn in 0..AGENTS {
        one_agent(&chain, &server, turn).await;
    }
    for turn in 0..SERVERS {
        one_pair(&chain, turn).await;
    }
    let after = settled(before).await;
    assert!(after.fits(before), "{after:?} after, {before:?} before; open: {:#?}", open_files());
    // The lock of an agent that was only dropped is free.
    let state = chain.directory.path().join("agent1");
    let again = chain.agent("pc1.branch.example", SERVER, server.local_address().unwrap());
    let error = again.state_directory(state).start().await.err().map(|error| error.code());
    assert_ne!(error, Some(Code::StateDirectoryInUse));
}

/// An agent with a queue on disk that delivers something; every other one is closed, the rest only dropped.
async fn one_agent(chain: &Chain, server: &farpost::ManagementServer, turn: usize) {
    let state = chain.directory.path().join(format!("agent{}", turn % 50));
    let name = format!("pc{}.branch.example", turn % 50);
    let builder = chain.agent(&name, SERVER, server.local_address().unwrap()).state_directory(state);
    // The one before on this directory may have been dropped: its lock is free as soon as its thread has ended.
    let starting = async {
        loop {
            match builder.clone().start().await {
                Err(error) if error.code() == Code::StateDirectoryInUse => tokio::task::yield_now().await,
                started => return started.unwrap(),
            }
        }
    };
    let agent = events::within("the state directory's lock", starting).await;
    let receipt = agent.send(Message::new("here")).await.unwrap();
    events::within("delivery", receipt.delivered()).await.unwrap();
    if turn.is_multiple_of(2) {
        agent.close(Duration::from_secs(5)).await.unwrap();
    }
}

/// A management server and a gateway.
async fn one_pair(chain: &Chain, turn: usize) {
    let builder = chain.server().await.state_directory(chain.directory.path().join(format!("server{turn}")));
    let output = chain.directory.path().join(format!("out{turn}")).display().to_string();
    let server = builder.set("output.path", &output).unwrap().start().await.unwrap();
    let gateway = chain.gateway(server.local_address().unwrap());
    let gateway = gateway.state_directory(chain.directory.path().join(format!("gateway{turn}"))).start().await.unwrap();
    if turn.is_multiple_of(2) {
        gateway.close(Duration::from_secs(5)).await.unwrap();
        server.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    /// Of the library: the runtime's blocking pool comes and goes.
    threads: usize,
    descriptors: usize,
}

impl Counts {
    fn now() -> Self {
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
        let threads = tasks.map(name).filter(|name| name.starts_with("farpost-")).count();
        Self { threads, descriptors: open_files().len() }
    }

    fn fits(self, other: Self) -> bool {
        self.threads <= other.threads && self.descriptors <= other.descriptors
    }
}

/// Without the store's: SQLite keeps descriptors of a file that another connection of the process has open, for the next
/// one.
fn open_files() -> Vec<std::path::PathBuf> {
    let files = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let paths = files.filter_map(|file| fs::read_link(file.path()).ok());
    paths.filter(|path| !path.to_string_lossy().contains("group.db")).collect()
}

/// The counts of the two stores and the one server that stand all the time, once each of their threads has its name: a
/// thread takes it itself, some time after it was made.
async fn standing() -> Counts {
    // Two stores', and one for attestations of each core but one.
    let threads = 2 + std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    let all_named = async {
        while Counts::now().threads < threads {
            tokio::task::yield_now().await;
        }
    };
    events::within("the server's threads", all_named).await;
    Counts::now()
}

/// Waits until the counts are no higher than these, or stand still until the deadline.
async fn settled(wanted: Counts) -> Counts {
    let deadline = std::time::Instant::now() + events::DEADLINE;
    loop {
        let now = Counts::now();
        if now.fits(wanted) || std::time::Instant::now() > deadline {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
