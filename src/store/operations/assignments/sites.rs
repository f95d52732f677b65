//! Sites: what is assigned to one is assigned to each of its nodes that has nothing of its own (rule G6).

use serde_json::json;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    AgentState, Assignment, By, GatewayState, NamePattern, NodeChoice, SiteChange, SiteName, SiteRecord,
};
use crate::limits::{SITE_NODES_MAX, SITES_MAX};
use crate::name::Name;
use crate::role::Role;
use crate::store::operations::assignments::of;
use crate::store::operations::assignments::write::{Change, check, check_upstreams, write};
use crate::store::operations::{Context, audit, distinct, name_unknown};
use crate::store::records::{Records, Which};

pub(super) fn all(records: &mut dyn Records) -> Result<Vec<SiteRecord>> {
    let sites = records.sites()?;
    let mut sites: Vec<SiteRecord> =
        sites.into_iter().map(|(name, assignment)| SiteRecord { name, assignment, nodes: Vec::new() }).collect();
    for (node, site) in records.site_nodes(Which::All)? {
        if let Some(site) = sites.iter_mut().find(|record| record.name == site) {
            site.nodes.push(node);
        }
    }
    Ok(sites)
}

pub(super) fn create(records: &mut dyn Records, site: &SiteName, by: &By) -> Result<()> {
    records.lock_group()?;
    let known = records.sites()?;
    if known.iter().any(|(name, _)| name == site) {
        return Err(Error::new(Code::SiteTaken)
            .subject(site.as_str())
            .found("a site of this name")
            .expected("a name that no site has"));
    }
    if known.len() >= SITES_MAX {
        return Err(Error::new(Code::ConfigBadValue)
            .subject(site.as_str())
            .found(format!("{SITES_MAX} sites"))
            .expected("fewer, before another one is made")
            .remedy("farpost site delete removes one"));
    }
    records.put_site(site, None)?;
    audit(records, by, ("create site", site.as_str()), None, Some(&json!({})))?;
    records.changed()
}

pub(super) fn delete(records: &mut dyn Records, context: &Context<'_>, site: &SiteName) -> Result<()> {
    records.lock_group()?;
    let assignment = assignment_of(records, site)?;
    let nodes = nodes_of(records, site)?;
    inherit(records, context, &nodes, None)?;
    records.remove_site(site)?;
    let before = json!({ "assignment": assignment, "nodes": nodes });
    audit(records, context.by, ("delete site", site.as_str()), Some(&before), None)?;
    records.changed()
}

/// Assigns upstreams to a site, or takes away what it has.
pub(super) fn assign(
    records: &mut dyn Records,
    context: &Context<'_>,
    site: &SiteName,
    assignment: Option<&Assignment>,
) -> Result<()> {
    records.lock_group()?;
    let action = if assignment.is_some() { "assign site" } else { "withdraw site's assignment" };
    assign_locked(records, context, (action, site), assignment)
}

/// The same where the group is locked already.
pub(super) fn assign_locked(
    records: &mut dyn Records,
    context: &Context<'_>,
    (action, site): (&str, &SiteName),
    assignment: Option<&Assignment>,
) -> Result<()> {
    let before = assignment_of(records, site)?;
    if before.is_none() && assignment.is_none() {
        return Ok(());
    }
    if let Some(assignment) = assignment {
        // A site may still be empty: its upstreams are looked at all the same.
        check_upstreams(records, assignment)?;
    }
    let nodes = nodes_of(records, site)?;
    inherit(records, context, &nodes, assignment.map(|assignment| (site, assignment)))?;
    records.put_site(site, assignment)?;
    audit(records, context.by, (action, site.as_str()), before.as_ref(), assignment)?;
    records.changed()
}

/// Puts nodes into a site, or takes them out of it; whose place changes. Where it is a rehearsal nothing is written.
pub(super) fn change(
    records: &mut dyn Records,
    context: &Context<'_>,
    site: &SiteName,
    (choice, change): (&NodeChoice, SiteChange),
    rehearsal: bool,
) -> Result<Vec<Name>> {
    if !rehearsal {
        records.lock_group()?;
    }
    let assignment = assignment_of(records, site)?;
    let (nodes, inherited) = match change {
        SiteChange::Add => (joining(records, site, choice)?, assignment.as_ref().map(|assignment| (site, assignment))),
        SiteChange::Remove => (leaving(records, site, choice)?, None),
    };
    let changes = inherited_by(records, &nodes, inherited)?;
    if rehearsal || nodes.is_empty() {
        return Ok(nodes);
    }
    write(records, context, changes)?;
    let all: Vec<&Name> = nodes.iter().collect();
    match change {
        SiteChange::Add => {
            records.put_site_nodes(site, &all)?;
            let after = json!({ "added": nodes });
            audit(records, context.by, ("add to site", site.as_str()), None, Some(&after))?;
        }
        SiteChange::Remove => {
            records.remove_site_nodes(&all)?;
            let before = json!({ "removed": nodes });
            audit(records, context.by, ("remove from site", site.as_str()), Some(&before), None)?;
        }
    }
    records.changed()?;
    Ok(nodes)
}

