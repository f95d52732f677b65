//! Who may come in (rules G1, G3): a decision per knock, from what the group knows of the name.

use std::sync::Arc;

use crate::code::Code;
use crate::error::Error;
use crate::group::assignment::{Assignment, server_unknown};
use crate::group::operator::{OperatorRecord, a_server, an_operator, decide_operator};
use crate::group::pattern::NamePattern;
use crate::group::pin::KeyPin;
use crate::group::record::{AgentRecord, AgentState, GatewayRecord, GatewayState, ServerRecord, UnknownAgents};
use crate::group::rule::{ApprovalRule, RuleName, first_that_fits};
use crate::identity::KeyHash;
use crate::limits::{GATEWAY_PATTERNS_MAX, PENDING_LINKS_MAX, PENDING_UNSEEN_MAX};
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// A peer that wants in: what its certificate proved and what it asked to be.
#[derive(Clone, Debug)]
pub(crate) struct Knock {
    pub(crate) role: Role,
    pub(crate) name: Name,
    /// SHA-256 of the leaf's SubjectPublicKeyInfo.
    pub(crate) key: KeyHash,
    /// SHA-256 of the SubjectPublicKeyInfo of the CA that issued the leaf, as the verified chain proves it.
    pub(crate) issuer: KeyHash,
    /// Whether it is in already and its standing is looked at again.
    pub(crate) is_in: bool,
    /// As seen by the node that it connected to; for people.
    pub(crate) address: String,
    /// The management server that asks.
    pub(crate) server: Name,
    /// The gateway in between, if any.
    pub(crate) via: Option<Name>,
    pub(crate) software: String,
    pub(crate) at: Timestamp,
}

/// The group's answer to a knock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Approved(Approved),
    /// It waits with an open link (rule G5); the code says for what.
    Pending(Code),
    Refused(Error),
}

impl Decision {
    /// Whether the node itself is approved and only came to a place that is not its own: it may know where that is.
    pub(crate) fn is_about_the_place(&self) -> bool {
        match self {
            Self::Refused(error) => matches!(error.code(), Code::AgentElsewhere | Code::ParentNotApproved),
            Self::Approved(_) | Self::Pending(_) => false,
        }
    }
}

/// The proof that the group approved a name for a role: only [`decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approved {
    name: Name,
    role: Role,
}

impl Approved {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }
}

/// What the group knows that bears on a knock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) gateway: Option<GatewayRecord>,
    pub(crate) agent: Option<AgentRecord>,
    /// The management server that asks.
    pub(crate) server: Option<ServerRecord>,
    /// The management server that has the knocking name.
    pub(crate) bearer: Option<ServerRecord>,
    /// The operator of this name.
    pub(crate) operator: Option<OperatorRecord>,
    /// The knocking node's.
    pub(crate) assignment: Option<Assignment>,
    /// Whether the gateway in between is approved; false where there is none.
    pub(crate) via_approved: bool,
    /// Whether that gateway may speak only for other agents than this one (H4).
    pub(crate) is_not_vias: bool,
    /// Names that wait behind the same gateway, or directly at the same server.
    pub(crate) pending: usize,
    pub(crate) unknown_agents: UnknownAgents,
    /// What decides about agents that no operator has decided about, in order.
    pub(crate) rules: Arc<[ApprovalRule]>,
}

/// What the store writes down after a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    /// Nothing at all.
    Nothing,
    /// When and where the known name was last seen.
    Seen,
    /// A gateway that now waits, new or once deleted.
    PendingGateway,
    /// An agent with this state, new or one that waited, and the rule that says so.
    Agent(AgentState, Option<RuleName>),
    /// That the pinned name came with another key.
    OtherKey,
}

/// Decides about a knock.
pub(crate) fn decide(facts: &Facts, knock: &Knock) -> (Decision, Remember) {
    if let Some(operator) = facts.operator.as_ref().filter(|_| knock.role != Role::Operator) {
        return (Decision::Refused(an_operator(&knock.name, operator)), Remember::Nothing);
    }
    let is_approved = facts.agent.as_ref().is_some_and(|agent| agent.state == AgentState::Approved)
        || facts.gateway.as_ref().is_some_and(|gateway| gateway.state == GatewayState::Approved);
    if facts.bearer.is_some() && !is_approved && matches!(knock.role, Role::Gateway | Role::Agent) {
        // One that was approved all the same, by an earlier release, stays until an operator decides otherwise.
        return (Decision::Refused(a_server(&knock.name, "a gateway or an agent")), Remember::Nothing);
    }
    match knock.role {
        Role::Operator => decide_operator(facts, knock),
        Role::Gateway => decide_gateway(facts, knock),
        Role::Agent => decide_agent(facts, knock),
        Role::ManagementServer => {
            let error = refusal(Code::RoleUnexpected, knock)
                .found("a management server")
                .expected("agent, gateway or operator");
            (Decision::Refused(error), Remember::Nothing)
        }
    }
}

