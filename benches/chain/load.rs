//! The agents: as many as asked for in one process, with state directories unless `--memory`.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farpost::{Agent, Assignment, Message, Name};
use serde_json::json;
use tokio::sync::Notify;

use crate::lab::{Authority, GROUP, LOOPBACK};
use crate::options::Options;

/// Starts the agents, makes the load that `--load` names between the lines `begin` and `end`, and says what came of it.
pub(crate) async fn load(options: &Options) {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, FILES, FILES).expect("open files");
    let senders = start_all(options).await;
    println!("ready");
    match options.text("load", "relay").as_str() {
        "relay" => relay(senders, options).await,
        "latency" => latency(senders, options).await,
        "idle" => idle(&senders).await,
        other => panic!("no load {other}"),
    }
}

/// One agent, and what wakes it when its watermarks may have moved.
struct Sender {
    agent: Agent,
    woken: Arc<Notify>,
    payload: Bytes,
}

impl Sender {
    async fn start(authority: &Authority, index: u64, options: &Options) -> Self {
        let name = format!("pc{index}.bench.example");
        let primary = format!("gw1.bench.example:{}", options.number("gateway", 0));
        let mut assignment = Assignment::primary(&primary).expect("an upstream");
        if options.has("second-gateway") {
            let failover = format!("gw2.bench.example:{}", options.number("second-gateway", 0));
            assignment = assignment.failover(&failover).expect("an upstream");
        }
        let mut builder = Agent::builder(authority.identity(&name)).management_group(GROUP).upstream(assignment);
        for gateway in ["gw1.bench.example", "gw2.bench.example"] {
            builder = builder.host(Name::parse(gateway).expect("a name"), vec![LOOPBACK]);
        }
        if !options.has("memory") {
            builder = builder.state_directory(options.directory().join(name));
        }
        let agent = builder.start().await.expect("an agent");
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        agent.set_notify(Box::new(move || wake.notify_one()));
        Self { agent, woken, payload: vec![0x5a; options.number("bytes", 256) as usize].into() }
    }

    /// Sends messages in one call; answers the last sequence.
    async fn send(&self, count: u64) -> u64 {
        let message = Message::new(self.payload.clone());
        let receipt = self.agent.send_batch(vec![message; count as usize]).await.expect("the agent takes messages");
        receipt.sequence().0
    }

    fn delivered(&self) -> u64 {
        self.agent.receipt().delivered.0
    }

    /// Keeps this many messages undelivered, for ever; counts what is delivered.
    async fn keep_in_flight(self, in_flight: u64, count: Arc<AtomicU64>) {
        let (mut seen, mut sent) = (self.delivered(), self.delivered());
        loop {
            let delivered = self.delivered();
            count.fetch_add(delivered - seen, Ordering::Relaxed);
            seen = delivered;
            if sent - delivered < in_flight {
                sent = self.send(in_flight - (sent - delivered)).await;
            } else {
                self.woken.notified().await;
            }
        }
    }

    /// Sends one message every `every`; answers how long each took to be acknowledged.
    async fn keep_time(self, every: Duration, begin: Instant, end: Instant) -> Vec<Duration> {
        let mut ticks = tokio::time::interval_at(begin.into(), every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut waiting, mut took) = (VecDeque::new(), Vec::new());
        while Instant::now() < end || !waiting.is_empty() {
            tokio::select! {
                _ = ticks.tick(), if Instant::now() < end => {
                    let at = Instant::now();
                    waiting.push_back((self.send(1).await, at));
                }
                () = self.woken.notified() => {}
            }
            let delivered = self.delivered();
            while waiting.front().is_some_and(|(sequence, _)| *sequence <= delivered) {
                took.extend(waiting.pop_front().map(|(_, at): (u64, Instant)| at.elapsed()));
            }
        }
        took
    }
}

/// Starts the agents in groups, each ready when its first message was delivered.
async fn start_all(options: &Options) -> Vec<Sender> {
    let authority = Authority::open(&options.directory());
    let mut senders = Vec::new();
    for index in 0..options.number("senders", 20) {
        senders.push(Sender::start(&authority, index, options).await);
        if senders.len().is_multiple_of(STARTED_AT_ONCE) {
            deliver_one_each(&senders[senders.len() - STARTED_AT_ONCE..]).await;
        }
    }
    deliver_one_each(&senders).await;
    senders
}

async fn deliver_one_each(senders: &[Sender]) {
    for sender in senders {
        sender.send(1).await;
    }
    for sender in senders {
        sender.agent.all_delivered().await.expect("a delivery");
    }
}

async fn relay(senders: Vec<Sender>, options: &Options) {
    let in_flight = options.number("in-flight", 100);
    let count = Arc::new(AtomicU64::new(0));
    for sender in senders {
        tokio::spawn(sender.keep_in_flight(in_flight, count.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, began) = (count.load(Ordering::Relaxed), Instant::now());
    println!("begin");
    tokio::time::sleep(Duration::from_secs(options.number("seconds", 2))).await;
    let (messages, seconds) = (count.load(Ordering::Relaxed) - before, began.elapsed().as_secs_f64());
    println!("end {}", json!({ "messages": messages, "seconds": seconds }));
}

async fn latency(senders: Vec<Sender>, options: &Options) {
    let count = senders.len() as u32;
    let every = Duration::from_secs(u64::from(count)) / options.number("rate", 2_000) as u32;
    let began = Instant::now();
    let end = began + Duration::from_secs(options.number("seconds", 2));
    println!("begin");
    let stagger = |index: usize| began + every * index as u32 / count;
    let tasks = senders.into_iter().enumerate().map(|(index, sender)| sender.keep_time(every, stagger(index), end));
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.expect("a sender"));
    }
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let (messages, seconds) = (took.len(), began.elapsed().as_secs_f64());
    println!(
        "end {}",
        json!({ "messages": messages, "seconds": seconds, "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) })
    );
}

/// Waits for a line; then every agent sends one message, and the time counts until all of them are delivered.
async fn idle(senders: &[Sender]) {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
    if line.await.expect("a thread that reads").is_none() {
        return;
    }
    let began = Instant::now();
    deliver_one_each(senders).await;
    println!("end {}", json!({ "messages": senders.len(), "seconds": began.elapsed().as_secs_f64() }));
}

/// A listener lets 256 wait that have not yet proven who they are.
const STARTED_AT_ONCE: usize = 100;
const WARM_UP: Duration = Duration::from_secs(1);
/// Sockets, segments and lock files of 2,000 agents.
const FILES: u64 = 20_000;
