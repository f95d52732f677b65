//! Presence: leases, and what servers write of the nodes that are connected to them.

use crate::error::Result;
use crate::group::{PresenceBatch, Renewal};
use crate::limits::PRESENCE_LEASE;
use crate::store::operations::assignments;
use crate::store::records::Records;

/// Writes what a server says of its nodes. The group's number of changes does not move, but for a server that was deleted
/// while it ran.
///
/// # Errors
///
/// As `register_server` of such a server.
pub(in crate::store) fn keep(records: &mut dyn Records, batch: &PresenceBatch) -> Result<()> {
    let holder = &batch.holder;
    match batch.renewal {
        Renewal::None => {}
        Renewal::Renew => {
            let valid_for_ms = i64::try_from(PRESENCE_LEASE.as_millis()).unwrap_or(i64::MAX);
            assignments::register_again(records, holder)?;
            records.put_lease(holder, valid_for_ms)?;
        }
        Renewal::End => records.put_lease(holder, 0)?,
    }
    if let Some(at) = batch.complete {
        records.leave_all(&holder.server, at)?;
    }
    records.put_presences(holder, &batch.opened)?;
    records.put_reports(holder, &batch.reports)?;
    records.put_silences(holder, &batch.silences)?;
    records.put_gone(holder, &batch.gone)?;
    match batch.forget {
        Some(before) => {
            records.forget_presences(&holder.server, before)?;
            assignments::forget_former(records, before)
        }
        None => Ok(()),
    }
}
