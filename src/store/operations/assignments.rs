//! Assignments (rules G3, G6); what is written: `write`, sites: `sites`, servers: `servers`.

mod servers;
mod sites;
mod write;

use std::collections::HashMap;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    Answer, Assignment, AssignmentRecord, AssignmentTarget, AssignmentsOperation, NodeChoice, SignedAssignment,
    SiteChange, SiteName,
};
use crate::name::Name;
use crate::store::operations::{Context, audit, distinct};
use crate::store::records::{Records, StoredAssignment, Which, corrupt};

pub(in crate::store) use servers::register_server;
pub(super) use servers::{forget_former, register_again};
pub(super) use write::check_parent;
use write::{Change, check, known_node};

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &AssignmentsOperation,
) -> Result<Answer> {
    match operation {
        AssignmentsOperation::Assign { node, assignment } => {
            records.lock_group()?;
            assign(records, context, ("assign", node), assignment)?;
        }
        AssignmentsOperation::Withdraw { target: AssignmentTarget::Node(node) } => withdraw(records, context, node)?,
        AssignmentsOperation::Withdraw { target: AssignmentTarget::Site(site) } => {
            sites::assign(records, context, site, None)?;
        }
        AssignmentsOperation::Swap { target, with } => {
            return swap(records, context, target, with.as_ref()).map(Answer::Assignment);
        }
        AssignmentsOperation::Assignments { node } => return in_force(records, node.as_ref()).map(Answer::Assignments),
        AssignmentsOperation::CreateSite { site } => sites::create(records, site, context.by)?,
        AssignmentsOperation::DeleteSite { site } => sites::delete(records, context, site)?,
        AssignmentsOperation::AssignSite { site, assignment } => {
            sites::assign(records, context, site, Some(assignment))?;
        }
        AssignmentsOperation::AddToSite { site, nodes } => {
            let nodes = NodeChoice { names: nodes.clone(), ..NodeChoice::default() };
            let added = sites::change(records, context, site, (&nodes, SiteChange::Add), false)?;
            return Ok(Answer::Number(added.len() as u64));
        }
        AssignmentsOperation::RemoveFromSite { site, nodes } => {
            let nodes = NodeChoice { names: nodes.clone(), ..NodeChoice::default() };
            let removed = sites::change(records, context, site, (&nodes, SiteChange::Remove), false)?;
            return Ok(Answer::Number(removed.len() as u64));
        }
        AssignmentsOperation::ChangeSite { site, nodes, change, rehearsal } => {
            return sites::change(records, context, site, (nodes, *change), *rehearsal).map(Answer::Names);
        }
        AssignmentsOperation::Sites => return sites::all(records).map(Answer::Sites),
        AssignmentsOperation::SetServerExcluded { server, excluded } => {
            return servers::set_excluded(records, server, *excluded, context.by).map(Answer::ServerUse);
        }
        AssignmentsOperation::DeleteServer { server } => {
            return servers::delete(records, server, context.by).map(Answer::Server);
        }
        AssignmentsOperation::Servers => return records.servers().map(Answer::Servers),
    }
    Ok(Answer::Done)
}

/// Assigns upstreams of its own to a known gateway or agent; the version rises.
fn assign(
    records: &mut dyn Records,
    context: &Context<'_>,
    (action, node): (&str, &Name),
    assignment: &Assignment,
) -> Result<()> {
    known_node(records, node)?;
    let change = Change { node: node.clone(), assignment: Some(assignment.clone()), site: None };
    check(records, std::slice::from_ref(&change))?;
    let before = of(records, &[node])?.remove(node);
    write::write(records, context, vec![change])?;
    let after = of(records, &[node])?.remove(node);
    audit(records, context.by, (action, node.as_str()), before.as_ref(), after.as_ref())?;
    records.changed()
}

