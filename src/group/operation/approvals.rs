//! Who may come in (rule G1).

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::group::{ApprovalRule, KeyDemand, NamePattern, RuleName, UnknownAgents};
use crate::identity::KeyHash;
use crate::name::Name;

/// About gateways and agents.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApprovalsOperation {
    /// Answers `Done`.
    ApproveGateway { gateway: Name, parent: Name },
    /// The same with terms: what is not given stays as it is. Answers `Done`.
    ApproveGatewayWith { gateway: Name, parent: Name, terms: GatewayTerms },
    /// Answers `Done`.
    DeleteGateway { gateway: Name },
    /// Answers `Done`.
    ApproveAgent { agent: Name },
    /// Answers `Done`.
    RejectAgent { agent: Name },
    /// Decides about some agents at once, all or nothing; where it is only a rehearsal, it changes nothing. Answers
    /// `Names`: whose standing changes.
    DecideAgents { choice: AgentChoice, decision: AgentDecision, rehearsal: bool },
    /// Puts a rule at the end, or before another one. Answers `Done`.
    AddRule { rule: ApprovalRule, before: Option<RuleName> },
    /// Answers `Done`.
    RemoveRule { rule: RuleName },
    /// Answers `Rules`.
    Rules,
    /// What would become of an agent. Answers `RuleTest`.
    TestRules { agent: Name, gateway: Option<Name>, issuer: Option<KeyHash> },
    /// Answers `Done`.
    SetUnknownAgents { unknown_agents: UnknownAgents },
    /// Answers `Gateways`.
    Gateways,
    /// Answers `Agents`.
    Agents,
    /// Answers `UnknownAgents`.
    UnknownAgents,
}

impl ApprovalsOperation {
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Gateways | Self::Agents | Self::UnknownAgents | Self::Rules | Self::TestRules { .. } => false,
            Self::DecideAgents { rehearsal, .. } => !rehearsal,
            _ => true,
        }
    }
}

/// What an approval of a gateway says beside its parent: what is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayTerms {
    pub(crate) key: Option<KeyDemand>,
    pub(crate) agents: Option<Vec<NamePattern>>,
}

impl GatewayTerms {
    /// Which key it must come with.
    #[must_use]
    pub fn key(self, key: KeyDemand) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The agents that it may speak for; without any pattern, all.
    ///
    /// # Errors
    ///
    /// [`Code::PatternUnreadable`](crate::code::Code::PatternUnreadable).
    pub fn agents<P: AsRef<str>>(self, patterns: &[P]) -> Result<Self, Error> {
        let patterns: Result<_, _> = patterns.iter().map(|pattern| NamePattern::parse(pattern.as_ref())).collect();
        Ok(Self { agents: Some(patterns?), ..self })
    }
}

/// Some agents: by their names, or all that the group knows and a pattern fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentChoice {
    pub(crate) names: Vec<Name>,
    pub(crate) pattern: Option<NamePattern>,
    pub(crate) only_pending: bool,
}

impl AgentChoice {
    /// Agents by their names.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`](crate::code::Code::NameUnreadable).
    pub fn named<N: AsRef<str>>(names: &[N]) -> Result<Self, Error> {
        let names: Result<_, _> = names.iter().map(|name| Name::parse(name.as_ref())).collect();
        Ok(Self { names: names?, ..Self::default() })
    }

    /// All agents that the group knows and that fit a pattern.
    ///
    /// # Errors
    ///
    /// [`Code::PatternUnreadable`](crate::code::Code::PatternUnreadable).
    pub fn fitting(pattern: &str) -> Result<Self, Error> {
        Ok(Self { pattern: Some(NamePattern::parse(pattern)?), ..Self::default() })
    }

    /// Of these only those that wait.
    #[must_use]
    pub fn only_pending(self) -> Self {
        Self { only_pending: true, ..self }
    }
}

/// What is decided about agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgentDecision {
    /// They may send; the key is demanded anew if it is given.
    Approve(Option<KeyDemand>),
    /// They stay out until they are approved.
    Reject,
    /// They are forgotten: what is connected is disconnected, and the next time they are unknown again.
    Delete,
}
