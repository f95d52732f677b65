//! Leases of management servers, and who is connected to them.

use crate::error::Result;
use crate::group::{Holder, LeaseRecord, NodePresence, NodeReport, PresenceRecord, Silence};
use crate::name::Name;
use crate::time::Timestamp;

/// Each server writes rows of its own: none waits for another.
pub(in crate::store) trait PresenceRecords {
    /// The clock by which leases run out: the same for all who use the store.
    fn clock(&mut self) -> Result<Timestamp>;
    /// Inserts or replaces the server's lease, until so many milliseconds from now.
    fn put_lease(&mut self, holder: &Holder, valid_for_ms: i64) -> Result<()>;
    /// All leases, by server.
    fn leases(&mut self) -> Result<Vec<LeaseRecord>>;
    fn remove_lease(&mut self, server: &Name) -> Result<()>;

    /// Marks all of a server's nodes as gone.
    fn leave_all(&mut self, server: &Name, at: Timestamp) -> Result<()>;
    /// Inserts or replaces; each node once.
    fn put_presences(&mut self, holder: &Holder, opened: &[(NodePresence, Option<NodeReport>)]) -> Result<()>;
    /// Replaces the reports of sessions that are there.
    fn put_reports(&mut self, holder: &Holder, reports: &[NodeReport]) -> Result<()>;
    /// The same for silences.
    fn put_silences(&mut self, holder: &Holder, silences: &[Silence]) -> Result<()>;
    /// Marks sessions that are there as gone, at their `last_heard`.
    fn put_gone(&mut self, holder: &Holder, gone: &[NodePresence]) -> Result<()>;
    /// Forgets who left a server before.
    fn forget_presences(&mut self, server: &Name, before: Timestamp) -> Result<()>;
    /// All, by node.
    fn presences(&mut self) -> Result<Vec<PresenceRecord>>;
}

/// A report as it is stored.
pub(in crate::store) fn report_text(report: &NodeReport) -> Result<String> {
    serde_json::to_string(report).map_err(|error| {
        let error_text = format!("a report that is no JSON: {error}");
        crate::error::Error::new(crate::code::Code::Internal).subject("presence").found(error_text)
    })
}

/// A report as it was stored. One that another release wrote and this one cannot read is as good as none: the node's
/// next one comes.
pub(in crate::store) fn report_of(text: Option<String>) -> Option<NodeReport> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// The gateways of a path, as they are stored.
pub(in crate::store) fn via_text(via: &[Name]) -> String {
    via.iter().map(Name::as_str).collect::<Vec<_>>().join(",")
}
