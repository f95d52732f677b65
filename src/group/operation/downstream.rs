//! Messages to agents (rule D8).

use serde::{Deserialize, Serialize};

use crate::group::{MessageChoice, MessageFilter, Recipients};
use crate::name::Name;

/// About messages to agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DownstreamOperation {
    /// To one agent, for the default time. Answers `Number`, the message's.
    Send {
        agent: Name,
        #[serde(with = "crate::text_form::hexadecimal")]
        payload: Vec<u8>,
    },
    /// To a set of agents: all of them or, where it fails, none. Answers `Sent`.
    SendTo {
        recipients: Recipients,
        valid_for_ms: u64,
        #[serde(with = "crate::text_form::hexadecimal")]
        payload: Vec<u8>,
    },
    /// By agent and number, at most `limit`. Answers `Messages`.
    Messages { filter: MessageFilter, limit: u64 },
    /// Withdraws what is pending, or with `rehearsal` only says how much it is. Answers `Cancelled`.
    Cancel { choice: MessageChoice, rehearsal: bool },
}

impl DownstreamOperation {
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Send { .. } | Self::SendTo { .. } => true,
            Self::Messages { .. } => false,
            Self::Cancel { rehearsal, .. } => !rehearsal,
        }
    }
}
