//! The tables, their versions, and the one row of the group itself.
//!
//! `PRAGMA user_version` is the number of the last migration; they run forward only, all in one transaction. 64-bit
//! numbers without a sign are kept as SQLite's signed ones with the same bits, and compared only in Rust.

use rusqlite::{Connection, TransactionBehavior};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::UnknownAgents;
use crate::store::identity::{GroupIdentity, NewGroup, check_version};
use crate::store::records::corrupt;
use crate::store::sqlite::failure;

/// "FPGS": tells a group store from other SQLite files.
const APPLICATION_ID: i64 = 0x4650_4753;

/// One text per version; a released one never changes.
pub(super) const MIGRATIONS: [&str; 12] = [
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
    include_str!("schema_12.sql"),
];

/// Brings the tables to this release's version and reads the group's identity, made first in a new store.
pub(super) fn open(connection: &mut Connection, group: Option<&str>) -> Result<GroupIdentity> {
    let version = version(connection)?;
    if version < MIGRATIONS.len() {
        migrate(connection, group)?;
    }
    read(connection, group)
}

/// The version of the tables; 0 in an empty file.
fn version(connection: &Connection) -> Result<usize> {
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failure::of);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failure::of)?;
    if application != APPLICATION_ID && (tables > 0 || version != 0) {
        return Err(Error::new(Code::StoreUnavailable)
            .found("an SQLite file of another program")
            .expected("a group store")
            .remedy("correct the store's URL"));
    }
    check_version(version, MIGRATIONS.len())
}

fn migrate(connection: &mut Connection, group: Option<&str>) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure::of)?;
    // Read again: another process may have done it while this one waited.
    let from = version(&transaction)?;
    for text in &MIGRATIONS[from..] {
        transaction.execute_batch(text).map_err(failure::of)?;
    }
    if from == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failure::of)?;
        make(&transaction, group)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64).map_err(failure::of)?;
    transaction.commit().map_err(failure::of)
}

/// Makes the group.
fn make(connection: &Connection, group: Option<&str>) -> Result<()> {
    let new = NewGroup::make(group, "an empty file")?;
    connection
        .execute(
            "INSERT INTO management_group (id, name, signing_key, challenge_secret) VALUES (1, ?1, ?2, ?3)",
            (&new.name, &new.signing_key[..], &new.challenge_secret[..]),
        )
        .map(|_| ())
        .map_err(failure::of)
}

fn read(connection: &Connection, wanted: Option<&str>) -> Result<GroupIdentity> {
    let row = connection.query_row("SELECT name, signing_key, challenge_secret FROM management_group", [], |row| {
        Ok((row.get::<_, String>(0)?, Zeroizing::new(row.get::<_, Vec<u8>>(1)?), row.get::<_, [u8; 32]>(2)?))
    });
    let (name, key, challenge_secret) = row.map_err(failure::of)?;
    GroupIdentity::read(name, &key, challenge_secret, wanted)
}

/// The number that rises with every change which nodes or operators follow.
pub(super) fn change(connection: &Connection) -> Result<u64> {
    let mut select = connection.prepare_cached("SELECT change FROM management_group").map_err(failure::of)?;
    select.query_row([], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned).map_err(failure::of)
}

/// Moves that number, in the transaction of what changed.
pub(super) fn changed(connection: &Connection) -> Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE management_group SET change = change + 1").map_err(failure::of)?;
    update.execute([]).map(|_| ()).map_err(failure::of)
}

pub(super) fn unknown_agents(connection: &Connection) -> Result<UnknownAgents> {
    let mut select = connection.prepare_cached("SELECT unknown_agents FROM management_group").map_err(failure::of)?;
    let word = select.query_row([], |row| row.get::<_, String>(0)).map_err(failure::of)?;
    UnknownAgents::parse(&word).map_err(|_| corrupt("an unknown rule for unknown agents"))
}

pub(super) fn put_unknown_agents(connection: &Connection, unknown_agents: UnknownAgents) -> Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE management_group SET unknown_agents = ?1").map_err(failure::of)?;
    update.execute([unknown_agents.as_str()]).map(|_| ()).map_err(failure::of)
}
