//! What the group remembers of its nodes.

use serde::{Deserialize, Serialize};

pub use crate::config::UnknownAgents;
use crate::group::pattern::NamePattern;
use crate::group::pin::KeyPin;
use crate::group::rule::RuleName;
use crate::identity::KeyHash;
use crate::limits::PENDING_UNSEEN_MAX;
use crate::name::Name;
use crate::time::Timestamp;

/// What the group decided about an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentState {
    /// It knocked and waits for an operator.
    Pending,
    /// It may send.
    Approved,
    /// It stays out until an operator approves it.
    Rejected,
}

/// What the group decided about a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GatewayState {
    /// It knocked and waits for an operator.
    Pending,
    /// It may carry its agents' data.
    Approved,
    /// It was removed, or waited unseen for too long. Remembered so that the name never becomes an agent by
    /// accident (rule G1); it waits again when it knocks.
    Deleted,
}

/// The words of an enumeration: in files, tables, JSON and for people.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal,)* }) => {
        impl $type {
            /// The word for files, tables and people.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word that [`Self::as_str`] gave.
            ///
            /// # Errors
            ///
            /// [`Code::ConfigBadValue`](crate::code::Code::ConfigBadValue) lists the words.
            pub fn parse(word: &str) -> Result<Self, crate::error::Error> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(crate::error::Error::new(crate::code::Code::ConfigBadValue)
                        .found(format!("\"{}\"", crate::error::printable(word)))
                        .expected([$($word),*].join(", "))),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::error::Error;

            fn from_str(word: &str) -> Result<Self, crate::error::Error> {
                Self::parse(word)
            }
        }

        crate::text_form::text_form!($type);
    };
}

pub(super) use words;

words!(AgentState { Pending = "pending", Approved = "approved", Rejected = "rejected", });
words!(GatewayState { Pending = "pending", Approved = "approved", Deleted = "deleted", });
words!(UnknownAgents { Pending = "pending", Reject = "reject", Approve = "approve", });

/// An agent, as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentRecord {
    /// Its name, as its certificate proved it or as an operator approved it.
    pub name: Name,
    /// What the group decided.
    pub state: AgentState,
    /// The gateway that it came through last; none if it came directly, or never.
    pub via: Option<Name>,
    /// Its address as the node saw it that it connected to, for people; empty before it was first seen.
    pub address: String,
    /// The management server that it came to last.
    pub server: Option<Name>,
    /// Its software's version, as it says.
    pub software: String,
    /// When it was first seen or first approved.
    pub first_seen: Timestamp,
    /// When it last asked to come in; `first_seen` if it never did.
    pub last_seen: Timestamp,
    /// When it last came with another key than before.
    pub key_changed: Option<Timestamp>,
    /// The key that it must come with.
    pub pin: KeyPin,
    /// The rule that decided; none where an operator did, or the default for unknown agents.
    pub rule: Option<RuleName>,
    pub(crate) key: Option<KeyHash>,
}

impl AgentRecord {
    /// An agent that was not seen yet.
    pub(crate) fn new(name: Name, state: AgentState, at: Timestamp) -> Self {
        Self {
            name,
            state,
            via: None,
            address: String::new(),
            server: None,
            software: String::new(),
            first_seen: at,
            last_seen: at,
            key_changed: None,
            pin: KeyPin::default(),
            rule: None,
            key: None,
        }
    }

    /// SHA-256 of its public key in hexadecimal, once it was seen.
    pub fn key_fingerprint(&self) -> Option<String> {
        self.key.map(|key| key.to_string())
    }

    /// When it is forgotten unless it is seen again; none for one that does not wait.
    pub fn expires(&self) -> Option<Timestamp> {
        (self.state == AgentState::Pending).then(|| expires(self.last_seen))
    }
}

/// A gateway, as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatewayRecord {
    /// Its name, as its certificate proved it or as an operator approved it.
    pub name: Name,
    /// What the group decided.
    pub state: GatewayState,
    /// The management server that it is approved for; none while it is not approved.
    pub parent: Option<Name>,
    /// The outer gateway that it came through last, in a chain of gateways.
    pub via: Option<Name>,
    /// Its address as the node saw it that it connected to, for people; empty before it was first seen.
    pub address: String,
    /// The management server that it came to last.
    pub server: Option<Name>,
    /// Its software's version, as it says.
    pub software: String,
    /// When it was first seen or first approved.
    pub first_seen: Timestamp,
    /// When it last asked to come in; `first_seen` if it never did.
    pub last_seen: Timestamp,
    /// When it last came with another key than before.
    pub key_changed: Option<Timestamp>,
    /// The key that it must come with.
    pub pin: KeyPin,
    /// The agents that it may speak for; where there is no pattern, all.
    pub agents: Vec<NamePattern>,
    pub(crate) key: Option<KeyHash>,
}

impl GatewayRecord {
    /// A gateway that was not seen yet.
    pub(crate) fn new(name: Name, state: GatewayState, at: Timestamp) -> Self {
        Self {
            name,
            state,
            parent: None,
            via: None,
            address: String::new(),
            server: None,
            software: String::new(),
            first_seen: at,
            last_seen: at,
            key_changed: None,
            pin: KeyPin::default(),
            agents: Vec::new(),
            key: None,
        }
    }

    /// SHA-256 of its public key in hexadecimal, once it was seen.
    pub fn key_fingerprint(&self) -> Option<String> {
        self.key.map(|key| key.to_string())
    }

    /// Whether it may speak for this agent.
    pub fn may_speak_for(&self, agent: &Name) -> bool {
        self.agents.is_empty() || self.agents.iter().any(|pattern| pattern.fits(agent))
    }

    /// When it is forgotten unless it is seen again; none for one that does not wait.
    pub fn expires(&self) -> Option<Timestamp> {
        (self.state == GatewayState::Pending).then(|| expires(self.last_seen))
    }
}

/// When who waits and was last seen then is forgotten.
fn expires(last_seen: Timestamp) -> Timestamp {
    let unseen = i64::try_from(PENDING_UNSEEN_MAX.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(last_seen.unix_millis().saturating_add(unseen))
}

/// A management server of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerRecord {
    /// Its name.
    pub name: Name,
    /// Where it listens, as it registered itself.
    pub address: String,
    /// Whether it is never used for failover (rule G3).
    pub excluded: bool,
    /// When it last registered.
    pub last_seen: Timestamp,
}
