//! Who may come in (rules G1, G3): a decision per knock, from what the group knows of the name.

use std::time::Duration;

use crate::code::Code;
use crate::error::Error;
use crate::group::assignment::{Assignment, server_unknown};
use crate::group::operator::{OperatorRecord, an_operator, decide_operator};
use crate::group::record::{AgentRecord, AgentState, GatewayRecord, GatewayState, ServerRecord, UnknownAgents};
use crate::identity::KeyHash;
use crate::limits::PENDING_LINKS_MAX;
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// How long a name that waits for approval is remembered without being seen.
const PENDING_UNSEEN_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A peer that wants in: what its certificate proved and what it asked to be.
#[derive(Clone, Debug)]
pub(crate) struct Knock {
    pub(crate) role: Role,
    pub(crate) name: Name,
    /// SHA-256 of the leaf's SubjectPublicKeyInfo.
    pub(crate) key: KeyHash,
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
    /// Names that wait behind the same gateway, or directly at the same server.
    pub(crate) pending: usize,
    pub(crate) unknown_agents: UnknownAgents,
}

/// What the store writes down after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    /// Nothing at all.
    Nothing,
    /// When and where the known name was last seen.
    Seen,
    /// A gateway that now waits, new or once deleted.
    PendingGateway,
    /// A new agent with this state.
    Agent(AgentState),
}

/// Decides about a knock.
pub(crate) fn decide(facts: &Facts, knock: &Knock) -> (Decision, Remember) {
    if let Some(operator) = facts.operator.as_ref().filter(|_| knock.role != Role::Operator) {
        return (Decision::Refused(an_operator(&knock.name, operator)), Remember::Nothing);
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
    let at_home = gateway.parent.as_ref() == Some(&knock.server) || assigned(&knock.server);
    if through.is_some_and(|upstream| at_home || assigned(upstream)) {
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
    match (facts.agent.as_ref().map(|agent| agent.state), facts.unknown_agents) {
        (Some(AgentState::Rejected), _) => (Decision::Refused(refusal(Code::NameRejected, knock)), Remember::Seen),
        (Some(AgentState::Pending), _) => (Decision::Pending(Code::AgentPending), Remember::Seen),
        (Some(AgentState::Approved), _) => (agent_at_its_place(facts, knock), Remember::Seen),
        (None, UnknownAgents::Reject) => {
            let error = refusal(Code::NameRejected, knock).found("an unknown agent").expected("an approved one");
            (Decision::Refused(error), Remember::Nothing)
        }
        (None, UnknownAgents::Approve) => match agent_at_its_place(facts, knock) {
            decision @ Decision::Approved(_) => (decision, Remember::Agent(AgentState::Approved)),
            decision => (decision, Remember::Nothing),
        },
        (None, UnknownAgents::Pending) if facts.pending >= PENDING_LINKS_MAX => {
            (pending_full(knock), Remember::Nothing)
        }
        (None, UnknownAgents::Pending) => (Decision::Pending(Code::AgentPending), Remember::Agent(AgentState::Pending)),
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
            return Err(Error::new(Code::ServerExcluded).subject(name.as_str()));
        }
        _ => {}
    }
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

/// Who waits and was not seen since then is forgotten.
pub(crate) fn pending_expired_before(now: Timestamp) -> Timestamp {
    let unseen = i64::try_from(PENDING_UNSEEN_MAX.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(now.unix_millis().saturating_sub(unseen))
}

pub(super) fn approved(knock: &Knock) -> Decision {
    Decision::Approved(Approved { name: knock.name.clone(), role: knock.role })
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
