//! Messages to agents (rule D8): numbered per agent, given only to the holder of the agent's fence.

use rusqlite::Connection;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::AgentState;
use crate::limits::DOWN_MESSAGES_MAX;
use crate::name::Name;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::{approvals, failure, schema, sessions};
use crate::store::{DOWN_PAYLOAD_BYTES_MAX, DownMessage};
use crate::time::Timestamp;

pub(super) fn send(connection: &Connection, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
    check_target(connection, agent)?;
    if payload.len() > DOWN_PAYLOAD_BYTES_MAX {
        return Err(Error::new(Code::MessageTooLarge)
            .subject(agent.as_str())
            .found(format!("{} bytes", payload.len()))
            .expected(format!("at most {DOWN_PAYLOAD_BYTES_MAX} bytes in a message to an agent"))
            .remedy("send less"));
    }
    let mut count =
        connection.prepare_cached("SELECT count(*) FROM down_messages WHERE agent = ?1").map_err(failure::of)?;
    let waiting = count.query_row([agent.as_str()], |row| row.get::<_, BitsColumn>(0)).map_err(failure::of)?.0;
    if waiting >= DOWN_MESSAGES_MAX {
        let error = Error::new(Code::DownQueueFull).subject(agent.as_str());
        return Err(error.found(format!("{waiting} messages")).expected(format!("less than {DOWN_MESSAGES_MAX}")));
    }
    let mut take = connection
        .prepare_cached(
            "INSERT INTO down_numbers (agent, last) VALUES (?1, 1)
             ON CONFLICT (agent) DO UPDATE SET last = last + 1 RETURNING last",
        )
        .map_err(failure::of)?;
    let number = take.query_row([agent.as_str()], |row| row.get::<_, BitsColumn>(0)).map_err(failure::of)?.0;
    let mut insert = connection
        .prepare_cached("INSERT INTO down_messages (agent, number, sent, payload) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failure::of)?;
    insert.execute((agent.as_str(), BitsColumn(number), TimeColumn(at), payload)).map_err(failure::of)?;
    schema::changed(connection)?;
    Ok(number)
}

/// Only an agent that could take it is sent a message; one that still waits for approval is told apart from a typing
/// error.
fn check_target(connection: &Connection, agent: &Name) -> Result<()> {
    match approvals::agent(connection, agent)?.map(|record| record.state) {
        Some(AgentState::Approved) => Ok(()),
        Some(AgentState::Pending) => Err(Error::new(Code::AgentPending).subject(agent.as_str())),
        Some(AgentState::Rejected) => Err(Error::new(Code::NameRejected).subject(agent.as_str())),
        None => Err(Error::new(Code::NameUnknown).subject(agent.as_str()).expected("an agent of the group")),
    }
}

pub(super) fn waiting(connection: &Connection) -> Result<Vec<Name>> {
    let mut select = connection.prepare_cached("SELECT DISTINCT agent FROM down_messages").map_err(failure::of)?;
    let rows = select.query_map((), |row| Ok(row.get::<_, NameColumn>(0)?.0));
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn messages(
    connection: &Connection,
    agent: &Name,
    fence: u64,
    above: u64,
    count: usize,
) -> Result<Vec<DownMessage>> {
    check_fence(connection, agent, fence)?;
    let mut select = connection
        .prepare_cached(
            "SELECT number, sent, payload FROM down_messages WHERE agent = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )
        .map_err(failure::of)?;
    let above = i64::try_from(above).unwrap_or(i64::MAX);
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = select.query_map((agent.as_str(), above, count), |row| {
        Ok(DownMessage {
            number: row.get::<_, BitsColumn>(0)?.0,
            sent: row.get::<_, TimeColumn>(1)?.0,
            payload: row.get::<_, Vec<u8>>(2)?.into(),
        })
    });
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

/// Forgets what the agent has taken. A number that was never given moves nothing beyond the last that was.
pub(super) fn delivered(connection: &Connection, agent: &Name, fence: u64, through: u64) -> Result<()> {
    check_fence(connection, agent, fence)?;
    let through = i64::try_from(through).unwrap_or(i64::MAX);
    let mut update = connection
        .prepare_cached("UPDATE down_numbers SET delivered = max(delivered, min(last, ?2)) WHERE agent = ?1")
        .map_err(failure::of)?;
    update.execute((agent.as_str(), through)).map_err(failure::of)?;
    let mut delete = connection
        .prepare_cached("DELETE FROM down_messages WHERE agent = ?1 AND number <= ?2")
        .map_err(failure::of)?;
    delete.execute((agent.as_str(), through)).map(|_| ()).map_err(failure::of)
}

fn check_fence(connection: &Connection, agent: &Name, fence: u64) -> Result<()> {
    let current = sessions::current(connection, agent).map(|current| current.map_or(0, |(fence, _)| fence))?;
    if current == fence && current > 0 {
        return Ok(());
    }
    let error = Error::new(Code::CursorFenced).subject(agent.as_str());
    Err(error.found(format!("fence {fence}")).expected(format!("fence {current}")))
}
