//! Messages to agents, and what is forgotten from time to time.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{MessageFilter, MessageRecord, MessageState};
use crate::limits::{DOWN_MESSAGES_MAX, DOWN_SHOWN_MAX};
use crate::name::Name;
use crate::store::DownMessage;
use crate::store::postgres::columns::{bits, get, name, text, texts, time};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::{DownRecords, DownWaiting, NewDownMessage, corrupt, range_of, signed};
use crate::time::Timestamp;

impl DownRecords for Transaction<'_> {
    fn count_down(&mut self, agents: &[&Name]) -> Result<Vec<(Name, DownWaiting)>> {
        let sql = "SELECT agent, count(*), sum(bytes)::bigint FROM farpost.down_messages
             WHERE agent = ANY($1) AND state = 0 GROUP BY agent";
        let waiting_of = |row: &Row| Ok((name(row, 0)?, DownWaiting { messages: bits(row, 1)?, bytes: bits(row, 2)? }));
        self.query(sql, &[&texts(agents.iter().copied())])?.iter().map(waiting_of).collect()
    }

    fn put_down(&mut self, agents: &[&Name], message: &NewDownMessage<'_>) -> Result<u64> {
        let agents = texts(agents.iter().copied());
        let sql =
            "WITH given AS (INSERT INTO farpost.down_numbers AS n (agent, last) SELECT a, 1 FROM unnest($1::text[]) a
                           ON CONFLICT (agent) DO UPDATE SET last = n.last + 1 RETURNING agent, last),
                  put AS (INSERT INTO farpost.down_messages (agent, number, sent, payload, author, expires, bytes)
                          SELECT agent, last, $2, $3, $4, $5, $6 FROM given RETURNING number)
             SELECT coalesce(max(number), 0) FROM put";
        let NewDownMessage { payload, sent, expires, author } = *message;
        let (author, bytes) = (text(author), message.bytes()?);
        let row: [&(dyn ToSql + Sync); 6] =
            [&agents, &sent.unix_millis(), &payload, &author, &expires.unix_millis(), &bytes];
        let highest = bits(&only(self.query(sql, &row)?)?, 0)?;
        if highest > DOWN_MESSAGES_MAX + DOWN_SHOWN_MAX {
            let sql = "DELETE FROM farpost.down_messages m USING farpost.down_numbers n
                 WHERE n.agent = ANY($1) AND m.agent = n.agent AND m.number <= n.last - $2 AND m.state <> 0";
            self.query(sql, &[&agents, &signed(DOWN_MESSAGES_MAX + DOWN_SHOWN_MAX)])?;
        }
        Ok(highest)
    }

    fn down_messages(&mut self, agent: &Name, above: u64, count: usize) -> Result<Vec<DownMessage>> {
        let sql = "SELECT number, sent, payload, expires FROM farpost.down_messages
             WHERE agent = $1 AND number > $2 AND state = 0 ORDER BY number LIMIT $3";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let message_of = |row: &Row| {
            let (number, sent, expires) = (bits(row, 0)?, time(row, 1)?, optional_time(row, 3)?);
            Ok(DownMessage { number, sent, payload: get::<Vec<u8>>(row, 2)?.into(), expires })
        };
        self.query(sql, &[&agent.as_str(), &signed(above), &count])?.iter().map(message_of).collect()
    }

    fn down_waiting(&mut self) -> Result<Vec<Name>> {
        let rows = self.query("SELECT DISTINCT agent FROM farpost.down_messages WHERE state = 0", &[])?;
        rows.iter().map(|row| name(row, 0)).collect()
    }

    fn count_unexpired_down(&mut self, agents: &[&Name], at: Timestamp) -> Result<Vec<(Name, u64)>> {
        let sql = "SELECT agent, count(*) FROM farpost.down_messages
             WHERE agent = ANY($1) AND state = 0 AND (expires IS NULL OR expires > $2) GROUP BY agent";
        let rows = self.query(sql, &[&texts(agents.iter().copied()), &at.unix_millis()])?;
        rows.iter().map(|row| Ok((name(row, 0)?, bits(row, 1)?))).collect()
    }

    fn cancel_down(&mut self, agents: &[&Name], numbers: Option<&[u64]>, at: Timestamp) -> Result<()> {
        let sql = "UPDATE farpost.down_messages SET state = 3, ended = $2, payload = ''
             WHERE agent = ANY($1) AND state = 0 AND (expires IS NULL OR expires > $2)
               AND ($3::bigint[] IS NULL OR number = ANY($3))";
        let numbers: Option<Vec<i64>> = numbers.map(|numbers| numbers.iter().map(|number| signed(*number)).collect());
        self.query(sql, &[&texts(agents.iter().copied()), &at.unix_millis(), &numbers]).map(|_| ())
    }

    fn expire_down(&mut self, agent: &Name, above: u64, at: Timestamp) -> Result<()> {
        let sql = "UPDATE farpost.down_messages SET state = 2, ended = expires, payload = ''
             WHERE agent = $1 AND number > $2 AND state = 0 AND expires <= $3";
        self.query(sql, &[&agent.as_str(), &signed(above), &at.unix_millis()]).map(|_| ())
    }

    fn down_taken(&mut self, agent: &Name, through: u64, at: Timestamp) -> Result<()> {
        let (agent, taken) = (agent.as_str(), signed(through));
        let sql = "UPDATE farpost.down_numbers SET delivered = greatest(delivered, least(last, $2)) WHERE agent = $1";
        self.query(sql, &[&agent, &taken])?;
        let sql = "UPDATE farpost.down_messages SET state = 1, ended = $3, payload = ''
             WHERE agent = $1 AND ((number <= $2 AND state = 0) OR (number = $2 AND state IN (2, 3)))";
        self.query(sql, &[&agent, &taken, &at.unix_millis()])?;
        if through <= DOWN_SHOWN_MAX {
            return Ok(());
        }
        let sql = "DELETE FROM farpost.down_messages m USING farpost.down_numbers n
             WHERE n.agent = $1 AND m.agent = n.agent AND m.number <= n.delivered - $2 AND m.state <> 0";
        self.query(sql, &[&agent, &signed(DOWN_SHOWN_MAX)]).map(|_| ())
    }

    fn list_down(&mut self, filter: &MessageFilter, at: Timestamp, count: u64) -> Result<Vec<MessageRecord>> {
        let sql = "SELECT * FROM (
                 SELECT agent, number, sent, author, expires, ended, bytes,
                        CASE WHEN state = 0 AND expires <= $1 THEN 2::smallint ELSE state END AS shown
                 FROM farpost.down_messages
                 WHERE (agent, number) > ($2, $3) AND agent <= $4 AND sent >= $5) m
             WHERE $6::smallint IS NULL OR shown = $6 ORDER BY agent, number LIMIT $7";
        let ((after, number), end) = range_of(filter);
        let since = filter.since.map_or(i64::MIN, Timestamp::unix_millis);
        let state = filter.state.map(|state| i16::from(state.number()));
        let row: [&(dyn ToSql + Sync); 7] =
            [&at.unix_millis(), &after, &signed(number), &end, &since, &state, &signed(count)];
        self.query(sql, &row)?.iter().map(record_of).collect()
    }

    fn expire_some_down(&mut self, expired: Timestamp, count: u64) -> Result<u64> {
        let sql = "WITH few AS (SELECT agent, number FROM farpost.down_messages WHERE state = 0 AND expires <= $1
                          LIMIT $2 FOR UPDATE SKIP LOCKED),
                  done AS (UPDATE farpost.down_messages m SET state = 2, ended = expires, payload = '' FROM few
                            WHERE m.agent = few.agent AND m.number = few.number RETURNING 1)
             SELECT count(*) FROM done";
        bits(&only(self.query(sql, &[&expired.unix_millis(), &signed(count)])?)?, 0)
    }

    fn forget_some_down(&mut self, ended: Timestamp, count: u64) -> Result<u64> {
        let sql = "WITH few AS (SELECT agent, number FROM farpost.down_messages WHERE state <> 0 AND ended <= $1
                          LIMIT $2 FOR UPDATE SKIP LOCKED),
                  gone AS (DELETE FROM farpost.down_messages m USING few
                           WHERE m.agent = few.agent AND m.number = few.number RETURNING 1)
             SELECT count(*) FROM gone";
        bits(&only(self.query(sql, &[&ended.unix_millis(), &signed(count)])?)?, 0)
    }

    fn take_chore(&mut self, chore: &str, at: Timestamp, last_before: Timestamp) -> Result<bool> {
        let sql = "INSERT INTO farpost.chores AS c (name, last) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET last = excluded.last
             WHERE c.last <= $3 OR c.last > excluded.last RETURNING 1";
        let taken = self.query(sql, &[&chore, &at.unix_millis(), &last_before.unix_millis()])?;
        Ok(!taken.is_empty())
    }
}

fn optional_time(row: &Row, column: usize) -> Result<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_unix_millis))
}

fn record_of(row: &Row) -> Result<MessageRecord> {
    let (expires, ended) = (optional_time(row, 4)?, optional_time(row, 5)?);
    let state = u8::try_from(get::<i16>(row, 7)?).ok().and_then(MessageState::from_number);
    let state = state.ok_or_else(|| corrupt("a state that no release wrote"))?;
    Ok(MessageRecord {
        agent: name(row, 0)?,
        number: bits(row, 1)?,
        sent: time(row, 2)?,
        by: get(row, 3)?,
        expires,
        state,
        ended: ended.or(if state == MessageState::Expired { expires } else { None }),
        bytes: u64::try_from(get::<i32>(row, 6)?).unwrap_or(0),
    })
}
