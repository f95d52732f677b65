//! What was changed, and by whom (rule G4); who was refused, and why (rule G5).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// About the audit log and refused attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditOperation {
    /// Entries since a time and above a number, oldest first, at most `limit`. Answers `Audit`.
    Entries { since: Timestamp, above: u64, limit: u64 },
    /// Attempts to connect that were refused since a time, the latest first, at most `limit`. Answers `Refusals`.
    Refusals { since: Timestamp, limit: u64 },
}

impl AuditOperation {
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Entries { .. } | Self::Refusals { .. } => false,
        }
    }
}