fn decide_gateway(facts: &Facts, knock: &Knock) -> (Decision, Remember) {
    if let Some(agent) = &facts.agent {
        let code = match agent.state {
            AgentState::Rejected => Code::NameRejected,
            AgentState::Pending | AgentState::Approved => Code::RoleNotApproved,
        };
        let error = refusal(code, knock).found(format!("an agent, {}", agent.state)).expected("a gateway");
        return (Decision::Refused(error), Remember::Nothing);
    }
    match &facts.gateway {
        Some(gateway) if gateway.state == GatewayState::Approved => {
            if !gateway.pin.allows(knock.key, knock.at) {
                return (not_pinned(&gateway.pin, knock), Remember::OtherKey);
            }
            (gateway_at_its_place(facts, gateway, knock), Remember::Seen)
        }
        Some(gateway) if gateway.state == GatewayState::Pending => {
            (Decision::Pending(Code::GatewayPending), Remember::Seen)
        }
        _ if facts.pending >= PENDING_LINKS_MAX => (pending_full(knock), Remember::Nothing),
        _ => (Decision::Pending(Code::GatewayPending), Remember::PendingGateway),
    }
}

/// An approved gateway may come to the server it is approved for and to those of its assignment, unless excluded;
/// in a chain, also through an approved gateway of its assignment.
fn gateway_at_its_place(facts: &Facts, gateway: &GatewayRecord, knock: &Knock) -> Decision {
    if facts.server.as_ref().is_some_and(|server| server.excluded) {
        return Decision::Refused(refusal(Code::ServerExcluded, knock).found(knock.server.as_str()));
    }
    let assigned = |name: &Name| facts.assignment.as_ref().is_some_and(|assignment| assignment.contains(name));
    let through = match &knock.via {
        Some(via) => facts.via_approved.then_some(via),
        None => Some(&knock.server),
    };
    let is_parent = |name: &Name| gateway.parent.as_ref() == Some(name);
    let at_home = is_parent(&knock.server) || assigned(&knock.server);
    if through.is_some_and(|upstream| at_home || is_parent(upstream) || assigned(upstream)) {
        return approved(knock);
    }
    let parent = gateway.parent.as_ref().map_or("no server", Name::as_str);
    let error =
        refusal(Code::ParentNotApproved, knock).found(place(knock)).expected(format!("{parent}, or its failovers"));
    Decision::Refused(error)
}

fn decide_agent(facts: &Facts, knock: &Knock) -> (Decision, Remember) {
    if let Some(gateway) = &facts.gateway {
        // Whatever became of it: who once asked to be a gateway is an agent only by an operator's word (rule G1).
        let error =
            refusal(Code::RoleNotApproved, knock).found(format!("a gateway, {}", gateway.state)).expected("an agent");
        return (Decision::Refused(error), Remember::Nothing);
    }
    match &facts.agent {
        Some(agent) if agent.state == AgentState::Rejected => {
            (Decision::Refused(refusal(Code::NameRejected, knock)), Remember::Seen)
        }
        // Before anything is remembered of it: a gateway fills no list with names that it has no business with.
        _ if facts.is_not_vias => {
            let error = refusal(Code::GatewayMayNotSpeak, knock).found(place(knock));
            (Decision::Refused(error.expected("a gateway that may speak for it")), Remember::Nothing)
        }
        Some(agent) if agent.state == AgentState::Approved => {
            if !agent.pin.allows(knock.key, knock.at) {
                return (not_pinned(&agent.pin, knock), Remember::OtherKey);
            }
            (agent_at_its_place(facts, knock), Remember::Seen)
        }
        waiting => decide_undecided_agent(facts, knock, waiting.is_some()),
    }
}

/// Of an agent that no operator has decided about the first rule that fits decides, else the default. The default does
/// not change what already waits.
fn decide_undecided_agent(facts: &Facts, knock: &Knock, is_waiting: bool) -> (Decision, Remember) {
    // It was let in and deleted since: its next knock is that of an unknown one.
    if knock.is_in && !is_waiting {
        return (Decision::Refused(refusal(Code::ApprovalWithdrawn, knock)), Remember::Nothing);
    }
    let rule = first_that_fits(&facts.rules, &knock.name, knock.via.as_ref(), Some(knock.issuer));
    let by = rule.map(|rule| rule.name.clone());
    match rule.map_or(facts.unknown_agents, |rule| rule.action) {
        _ if is_waiting && rule.is_none() => (Decision::Pending(Code::AgentPending), Remember::Seen),
        UnknownAgents::Pending if is_waiting => (Decision::Pending(Code::AgentPending), Remember::Seen),
        UnknownAgents::Reject => {
            let found = by.as_ref().map_or_else(|| "an unknown agent".to_owned(), |rule| format!("rule {rule}"));
            let error = refusal(Code::NameRejected, knock).found(found).expected("an approved agent");
            // Who was never remembered is not remembered for this: the rule says it again.
            let remember = if is_waiting { Remember::Agent(AgentState::Rejected, by) } else { Remember::Nothing };
            (Decision::Refused(error), remember)
        }
        UnknownAgents::Approve => match agent_at_its_place(facts, knock) {
            decision @ Decision::Approved(_) => (decision, Remember::Agent(AgentState::Approved, by)),
            decision => (decision, Remember::Nothing),
        },
        UnknownAgents::Pending if facts.pending >= PENDING_LINKS_MAX => (pending_full(knock), Remember::Nothing),
        UnknownAgents::Pending => (Decision::Pending(Code::AgentPending), Remember::Agent(AgentState::Pending, by)),
    }
}

