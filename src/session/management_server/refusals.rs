//! Refused attempts on their way into the group store, where `farpost refusals` shows them.

use std::sync::Arc;

use super::reports::ReportBook;
use super::store_health::{Call, StoreHealth};
use crate::limits::{REFUSALS_STORED_FOR, REFUSALS_STORED_MAX, REFUSALS_WRITTEN_EVERY};
use crate::session::clock;
use crate::store::StoreThread;

/// Writes what was refused, one transaction for all that came meanwhile; what the store does not take waits in the book,
/// which is bounded.
pub(super) async fn write_refusals(reports: ReportBook, store: Arc<StoreThread>, health: StoreHealth) {
    loop {
        tokio::time::sleep(REFUSALS_WRITTEN_EVERY).await;
        let mut refused = reports.take_refusals();
        if refused.is_empty() {
            continue;
        }
        // Two servers that write the same rows lock them in one order.
        refused
            .sort_unstable_by(|a, b| (&a.by, &a.name, &a.address, a.code).cmp(&(&b.by, &b.name, &b.address, b.code)));
        let before = clock::wall().earlier_by(REFUSALS_STORED_FOR);
        let batch = refused.clone();
        let result = store.call(move |store| store.note_refusals(&batch, before, REFUSALS_STORED_MAX)).await;
        health.note(Call::Write, &result);
        if result.is_err() {
            refused.into_iter().for_each(|one| reports.refused(one));
        }
    }
}
