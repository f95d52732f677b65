//! Operators: who may ask and change what the group knows, from afar (rules G1, G4). Nobody may who is not listed.

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::approval::{Decision, Facts, Knock, Remember, approved, refusal};
use crate::group::operation::Operation;
use crate::group::record::words;
use crate::group::{AgentRecord, GatewayRecord, ServerRecord};
use crate::identity::KeyHash;
use crate::limits::OPERATORS_MAX;
use crate::name::Name;
use crate::time::Timestamp;

/// What the group decided about an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperatorState {
    /// It may come in.
    Approved,
    /// It stays out until it is approved.
    Rejected,
}

/// How much an operator may do from afar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// All but what is done beside the store only.
    Full,
    /// Look at the group, but not at its operators, and change nothing.
    ReadOnly,
}

words!(OperatorState { Approved = "approved", Rejected = "rejected", });
words!(Access { Full = "full", ReadOnly = "read-only", });

/// An operator, as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatorRecord {
    /// The name that its certificate must prove.
    pub name: Name,
    /// What the group decided.
    pub state: OperatorState,
    /// How much it may do.
    pub access: Access,
    /// When it was first approved or rejected.
    pub since: Timestamp,
    /// When it was first and last seen; none before it came.
    pub first_seen: Option<Timestamp>,
    /// See [`OperatorRecord::first_seen`].
    pub last_seen: Option<Timestamp>,
    /// Its address as the management server saw it, for people; empty before it was first seen.
    pub address: String,
    /// The management server that it came to last.
    pub server: Option<Name>,
    /// The only key that it may come with; none: any that a CA vouches for.
    pub(crate) pinned_key: Option<KeyHash>,
    /// The key that the group's authority certified last on a request signed with the pinned one: it takes that one's
    /// place when the operator first comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_key: Option<KeyHash>,
}

impl OperatorRecord {
    /// SHA-256 of the only public key that it may come with, in hexadecimal, where one was pinned.
    pub fn pinned_key_fingerprint(&self) -> Option<String> {
        self.pinned_key.map(|key| key.to_string())
    }

    /// Whether it may come with this key.
    fn may_show(&self, key: KeyHash) -> bool {
        self.pinned_key.is_none_or(|pinned| pinned == key || self.next_key == Some(key))
    }

    /// Takes the renewed key for the pinned one, now that the operator came with it. False if nothing changes.
    pub(crate) fn showed(&mut self, key: KeyHash) -> bool {
        let is_renewed = self.pinned_key.is_some_and(|pinned| pinned != key) && self.next_key == Some(key);
        if is_renewed {
            (self.pinned_key, self.next_key) = (Some(key), None);
        }
        is_renewed
    }

    /// Lets it come with the key of its next certificate too, if one is pinned. False if nothing changes.
    pub(crate) fn renewed_by(&mut self, key: KeyHash) -> bool {
        let is_another = self.pinned_key.is_some_and(|pinned| pinned != key) && self.next_key != Some(key);
        if is_another {
            self.next_key = Some(key);
        }
        is_another
    }
}

/// Who else has a name: an operator's is no node's (rule G1).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bearers<'a> {
    pub(crate) agent: Option<&'a AgentRecord>,
    pub(crate) gateway: Option<&'a GatewayRecord>,
    pub(crate) server: Option<&'a ServerRecord>,
}

impl Bearers<'_> {
    /// What the name is, for people.
    pub(crate) fn describe(&self) -> Option<String> {
        let agent = self.agent.map(|agent| format!("an agent, {}", agent.state));
        let gateway = self.gateway.map(|gateway| format!("a gateway, {}", gateway.state));
        agent.or(gateway).or_else(|| self.server.map(|_| "a management server".to_owned()))
    }
}

