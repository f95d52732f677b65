//! Who may come in (rule G1).

use crate::error::Result;
use crate::group::{
    AgentChoice, AgentDecision, AgentRecord, Answer, ApprovalRule, ApprovalsOperation, GatewayRecord, GatewayTerms,
    RuleName, RuleTest, UnknownAgents,
};
use crate::name::Name;
use crate::session::management_group::{ApprovedFor, ManagementGroup, answer, done};

impl ManagementGroup {
    /// Approves a gateway, before or after it first asked; an approved one gets this parent instead of its old one.
    ///
    /// # Errors
    ///
    /// [`Code::ServerUnknown`](crate::Code::ServerUnknown) if the server never registered, [`Code::ServerExcluded`](crate::Code::ServerExcluded), [`Code::RoleNotApproved`](crate::Code::RoleNotApproved) if
    /// the name is an approved agent's, [`Code::ChainLoop`](crate::Code::ChainLoop), [`Code::ChainTooLong`](crate::Code::ChainTooLong), [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn approve_gateway(&self, gateway: &str, parent: ApprovedFor<'_>) -> Result<()> {
        let (gateway, parent) = (Name::parse(gateway)?, parent_of(parent)?);
        self.ask(ApprovalsOperation::ApproveGateway { gateway, parent }).await.and_then(done)
    }

    /// The same with terms: which key it must come with, which agents it may speak for. What the terms do not say stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::approve_gateway`]; [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid) for too many patterns.
    pub async fn approve_gateway_with(
        &self,
        gateway: &str,
        parent: ApprovedFor<'_>,
        terms: &GatewayTerms,
    ) -> Result<()> {
        let (gateway, parent, terms) = (Name::parse(gateway)?, parent_of(parent)?, terms.clone());
        self.ask(ApprovalsOperation::ApproveGatewayWith { gateway, parent, terms }).await.and_then(done)
    }

    /// Removes a gateway from the group: its links close, and when it comes again it waits for approval.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn delete_gateway(&self, gateway: &str) -> Result<()> {
        let gateway = Name::parse(gateway)?;
        self.ask(ApprovalsOperation::DeleteGateway { gateway }).await.and_then(done)
    }

    /// Approves an agent, before or after it first asked.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`](crate::Code::RoleNotApproved) if the name is an approved gateway's, [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn approve_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.ask(ApprovalsOperation::ApproveAgent { agent }).await.and_then(done)
    }

    /// Rejects an agent: it stays out until it is approved.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`](crate::Code::RoleNotApproved) if the name is an approved gateway's, [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn reject_agent(&self, agent: &str) -> Result<()> {
        let agent = Name::parse(agent)?;
        self.ask(ApprovalsOperation::RejectAgent { agent }).await.and_then(done)
    }

    /// Approves, rejects or deletes agents, all of them or, with an error, none. Answers whose standing changed: of a
    /// pattern those for whom it was not so already, of names all.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::approve_agent`]; [`Code::NameUnknown`](crate::Code::NameUnknown) for a name to be deleted that the group does not know;
    /// [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid) for no name, too many, or one key for several agents.
    pub async fn decide_agents(&self, choice: &AgentChoice, decision: AgentDecision) -> Result<Vec<Name>> {
        let choice = choice.clone();
        answer!(self.ask(ApprovalsOperation::DecideAgents { choice, decision, rehearsal: false }), Names)
    }

    /// What [`ManagementGroup::decide_agents`] would answer; nothing changes.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn rehearse_agents(&self, choice: &AgentChoice, decision: AgentDecision) -> Result<Vec<Name>> {
        let choice = choice.clone();
        answer!(self.ask(ApprovalsOperation::DecideAgents { choice, decision, rehearsal: true }), Names)
    }

    /// Adds a rule at the end of the list, or before another one. It decides about agents that no operator has decided
    /// about, those that wait already too, and takes effect within 2 s (rule G2).
    ///
    /// # Errors
    ///
    /// [`Code::RuleExists`](crate::Code::RuleExists), [`Code::RuleUnknown`](crate::Code::RuleUnknown) for the other one, [`Code::RulesFull`](crate::Code::RulesFull).
    pub async fn add_rule(&self, rule: &ApprovalRule, before: Option<&str>) -> Result<()> {
        let (rule, before) = (rule.clone(), before.map(RuleName::parse).transpose()?);
        self.ask(ApprovalsOperation::AddRule { rule, before }).await.and_then(done)
    }

    /// Removes a rule. Whom it let in stays in.
    ///
    /// # Errors
    ///
    /// [`Code::RuleUnknown`](crate::Code::RuleUnknown).
    pub async fn remove_rule(&self, rule: &str) -> Result<()> {
        let rule = RuleName::parse(rule)?;
        self.ask(ApprovalsOperation::RemoveRule { rule }).await.and_then(done)
    }

    /// The rules, in their order.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn rules(&self) -> Result<Vec<ApprovalRule>> {
        answer!(self.ask(ApprovalsOperation::Rules), Rules)
    }

    /// Which rule would decide about an agent behind this gateway, or none, whose certificate the CA with this key
    /// (SHA-256 in hexadecimal) issued. Without an issuer no rule fits that demands one.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`](crate::Code::NameUnreadable); [`Code::ConfigBadValue`](crate::Code::ConfigBadValue) for the issuer.
    pub async fn test_rules(&self, agent: &str, gateway: Option<&str>, issuer: Option<&str>) -> Result<RuleTest> {
        let (agent, gateway) = (Name::parse(agent)?, gateway.map(Name::parse).transpose()?);
        let issuer = issuer.map(str::parse).transpose()?;
        answer!(self.ask(ApprovalsOperation::TestRules { agent, gateway, issuer }), RuleTest)
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

fn parent_of(parent: ApprovedFor<'_>) -> Result<Name> {
    match parent {
        ApprovedFor::ManagementServer(name) | ApprovedFor::Gateway(name) => Name::parse(name),
    }
}
