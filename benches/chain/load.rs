//! The agents: as many as asked for in one process, with state directories unless `--memory`.

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

    /// Sends one message every `every` between two moments; answers what became of each.
    async fn keep_time(self, every: Duration, begin: Instant, end: Instant) -> Vec<Sent> {
        let mut ticks = tokio::time::interval_at(begin.into(), every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sent: Vec<Sent> = Vec::new();
        let mut delivered = 0;
        while Instant::now() < end || delivered < sent.len() {
            tokio::select! {
                _ = ticks.tick(), if Instant::now() < end => {
                    let at = Instant::now();
                    sent.push(Sent { sequence: self.send(1).await, at, delivered: None });
                }
                () = self.woken.notified() => {}
            }
            let through = self.delivered();
            for sent in sent[delivered..].iter_mut().take_while(|sent| sent.sequence <= through) {
                sent.delivered = Some(sent.at.elapsed());
                delivered += 1;
            }
        }
        sent
    }
}

/// One message that was sent alone, and how long it took to be acknowledged.
struct Sent {
    sequence: u64,
    at: Instant,
    delivered: Option<Duration>,
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
        let delivered = tokio::time::timeout(DELIVERED_WITHIN, sender.agent.all_delivered()).await;
        delivered.expect("a delivery in time").expect("a delivery");
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
    let seconds = options.number("seconds", 2);
    let began = Instant::now();
    let (counts_from, end) = (began + WARM_UP, began + WARM_UP + Duration::from_secs(seconds));
    let stagger = |index: usize| began + every * index as u32 / count;
    let tasks = senders.into_iter().enumerate().map(|(index, sender)| sender.keep_time(every, stagger(index), end));
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    tokio::time::sleep_until(counts_from.into()).await;
    println!("begin");
    let mut sent = Vec::new();
    for task in tasks {
        sent.extend(task.await.expect("a sender").into_iter().filter(|sent| sent.at >= counts_from));
    }
    let delivered = sorted(sent.iter().filter_map(|sent| sent.delivered));
    let said = json!({
        "messages": sent.len(), "seconds": seconds,
        "p50_ms": part(&delivered, 0.5), "p99_ms": part(&delivered, 0.99), "max_ms": part(&delivered, 1.0),
    });
    println!("end {said}");
}

fn sorted(took: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut took: Vec<f64> = took.map(|took| took.as_secs_f64() * 1e3).collect();
    took.sort_unstable_by(f64::total_cmp);
    took
}

/// The value that this part of all does not exceed; 0 of none.
fn part(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * part) as usize).copied().unwrap_or_default()
}

/// Waits for a line; then every agent sends one message, and `end` is said when all of them are delivered.
async fn idle(senders: &[Sender]) {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
    if line.await.expect("a thread that reads").is_none() {
        return;
    }
    deliver_one_each(senders).await;
    println!("end");
}

/// A listener lets 256 wait that have not yet proven who they are.
const STARTED_AT_ONCE: usize = 100;
const WARM_UP: Duration = Duration::from_secs(1);
/// Longer, and something is broken.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);
/// Sockets, segments and lock files of 2,000 agents.
const FILES: u64 = 20_000;
