//! The child processes: a management server, a gateway, or all agents.
//!
//! What the story wants to know comes as JSON lines on standard output; the log goes to standard error. Standard input
//! is the string that the process hangs on: at its end it ends, whatever became of the parent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpost::{Agent, Code, Config, Events, Gateway, ManagementServer, Message};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::Client;
use crate::lines::{Lines, share};
use crate::{Node, Outcome};

pub(crate) fn run(node: Node) -> ExitCode {
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr);
    subscriber.init();
    let (go, going) = watch::channel(0);
    std::thread::spawn(move || hang_on_standard_input(&go));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let result = runtime.block_on(async {
        match node {
            Node::ManagementServer { config, application } => management_server(&config, &application).await,
            Node::Gateway { config } => gateway(&config).await,
            Node::Agents { config, lines, messages, seconds } => {
                let work = Work { lines: Lines::read(&lines)?, messages, agents: config.len(), seconds, going };
                agents(&config, work).await
            }
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(text: &str) -> ExitCode {
    tracing::error!("{text}");
    tell(&json!({ "failed": text }));
    ExitCode::FAILURE
}

/// A line is the word to go on; the end is the end.
fn hang_on_standard_input(go: &watch::Sender<usize>) {
    for line in std::io::stdin().lines() {
        if line.is_err() {
            break;
        }
        go.send_modify(|words| *words += 1);
    }
    std::process::exit(0);
}

/// One line for the parent.
fn tell(what: &Value) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone ends this process by another way.
    let _ = writeln!(out, "{what}");
    let _ = out.flush();
}

async fn tell_events(who: String, mut events: Events) {
    while let Some(event) = events.next().await {
        let code = event.code;
        tell(&json!({ "event": code.name(), "code": code.to_string(), "summary": code.summary(),
            "remedy": code.remedy(), "who": who, "subject": event.subject, "text": event.text }));
    }
}

fn load(path: &Path) -> Outcome<Config> {
    let text = std::fs::read_to_string(path)?;
    Ok(Config::from_toml(&text, &path.display().to_string())?)
}

fn name(config: &Config) -> String {
    config.name.as_ref().map(ToString::to_string).unwrap_or_default()
}

async fn management_server(config: &Path, application: &Path) -> Outcome<()> {
    let config = load(config)?;
    let client = Arc::new(Client::connect(application, &name(&config)).await?);
    let asked = client.clone();
    let builder = ManagementServer::from_config(&config).await?.application_cursor(move |agent, epoch| {
        let client = asked.clone();
        Box::pin(async move {
            let answer = client.cursor(&agent, epoch).await;
            answer.map_err(|error| farpost::Error::of_application(error.to_string()))
        })
    });
    let mut server = builder.start().await?;
    tokio::spawn(tell_events(name(&config), server.events()));
    let mut deliveries = server.deliveries().ok_or("the deliveries were taken")?;
    tell(&json!({ "listening": server.local_address().map(|address| address.port()) }));
    while let Some(batch) = deliveries.next().await {
        client.store(&batch).await?;
        batch.acknowledge();
    }
    Ok(())
}

async fn gateway(config: &Path) -> Outcome<()> {
    let config = load(config)?;
    let gateway = Gateway::from_config(&config)?.start().await?;
    tell(&json!({ "listening": gateway.local_address().map(|address| address.port()) }));
    tell_events(name(&config), gateway.events()).await;
    Ok(())
}

/// What the agents have to do.
struct Work {
    lines: Lines,
    /// Of all agents together.
    messages: u64,
    agents: usize,
    /// How long they take for it.
    seconds: f64,
    /// How often the word to go on was given.
    going: watch::Receiver<usize>,
}

async fn agents(configs: &[PathBuf], work: Work) -> Outcome<()> {
    let work = Arc::new(work);
    let mut tasks = tokio::task::JoinSet::new();
    for (index, path) in configs.iter().enumerate() {
        let config = load(path)?;
        let agent = Arc::new(Agent::from_config(&config)?.start().await?);
        tokio::spawn(tell_events(name(&config), agent.events()));
        tokio::spawn(receive(name(&config), agent.clone()));
        tasks.spawn(ship(index, name(&config), agent, work.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    // What comes down is received until the parent closes standard input.
    std::future::pending().await
}

/// Sends this agent's share evenly over the time, each part of [`PARTS`] at the word to go on; then waits until the group has all of it.
async fn ship(index: usize, name: String, agent: Arc<Agent>, work: Arc<Work>) -> Outcome<()> {
    let mut going = work.going.clone();
    going.wait_for(|words| *words > 0).await?;
    let (started, total) = (Instant::now(), share(work.messages, work.agents, index));
    let mut ticks = tokio::time::interval(TICK);
    let mut sent = 0;
    while sent < total {
        ticks.tick().await;
        let allowed = PARTS.get(*going.borrow()).copied().unwrap_or(1.0);
        let part = (started.elapsed().as_secs_f64() / work.seconds).min(allowed);
        let due = due(total, part).min(sent + BATCH_MESSAGES_MAX);
        let messages: Vec<Message> =
            (sent + 1..=due).map(|number| Message::new(work.lines.line(index, number))).collect();
        if !messages.is_empty() {
            agent.send_batch(messages).await?;
            sent = due;
        }
    }
    tell(&json!({ "sent": sent, "who": name }));
    agent.all_delivered().await?;
    tell(&json!({ "delivered": agent.receipt().delivered.0, "who": name }));
    Ok(())
}

/// A part, from 0 to 1, of a count.
fn due(total: u64, part: f64) -> u64 {
    ((total as f64 * part) as u64).min(total)
}

async fn receive(name: String, agent: Arc<Agent>) {
    while let Some(received) = agent.receive().await {
        let (number, text) = (received.sequence().0, String::from_utf8_lossy(received.payload()).into_owned());
        let acknowledged = received.acknowledge().map_err(|error| error.code());
        if acknowledged != Err(Code::Closed) {
            tell(&json!({ "received": text, "number": number, "acknowledged": acknowledged.is_ok(), "who": name }));
        }
    }
}

/// What an agent may have sent after each word to go on: however fast the computer is, something is left to send when
/// a process was killed.
const PARTS: [f64; 5] = [0.0, 0.45, 0.75, 0.9, 1.0];
/// How often an agent sends.
const TICK: Duration = Duration::from_millis(20);
/// What an agent sends in one call at most.
const BATCH_MESSAGES_MAX: u64 = 2_000;
