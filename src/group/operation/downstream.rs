//! Messages to agents (rule D8).

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// About messages to agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DownstreamOperation {
    /// Answers `Number`, the message's.
    Send {
        agent: Name,
        #[serde(with = "crate::text_form::hexadecimal")]
        payload: Vec<u8>,
    },
}

impl DownstreamOperation {
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Send { .. } => true,
        }
    }
}
