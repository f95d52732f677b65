//! The agents: handles of the library in this process, each with an application that sends numbered messages all the
//! time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use farpost::{Agent, AgentBuilder, Assignment, Code, Config, Identity, IdentityPolicy, Message, Name, Timestamp};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::events::EventLog;
use crate::pki::Certified;

/// From one message of an agent to its next.
const PACE: Duration = Duration::from_millis(250);
/// How long anything that is sure to happen may take for all agents.
const WITHIN: Duration = Duration::from_secs(120);

/// All agents, on a runtime of their own.
pub(crate) struct Crowd {
    runtime: Runtime,
    pub(crate) members: Vec<Member>,
}

/// An agent and its application.
pub(crate) struct Member {
    pub(crate) name: String,
    builder: AgentBuilder,
    agent: Arc<Agent>,
    log: EventLog,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Starts `count` agents with certificates of this CA, as the configuration of `pc1` in this directory says, every
    /// other one with primary and failover exchanged. The first `on_disk` have a state directory.
    pub(crate) fn start(count: usize, on_disk: usize, authority: &Certified, directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let trust = std::fs::read(directory.join("ca.pem")).unwrap();
        let config = config(directory, "pc1");
        let start = |at: usize| {
            let name = format!("pc{at}.crowd.example");
            let mut builder = builder(&identity(authority, &trust, &name), &config, at % 2 == 1);
            if at < on_disk {
                builder = builder.state_directory(directory.join(&name));
            }
            runtime.block_on(Member::start(name, builder))
        };
        let members = (0..count).map(start).collect();
        Self { runtime, members }
    }

    /// Waits until all messages that these members have sent until now are delivered.
    pub(crate) fn delivered(&self, who: &[usize]) {
        let receipts: Vec<_> = who.iter().map(|at| (at, self.members[*at].agent.last_receipt())).collect();
        self.runtime.block_on(async {
            for (at, receipt) in receipts {
                let Ok(delivered) = tokio::time::timeout(WITHIN, receipt.delivered()).await else {
                    let member = &self.members[*at];
                    let (watermarks, last) = (member.agent.receipt(), member.log.all());
                    let last: Vec<_> = last.iter().rev().take(20).rev().collect();
                    panic!("{} is not delivered within {WITHIN:?}: {watermarks:?} {last:#?}", member.name);
                };
                delivered.unwrap();
            }
        });
    }

    /// Restarts an agent on its state directory, as an administrator restarts a service.
    pub(crate) fn restart(&mut self, at: usize) {
        let Self { runtime, members } = self;
        runtime.block_on(members[at].restart());
    }

    /// Ends all applications; answers how many messages each has sent.
    pub(crate) fn stop(&mut self) -> Vec<u64> {
        let Self { runtime, members } = self;
        members.iter().for_each(|member| member.stop.store(true, Ordering::Relaxed));
        runtime.block_on(async {
            for member in members.iter_mut() {
                member.stop_writing().await;
            }
        });
        members.iter().map(|member| member.sent.load(Ordering::Relaxed)).collect()
    }
}

impl Member {
    async fn start(name: String, builder: AgentBuilder) -> Self {
        let agent = Arc::new(builder.clone().start().await.unwrap());
        let log = EventLog::follow(name.clone().leak(), agent.events());
        let (sent, stop) = (Arc::default(), Arc::default());
        let mut member = Self { name, builder, agent, log, sent, stop, writer: None };
        member.write();
        member
    }

    fn write(&mut self) {
        self.stop.store(false, Ordering::Relaxed);
        let (agent, sent, stop) = (self.agent.clone(), self.sent.clone(), self.stop.clone());
        let name = self.name.clone();
        self.writer = Some(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = sent.load(Ordering::Relaxed) + 1;
                agent.send(Message::new(line(&name, number))).await.unwrap();
                sent.store(number, Ordering::Relaxed);
                tokio::time::sleep(PACE).await;
            }
        }));
    }

    async fn stop_writing(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.await.unwrap();
        }
    }

    async fn restart(&mut self) {
        self.stop_writing().await;
        self.agent.flush().await.unwrap();
        // Undelivered messages stay on disk, which a close within no time says.
        let _ = self.agent.close(Duration::ZERO).await;
        self.agent = Arc::new(self.builder.clone().start().await.unwrap());
        self.log = EventLog::follow(self.name.clone().leak(), self.agent.events());
        self.write();
    }

    /// Whether any of its messages was delivered.
    pub(crate) fn has_delivered(&self) -> bool {
        self.agent.receipt().delivered.0 > 0
    }

    pub(crate) fn mark(&self) -> usize {
        self.log.mark()
    }

    /// Whether it has told this after the mark.
    pub(crate) fn has_told(&self, mark: usize, code: Code) -> bool {
        self.log.all().iter().skip(mark).any(|event| event.code == code)
    }
}

/// The payload of an agent's message with this number, from 1.
pub(crate) fn line(agent: &str, number: u64) -> String {
    format!("{agent} {number} {}", "x".repeat(usize::try_from(number % 100).unwrap()))
}

/// A node's configuration.
pub(crate) fn config(directory: &Path, node: &str) -> Config {
    let path = directory.join(format!("{node}.toml"));
    Config::from_toml(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string()).unwrap()
}

/// The upstreams of a configuration, as they are given to commands.
pub(crate) fn upstreams(config: &Config) -> Vec<String> {
    let all = config.upstream.primary.iter().chain(&config.upstream.failover);
    all.map(|upstream| format!("{}:{}", upstream.name, upstream.port)).collect()
}

/// An agent as the configuration of another one says, but for its name and identity.
fn builder(identity: &Identity, config: &Config, exchanged: bool) -> AgentBuilder {
    let mut upstreams = upstreams(config);
    if exchanged {
        upstreams.reverse();
    }
    let assignment = Assignment::primary(&upstreams[0]).unwrap().failover(&upstreams[1]).unwrap();
    let mut builder = Agent::builder(identity.clone()).management_group("CORP").upstream(assignment);
    for (host, addresses) in &config.hosts {
        builder = builder.host(host.clone(), addresses.clone());
    }
    let quick = [("backoff.min", "50ms"), ("backoff.max", "500ms"), ("failback.hold_down", "500ms")];
    for (key, value) in quick.into_iter().chain([("failback.jitter", "200ms")]) {
        builder = builder.set(key, value).unwrap();
    }
    builder.without_identity_watch()
}

fn identity(authority: &Certified, trust: &[u8], name: &str) -> Identity {
    let certified = authority.issue(name);
    let (chain, key) = (certified.pem(), certified.key_pem());
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let (name, policy, now) =
        (Name::parse(name).unwrap(), IdentityPolicy::default(), Timestamp::from_unix_seconds(now));
    Identity::from_pem(&name, chain.as_bytes(), key.as_bytes(), &[trust], &[], policy, now).unwrap()
}
