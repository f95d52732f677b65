//! What a change of assignments needs and writes: the same for one node and for a site of many.

use std::collections::{BTreeSet, HashMap};

use crate::error::Result;
use crate::group::{
    Assignment, Candidate, Chains, GatewayRecord, GatewayState, GroupKey, SiteName, Upstream, may_assign, own_upstream,
};
use crate::name::Name;
use crate::store::operations::{Context, agent, assignments, distinct, gateway, name_unknown, names, server};
use crate::store::records::{Records, StoredAssignment, Which};

/// What a node is to have.
pub(super) struct Change {
    pub(super) node: Name,
    /// None where it is to follow its own configuration.
    pub(super) assignment: Option<Assignment>,
    /// Where the assignment comes from; none for the node's own.
    pub(super) site: Option<SiteName>,
}

/// Whether the group knows a node.
///
/// # Errors
///
/// [`Code::NameUnknown`].
pub(super) fn known_node(records: &mut dyn Records, node: &Name) -> Result<()> {
    if gateway(records, node)?.is_some_and(|gateway| is_there(&gateway)) || agent(records, node)?.is_some() {
        return Ok(());
    }
    Err(name_unknown(records, node, "a gateway or an agent of the group"))
}

/// Whether the group may assign all of this (rule G3): servers that are known and not excluded, gateways that are there
/// and do not make a loop.
pub(super) fn check(records: &mut dyn Records, changes: &[Change]) -> Result<()> {
    let mut looked_at: Vec<&Assignment> = Vec::new();
    let mut through_gateways = false;
    for change in changes {
        let Some(assignment) = &change.assignment else { continue };
        if assignment.contains(&change.node) {
            return Err(own_upstream(&change.node));
        }
        // The nodes of a site have one and the same.
        if looked_at.last() != Some(&assignment) {
            through_gateways |= check_upstreams(records, assignment)?;
            looked_at.push(assignment);
        }
    }
    if through_gateways { check_chains(records, changes) } else { Ok(()) }
}

/// Whether the group may assign these upstreams to anybody; answers whether there are gateways among them.
///
/// # Errors
///
/// [`Code::ServerUnknown`], [`Code::ServerExcluded`].
pub(super) fn check_upstreams(records: &mut dyn Records, assignment: &Assignment) -> Result<bool> {
    let servers = records.servers()?;
    let gateways = gateways_of(records, &assignment.upstreams().map(Upstream::name).collect::<Vec<_>>())?;
    may_assign(assignment, &names(&servers), |upstream| match server(&servers, upstream) {
        Some(server) => Candidate::Server { excluded: server.excluded },
        None if gateways.contains(upstream) => Candidate::Gateway,
        None => Candidate::Unknown,
    })?;
    Ok(!gateways.is_empty())
}

/// Whether a gateway may be approved for this one as its parent (rule G3).
///
/// # Errors
///
/// [`Code::ChainLoop`], [`Code::ChainTooLong`].
pub(in crate::store::operations) fn check_parent(
    records: &mut dyn Records,
    gateway: &Name,
    parent: &Name,
) -> Result<()> {
    let mut chains = chains(records, &[], Some(gateway))?;
    chains.put(gateway, parent);
    chains.check(gateway)
}

/// Whether the gateways among those that change may be where their new upstreams are.
fn check_chains(records: &mut dyn Records, changes: &[Change]) -> Result<()> {
    let changed: Vec<&Name> = changes.iter().map(|change| &change.node).collect();
    let moved = gateways_of(records, &changed)?;
    if moved.is_empty() {
        return Ok(());
    }
    let chains = chains(records, changes, None)?;
    moved.iter().try_for_each(|gateway| chains.check(gateway))
}

/// Who is behind whom once the changes are made; without the parent of a gateway that gets another one.
fn chains(records: &mut dyn Records, changes: &[Change], orphan: Option<&Name>) -> Result<Chains> {
    let there: Vec<GatewayRecord> = records.gateways(Which::All)?.into_iter().filter(is_there).collect();
    let gateways: BTreeSet<&Name> = there.iter().map(|gateway| &gateway.name).collect();
    let changed: BTreeSet<&Name> = changes.iter().map(|change| &change.node).collect();
    let held = assignments::all(records)?;
    let held = held.iter().map(|record| (&record.node, &record.assignment));
    let new = changes.iter().filter_map(|change| Some((&change.node, change.assignment.as_ref()?)));
    let assigned = held.filter(|(node, _)| !changed.contains(node)).chain(new);
    let mut chains = Chains::default();
    for (node, assignment) in assigned.filter(|(node, _)| gateways.contains(node)) {
        for upstream in assignment.upstreams().filter(|upstream| gateways.contains(upstream.name())) {
            chains.put(node, upstream.name());
        }
    }
    for gateway in there.iter().filter(|gateway| Some(&gateway.name) != orphan) {
        if let Some(parent) = gateway.parent.as_ref().filter(|parent| gateways.contains(parent)) {
            chains.put(&gateway.name, parent);
        }
    }
    Ok(chains)
}

/// Which of these are gateways.
fn gateways_of(records: &mut dyn Records, of: &[&Name]) -> Result<BTreeSet<Name>> {
    let found = records.gateways(Which::Named(&distinct(of.iter().copied())))?;
    Ok(found.into_iter().filter(is_there).map(|gateway| gateway.name).collect())
}

fn is_there(gateway: &GatewayRecord) -> bool {
    gateway.state != GatewayState::Deleted
}

/// Signs and writes what nodes are to have, each under its next version.
pub(super) fn write(records: &mut dyn Records, context: &Context<'_>, changes: Vec<Change>) -> Result<()> {
    let nodes = distinct(changes.iter().map(|change| &change.node));
    let known = records.stored_assignments(Which::Named(&nodes))?;
    let versions: HashMap<Name, u64> = known.into_iter().map(|stored| (stored.node, stored.version)).collect();
    let stored = records.signing_key()?;
    let key = GroupKey::from_pkcs8(&stored.pkcs8)?;
    let sign = |Change { node, assignment, site }: Change| {
        let version = versions.get(&node).copied().unwrap_or(0).max(stored.versions_from).saturating_add(1);
        let signed = Some(key.sign(context.group, &node, version, assignment.as_ref()));
        StoredAssignment { node, version, site, signed }
    };
    records.put_assignments(&changes.into_iter().map(sign).collect::<Vec<_>>())
}
