//! Operators: who may ask from afar (rules G1, G4).

use crate::error::Result;
use crate::group::{
    Access, Answer, AuthorKind, Bearers, By, Operation, OperatorRecord, OperatorState, OperatorsOperation, a_server,
    may_be_node, may_be_operator, may_perform,
};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::store::operations::{Context, agent, audit, gateway, name_unknown, server};
use crate::store::records::{Records, Which};

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &OperatorsOperation,
) -> Result<Answer> {
    let by = context.by;
    match operation {
        OperatorsOperation::ApproveOperator { operator, access, key } => {
            put(records, operator, (OperatorState::Approved, Some(*access)), *key, by)?;
        }
        OperatorsOperation::RejectOperator { operator } => {
            put(records, operator, (OperatorState::Rejected, None), None, by)?;
        }
        OperatorsOperation::DeleteOperator { operator } => delete(records, operator, by)?,
        OperatorsOperation::Operators => return records.operators(Which::All).map(Answer::Operators),
    }
    Ok(Answer::Done)
}

/// Whoever asks from afar is an operator now, in the transaction of what it asks: a withdrawal waits for no link's end
/// (rule G2).
pub(super) fn check_author(records: &mut dyn Records, by: &By, operation: &Operation) -> Result<()> {
    if by.author.kind != AuthorKind::Operator {
        return Ok(());
    }
    if operation.is_change() {
        records.lock_group()?;
    }
    let name = Name::parse(&by.author.name)?;
    may_perform(name.as_str(), operator(records, &name)?.as_ref(), operation)
}

/// A name that is to become a node's is no operator's.
pub(super) fn check_no_operator(records: &mut dyn Records, name: &Name) -> Result<()> {
    may_be_node(name, operator(records, name)?.as_ref())
}

/// A name that is to become a gateway's or an agent's is no management server's (rule G1).
pub(super) fn check_no_server(records: &mut dyn Records, name: &Name, expected: &str) -> Result<()> {
    match server(&records.servers()?, name) {
        Some(_) => Err(a_server(name, expected)),
        None => Ok(()),
    }
}

/// What a name is to the group, for people.
pub(super) fn what_is(records: &mut dyn Records, name: &Name) -> Result<Option<String>> {
    let (agent, gateway, servers) = (agent(records, name)?, gateway(records, name)?, records.servers()?);
    let bearers = Bearers { agent: agent.as_ref(), gateway: gateway.as_ref(), server: server(&servers, name) };
    match bearers.describe() {
        Some(what) => Ok(Some(what)),
        None => Ok(operator(records, name)?.map(|operator| format!("an operator, {}", operator.state))),
    }
}

pub(super) fn operator(records: &mut dyn Records, name: &Name) -> Result<Option<OperatorRecord>> {
    Ok(records.operators(Which::Named(&[name]))?.pop())
}

/// Inserts an operator or changes what it may; when and where it was seen stays.
fn put(
    records: &mut dyn Records,
    name: &Name,
    (state, access): (OperatorState, Option<Access>),
    pinned_key: Option<KeyHash>,
    by: &By,
) -> Result<()> {
    records.lock_group()?;
    let all = records.operators(Which::All)?;
    let before = all.iter().find(|operator| operator.name == *name);
    let (agent, gateway, servers) = (agent(records, name)?, gateway(records, name)?, records.servers()?);
    let bearers = Bearers { agent: agent.as_ref(), gateway: gateway.as_ref(), server: server(&servers, name) };
    may_be_operator(name, bearers, before.is_none(), all.len())?;
    let new = || OperatorRecord {
        name: name.clone(),
        state,
        access: Access::ReadOnly,
        since: by.at,
        first_seen: None,
        last_seen: None,
        address: String::new(),
        server: None,
        pinned_key: None,
        next_key: None,
    };
    let mut record = before.cloned().unwrap_or_else(new);
    (record.state, record.pinned_key, record.next_key) = (state, pinned_key, None);
    record.access = access.unwrap_or(record.access);
    records.put_operators(&[&record])?;
    let action = if state == OperatorState::Rejected { "reject operator" } else { "approve operator" };
    audit(records, by, (action, name.as_str()), before, Some(&record))?;
    records.changed()
}

fn delete(records: &mut dyn Records, name: &Name, by: &By) -> Result<()> {
    records.lock_group()?;
    let Some(before) = operator(records, name)? else {
        let error = name_unknown(records, name, "an operator of the group");
        return Err(error.remedy("look at farpost operator list"));
    };
    records.remove_operator(name)?;
    audit(records, by, ("delete operator", name.as_str()), Some(&before), None)?;
    records.changed()
}
