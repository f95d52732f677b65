//! Who may ask from afar (rule G1).

use serde::{Deserialize, Serialize};

use crate::group::Access;
use crate::identity::KeyHash;
use crate::name::Name;

/// About operators.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperatorsOperation {
    /// Lets an operator in, before or after it first came, with this access and key. Answers `Done`.
    ApproveOperator { operator: Name, access: Access, key: Option<KeyHash> },
    /// Keeps a name out as operator. Answers `Done`.
    RejectOperator { operator: Name },
    /// Forgets an operator. Answers `Done`.
    DeleteOperator { operator: Name },
    /// Answers `Operators`.
    Operators,
}

impl OperatorsOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Operators)
    }
}
