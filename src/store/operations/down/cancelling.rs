//! Withdrawing messages to agents before they are taken (rule D8).
//!
//! What an agent was sent already cannot be called back: who has it may still take it. The word for the state says no
//! more than that it was withdrawn before anybody knew of it being taken.

use serde::Serialize;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{By, MessageChoice, MessageFilter, MessageRecord, MessageState, MessagesCancelled};
use crate::limits::DOWN_CANCELLED_MAX;
use crate::name::Name;
use crate::store::operations::down::NAMES_AUDITED_MAX;
use crate::store::operations::{agent, audit, distinct, name_unknown};
use crate::store::records::{Records, Which};

/// What the audit log has of it.
#[derive(Serialize)]
struct Cancelled<'a> {
    messages: u64,
    agents: usize,
    /// The first of the numbers, where numbers were given.
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    numbers: &'a [u64],
    /// The first of the agents, where it is about a set.
    #[serde(skip_serializing_if = "<[&Name]>::is_empty")]
    named: &'a [&'a Name],
}

/// Cancels what is pending of a choice, all of it or, with an error, nothing; where it is a rehearsal nothing is written.
pub(super) fn cancel(
    records: &mut dyn Records,
    choice: &MessageChoice,
    rehearsal: bool,
    by: &By,
) -> Result<MessagesCancelled> {
    if !rehearsal {
        records.lock_group()?;
    }
    let waiting = concerned(records, choice)?;
    let agents = distinct(waiting.iter());
    if !rehearsal {
        // An acknowledgement on its way is before or after all of this.
        records.lock_sessions(&agents)?;
    }
    match choice {
        MessageChoice::Numbers { agent, numbers } => {
            let mut numbers = numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            let count = numbers.len() as u64;
            check_count(count, choice)?;
            check_pending(records, agent, &numbers, by)?;
            withdraw(records, choice, (&[(agent.clone(), count)], Some(&numbers)), rehearsal, by)
        }
        _ => {
            let counts = records.count_unexpired_down(&agents, by.at)?;
            check_count(counts.iter().map(|(_, count)| count).sum(), choice)?;
            withdraw(records, choice, (&counts, None), rehearsal, by)
        }
    }
}

/// The agents of a choice for whom something waits, approved or not any more.
///
/// # Errors
///
/// [`Code::NameUnknown`] for one that is named and that neither the group nor a message knows.
fn concerned(records: &mut dyn Records, choice: &MessageChoice) -> Result<Vec<Name>> {
    let mut waiting = records.down_waiting()?;
    let MessageChoice::Agents(names) = choice else {
        waiting.retain(|name| choice.concerns(name));
        return Ok(waiting);
    };
    let names = distinct(names.iter());
    waiting.retain(|name| names.binary_search(&name).is_ok());
    let known = records.agents(Which::Named(&names))?;
    let known = distinct(known.iter().map(|agent| &agent.name).chain(&waiting));
    match names.iter().find(|name| known.binary_search(name).is_err()) {
        Some(unknown) => Err(name_unknown(records, unknown, "an agent of the group")),
        None => Ok(waiting),
    }
}

/// Whether each of these messages to an agent waits.
///
/// # Errors
///
/// [`Code::MessageUnknown`], [`Code::MessageEnded`].
fn check_pending(records: &mut dyn Records, to: &Name, numbers: &[u64], by: &By) -> Result<()> {
    let filter = MessageFilter { agent: Some(to.clone()), ..MessageFilter::default() };
    let known = records.list_down(&filter, by.at, u64::MAX)?;
    if known.is_empty() && agent(records, to)?.is_none() {
        return Err(name_unknown(records, to, "an agent of the group"));
    }
    if numbers.is_empty() {
        return Err(Error::new(Code::ArgumentInvalid)
            .subject(to.as_str())
            .found("no number")
            .expected("numbers of messages that wait"));
    }
    for number in numbers {
        let message = known.binary_search_by_key(number, |message| message.number).ok().and_then(|at| known.get(at));
        match message.map(|message| message.state) {
            Some(MessageState::Pending) => {}
            Some(_) => return Err(ended(to, *number, message)),
            None => return Err(unknown(to, *number, &known)),
        }
    }
    Ok(())
}

fn ended(to: &Name, number: u64, message: Option<&MessageRecord>) -> Error {
    let state = message.map_or("ended", |message| message.state.as_str());
    let when = message.and_then(|message| message.ended).map_or_else(String::new, |ended| format!(" at {ended}"));
    let error = Error::new(Code::MessageEnded).subject(format!("message {number} to {to}"));
    error.found(format!("{state}{when}")).expected("a message that is pending")
}

fn unknown(to: &Name, number: u64, known: &[MessageRecord]) -> Error {
    let pending = || known.iter().filter(|message| message.state == MessageState::Pending);
    let expected = match (pending().next(), pending().next_back()) {
        (Some(first), Some(last)) if first.number < last.number => {
            format!("one that is pending: {} of them from {} to {}", pending().count(), first.number, last.number)
        }
        (Some(only), _) => format!("the one that is pending: {}", only.number),
        _ => "one that is pending; there is none".to_owned(),
    };
    let error = Error::new(Code::MessageUnknown).subject(format!("message {number} to {to}"));
    error.found("no message of this number, or one that ended long ago").expected(expected)
}

fn check_count(count: u64, choice: &MessageChoice) -> Result<()> {
    if count <= DOWN_CANCELLED_MAX {
        return Ok(());
    }
    Err(Error::new(Code::ArgumentInvalid)
        .subject(format!("messages to {choice}"))
        .found(format!("{count} that are pending"))
        .expected(format!("at most {DOWN_CANCELLED_MAX} that are cancelled at once"))
        .remedy("cancel those of some agents after those of others, with a narrower pattern"))
}

/// Writes it with its entry of the audit log; nothing of either where nothing is pending.
fn withdraw(
    records: &mut dyn Records,
    choice: &MessageChoice,
    (counts, numbers): (&[(Name, u64)], Option<&[u64]>),
    rehearsal: bool,
    by: &By,
) -> Result<MessagesCancelled> {
    let messages = counts.iter().map(|(_, count)| count).sum();
    let cancelled = MessagesCancelled { messages, agents: counts.len() as u64 };
    if rehearsal || messages == 0 {
        return Ok(cancelled);
    }
    let agents = distinct(counts.iter().map(|(agent, _)| agent));
    records.cancel_down(&agents, numbers, by.at)?;
    let named = if numbers.is_some() { &[] } else { agents.get(..NAMES_AUDITED_MAX).unwrap_or(&agents) };
    let numbers = numbers.unwrap_or_default();
    let numbers = numbers.get(..NAMES_AUDITED_MAX).unwrap_or(numbers);
    let entry = Cancelled { messages, agents: agents.len(), numbers, named };
    audit(records, by, ("cancel messages", &choice.to_string()), None, Some(&entry))?;
    records.changed()?;
    Ok(cancelled)
}
