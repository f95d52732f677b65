//! Messages to agents (rule D8).

use crate::error::Result;
use crate::group::{Answer, DownstreamOperation};
use crate::name::Name;
use crate::session::management_group::{ManagementGroup, answer};

impl ManagementGroup {
    /// Puts a message for one agent into the store (rule D8); answers its number. It travels when the agent is
    /// connected.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`], [`Code::AgentPending`] or [`Code::NameRejected`] for the agent; [`Code::DownQueueFull`];
    /// [`Code::MessageTooLarge`].
    pub async fn send(&self, agent: &str, payload: impl Into<Vec<u8>>) -> Result<u64> {
        let (agent, payload) = (Name::parse(agent)?, payload.into());
        answer!(self.ask(DownstreamOperation::Send { agent, payload }), Number)
    }
}
