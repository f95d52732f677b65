//! Servers and assignments (rules G3, G6).

use std::collections::HashMap;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    Answer, Assignment, AssignmentRecord, AssignmentsOperation, Author, By, Candidate, GatewayState, ServerRecord,
    SignedAssignment, may_assign, server_unknown,
};
use crate::name::Name;
use crate::store::operations::operators::check_no_operator;
use crate::store::operations::{Context, agent, audit, distinct, gateway, names, server};
use crate::store::records::{Records, Which, corrupt};
use crate::time::Timestamp;

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &AssignmentsOperation,
) -> Result<Answer> {
    match operation {
        AssignmentsOperation::Assign { node, assignment } => assign(records, context, node, assignment)?,
        AssignmentsOperation::SetServerExcluded { server, excluded } => {
            set_server_excluded(records, server, *excluded, context.by)?;
        }
        AssignmentsOperation::Servers => return records.servers().map(Answer::Servers),
    }
    Ok(Answer::Done)
}

pub(in crate::store) fn register_server(
    records: &mut dyn Records,
    name: &Name,
    address: &str,
    at: Timestamp,
) -> Result<()> {
    records.lock_group()?;
    check_no_operator(records, name)?;
    let servers = records.servers()?;
    let known = server(&servers, name);
    let record = ServerRecord {
        name: name.clone(),
        address: address.to_owned(),
        excluded: known.is_some_and(|known| known.excluded),
        last_seen: at,
    };
    records.put_server(&record)?;
    match known {
        Some(known) if known.address == address => Ok(()),
        _ => {
            let by = By { author: Author::group("a management server that started", address), at };
            audit(records, &by, ("register server", name.as_str()), known, Some(&record))?;
            records.changed()
        }
    }
}

fn set_server_excluded(records: &mut dyn Records, name: &Name, excluded: bool, by: &By) -> Result<()> {
    records.lock_group()?;
    let servers = records.servers()?;
    match server(&servers, name) {
        None => Err(server_unknown(name, &names(&servers))),
        Some(known) if known.excluded == excluded => Ok(()),
        Some(known) => {
            let record = ServerRecord { excluded, ..known.clone() };
            records.put_server(&record)?;
            let action = if excluded { "exclude server" } else { "include server" };
            audit(records, by, (action, name.as_str()), Some(known), Some(&record))?;
            records.changed()
        }
    }
}

/// Assigns upstreams to a known gateway or agent; the version rises.
fn assign(records: &mut dyn Records, context: &Context<'_>, node: &Name, assignment: &Assignment) -> Result<()> {
    records.lock_group()?;
    let is_gateway = |records: &mut dyn Records, name: &Name| -> Result<bool> {
        Ok(gateway(records, name)?.is_some_and(|gateway| gateway.state != GatewayState::Deleted))
    };
    if !is_gateway(records, node)? && agent(records, node)?.is_none() {
        return Err(Error::new(Code::NameUnknown)
            .subject(node.as_str())
            .expected("a gateway or an agent of the group"));
    }
    let servers = records.servers()?;
    let mut candidates = Vec::new();
    for upstream in assignment.upstreams() {
        let candidate = match server(&servers, upstream.name()) {
            Some(server) => Candidate::Server { excluded: server.excluded },
            None if is_gateway(records, upstream.name())? => Candidate::Gateway,
            None => Candidate::Unknown,
        };
        candidates.push((upstream.name(), candidate));
    }
    may_assign(node, assignment, &names(&servers), |name| {
        candidates.iter().find(|(candidate, _)| *candidate == name).map_or(Candidate::Unknown, |(_, known)| *known)
    })?;
    let before = of(records, &[node])?.remove(node);
    let version = records.assignment_version(node)?.saturating_add(1);
    records.put_assignment(node, version, &context.key.sign(context.group, node, version, assignment))?;
    let after = AssignmentRecord { node: node.clone(), version, assignment: assignment.clone() };
    audit(records, context.by, ("assign", node.as_str()), before.as_ref(), Some(&after))?;
    records.changed()
}

/// The signed assignments of these nodes, in their order.
pub(in crate::store) fn signed(records: &mut dyn Records, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>> {
    let found = records.assignments(Which::Named(&distinct(nodes.iter())))?;
    let found: HashMap<Name, SignedAssignment> = found.into_iter().collect();
    Ok(nodes.iter().map(|node| found.get(node).cloned()).collect())
}

/// What these nodes are assigned; a node that is not there follows its own configuration.
pub(super) fn of(records: &mut dyn Records, nodes: &[&Name]) -> Result<HashMap<Name, AssignmentRecord>> {
    let found = records.assignments(Which::Named(nodes))?;
    found.into_iter().map(|(node, signed)| Ok((node, content(&signed)?))).collect()
}

pub(super) fn all(records: &mut dyn Records) -> Result<Vec<AssignmentRecord>> {
    records.assignments(Which::All)?.iter().map(|(_, signed)| content(signed)).collect()
}

fn content(signed: &SignedAssignment) -> Result<AssignmentRecord> {
    signed.content().ok_or_else(|| corrupt("an assignment that cannot be read"))
}
