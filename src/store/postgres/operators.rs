//! Operators.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{Access, OperatorRecord, OperatorState};
use crate::name::Name;
use crate::store::postgres::columns::{get, name, optional_name, text, texts, time, word};
use crate::store::postgres::records::Transaction;
use crate::store::records::{OperatorRecords, Which, operator_keys, operator_keys_of};
use crate::time::Timestamp;

/// The columns of [`record_of`].
macro_rules! select_operators {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, access, since, first_seen, last_seen, address, server, pinned_key
             FROM farpost.operators ",
            $rest
        )
    };
}

impl OperatorRecords for Transaction<'_> {
    fn operators(&mut self, which: Which<'_>) -> Result<Vec<OperatorRecord>> {
        let rows = match which {
            Which::All => self.query(select_operators!("ORDER BY name"), &[])?,
            Which::Named(names) => {
                self.query(select_operators!("WHERE name = ANY($1)"), &[&texts(names.iter().copied())])?
            }
        };
        rows.iter().map(record_of).collect()
    }

    fn put_operators(&mut self, operators: &[&OperatorRecord]) -> Result<()> {
        let sql = "INSERT INTO farpost.operators
                 (name, state, access, since, first_seen, last_seen, address, server, pinned_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (name) DO UPDATE
             SET state = excluded.state, access = excluded.access, since = excluded.since,
                 first_seen = excluded.first_seen, last_seen = excluded.last_seen, address = excluded.address,
                 server = excluded.server, pinned_key = excluded.pinned_key";
        for record in operators {
            let row: [&(dyn ToSql + Sync); 9] = [
                &record.name.as_str(),
                &record.state.as_str(),
                &record.access.as_str(),
                &record.since.unix_millis(),
                &record.first_seen.map(Timestamp::unix_millis),
                &record.last_seen.map(Timestamp::unix_millis),
                &text(&record.address),
                &record.server.as_ref().map(Name::as_str),
                &operator_keys(record),
            ];
            self.query(sql, &row)?;
        }
        Ok(())
    }

    fn remove_operator(&mut self, operator: &Name) -> Result<()> {
        self.query("DELETE FROM farpost.operators WHERE name = $1", &[&operator.as_str()]).map(|_| ())
    }
}

fn record_of(row: &Row) -> Result<OperatorRecord> {
    let optional_time = |column: usize| get::<Option<i64>>(row, column).map(|at| at.map(Timestamp::from_unix_millis));
    let (pinned_key, next_key) = operator_keys_of(get::<Option<Vec<u8>>>(row, 8)?.as_deref())?;
    Ok(OperatorRecord {
        name: name(row, 0)?,
        state: word(row, 1, OperatorState::parse)?,
        access: word(row, 2, Access::parse)?,
        since: time(row, 3)?,
        first_seen: optional_time(4)?,
        last_seen: optional_time(5)?,
        address: get(row, 6)?,
        server: optional_name(row, 7)?,
        pinned_key,
        next_key,
    })
}
