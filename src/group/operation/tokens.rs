//! One-time tokens, with which nodes enrol.

use serde::{Deserialize, Serialize};

use crate::group::TokenHash;
use crate::name::Name;
use crate::role::Role;

/// About one-time tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokensOperation {
    /// Remembers a token by its hash: whoever made it has the token itself. Answers `Done`.
    Create { name: Name, role: Role, via: Option<Name>, valid_for_ms: u64, hash: TokenHash },
    /// Deletes all tokens of a name. Answers `Number`, how many there were.
    Delete { name: Name },
    /// Answers `Tokens`.
    Tokens,
}

impl TokensOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Tokens)
    }
}
