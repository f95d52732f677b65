//! The clocks: the only place where a node's time comes from (H18).

use std::sync::LazyLock;
use std::time::SystemTime;

use crate::time::{Instant, Timestamp};

/// Now, on the monotonic clock of this process.
pub(crate) fn now() -> Instant {
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    // Never zero, so that "an hour ago" can be said from the first moment on.
    let since = ORIGIN.elapsed() + std::time::Duration::from_secs(86_400);
    Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Now, by the computer's wall clock.
pub(crate) fn wall() -> Timestamp {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        Err(before) => Timestamp::from_unix_millis(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
    }
}

/// The runtime's instant of a node's deadline.
pub(crate) fn deadline(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::now() + at.since(now())
}

/// A random number: epochs, boot nonces, seeds of jitter. Not for keys.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // The provider's generator fails only where the operating system has none.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => now().as_micros().rotate_left(32) ^ wall().unix_millis().unsigned_abs(),
    }
}
