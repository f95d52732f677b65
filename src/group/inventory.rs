//! All that the group knows of its nodes.

use serde::{Deserialize, Serialize};

use crate::group::{AgentRecord, AssignmentRecord, GatewayRecord, ServerRecord};
use crate::message::{Epoch, Sequence};
use crate::name::Name;

/// How far an agent is delivered in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cursor {
    /// Whose.
    pub agent: Name,
    /// The life of the agent's queue.
    pub epoch: Epoch,
    /// The highest sequence up to which all is delivered.
    pub through: Sequence,
}

/// All that the group knows of its nodes, read at one point of its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inventory {
    /// The group's name.
    pub management_group: String,
    /// Rises with every change of approvals, assignments, servers and messages to agents.
    pub change: u64,
    /// The management servers, by name.
    pub servers: Vec<ServerRecord>,
    /// The gateways, by name; those that wait and those that were removed too.
    pub gateways: Vec<GatewayRecord>,
    /// The agents, by name; those that wait and those that were rejected too.
    pub agents: Vec<AgentRecord>,
    /// Which upstreams gateways and agents are assigned, by node; who is not listed follows its own configuration.
    pub assignments: Vec<AssignmentRecord>,
    /// How far each agent is delivered, the newest epoch last.
    pub cursors: Vec<Cursor>,
}
