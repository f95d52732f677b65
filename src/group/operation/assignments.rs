//! Servers, sites, and which upstreams a node has (rules G3, G6).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::group::{Assignment, SiteName};
use crate::name::Name;

/// About servers, sites and assignments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssignmentsOperation {
    /// Answers `Done`.
    Assign { node: Name, assignment: Assignment },
    /// Takes away what a node or a site was assigned. Answers `Done`.
    Withdraw { target: AssignmentTarget },
    /// Primary and a failover, the first without a name, change places. Answers `Assignment`.
    Swap { target: AssignmentTarget, with: Option<Name> },
    /// What is in force for a node, or for all. Answers `Assignments`.
    Assignments { node: Option<Name> },
    /// Answers `Done`.
    CreateSite { site: SiteName },
    /// Its nodes stay in the group, without what they had from it. Answers `Done`.
    DeleteSite { site: SiteName },
    /// Answers `Done`.
    AssignSite { site: SiteName, assignment: Assignment },
    /// All of them or none. Answers `Number`: how many were not in it yet.
    AddToSite { site: SiteName, nodes: Vec<Name> },
    /// All of them or none. Answers `Number`.
    RemoveFromSite { site: SiteName, nodes: Vec<Name> },
    /// Answers `Sites`.
    Sites,
    /// Answers `ServerUse`: who names the server still.
    SetServerExcluded { server: Name, excluded: bool },
    /// Answers `Servers`.
    Servers,
}

impl AssignmentsOperation {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Servers | Self::Sites | Self::Assignments { .. })
    }
}

/// Whose upstreams are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssignmentTarget {
    /// A gateway's or an agent's own.
    Node(Name),
    /// Those of all nodes of a site that have none of their own.
    Site(SiteName),
}

impl fmt::Display for AssignmentTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => name.fmt(formatter),
            Self::Site(site) => write!(formatter, "site {site}"),
        }
    }
}

/// Who still names a management server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerUse {
    /// Gateways that are approved for it.
    pub gateways: Vec<Name>,
    /// Gateways and agents with it in an assignment of their own.
    pub assigned: Vec<Name>,
    /// Sites with it in their assignment.
    pub sites: Vec<SiteName>,
}

impl ServerUse {
    /// Whether nobody names it.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty() && self.assigned.is_empty() && self.sites.is_empty()
    }
}
