//! Agents as operators decide about them: one or many, all or nothing.

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentChoice, AgentDecision, AgentRecord, AgentState, By, GatewayState, KeyDemand, KeyPin, a_server,
    may_approve_agent,
};
use crate::limits::DECIDED_AT_ONCE_MAX;
use crate::name::Name;
use crate::store::operations::operators::check_no_operator;
use crate::store::operations::{agent, audit, distinct, gateway, name_unknown, server};
use crate::store::records::{Records, Which};

/// Decides about the chosen agents; whose standing changes. Where it is a rehearsal nothing is written.
pub(super) fn decide(
    records: &mut dyn Records,
    (choice, decision): (&AgentChoice, AgentDecision),
    rehearsal: bool,
    by: &By,
) -> Result<Vec<Name>> {
    if !rehearsal {
        records.lock_group()?;
    }
    check(choice, decision)?;
    let known = chosen(records, choice)?;
    check_no_servers(records, known.iter().map(|(name, _)| name), decision)?;
    let mut changed = Vec::new();
    for (name, record) in known {
        // A pattern chooses whom it changes; who is named is decided about again.
        if choice.pattern.is_some() && record.as_ref().is_some_and(|record| is_so_already(record, decision)) {
            continue;
        }
        decide_one(records, &name, record, decision, rehearsal, by)?;
        changed.push(name);
    }
    if !rehearsal && !changed.is_empty() {
        records.changed()?;
    }
    Ok(changed)
}

/// No management server's name is approved as an agent (rule G1): looked at once for all of them.
fn check_no_servers<'n>(
    records: &mut dyn Records,
    mut names: impl Iterator<Item = &'n Name>,
    decision: AgentDecision,
) -> Result<()> {
    if !matches!(decision, AgentDecision::Approve(_)) {
        return Ok(());
    }
    let servers = records.servers()?;
    match names.find(|name| server(&servers, name).is_some()) {
        Some(name) => Err(a_server(name, "an agent")),
        None => Ok(()),
    }
}

fn check(choice: &AgentChoice, decision: AgentDecision) -> Result<()> {
    let invalid = |found: String| Error::new(Code::ArgumentInvalid).subject("the choice of agents").found(found);
    if choice.names.is_empty() == choice.pattern.is_none() {
        return Err(invalid("no name and no pattern, or both".to_owned()).expected("one of the two"));
    }
    if choice.names.len() > DECIDED_AT_ONCE_MAX {
        let found = format!("{} names", choice.names.len());
        return Err(invalid(found).expected(format!("at most {DECIDED_AT_ONCE_MAX}")));
    }
    let is_one = choice.pattern.is_none() && choice.names.len() == 1;
    if matches!(decision, AgentDecision::Approve(Some(KeyDemand::Sha256(_)))) && !is_one {
        return Err(invalid("one key for several agents".to_owned()).expected("one agent, or the first key of each"));
    }
    Ok(())
}

/// The chosen agents, by name, with what is known of them.
fn chosen(records: &mut dyn Records, choice: &AgentChoice) -> Result<Vec<(Name, Option<AgentRecord>)>> {
    let is_wanted = |record: &AgentRecord| !choice.only_pending || record.state == AgentState::Pending;
    if let Some(pattern) = &choice.pattern {
        let all = records.agents(Which::All)?.into_iter();
        let fitting = all.filter(|record| pattern.fits(&record.name) && is_wanted(record));
        return Ok(fitting.take(DECIDED_AT_ONCE_MAX).map(|record| (record.name.clone(), Some(record))).collect());
    }
    let names = distinct(choice.names.iter());
    let known = records.agents(Which::Named(&names))?;
    let with_record = names.into_iter().map(|name| (name, known.iter().find(|record| record.name == *name)));
    let wanted = with_record.filter(|(_, record)| !choice.only_pending || record.is_some_and(is_wanted));
    Ok(wanted.map(|(name, record)| (name.clone(), record.cloned())).collect())
}

fn is_so_already(record: &AgentRecord, decision: AgentDecision) -> bool {
    match decision {
        AgentDecision::Approve(key) => record.state == AgentState::Approved && key.is_none(),
        AgentDecision::Reject => record.state == AgentState::Rejected,
        AgentDecision::Delete => false,
    }
}

fn decide_one(
    records: &mut dyn Records,
    name: &Name,
    before: Option<AgentRecord>,
    decision: AgentDecision,
    rehearsal: bool,
    by: &By,
) -> Result<()> {
    if decision != AgentDecision::Delete {
        check_no_operator(records, name)?;
    }
    match decision {
        AgentDecision::Approve(key) => {
            may_become_agent(records, name, rehearsal, by)?;
            put(records, (name, before), AgentState::Approved, key, rehearsal, by)
        }
        AgentDecision::Reject => {
            if gateway(records, name)?.is_some_and(|gateway| gateway.state == GatewayState::Approved) {
                return Err(Error::new(Code::RoleNotApproved)
                    .subject(name.as_str())
                    .found("an approved gateway")
                    .expected("an agent")
                    .remedy("farpost approve … --action delete removes a gateway"));
            }
            put(records, (name, before), AgentState::Rejected, None, rehearsal, by)
        }
        AgentDecision::Delete => delete(records, name, before.as_ref(), rehearsal, by),
    }
}

/// A name that asked to be a gateway becomes an agent by an operator's word only: what it asked to be counts no longer.
fn may_become_agent(records: &mut dyn Records, name: &Name, rehearsal: bool, by: &By) -> Result<()> {
    let gateway = gateway(records, name)?;
    may_approve_agent(name, gateway.as_ref())?;
    if gateway.is_some() && !rehearsal {
        records.remove_gateway(name)?;
        records.withdraw_assignment(name)?;
        audit(records, by, ("remove gateway", name.as_str()), gateway.as_ref(), None)?;
    }
    Ok(())
}

/// Inserts an agent or changes its state; what is known of it stays.
fn put(
    records: &mut dyn Records,
    (name, before): (&Name, Option<AgentRecord>),
    state: AgentState,
    key: Option<KeyDemand>,
    rehearsal: bool,
    by: &By,
) -> Result<()> {
    if rehearsal {
        return Ok(());
    }
    let mut record = before.clone().unwrap_or_else(|| AgentRecord::new(name.clone(), state, by.at));
    (record.state, record.rule) = (state, None);
    if let Some(key) = key {
        record.pin = KeyPin::of(key);
    }
    records.put_agents(&[&record])?;
    let action = if state == AgentState::Rejected { "reject agent" } else { "approve agent" };
    audit(records, by, (action, name.as_str()), before.as_ref(), Some(&record))
}

fn delete(
    records: &mut dyn Records,
    name: &Name,
    before: Option<&AgentRecord>,
    rehearsal: bool,
    by: &By,
) -> Result<()> {
    if before.is_none() {
        return Err(name_unknown(records, name, "an agent of the group"));
    }
    if rehearsal {
        return Ok(());
    }
    records.remove_agent(name)?;
    records.withdraw_assignment(name)?;
    audit(records, by, ("delete agent", name.as_str()), before, None)
}

/// One agent, as [`decide`].
pub(super) fn decide_named(records: &mut dyn Records, name: &Name, decision: AgentDecision, by: &By) -> Result<()> {
    records.lock_group()?;
    check_no_servers(records, std::iter::once(name), decision)?;
    let before = agent(records, name)?;
    decide_one(records, name, before, decision, false, by)?;
    records.changed()
}
