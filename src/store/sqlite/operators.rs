//! Operators.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::group::OperatorRecord;
use crate::name::Name;
use crate::store::records::{OperatorRecords, Which, operator_keys, operator_keys_of};
use crate::store::sqlite::approvals::select;
use crate::store::sqlite::columns::{NameColumn, TimeColumn, WordColumn};
use crate::store::sqlite::failure;

/// The columns of [`record_of`].
macro_rules! select_operators {
    ($rest:literal) => {
        concat!(
            "SELECT name, state, access, since, first_seen, last_seen, address, server, pinned_key FROM operators ",
            $rest
        )
    };
}

impl OperatorRecords for &Connection {
    fn operators(&mut self, which: Which<'_>) -> Result<Vec<OperatorRecord>> {
        let (all, named) = (select_operators!("ORDER BY name"), select_operators!("WHERE name = ?1"));
        select(self, which, all, named, record_of)
    }

    fn put_operators(&mut self, operators: &[&OperatorRecord]) -> Result<()> {
        let mut upsert = self
            .prepare_cached(
                "INSERT OR REPLACE INTO operators
                     (name, state, access, since, first_seen, last_seen, address, server, pinned_key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .map_err(failure::of)?;
        for record in operators {
            let row = (
                record.name.as_str(),
                record.state.as_str(),
                record.access.as_str(),
                TimeColumn(record.since),
                record.first_seen.map(TimeColumn),
                record.last_seen.map(TimeColumn),
                &record.address,
                record.server.as_ref().map(Name::as_str),
                operator_keys(record),
            );
            upsert.execute(row).map_err(failure::of)?;
        }
        Ok(())
    }

    fn remove_operator(&mut self, operator: &Name) -> Result<()> {
        let mut delete = self.prepare_cached("DELETE FROM operators WHERE name = ?1").map_err(failure::of)?;
        delete.execute([operator.as_str()]).map(|_| ()).map_err(failure::of)
    }
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<OperatorRecord> {
    let keys = row.get::<_, Option<Vec<u8>>>(8)?;
    let (pinned_key, next_key) = operator_keys_of(keys.as_deref()).map_err(FromSqlError::other)?;
    Ok(OperatorRecord {
        name: row.get::<_, NameColumn>(0)?.0,
        state: row.get::<_, WordColumn<_>>(1)?.0,
        access: row.get::<_, WordColumn<_>>(2)?.0,
        since: row.get::<_, TimeColumn>(3)?.0,
        first_seen: row.get::<_, Option<TimeColumn>>(4)?.map(|at| at.0),
        last_seen: row.get::<_, Option<TimeColumn>>(5)?.map(|at| at.0),
        address: row.get(6)?,
        server: row.get::<_, Option<NameColumn>>(7)?.map(|name| name.0),
        pinned_key,
        next_key,
    })
}
