//! Sessions, fences and cursors (rules D1, D5, F5).

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::Result;
use crate::group::{
    CursorWrite, EPOCHS_MAX, EpochRecord, SessionAnswer, SessionRecord, SessionRequest, cursor_after, open,
};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::{assignments, failure};

/// How far a cursor moved: deliveries above `from`, up to `to`, are new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
}

pub(super) fn open_session(connection: &Connection, request: &SessionRequest) -> Result<SessionAnswer> {
    let before = session(connection, &request.agent)?;
    let (mut answer, after) = open(before.as_ref(), request);
    if let Some(after) = after {
        save(connection, &request.agent, &after)?;
    }
    if let SessionAnswer::Granted(grant) = &mut answer {
        grant.assignment = assignments::signed(connection, &request.agent)?;
    }
    Ok(answer)
}

fn session(connection: &Connection, agent: &Name) -> Result<Option<SessionRecord>> {
    let mut select = connection
        .prepare_cached("SELECT fence, epoch, server, via, opened FROM sessions WHERE agent = ?1")
        .map_err(failure::of)?;
    let record = select.query_row([agent.as_str()], |row| {
        Ok(SessionRecord {
            fence: row.get::<_, BitsColumn>(0)?.0,
            epoch: Epoch(row.get::<_, BitsColumn>(1)?.0),
            server: row.get::<_, NameColumn>(2)?.0,
            via: row.get::<_, Option<NameColumn>>(3)?.map(|via| via.0),
            opened: row.get::<_, TimeColumn>(4)?.0,
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

/// Writes what a grant changed: the session, its epoch, and which epochs are forgotten.
fn save(connection: &Connection, agent: &Name, record: &SessionRecord) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions (agent, fence, epoch, server, via, opened)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .map_err(failure::of)?;
    let (fence, epoch) = (BitsColumn(record.fence), BitsColumn(record.epoch.0));
    let via = record.via.as_ref().map(Name::as_str);
    let opened = TimeColumn(record.opened);
    upsert.execute((agent.as_str(), fence, epoch, record.server.as_str(), via, opened)).map_err(failure::of)?;
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO epochs (agent, epoch, boot, nonce, connection, cursor, fence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .map_err(failure::of)?;
    for known in record.epochs.iter().filter(|known| known.fence == record.fence) {
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

/// The newest grant of an agent, as (fence, epoch).
pub(super) fn current(connection: &Connection, agent: &Name) -> Result<Option<(u64, Epoch)>> {
    let mut select =
        connection.prepare_cached("SELECT fence, epoch FROM sessions WHERE agent = ?1").map_err(failure::of)?;
    let row = select
        .query_row([agent.as_str()], |row| Ok((row.get::<_, BitsColumn>(0)?.0, Epoch(row.get::<_, BitsColumn>(1)?.0))));
    row.optional().map_err(failure::of)
}

/// Moves the cursors whose fence is current; `None` for each that is fenced off.
pub(super) fn move_cursors(connection: &Connection, writes: &[CursorWrite]) -> Result<Vec<Option<Moved>>> {
    let mut select =
        connection.prepare_cached("SELECT cursor FROM epochs WHERE agent = ?1 AND epoch = ?2").map_err(failure::of)?;
    let mut update = connection
        .prepare_cached("UPDATE epochs SET cursor = ?3 WHERE agent = ?1 AND epoch = ?2")
        .map_err(failure::of)?;
    let mut moves = Vec::with_capacity(writes.len());
    for write in writes {
        let key = (write.agent.as_str(), BitsColumn(write.epoch.0));
        let cursor = select.query_row(key, |row| row.get::<_, BitsColumn>(0)).optional().map_err(failure::of)?;
        let from = cursor.map_or(Sequence::NONE, |cursor| Sequence(cursor.0));
        let moved = cursor_after(current(connection, &write.agent)?, from, write).map(|to| Moved { from, to });
        if let Some(Moved { to, .. }) = moved.filter(|moved| moved.to > moved.from) {
            let (agent, epoch) = (write.agent.as_str(), BitsColumn(write.epoch.0));
            update.execute((agent, epoch, BitsColumn(to.0))).map_err(failure::of)?;
        }
        moves.push(moved);
    }
    Ok(moves)
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
