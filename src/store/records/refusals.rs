//! The attempts to connect that were refused.

use crate::error::Result;
use crate::group::RefusedAttempt;
use crate::time::Timestamp;

/// Refused attempts, one record for those of one name, role and address that one node refused for one reason.
pub(in crate::store) trait RefusalRecords {
    /// Adds to what is known: counts add up, the first time stays, the last text counts.
    fn add_refusals(&mut self, refused: &[RefusedAttempt]) -> Result<()>;
    /// Forgets those whose last attempt was before, of the others the oldest of strangers above `strangers`, and of what
    /// is left the oldest above `most`.
    fn forget_refusals(&mut self, before: Timestamp, strangers: u64, most: u64) -> Result<()>;
    /// Those whose last attempt was since then, the latest first, at most `count`.
    fn refusals(&mut self, since: Timestamp, count: usize) -> Result<Vec<RefusedAttempt>>;
}
