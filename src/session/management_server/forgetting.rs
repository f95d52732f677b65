//! What the group's servers forget from time to time, one of them in each period (messages to agents that
//! ended long ago, rule D8; deliveries that are no longer kept), and the places that they make ahead for coming days.

use std::sync::Arc;

use super::store_health::{Call, StoreHealth};
use crate::limits::FORGET_EVERY;
use crate::session::clock;
use crate::store::StoreThread;

/// Forgets a few rows per transaction; whatever waits for the store meanwhile comes in between. What the store does not
/// do now is done in the next period, by whoever is first then.
pub(super) async fn forget(store: Arc<StoreThread>, health: StoreHealth) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        let at = clock::wall();
        let mut more = store.call(move |store| store.is_time_to_forget(at)).await;
        while let Ok(true) = more {
            more = store.call(move |store| store.forget_some(at)).await;
        }
        health.note(Call::Write, &more);
    }
}
