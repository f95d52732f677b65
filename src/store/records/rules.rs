//! The rules of approval (rule G1).

use crate::error::Result;
use crate::group::ApprovalRule;

/// The rules of approval, in their order.
pub(in crate::store) trait RuleRecords {
    fn rules(&mut self) -> Result<Vec<ApprovalRule>>;
    /// These take the place of all that are there.
    fn put_rules(&mut self, rules: &[ApprovalRule]) -> Result<()>;
}
