//! The audit log (rule G4).

use serde::Serialize;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, AuditOperation, By};
use crate::store::records::{NewAuditRecord, Records};

pub(super) fn perform(records: &mut dyn Records, operation: &AuditOperation) -> Result<Answer> {
    let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    match operation {
        AuditOperation::Entries { since, above, limit } => {
            records.audit(*since, *above, count(*limit)).map(Answer::Audit)
        }
        AuditOperation::Refusals { since, limit } => records.refusals(*since, count(*limit)).map(Answer::Refusals),
    }
}

/// Writes the entry of a change, in the change's transaction and under the group's lock.
pub(in crate::store) fn audit<T: Serialize>(
    records: &mut dyn Records,
    by: &By,
    (action, subject): (&str, &str),
    before: Option<&T>,
    after: Option<&T>,
) -> Result<()> {
    let json = |value: Option<&T>| {
        value.map(serde_json::to_string).transpose().map_err(|error| {
            Error::new(Code::Internal).subject("audit log").found(format!("a value that is no JSON: {error}"))
        })
    };
    let (before, after) = (json(before)?, json(after)?);
    records.put_audit(&NewAuditRecord {
        at: by.at,
        author: &by.author,
        action,
        subject,
        before: before.as_deref(),
        after: after.as_deref(),
    })
}
