//! Sessions, fences and cursors.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{EPOCHS_MAX, EpochRecord, Returns, SessionRecord};
use crate::limits::CLONE_RETURNS_MIN;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::store::postgres::columns::{bits, name, optional_name, texts, time};
use crate::store::postgres::records::Transaction;
use crate::store::records::CurrentCursor;
use crate::time::Timestamp;

/// Locks the rows of these agents in the order of their names; answers how many there are.
pub(super) fn lock(records: &mut Transaction<'_>, agents: &[&Name]) -> Result<usize> {
    let sql = "SELECT 1 FROM farpost.sessions WHERE agent = ANY($1) ORDER BY agent FOR UPDATE";
    Ok(records.query(sql, &[&texts(agents.iter().copied())])?.len())
}

/// The same where some may have no session yet: a row is put there to be locked. Whoever opens the same agent's first
/// session waits for it.
pub(super) fn lock_new(records: &mut Transaction<'_>, agents: &[&Name]) -> Result<()> {
    if lock(records, agents)? == agents.len() {
        return Ok(());
    }
    let sql = "INSERT INTO farpost.sessions (agent, fence, epoch, server, opened)
         SELECT agent, 0, 0, '', 0 FROM unnest($1::text[]) AS agent ON CONFLICT DO NOTHING";
    records.query(sql, &[&texts(agents.iter().copied())])?;
    lock(records, agents).map(|_| ())
}

pub(super) fn sessions(records: &mut Transaction<'_>, agents: &[&Name]) -> Result<Vec<(Name, SessionRecord)>> {
    let names = texts(agents.iter().copied());
    let sql = "SELECT agent, epoch, boot, nonce, connection, cursor, fence FROM farpost.epochs
         WHERE agent = ANY($1) AND forgotten IS NULL ORDER BY fence";
    let mut epochs: HashMap<Name, Vec<EpochRecord>> = HashMap::new();
    for row in &records.query(sql, &[&names])? {
        epochs.entry(name(row, 0)?).or_default().push(epoch_of(row)?);
    }
    let sql = "SELECT agent, fence, epoch, server, via, opened, returns, returned FROM farpost.sessions
         WHERE agent = ANY($1) AND fence <> 0";
    let session_of = |row: &Row| {
        let agent = name(row, 0)?;
        let mut epochs = epochs.remove(&agent).unwrap_or_default();
        let excess = epochs.len().saturating_sub(EPOCHS_MAX);
        epochs.drain(..excess);
        let record = SessionRecord {
            fence: bits(row, 1)?,
            epoch: Epoch(bits(row, 2)?),
            server: name(row, 3)?,
            via: optional_name(row, 4)?,
            opened: time(row, 5)?,
            returns: Returns { count: u32::try_from(bits(row, 6)?).unwrap_or(u32::MAX), last: time(row, 7)? },
            epochs,
        };
        Ok((agent, record))
    };
    records.query(sql, &[&names])?.iter().map(session_of).collect()
}

fn epoch_of(row: &Row) -> Result<EpochRecord> {
    Ok(EpochRecord {
        epoch: Epoch(bits(row, 1)?),
        boot: bits(row, 2)?,
        nonce: bits(row, 3)?,
        connection: bits(row, 4)?,
        cursor: Sequence(bits(row, 5)?),
        fence: bits(row, 6)?,
    })
}

/// Writes sessions with their epochs, and forgets the others.
pub(super) fn put(records: &mut Transaction<'_>, sessions: &[(&Name, &SessionRecord)]) -> Result<()> {
    let agents = texts(sessions.iter().map(|(agent, _)| *agent));
    let numbers = |number: fn(&SessionRecord) -> u64| -> Vec<i64> {
        sessions.iter().map(|(_, record)| number(record).cast_signed()).collect()
    };
    let servers = texts(sessions.iter().map(|(_, record)| &record.server));
    let vias: Vec<_> = sessions.iter().map(|(_, record)| record.via.as_ref().map(Name::as_str)).collect();
    let opened: Vec<_> = sessions.iter().map(|(_, record)| record.opened.unix_millis()).collect();
    let returns: Vec<_> = sessions.iter().map(|(_, record)| i64::from(record.returns.count)).collect();
    let returned: Vec<_> = sessions.iter().map(|(_, record)| record.returns.last.unix_millis()).collect();
    let sql = "INSERT INTO farpost.sessions (agent, fence, epoch, server, via, opened, returns, returned)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[],
                              $7::bigint[], $8::bigint[])
         ON CONFLICT (agent) DO UPDATE
         SET fence = excluded.fence, epoch = excluded.epoch, server = excluded.server, via = excluded.via,
             opened = excluded.opened, returns = excluded.returns, returned = excluded.returned";
    let (fences, epochs) = (numbers(|record| record.fence), numbers(|record| record.epoch.0));
    let row: [&(dyn ToSql + Sync); 8] = [&agents, &fences, &epochs, &servers, &vias, &opened, &returns, &returned];
    records.query(sql, &row)?;
    put_epochs(records, sessions)?;
    forget(records, sessions)
}

