//! How long deliveries are kept, by the day (UTC) on which they were received.

use crate::error::Result;
use crate::time::Timestamp;

/// A day, counted from 1970-01-01 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Day(pub(in crate::store) i64);

impl Day {
    const MILLIS: i64 = 86_400_000;

    /// The day of a time.
    pub(in crate::store) fn of(time: Timestamp) -> Self {
        Self(time.unix_millis().div_euclid(Self::MILLIS))
    }

    /// When it begins.
    pub(in crate::store) fn start(self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.saturating_mul(Self::MILLIS))
    }

    /// The day so many days later.
    pub(in crate::store) fn later_by(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }
}

/// How long deliveries and gaps are kept.
pub(in crate::store) trait DeliveryRecords {
    /// For how many days; `None`: for ever.
    fn deliveries_keep_days(&mut self) -> Result<Option<u32>>;
    fn put_deliveries_keep_days(&mut self, days: Option<u32>) -> Result<()>;
    /// Makes a place for each of these days, where the engine has places for days and may. A day without one is stored
    /// all the same.
    fn prepare_delivery_days(&mut self, first: Day, last: Day) -> Result<()>;
    /// Forgets some of what was received before a day, at most `count` rows or one whole day at once; whether there may be
    /// more. What is in the way of others for longer than a moment is left for another time.
    fn prune_deliveries(&mut self, before: Day, count: u64) -> Result<bool>;
}
