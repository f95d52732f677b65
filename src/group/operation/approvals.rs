//! Who may come in (rule G1).

use serde::{Deserialize, Serialize};

use crate::group::UnknownAgents;
use crate::name::Name;

/// About gateways and agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApprovalsOperation {
    /// Answers `Done`.
    ApproveGateway { gateway: Name, parent: Name },
    /// Answers `Done`.
    DeleteGateway { gateway: Name },
    /// Answers `Done`.
    ApproveAgent { agent: Name },
    /// Answers `Done`.
    RejectAgent { agent: Name },
    /// Answers `Done`.
    SetUnknownAgents { unknown_agents: UnknownAgents },
    /// Answers `Gateways`.
    Gateways,
    /// Answers `Agents`.
    Agents,
    /// Answers `UnknownAgents`.
    UnknownAgents,
}

impl ApprovalsOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Gateways | Self::Agents | Self::UnknownAgents)
    }
}
