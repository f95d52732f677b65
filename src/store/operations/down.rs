//! Messages to agents (rule D8): numbered per agent, given only to the holder of the agent's fence.

use serde::Serialize;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{AgentState, Answer, By, DownstreamOperation};
use crate::limits::DOWN_MESSAGES_MAX;
use crate::name::Name;
use crate::store::operations::{Context, agent, audit, sessions};
use crate::store::records::Records;
use crate::store::{DOWN_PAYLOAD_BYTES_MAX, DownMessage};

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &DownstreamOperation,
) -> Result<Answer> {
    match operation {
        DownstreamOperation::Send { agent, payload } => send(records, agent, payload, context.by).map(Answer::Number),
    }
}

/// What the audit log has of a message: not its bytes, which are its sender's.
#[derive(Serialize)]
struct Sent {
    number: u64,
    bytes: usize,
}

fn send(records: &mut dyn Records, to: &Name, payload: &[u8], by: &By) -> Result<u64> {
    records.lock_group()?;
    check_target(records, to)?;
    if payload.len() > DOWN_PAYLOAD_BYTES_MAX {
        return Err(Error::new(Code::MessageTooLarge)
            .subject(to.as_str())
            .found(format!("{} bytes", payload.len()))
            .expected(format!("at most {DOWN_PAYLOAD_BYTES_MAX} bytes in a message to an agent"))
            .remedy("send less"));
    }
    let waiting = records.count_down(to)?;
    if waiting >= DOWN_MESSAGES_MAX {
        let error = Error::new(Code::DownQueueFull).subject(to.as_str());
        return Err(error.found(format!("{waiting} messages")).expected(format!("less than {DOWN_MESSAGES_MAX}")));
    }
    let number = records.put_down(to, payload, by.at)?;
    audit(records, by, ("send", to.as_str()), None, Some(&Sent { number, bytes: payload.len() }))?;
    records.changed()?;
    Ok(number)
}

/// Only an agent that could take it is sent a message; one that still waits for approval is told apart from a typing
/// error.
fn check_target(records: &mut dyn Records, to: &Name) -> Result<()> {
    match agent(records, to)?.map(|record| record.state) {
        Some(AgentState::Approved) => Ok(()),
        Some(AgentState::Pending) => Err(Error::new(Code::AgentPending).subject(to.as_str())),
        Some(AgentState::Rejected) => Err(Error::new(Code::NameRejected).subject(to.as_str())),
        None => Err(Error::new(Code::NameUnknown).subject(to.as_str()).expected("an agent of the group")),
    }
}

pub(in crate::store) fn messages(
    records: &mut dyn Records,
    to: &Name,
    fence: u64,
    above: u64,
    count: usize,
) -> Result<Vec<DownMessage>> {
    sessions::check_fence(records, to, fence)?;
    records.down_messages(to, above, count)
}

pub(in crate::store) fn delivered(records: &mut dyn Records, to: &Name, fence: u64, through: u64) -> Result<()> {
    records.lock_sessions(&[to])?;
    sessions::check_fence(records, to, fence)?;
    records.down_taken(to, through)
}
