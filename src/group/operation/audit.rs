//! What was changed, and by whom (rule G4).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// About the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditOperation {
    /// Entries since a time and above a number, oldest first, at most `limit`. Answers `Audit`.
    Entries { since: Timestamp, above: u64, limit: u64 },
}

impl AuditOperation {
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Entries { .. } => false,
        }
    }
}
