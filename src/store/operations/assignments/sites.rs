//! Sites: what is assigned to one is assigned to each of its nodes that has nothing of its own (rule G6).

use serde_json::json;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Assignment, By, GatewayState, SiteName, SiteRecord};
use crate::limits::{SITE_NODES_MAX, SITES_MAX};
use crate::name::Name;
use crate::store::operations::assignments::of;
use crate::store::operations::assignments::write::{Change, check, check_upstreams, write};
use crate::store::operations::{Context, audit, distinct};
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
        return Err(Error::new(Code::SiteTaken).subject(site.as_str()).found("a site of this name"));
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

/// Puts known nodes into a site; how many were not in it yet.
pub(super) fn add(records: &mut dyn Records, context: &Context<'_>, site: &SiteName, nodes: &[Name]) -> Result<u64> {
    records.lock_group()?;
    let assignment = assignment_of(records, site)?;
    let nodes = distinct(nodes.iter());
    check_known(records, &nodes)?;
    let placed = records.site_nodes(Which::Named(&nodes))?;
    if let Some((node, other)) = placed.iter().find(|(_, other)| other != site) {
        return Err(Error::new(Code::SiteTaken)
            .subject(node.as_str())
            .found(format!("a node of the site {other}"))
            .expected("a node of no site"));
    }
    let there = distinct(placed.iter().map(|(node, _)| node));
    let new: Vec<&Name> = nodes.iter().filter(|node| there.binary_search(node).is_err()).copied().collect();
    let count = nodes_of(records, site)?.len().saturating_add(new.len());
    if count > SITE_NODES_MAX {
        return Err(Error::new(Code::ConfigBadValue)
            .subject(site.as_str())
            .found(format!("{count} nodes"))
            .expected(format!("at most {SITE_NODES_MAX} nodes in a site")));
    }
    if new.is_empty() {
        return Ok(0);
    }
    records.put_site_nodes(site, &new)?;
    let members: Vec<Name> = new.iter().copied().cloned().collect();
    if let Some(assignment) = &assignment {
        inherit(records, context, &members, Some((site, assignment)))?;
    }
    let after = json!({ "added": members });
    audit(records, context.by, ("add to site", site.as_str()), None, Some(&after))?;
    records.changed()?;
    Ok(new.len() as u64)
}

/// Takes nodes out of a site; how many.
pub(super) fn remove(records: &mut dyn Records, context: &Context<'_>, site: &SiteName, nodes: &[Name]) -> Result<u64> {
    records.lock_group()?;
    assignment_of(records, site)?;
    let nodes = distinct(nodes.iter());
    let placed = records.site_nodes(Which::Named(&nodes))?;
    let there = distinct(placed.iter().filter(|(_, at)| at == site).map(|(node, _)| node));
    if let Some(node) = nodes.iter().find(|node| there.binary_search(node).is_err()) {
        return Err(Error::new(Code::NameUnknown)
            .subject(node.as_str())
            .expected(format!("a node of the site {site}"))
            .remedy("look at farpost site show"));
    }
    let members: Vec<Name> = nodes.iter().copied().cloned().collect();
    inherit(records, context, &members, None)?;
    records.remove_site_nodes(&nodes)?;
    let before = json!({ "removed": members });
    audit(records, context.by, ("remove from site", site.as_str()), Some(&before), None)?;
    records.changed()?;
    Ok(nodes.len() as u64)
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
    found.ok_or_else(|| Error::new(Code::SiteUnknown).subject(site.as_str()).expected(expected))
}

/// Gives the nodes that have nothing of their own what the site has; takes away what they had from it, with `None`.
fn inherit(
    records: &mut dyn Records,
    context: &Context<'_>,
    nodes: &[Name],
    site: Option<(&SiteName, &Assignment)>,
) -> Result<()> {
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
    write(records, context, changes)
}

/// Whether the group knows all of them.
fn check_known(records: &mut dyn Records, nodes: &[&Name]) -> Result<()> {
    let gateways = records.gateways(Which::Named(nodes))?;
    let agents = records.agents(Which::Named(nodes))?;
    let there = gateways.iter().filter(|gateway| gateway.state != GatewayState::Deleted).map(|gateway| &gateway.name);
    let known = distinct(there.chain(agents.iter().map(|agent| &agent.name)));
    match nodes.iter().find(|node| known.binary_search(node).is_err()) {
        Some(node) => {
            Err(Error::new(Code::NameUnknown).subject(node.as_str()).expected("gateways and agents of the group"))
        }
        None => Ok(()),
    }
}

fn nodes_of(records: &mut dyn Records, site: &SiteName) -> Result<Vec<Name>> {
    let placed = records.site_nodes(Which::All)?;
    Ok(placed.into_iter().filter(|(_, at)| at == site).map(|(node, _)| node).collect())
}
