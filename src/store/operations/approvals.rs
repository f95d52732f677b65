//! Gateways and agents as operators decide about them (rule G1); who knocks: `knocks`.

mod agents;
mod knocks;
mod rules;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentDecision, AgentRecord, Answer, ApprovalsOperation, By, GatewayRecord, GatewayState, GatewayTerms, KeyPin,
    UnknownAgents, may_approve_gateway, may_be_gateway, may_limit_gateway,
};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::role::Role;
use crate::store::operations::assignments::check_parent;
use crate::store::operations::operators::{check_no_operator, check_no_server, operator};
use crate::store::operations::{Context, agent, audit, gateway, name_unknown, names, server};
use crate::store::records::{Records, Which};

pub(in crate::store) use knocks::authorise;

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &ApprovalsOperation,
) -> Result<Answer> {
    let by = context.by;
    match operation {
        ApprovalsOperation::ApproveGateway { gateway, parent } => {
            approve_gateway(records, (gateway, parent), &GatewayTerms::default(), by)?;
        }
        ApprovalsOperation::ApproveGatewayWith { gateway, parent, terms } => {
            approve_gateway(records, (gateway, parent), terms, by)?;
        }
        ApprovalsOperation::DeleteGateway { gateway } => delete_gateway(records, gateway, by)?,
        ApprovalsOperation::ApproveAgent { agent } => {
            agents::decide_named(records, agent, AgentDecision::Approve(None), by)?;
        }
        ApprovalsOperation::RejectAgent { agent } => agents::decide_named(records, agent, AgentDecision::Reject, by)?,
        ApprovalsOperation::DecideAgents { choice, decision, rehearsal } => {
            return agents::decide(records, (choice, *decision), *rehearsal, by).map(Answer::Names);
        }
        ApprovalsOperation::AddRule { rule, before } => rules::add(records, rule, before.as_ref(), by)?,
        ApprovalsOperation::RemoveRule { rule } => rules::remove(records, rule, by)?,
        ApprovalsOperation::Rules => return records.rules().map(Answer::Rules),
        ApprovalsOperation::TestRules { agent, gateway, issuer } => {
            return rules::test(records, agent, gateway.as_ref(), *issuer).map(Answer::RuleTest);
        }
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

/// Approves a gateway for a management server, or, in a chain, for another gateway.
fn approve_gateway(
    records: &mut dyn Records,
    (name, parent): (&Name, &Name),
    terms: &GatewayTerms,
    by: &By,
) -> Result<()> {
    records.lock_group()?;
    let agent = agent(records, name)?;
    check_no_operator(records, name)?;
    check_no_server(records, name, "a gateway")?;
    may_be_behind(records, name, parent, agent.as_ref())?;
    may_limit_gateway(terms.agents.as_deref().unwrap_or_default())?;
    if agent.is_some() {
        records.remove_agent(name)?;
        records.withdraw_assignment(name)?;
        audit(records, by, ("remove agent", name.as_str()), agent.as_ref(), None)?;
    }
    let before = gateway(records, name)?;
    let mut record = before.clone().unwrap_or_else(|| GatewayRecord::new(name.clone(), GatewayState::Approved, by.at));
    record.state = GatewayState::Approved;
    record.parent = Some(parent.clone());
    if let Some(key) = terms.key {
        record.pin = KeyPin::of(key);
    }
    if let Some(agents) = &terms.agents {
        record.agents.clone_from(agents);
    }
    records.put_gateways(&[&record])?;
    audit(records, by, ("approve gateway", name.as_str()), before.as_ref(), Some(&record))?;
    records.changed()
}

/// A parent is a registered server, or an approved gateway that is not behind the one that gets it.
fn may_be_behind(records: &mut dyn Records, name: &Name, parent: &Name, agent: Option<&AgentRecord>) -> Result<()> {
    let servers = records.servers()?;
    // Upstreams are names: of two with the same nobody could say which is meant, and it would be behind itself.
    if server(&servers, name).is_some() {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(name.as_str())
            .found("a management server")
            .expected("a gateway")
            .remedy("look at which of the two names is the gateway's"));
    }
    match (server(&servers, parent), gateway(records, parent)?) {
        (None, _) if parent == name => check_parent(records, name, parent),
        (None, Some(outer)) if outer.state == GatewayState::Approved => {
            may_be_gateway(name, agent)?;
            check_parent(records, name, parent)
        }
        (None, Some(outer)) => Err(Error::new(Code::RoleNotApproved)
            .subject(parent.as_str())
            .found(format!("a gateway, {}", outer.state))
            .expected("an approved gateway, or a management server")),
        (known, _) => may_approve_gateway(name, agent, (parent, known), &names(&servers)),
    }
}

fn delete_gateway(records: &mut dyn Records, name: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    let known = gateway(records, name)?.filter(|gateway| gateway.state != GatewayState::Deleted);
    let Some(before) = known else {
        return Err(name_unknown(records, name, "a gateway of the group"));
    };
    let mut record = before.clone();
    record.state = GatewayState::Deleted;
    record.parent = None;
    // Whoever is approved under this name later begins anew.
    (record.pin, record.agents) = (KeyPin::default(), Vec::new());
    records.put_gateways(&[&record])?;
    records.withdraw_assignment(name)?;
    audit(records, by, ("delete gateway", name.as_str()), Some(&before), Some(&record))?;
    records.changed()
}

/// The next certificate of a pinned name has this key: it may come with it from now on.
pub(in crate::store) fn key_renewed(records: &mut dyn Records, role: Role, name: &Name, key: KeyHash) -> Result<()> {
    records.lock_group()?;
    match role {
        Role::Gateway => {
            if let Some(mut record) = gateway(records, name)?
                && let Some(pin) = record.pin.renewed_by(key)
            {
                record.pin = pin;
                records.put_gateways(&[&record])?;
            }
        }
        Role::Agent => {
            if let Some(mut record) = agent(records, name)?
                && let Some(pin) = record.pin.renewed_by(key)
            {
                record.pin = pin;
                records.put_agents(&[&record])?;
            }
        }
        Role::Operator => {
            if let Some(mut record) = operator(records, name)?
                && record.renewed_by(key)
            {
                records.put_operators(&[&record])?;
            }
        }
        // Gets its certificate from its own authority.
        Role::ManagementServer => {}
    }
    Ok(())
}
