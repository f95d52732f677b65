//! Who may come in (rule G1).

use crate::error::Result;
use crate::group::{AgentRecord, Answer, ApprovalsOperation, GatewayRecord, UnknownAgents};
use crate::name::Name;
use crate::session::management_group::{ApprovedFor, ManagementGroup, answer, done};

impl ManagementGroup {
    /// Approves a gateway, before or after it first asked; an approved one gets this parent instead of its old one.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`] if the server never registered, [`Code::ServerExcluded`], [`Code::RoleNotApproved`] if
    /// the name is an approved agent's, [`Code::NameUnreadable`].
    pub async fn approve_gateway(&self, gateway: &str, parent: ApprovedFor<'_>) -> Result<()> {
        let ApprovedFor::ManagementServer(server) = parent;
        let (gateway, server) = (Name::parse(gateway)?, Name::parse(server)?);
        self.ask(ApprovalsOperation::ApproveGateway { gateway, parent: server }).await.and_then(done)
    }

    /// Removes a gateway from the group: its links close, and when it comes again it waits for approval.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`], [`Code::NameUnreadable`].
    pub async fn delete_gateway(&self, gateway: &str) -> Result<()> {
        let gateway = Name::parse(gateway)?;
        self.ask(ApprovalsOperation::DeleteGateway { gateway }).await.and_then(done)
    }

    /// Approves an agent, before or after it first asked.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`] if the name is an approved gateway's, [`Code::NameUnreadable`].
    pub async fn approve_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.ask(ApprovalsOperation::ApproveAgent { agent }).await.and_then(done)
    }

    /// Rejects an agent: it stays out until it is approved.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`] if the name is an approved gateway's, [`Code::NameUnreadable`].
    pub async fn reject_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.ask(ApprovalsOperation::RejectAgent { agent }).await.and_then(done)
    }

    /// What happens to agents that the group does not know.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn unknown_agents(&self) -> Result<UnknownAgents> {
        answer!(self.ask(ApprovalsOperation::UnknownAgents), UnknownAgents)
    }

    /// Changes what happens to agents that the group does not know; those that wait already go on waiting.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn set_unknown_agents(&self, unknown_agents: UnknownAgents) -> Result<()> {
        self.ask(ApprovalsOperation::SetUnknownAgents { unknown_agents }).await.and_then(done)
    }

    /// All agents, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn agents(&self) -> Result<Vec<AgentRecord>> {
        answer!(self.ask(ApprovalsOperation::Agents), Agents)
    }

    /// All gateways, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn gateways(&self) -> Result<Vec<GatewayRecord>> {
        answer!(self.ask(ApprovalsOperation::Gateways), Gateways)
    }
}
