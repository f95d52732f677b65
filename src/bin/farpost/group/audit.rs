//! `farpost audit`: who changed what (rule G4).

use std::time::Duration;

use clap::Args;
use farpost::{AuditRecord, ManagementGroup, Timestamp};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, printable};
use crate::group::StoreArguments;
use crate::when::since;

/// The arguments of `audit`.
#[derive(Args)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Only what was changed since then: 2h, 7d, or 2026-11-22T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only what was done to this name
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Only what this author did
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Go on with what is changed from now on, until interrupted
    #[arg(long)]
    follow: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

/// Entries that are asked for at once.
const PAGE: usize = 1_000;
/// How often `--follow` looks.
const FOLLOW: Duration = Duration::from_secs(1);

pub(super) async fn audit(arguments: AuditArguments) -> Result<(), Failure> {
    let group = arguments.store.open().await?;
    let mut above = 0;
    loop {
        above = print_above(&group, above, &arguments).await?;
        if !arguments.follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW).await;
    }
}

/// Prints all entries above a number; answers the last one's.
async fn print_above(group: &ManagementGroup, mut above: u64, arguments: &AuditArguments) -> Result<u64, Failure> {
    let from = arguments.since.unwrap_or(Timestamp::from_unix_millis(i64::MIN));
    loop {
        let entries = group.audit(from, above, PAGE).await?;
        for entry in entries.iter().filter(|entry| arguments.wants(entry)) {
            if arguments.json {
                println!("{}", document(entry));
            } else {
                println!("{}", line(entry));
            }
        }
        above = entries.last().map_or(above, |last| last.number);
        if entries.len() < PAGE {
            return Ok(above);
        }
    }
}

impl AuditArguments {
    fn wants(&self, entry: &AuditRecord) -> bool {
        self.subject.as_ref().is_none_or(|subject| entry.subject.eq_ignore_ascii_case(subject))
            && self.author.as_ref().is_none_or(|author| entry.author.name == *author)
    }
}

/// `2026-11-22T12:04:11.020Z  approve gateway gw1.branch.example  by root (ms1): state pending → approved`.
fn line(entry: &AuditRecord) -> String {
    let subject = if entry.subject.is_empty() { String::new() } else { format!(" {}", printable(&entry.subject)) };
    let author = printable(&entry.author.to_string());
    let differences = differences(&value(&entry.before), &value(&entry.after));
    let differences = if differences.is_empty() { String::new() } else { format!(": {}", differences.join(", ")) };
    format!("{}  {}{subject}  by {author}{differences}", entry.at, printable(&entry.action))
}

fn document(entry: &AuditRecord) -> Value {
    json!({
        "number": entry.number,
        "at": entry.at.to_string(),
        "author": { "kind": entry.author.kind.as_str(), "name": entry.author.name, "from": entry.author.from },
        "action": entry.action,
        "subject": entry.subject,
        "before": value(&entry.before),
        "after": value(&entry.after),
    })
}

fn value(json: &Option<String>) -> Value {
    json.as_deref().map_or(Value::Null, |json| serde_json::from_str(json).unwrap_or_else(|_| json.into()))
}

/// What changed, for people: fields that are alike on both sides are left out.
fn differences(before: &Value, after: &Value) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let none = Value::Null;
            let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
            names
                .map(|name| (name, before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none)))
                .filter(|(_, before, after)| before != after)
                .map(|(name, before, after)| format!("{name} {} → {}", text(before), text(after)))
                .collect()
        }
        (Value::Null, Value::Object(after)) => set(after),
        (Value::Object(before), Value::Null) => gone(before),
        (Value::Null, Value::Null) => Vec::new(),
        (before, after) => vec![format!("{} → {}", text(before), text(after))],
    }
}

/// Fields of something new that only repeat what the entry says anyway.
const REPEATED: [&str; 6] = ["name", "node", "first_seen", "last_seen", "created", "hash"];

/// Of something new: what is set of it.
fn set(after: &Map<String, Value>) -> Vec<String> {
    let is_set = |value: &Value| !matches!(value, Value::Null) && value.as_str() != Some("");
    after
        .iter()
        .filter(|(name, value)| !REPEATED.contains(&name.as_str()) && is_set(value))
        .map(|(name, value)| format!("{name} {}", text(value)))
        .collect()
}

/// Of something that is no more: what it was, or what was taken out of it.
fn gone(before: &Map<String, Value>) -> Vec<String> {
    let is_named_so = before.len() == 1 && before.contains_key("removed");
    set(before).into_iter().map(|field| if is_named_so { field } else { format!("{field} → -") }).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}
