//! The management group's rules over plain records: approval, sessions and fences, assignments.
//!
//! A core: the store (`store/`) keeps the records and runs these rules inside its transactions; the simulation
//! runs the same rules over records in memory.

#[cfg(feature = "management-server")]
mod approval;
mod assignment;
#[cfg(feature = "management-server")]
mod audit;
#[cfg(feature = "management-server")]
mod chain;
#[cfg(feature = "management-server")]
mod delivery;
#[cfg(feature = "management-server")]
mod down;
mod group_key;
#[cfg(feature = "management-server")]
mod inventory;
#[cfg(feature = "management-server")]
mod operation;
#[cfg(feature = "management-server")]
mod operator;
#[cfg(feature = "management-server")]
mod outlook;
mod pattern;
mod pin;
#[cfg(feature = "management-server")]
mod presence;
#[cfg(feature = "management-server")]
mod problems;
mod record;
#[cfg(feature = "management-server")]
mod report;
mod rule;
#[cfg(feature = "management-server")]
mod session;
mod site;
#[cfg(feature = "management-server")]
mod standing;
mod token;
#[cfg(feature = "management-server")]
mod token_rules;

#[cfg(feature = "management-server")]
pub(crate) use approval::{
    Approved, Decision, Facts, Knock, Remember, decide, may_approve_agent, may_approve_gateway, may_be_gateway,
    may_limit_gateway, pending_expired_before,
};
pub use assignment::{Assignment, AssignmentRecord, Upstream};
pub(crate) use assignment::{AssignmentKey, SignedAssignment};
#[cfg(feature = "management-server")]
pub(crate) use assignment::{Candidate, GroupKey, may_assign, own_upstream, server_unknown};
#[cfg(feature = "management-server")]
pub(crate) use audit::By;
#[cfg(feature = "management-server")]
pub use audit::{AuditRecord, Author, AuthorKind};
#[cfg(feature = "management-server")]
pub(crate) use chain::Chains;
#[cfg(feature = "management-server")]
pub use delivery::{DeliveriesKept, Delivery, DeliveryGap};
#[cfg(feature = "management-server")]
pub(crate) use down::may_expire_after;
#[cfg(feature = "management-server")]
pub use down::{
    MessageChoice, MessageFilter, MessageRecord, MessageState, MessagesCancelled, MessagesSent, Recipients,
};
#[cfg(feature = "management-server")]
pub(crate) use group_key::GroupKeys;
pub(crate) use group_key::KeySuccession;
#[cfg(feature = "management-server")]
pub use group_key::{GroupKeyRecord, KeyRotation};
#[cfg(feature = "management-server")]
pub use inventory::{Cursor, Inventory};
#[cfg(feature = "management-server")]
pub use operation::{AgentChoice, AgentDecision, GatewayTerms};
#[cfg(feature = "management-server")]
pub(crate) use operation::{
    Answer, ApprovalsOperation, AssignmentsOperation, AuditOperation, DownstreamOperation, InventoryOperation,
    KeysOperation, Operation, OperatorsOperation, TokensOperation,
};
#[cfg(feature = "management-server")]
pub use operation::{AssignmentTarget, NodeChoice, ServerUse, SiteChange};
#[cfg(feature = "management-server")]
pub use operator::{Access, OperatorRecord, OperatorState};
#[cfg(feature = "management-server")]
pub(crate) use operator::{Bearers, a_server, may_be_node, may_be_operator, may_perform};
#[cfg(feature = "management-server")]
pub(crate) use outlook::{Affected, failover_outlooks};
#[cfg(feature = "management-server")]
pub use outlook::{FailoverOutlook, Outlook};
pub use pattern::NamePattern;
pub use pin::{KeyDemand, KeyPin};
#[cfg(feature = "management-server")]
pub(crate) use presence::{Holder, LeaseRecord, PresenceBatch, PresenceRecord, Renewal, Silence};
#[cfg(feature = "management-server")]
pub(crate) use problems::problems;
#[cfg(feature = "management-server")]
pub use problems::{Problem, ProblemKind};
pub use record::{AgentRecord, AgentState, GatewayRecord, GatewayState, ServerRecord, UnknownAgents};
#[cfg(feature = "management-server")]
pub use report::{NodePresence, NodeReport, RefusedAttempt, StandbyReport};
pub use rule::{ApprovalRule, RuleName, RuleTest};
#[cfg(feature = "management-server")]
pub(crate) use rule::{first_that_fits, with_rule, without_rule};
#[cfg(test)]
pub(crate) use session::SessionGrant;
#[cfg(feature = "management-server")]
pub(crate) use session::{
    CursorOutcome, CursorWrite, EPOCHS_MAX, EpochRecord, Returns, SessionAnswer, SessionRecord, SessionRequest,
    cursor_after, open,
};
pub use site::{SiteName, SiteRecord};
#[cfg(feature = "management-server")]
pub(crate) use standing::Facts as StandingFacts;
#[cfg(feature = "management-server")]
pub use standing::{Delivered, NodeFilter, NodeStanding, NodeState, Overview, StandbyStanding};
pub(crate) use token::EnrolmentClaim;
pub use token::EnrolmentToken;
#[cfg(feature = "management-server")]
pub(crate) use token::TokenHash;
#[cfg(feature = "management-server")]
pub use token_rules::TokenRecord;
#[cfg(feature = "management-server")]
pub(crate) use token_rules::{TokenAnswer, TokenUse, may_create_token, may_enrol, use_token};
