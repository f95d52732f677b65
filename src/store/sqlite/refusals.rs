//! Refused attempts.

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::group::RefusedAttempt;
use crate::name::Name;
use crate::role::Role;
use crate::store::records::{RefusalRecords, signed};
use crate::store::sqlite::columns::{BitsColumn, NameColumn, TimeColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

impl RefusalRecords for &Connection {
    fn add_refusals(&mut self, refused: &[RefusedAttempt]) -> Result<()> {
        let mut upsert = self
            .prepare_cached(
                "INSERT INTO refusals (refuser, name, role, address, code, text, first, last, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (refuser, name, role, address, code) DO UPDATE
                 SET text = excluded.text, first = min(first, excluded.first), last = max(last, excluded.last),
                     count = count + excluded.count",
            )
            .map_err(failure::of)?;
        for one in refused {
            let row = (
                one.by.as_str(),
                one.name.as_ref().map_or("", Name::as_str),
                one.role.map_or(0, |role| role as u8),
                &one.address,
                one.code,
                &one.text,
                TimeColumn(one.first),
                TimeColumn(one.last),
                signed(one.count),
            );
            upsert.execute(row).map_err(failure::of)?;
        }
        Ok(())
    }

    fn forget_refusals(&mut self, before: Timestamp, strangers: u64, most: u64) -> Result<()> {
        let mut old = self.prepare_cached("DELETE FROM refusals WHERE last < ?1").map_err(failure::of)?;
        old.execute([TimeColumn(before)]).map_err(failure::of)?;
        for (condition, bound) in [("name = ''", strangers), ("true", most)] {
            let sql = format!(
                "DELETE FROM refusals WHERE (refuser, name, role, address, code) IN
                 (SELECT refuser, name, role, address, code FROM refusals WHERE {condition}
                  ORDER BY last DESC LIMIT -1 OFFSET ?1)"
            );
            let mut rest = self.prepare_cached(&sql).map_err(failure::of)?;
            rest.execute([signed(bound)]).map_err(failure::of)?;
        }
        Ok(())
    }

    fn refusals(&mut self, since: Timestamp, count: usize) -> Result<Vec<RefusedAttempt>> {
        let mut select = self
            .prepare_cached(
                "SELECT refuser, name, role, address, code, text, first, last, count FROM refusals
                 WHERE last >= ?1 ORDER BY last DESC, refuser, name, role, address, code LIMIT ?2",
            )
            .map_err(failure::of)?;
        let rows = select.query_map((TimeColumn(since), signed(count as u64)), record_of).map_err(failure::of)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<RefusedAttempt> {
    let name: String = row.get(1)?;
    Ok(RefusedAttempt {
        by: row.get::<_, NameColumn>(0)?.0,
        name: if name.is_empty() { None } else { Some(row.get::<_, NameColumn>(1)?.0) },
        role: Role::from_number(row.get(2)?),
        address: row.get(3)?,
        code: row.get(4)?,
        text: row.get(5)?,
        first: row.get::<_, TimeColumn>(6)?.0,
        last: row.get::<_, TimeColumn>(7)?.0,
        count: row.get::<_, BitsColumn>(8)?.0,
    })
}
