//! Gateways and agents as operators decide about them (rule G1); who knocks: `knocks`.

mod knocks;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentState, Answer, ApprovalsOperation, By, GatewayState, UnknownAgents, may_approve_agent, may_approve_gateway,
};
use crate::name::Name;
use crate::store::operations::operators::check_no_operator;
use crate::store::operations::{Context, agent, audit, gateway, names, new_agent, new_gateway, server};
use crate::store::records::{Records, Which};

pub(in crate::store) use knocks::authorise;

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &ApprovalsOperation,
) -> Result<Answer> {
    let by = context.by;
    match operation {
        ApprovalsOperation::ApproveGateway { gateway, parent } => approve_gateway(records, gateway, parent, by)?,
        ApprovalsOperation::DeleteGateway { gateway } => delete_gateway(records, gateway, by)?,
        ApprovalsOperation::ApproveAgent { agent } => approve_agent(records, agent, by)?,
        ApprovalsOperation::RejectAgent { agent } => reject_agent(records, agent, by)?,
        ApprovalsOperation::SetUnknownAgents { unknown_agents } => set_unknown_agents(records, *unknown_agents, by)?,
        ApprovalsOperation::Gateways => return records.gateways(Which::All).map(Answer::Gateways),
        ApprovalsOperation::Agents => return records.agents(Which::All).map(Answer::Agents),
        ApprovalsOperation::UnknownAgents => return records.unknown_agents().map(Answer::UnknownAgents),
    }
    Ok(Answer::Done)
}

fn set_unknown_agents(records: &mut dyn Records, unknown_agents: UnknownAgents, by: &By) -> Result<()> {
    records.lock_group()?;
    let before = records.unknown_agents()?;
    if before == unknown_agents {
        return Ok(());
    }
    records.put_unknown_agents(unknown_agents)?;
    audit(records, by, ("set unknown agents", ""), Some(&before), Some(&unknown_agents))?;
    records.changed()
}

fn approve_gateway(records: &mut dyn Records, name: &Name, parent: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    let servers = records.servers()?;
    let agent = agent(records, name)?;
    check_no_operator(records, name)?;
    may_approve_gateway(name, agent.as_ref(), (parent, server(&servers, parent)), &names(&servers))?;
    if agent.is_some() {
        records.remove_agent(name)?;
        records.withdraw_assignment(name)?;
        audit(records, by, ("remove agent", name.as_str()), agent.as_ref(), None)?;
    }
    let before = gateway(records, name)?;
    let mut record = before.clone().unwrap_or_else(|| new_gateway(name, GatewayState::Approved, by.at));
    record.state = GatewayState::Approved;
    record.parent = Some(parent.clone());
    records.put_gateways(&[&record])?;
    audit(records, by, ("approve gateway", name.as_str()), before.as_ref(), Some(&record))?;
    records.changed()
}

fn delete_gateway(records: &mut dyn Records, name: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    let known = gateway(records, name)?.filter(|gateway| gateway.state != GatewayState::Deleted);
    let Some(before) = known else {
        return Err(Error::new(Code::NameUnknown).subject(name.as_str()).expected("a gateway of the group"));
    };
    let mut record = before.clone();
    record.state = GatewayState::Deleted;
    record.parent = None;
    records.put_gateways(&[&record])?;
    records.withdraw_assignment(name)?;
    audit(records, by, ("delete gateway", name.as_str()), Some(&before), Some(&record))?;
    records.changed()
}

fn approve_agent(records: &mut dyn Records, name: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    let gateway = gateway(records, name)?;
    check_no_operator(records, name)?;
    may_approve_agent(name, gateway.as_ref())?;
    if gateway.is_some() {
        // An operator says that this very name is an agent: what it asked to be before counts no longer.
        records.remove_gateway(name)?;
        records.withdraw_assignment(name)?;
        audit(records, by, ("remove gateway", name.as_str()), gateway.as_ref(), None)?;
    }
    put_agent(records, name, AgentState::Approved, by)
}

fn reject_agent(records: &mut dyn Records, name: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    check_no_operator(records, name)?;
    if gateway(records, name)?.is_some_and(|gateway| gateway.state == GatewayState::Approved) {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(name.as_str())
            .found("an approved gateway")
            .expected("an agent")
            .remedy("farpost approve … --action delete removes a gateway"));
    }
    put_agent(records, name, AgentState::Rejected, by)
}

/// Inserts an agent or changes its state; what is known of it stays.
fn put_agent(records: &mut dyn Records, name: &Name, state: AgentState, by: &By) -> Result<()> {
    let before = agent(records, name)?;
    let mut record = before.clone().unwrap_or_else(|| new_agent(name, state, by.at));
    record.state = state;
    records.put_agents(&[&record])?;
    let action = if state == AgentState::Rejected { "reject agent" } else { "approve agent" };
    audit(records, by, (action, name.as_str()), before.as_ref(), Some(&record))?;
    records.changed()
}
