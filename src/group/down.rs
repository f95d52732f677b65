//! Messages to agents (rule D8): to whom, how long they count, and how they stand.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::pattern::NamePattern;
use crate::group::record::words;
use crate::name::Name;
use crate::time::Timestamp;

/// To whom a message goes: to each agent of the set an own copy with an own number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Recipients {
    /// These, each of which must be an approved agent.
    Agents(Vec<Name>),
    /// The approved agents whose names fit.
    Pattern(NamePattern),
    /// The approved agents that were last seen behind this gateway.
    Gateway(Name),
    /// Every approved agent.
    All,
}

impl Recipients {
    /// Whether a name of the group's is among them; `via` is the gateway behind which it was last seen.
    pub(crate) fn contain(&self, agent: &Name, via: Option<&Name>) -> bool {
        match self {
            Self::Agents(agents) => agents.contains(agent),
            Self::Pattern(pattern) => pattern.fits(agent),
            Self::Gateway(gateway) => via == Some(gateway),
            Self::All => true,
        }
    }
}

impl fmt::Display for Recipients {
    /// For the audit log: one name, or which set.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agents(agents) => match agents.as_slice() {
                [agent] => write!(formatter, "{agent}"),
                agents => write!(formatter, "{} agents", agents.len()),
            },
            Self::Pattern(pattern) => formatter.write_str(pattern.as_str()),
            Self::Gateway(gateway) => write!(formatter, "agents behind {gateway}"),
            Self::All => formatter.write_str("all agents"),
        }
    }
}

/// How a message to an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageState {
    /// The agent's application has not taken it yet.
    Pending,
    /// The agent's application has taken it.
    Delivered,
    /// Its time was over before the agent's application was known to have taken it: it is not sent any more.
    Expired,
    /// An operator withdrew it before the agent's application was known to have taken it: it is not sent any more. An
    /// agent that was sent it before may have taken it all the same.
    Cancelled,
}

words!(MessageState {
    Pending = "pending",
    Delivered = "delivered",
    Expired = "expired",
    Cancelled = "cancelled",
});

impl MessageState {
    /// Its number in the store.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Delivered => 1,
            Self::Expired => 2,
            Self::Cancelled => 3,
        }
    }

    /// The state of a number; none of one that no release wrote.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Pending, Self::Delivered, Self::Expired, Self::Cancelled];
        all.into_iter().find(|state| state.number() == number)
    }
}

/// A message to an agent, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageRecord {
    /// To whom.
    pub agent: Name,
    /// Its number among the agent's: rises by one with every message.
    pub number: u64,
    /// When it was put into the store.
    pub sent: Timestamp,
    /// Who sent it, as the audit log calls them; empty for one of an earlier release.
    pub by: String,
    /// When it stops being sent; none for one of an earlier release.
    pub expires: Option<Timestamp>,
    /// How it stands.
    pub state: MessageState,
    /// When it was delivered, expired, or was cancelled.
    pub ended: Option<Timestamp>,
    /// How long it is.
    pub bytes: u64,
}

/// Which messages are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageFilter {
    /// Only this agent's.
    pub agent: Option<Name>,
    /// Only those that stand so.
    pub state: Option<MessageState>,
    /// Only those sent since then; none: all that are still known.
    pub since: Option<Timestamp>,
    /// Only those after this one: by agent, then by number.
    pub after: Option<(Name, u64)>,
}

/// What became of a message to a set of agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessagesSent {
    /// How many agents get it.
    pub agents: u64,
    /// To one agent: the message's number; none to more.
    pub number: Option<u64>,
    /// How many were left out because too much waits for them already.
    pub left_out: u64,
    /// The first of them by name.
    pub first_left_out: Option<Name>,
}

/// Which messages to agents are cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageChoice {
    /// These of one agent, each of which must be pending.
    Numbers {
        /// Whose.
        agent: Name,
        /// Their numbers, in any order.
        numbers: Vec<u64>,
    },
    /// All that are pending for these agents.
    Agents(Vec<Name>),
    /// All that are pending for agents whose names fit.
    Pattern(NamePattern),
    /// All that are pending.
    All,
}

impl MessageChoice {
    /// Whether it is about an agent for whom something waits.
    pub(crate) fn concerns(&self, name: &Name) -> bool {
        match self {
            Self::Numbers { agent, .. } => agent == name,
            Self::Agents(agents) => agents.contains(name),
            Self::Pattern(pattern) => pattern.fits(name),
            Self::All => true,
        }
    }
}

impl fmt::Display for MessageChoice {
    /// For the audit log: one name, or which set.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers { agent, .. } => write!(formatter, "{agent}"),
            Self::Agents(agents) => match agents.as_slice() {
                [agent] => write!(formatter, "{agent}"),
                agents => write!(formatter, "{} agents", agents.len()),
            },
            Self::Pattern(pattern) => formatter.write_str(pattern.as_str()),
            Self::All => formatter.write_str("all agents"),
        }
    }
}

/// What was cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessagesCancelled {
    /// How many messages.
    pub messages: u64,
    /// To how many agents they were.
    pub agents: u64,
}

/// Checks how long a message is to count, in milliseconds.
///
/// # Errors
///
/// [`Code::ArgumentInvalid`] below a second and above [`crate::limits::DOWN_EXPIRY_MAX`].
pub(crate) fn may_expire_after(valid_for_ms: u64) -> Result<()> {
    let most = crate::limits::DOWN_EXPIRY_MAX.as_millis();
    if (1_000..=most).contains(&u128::from(valid_for_ms)) {
        return Ok(());
    }
    let error = Error::new(Code::ArgumentInvalid).subject("expiry of a message").found(format!("{valid_for_ms} ms"));
    Err(error.expected(format!("1 s to {} days", most / 86_400_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_a_set_has_the_agents_whose_names_fit_its_pattern_and_no_others() {
        let set = Recipients::Pattern(NamePattern::parse("PC*.Branch.example").unwrap());
        let contains = |name: &str| set.contain(&Name::parse(name).unwrap(), None);
        assert!(contains("pc1.branch.example") && contains("pc.branch.example"));
        assert!(
            !contains("pc1.lab.branch.example")
                && !contains("pc1.branch.example.evil")
                && !contains("xpc1.branch.example")
        );
    }

    #[test]
    fn d8_a_message_counts_for_a_second_to_thirty_days() {
        may_expire_after(1_000).unwrap();
        may_expire_after(30 * 86_400_000).unwrap();
        for refused in [0, 999, 30 * 86_400_000 + 1, u64::MAX] {
            assert_eq!(may_expire_after(refused).unwrap_err().code(), Code::ArgumentInvalid);
        }
    }
}
