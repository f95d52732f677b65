//! The tables, their versions, and the one row of the group itself, in the schema `farpost` of the database.
//!
//! `farpost.versions` has a row per migration that was run; they run forward only, all in one transaction, under a
//! lock of the database.

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::identity::{GroupIdentity, NewGroup, check_version};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;

/// One text per version; a released one never changes.
pub(super) const MIGRATIONS: [&str; 11] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
];
/// "FPGS" as a number: whoever migrates holds this advisory lock.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(1179666259)";

/// Whether the tables have this release's version. With `group` an empty database will do: it is to be migrated.
pub(super) fn is_current(records: &mut Transaction<'_>, group: Option<&str>) -> Result<bool> {
    let version = version(records)?;
    if version == 0 && group.is_none() {
        NewGroup::make(None, "a database without a group store")?;
    }
    Ok(version == MIGRATIONS.len())
}

/// Brings the tables to this release's version, in the transaction that is open; makes the group in new ones.
pub(super) fn migrate(records: &mut Transaction<'_>, group: Option<&str>) -> Result<()> {
    records.query(MIGRATION_LOCK, &[])?;
    // Read under the lock: another process may have done it while this one waited.
    let from = version(records)?;
    if from == 0 {
        if !has_schema(records)? {
            records.run("CREATE SCHEMA farpost; REVOKE ALL ON SCHEMA farpost FROM PUBLIC")?;
        }
        records.run("CREATE TABLE farpost.versions (version bigint PRIMARY KEY, migrated timestamptz NOT NULL)")?;
    }
    for (number, text) in (1_i64..).zip(MIGRATIONS).skip(from) {
        records.run_long(text)?;
        records.query("INSERT INTO farpost.versions VALUES ($1, now())", &[&number])?;
    }
    if from == 0 {
        let new = NewGroup::make(group, "a database without a group store")?;
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&new.name, &&new.signing_key[..], &&new.challenge_secret[..]];
        records.query(
            "INSERT INTO farpost.management_group (id, name, signing_key, challenge_secret) VALUES (1, $1, $2, $3)",
            &row,
        )?;
    }
    Ok(())
}

/// The version of the tables; 0 if there are none.
fn version(records: &mut Transaction<'_>) -> Result<usize> {
    let found = records.query(
        "SELECT count(*) > 0, coalesce(bool_or(c.relname = 'versions'), false)
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'farpost'",
        &[],
    )?;
    let row = only(found)?;
    match (records.get::<bool>(&row, 0)?, records.get::<bool>(&row, 1)?) {
        (false, _) => Ok(0),
        (true, true) => {
            let row = only(records.query("SELECT coalesce(max(version), 0) FROM farpost.versions", &[])?)?;
            check_version(records.get(&row, 0)?, MIGRATIONS.len())
        }
        (true, false) => Err(Error::new(Code::StoreUnavailable)
            .found("a schema farpost of another program")
            .expected("a group store, or no schema of that name")
            .remedy("correct the store's URL")),
    }
}

fn has_schema(records: &mut Transaction<'_>) -> Result<bool> {
    Ok(!records.query("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'farpost'", &[])?.is_empty())
}

/// The group's identity.
pub(super) fn read(records: &mut Transaction<'_>, group: Option<&str>) -> Result<GroupIdentity> {
    let rows = records.query("SELECT name, signing_key, challenge_secret FROM farpost.management_group", &[])?;
    let row = only(rows)?;
    let key = Zeroizing::new(records.get::<Vec<u8>>(&row, 1)?);
    let secret = Zeroizing::new(records.get::<Vec<u8>>(&row, 2)?);
    let secret = <[u8; 32]>::try_from(&secret[..])
        .map_err(|_| crate::store::records::corrupt("a challenge secret that is not 32 bytes long"))?;
    GroupIdentity::read(records.get(&row, 0)?, &key, secret, group)
}
