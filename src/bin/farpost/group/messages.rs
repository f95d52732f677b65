//! `farpost send` and `farpost messages`: messages to agents, and what became of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use farpost::{MessageFilter, MessageRecord, MessageState, Name, NamePattern, Recipients, Timestamp};
use serde_json::{Value, json};

use crate::failure::{Failure, printable};
use crate::files;
use crate::group::StoreArguments;
use crate::group::inventory::table;
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
pub(crate) struct MessagesArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Only those to this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<Name>,
    /// Only those that stand so: pending, delivered, expired
    #[arg(long, value_name = "STATE")]
    state: Option<MessageState>,
    /// Only those sent since then: 2h, 7d, or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
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

pub(super) async fn messages(arguments: MessagesArguments) -> Result<(), Failure> {
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
