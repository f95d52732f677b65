//! The audit log.

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::group::{AuditRecord, Author};
use crate::store::records::{AuditRecords, NewAuditRecord, signed};
use crate::store::sqlite::columns::{BitsColumn, TimeColumn, WordColumn};
use crate::store::sqlite::failure;
use crate::time::Timestamp;

impl AuditRecords for &Connection {
    fn put_audit(&mut self, record: &NewAuditRecord<'_>) -> Result<()> {
        let mut insert = self
            .prepare_cached(
                "INSERT INTO audit (at, kind, author, origin, action, subject, before, after)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .map_err(failure::of)?;
        let row = (
            TimeColumn(record.at),
            record.author.kind.as_str(),
            &record.author.name,
            &record.author.from,
            record.action,
            record.subject,
            record.before,
            record.after,
        );
        insert.execute(row).map(|_| ()).map_err(failure::of)
    }

    fn audit(&mut self, since: Timestamp, above: u64, count: usize) -> Result<Vec<AuditRecord>> {
        let mut select = self
            .prepare_cached(
                "SELECT number, at, kind, author, origin, action, subject, before, after FROM audit
                 WHERE number > ?1 AND at >= ?2 ORDER BY number LIMIT ?3",
            )
            .map_err(failure::of)?;
        let parameters = (signed(above), TimeColumn(since), signed(count as u64));
        let rows = select.query_map(parameters, record_of).map_err(failure::of)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        number: row.get::<_, BitsColumn>(0)?.0,
        at: row.get::<_, TimeColumn>(1)?.0,
        author: Author { kind: row.get::<_, WordColumn<_>>(2)?.0, name: row.get(3)?, from: row.get(4)? },
        action: row.get(5)?,
        subject: row.get(6)?,
        before: row.get(7)?,
        after: row.get(8)?,
    })
}
