//! Servers, sites, and which upstreams a node has (rules G3, G6).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::Error;
use crate::group::{Assignment, NamePattern, SiteName};
use crate::name::Name;
use crate::role::Role;

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
    /// The same for a choice: all of them or none, or with `rehearsal` nothing. Answers `Names`: whose place changes.
    ChangeSite { site: SiteName, nodes: NodeChoice, change: SiteChange, rehearsal: bool },
    /// Answers `Sites`.
    Sites,
    /// Answers `ServerUse`: who names the server still.
    SetServerExcluded { server: Name, excluded: bool },
    /// Removes one that has stopped and that nobody names. Answers `Server`: what it was.
    DeleteServer { server: Name },
    /// Answers `Servers`.
    Servers,
}

impl AssignmentsOperation {
    pub(crate) fn is_change(&self) -> bool {
        let is_rehearsal = matches!(self, Self::ChangeSite { rehearsal: true, .. });
        !is_rehearsal && !matches!(self, Self::Servers | Self::Sites | Self::Assignments { .. })
    }
}

/// Some gateways and agents: by their names, or all that the group knows and a pattern fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChoice {
    pub(crate) names: Vec<Name>,
    pub(crate) pattern: Option<NamePattern>,
    /// Of those that fit the pattern only gateways, or only agents.
    pub(crate) role: Option<Role>,
}

impl NodeChoice {
    /// Nodes by their names.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`].
    pub fn named<N: AsRef<str>>(names: &[N]) -> Result<Self, Error> {
        let names: Result<_, _> = names.iter().map(|name| Name::parse(name.as_ref())).collect();
        Ok(Self { names: names?, ..Self::default() })
    }

    /// All gateways and agents that fit a pattern, or only those of one of these roles. Who is rejected or was deleted
    /// is not among them.
    ///
    /// # Errors
    ///
    /// [`Code::PatternUnreadable`]; [`Code::ArgumentInvalid`] for another role.
    pub fn fitting(pattern: &str, role: Option<Role>) -> Result<Self, Error> {
        match role {
            None | Some(Role::Gateway | Role::Agent) => {
                Ok(Self { pattern: Some(NamePattern::parse(pattern)?), role, ..Self::default() })
            }
            Some(other) => {
                let error = Error::new(Code::ArgumentInvalid).subject("the role of a site's nodes");
                Err(error.found(other.to_string()).expected("gateway or agent"))
            }
        }
    }
}

/// What becomes of nodes and a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SiteChange {
    /// They are put into it.
    Add,
    /// They are taken out of it.
    Remove,
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
