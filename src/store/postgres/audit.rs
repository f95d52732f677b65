//! The audit log.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{AuditRecord, Author, AuthorKind};
use crate::store::postgres::columns::{bits, get, time, word};
use crate::store::postgres::records::Transaction;
use crate::store::records::{AuditRecords, NewAuditRecord, signed};
use crate::time::Timestamp;

impl AuditRecords for Transaction<'_> {
    fn put_audit(&mut self, record: &NewAuditRecord<'_>) -> Result<()> {
        let sql = "INSERT INTO farpost.audit (number, at, kind, author, origin, action, subject, before, after)
             SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM farpost.audit";
        let row: [&(dyn ToSql + Sync); 8] = [
            &record.at.unix_millis(),
            &record.author.kind.as_str(),
            &record.author.name,
            &record.author.from,
            &record.action,
            &record.subject,
            &record.before,
            &record.after,
        ];
        self.query(sql, &row).map(|_| ())
    }

    fn audit(&mut self, since: Timestamp, above: u64, count: usize) -> Result<Vec<AuditRecord>> {
        let sql = "SELECT number, at, kind, author, origin, action, subject, before, after FROM farpost.audit
             WHERE number > $1 AND at >= $2 ORDER BY number LIMIT $3";
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.query(sql, &[&signed(above), &since.unix_millis(), &count])?.iter().map(record_of).collect()
    }
}

fn record_of(row: &Row) -> Result<AuditRecord> {
    Ok(AuditRecord {
        number: bits(row, 0)?,
        at: time(row, 1)?,
        author: Author { kind: word(row, 2, AuthorKind::parse)?, name: get(row, 3)?, from: get(row, 4)? },
        action: get(row, 5)?,
        subject: get(row, 6)?,
        before: get(row, 7)?,
        after: get(row, 8)?,
    })
}
