//! One-time tokens: made, used once, forgotten.

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{TokenAnswer, TokenHash, TokenRecord, TokenUse, may_create_token, may_enrol};
use crate::limits::{TOKEN_REMEMBERED, TOKENS_MAX};
use crate::name::Name;
use crate::store::sqlite::columns::{BitsColumn, NameColumn, RoleColumn, TimeColumn};
use crate::store::sqlite::{approvals, failure};

/// The columns of [`record_of`].
macro_rules! select_tokens {
    ($rest:literal) => {
        concat!("SELECT hash, name, role, via, created, expires, used, request FROM tokens ", $rest)
    };
}
pub(super) fn create(connection: &Connection, record: &TokenRecord) -> Result<()> {
    check_name(connection, record)?;
    let remembered = i64::try_from(TOKEN_REMEMBERED.as_millis()).unwrap_or(i64::MAX);
    let now = record.created.unix_millis();
    let forget = |sql: &str, before: i64| -> Result<()> {
        let mut delete = connection.prepare_cached(sql).map_err(failure::of)?;
        delete.execute([before]).map(|_| ()).map_err(failure::of)
    };
    forget("DELETE FROM tokens WHERE expires <= ?1", now.saturating_sub(remembered))?;
    // Where there is no room, first those go that only tell their users that they are late, then those that wait for an
    // answer.
    for sql in ["DELETE FROM tokens WHERE expires <= ?1 AND used IS NULL", "DELETE FROM tokens WHERE expires <= ?1"] {
        if count(connection)? >= TOKENS_MAX {
            forget(sql, now)?;
        }
    }
    may_create_token(record, count(connection)?)?;
    let mut insert = connection
        .prepare_cached("INSERT INTO tokens (hash, name, role, via, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .map_err(failure::of)?;
    let via = record.via.as_ref().map(Name::as_str);
    let (created, expires) = (TimeColumn(record.created), TimeColumn(record.expires));
    let row = (&record.hash.0[..], record.name.as_str(), RoleColumn(record.role), via, created, expires);
    insert.execute(row).map(|_| ()).map_err(failure::of)
}

/// Looks at what the group decided about a name, which may have changed since its token was made.
fn check_name(connection: &Connection, record: &TokenRecord) -> Result<()> {
    let name = &record.name;
    let (agent, gateway) = (approvals::agent(connection, name)?, approvals::gateway(connection, name)?);
    may_enrol(name, record.role, agent.as_ref(), gateway.as_ref())
}

fn count(connection: &Connection) -> Result<u64> {
    let mut count = connection.prepare_cached("SELECT count(*) FROM tokens").map_err(failure::of)?;
    count.query_row([], |row| row.get::<_, BitsColumn>(0)).map(|count| count.0).map_err(failure::of)
}

/// Uses a token, or refuses and leaves it as it is; both in the caller's transaction.
pub(super) fn use_once(connection: &Connection, ask: &TokenUse) -> Result<TokenAnswer> {
    let mut select = connection.prepare_cached(select_tokens!("WHERE hash = ?1")).map_err(failure::of)?;
    let record = select.query_row([&ask.hash.0[..]], record_of).optional().map_err(failure::of)?;
    let answer = crate::group::use_token(record.as_ref(), ask)?;
    if let Some(record) = &record {
        check_name(connection, record)?;
    }
    if answer == TokenAnswer::First {
        let mut update = connection
            .prepare_cached("UPDATE tokens SET used = ?2, request = ?3 WHERE hash = ?1 AND request IS NULL")
            .map_err(failure::of)?;
        let row = (&ask.hash.0[..], TimeColumn(ask.at), &ask.request[..]);
        if update.execute(row).map_err(failure::of)? != 1 {
            return Err(Error::new(Code::Internal).subject("group store").found("a token that changed meanwhile"));
        }
    }
    Ok(answer)
}

pub(super) fn tokens(connection: &Connection) -> Result<Vec<TokenRecord>> {
    let mut select = connection.prepare_cached(select_tokens!("ORDER BY name, created, hash")).map_err(failure::of)?;
    let rows = select.query_map([], record_of).map_err(failure::of)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
}

/// Deletes all tokens of a name; how many there were.
pub(super) fn delete(connection: &Connection, name: &Name) -> Result<u64> {
    let mut delete = connection.prepare_cached("DELETE FROM tokens WHERE name = ?1").map_err(failure::of)?;
    match delete.execute([name.as_str()]).map_err(failure::of)? {
        0 => Err(Error::new(Code::TokenUnknown)
            .subject(name.as_str())
            .found("no token of this name")
            .expected("one of farpost token list")),
        count => Ok(u64::try_from(count).unwrap_or(u64::MAX)),
    }
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
