//! One-time tokens.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::Result;
use crate::group::{TokenHash, TokenRecord};
use crate::name::Name;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, RoleColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

/// The columns of [`record_of`].
macro_rules! select_tokens {
    ($rest:literal) => {
        concat!("SELECT hash, name, role, via, created, expires, used, request FROM tokens ", $rest)
    };
}

pub(super) fn token(connection: &Connection, hash: TokenHash) -> Result<Option<TokenRecord>> {
    let mut select = connection.prepare_cached(select_tokens!("WHERE hash = ?1")).map_err(failure::of)?;
    select.query_row([&hash.0[..]], record_of).optional().map_err(failure::of)
}

pub(super) fn tokens(connection: &Connection) -> Result<Vec<TokenRecord>> {
    let mut select = connection.prepare_cached(select_tokens!("ORDER BY name, created, hash")).map_err(failure::of)?;
    let rows = select.query_map([], record_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

pub(super) fn count(connection: &Connection) -> Result<u64> {
    let mut count = connection.prepare_cached("SELECT count(*) FROM tokens").map_err(failure::of)?;
    count.query_row([], |row| row.get::<_, BitsColumn>(0)).map(|count| count.0).map_err(failure::of)
}

pub(super) fn put(connection: &Connection, record: &TokenRecord) -> Result<()> {
    let mut upsert = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO tokens (hash, name, role, via, created, expires, used, request)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .map_err(failure::of)?;
    let row = (
        &record.hash.0[..],
        record.name.as_str(),
        RoleColumn(record.role),
        record.via.as_ref().map(Name::as_str),
        TimeColumn(record.created),
        TimeColumn(record.expires),
        record.used.map(TimeColumn),
        record.request.as_ref().map(|request| &request[..]),
    );
    upsert.execute(row).map(|_| ()).map_err(failure::of)
}

pub(super) fn remove(connection: &Connection, name: &Name) -> Result<u64> {
    let mut delete = connection.prepare_cached("DELETE FROM tokens WHERE name = ?1").map_err(failure::of)?;
    let count = delete.execute([name.as_str()]).map_err(failure::of)?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

pub(super) fn forget_unused(connection: &Connection, expired: Timestamp) -> Result<()> {
    let mut delete =
        connection.prepare_cached("DELETE FROM tokens WHERE expires <= ?1 AND used IS NULL").map_err(failure::of)?;
    delete.execute([TimeColumn(expired)]).map(|_| ()).map_err(failure::of)
}

pub(super) fn forget(connection: &Connection, expired: Timestamp) -> Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM tokens WHERE expires <= ?1").map_err(failure::of)?;
    delete.execute([TimeColumn(expired)]).map(|_| ()).map_err(failure::of)
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        hash: TokenHash(row.get(0)?),
        name: row.get::<_, NameColumn>(1)?.0,
        role: row.get::<_, RoleColumn>(2)?.0,
        via: row.get::<_, Option<NameColumn>>(3)?.map(|name| name.0),
        created: row.get::<_, TimeColumn>(4)?.0,
        expires: row.get::<_, TimeColumn>(5)?.0,
        used: row.get::<_, Option<TimeColumn>>(6)?.map(|at| at.0),
        request: row.get(7)?,
    })
}
