//! Messages to agents (rule D8): numbered per agent, given only to the holder of the agent's fence, and not any more
//! once they expired.
//!
//! An agent's acknowledgement says "all up to this number", so what was left out below it must be known: whoever skips
//! a message that expired ends it in the same transaction, before anything above it is sent. What waits unended up to an
//! acknowledged number was therefore sent. Only an acknowledgement of the very number of an expired or cancelled message
//! proves that the agent has it all the same, and then delivered it is.

mod cancelling;

use std::collections::HashMap;

use serde::Serialize;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentState, Answer, By, DownstreamOperation, MessageFilter, MessageRecord, MessagesSent, Recipients,
    may_expire_after,
};
use crate::limits::{
    DOWN_BYTES_MAX, DOWN_EXPIRY, DOWN_EXPIRY_GRACE, DOWN_MESSAGES_MAX, DOWN_SEND_BYTES_MAX, DOWN_SHOWN_FOR,
    FORGET_BATCH, FORGET_EVERY,
};
use crate::name::Name;
use crate::store::operations::{Context, agent, audit, name_unknown, sessions};
use crate::store::records::{DownWaiting, NewDownMessage, Records, Which};
use crate::store::{DOWN_PAYLOAD_BYTES_MAX, DownMessage};
use crate::time::Timestamp;

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &DownstreamOperation,
) -> Result<Answer> {
    match operation {
        DownstreamOperation::Send { agent, payload } => {
            let sent = send(records, &Recipients::Agents(vec![agent.clone()]), DOWN_EXPIRY_MS, payload, context.by)?;
            sent.number.map(Answer::Number).ok_or_else(|| Error::new(Code::Internal).found("a message without number"))
        }
        DownstreamOperation::SendTo { recipients, valid_for_ms, payload } => {
            send(records, recipients, *valid_for_ms, payload, context.by).map(Answer::Sent)
        }
        DownstreamOperation::Messages { filter, limit } => {
            list(records, filter, context.by.at, *limit).map(Answer::Messages)
        }
        DownstreamOperation::Cancel { choice, rehearsal } => {
            cancelling::cancel(records, choice, *rehearsal, context.by).map(Answer::Cancelled)
        }
    }
}

const DOWN_EXPIRY_MS: u64 = DOWN_EXPIRY.as_secs() * 1_000;

/// What the audit log has of a message: not its bytes, which are its sender's.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    bytes: usize,
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<usize>,
    /// The first of those who were named.
    #[serde(skip_serializing_if = "<[&Name]>::is_empty")]
    named: &'a [&'a Name],
}

/// Names that the audit log has of a set that was given by names.
const NAMES_AUDITED_MAX: usize = 100;

fn send(
    records: &mut dyn Records,
    recipients: &Recipients,
    valid_for_ms: u64,
    payload: &[u8],
    by: &By,
) -> Result<MessagesSent> {
    may_expire_after(valid_for_ms)?;
    records.lock_group()?;
    let chosen = chosen(records, recipients)?;
    check_size(&chosen, payload)?;
    let (free, full) = with_room(records, &chosen, payload.len() as u64)?;
    let expires = by.at.unix_millis().saturating_add(i64::try_from(valid_for_ms).unwrap_or(i64::MAX));
    let (expires, author) = (Timestamp::from_unix_millis(expires), by.author.to_string());
    let highest = records.put_down(&free, &NewDownMessage { payload, sent: by.at, expires, author: &author })?;
    let number = (chosen.len() == 1).then_some(highest);
    let agents = (chosen.len() != 1).then_some(free.len());
    let is_named = matches!(recipients, Recipients::Agents(_)) && agents.is_some();
    let named = if is_named { free.get(..NAMES_AUDITED_MAX.min(free.len())).unwrap_or_default() } else { &[] };
    let entry = Sent { number, bytes: payload.len(), expires, agents, named };
    audit(records, by, ("send", &recipients.to_string()), None, Some(&entry))?;
    records.changed()?;
    let first_left_out = full.first().map(|name| (*name).clone());
    Ok(MessagesSent { agents: free.len() as u64, number, left_out: full.len() as u64, first_left_out })
}

/// The agents that a message goes to, by name.
fn chosen(records: &mut dyn Records, recipients: &Recipients) -> Result<Vec<Name>> {
    let mut chosen = match recipients {
        Recipients::Agents(agents) => {
            for agent in agents {
                check_target(records, agent)?;
            }
            agents.clone()
        }
        set => {
            let agents = records.agents(Which::All)?.into_iter();
            let is_meant = |agent: &crate::group::AgentRecord| {
                agent.state == AgentState::Approved && set.contain(&agent.name, agent.via.as_ref())
            };
            agents.filter(is_meant).map(|agent| agent.name).collect()
        }
    };
    chosen.sort_unstable();
    chosen.dedup();
    if chosen.is_empty() {
        let error = Error::new(Code::NameUnknown).subject(recipients.to_string());
        return Err(error.found("no approved agent").expected("an approved agent of the group"));
    }
    Ok(chosen)
}

/// Only an agent that could take it is sent a message; one that still waits for approval is told apart from a typing
/// error.
fn check_target(records: &mut dyn Records, to: &Name) -> Result<()> {
    match agent(records, to)?.map(|record| record.state) {
        Some(AgentState::Approved) => Ok(()),
        Some(AgentState::Pending) => Err(Error::new(Code::AgentPending).subject(to.as_str())),
        Some(AgentState::Rejected) => Err(Error::new(Code::NameRejected).subject(to.as_str())),
        None => Err(name_unknown(records, to, "an agent of the group")),
    }
}

