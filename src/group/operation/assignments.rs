//! Servers, and which upstreams a node has (rules G3, G6).

use serde::{Deserialize, Serialize};

use crate::group::Assignment;
use crate::name::Name;

/// About servers and assignments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssignmentsOperation {
    /// Answers `Done`.
    Assign { node: Name, assignment: Assignment },
    /// Answers `Done`.
    SetServerExcluded { server: Name, excluded: bool },
    /// Answers `Servers`.
    Servers,
}

impl AssignmentsOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Servers)
    }
}
