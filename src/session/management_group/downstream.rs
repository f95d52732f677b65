//! Messages to agents (rule D8).

use std::time::Duration;

use crate::error::Result;
use crate::group::{
    Answer, DownstreamOperation, MessageChoice, MessageFilter, MessageRecord, MessagesCancelled, MessagesSent,
    Recipients,
};
use crate::name::Name;
use crate::session::management_group::{ManagementGroup, answer};

impl ManagementGroup {
    /// Puts a message for one agent into the store (rule D8); answers its number. It travels when the agent is
    /// connected, within the next 7 days.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::AgentPending`](crate::Code::AgentPending) or [`Code::NameRejected`](crate::Code::NameRejected) for the agent; [`Code::DownQueueFull`](crate::Code::DownQueueFull);
    /// [`Code::MessageTooLarge`](crate::Code::MessageTooLarge).
    pub async fn send(&self, agent: &str, payload: impl Into<Vec<u8>>) -> Result<u64> {
        let (agent, payload) = (Name::parse(agent)?, payload.into());
        answer!(self.ask(DownstreamOperation::Send { agent, payload }), Number)
    }

    /// Puts a message for each agent of a set into the store, all in one transaction. It is sent to none of them after
    /// `valid_for` (1 s to 30 days). Agents for whom too much waits already are left out and counted.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::send`], for any agent that is named; [`Code::NameUnknown`](crate::Code::NameUnknown) for a set without an approved
    /// agent; [`Code::DownQueueFull`](crate::Code::DownQueueFull) if there is room for nobody; [`Code::MessageTooLarge`](crate::Code::MessageTooLarge) also where all copies
    /// together are above 64 MiB; [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid) for `valid_for`. Nothing is sent then.
    ///
    /// [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid): crate::Code::ArgumentInvalid
    pub async fn send_to(
        &self,
        recipients: Recipients,
        payload: impl Into<Vec<u8>>,
        valid_for: Duration,
    ) -> Result<MessagesSent> {
        let valid_for_ms = u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX);
        let payload = payload.into();
        answer!(self.ask(DownstreamOperation::SendTo { recipients, valid_for_ms, payload }), Sent)
    }

    /// The messages to agents that wait, and for 7 days those that were delivered or expired, at most 1,000 of an agent:
    /// by agent and number, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`].
    pub async fn messages(&self, filter: MessageFilter, limit: usize) -> Result<Vec<MessageRecord>> {
        answer!(self.ask(DownstreamOperation::Messages { filter, limit: limit as u64 }), Messages)
    }

    /// Withdraws messages that are pending, all of the choice in one transaction: they are not sent any more. An agent
    /// that was sent one before may still take it; if it says so of that very one, it is delivered.
    ///
    /// # Errors
    ///
    /// [`Code::MessageEnded`](crate::Code::MessageEnded) for a number that is delivered, expired or cancelled already,
    /// [`Code::MessageUnknown`](crate::Code::MessageUnknown), [`Code::NameUnknown`](crate::Code::NameUnknown) for an agent that is named;
    /// [`Code::ArgumentInvalid`](crate::Code::ArgumentInvalid) for no number, and above 100,000 messages. Nothing is cancelled then.
    pub async fn cancel_messages(&self, choice: MessageChoice) -> Result<MessagesCancelled> {
        answer!(self.ask(DownstreamOperation::Cancel { choice, rehearsal: false }), Cancelled)
    }

    /// What [`ManagementGroup::cancel_messages`] would cancel now; nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::cancel_messages`].
    pub async fn rehearse_cancelling(&self, choice: MessageChoice) -> Result<MessagesCancelled> {
        answer!(self.ask(DownstreamOperation::Cancel { choice, rehearsal: true }), Cancelled)
    }
}
