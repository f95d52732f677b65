//! The management group's rules over plain records: approval, sessions and fences, assignments.
//!
//! A core: the store (`store/`) keeps the records and runs these rules inside its transactions; the simulation
//! runs the same rules over records in memory.

mod approval;
mod assignment;
mod session;

pub(crate) use approval::{AgentRecord, Approved, Decision, GatewayRecord, Knock, ServerRecord, UnknownAgents};
pub use assignment::{Assignment, Upstream};
pub(crate) use assignment::{AssignmentKey, SignedAssignment};
pub(crate) use session::{CursorOutcome, CursorWrite, SessionAnswer, SessionGrant, SessionRecord, SessionRequest};
