//! What the group knows of its nodes and of what they delivered.

use crate::error::Result;
use crate::group::{
    Affected, Answer, Cursor, DeliveriesKept, Delivery, DeliveryGap, FailoverOutlook, Inventory, InventoryOperation,
    NodeFilter, Overview, SiteName,
};
use crate::name::Name;
use crate::session::management_group::sites::names;
use crate::session::management_group::{ManagementGroup, answer, done};

impl ManagementGroup {
    /// The group's name.
    ///
    /// # Errors
    ///
    /// As every call here: [`Code::StoreBusy`](crate::Code::StoreBusy) may be tried again, [`Code::StoreUnavailable`](crate::Code::StoreUnavailable) and
    /// [`Code::StoreCorrupt`](crate::Code::StoreCorrupt) need an operator.
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

    /// How the nodes stand that a filter takes, and what is wrong in the whole group.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn overview(&self, filter: NodeFilter) -> Result<Overview> {
        answer!(self.ask(InventoryOperation::Overview { filter }), Overview).map(|overview| *overview)
    }

    /// Where every gateway and agent would go if these nodes failed, by what it proved last of its upstreams.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`](crate::Code::NameUnreadable); [`Code::NameUnknown`](crate::Code::NameUnknown) for a node that the group does not know.
    pub async fn simulate_failover(&self, without: &[impl AsRef<str>]) -> Result<Vec<FailoverOutlook>> {
        self.simulate(Affected::Everybody, without).await
    }

    /// The same of a gateway and the agents behind it.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::simulate_failover`].
    pub async fn simulate_failover_of_gateway(
        &self,
        gateway: &str,
        without: &[impl AsRef<str>],
    ) -> Result<Vec<FailoverOutlook>> {
        self.simulate(Affected::Gateway(Name::parse(gateway)?), without).await
    }

    /// The same of these nodes alone.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::simulate_failover`].
    pub async fn simulate_failover_of(
        &self,
        nodes: &[impl AsRef<str>],
        without: &[impl AsRef<str>],
    ) -> Result<Vec<FailoverOutlook>> {
        self.simulate(Affected::Nodes(names(nodes)?), without).await
    }

    /// The same of the nodes of a site.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::simulate_failover`]; [`Code::SiteUnknown`](crate::Code::SiteUnknown).
    pub async fn simulate_failover_of_site(
        &self,
        site: &str,
        without: &[impl AsRef<str>],
    ) -> Result<Vec<FailoverOutlook>> {
        let (site, without) = (SiteName::parse(site)?, names(without)?);
        answer!(self.ask(InventoryOperation::SimulateFailoverOfSite { site, without }), FailoverOutlooks)
    }

    async fn simulate(&self, affected: Affected, without: &[impl AsRef<str>]) -> Result<Vec<FailoverOutlook>> {
        let without = names(without)?;
        answer!(self.ask(InventoryOperation::SimulateFailover { affected, without }), FailoverOutlooks)
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

    /// How long the store keeps deliveries and gaps, and since when there are any.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn deliveries_kept(&self) -> Result<DeliveriesKept> {
        answer!(self.ask(InventoryOperation::DeliveriesKept), DeliveriesKept)
    }

    /// Keeps deliveries and gaps for so many whole days (UTC, by the store's clock) beside today, or for ever (`None`, as it
    /// is until somebody says otherwise). What is older is pruned by the management servers within minutes, **whether
    /// anybody has read it or not**; a later, longer time brings nothing back.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid) for no days at all, and for more than a hundred years.
    pub async fn keep_deliveries(&self, days: Option<u32>) -> Result<()> {
        self.ask(InventoryOperation::KeepDeliveries { days }).await.and_then(done)
    }
}
