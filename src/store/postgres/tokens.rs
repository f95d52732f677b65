//! One-time tokens.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{TokenHash, TokenRecord};
use crate::name::Name;
use crate::role::Role;
use crate::store::postgres::columns::{bits, bytes, get, name, optional_name, time};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::corrupt;
use crate::time::Timestamp;

/// The columns of [`record_of`].
macro_rules! select_tokens {
    ($rest:literal) => {
        concat!("SELECT hash, name, role, via, created, expires, used, request FROM farpost.tokens ", $rest)
    };
}

pub(super) fn token(records: &mut Transaction<'_>, hash: TokenHash) -> Result<Option<TokenRecord>> {
    let rows = records.query(select_tokens!("WHERE hash = $1"), &[&&hash.0[..]])?;
    rows.first().map(record_of).transpose()
}

pub(super) fn tokens(records: &mut Transaction<'_>) -> Result<Vec<TokenRecord>> {
    records.query(select_tokens!("ORDER BY name, created, hash"), &[])?.iter().map(record_of).collect()
}

pub(super) fn count(records: &mut Transaction<'_>) -> Result<u64> {
    bits(&only(records.query("SELECT count(*) FROM farpost.tokens", &[])?)?, 0)
}

pub(super) fn put(records: &mut Transaction<'_>, record: &TokenRecord) -> Result<()> {
    let sql = "INSERT INTO farpost.tokens (hash, name, role, via, created, expires, used, request)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (hash) DO UPDATE
         SET name = excluded.name, role = excluded.role, via = excluded.via, created = excluded.created,
             expires = excluded.expires, used = excluded.used, request = excluded.request";
    let row: [&(dyn ToSql + Sync); 8] = [
        &&record.hash.0[..],
        &record.name.as_str(),
        &i16::from(record.role as u8),
        &record.via.as_ref().map(Name::as_str),
        &record.created.unix_millis(),
        &record.expires.unix_millis(),
        &record.used.map(Timestamp::unix_millis),
        &record.request.as_ref().map(|request| &request[..]),
    ];
    records.query(sql, &row).map(|_| ())
}

pub(super) fn remove(records: &mut Transaction<'_>, name: &Name) -> Result<u64> {
    let sql = "WITH gone AS (DELETE FROM farpost.tokens WHERE name = $1 RETURNING 1) SELECT count(*) FROM gone";
    bits(&only(records.query(sql, &[&name.as_str()])?)?, 0)
}

pub(super) fn forget_unused(records: &mut Transaction<'_>, expired: Timestamp) -> Result<()> {
    let sql = "DELETE FROM farpost.tokens WHERE expires <= $1 AND used IS NULL";
    records.query(sql, &[&expired.unix_millis()]).map(|_| ())
}

pub(super) fn forget(records: &mut Transaction<'_>, expired: Timestamp) -> Result<()> {
    records.query("DELETE FROM farpost.tokens WHERE expires <= $1", &[&expired.unix_millis()]).map(|_| ())
}

fn record_of(row: &Row) -> Result<TokenRecord> {
    let role = u32::try_from(get::<i16>(row, 2)?).ok().and_then(Role::from_number);
    Ok(TokenRecord {
        hash: bytes(row, 0)?.map(TokenHash).ok_or_else(|| corrupt("a token without a hash"))?,
        name: name(row, 1)?,
        role: role.ok_or_else(|| corrupt("a role that no node has"))?,
        via: optional_name(row, 3)?,
        created: time(row, 4)?,
        expires: time(row, 5)?,
        used: get::<Option<i64>>(row, 6)?.map(Timestamp::from_unix_millis),
        request: bytes(row, 7)?,
    })
}
