//! Messages to agents, and what is forgotten from time to time.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use crate::error::Result;
use crate::group::{MessageFilter, MessageRecord, MessageState};
use crate::limits::{DOWN_MESSAGES_MAX, DOWN_SHOWN_MAX};
use crate::name::Name;
use crate::store::DownMessage;
use crate::store::records::{DownRecords, DownWaiting, NewDownMessage, range_of, signed};
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

impl DownRecords for &Connection {
    fn count_down(&mut self, agents: &[&Name]) -> Result<Vec<(Name, DownWaiting)>> {
        let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM down_messages WHERE agent = ?1 AND state = 0";
        let mut count = self.prepare_cached(sql).map_err(failure::of)?;
        let mut one = |agent: &&Name| {
            let of = |row: &Row<'_>| {
                let (messages, bytes) = (row.get::<_, BitsColumn>(0)?.0, row.get::<_, BitsColumn>(1)?.0);
                Ok(((*agent).clone(), DownWaiting { messages, bytes }))
            };
            count.query_row([agent.as_str()], of)
        };
        agents.iter().map(&mut one).collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn put_down(&mut self, agents: &[&Name], message: &NewDownMessage<'_>) -> Result<u64> {
        let mut take = self
            .prepare_cached(
                "INSERT INTO down_numbers (agent, last) VALUES (?1, 1)
                 ON CONFLICT (agent) DO UPDATE SET last = last + 1 RETURNING last",
            )
            .map_err(failure::of)?;
        let mut insert = self
            .prepare_cached(
                "INSERT INTO down_messages (agent, number, sent, payload, author, expires, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .map_err(failure::of)?;
        let mut highest = 0;
        for agent in agents.iter().map(|agent| agent.as_str()) {
            let number = take.query_row([agent], |row| row.get::<_, BitsColumn>(0)).map_err(failure::of)?.0;
            let NewDownMessage { payload, sent, expires, author } = *message;
            let (sent, expires) = (TimeColumn(sent), TimeColumn(expires));
            let row = (agent, BitsColumn(number), sent, payload, author, expires, message.bytes()?);
            insert.execute(row).map_err(failure::of)?;
            forget_ended(self, agent, signed(number) - signed(DOWN_MESSAGES_MAX + DOWN_SHOWN_MAX))?;
            highest = highest.max(number);
        }
        Ok(highest)
    }

    fn down_messages(&mut self, agent: &Name, above: u64, count: usize) -> Result<Vec<DownMessage>> {
        let mut select = self
            .prepare_cached(
                "SELECT number, sent, payload, expires FROM down_messages
                 WHERE agent = ?1 AND number > ?2 AND state = 0 ORDER BY number LIMIT ?3",
            )
            .map_err(failure::of)?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = select.query_map((agent.as_str(), signed(above), count), |row| {
            Ok(DownMessage {
                number: row.get::<_, BitsColumn>(0)?.0,
                sent: row.get::<_, TimeColumn>(1)?.0,
                payload: row.get::<_, Vec<u8>>(2)?.into(),
                expires: row.get::<_, Option<TimeColumn>>(3)?.map(|expires| expires.0),
            })
        });
        rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn down_waiting(&mut self) -> Result<Vec<Name>> {
        let sql = "SELECT DISTINCT agent FROM down_messages WHERE state = 0";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let rows = select.query_map((), |row| Ok(row.get::<_, NameColumn>(0)?.0));
        rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn count_unexpired_down(&mut self, agents: &[&Name], at: Timestamp) -> Result<Vec<(Name, u64)>> {
        let sql = "SELECT count(*) FROM down_messages
             WHERE agent = ?1 AND state = 0 AND (expires IS NULL OR expires > ?2)";
        let mut count = self.prepare_cached(sql).map_err(failure::of)?;
        let mut one = |agent: &&Name| {
            let of = |row: &Row<'_>| Ok(((*agent).clone(), row.get::<_, BitsColumn>(0)?.0));
            count.query_row((agent.as_str(), TimeColumn(at)), of)
        };
        let counts: Vec<(Name, u64)> =
            agents.iter().map(&mut one).collect::<rusqlite::Result<_>>().map_err(failure::of)?;
        Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    fn cancel_down(&mut self, agents: &[&Name], numbers: Option<&[u64]>, at: Timestamp) -> Result<()> {
        let all = "UPDATE down_messages SET state = 3, ended = ?2, payload = x''
             WHERE agent = ?1 AND state = 0 AND (expires IS NULL OR expires > ?2)";
        let Some(numbers) = numbers else {
            return agents
                .iter()
                .try_for_each(|agent| execute(self, all, (agent.as_str(), TimeColumn(at))).map(|_| ()));
        };
        let one = "UPDATE down_messages SET state = 3, ended = ?2, payload = x''
             WHERE agent = ?1 AND state = 0 AND (expires IS NULL OR expires > ?2) AND number = ?3";
        let mut each = agents.iter().flat_map(|agent| numbers.iter().map(move |number| (agent.as_str(), *number)));
        each.try_for_each(|(agent, number)| execute(self, one, (agent, TimeColumn(at), signed(number))).map(|_| ()))
    }

    fn expire_down(&mut self, agent: &Name, above: u64, at: Timestamp) -> Result<()> {
        let sql = "UPDATE down_messages SET state = 2, ended = expires, payload = x''
             WHERE agent = ?1 AND number > ?2 AND state = 0 AND expires <= ?3";
        execute(self, sql, (agent.as_str(), signed(above), TimeColumn(at))).map(|_| ())
    }

    fn down_taken(&mut self, agent: &Name, through: u64, at: Timestamp) -> Result<()> {
        let (agent, through) = (agent.as_str(), signed(through));
        let sql = "UPDATE down_numbers SET delivered = max(delivered, min(last, ?2)) WHERE agent = ?1";
        execute(self, sql, (agent, through))?;
        let sql = "UPDATE down_messages SET state = 1, ended = ?3, payload = x''
             WHERE agent = ?1 AND number <= ?2 AND state = 0";
        execute(self, sql, (agent, through, TimeColumn(at)))?;
        let sql = "UPDATE down_messages SET state = 1, ended = ?3 WHERE agent = ?1 AND number = ?2 AND state IN (2, 3)";
        execute(self, sql, (agent, through, TimeColumn(at)))?;
        let sql = "SELECT delivered FROM down_numbers WHERE agent = ?1";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let delivered = select.query_row([agent], |row| row.get::<_, i64>(0)).optional().map_err(failure::of)?;
        forget_ended(self, agent, delivered.unwrap_or(0) - signed(DOWN_SHOWN_MAX))
    }

    fn list_down(&mut self, filter: &MessageFilter, at: Timestamp, count: u64) -> Result<Vec<MessageRecord>> {
        let mut select = self
            .prepare_cached(
                "SELECT agent, number, sent, author, expires, ended, bytes,
                        CASE WHEN state = 0 AND expires <= ?1 THEN 2 ELSE state END AS shown
                 FROM down_messages
                 WHERE (agent, number) > (?2, ?3) AND agent <= ?4 AND sent >= ?5 AND (?6 IS NULL OR shown = ?6)
                 ORDER BY agent, number LIMIT ?7",
            )
            .map_err(failure::of)?;
        let ((after, number), end) = range_of(filter);
        let since = filter.since.unwrap_or(Timestamp::from_unix_millis(i64::MIN));
        let state = filter.state.map(MessageState::number);
        let parameters = (TimeColumn(at), after, signed(number), end, TimeColumn(since), state, signed(count));
        let rows = select.query_map(parameters, record_of).map_err(failure::of)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn expire_some_down(&mut self, expired: Timestamp, count: u64) -> Result<u64> {
        let sql = "UPDATE down_messages SET state = 2, ended = expires, payload = x'' WHERE rowid IN
             (SELECT rowid FROM down_messages WHERE state = 0 AND expires <= ?1 LIMIT ?2)";
        execute(self, sql, (TimeColumn(expired), signed(count)))
    }

    fn forget_some_down(&mut self, ended: Timestamp, count: u64) -> Result<u64> {
        let sql = "DELETE FROM down_messages WHERE rowid IN
             (SELECT rowid FROM down_messages WHERE state <> 0 AND ended <= ?1 LIMIT ?2)";
        execute(self, sql, (TimeColumn(ended), signed(count)))
    }

    fn take_chore(&mut self, chore: &str, at: Timestamp, last_before: Timestamp) -> Result<bool> {
        let mut take = self
            .prepare_cached(
                "INSERT INTO chores (name, last) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last = excluded.last
                 WHERE last <= ?3 OR last > excluded.last RETURNING 1",
            )
            .map_err(failure::of)?;
        let taken = take.query_row((chore, TimeColumn(at), TimeColumn(last_before)), |_| Ok(())).optional();
        taken.map(|taken| taken.is_some()).map_err(failure::of)
    }
}

/// Runs a change; how many rows it met.
fn execute(connection: &Connection, sql: &str, parameters: impl Params) -> Result<u64> {
    let mut change = connection.prepare_cached(sql).map_err(failure::of)?;
    change.execute(parameters).map(|rows| rows as u64).map_err(failure::of)
}

fn forget_ended(connection: &Connection, agent: &str, through: i64) -> Result<()> {
    let sql = "DELETE FROM down_messages WHERE agent = ?1 AND number <= ?2 AND state <> 0";
    execute(connection, sql, (agent, through)).map(|_| ())
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<MessageRecord> {
    let expires = row.get::<_, Option<TimeColumn>>(4)?.map(|time| time.0);
    let ended = row.get::<_, Option<TimeColumn>>(5)?.map(|time| time.0);
    let state = MessageState::from_number(row.get(7)?).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(MessageRecord {
        agent: row.get::<_, NameColumn>(0)?.0,
        number: row.get::<_, BitsColumn>(1)?.0,
        sent: row.get::<_, TimeColumn>(2)?.0,
        by: row.get(3)?,
        expires,
        state,
        ended: ended.or(if state == MessageState::Expired { expires } else { None }),
        bytes: row.get::<_, BitsColumn>(6)?.0,
    })
}
