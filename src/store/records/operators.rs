//! Operators' records (rule G1).

use crate::error::Result;
use crate::group::OperatorRecord;
use crate::identity::KeyHash;
use crate::name::Name;
use crate::store::records::{Which, corrupt};

/// Who may ask from afar.
pub(in crate::store) trait OperatorRecords {
    fn operators(&mut self, which: Which<'_>) -> Result<Vec<OperatorRecord>>;
    /// Inserts or replaces.
    fn put_operators(&mut self, operators: &[&OperatorRecord]) -> Result<()>;
    fn remove_operator(&mut self, operator: &Name) -> Result<()>;
}

/// The keys that an operator may come with, as they are stored: the pinned one and, while a renewed one was not seen yet,
/// that behind it.
pub(in crate::store) fn operator_keys(record: &OperatorRecord) -> Option<Vec<u8>> {
    let pinned = record.pinned_key?;
    Some(std::iter::once(pinned).chain(record.next_key).flat_map(|key| key.0).collect())
}

/// The same, read: the pinned key and the next one.
///
/// # Errors
///
/// [`crate::code::Code::StoreCorrupt`].
pub(in crate::store) fn operator_keys_of(stored: Option<&[u8]>) -> Result<(Option<KeyHash>, Option<KeyHash>)> {
    let Some(stored) = stored else { return Ok((None, None)) };
    match stored.as_chunks::<32>() {
        ([pinned], []) => Ok((Some(KeyHash(*pinned)), None)),
        ([pinned, next], []) => Ok((Some(KeyHash(*pinned)), Some(KeyHash(*next)))),
        _ => Err(corrupt("an operator's keys that are not one or two hashes of 32 bytes")),
    }
}
