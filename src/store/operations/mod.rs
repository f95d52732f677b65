//! What the store does, once for all engines: which records are read, which rule decides, what is written.

pub(super) mod approvals;
pub(super) mod assignments;
pub(super) mod deliveries;
pub(super) mod down;
pub(super) mod sessions;
pub(super) mod tokens;

use crate::error::Result;
use crate::group::{AgentRecord, AgentState, GatewayRecord, GatewayState, ServerRecord, UnknownAgents};
use crate::name::Name;
use crate::store::records::{Records, Which};
use crate::time::Timestamp;

pub(super) fn set_unknown_agents(records: &mut dyn Records, unknown_agents: UnknownAgents) -> Result<()> {
    records.lock_group()?;
    if records.unknown_agents()? == unknown_agents {
        return Ok(());
    }
    records.put_unknown_agents(unknown_agents)?;
    records.changed()
}

fn gateway(records: &mut dyn Records, name: &Name) -> Result<Option<GatewayRecord>> {
    Ok(records.gateways(Which::Named(&[name]))?.pop())
}

fn agent(records: &mut dyn Records, name: &Name) -> Result<Option<AgentRecord>> {
    Ok(records.agents(Which::Named(&[name]))?.pop())
}

fn server<'s>(servers: &'s [ServerRecord], name: &Name) -> Option<&'s ServerRecord> {
    servers.iter().find(|server| server.name == *name)
}

fn names(servers: &[ServerRecord]) -> Vec<Name> {
    servers.iter().map(|server| server.name.clone()).collect()
}

/// A gateway that was not seen yet.
fn new_gateway(name: &Name, state: GatewayState, at: Timestamp) -> GatewayRecord {
    GatewayRecord {
        name: name.clone(),
        state,
        parent: None,
        via: None,
        address: String::new(),
        server: None,
        software: String::new(),
        first_seen: at,
        last_seen: at,
        key_changed: None,
        key: None,
    }
}

/// An agent that was not seen yet.
fn new_agent(name: &Name, state: AgentState, at: Timestamp) -> AgentRecord {
    AgentRecord {
        name: name.clone(),
        state,
        via: None,
        address: String::new(),
        server: None,
        software: String::new(),
        first_seen: at,
        last_seen: at,
        key_changed: None,
        key: None,
    }
}

/// Each name once, sorted.
fn distinct<'n>(names: impl Iterator<Item = &'n Name>) -> Vec<&'n Name> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
