//! The group's signing key (rule G6). Its private half is in no operation and no answer.

use serde::{Deserialize, Serialize};

/// About the group's signing key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeysOperation {
    /// Answers `Key`.
    Key,
    /// Puts a new key in the place of the one of this version, and signs all assignments anew. Answers `KeyRotation`.
    Rotate { version: u64 },
}

impl KeysOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Key)
    }
}
