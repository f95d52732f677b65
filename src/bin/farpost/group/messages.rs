//! `farpost send` and `farpost messages`: messages to agents, and what became of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use farpost::{
    Code, MessageChoice, MessageFilter, MessageRecord, MessageState, Name, NamePattern, Recipients, Timestamp,
};
use serde_json::{Value, json};

use crate::failure::{Failure, printable};
use crate::files;
use crate::group::StoreArguments;
use crate::group::age::count;
use crate::group::table::table;
use crate::when::{duration, since};

/// The arguments of `send`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("recipients").required(true))]
pub(crate) struct SendArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// An agent; may be given several times
    #[arg(long, value_name = "NAME", group = "recipients")]
    agent: Vec<Name>,
    /// The approved agents whose names match, such as '*.branch.example', or '**.example' for any depth
    #[arg(long, value_name = "PATTERN", group = "recipients")]
    pattern: Option<NamePattern>,
    /// The approved agents that were last seen behind this gateway
    #[arg(long, value_name = "NAME", group = "recipients")]
    gateway: Option<Name>,
    /// Every approved agent
    #[arg(long, group = "recipients")]
    all: bool,
    /// Send it to nobody who has not come after so long, such as 1h or 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = duration)]
    expires: Duration,
    /// The message; without it the bytes of --file
    #[arg(conflicts_with = "file", required_unless_present = "file")]
    text: Option<String>,
    /// A file whose bytes are the message; - is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// The arguments of `messages`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MessagesArguments {
    #[command(subcommand)]
    command: Option<MessagesCommand>,
    #[command(flatten)]
    store: StoreArguments,
    /// Only those to this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<Name>,
    /// Only those that stand so: pending, delivered, expired, cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<MessageState>,
    /// Only those sent since then: 2h, 7d, or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// The subcommands of `messages`.
#[derive(Subcommand)]
enum MessagesCommand {
    /// Withdraw messages that are pending: they are not sent any more
    ///
    /// An agent that was sent one of them before may still take it.
    Cancel(CancelArguments),
}

/// The arguments of `messages cancel`.
#[derive(Args)]
struct CancelArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// The agent whose messages they are; may be given several times with --all-pending
    #[arg(long, value_name = "NAME")]
    agent: Vec<Name>,
    /// All that are pending for agents whose names match, such as '*.branch.example', or '**.example' for any depth
    #[arg(long, value_name = "PATTERN", conflicts_with = "agent")]
    pattern: Option<NamePattern>,
    /// All that are pending: for those agents, or without --agent and --pattern for everybody
    #[arg(long)]
    all_pending: bool,
    /// The numbers of the messages to that agent, as `farpost messages` shows them
    #[arg(conflicts_with_all = ["pattern", "all_pending"])]
    number: Vec<u64>,
    /// Say how many it would be, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl CancelArguments {
    fn choice(&self) -> Result<MessageChoice, Failure> {
        let usage = |found: &str, expected: &str| {
            Err(Failure::new(Code::Usage, "messages cancel").found(found).expected(expected))
        };
        match (&self.pattern, self.agent.as_slice(), self.number.as_slice()) {
            (Some(pattern), _, _) => Ok(MessageChoice::Pattern(pattern.clone())),
            (None, [agent], numbers @ [_, ..]) => {
                Ok(MessageChoice::Numbers { agent: agent.clone(), numbers: numbers.to_vec() })
            }
            (None, [], [_, ..]) => usage("numbers without an agent", "--agent NAME NUMBER…: each agent has its own"),
            (None, _, [_, ..]) => usage("numbers with several agents", "one --agent: each agent has its own numbers"),
            (None, [], []) if self.all_pending => Ok(MessageChoice::All),
            (None, [], []) => usage("no message", "--agent NAME NUMBER…, --pattern PATTERN or --all-pending"),
            (None, agents, []) if self.all_pending => Ok(MessageChoice::Agents(agents.to_vec())),
            (None, _, []) => usage("an agent and none of its messages", "their numbers, or --all-pending"),
        }
    }
}