fn check_size(chosen: &[Name], payload: &[u8]) -> Result<()> {
    if payload.len() > DOWN_PAYLOAD_BYTES_MAX {
        return Err(Error::new(Code::MessageTooLarge)
            .subject(chosen.first().map_or("", Name::as_str))
            .found(format!("{} bytes", payload.len()))
            .expected(format!("at most {DOWN_PAYLOAD_BYTES_MAX} bytes in a message to an agent"))
            .remedy("send less"));
    }
    let all = (payload.len() as u64).saturating_mul(chosen.len() as u64);
    if all <= DOWN_SEND_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(Code::MessageTooLarge)
        .subject("message to a set of agents")
        .found(format!("{} bytes to each of {} agents", payload.len(), chosen.len()))
        .expected(format!("at most {DOWN_SEND_BYTES_MAX} bytes in all"))
        .remedy("send less, or to fewer agents at once"))
}

/// Those for whom one more message of this size may wait, and those for whom not: an agent that takes nothing keeps the
/// others from no message.
///
/// # Errors
///
/// [`Code::DownQueueFull`] if there is room for nobody.
fn with_room<'n>(records: &mut dyn Records, chosen: &'n [Name], bytes: u64) -> Result<(Vec<&'n Name>, Vec<&'n Name>)> {
    let names: Vec<&Name> = chosen.iter().collect();
    let waiting: HashMap<Name, DownWaiting> = records.count_down(&names)?.into_iter().collect();
    let of = |name: &Name| waiting.get(name).copied().unwrap_or_default();
    let has_room = |name: &&Name| {
        let waiting = of(name);
        waiting.messages < DOWN_MESSAGES_MAX && waiting.bytes.saturating_add(bytes) <= DOWN_BYTES_MAX
    };
    let (free, full): (Vec<_>, Vec<_>) = names.into_iter().partition(has_room);
    match full.first() {
        Some(first) if free.is_empty() => {
            let (name, DownWaiting { messages, bytes }) = (first.as_str(), of(first));
            Err(Error::new(Code::DownQueueFull)
                .subject(name)
                .found(format!("{messages} messages of {bytes} bytes"))
                .expected(format!("less than {DOWN_MESSAGES_MAX}, and {DOWN_BYTES_MAX} bytes at most")))
        }
        _ => Ok((free, full)),
    }
}

/// The messages for an agent; none where one of them expired, which [`messages_unexpired`] ends first.
pub(in crate::store) fn messages(
    records: &mut dyn Records,
    to: &Name,
    fence: u64,
    (above, count): (u64, usize),
    at: Timestamp,
) -> Result<Option<Vec<DownMessage>>> {
    sessions::check_fence(records, to, fence)?;
    let found = records.down_messages(to, above, count)?;
    let is_expired = |message: &DownMessage| message.expires.is_some_and(|expires| expires <= at);
    Ok(if found.iter().any(is_expired) { None } else { Some(found) })
}

/// The same, in a transaction that ends what expired. What was sent on this session already may still be acknowledged.
pub(in crate::store) fn messages_unexpired(
    records: &mut dyn Records,
    to: &Name,
    fence: u64,
    (above, count): (u64, usize),
    at: Timestamp,
) -> Result<Vec<DownMessage>> {
    records.lock_sessions(&[to])?;
    sessions::check_fence(records, to, fence)?;
    records.expire_down(to, above, at)?;
    records.down_messages(to, above, count)
}

pub(in crate::store) fn delivered(
    records: &mut dyn Records,
    to: &Name,
    fence: u64,
    through: u64,
    at: Timestamp,
) -> Result<()> {
    records.lock_sessions(&[to])?;
    sessions::check_fence(records, to, fence)?;
    records.down_taken(to, through, at)
}

fn list(records: &mut dyn Records, filter: &MessageFilter, at: Timestamp, limit: u64) -> Result<Vec<MessageRecord>> {
    let messages = records.list_down(filter, at, limit)?;
    match &filter.agent {
        // An empty page after others is their end.
        Some(to) if messages.is_empty() && filter.after.is_none() && agent(records, to)?.is_none() => {
            Err(name_unknown(records, to, "an agent of the group, or one that messages were sent to"))
        }
        _ => Ok(messages),
    }
}

/// Whether this server is to look for what is to be forgotten now: one does in each period.
pub(in crate::store) fn is_time_to_forget(records: &mut dyn Records, at: Timestamp) -> Result<bool> {
    records.take_chore("messages to agents", at, at.earlier_by(FORGET_EVERY))
}

/// Ends what expired long ago and forgets what ended long ago, a small part of it; whether there may be more.
pub(in crate::store) fn forget_some(records: &mut dyn Records, at: Timestamp) -> Result<bool> {
    let expired = records.expire_some_down(at.earlier_by(DOWN_EXPIRY_GRACE), FORGET_BATCH)?;
    let forgotten = records.forget_some_down(at.earlier_by(DOWN_SHOWN_FOR), FORGET_BATCH)?;
    Ok(expired.max(forgotten) >= FORGET_BATCH)
}
