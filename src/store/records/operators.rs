//! Operators' records (rule G1).

use crate::error::Result;
use crate::group::OperatorRecord;
use crate::name::Name;
use crate::store::records::Which;

/// Who may ask from afar.
pub(in crate::store) trait OperatorRecords {
    fn operators(&mut self, which: Which<'_>) -> Result<Vec<OperatorRecord>>;
    /// Inserts or replaces.
    fn put_operators(&mut self, operators: &[&OperatorRecord]) -> Result<()>;
    fn remove_operator(&mut self, operator: &Name) -> Result<()>;
}
