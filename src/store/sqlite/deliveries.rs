//! Deliveries, gaps, and a file output's length.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use crate::code::Code;
use crate::error::Result;
use crate::group::{Delivery, DeliveryGap};
use crate::message::{Epoch, Gap, Priority, Sequence};
use crate::name::Name;
use crate::store::OutputPosition;
use crate::store::records::{StoredGap, StoredMessage, path_of, signed};
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::{days, failure};
use crate::time::Timestamp;

pub(super) fn put(connection: &Connection, messages: &[StoredMessage<'_>], received: Timestamp) -> Result<()> {
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO deliveries (agent, epoch, sequence, priority, via, sent, received, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )
        .map_err(failure::of)?;
    let (mut texts, received) = (Texts::new(connection), TimeColumn(received));
    let above = days::highest(connection)?;
    for StoredMessage { agent, via, epoch, message, .. } in messages {
        let (agent, via) = (texts.number(agent.as_str())?, texts.number(via)?);
        let (epoch, sequence) = (BitsColumn(epoch.0), BitsColumn(message.sequence.0));
        let (priority, sent) = (message.priority as u8, TimeColumn(message.sent));
        let row = (agent, epoch, sequence, priority, via, sent, &received, &message.payload[..]);
        insert.execute(row).map_err(failure::of)?;
    }
    days::note(connection, above, received.0)
}

pub(super) fn put_gaps(connection: &Connection, gaps: &[StoredGap<'_>], received: Timestamp) -> Result<()> {
    let mut insert = connection
        .prepare_cached(
            "INSERT INTO gaps (agent, epoch, first, last, reason, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .map_err(failure::of)?;
    let mut texts = Texts::new(connection);
    for StoredGap { agent, epoch, gap } in gaps {
        let (agent, epoch) = (texts.number(agent.as_str())?, BitsColumn(epoch.0));
        let (first, last) = (BitsColumn(gap.first.0), BitsColumn(gap.last.0));
        insert.execute((agent, epoch, first, last, gap.reason.number(), TimeColumn(received))).map_err(failure::of)?;
    }
    Ok(())
}

/// The numbers of texts, each looked up once.
struct Texts<'c, 't> {
    connection: &'c Connection,
    known: HashMap<&'t str, i64>,
}

impl<'c, 't> Texts<'c, 't> {
    fn new(connection: &'c Connection) -> Self {
        Self { connection, known: HashMap::new() }
    }

    /// The number of a text, given to it at its first use.
    fn number(&mut self, text: &'t str) -> Result<i64> {
        if let Some(id) = self.known.get(text) {
            return Ok(*id);
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO texts (text) VALUES (?1) ON CONFLICT DO NOTHING")
            .map_err(failure::of)?;
        insert.execute([text]).map_err(failure::of)?;
        let mut select = self.connection.prepare_cached("SELECT id FROM texts WHERE text = ?1").map_err(failure::of)?;
        let id = select.query_row([text], |row| row.get(0)).map_err(failure::of)?;
        self.known.insert(text, id);
        Ok(id)
    }
}

pub(super) fn deliveries(connection: &Connection, above: u64, count: usize) -> Result<Vec<Delivery>> {
    let mut select = connection
        .prepare_cached(
            "SELECT d.id, a.text, v.text, d.epoch, d.sequence, d.priority, d.sent, d.received, d.payload
             FROM deliveries d JOIN texts a ON a.id = d.agent JOIN texts v ON v.id = d.via
             WHERE d.id > ?1 ORDER BY d.id LIMIT ?2",
        )
        .map_err(failure::of)?;
    let rows = select.query_map(page(above, count), |row| {
        let delivery = Delivery {
            number: row.get::<_, BitsColumn>(0)?.0,
            agent: row.get::<_, NameColumn>(1)?.0,
            via: Vec::new(),
            epoch: Epoch(row.get::<_, BitsColumn>(3)?.0),
            sequence: Sequence(row.get::<_, BitsColumn>(4)?.0),
            priority: Priority::from_number(row.get(5)?).unwrap_or_default(),
            sent: row.get::<_, TimeColumn>(6)?.0,
            received: row.get::<_, TimeColumn>(7)?.0,
            payload: row.get::<_, Vec<u8>>(8)?.into(),
        };
        Ok((delivery, row.get::<_, String>(2)?))
    });
    let mut deliveries = Vec::new();
    for row in rows.map_err(failure::of)? {
        let (mut delivery, via) = row.map_err(failure::of)?;
        delivery.via = path_of(&via)?;
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

pub(super) fn delivery_count(connection: &Connection) -> Result<u64> {
    let mut count = connection.prepare_cached("SELECT count(*) FROM deliveries").map_err(failure::of)?;
    count.query_row([], |row| row.get::<_, BitsColumn>(0)).map(|count| count.0).map_err(failure::of)
}

pub(super) fn gaps(connection: &Connection, above: u64, count: usize) -> Result<Vec<DeliveryGap>> {
    let mut select = connection
        .prepare_cached(
            "SELECT g.id, a.text, g.epoch, g.first, g.last, g.reason, g.received
             FROM gaps g JOIN texts a ON a.id = g.agent WHERE g.id > ?1 ORDER BY g.id LIMIT ?2",
        )
        .map_err(failure::of)?;
    let rows = select.query_map(page(above, count), |row| {
        let bits = |column| row.get::<_, BitsColumn>(column).map(|bits| bits.0);
        Ok(DeliveryGap {
            number: bits(0)?,
            agent: row.get::<_, NameColumn>(1)?.0,
            epoch: Epoch(bits(2)?),
            gap: Gap {
                first: Sequence(bits(3)?),
                last: Sequence(bits(4)?),
                // A newer release's reason: that it is missing is what an older one can say.
                reason: Code::from_number(row.get(5)?).unwrap_or(Code::NotHeld),
            },
            received: row.get::<_, TimeColumn>(6)?.0,
        })
    });
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

fn page(above: u64, count: usize) -> (i64, i64) {
    (signed(above), i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn put_output_position(connection: &Connection, output: &OutputPosition) -> Result<()> {
    let mut upsert = connection
        .prepare_cached("INSERT OR REPLACE INTO output_positions (server, path, length) VALUES (?1, ?2, ?3)")
        .map_err(failure::of)?;
    upsert.execute((output.server.as_str(), &output.path, BitsColumn(output.length))).map(|_| ()).map_err(failure::of)
}

pub(super) fn output_position(connection: &Connection, server: &Name, path: &str) -> Result<Option<u64>> {
    let mut select = connection
        .prepare_cached("SELECT length FROM output_positions WHERE server = ?1 AND path = ?2")
        .map_err(failure::of)?;
    let length = select.query_row((server.as_str(), path), |row| row.get::<_, BitsColumn>(0)).optional();
    Ok(length.map_err(failure::of)?.map(|length| length.0))
}
