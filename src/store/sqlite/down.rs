//! Messages to agents.

use rusqlite::Connection;

use crate::error::Result;
use crate::name::Name;
use crate::store::DownMessage;
use crate::store::records::signed;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

pub(super) fn count(connection: &Connection, agent: &Name) -> Result<u64> {
    let mut count =
        connection.prepare_cached("SELECT count(*) FROM down_messages WHERE agent = ?1").map_err(failure::of)?;
    let waiting = count.query_row([agent.as_str()], |row| row.get::<_, BitsColumn>(0));
    waiting.map(|waiting| waiting.0).map_err(failure::of)
}

pub(super) fn put(connection: &Connection, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
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
    Ok(number)
}

pub(super) fn waiting(connection: &Connection) -> Result<Vec<Name>> {
    let mut select = connection.prepare_cached("SELECT DISTINCT agent FROM down_messages").map_err(failure::of)?;
    let rows = select.query_map((), |row| Ok(row.get::<_, NameColumn>(0)?.0));
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn messages(connection: &Connection, agent: &Name, above: u64, count: usize) -> Result<Vec<DownMessage>> {
    let mut select = connection
        .prepare_cached(
            "SELECT number, sent, payload FROM down_messages WHERE agent = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )
        .map_err(failure::of)?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = select.query_map((agent.as_str(), signed(above), count), |row| {
        Ok(DownMessage {
            number: row.get::<_, BitsColumn>(0)?.0,
            sent: row.get::<_, TimeColumn>(1)?.0,
            payload: row.get::<_, Vec<u8>>(2)?.into(),
        })
    });
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn taken(connection: &Connection, agent: &Name, through: u64) -> Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE down_numbers SET delivered = max(delivered, min(last, ?2)) WHERE agent = ?1")
        .map_err(failure::of)?;
    update.execute((agent.as_str(), signed(through))).map_err(failure::of)?;
    let mut delete = connection
        .prepare_cached("DELETE FROM down_messages WHERE agent = ?1 AND number <= ?2")
        .map_err(failure::of)?;
    delete.execute((agent.as_str(), signed(through))).map(|_| ()).map_err(failure::of)
}