/// Whether a name may become an operator: unless it is a node's, and if there is room for a new one. `held` is how many
/// there are.
///
/// # Errors
///
/// [`Code::RoleNotApproved`], [`Code::OperatorsFull`].
pub(crate) fn may_be_operator(name: &Name, bearers: Bearers<'_>, is_new: bool, held: usize) -> Result<()> {
    if let Some(found) = bearers.describe() {
        return Err(Error::new(Code::RoleNotApproved)
            .subject(name.as_str())
            .found(found)
            .expected("a name that is no node's")
            .remedy("give the operator a certificate with a name of its own"));
    }
    if is_new && held >= OPERATORS_MAX {
        let full = Error::new(Code::OperatorsFull).subject(name.as_str()).found(format!("{held} operators"));
        return Err(full.expected(format!("at most {OPERATORS_MAX}")));
    }
    Ok(())
}

/// The other way round: a name may become a node's unless it is an operator's, approved or rejected.
///
/// # Errors
///
/// [`Code::RoleNotApproved`].
pub(crate) fn may_be_node(name: &Name, operator: Option<&OperatorRecord>) -> Result<()> {
    match operator {
        Some(operator) => Err(an_operator(name, operator)),
        None => Ok(()),
    }
}

/// The refusal of a management server's name as something else.
pub(crate) fn a_server(name: &Name, expected: &str) -> Error {
    Error::new(Code::RoleNotApproved)
        .subject(name.as_str())
        .found("a management server")
        .expected(expected)
        .remedy("give the node a certificate with a name of its own")
}

/// The refusal of an operator that comes as something else.
pub(super) fn an_operator(name: &Name, operator: &OperatorRecord) -> Error {
    Error::new(Code::RoleNotApproved)
        .subject(name.as_str())
        .found(format!("an operator, {}", operator.state))
        .expected("a node of the group")
        .remedy(format!("use another name, or farpost operator delete {name}"))
}

/// Decides about an operator's knock: whom nobody approved as operator is refused at once, and waits for nothing.
pub(super) fn decide_operator(facts: &Facts, knock: &Knock) -> (Decision, Remember) {
    let bearers =
        Bearers { agent: facts.agent.as_ref(), gateway: facts.gateway.as_ref(), server: facts.bearer.as_ref() };
    if let Some(found) = bearers.describe() {
        let error = refusal(Code::RoleNotApproved, knock).found(found).expected("an operator");
        return (Decision::Refused(error), Remember::Nothing);
    }
    let Some(operator) = &facts.operator else {
        return (Decision::Refused(refusal(Code::OperatorUnknown, knock)), Remember::Nothing);
    };
    if operator.state == OperatorState::Rejected {
        let error = refusal(Code::NameRejected, knock).found("a rejected operator");
        return (Decision::Refused(error.remedy("farpost operator approve N, if that was a mistake")), Remember::Seen);
    }
    match operator.pinned_key {
        Some(pinned) if !operator.may_show(knock.key) => {
            let error = refusal(Code::OperatorKeyMismatch, knock);
            (Decision::Refused(error.found(knock.key.to_string()).expected(pinned.to_string())), Remember::Seen)
        }
        _ => (approved(knock), Remember::Seen),
    }
}

/// Whether an operator may do this from afar, as the group knows it at this moment.
///
/// # Errors
///
/// [`Code::OperatorUnknown`], [`Code::NameRejected`], [`Code::OperationLocal`], [`Code::OperatorReadOnly`].
pub(crate) fn may_perform(name: &str, operator: Option<&OperatorRecord>, operation: &Operation) -> Result<()> {
    let refuse = |code: Code| Err(Error::new(code).subject(name));
    match operator.map(|operator| (operator.state, operator.access)) {
        None => refuse(Code::OperatorUnknown),
        Some((OperatorState::Rejected, _)) => refuse(Code::NameRejected),
        Some(_) if operation.is_local_only() => refuse(Code::OperationLocal),
        Some((_, Access::ReadOnly)) if operation.needs_full_access() => refuse(Code::OperatorReadOnly),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
