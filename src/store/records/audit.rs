//! The audit log's records (rule G4).

use crate::error::Result;
use crate::group::{AuditRecord, Author};
use crate::time::Timestamp;

/// A new entry of the audit log.
#[derive(Clone, Debug)]
pub(in crate::store) struct NewAuditRecord<'a> {
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) author: &'a Author,
    pub(in crate::store) action: &'a str,
    pub(in crate::store) subject: &'a str,
    /// JSON.
    pub(in crate::store) before: Option<&'a str>,
    pub(in crate::store) after: Option<&'a str>,
}

/// The audit log: it is only ever appended to.
pub(in crate::store) trait AuditRecords {
    /// Appends under the next number.
    fn put_audit(&mut self, record: &NewAuditRecord<'_>) -> Result<()>;
    /// Entries since a time and above a number, oldest first, at most `count`.
    fn audit(&mut self, since: Timestamp, above: u64, count: usize) -> Result<Vec<AuditRecord>>;
}
