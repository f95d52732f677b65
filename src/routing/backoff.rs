//! Decorrelated jitter, and the small generator it is drawn from.

use std::time::Duration;

/// A deterministic generator (splitmix64): the seed is the caller's, so that a simulation repeats. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A generator that always gives the same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A duration from `low` to `high`, both included, in microseconds; `low` if `high` is not above it.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = u64::try_from(high.saturating_sub(low).as_micros()).unwrap_or(u64::MAX);
        // The bias of the remainder is below 2^-20 for any duration under half a year.
        low + Duration::from_micros(self.next() % width.saturating_add(1))
    }

    /// A duration from zero to `high`.
    pub(crate) fn up_to(&mut self, high: Duration) -> Duration {
        self.between(Duration::ZERO, high)
    }
}

/// Waits that grow to a limit: each is drawn between the first and three times the one before (rule F2).
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    previous: Duration,
}

impl Backoff {
    /// A backoff between the first and the longest wait.
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, previous: first }
    }

    /// The next wait. The limit cuts the range, not the draw, so that long waits stay spread.
    pub(crate) fn next(&mut self, dice: &mut Dice) -> Duration {
        let high = self.previous.saturating_mul(3).min(self.longest);
        self.previous = dice.between(self.first, high);
        self.previous
    }

    /// The next wait is a first one again.
    pub(crate) fn reset(&mut self) {
        self.previous = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn f2_waits_grow_stay_in_their_bounds_and_differ_between_nodes() {
        let mut thirds = Vec::new();
        for seed in 0..1000 {
            let (mut dice, mut backoff) = (Dice::new(seed), Backoff::new((SECOND, 30 * SECOND)));
            let mut previous = SECOND;
            for round in 0..20 {
                let wait = backoff.next(&mut dice);
                assert!(wait >= SECOND && wait <= 30 * SECOND && wait <= previous * 3, "seed {seed}: {wait:?}");
                previous = wait;
                if round == 2 {
                    thirds.push(wait);
                }
            }
            backoff.reset();
            assert!(backoff.next(&mut dice) <= 3 * SECOND, "seed {seed}");
        }
        thirds.sort();
        thirds.dedup();
        assert!(thirds.len() > 990, "only {} different third waits of 1000 nodes", thirds.len());
        assert!(thirds[thirds.len() - 1] > 15 * SECOND, "waits do not grow");
    }

    #[test]
    fn a_range_that_is_empty_or_huge_is_no_fault() {
        let mut dice = Dice::new(1);
        assert_eq!(dice.between(2 * SECOND, SECOND), 2 * SECOND);
        assert_eq!(dice.up_to(Duration::ZERO), Duration::ZERO);
        assert!(dice.up_to(Duration::from_micros(u64::MAX)) <= Duration::from_micros(u64::MAX));
        assert_eq!(Backoff::new((30 * SECOND, SECOND)).next(&mut dice), 30 * SECOND);
    }
}
