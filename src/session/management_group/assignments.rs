//! Servers, and which upstreams a node has (rules G3, G6).

use crate::error::Result;
use crate::group::{
    Answer, Assignment, AssignmentRecord, AssignmentTarget, AssignmentsOperation, ServerRecord, ServerUse, Upstream,
};
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

    /// Never uses a management server for failover (rule G3), or allows it again; answers who names it still.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`](crate::Code::ServerUnknown), [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn set_server_excluded(&self, server: &str, excluded: bool) -> Result<ServerUse> {
        let server = Name::parse(server)?;
        answer!(self.ask(AssignmentsOperation::SetServerExcluded { server, excluded }), ServerUse)
    }

    /// Removes a management server that was taken out of service; answers what it was. Its name may be approved as a
    /// gateway's or an agent's then. If it starts again on the group's store it registers as a new one, **not excluded
    /// from failover even if it was**: the answer says whether.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`](crate::Code::ServerUnknown), [`Code::NameUnreadable`](crate::Code::NameUnreadable); [`Code::ServerRuns`](crate::Code::ServerRuns) while it runs, or may:
    /// until 30 s after it was heard last; [`Code::ServerAssigned`](crate::Code::ServerAssigned) if gateways are approved for it, or nodes or
    /// sites have it as primary or failover.
    pub async fn delete_server(&self, server: &str) -> Result<ServerRecord> {
        let server = Name::parse(server)?;
        answer!(self.ask(AssignmentsOperation::DeleteServer { server }), Server)
    }

    /// Assigns a gateway or an agent its upstreams, as `host` or `host:port`; the first failover is tried first.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown) for the node; [`Code::ServerUnknown`](crate::Code::ServerUnknown), [`Code::ServerExcluded`](crate::Code::ServerExcluded) or
    /// [`Code::PrimaryIsFailover`](crate::Code::PrimaryIsFailover) for an upstream; [`Code::ConfigBadValue`](crate::Code::ConfigBadValue) for what cannot be read or is too much.
    pub async fn set_failover(&self, node: &str, primary: &str, failover: &[impl AsRef<str>]) -> Result<()> {
        let node = Name::parse(node)?;
        let assignment = assignment(primary, failover)?;
        self.ask(AssignmentsOperation::Assign { node, assignment }).await.and_then(done)
    }

    /// Takes away what a node or a site was assigned: a node has what its site has, or follows its own configuration.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::SiteUnknown`](crate::Code::SiteUnknown).
    pub async fn clear_failover(&self, target: &AssignmentTarget) -> Result<()> {
        self.ask(AssignmentsOperation::Withdraw { target: target.clone() }).await.and_then(done)
    }

    /// Lets the primary and a failover change places, the first one without a name, in one transaction with the look at
    /// who they are; answers what is assigned now.
    ///
    /// # Errors
    ///
    /// [`Code::NotFailover`](crate::Code::NotFailover), [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::SiteUnknown`](crate::Code::SiteUnknown); [`Code::ServerExcluded`](crate::Code::ServerExcluded) for an upstream that
    /// was excluded meanwhile.
    pub async fn swap_failover(&self, target: &AssignmentTarget, with: Option<&str>) -> Result<Assignment> {
        let (target, with) = (target.clone(), with.map(Name::parse).transpose()?);
        answer!(self.ask(AssignmentsOperation::Swap { target, with }), Assignment)
    }

    /// What is assigned, to one node or to all; a node that is not listed follows its own configuration.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn assignments(&self, node: Option<&str>) -> Result<Vec<AssignmentRecord>> {
        let node = node.map(Name::parse).transpose()?;
        answer!(self.ask(AssignmentsOperation::Assignments { node }), Assignments)
    }
}

/// Of texts.
pub(super) fn assignment(primary: &str, failover: &[impl AsRef<str>]) -> Result<Assignment> {
    let failover: Vec<_> = failover.iter().map(|text| Upstream::parse(text.as_ref())).collect::<Result<_>>()?;
    Assignment::new(Upstream::parse(primary)?, failover)
}
