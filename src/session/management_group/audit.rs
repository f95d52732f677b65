//! What was changed, and by whom (rule G4); who was refused, and why (rule G5).

use crate::error::Result;
use crate::group::{Answer, AuditOperation, AuditRecord, RefusedAttempt};
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

    /// The attempts to connect that gateways and management servers refused, of which the last was since a time, the
    /// latest first, at most `limit`: those of one name and address for one reason are one. They are kept for 30 days,
    /// the latest 10,000. A gateway's are here some seconds after it refused them, once it can reach a server.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn refused_attempts(&self, since: Timestamp, limit: usize) -> Result<Vec<RefusedAttempt>> {
        answer!(self.ask(AuditOperation::Refusals { since, limit: limit as u64 }), Refusals)
    }
}
