//! Messages to agents (rule D8), and what the servers forget from time to time.

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{MessageFilter, MessageRecord};
use crate::name::Name;
use crate::store::DownMessage;
use crate::time::Timestamp;

/// A message for agents, each of which gets it under its own next number.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct NewDownMessage<'a> {
    pub(in crate::store) payload: &'a [u8],
    pub(in crate::store) sent: Timestamp,
    pub(in crate::store) expires: Timestamp,
    pub(in crate::store) author: &'a str,
}

impl NewDownMessage<'_> {
    /// How long it is, as databases count.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] for one that no frame could carry.
    pub(in crate::store) fn bytes(&self) -> Result<i32> {
        i32::try_from(self.payload.len()).map_err(|_| Error::new(Code::Internal).found("a message beyond every frame"))
    }
}

/// How much waits for an agent.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct DownWaiting {
    pub(in crate::store) messages: u64,
    pub(in crate::store) bytes: u64,
}

/// Messages to agents: of one that ended its bytes are gone.
pub(in crate::store) trait DownRecords {
    /// How much waits for each of these agents; nothing for one that is not listed.
    fn count_down(&mut self, agents: &[&Name]) -> Result<Vec<(Name, DownWaiting)>>;
    /// Appends a message for each, and answers the highest number given. Of what ended, the oldest beyond what is shown
    /// is forgotten.
    fn put_down(&mut self, agents: &[&Name], message: &NewDownMessage<'_>) -> Result<u64>;
    /// Those that wait above a number, the oldest first, whether they are expired or not.
    fn down_messages(&mut self, agent: &Name, above: u64, count: usize) -> Result<Vec<DownMessage>>;
    /// The agents for whom something waits.
    fn down_waiting(&mut self) -> Result<Vec<Name>>;
    /// How many wait for each of these agents and are not expired at this time; nothing for one that is not listed.
    fn count_unexpired_down(&mut self, agents: &[&Name], at: Timestamp) -> Result<Vec<(Name, u64)>>;
    /// Ends as cancelled what waits for these agents and is not expired at this time: all of it, or these numbers.
    fn cancel_down(&mut self, agents: &[&Name], numbers: Option<&[u64]>, at: Timestamp) -> Result<()>;
    /// Ends those of an agent above a number that expired at this time or before.
    fn expire_down(&mut self, agent: &Name, above: u64, at: Timestamp) -> Result<()>;
    /// Ends what the agent has taken: all that wait up to a number; the one of that number even if it was expired or
    /// cancelled. A number that was never given moves nothing beyond the last that was.
    fn down_taken(&mut self, agent: &Name, through: u64, at: Timestamp) -> Result<()>;
    /// By agent and number. One that waits and expired at this time or before is shown as expired.
    fn list_down(&mut self, filter: &MessageFilter, at: Timestamp, count: u64) -> Result<Vec<MessageRecord>>;

    /// Ends some that expired at this time or before, of all agents; how many.
    fn expire_some_down(&mut self, expired: Timestamp, count: u64) -> Result<u64>;
    /// Forgets some that ended at this time or before; how many.
    fn forget_some_down(&mut self, ended: Timestamp, count: u64) -> Result<u64>;
    /// Whether something that is done from time to time is due, which was last done before a time: whoever is told so
    /// does it, nobody else is.
    fn take_chore(&mut self, chore: &str, at: Timestamp, last_before: Timestamp) -> Result<bool>;
}

/// A filter as a range of agents and numbers: after whom, and up to whom.
pub(in crate::store) fn range_of(filter: &MessageFilter) -> ((&str, u64), &str) {
    /// After every name.
    const END: &str = "\u{10ffff}";
    let agent = filter.agent.as_ref().map(Name::as_str);
    let after = filter.after.as_ref().map(|(agent, number)| (agent.as_str(), *number));
    (after.max(agent.map(|agent| (agent, 0))).unwrap_or(("", 0)), agent.unwrap_or(END))
}
