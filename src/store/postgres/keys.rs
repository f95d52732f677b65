//! The group's signing key.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use zeroize::Zeroizing;

use crate::error::Result;
use crate::group::KeySuccession;
use crate::store::postgres::columns::{bits, bytes, get};
use crate::store::postgres::connection::only;
use crate::store::postgres::records::Transaction;
use crate::store::records::{KeyRecords, StoredKey, corrupt, signed};
use crate::time::Timestamp;

impl KeyRecords for Transaction<'_> {
    fn signing_key(&mut self) -> Result<StoredKey> {
        let sql =
            "SELECT signing_key, key_version, key_since, versions_from, challenge_secret FROM farpost.management_group";
        let row = only(self.query(sql, &[])?)?;
        Ok(StoredKey {
            pkcs8: Zeroizing::new(get(&row, 0)?),
            version: bits(&row, 1)?,
            since: get::<Option<i64>>(&row, 2)?.map(Timestamp::from_unix_millis),
            versions_from: bits(&row, 3)?,
            challenge_secret: Zeroizing::new(
                bytes(&row, 4)?.ok_or_else(|| corrupt("a group without a secret for its challenges"))?,
            ),
        })
    }

    fn put_signing_key(&mut self, key: &StoredKey) -> Result<()> {
        let sql = "UPDATE farpost.management_group
             SET signing_key = $1, key_version = $2, key_since = $3, versions_from = $4, challenge_secret = $5";
        let since = key.since.map(Timestamp::unix_millis);
        let secret = &key.challenge_secret[..];
        let row: [&(dyn ToSql + Sync); 5] =
            [&&key.pkcs8[..], &signed(key.version), &since, &signed(key.versions_from), &secret];
        self.query(sql, &row).map(|_| ())
    }

    fn successions(&mut self, through: u64) -> Result<Vec<KeySuccession>> {
        let sql = "SELECT body, signature FROM farpost.successions WHERE number <= $1 ORDER BY number";
        let rows = self.query(sql, &[&signed(through)])?;
        let succession = |row: &Row| {
            let (body, signature) = (get::<Vec<u8>>(row, 0)?.into(), get::<Vec<u8>>(row, 1)?.into());
            Ok(KeySuccession { body, signature })
        };
        rows.iter().map(succession).collect()
    }

    fn put_succession(&mut self, version: u64, succession: &KeySuccession) -> Result<()> {
        let sql = "INSERT INTO farpost.successions (number, body, signature) VALUES ($1, $2, $3)";
        let row: [&(dyn ToSql + Sync); 3] = [&signed(version), &&succession.body[..], &&succession.signature[..]];
        self.query(sql, &row).map(|_| ())
    }

    fn forget_successions(&mut self, before: u64) -> Result<()> {
        self.query("DELETE FROM farpost.successions WHERE number < $1", &[&signed(before)]).map(|_| ())
    }
}
