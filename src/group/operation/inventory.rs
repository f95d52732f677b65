//! What the group knows of its nodes and of what they delivered.

use serde::{Deserialize, Serialize};

use crate::group::{Affected, NodeFilter, SiteName};
use crate::name::Name;

/// About nodes and deliveries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InventoryOperation {
    /// The group's name. Answers `Text`.
    Name,
    /// The number that rises with every change. Answers `Number`.
    Change,
    /// Answers `Inventory`.
    Inventory,
    /// How the nodes stand, and what is wrong. Answers `Overview`.
    Overview { filter: NodeFilter },
    /// Where everybody would go if something failed. Answers `FailoverOutlooks`.
    SimulateFailover { affected: Affected, without: Vec<Name> },
    /// The same of the nodes of a site. Answers `FailoverOutlooks`.
    SimulateFailoverOfSite { site: SiteName, without: Vec<Name> },
    /// Answers `Cursors`.
    Cursors,
    /// Deliveries above a number, at most `limit`. Answers `Deliveries`.
    Deliveries { above: u64, limit: u64 },
    /// Answers `Number`.
    DeliveryCount,
    /// Gaps above a number, at most `limit`. Answers `Gaps`.
    Gaps { above: u64, limit: u64 },
    /// How long deliveries and gaps are kept, and since when there are any. Answers `DeliveriesKept`.
    DeliveriesKept,
    /// Keeps them for so many whole days (UTC) beside today; `None`: for ever. Answers `Done`.
    KeepDeliveries { days: Option<u32> },
}

impl InventoryOperation {
    pub(crate) fn is_change(&self) -> bool {
        matches!(self, Self::KeepDeliveries { .. })
    }
}