/// An agent comes directly or through any approved gateway; one with an assignment only as assigned.
fn agent_at_its_place(facts: &Facts, knock: &Knock) -> Decision {
    let upstream = knock.via.as_ref().unwrap_or(&knock.server);
    if knock.via.is_some() && !facts.via_approved {
        let error = refusal(Code::AgentElsewhere, knock).found(place(knock)).expected("an approved gateway");
        return Decision::Refused(error);
    }
    match &facts.assignment {
        Some(assignment) if !assignment.contains(upstream) => {
            let assigned: Vec<_> = assignment.upstreams().map(|upstream| upstream.name().as_str()).collect();
            let error = refusal(Code::AgentElsewhere, knock).found(place(knock)).expected(assigned.join(", "));
            Decision::Refused(error)
        }
        _ => approved(knock),
    }
}

/// Whether an operator may approve a name as a gateway for a parent. `known` lists the servers, for people.
///
/// # Errors
///
/// [`Code::ServerUnknown`], [`Code::ServerExcluded`], or [`Code::RoleNotApproved`] for an approved agent.
pub(crate) fn may_approve_gateway(
    gateway: &Name,
    agent: Option<&AgentRecord>,
    parent: (&Name, Option<&ServerRecord>),
    known: &[Name],
) -> Result<(), Error> {
    match parent {
        (name, None) => return Err(server_unknown(name, known)),
        (name, Some(server)) if server.excluded => {
            let excluded = Error::new(Code::ServerExcluded).subject(name.as_str()).found("a server that is excluded");
            return Err(excluded.expected("a management server that is not"));
        }
        _ => {}
    }
    may_be_gateway(gateway, agent)
}

/// Whether an operator may approve a name as a gateway: unless it is an approved agent.
///
/// # Errors
///
/// [`Code::RoleNotApproved`].
pub(crate) fn may_be_gateway(gateway: &Name, agent: Option<&AgentRecord>) -> Result<(), Error> {
    match agent {
        Some(agent) if agent.state == AgentState::Approved => Err(Error::new(Code::RoleNotApproved)
            .subject(gateway.as_str())
            .found("an approved agent")
            .expected("a gateway")
            .remedy(format!("farpost agent reject {gateway}, then approve the gateway; or use another name"))),
        _ => Ok(()),
    }
}

/// Whether an operator may approve a name as an agent: unless it is an approved gateway.
///
/// # Errors
///
/// [`Code::RoleNotApproved`].
pub(crate) fn may_approve_agent(agent: &Name, gateway: Option<&GatewayRecord>) -> Result<(), Error> {
    match gateway {
        Some(gateway) if gateway.state == GatewayState::Approved => Err(Error::new(Code::RoleNotApproved)
            .subject(agent.as_str())
            .found("an approved gateway")
            .expected("an agent")),
        _ => Ok(()),
    }
}

/// Whether a set of patterns may be a gateway's.
///
/// # Errors
///
/// [`Code::ArgumentInvalid`] if they are too many.
pub(crate) fn may_limit_gateway(patterns: &[NamePattern]) -> Result<(), Error> {
    if patterns.len() <= GATEWAY_PATTERNS_MAX {
        return Ok(());
    }
    Err(Error::new(Code::ArgumentInvalid)
        .subject("the agents of a gateway")
        .found(format!("{} patterns", patterns.len()))
        .expected(format!("at most {GATEWAY_PATTERNS_MAX}")))
}

/// Who waits and was not seen since then is forgotten.
pub(crate) fn pending_expired_before(now: Timestamp) -> Timestamp {
    let unseen = i64::try_from(PENDING_UNSEEN_MAX.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(now.unix_millis().saturating_sub(unseen))
}

pub(super) fn approved(knock: &Knock) -> Decision {
    Decision::Approved(Approved { name: knock.name.clone(), role: knock.role })
}

fn not_pinned(pin: &KeyPin, knock: &Knock) -> Decision {
    let error = refusal(Code::KeyNotPinned, knock).found(format!("the key {}", knock.key));
    Decision::Refused(error.expected(format!("the key {}", pin.demand)))
}

fn pending_full(knock: &Knock) -> Decision {
    let found = format!("{PENDING_LINKS_MAX} names that wait at {}", place(knock));
    Decision::Refused(refusal(Code::PendingFull, knock).found(found))
}

pub(super) fn refusal(code: Code, knock: &Knock) -> Error {
    Error::new(code).subject(knock.name.as_str())
}

/// Where a knock came, for people.
fn place(knock: &Knock) -> String {
    match &knock.via {
        Some(via) => format!("{via} (at {})", knock.server),
        None => knock.server.to_string(),
    }
}

#[cfg(test)]
mod tests;
