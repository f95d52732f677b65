//! The group's signing key.

use rusqlite::{Connection, Row, ToSql};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::group::KeySuccession;
use crate::store::records::{KeyRecords, StoredKey, signed};
use crate::store::sqlite::columns::{BitsColumn, TimeColumn};
use crate::store::sqlite::failure;

impl KeyRecords for &Connection {
    fn signing_key(&mut self) -> Result<StoredKey> {
        let sql = "SELECT signing_key, key_version, key_since, versions_from, challenge_secret FROM management_group";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        select.query_row([], stored_of).map_err(failure::of)
    }

    fn put_signing_key(&mut self, key: &StoredKey) -> Result<()> {
        let sql = "UPDATE management_group
             SET signing_key = ?1, key_version = ?2, key_since = ?3, versions_from = ?4, challenge_secret = ?5";
        let (since, secret) = (key.since.map(TimeColumn), &key.challenge_secret[..]);
        execute(self, sql, &[&&key.pkcs8[..], &signed(key.version), &since, &signed(key.versions_from), &secret])
    }

    fn successions(&mut self, through: u64) -> Result<Vec<KeySuccession>> {
        let sql = "SELECT body, signature FROM successions WHERE number <= ?1 ORDER BY number";
        let mut select = self.prepare_cached(sql).map_err(failure::of)?;
        let rows = select.query_map([signed(through)], |row| {
            let (body, signature) = (row.get::<_, Vec<u8>>(0)?.into(), row.get::<_, Vec<u8>>(1)?.into());
            Ok(KeySuccession { body, signature })
        });
        rows.map_err(failure::of)?.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn put_succession(&mut self, version: u64, succession: &KeySuccession) -> Result<()> {
        let sql = "INSERT INTO successions (number, body, signature) VALUES (?1, ?2, ?3)";
        execute(self, sql, &[&signed(version), &&succession.body[..], &&succession.signature[..]])
    }

    fn forget_successions(&mut self, before: u64) -> Result<()> {
        execute(self, "DELETE FROM successions WHERE number < ?1", &[&signed(before)])
    }
}

fn stored_of(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        pkcs8: Zeroizing::new(row.get(0)?),
        version: row.get::<_, BitsColumn>(1)?.0,
        since: row.get::<_, Option<TimeColumn>>(2)?.map(|since| since.0),
        versions_from: row.get::<_, BitsColumn>(3)?.0,
        challenge_secret: Zeroizing::new(row.get(4)?),
    })
}

fn execute(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<()> {
    let mut statement = connection.prepare_cached(sql).map_err(failure::of)?;
    statement.execute(row).map(|_| ()).map_err(failure::of)
}