/// Those of a choice that are to be put into a site and are not in it yet, by name.
fn joining(records: &mut dyn Records, site: &SiteName, choice: &NodeChoice) -> Result<Vec<Name>> {
    let nodes = match &choice.pattern {
        Some(pattern) => fitting(records, pattern, choice.role)?,
        None => {
            let nodes = distinct(choice.names.iter());
            check_known(records, &nodes)?;
            nodes.into_iter().cloned().collect()
        }
    };
    let placed = records.site_nodes(Which::Named(&nodes.iter().collect::<Vec<_>>()))?;
    if let Some((node, other)) = placed.iter().find(|(_, other)| other != site) {
        return Err(Error::new(Code::SiteTaken)
            .subject(node.as_str())
            .found(format!("a node of the site {other}"))
            .expected("a node of no site"));
    }
    let there = distinct(placed.iter().map(|(node, _)| node));
    let new: Vec<Name> = nodes.into_iter().filter(|node| there.binary_search(&node).is_err()).collect();
    let count = nodes_of(records, site)?.len().saturating_add(new.len());
    if count > SITE_NODES_MAX {
        return Err(Error::new(Code::ConfigBadValue)
            .subject(site.as_str())
            .found(format!("{count} nodes"))
            .expected(format!("at most {SITE_NODES_MAX} nodes in a site")));
    }
    Ok(new)
}

/// Those of a choice that are to be taken out of a site, by name.
fn leaving(records: &mut dyn Records, site: &SiteName, choice: &NodeChoice) -> Result<Vec<Name>> {
    let mut there = nodes_of(records, site)?;
    there.sort_unstable();
    if let Some(pattern) = &choice.pattern {
        there.retain(|node| pattern.fits(node));
        if let Some(role) = choice.role {
            let gateways = records.gateways(Which::Named(&there.iter().collect::<Vec<_>>()))?;
            let gateways = distinct(gateways.iter().map(|gateway| &gateway.name));
            there.retain(|node| gateways.binary_search(&node).is_ok() == (role == Role::Gateway));
        }
        return Ok(there);
    }
    let nodes = distinct(choice.names.iter());
    if let Some(node) = nodes.iter().find(|node| there.binary_search(node).is_err()) {
        return Err(Error::new(Code::NameUnknown)
            .subject(node.as_str())
            .found("a name that is not in it")
            .expected(format!("a node of the site {site}"))
            .remedy("look at farpost site show"));
    }
    Ok(nodes.into_iter().cloned().collect())
}

/// The gateways and agents that fit, but for those that an operator keeps out, by name.
fn fitting(records: &mut dyn Records, pattern: &NamePattern, role: Option<Role>) -> Result<Vec<Name>> {
    let mut nodes: Vec<Name> = Vec::new();
    if role != Some(Role::Agent) {
        let gateways = records.gateways(Which::All)?.into_iter();
        nodes.extend(gateways.filter(|gateway| gateway.state != GatewayState::Deleted).map(|gateway| gateway.name));
    }
    if role != Some(Role::Gateway) {
        let agents = records.agents(Which::All)?.into_iter();
        nodes.extend(agents.filter(|agent| agent.state != AgentState::Rejected).map(|agent| agent.name));
    }
    nodes.retain(|node| pattern.fits(node));
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

/// What a site has.
///
/// # Errors
///
/// [`Code::SiteUnknown`] says which there are.
pub(super) fn assignment_of(records: &mut dyn Records, site: &SiteName) -> Result<Option<Assignment>> {
    let sites = records.sites()?;
    let known: Vec<_> = sites.iter().map(|(name, _)| name.as_str()).collect();
    let expected = if known.is_empty() { "a site; there is none yet".to_owned() } else { known.join(", ") };
    let found = sites.iter().find(|(name, _)| name == site).map(|(_, assignment)| assignment.clone());
    found.ok_or_else(|| {
        Error::new(Code::SiteUnknown).subject(site.as_str()).found("no site of this name").expected(expected)
    })
}

/// Gives the nodes that have nothing of their own what the site has; takes away what they had from it, with `None`.
fn inherit(
    records: &mut dyn Records,
    context: &Context<'_>,
    nodes: &[Name],
    site: Option<(&SiteName, &Assignment)>,
) -> Result<()> {
    let changes = inherited_by(records, nodes, site)?;
    write(records, context, changes)
}

/// What [`inherit`] would write, which the group may assign.
fn inherited_by(
    records: &mut dyn Records,
    nodes: &[Name],
    site: Option<(&SiteName, &Assignment)>,
) -> Result<Vec<Change>> {
    let held = of(records, &nodes.iter().collect::<Vec<_>>())?;
    let follows = |node: &&Name| match held.get(*node) {
        Some(record) => record.site.is_some(),
        None => site.is_some(),
    };
    let change = |node: &Name| Change {
        node: node.clone(),
        assignment: site.map(|(_, assignment)| assignment.clone()),
        site: site.map(|(site, _)| site.clone()),
    };
    let changes: Vec<Change> = nodes.iter().filter(follows).map(change).collect();
    check(records, &changes)?;
    Ok(changes)
}

/// Whether the group knows all of them.
fn check_known(records: &mut dyn Records, nodes: &[&Name]) -> Result<()> {
    let gateways = records.gateways(Which::Named(nodes))?;
    let agents = records.agents(Which::Named(nodes))?;
    let there = gateways.iter().filter(|gateway| gateway.state != GatewayState::Deleted).map(|gateway| &gateway.name);
    let known = distinct(there.chain(agents.iter().map(|agent| &agent.name)));
    match nodes.iter().find(|node| known.binary_search(node).is_err()) {
        Some(node) => Err(name_unknown(records, node, "gateways and agents of the group")),
        None => Ok(()),
    }
}

pub(super) fn nodes_of(records: &mut dyn Records, site: &SiteName) -> Result<Vec<Name>> {
    let placed = records.site_nodes(Which::All)?;
    Ok(placed.into_iter().filter(|(_, at)| at == site).map(|(node, _)| node).collect())
}
