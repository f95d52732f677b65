//! The clocks: the only place where a node's time comes from (H18).

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::limits::{CLOCK_SETTLES, CLOCK_STEP_MIN};
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

/// The time by which certificates are judged (SECURITY H18): the wall clock, but where that was set, the time before
/// goes on until the new one has stood for a minute. So a moment's wrong time neither cuts off everybody nor brings
/// anybody back.
pub(crate) fn validity() -> Timestamp {
    steady(|steady| steady.look(now(), wall()))
}

/// How often the clock was set since the start, and by how many milliseconds the last time.
pub(crate) fn steps() -> (u64, i64) {
    steady(|steady| steady.steps)
}

fn steady<R>(with: impl FnOnce(&mut Steady) -> R) -> R {
    static STEADY: LazyLock<Mutex<Steady>> = LazyLock::new(|| Mutex::new(Steady::new(now(), wall())));
    with(&mut STEADY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A wall clock without sudden steps.
#[derive(Debug)]
struct Steady {
    at: Instant,
    wall: Timestamp,
    /// The clock shows another time: since when, and by how much.
    differs: Option<(Instant, i64)>,
    steps: (u64, i64),
}

impl Steady {
    fn new(at: Instant, wall: Timestamp) -> Self {
        Self { at, wall, differs: None, steps: (0, 0) }
    }

    fn look(&mut self, now: Instant, wall: Timestamp) -> Timestamp {
        let expected = self.wall.unix_millis().saturating_add(millis(now.since(self.at)));
        let differs = wall.unix_millis().saturating_sub(expected);
        if differs.abs() < millis(CLOCK_STEP_MIN) {
            (self.at, self.wall, self.differs) = (now, wall, None);
            return wall;
        }
        match self.differs {
            Some((since, before)) if (differs - before).abs() < millis(CLOCK_STEP_MIN) => {
                if now.since(since) >= CLOCK_SETTLES {
                    (self.at, self.wall, self.differs) = (now, wall, None);
                    self.steps = (self.steps.0 + 1, differs);
                    return wall;
                }
            }
            _ => self.differs = Some((now, differs)),
        }
        Timestamp::from_unix_millis(expected)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 86_400_000;

    #[test]
    fn h18_a_clock_that_is_set_counts_only_once_it_has_stood_for_a_minute() {
        let at = |seconds: u64| Instant::from_micros(1_000_000 * (1_000 + seconds));
        let wall =
            |seconds: u64, off: i64| Timestamp::from_unix_millis(1_000_000_000_000 + seconds as i64 * 1000 + off);
        let mut steady = Steady::new(at(0), wall(0, 0));
        assert_eq!(steady.look(at(10), wall(10, 900)), wall(10, 900), "slewing is followed");
        // Both ways, and back before a minute is over: nobody notices.
        for (from, off) in [(20, YEAR), (100, -YEAR)] {
            for seconds in (from..from + 59).step_by(7) {
                assert_eq!(steady.look(at(seconds), wall(seconds, off)), wall(seconds, 900), "{off}");
            }
            assert_eq!(steady.look(at(from + 61), wall(from + 61, 900)), wall(from + 61, 900));
        }
        assert_eq!(steady.steps, (0, 0));
        // It stays: then it is believed, once.
        assert_eq!(steady.look(at(300), wall(300, YEAR)), wall(300, 900));
        assert_eq!(steady.look(at(359), wall(359, YEAR)), wall(359, 900));
        assert_eq!(steady.look(at(360), wall(360, YEAR)), wall(360, YEAR));
        assert_eq!(steady.steps, (1, YEAR - 900));
        assert_eq!(steady.look(at(361), wall(361, YEAR)), wall(361, YEAR));
    }
}
