//! Servers, and which upstreams a node has (rules G3, G6).

use crate::error::Result;
use crate::group::{Answer, Assignment, AssignmentsOperation, ServerRecord, Upstream};
use crate::name::Name;
use crate::session::management_group::{ManagementGroup, answer, done};

impl ManagementGroup {
    /// All management servers, by name. A server registers itself when it starts.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn servers(&self) -> Result<Vec<ServerRecord>> {
        answer!(self.ask(AssignmentsOperation::Servers), Servers)
    }

    /// Never uses a management server for failover (rule G3), or allows it again.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`], [`Code::NameUnreadable`].
    pub async fn set_server_excluded(&self, server: &str, excluded: bool) -> Result<()> {
        let server = Name::parse(server)?;
        self.ask(AssignmentsOperation::SetServerExcluded { server, excluded }).await.and_then(done)
    }

    /// Assigns a gateway or an agent its upstreams, as `host` or `host:port`; the first failover is tried first.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`] for the node; [`Code::ServerUnknown`], [`Code::ServerExcluded`] or
    /// [`Code::PrimaryIsFailover`] for an upstream; [`Code::ConfigBadValue`] for what cannot be read or is too much.
    pub async fn set_failover(&self, node: &str, primary: &str, failover: &[impl AsRef<str>]) -> Result<()> {
        let node = Name::parse(node)?;
        let failover: Vec<_> = failover.iter().map(|text| Upstream::parse(text.as_ref())).collect::<Result<_>>()?;
        let assignment = Assignment::new(Upstream::parse(primary)?, failover)?;
        self.ask(AssignmentsOperation::Assign { node, assignment }).await.and_then(done)
    }
}
