//! The management group's rules over plain records: approval, sessions and fences, assignments.
//!
//! A core: the store (`store/`) keeps the records and runs these rules inside its transactions; the simulation
//! runs the same rules over records in memory.

mod approval;
mod assignment;
mod record;
mod session;

pub(crate) use approval::{
    Approved, Decision, Facts, Knock, Remember, decide, may_approve_agent, may_approve_gateway, pending_expired_before,
};
pub use assignment::{Assignment, AssignmentRecord, Upstream};
pub(crate) use assignment::{AssignmentKey, Candidate, GroupKey, SignedAssignment, may_assign, server_unknown};
pub use record::{AgentRecord, AgentState, GatewayRecord, GatewayState, ServerRecord, UnknownAgents};
pub(crate) use session::{
    CursorOutcome, CursorWrite, EPOCHS_MAX, EpochRecord, SessionAnswer, SessionGrant, SessionRecord, SessionRequest,
    cursor_after, open,
};
