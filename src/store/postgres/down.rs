//! Messages to agents.

use tokio_postgres::Row;

use crate::error::Result;
use crate::name::Name;
use crate::store::DownMessage;
use crate::store::postgres::columns::{bits, get, time};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::signed;
use crate::time::Timestamp;

pub(super) fn put(records: &mut Transaction<'_>, agent: &Name, payload: &[u8], at: Timestamp) -> Result<u64> {
    let sql = "WITH given AS (INSERT INTO farpost.down_numbers AS n (agent, last) VALUES ($1, 1)
                       ON CONFLICT (agent) DO UPDATE SET last = n.last + 1 RETURNING last)
         INSERT INTO farpost.down_messages (agent, number, sent, payload)
         SELECT $1, given.last, $2, $3 FROM given RETURNING number";
    bits(&only(records.query(sql, &[&agent.as_str(), &at.unix_millis(), &payload])?)?, 0)
}

pub(super) fn messages(
    records: &mut Transaction<'_>,
    agent: &Name,
    above: u64,
    count: usize,
) -> Result<Vec<DownMessage>> {
    let sql = "SELECT number, sent, payload FROM farpost.down_messages WHERE agent = $1 AND number > $2
         ORDER BY number LIMIT $3";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let message_of = |row: &Row| {
        let (number, sent) = (bits(row, 0)?, time(row, 1)?);
        Ok(DownMessage { number, sent, payload: get::<Vec<u8>>(row, 2)?.into() })
    };
    records.query(sql, &[&agent.as_str(), &signed(above), &count])?.iter().map(message_of).collect()
}

pub(super) fn taken(records: &mut Transaction<'_>, agent: &Name, through: u64) -> Result<()> {
    let (agent, through) = (agent.as_str(), signed(through));
    let sql = "UPDATE farpost.down_numbers SET delivered = greatest(delivered, least(last, $2)) WHERE agent = $1";
    records.query(sql, &[&agent, &through])?;
    records.query("DELETE FROM farpost.down_messages WHERE agent = $1 AND number <= $2", &[&agent, &through])?;
    Ok(())
}
