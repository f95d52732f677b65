//! Gateways and agents as operators decide about them (rule G1); who knocks: [`knocks`].

mod knocks;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{AgentState, GatewayState, may_approve_agent, may_approve_gateway};
use crate::name::Name;
use crate::store::operations::{agent, gateway, names, new_agent, new_gateway, server};
use crate::store::records::Records;
use crate::time::Timestamp;

pub(in crate::store) use knocks::authorise;

pub(in crate::store) fn approve_gateway(
    records: &mut dyn Records,
    name: &Name,
    parent: &Name,
    at: Timestamp,
) -> Result<()> {
    records.lock_group()?;
    let servers = records.servers()?;
    let agent = agent(records, name)?;
    may_approve_gateway(name, agent.as_ref(), (parent, server(&servers, parent)), &names(&servers))?;
    if agent.is_some() {
        records.remove_agent(name)?;
        records.withdraw_assignment(name)?;
    }
    let mut record = gateway(records, name)?.unwrap_or_else(|| new_gateway(name, GatewayState::Approved, at));
    record.state = GatewayState::Approved;
    record.parent = Some(parent.clone());
    records.put_gateways(&[&record])?;
    records.changed()
}

pub(in crate::store) fn delete_gateway(records: &mut dyn Records, name: &Name) -> Result<()> {
    records.lock_group()?;
    let known = gateway(records, name)?.filter(|gateway| gateway.state != GatewayState::Deleted);
    let Some(mut record) = known else {
        return Err(Error::new(Code::NameUnknown).subject(name.as_str()).expected("a gateway of the group"));
    };
    record.state = GatewayState::Deleted;
    record.parent = None;
    records.put_gateways(&[&record])?;
    records.withdraw_assignment(name)?;
    records.changed()
}

pub(in crate::store) fn approve_agent(records: &mut dyn Records, name: &Name, at: Timestamp) -> Result<()> {
    records.lock_group()?;
    let gateway = gateway(records, name)?;
    may_approve_agent(name, gateway.as_ref())?;
    if gateway.is_some() {
        // An operator says that this very name is an agent: what it asked to be before counts no longer.
        records.remove_gateway(name)?;
        records.withdraw_assignment(name)?;
    }
    put_agent(records, name, AgentState::Approved, at)
}

pub(in crate::store) fn reject_agent(records: &mut dyn Records, name: &Name, at: Timestamp) -> Result<()> {
    records.lock_group()?;
    if gateway(records, name)?.is_some_and(|gateway| gateway.state == GatewayState::Approved) {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(name.as_str())
            .found("an approved gateway")
            .expected("an agent")
            .remedy("farpost approve … --action delete removes a gateway"));
    }
    put_agent(records, name, AgentState::Rejected, at)
}

/// Inserts an agent or changes its state; what is known of it stays.
fn put_agent(records: &mut dyn Records, name: &Name, state: AgentState, at: Timestamp) -> Result<()> {
    let mut record = agent(records, name)?.unwrap_or_else(|| new_agent(name, state, at));
    record.state = state;
    records.put_agents(&[&record])?;
    records.changed()
}
