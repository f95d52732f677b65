//! The store as an output: deliveries and gaps in their cursor's transaction (rule D5a), and a file output's length.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::CursorWrite;
use crate::message::{Epoch, Gap, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::store::sqlite::sessions::Moved;
use crate::store::{Delivery, DeliveryGap, OutputPosition, StoredRun};
use crate::time::Timestamp;
use crate::wire::Content;

/// Writes the runs whose cursor write was not fenced off; of each only what its cursor newly covers.
pub(super) fn store(
    connection: &Connection,
    moves: &[Option<Moved>],
    writes: &[CursorWrite],
    runs: &[StoredRun],
    received: Timestamp,
) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut output = Output::new(connection, received)?;
    for run in runs {
        let (Some(moved), Some(write)) = (moves.get(run.write), writes.get(run.write)) else {
            return Err(Error::new(Code::Internal).found("a delivery without its cursor write"));
        };
        if (&run.agent, run.epoch) != (&write.agent, write.epoch) {
            return Err(Error::new(Code::Internal).found("a delivery under another agent's cursor write"));
        }
        if let Some(moved) = moved {
            output.put(run, *moved)?;
        }
    }
    Ok(())
}

/// The statements of one commit, prepared once.
struct Output<'c> {
    connection: &'c Connection,
    message: CachedStatement<'c>,
    gap: CachedStatement<'c>,
    texts: HashMap<String, i64>,
    received: Timestamp,
}

impl<'c> Output<'c> {
    fn new(connection: &'c Connection, received: Timestamp) -> Result<Self> {
        // A key that is there already was delivered before its epoch was forgotten and came back.
        let message = "INSERT INTO deliveries (agent, epoch, sequence, priority, via, sent, received, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
        let gap = "INSERT INTO gaps (agent, epoch, first, last, reason, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        Ok(Self {
            connection,
            message: connection.prepare_cached(message).map_err(failure::of)?,
            gap: connection.prepare_cached(gap).map_err(failure::of)?,
            texts: HashMap::new(),
            received,
        })
    }

    fn put(&mut self, run: &StoredRun, moved: Moved) -> Result<()> {
        let agent = self.text(run.agent.as_str())?;
        if let Content::Gap(gap) = &run.content {
            return self.put_gap(agent, run.epoch, gap, moved);
        }
        let via = run.via.iter().map(Name::as_str).collect::<Vec<_>>().join(",");
        let via = self.text(&via)?;
        for message in run.content.messages().filter(|message| covers(moved, message.sequence)) {
            self.put_message(agent, via, run.epoch, &message)?;
        }
        Ok(())
    }

    fn put_message(&mut self, agent: i64, via: i64, epoch: Epoch, message: &Numbered) -> Result<()> {
        let (epoch, sequence) = (BitsColumn(epoch.0), BitsColumn(message.sequence.0));
        let (sent, received) = (TimeColumn(message.sent), TimeColumn(self.received));
        let row = (agent, epoch, sequence, message.priority as u8, via, sent, received, &message.payload[..]);
        self.message.execute(row).map(|_| ()).map_err(failure::of)
    }

    fn put_gap(&mut self, agent: i64, epoch: Epoch, gap: &Gap, moved: Moved) -> Result<()> {
        let (first, last) = (gap.first.max(Sequence(moved.from.0.saturating_add(1))), gap.last.min(moved.to));
        if first > last {
            return Ok(());
        }
        let (first, last) = (BitsColumn(first.0), BitsColumn(last.0));
        let row = (agent, BitsColumn(epoch.0), first, last, gap.reason.number(), TimeColumn(self.received));
        self.gap.execute(row).map(|_| ()).map_err(failure::of)
    }

    /// The number of a text, given to it at its first use.
    fn text(&mut self, text: &str) -> Result<i64> {
        if let Some(id) = self.texts.get(text) {
            return Ok(*id);
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO texts (text) VALUES (?1) ON CONFLICT DO NOTHING")
            .map_err(failure::of)?;
        insert.execute([text]).map_err(failure::of)?;
        let mut select = self.connection.prepare_cached("SELECT id FROM texts WHERE text = ?1").map_err(failure::of)?;
        let id = select.query_row([text], |row| row.get(0)).map_err(failure::of)?;
        self.texts.insert(text.to_owned(), id);
        Ok(id)
    }
}

fn covers(moved: Moved, sequence: Sequence) -> bool {
    moved.from < sequence && sequence <= moved.to
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
        let names = via.split(',').filter(|name| !name.is_empty()).map(Name::parse);
        delivery.via = names.collect::<Result<_>>().map_err(|_| failure::corrupt("a path that is no list of names"))?;
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
    (i64::try_from(above).unwrap_or(i64::MAX), i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn set_output_position(connection: &Connection, output: &OutputPosition) -> Result<()> {
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
