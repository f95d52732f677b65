//! What the group knows of its nodes and of what they delivered.

use std::collections::HashSet;

use crate::error::Result;
use crate::group::{
    Affected, Answer, Cursor, Inventory, InventoryOperation, NodeFilter, Overview, StandingFacts, failover_outlooks,
    problems,
};
use crate::name::Name;
use crate::role::Role;
use crate::store::operations::{Context, assignments, deliveries, name_unknown};
use crate::store::records::{Records, Which};

pub(super) fn perform(
    records: &mut dyn Records,
    context: &Context<'_>,
    operation: &InventoryOperation,
) -> Result<Answer> {
    let count = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    match operation {
        InventoryOperation::Name => Ok(Answer::Text(context.group.to_owned())),
        InventoryOperation::Change => records.change().map(Answer::Number),
        InventoryOperation::Inventory => inventory(records, context.group).map(Box::new).map(Answer::Inventory),
        InventoryOperation::Overview { filter } => {
            overview(records, context.group, filter).map(Box::new).map(Answer::Overview)
        }
        InventoryOperation::SimulateFailover { affected, without } => {
            let standings = facts(records)?.standings();
            failover_outlooks(&standings, affected, without).map(Answer::FailoverOutlooks)
        }
        InventoryOperation::SimulateFailoverOfSite { site, without } => {
            let mut nodes = assignments::nodes_of_site(records, site)?;
            let standings = facts(records)?.standings();
            let known: HashSet<&Name> = standings.iter().map(|node| &node.name).collect();
            nodes.retain(|node| known.contains(node));
            failover_outlooks(&standings, &Affected::Nodes(nodes), without).map(Answer::FailoverOutlooks)
        }
        InventoryOperation::Cursors => cursors(records).map(Answer::Cursors),
        InventoryOperation::Deliveries { above, limit } => {
            records.deliveries(*above, count(*limit)).map(Answer::Deliveries)
        }
        InventoryOperation::DeliveryCount => records.delivery_count().map(Answer::Number),
        InventoryOperation::Gaps { above, limit } => records.gaps(*above, count(*limit)).map(Answer::Gaps),
        InventoryOperation::DeliveriesKept => deliveries::kept(records).map(Answer::DeliveriesKept),
        InventoryOperation::KeepDeliveries { days } => deliveries::keep(records, context.by, *days),
    }
}

fn cursors(records: &mut dyn Records) -> Result<Vec<Cursor>> {
    let (cursors, gateways) = (records.cursors()?, records.gateways(Which::All)?);
    // A gateway behind another one has a session too, by which its connections are ordered, and delivers nothing.
    let gateways: HashSet<Name> = gateways.into_iter().map(|gateway| gateway.name).collect();
    let cursors = cursors.into_iter().filter(|(name, ..)| !gateways.contains(name));
    Ok(cursors.map(|(agent, epoch, through)| Cursor { agent, epoch, through }).collect())
}

/// Reads again when something changed meanwhile; what still moves after a few attempts is given as it is.
fn inventory(records: &mut dyn Records, group: &str) -> Result<Inventory> {
    for _ in 0..3 {
        let inventory = inventory_once(records, group)?;
        if records.change()? == inventory.change {
            return Ok(inventory);
        }
    }
    inventory_once(records, group)
}

fn inventory_once(records: &mut dyn Records, group: &str) -> Result<Inventory> {
    Ok(Inventory {
        management_group: group.to_owned(),
        change: records.change()?,
        servers: records.servers()?,
        gateways: records.gateways(Which::All)?,
        agents: records.agents(Which::All)?,
        assignments: assignments::all(records)?,
        cursors: cursors(records)?,
    })
}

/// What an overview is made of. What changes between two of the reads is a node's state of a moment ago, as all of it is.
fn facts(records: &mut dyn Records) -> Result<StandingFacts> {
    Ok(StandingFacts {
        servers: records.servers()?,
        gateways: records.gateways(Which::All)?,
        agents: records.agents(Which::All)?,
        assignments: assignments::all(records)?,
        cursors: cursors(records)?,
        clones: records.clones()?,
        presences: records.presences()?,
        // Last: who is claimed above has a lease that is as new.
        leases: records.leases()?,
        at: records.clock()?,
    })
}

fn overview(records: &mut dyn Records, group: &str, filter: &NodeFilter) -> Result<Overview> {
    let change = records.change()?;
    let (facts, sites) = (facts(records)?, records.sites()?);
    let at = facts.at;
    let mut nodes = facts.standings();
    let problems = problems(&nodes, &sites, at);
    let places = [
        (&filter.gateway, Role::Gateway, "a gateway of the group"),
        (&filter.server, Role::ManagementServer, "a management server of the group"),
    ];
    for (wanted, role, expected) in places {
        if let Some(name) = wanted
            && !nodes.iter().any(|node| node.name == *name && node.role == role)
        {
            return Err(name_unknown(records, name, expected));
        }
    }
    nodes.retain(|node| filter.takes(node));
    Ok(Overview { management_group: group.to_owned(), change, at, nodes, problems })
}
