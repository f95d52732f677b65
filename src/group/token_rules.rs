//! Who may use a one-time token, and when: rules over the store's records.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::token::TokenHash;
use crate::group::{AgentRecord, AgentState, GatewayRecord};
use crate::limits::{TOKEN_VALIDITY_MAX, TOKENS_MAX};
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// A one-time token as the group knows it: whose it is, not what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenRecord {
    /// The node that it is for.
    pub name: Name,
    /// What the node will be.
    pub role: Role,
    /// The gateway that the node enrols through; none: at a management server.
    pub via: Option<Name>,
    /// When it was made.
    pub created: Timestamp,
    /// When it can no longer be used.
    pub expires: Timestamp,
    /// When a certificate request used it.
    pub used: Option<Timestamp>,
    pub(crate) hash: TokenHash,
    /// SHA-256 of the certificate request that used it.
    pub(crate) request: Option<[u8; 32]>,
}

impl TokenRecord {
    /// Whether it can still be used by a node that did not use it yet.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.used.is_none() && at < self.expires
    }
}

/// What a node asks with a token, after its proof was verified.
#[derive(Clone, Debug)]
pub(crate) struct TokenUse {
    pub(crate) hash: TokenHash,
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) via: Option<Name>,
    /// SHA-256 of the certificate request.
    pub(crate) request: [u8; 32],
    pub(crate) at: Timestamp,
}

/// What a token that may be used does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenAnswer {
    /// It is used up now, by this request.
    First,
    /// The same request comes again: its answer was lost on the way, or is not there yet. Until the token is forgotten.
    Again,
}

/// Decides about the use of a token. A refusal changes nothing: only the first request that may use it uses it up.
///
/// # Errors
///
/// [`Code::TokenUnknown`], [`Code::TokenElsewhere`], [`Code::TokenExpired`], [`Code::TokenUsed`].
pub(crate) fn use_token(record: Option<&TokenRecord>, ask: &TokenUse) -> Result<TokenAnswer> {
    let refuse = |code: Code| Error::new(code).subject(ask.name.as_str());
    let Some(record) = record else {
        return Err(refuse(Code::TokenUnknown).found("a token that was never made, was deleted, or ended long ago"));
    };
    if (&record.name, record.role, &record.via) != (&ask.name, ask.role, &ask.via) {
        return Err(refuse(Code::TokenElsewhere).found(place(&ask.name, ask.role, ask.via.as_ref())).expected(place(
            &record.name,
            record.role,
            record.via.as_ref(),
        )));
    }
    match (record.request, record.used) {
        // In time it was; that people take days to sign what was asked is no reason to ask them anew.
        (Some(request), _) if request == ask.request => Ok(TokenAnswer::Again),
        (Some(_), used) => Err(refuse(Code::TokenUsed)
            .found(used.map_or_else(|| "used".to_owned(), |at| format!("used at {at} by another request")))
            .expected("the certificate request that used it first")),
        (None, _) if ask.at >= record.expires => Err(refuse(Code::TokenExpired)
            .found(format!("valid until {}", record.expires))
            .expected(format!("valid at {}", ask.at))),
        (None, _) => Ok(TokenAnswer::First),
    }
}

fn place(name: &Name, role: Role, via: Option<&Name>) -> String {
    match via {
        Some(via) => format!("{role} {name} through the gateway {via}"),
        None => format!("{role} {name} at a management server"),
    }
}

/// Whether a token may be made: for a role that enrols, not for too long, and if there is room.
///
/// # Errors
///
/// [`Code::ArgumentInvalid`], [`Code::TokensFull`].
pub(crate) fn may_create_token(record: &TokenRecord, held: u64) -> Result<()> {
    let refuse = |found: String, expected: &str| {
        let wrong = Error::new(Code::ArgumentInvalid).subject(record.name.as_str());
        Err(wrong.found(found).expected(expected))
    };
    if !matches!(record.role, Role::Agent | Role::Gateway) {
        return refuse(
            format!("a token for the role {}", record.role),
            "agent or gateway; a management server has the group store and asks its CA itself",
        );
    }
    if record.via.as_ref() == Some(&record.name) {
        return refuse("a node that enrols through itself".to_owned(), "another gateway, or none");
    }
    let millis = record.expires.unix_millis().saturating_sub(record.created.unix_millis());
    let validity = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    if validity.is_zero() || validity > TOKEN_VALIDITY_MAX {
        return refuse(format!("valid for {validity:?}"), "more than nothing, at most 7 days");
    }
    if held >= TOKENS_MAX {
        let full = Error::new(Code::TokensFull).found(format!("{held} tokens"));
        return Err(full.expected(format!("less than {TOKENS_MAX}")));
    }
    Ok(())
}

/// Whether a name may enrol for a role: not one that the group rejected, and not one that it knows in another role
/// (rule G1). Looked at when a token is made and when it is used.
///
/// # Errors
///
/// [`Code::NameRejected`], [`Code::RoleNotApproved`].
pub(crate) fn may_enrol(
    name: &Name,
    role: Role,
    agent: Option<&AgentRecord>,
    gateway: Option<&GatewayRecord>,
) -> Result<()> {
    let refuse = |code: Code| Error::new(code).subject(name.as_str());
    match (role, agent.map(|agent| agent.state), gateway) {
        (_, Some(AgentState::Rejected), _) => Err(refuse(Code::NameRejected).found("a rejected agent")),
        (Role::Agent, _, Some(gateway)) => Err(refuse(Code::RoleNotApproved)
            .found(format!("a gateway ({})", gateway.state))
            .expected("a name that is no gateway's")),
        (Role::Gateway, Some(AgentState::Approved), _) => {
            Err(refuse(Code::RoleNotApproved).found("an approved agent").expected("a name that is no agent's"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
