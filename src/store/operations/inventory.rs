//! What the group knows of its nodes and of what they delivered.

use std::collections::HashSet;

use crate::error::Result;
use crate::group::{Answer, Cursor, Inventory, InventoryOperation};
use crate::name::Name;
use crate::store::operations::{Context, assignments};
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
        InventoryOperation::Cursors => cursors(records).map(Answer::Cursors),
        InventoryOperation::Deliveries { above, limit } => {
            records.deliveries(*above, count(*limit)).map(Answer::Deliveries)
        }
        InventoryOperation::DeliveryCount => records.delivery_count().map(Answer::Number),
        InventoryOperation::Gaps { above, limit } => records.gaps(*above, count(*limit)).map(Answer::Gaps),
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
