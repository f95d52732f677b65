//! What was changed, and by whom (rule G4).

use crate::error::Result;
use crate::group::{Answer, AuditOperation, AuditRecord};
use crate::session::management_group::{ManagementGroup, answer};
use crate::time::Timestamp;

impl ManagementGroup {
    /// The entries of the audit log since a time and above a number (0: from the beginning), oldest first, at most
    /// `limit`. Nobody can change or delete one through farpost.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn audit(&self, since: Timestamp, above: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        answer!(self.ask(AuditOperation::Entries { since, above, limit: limit as u64 }), Audit)
    }
}