/// Takes away what a node has of its own: it has what its site has, or follows its configuration.
fn withdraw(records: &mut dyn Records, context: &Context<'_>, node: &Name) -> Result<()> {
    records.lock_group()?;
    known_node(records, node)?;
    let before = of(records, &[node])?.remove(node);
    if before.as_ref().is_none_or(|before| before.site.is_some()) {
        return Ok(());
    }
    let site = records.site_nodes(Which::Named(&[node]))?.pop().map(|(_, site)| site);
    let change = match site {
        Some(site) => {
            let assignment = sites::assignment_of(records, &site)?;
            Change { node: node.clone(), site: assignment.is_some().then_some(site), assignment }
        }
        None => Change { node: node.clone(), assignment: None, site: None },
    };
    check(records, std::slice::from_ref(&change))?;
    write::write(records, context, vec![change])?;
    let after = of(records, &[node])?.remove(node);
    audit(records, context.by, ("withdraw assignment", node.as_str()), before.as_ref(), after.as_ref())?;
    records.changed()
}

/// Primary and a failover change places, in one transaction with the look at who they are.
fn swap(
    records: &mut dyn Records,
    context: &Context<'_>,
    target: &AssignmentTarget,
    with: Option<&Name>,
) -> Result<Assignment> {
    records.lock_group()?;
    let nothing = || {
        Error::new(Code::NotFailover)
            .subject(target.to_string())
            .found("nothing that is assigned")
            .expected("a primary and a failover")
            .remedy("farpost failover set")
    };
    match target {
        AssignmentTarget::Site(site) => {
            let swapped = sites::assignment_of(records, site)?.ok_or_else(nothing)?.swapped(with)?;
            sites::assign_locked(records, context, ("swap site's failover", site), Some(&swapped))?;
            Ok(swapped)
        }
        AssignmentTarget::Node(node) => {
            known_node(records, node)?;
            let held = of(records, &[node])?.remove(node).ok_or_else(nothing)?;
            if let Some(site) = &held.site {
                return Err(Error::new(Code::NotFailover)
                    .subject(node.as_str())
                    .found(format!("the assignment of the site {site}"))
                    .expected("one of its own")
                    .remedy(format!(
                        "farpost failover swap --site {site}; or farpost failover set for the node alone"
                    )));
            }
            let swapped = held.assignment.swapped(with)?;
            assign(records, context, ("swap failover", node), &swapped)?;
            Ok(swapped)
        }
    }
}

/// The signed assignments of these nodes, in their order.
pub(in crate::store) fn signed(records: &mut dyn Records, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>> {
    let found = records.assignments(Which::Named(&distinct(nodes.iter())))?;
    let found: HashMap<Name, SignedAssignment> = found.into_iter().collect();
    Ok(nodes.iter().map(|node| found.get(node).cloned()).collect())
}

/// What these nodes are assigned; a node that is not there follows its own configuration.
pub(super) fn of(records: &mut dyn Records, nodes: &[&Name]) -> Result<HashMap<Name, AssignmentRecord>> {
    let found = records_of(records, Which::Named(nodes))?;
    Ok(found.into_iter().map(|record| (record.node.clone(), record)).collect())
}

pub(super) fn all(records: &mut dyn Records) -> Result<Vec<AssignmentRecord>> {
    records_of(records, Which::All)
}

/// The nodes of a site.
///
/// # Errors
///
/// [`Code::SiteUnknown`].
pub(super) fn nodes_of_site(records: &mut dyn Records, site: &SiteName) -> Result<Vec<Name>> {
    sites::assignment_of(records, site)?;
    sites::nodes_of(records, site)
}

fn in_force(records: &mut dyn Records, node: Option<&Name>) -> Result<Vec<AssignmentRecord>> {
    match node {
        Some(node) => {
            known_node(records, node)?;
            records_of(records, Which::Named(&[node]))
        }
        None => all(records),
    }
}

fn records_of(records: &mut dyn Records, which: Which<'_>) -> Result<Vec<AssignmentRecord>> {
    let stored = records.stored_assignments(which)?;
    stored.into_iter().filter_map(|stored| record_of(stored).transpose()).collect()
}

/// Nothing of a node whose assignment was withdrawn.
fn record_of(stored: StoredAssignment) -> Result<Option<AssignmentRecord>> {
    let StoredAssignment { node, version, site, signed } = stored;
    let Some(signed) = signed else { return Ok(None) };
    let content = signed.content().ok_or_else(|| corrupt("an assignment that cannot be read"))?;
    Ok(content.map(|assignment| AssignmentRecord { node, version, assignment, site }))
}
