//! Who may ask from afar (rule G1).

use crate::error::Result;
use crate::group::{Access, Answer, OperatorRecord, OperatorsOperation};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::session::management_group::{ManagementGroup, answer, done};

impl ManagementGroup {
    /// Approves an operator, before or after it first came, or changes what it may: its certificate must prove this name,
    /// and come with this key (SHA-256 of the public key in hexadecimal) if one is given. Takes effect on open links too.
    ///
    /// # Errors
    ///
    /// [`Code::RoleNotApproved`](crate::Code::RoleNotApproved) if the name is an agent's, a gateway's or a management server's; [`Code::OperatorsFull`](crate::Code::OperatorsFull);
    /// [`Code::NameUnreadable`](crate::Code::NameUnreadable); [`Code::ConfigBadValue`](crate::Code::ConfigBadValue) for the key.
    pub async fn approve_operator(&self, operator: &str, access: Access, key: Option<&str>) -> Result<()> {
        let operator = Name::parse(operator)?;
        let key = key.map(|key| key.to_ascii_lowercase().parse::<KeyHash>()).transpose()?;
        self.ask(OperatorsOperation::ApproveOperator { operator, access, key }).await.and_then(done)
    }

    /// Rejects an operator: it stays out until it is approved, and its links end.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::approve_operator`].
    pub async fn reject_operator(&self, operator: &str) -> Result<()> {
        let operator = Name::parse(operator)?;
        self.ask(OperatorsOperation::RejectOperator { operator }).await.and_then(done)
    }

    /// Forgets an operator: its links end, and the name may become another's.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnknown`](crate::Code::NameUnknown), [`Code::NameUnreadable`](crate::Code::NameUnreadable).
    pub async fn delete_operator(&self, operator: &str) -> Result<()> {
        let operator = Name::parse(operator)?;
        self.ask(OperatorsOperation::DeleteOperator { operator }).await.and_then(done)
    }

    /// All operators, by name.
    ///
    /// # Errors
    ///
    /// As [`ManagementGroup::name`]; from afar [`Code::OperatorReadOnly`](crate::Code::OperatorReadOnly).
    pub async fn operators(&self) -> Result<Vec<OperatorRecord>> {
        answer!(self.ask(OperatorsOperation::Operators), Operators)
    }
}
