//! Deliveries, gaps, and a file output's length.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::code::Code;
use crate::error::Result;
use crate::group::{Delivery, DeliveryGap};
use crate::message::{Epoch, Gap, Priority, Sequence};
use crate::name::Name;
use crate::store::OutputPosition;
use crate::store::postgres::columns::{bits, get, name, text, time};
use crate::store::postgres::records::Transaction;
use crate::store::records::{StoredGap, StoredMessage, corrupt, path_of, signed};
use crate::time::Timestamp;

/// Takes numbers and stores messages under them, those of which `$rest` says so.
macro_rules! put {
    ($rest:literal) => {
        concat!(
            "WITH given AS (UPDATE farpost.output_numbers SET deliveries = deliveries + $1 RETURNING deliveries)
             INSERT INTO farpost.deliveries (id, agent, epoch, sequence, priority, via, sent, received, payload)
             SELECT given.deliveries - $1 + m.position, m.agent, m.epoch, m.sequence, m.priority, m.via, m.sent, $2,
                    m.payload
             FROM given, unnest($3::text[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[], $8::bigint[],
                                $9::bytea[])
                  WITH ORDINALITY AS m(agent, epoch, sequence, priority, via, sent, payload, position) ",
            $rest,
            " ON CONFLICT DO NOTHING"
        )
    };
}
/// A key is unique within a partition; across them it is since its cursor moved over it only once.
const PUT: &str = put!("");
/// Where an epoch came back that was forgotten, its cursor does not say what is stored: every day is looked at.
const PUT_NEW: &str = put!(
    "WHERE NOT EXISTS (SELECT FROM farpost.deliveries d
                       WHERE d.agent = m.agent AND d.epoch = m.epoch AND d.sequence = m.sequence)"
);

pub(super) fn put(records: &mut Transaction<'_>, messages: &[StoredMessage<'_>], received: Timestamp) -> Result<()> {
    let agents: Vec<&str> = messages.iter().map(|stored| stored.agent.as_str()).collect();
    let vias: Vec<&str> = messages.iter().map(|stored| stored.via).collect();
    let epochs: Vec<i64> = messages.iter().map(|stored| stored.epoch.0.cast_signed()).collect();
    let sequences: Vec<i64> = messages.iter().map(|stored| stored.message.sequence.0.cast_signed()).collect();
    let priorities: Vec<i16> = messages.iter().map(|stored| stored.message.priority as i16).collect();
    let sent: Vec<i64> = messages.iter().map(|stored| stored.message.sent.unix_millis()).collect();
    let payloads: Vec<&[u8]> = messages.iter().map(|stored| &stored.message.payload[..]).collect();
    let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    let sql = if messages.iter().any(|stored| stored.may_be_stored) { PUT_NEW } else { PUT };
    let row: [&(dyn ToSql + Sync); 9] =
        [&count, &received.unix_millis(), &agents, &epochs, &sequences, &priorities, &vias, &sent, &payloads];
    records.query(sql, &row).map(|_| ())
}

pub(super) fn put_gaps(records: &mut Transaction<'_>, gaps: &[StoredGap<'_>], received: Timestamp) -> Result<()> {
    let agents: Vec<&str> = gaps.iter().map(|stored| stored.agent.as_str()).collect();
    let epochs: Vec<i64> = gaps.iter().map(|stored| stored.epoch.0.cast_signed()).collect();
    let firsts: Vec<i64> = gaps.iter().map(|stored| stored.gap.first.0.cast_signed()).collect();
    let lasts: Vec<i64> = gaps.iter().map(|stored| stored.gap.last.0.cast_signed()).collect();
    let reasons: Vec<i32> = gaps.iter().map(|stored| i32::from(stored.gap.reason.number())).collect();
    let count = i64::try_from(gaps.len()).unwrap_or(i64::MAX);
    let sql = "WITH given AS (UPDATE farpost.output_numbers SET gaps = gaps + $1 RETURNING gaps)
         INSERT INTO farpost.gaps (id, agent, epoch, first, last, reason, received)
         SELECT given.gaps - $1 + m.position, m.agent, m.epoch, m.first, m.last, m.reason, $2
         FROM given, unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[])
              WITH ORDINALITY AS m(agent, epoch, first, last, reason, position)
         ON CONFLICT DO NOTHING";
    let row: [&(dyn ToSql + Sync); 7] = [&count, &received.unix_millis(), &agents, &epochs, &firsts, &lasts, &reasons];
    records.query(sql, &row).map(|_| ())
}

pub(super) fn deliveries(records: &mut Transaction<'_>, above: u64, count: usize) -> Result<Vec<Delivery>> {
    let sql = "SELECT id, agent, via, epoch, sequence, priority, sent, received, payload FROM farpost.deliveries
         WHERE id > $1 ORDER BY id LIMIT $2";
    let delivery_of = |row: &Row| {
        let priority = u8::try_from(get::<i16>(row, 5)?).ok().and_then(Priority::from_number);
        Ok(Delivery {
            number: bits(row, 0)?,
            agent: name(row, 1)?,
            via: path_of(&get::<String>(row, 2)?)?,
            epoch: Epoch(bits(row, 3)?),
            sequence: Sequence(bits(row, 4)?),
            priority: priority.unwrap_or_default(),
            sent: time(row, 6)?,
            received: time(row, 7)?,
            payload: get::<Vec<u8>>(row, 8)?.into(),
        })
    };
    records.query(sql, &[&signed(above), &limit(count)])?.iter().map(delivery_of).collect()
}

pub(super) fn gaps(records: &mut Transaction<'_>, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
    let sql = "SELECT id, agent, epoch, first, last, reason, received FROM farpost.gaps
         WHERE id > $1 ORDER BY id LIMIT $2";
    let gap_of = |row: &Row| {
        let number = u16::try_from(get::<i32>(row, 5)?).map_err(|_| corrupt("a reason that is no code"))?;
        // A newer release's reason: that it is missing is what an older one can say.
        let reason = Code::from_number(number).unwrap_or(Code::NotHeld);
        Ok(DeliveryGap {
            number: bits(row, 0)?,
            agent: name(row, 1)?,
            epoch: Epoch(bits(row, 2)?),
            gap: Gap { first: Sequence(bits(row, 3)?), last: Sequence(bits(row, 4)?), reason },
            received: time(row, 6)?,
        })
    };
    records.query(sql, &[&signed(above), &limit(count)])?.iter().map(gap_of).collect()
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn put_output_position(records: &mut Transaction<'_>, output: &OutputPosition) -> Result<()> {
    let sql = "INSERT INTO farpost.output_positions (server, path, length) VALUES ($1, $2, $3)
         ON CONFLICT (server, path) DO UPDATE SET length = excluded.length";
    let length = output.length.cast_signed();
    records.query(sql, &[&output.server.as_str(), &text(&output.path), &length]).map(|_| ())
}

pub(super) fn output_position(records: &mut Transaction<'_>, server: &Name, path: &str) -> Result<Option<u64>> {
    let sql = "SELECT length FROM farpost.output_positions WHERE server = $1 AND path = $2";
    let rows = records.query(sql, &[&server.as_str(), &text(path)])?;
    rows.first().map(|row| bits(row, 0)).transpose()
}
