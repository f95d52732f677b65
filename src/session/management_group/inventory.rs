//! What the group knows of its nodes and of what they delivered.

use crate::error::Result;
use crate::group::{Answer, Cursor, Delivery, DeliveryGap, Inventory, InventoryOperation};
use crate::session::management_group::{ManagementGroup, answer};

impl ManagementGroup {
    /// The group's name.
    ///
    /// # Errors
    ///
    /// As every call here: [`Code::StoreBusy`] may be tried again, [`Code::StoreUnavailable`] and
    /// [`Code::StoreCorrupt`] need an operator.
    pub async fn name(&self) -> Result<String> {
        answer!(self.ask(InventoryOperation::Name), Text)
    }

    /// A number that rises with every change of approvals, assignments, servers and messages to agents.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn change(&self) -> Result<u64> {
        answer!(self.ask(InventoryOperation::Change), Number)
    }

    /// How far each agent is delivered, the newest epoch last.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn cursors(&self) -> Result<Vec<Cursor>> {
        answer!(self.ask(InventoryOperation::Cursors), Cursors)
    }

    /// All that the group knows of its nodes.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn inventory(&self) -> Result<Inventory> {
        answer!(self.ask(InventoryOperation::Inventory), Inventory).map(|inventory| *inventory)
    }

    /// What an output with `store = true` wrote above a number (0: from the beginning), oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn deliveries(&self, above: u64, limit: usize) -> Result<Vec<Delivery>> {
        answer!(self.ask(InventoryOperation::Deliveries { above, limit: limit as u64 }), Deliveries)
    }

    /// How many messages an output with `store = true` wrote.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn delivery_count(&self) -> Result<u64> {
        answer!(self.ask(InventoryOperation::DeliveryCount), Number)
    }

    /// The gaps that an output with `store = true` wrote above a number, oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn gaps(&self, above: u64, limit: usize) -> Result<Vec<DeliveryGap>> {
        answer!(self.ask(InventoryOperation::Gaps { above, limit: limit as u64 }), Gaps)
    }
}