fn put_epochs(records: &mut Transaction<'_>, sessions: &[(&Name, &SessionRecord)]) -> Result<()> {
    let all: Vec<(&Name, &EpochRecord)> =
        sessions.iter().flat_map(|(agent, record)| record.epochs.iter().map(|epoch| (*agent, epoch))).collect();
    let agents = texts(all.iter().map(|(agent, _)| *agent));
    let numbers = |number: fn(&EpochRecord) -> u64| -> Vec<i64> {
        all.iter().map(|(_, epoch)| number(epoch).cast_signed()).collect()
    };
    let sql = "INSERT INTO farpost.epochs (agent, epoch, boot, nonce, connection, cursor, fence)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                              $7::bigint[])
         ON CONFLICT (agent, epoch) DO UPDATE
         SET boot = excluded.boot, nonce = excluded.nonce, connection = excluded.connection,
             cursor = excluded.cursor, fence = excluded.fence, forgotten = NULL,
             stored = CASE WHEN epochs.forgotten IS NULL THEN epochs.stored
                           ELSE greatest(epochs.stored, epochs.cursor) END";
    let row: [&(dyn ToSql + Sync); 7] = [
        &agents,
        &numbers(|epoch| epoch.epoch.0),
        &numbers(|epoch| epoch.boot),
        &numbers(|epoch| epoch.nonce),
        &numbers(|epoch| epoch.connection),
        &numbers(|epoch| epoch.cursor.0),
        &numbers(|epoch| epoch.fence),
    ];
    records.query(sql, &row).map(|_| ())
}

/// A forgotten epoch is marked: should it come back, what it delivered before is not stored twice.
///
/// Only an agent that has all the epochs it may have can have one too many.
fn forget(records: &mut Transaction<'_>, sessions: &[(&Name, &SessionRecord)]) -> Result<()> {
    let full: HashSet<&Name> =
        sessions.iter().filter(|(_, record)| record.epochs.len() >= EPOCHS_MAX).map(|(agent, _)| *agent).collect();
    if full.is_empty() {
        return Ok(());
    }
    let kept = sessions.iter().filter(|(agent, _)| full.contains(agent));
    let kept = kept.flat_map(|(agent, record)| record.epochs.iter().map(|epoch| (agent.as_str(), epoch.epoch.0)));
    let (agents, epochs): (Vec<&str>, Vec<i64>) = kept.map(|(agent, epoch)| (agent, epoch.cast_signed())).unzip();
    let sql = "UPDATE farpost.epochs e SET forgotten = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
         WHERE e.agent = ANY($1) AND e.forgotten IS NULL AND NOT EXISTS
             (SELECT FROM unnest($1::text[], $2::bigint[]) AS k(agent, epoch)
              WHERE k.agent = e.agent AND k.epoch = e.epoch)";
    records.query(sql, &[&agents, &epochs]).map(|_| ())
}

pub(super) fn current(records: &mut Transaction<'_>, agents: &[&Name]) -> Result<Vec<CurrentCursor>> {
    let sql = "SELECT s.agent, s.fence, s.epoch, e.cursor, e.stored
         FROM farpost.sessions s JOIN farpost.epochs e ON e.agent = s.agent AND e.epoch = s.epoch
         WHERE s.agent = ANY($1) AND s.fence <> 0";
    let cursor_of = |row: &Row| {
        let (agent, fence, epoch) = (name(row, 0)?, bits(row, 1)?, Epoch(bits(row, 2)?));
        Ok(CurrentCursor { agent, fence, epoch, cursor: Sequence(bits(row, 3)?), stored: Sequence(bits(row, 4)?) })
    };
    records.query(sql, &[&texts(agents.iter().copied())])?.iter().map(cursor_of).collect()
}

pub(super) fn put_cursors(records: &mut Transaction<'_>, cursors: &[&CurrentCursor]) -> Result<()> {
    let agents = texts(cursors.iter().map(|moved| &moved.agent));
    let epochs: Vec<i64> = cursors.iter().map(|moved| moved.epoch.0.cast_signed()).collect();
    let through: Vec<i64> = cursors.iter().map(|moved| moved.cursor.0.cast_signed()).collect();
    let sql = "UPDATE farpost.epochs e SET cursor = m.cursor
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS m(agent, epoch, cursor)
         WHERE e.agent = m.agent AND e.epoch = m.epoch";
    records.query(sql, &[&agents, &epochs, &through]).map(|_| ())
}

pub(super) fn cursors(records: &mut Transaction<'_>) -> Result<Vec<(Name, Epoch, Sequence)>> {
    const CURSORS: &str =
        "SELECT agent, epoch, cursor FROM farpost.epochs WHERE forgotten IS NULL ORDER BY agent, fence";
    let rows = records.query(CURSORS, &[])?;
    rows.iter().map(|row| Ok((name(row, 0)?, Epoch(bits(row, 1)?), Sequence(bits(row, 2)?)))).collect()
}

pub(super) fn clones(records: &mut Transaction<'_>) -> Result<Vec<(Name, Timestamp)>> {
    let sql = "SELECT agent, returned FROM farpost.sessions WHERE returns >= $1 ORDER BY agent";
    let clone_of = |row: &Row| Ok((name(row, 0)?, time(row, 1)?));
    records.query(sql, &[&i64::from(CLONE_RETURNS_MIN)])?.iter().map(clone_of).collect()
}
