//! When a node opens its channel again after one has ended.

use std::time::Duration;

use crate::code::Code;
use crate::time::Instant;

/// How long a node waits before it opens its channel again if the last one did not live as long.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// To eight seconds: as long may a node be away longer than the store was.
const DOUBLINGS_MAX: u32 = 5;

/// The pause before the next channel: whatever ends channels must not make a storm, and an outage of the group store, which
/// every node of the group meets at once, least of all.
#[derive(Debug, Default)]
pub(super) struct Reopening {
    /// Channels in a row that were refused because of the group store.
    store_refusals: u32,
}

impl Reopening {
    /// A channel was refused; answers whether that is to be told. An upstream that is unavailable is told of by itself, and
    /// a store that is away once.
    pub(super) fn refused(&mut self, code: Code) -> bool {
        self.store_refusals = if code.is_of_the_store() { self.store_refusals.saturating_add(1) } else { 0 };
        code != Code::UpstreamUnavailable && self.store_refusals <= 1
    }

    /// The group has answered.
    pub(super) fn answered(&mut self) {
        self.store_refusals = 0;
    }

    /// Before when the channel after the one that was opened then is not opened, if that is not at once. The pause doubles
    /// each time that the store is the reason again.
    pub(super) fn not_before(&self, opened_at: Instant, now: Instant) -> Option<Instant> {
        let doublings = self.store_refusals.saturating_sub(1).min(DOUBLINGS_MAX);
        let is_short = self.store_refusals > 0 || now.since(opened_at) < OPEN_AGAIN_AFTER;
        is_short.then(|| now + OPEN_AGAIN_AFTER * (1 << doublings))
    }
}
