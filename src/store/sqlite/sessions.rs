//! Sessions, fences and cursors.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::Result;
use crate::group::{EPOCHS_MAX, EpochRecord, Returns, SessionRecord};
use crate::limits::CLONE_RETURNS_MIN;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::records::CurrentCursor;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

pub(super) fn sessions(connection: &Connection, agents: &[&Name]) -> Result<Vec<(Name, SessionRecord)>> {
    let of = |agent: &&Name| Ok(session(connection, agent)?.map(|record| ((*agent).clone(), record)));
    agents.iter().filter_map(|agent| of(agent).transpose()).collect()
}

fn session(connection: &Connection, agent: &Name) -> Result<Option<SessionRecord>> {
    let mut select = connection
        .prepare_cached("SELECT fence, epoch, server, via, opened, returns, returned FROM sessions WHERE agent = ?1")
        .map_err(failure::of)?;
    let record = select.query_row([agent.as_str()], |row| {
        Ok(SessionRecord {
            fence: row.get::<_, BitsColumn>(0)?.0,
            epoch: Epoch(row.get::<_, BitsColumn>(1)?.0),
            server: row.get::<_, NameColumn>(2)?.0,
            via: row.get::<_, Option<NameColumn>>(3)?.map(|via| via.0),
            opened: row.get::<_, TimeColumn>(4)?.0,
            returns: Returns { count: row.get(5)?, last: row.get::<_, TimeColumn>(6)?.0 },
            epochs: Vec::new(),
        })
    });
    let Some(mut record) = record.optional().map_err(failure::of)? else { return Ok(None) };
    let mut select = connection
        .prepare_cached("SELECT epoch, boot, nonce, connection, cursor, fence FROM epochs WHERE agent = ?1")
        .map_err(failure::of)?;
    let rows = select.query_map([agent.as_str()], epoch_of).map_err(failure::of)?;
    record.epochs = rows.take(EPOCHS_MAX).collect::<rusqlite::Result<_>>().map_err(failure::of)?;
    Ok(Some(record))
}

fn epoch_of(row: &Row<'_>) -> rusqlite::Result<EpochRecord> {
    let bits = |column| row.get::<_, BitsColumn>(column).map(|bits| bits.0);
    Ok(EpochRecord {
        epoch: Epoch(bits(0)?),
        boot: bits(1)?,
        nonce: bits(2)?,
        connection: bits(3)?,
        cursor: Sequence(bits(4)?),
        fence: bits(5)?,
    })
}

/// Writes a session with its epochs, and forgets the others.
pub(super) fn put(connection: &Connection, agent: &Name, record: &SessionRecord) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions (agent, fence, epoch, server, via, opened, returns, returned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .map_err(failure::of)?;
    let (fence, epoch) = (BitsColumn(record.fence), BitsColumn(record.epoch.0));
    let via = record.via.as_ref().map(Name::as_str);
    let (opened, server) = (TimeColumn(record.opened), record.server.as_str());
    let (returns, returned) = (record.returns.count, TimeColumn(record.returns.last));
    upsert.execute((agent.as_str(), fence, epoch, server, via, opened, returns, returned)).map_err(failure::of)?;
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO epochs (agent, epoch, boot, nonce, connection, cursor, fence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .map_err(failure::of)?;
    for known in &record.epochs {
        let [epoch, boot, nonce] = [known.epoch.0, known.boot, known.nonce].map(BitsColumn);
        let [number, cursor, fence] = [known.connection, known.cursor.0, known.fence].map(BitsColumn);
        upsert.execute((agent.as_str(), epoch, boot, nonce, number, cursor, fence)).map_err(failure::of)?;
    }
    forget(connection, agent, record)
}

fn forget(connection: &Connection, agent: &Name, record: &SessionRecord) -> Result<()> {
    if record.epochs.len() < EPOCHS_MAX {
        return Ok(());
    }
    let kept: HashSet<_> = record.epochs.iter().map(|known| known.epoch).collect();
    let mut select = connection.prepare_cached("SELECT epoch FROM epochs WHERE agent = ?1").map_err(failure::of)?;
    let rows = select.query_map([agent.as_str()], |row| row.get::<_, BitsColumn>(0)).map_err(failure::of)?;
    let stored: Vec<_> = rows.collect::<rusqlite::Result<_>>().map_err(failure::of)?;
    let mut delete =
        connection.prepare_cached("DELETE FROM epochs WHERE agent = ?1 AND epoch = ?2").map_err(failure::of)?;
    for epoch in stored.into_iter().filter(|epoch| !kept.contains(&Epoch(epoch.0))) {
        delete.execute((agent.as_str(), epoch)).map_err(failure::of)?;
    }
    Ok(())
}

pub(super) fn current(connection: &Connection, agents: &[&Name]) -> Result<Vec<CurrentCursor>> {
    let mut select = connection
        .prepare_cached(
            "SELECT s.fence, s.epoch, e.cursor FROM sessions s JOIN epochs e ON e.agent = s.agent AND e.epoch = s.epoch
             WHERE s.agent = ?1",
        )
        .map_err(failure::of)?;
    let one = |agent: &&Name| {
        let of = |row: &Row<'_>| {
            let bits = |column| row.get::<_, BitsColumn>(column).map(|bits| bits.0);
            let (fence, epoch, cursor) = (bits(0)?, Epoch(bits(1)?), Sequence(bits(2)?));
            // Its key is unique over all that is stored.
            Ok(CurrentCursor { agent: (*agent).clone(), fence, epoch, cursor, stored: Sequence(0) })
        };
        select.query_row([agent.as_str()], of).optional().transpose()
    };
    agents.iter().filter_map(one).collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn put_cursors(connection: &Connection, cursors: &[&CurrentCursor]) -> Result<()> {
    let mut update = connection
        .prepare_cached("UPDATE epochs SET cursor = ?3 WHERE agent = ?1 AND epoch = ?2")
        .map_err(failure::of)?;
    for moved in cursors {
        let row = (moved.agent.as_str(), BitsColumn(moved.epoch.0), BitsColumn(moved.cursor.0));
        update.execute(row).map_err(failure::of)?;
    }
    Ok(())
}

pub(super) fn cursors(connection: &Connection) -> Result<Vec<(Name, Epoch, Sequence)>> {
    let mut select = connection
        .prepare_cached("SELECT agent, epoch, cursor FROM epochs ORDER BY agent, fence")
        .map_err(failure::of)?;
    let rows = select.query_map([], |row| {
        let [epoch, cursor] = [row.get::<_, BitsColumn>(1)?, row.get::<_, BitsColumn>(2)?];
        Ok((row.get::<_, NameColumn>(0)?.0, Epoch(epoch.0), Sequence(cursor.0)))
    });
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn clones(connection: &Connection) -> Result<Vec<(Name, Timestamp)>> {
    let mut select = connection
        .prepare_cached("SELECT agent, returned FROM sessions WHERE returns >= ?1 ORDER BY agent")
        .map_err(failure::of)?;
    let rows = select
        .query_map([CLONE_RETURNS_MIN], |row| Ok((row.get::<_, NameColumn>(0)?.0, row.get::<_, TimeColumn>(1)?.0)));
    rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
}
