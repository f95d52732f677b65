//! The tables, their versions, and the one row of the group itself.
//!
//! `PRAGMA user_version` is the number of the last migration; they run forward only, all in one transaction. 64-bit
//! numbers without a sign are kept as SQLite's signed ones with the same bits, and compared only in Rust.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::Ed25519KeyPair;
use rusqlite::{Connection, TransactionBehavior};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::group::{GroupKey, UnknownAgents};
use crate::store::sqlite::failure;

/// "FPGS": tells a group store from other SQLite files.
const APPLICATION_ID: i64 = 0x4650_4753;
/// A group's name, in bytes: it travels in HELLO and under signatures.
const GROUP_BYTES_MAX: usize = 255;

/// One text per version; a released one never changes.
pub(super) const MIGRATIONS: [&str; 2] = [include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// What was made with the store and never changes.
pub(super) struct Identity {
    pub(super) group: String,
    pub(super) key: GroupKey,
    pub(super) challenge_secret: [u8; 32],
}

/// Brings the tables to this release's version and reads the group's identity, made first in a new store.
pub(super) fn open(connection: &mut Connection, group: Option<&str>) -> Result<Identity> {
    let version = version(connection)?;
    if version < MIGRATIONS.len() {
        migrate(connection, group)?;
    }
    let identity = read(connection)?;
    match group {
        Some(group) if group != identity.group => Err(Error::new(Code::GroupMismatch)
            .found(printable(&identity.group))
            .expected(printable(group))
            .remedy("correct management_group (case matters) or the store's URL")),
        _ => Ok(identity),
    }
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
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        Ok(_) => Err(Error::new(Code::StoreNewer)
            .found(format!("version {version}"))
            .expected(format!("version {} or less", MIGRATIONS.len()))),
        Err(_) => Err(failure::corrupt("a version below 0")),
    }
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

/// Makes the group: its name, its signing key (rule G6), its challenge secret (rule I6).
fn make(connection: &Connection, group: Option<&str>) -> Result<()> {
    let Some(group) = group else {
        return Err(Error::new(Code::StoreUnavailable)
            .found("an empty file")
            .expected("the store of a group; a management server makes it when it starts"));
    };
    if !is_group_name(group) {
        return Err(Error::new(Code::ConfigBadValue)
            .subject("management_group")
            .found(format!("\"{}\"", printable(group)))
            .expected(format!("1 to {GROUP_BYTES_MAX} bytes without control characters")));
    }
    let no_random = |_| Error::new(Code::Internal).found("no random numbers from the system");
    let random = SystemRandom::new();
    let key = Ed25519KeyPair::generate_pkcs8(&random).map_err(no_random)?;
    let mut challenge_secret = [0; 32];
    random.fill(&mut challenge_secret).map_err(no_random)?;
    connection
        .execute(
            "INSERT INTO management_group (id, name, signing_key, challenge_secret) VALUES (1, ?1, ?2, ?3)",
            (group, key.as_ref(), &challenge_secret[..]),
        )
        .map_err(failure::of)?;
    Ok(())
}

fn read(connection: &Connection) -> Result<Identity> {
    let row = connection.query_row("SELECT name, signing_key, challenge_secret FROM management_group", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, [u8; 32]>(2)?))
    });
    let (group, key, challenge_secret) = row.map_err(failure::of)?;
    if !is_group_name(&group) {
        return Err(failure::corrupt("a group's name that no group can have"));
    }
    let key = GroupKey::from_pkcs8(&Zeroizing::new(key))?;
    Ok(Identity { group, key, challenge_secret })
}

fn is_group_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= GROUP_BYTES_MAX && !text.chars().any(char::is_control)
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
    UnknownAgents::parse(&word).map_err(|_| failure::corrupt("an unknown rule for unknown agents"))
}

pub(super) fn set_unknown_agents(connection: &Connection, unknown_agents: UnknownAgents) -> Result<()> {
    if self::unknown_agents(connection)? == unknown_agents {
        return Ok(());
    }
    let mut update =
        connection.prepare_cached("UPDATE management_group SET unknown_agents = ?1").map_err(failure::of)?;
    update.execute([unknown_agents.as_str()]).map_err(failure::of)?;
    changed(connection)
}
