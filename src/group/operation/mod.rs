//! What operators ask of the group, as data: the same whether it comes from a program beside the store or from afar.
//!
//! Each area has its own questions and changes. A change is one durable transaction together with its entry in the audit
//! log (rule G4); a question changes nothing. In JSON it is `{"approvals":{"approve_agent":{…}}}`.

mod approvals;
mod assignments;
mod audit;
mod downstream;
mod inventory;
mod keys;
mod operators;
mod tokens;

use serde::{Deserialize, Serialize};

use crate::group::{
    AgentRecord, ApprovalRule, Assignment, AssignmentRecord, AuditRecord, Cursor, DeliveriesKept, Delivery,
    DeliveryGap, FailoverOutlook, GatewayRecord, GroupKeyRecord, Inventory, KeyRotation, MessageRecord,
    MessagesCancelled, MessagesSent, OperatorRecord, Overview, RefusedAttempt, RuleTest, ServerRecord, SiteRecord,
    TokenRecord, UnknownAgents,
};
use crate::name::Name;

pub(crate) use approvals::ApprovalsOperation;
pub use approvals::{AgentChoice, AgentDecision, GatewayTerms};
pub(crate) use assignments::AssignmentsOperation;
pub use assignments::{AssignmentTarget, NodeChoice, ServerUse, SiteChange};
pub(crate) use audit::AuditOperation;
pub(crate) use downstream::DownstreamOperation;
pub(crate) use inventory::InventoryOperation;
pub(crate) use keys::KeysOperation;
pub(crate) use operators::OperatorsOperation;
pub(crate) use tokens::TokensOperation;

/// What an operator asks of the group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    Approvals(ApprovalsOperation),
    Assignments(AssignmentsOperation),
    Audit(AuditOperation),
    Downstream(DownstreamOperation),
    Inventory(InventoryOperation),
    Keys(KeysOperation),
    Operators(OperatorsOperation),
    Tokens(TokensOperation),
}

impl Operation {
    /// Whether it changes anything: a read-only operator may ask only what does not.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::Approvals(operation) => operation.is_change(),
            Self::Assignments(operation) => operation.is_change(),
            Self::Audit(operation) => operation.is_change(),
            Self::Downstream(operation) => operation.is_change(),
            Self::Inventory(operation) => operation.is_change(),
            Self::Keys(operation) => operation.is_change(),
            Self::Operators(operation) => operation.is_change(),
            Self::Tokens(operation) => operation.is_change(),
        }
    }

    /// Whether it is done beside the store only: what agents sent is the application's, whatever an operator may do.
    pub(crate) fn is_local_only(&self) -> bool {
        matches!(self, Self::Inventory(InventoryOperation::Deliveries { .. }))
    }

    /// Whether a read-only operator may not ask it: a change, or who the operators are.
    pub(crate) fn needs_full_access(&self) -> bool {
        self.is_change() || matches!(self, Self::Operators(_))
    }

    /// The same for an asker that is not trusted with the memory of who answers: at most this many rows.
    pub(crate) fn at_most(mut self, rows: u64) -> Self {
        match &mut self {
            Self::Audit(AuditOperation::Entries { limit, .. } | AuditOperation::Refusals { limit, .. })
            | Self::Downstream(DownstreamOperation::Messages { limit, .. })
            | Self::Inventory(InventoryOperation::Deliveries { limit, .. } | InventoryOperation::Gaps { limit, .. }) => {
                *limit = rows.min(*limit);
            }
            _ => {}
        }
        self
    }
}

macro_rules! from_areas {
    ($($area:ident($operation:ident),)*) => { $(
        impl From<$operation> for Operation {
            fn from(operation: $operation) -> Self {
                Self::$area(operation)
            }
        }
    )* };
}

from_areas! {
    Approvals(ApprovalsOperation),
    Assignments(AssignmentsOperation),
    Audit(AuditOperation),
    Downstream(DownstreamOperation),
    Inventory(InventoryOperation),
    Keys(KeysOperation),
    Operators(OperatorsOperation),
    Tokens(TokensOperation),
}

/// What the group answers; which one, each operation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The change is made.
    Done,
    /// A number: of a message, of how many there are or were.
    Number(u64),
    Text(String),
    Agents(Vec<AgentRecord>),
    Assignment(Assignment),
    Assignments(Vec<AssignmentRecord>),
    Audit(Vec<AuditRecord>),
    Cancelled(MessagesCancelled),
    Cursors(Vec<Cursor>),
    Deliveries(Vec<Delivery>),
    DeliveriesKept(DeliveriesKept),
    FailoverOutlooks(Vec<FailoverOutlook>),
    Gaps(Vec<DeliveryGap>),
    Gateways(Vec<GatewayRecord>),
    Inventory(Box<Inventory>),
    Key(GroupKeyRecord),
    KeyRotation(KeyRotation),
    Messages(Vec<MessageRecord>),
    Names(Vec<Name>),
    Operators(Vec<OperatorRecord>),
    Overview(Box<Overview>),
    Refusals(Vec<RefusedAttempt>),
    RuleTest(RuleTest),
    Rules(Vec<ApprovalRule>),
    Sent(MessagesSent),
    Server(ServerRecord),
    Servers(Vec<ServerRecord>),
    ServerUse(ServerUse),
    Sites(Vec<SiteRecord>),
    Tokens(Vec<TokenRecord>),
    UnknownAgents(UnknownAgents),
}
