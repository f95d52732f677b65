//! Which nodes somebody wants to see.

use serde::{Deserialize, Serialize};

use crate::group::pattern::NamePattern;
use crate::group::standing::{NodeStanding, NodeState};
use crate::name::Name;
use crate::role::Role;

/// Which nodes of an overview; what is left empty takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeFilter {
    /// Of these roles.
    pub roles: Vec<Role>,
    /// In these states.
    pub states: Vec<NodeState>,
    /// This gateway, and who is or was behind it.
    pub gateway: Option<Name>,
    /// This management server, and who is or was at it.
    pub server: Option<Name>,
    /// Whose name fits.
    pub name: Option<NamePattern>,
}

impl NodeFilter {
    /// Whether a node is one of those.
    pub fn takes(&self, node: &NodeStanding) -> bool {
        let is_or_has = |wanted: &Option<Name>, own: bool, path: &[Name]| {
            wanted.as_ref().is_none_or(|name| (own && node.name == *name) || path.contains(name))
        };
        (self.roles.is_empty() || self.roles.contains(&node.role))
            && (self.states.is_empty() || self.states.contains(&node.state))
            && is_or_has(&self.gateway, node.role == Role::Gateway, &node.via)
            && is_or_has(&self.server, node.role == Role::ManagementServer, node.server.as_slice())
            && self.name.as_ref().is_none_or(|pattern| pattern.fits(&node.name))
    }
}