/// Messages that are asked for at once.
const PAGE: usize = 1_000;
/// Above what the group takes, so that it is the group that refuses.
const MESSAGE_BYTES_MAX: u64 = 65 << 20;

/// To one agent it prints the message's number, to more how many they are.
pub(super) async fn send(arguments: SendArguments) -> Result<(), Failure> {
    let payload = match (arguments.text, &arguments.file) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(file)) => read(file)?,
        (None, None) => Vec::new(),
    };
    let recipients = match (arguments.pattern, arguments.gateway) {
        (Some(pattern), _) => Recipients::Pattern(pattern),
        (None, Some(gateway)) => Recipients::Gateway(gateway),
        (None, None) if arguments.all => Recipients::All,
        (None, None) => Recipients::Agents(arguments.agent),
    };
    let sent = arguments.store.open().await?.send_to(recipients, payload, arguments.expires).await?;
    match sent.number {
        Some(number) => println!("{number}"),
        None => println!("sent to {} agents", sent.agents),
    }
    if let Some(first) = sent.first_left_out {
        eprintln!("left out: {} agents for whom too much waits already, such as {first}", sent.left_out);
    }
    Ok(())
}

/// The bytes of a file, at most what any message may have.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| files::unreadable(file, &error);
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        std::fs::File::open(file).map_err(failed)?.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// Says how many, and that nothing can be called back.
async fn cancel(arguments: CancelArguments) -> Result<(), Failure> {
    let (choice, dry_run) = (arguments.choice()?, arguments.dry_run);
    let group = arguments.store.open().await?;
    let cancelled =
        if dry_run { group.rehearse_cancelling(choice).await? } else { group.cancel_messages(choice).await? };
    if arguments.json {
        let (messages, agents) = (cancelled.messages, cancelled.agents);
        println!("{}", json!({ "dry_run": dry_run, "messages": messages, "agents": agents }));
        return Ok(());
    }
    let (messages, agents) = (count(cancelled.messages, "message"), count(cancelled.agents, "agent"));
    match (dry_run, cancelled.messages) {
        (_, 0) => println!("Nothing is pending."),
        (true, _) => println!("{messages} to {agents} would be cancelled."),
        (false, _) => {
            println!("{messages} to {agents} cancelled.");
            eprintln!("note: an agent that was sent one of them before may still take it");
        }
    }
    Ok(())
}

pub(super) async fn messages(mut arguments: MessagesArguments) -> Result<(), Failure> {
    if let Some(MessagesCommand::Cancel(arguments)) = arguments.command.take() {
        return cancel(arguments).await;
    }
    let group = arguments.store.open().await?;
    let mut filter =
        MessageFilter { agent: arguments.agent, state: arguments.state, since: arguments.since, after: None };
    let mut rows = Vec::new();
    loop {
        let page = group.messages(filter.clone(), PAGE).await?;
        filter.after = page.last().map(|last| (last.agent.clone(), last.number));
        let is_last = page.len() < PAGE;
        if arguments.json {
            page.iter().for_each(|message| println!("{}", document(message)));
        } else {
            rows.extend(page.iter().map(row));
        }
        if is_last {
            break;
        }
    }
    if !arguments.json {
        table(&["AGENT", "NUMBER", "STATE", "SENT", "BY", "EXPIRES", "ENDED", "BYTES"], rows.into_iter());
    }
    Ok(())
}

fn row(message: &MessageRecord) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.to_string());
    vec![
        message.agent.to_string(),
        message.number.to_string(),
        message.state.to_string(),
        message.sent.to_string(),
        printable(&message.by),
        time(message.expires),
        time(message.ended),
        message.bytes.to_string(),
    ]
}

fn document(message: &MessageRecord) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "agent": message.agent.as_str(),
        "number": message.number,
        "state": message.state.as_str(),
        "sent": message.sent.to_string(),
        "by": message.by,
        "expires": time(message.expires),
        "ended": time(message.ended),
        "bytes": message.bytes,
    })
}
