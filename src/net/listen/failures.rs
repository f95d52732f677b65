//! Failed handshakes by source: whoever fails often waits before it may try again, and nobody else does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::limits::{FAILING_SOURCES_MAX, FAILURES_BURST, FAILURES_PER_SECOND};

/// Each source's debt: the moment at which all its failures are forgiven. A failure adds a tenth of a second; a source
/// whose debt is below five seconds (fifty failures) need not wait.
#[derive(Default)]
pub(super) struct Failures {
    forgiven: HashMap<IpAddr, Instant>,
}

/// What a connection of a source may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    /// After this time; a failure is counted already, and taken back by [`Failures::succeeded`].
    After(Duration),
    Never,
}

impl Failures {
    /// May this source begin a handshake? `patience` is how long a connection may wait for that.
    pub(super) fn admit(&mut self, source: IpAddr, patience: Duration, now: Instant) -> Admission {
        let Some(forgiven) = self.forgiven.get_mut(&network_of(source)) else { return Admission::Now };
        let wait = forgiven.saturating_duration_since(now).saturating_sub(BURST);
        if wait.is_zero() {
            Admission::Now
        } else if wait > patience {
            Admission::Never
        } else {
            *forgiven += EACH;
            Admission::After(wait)
        }
    }

    /// A handshake that had not to wait has failed.
    pub(super) fn failed(&mut self, source: IpAddr, now: Instant) {
        let source = network_of(source);
        if self.forgiven.len() >= FAILING_SOURCES_MAX && !self.forgiven.contains_key(&source) {
            self.forgiven.retain(|_, forgiven| *forgiven > now);
            if self.forgiven.len() >= FAILING_SOURCES_MAX {
                // The places of those who have proven nothing are bounded in any case.
                return;
            }
        }
        let forgiven = self.forgiven.entry(source).or_insert(now);
        *forgiven = (*forgiven).max(now) + EACH;
    }

    /// A handshake that had to wait was good.
    pub(super) fn succeeded(&mut self, source: IpAddr) {
        if let Some(forgiven) = self.forgiven.get_mut(&network_of(source)) {
            *forgiven = forgiven.checked_sub(EACH).unwrap_or(*forgiven);
        }
    }
}

/// Whoever has one address of an IPv6 network has 2⁶⁴ of them.
fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What a failure adds.
const EACH: Duration = Duration::from_millis(1_000 / FAILURES_PER_SECOND);
/// What a source may owe without waiting.
const BURST: Duration = Duration::from_millis(1_000 / FAILURES_PER_SECOND * FAILURES_BURST);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn h7_a_source_that_fails_may_fail_fifty_times_at_once_then_ten_times_a_second_and_others_do_not_notice() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let (mut now, mut begun) = (start, 0);
        // As fast as it may, for a minute: each connection fails.
        while now < start + Duration::from_secs(60) {
            match failures.admit(source(1), PATIENCE, now) {
                Admission::Now => failures.failed(source(1), now),
                Admission::After(wait) => now += wait,
                Admission::Never => panic!("it does not wait for more than one"),
            }
            assert_eq!(failures.admit(source(2), PATIENCE, now), Admission::Now);
            begun += 1;
        }
        assert!((649..=652).contains(&begun), "{begun} handshakes in a minute");
        // A minute later all is forgiven.
        assert_eq!(failures.admit(source(1), PATIENCE, now + Duration::from_secs(60)), Admission::Now);
    }

    #[test]
    fn h7_connections_of_a_failing_source_wait_in_turn_and_beyond_their_patience_are_turned_away() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        (0..60).for_each(|_| failures.failed(source(1), now));
        let waits: Vec<Admission> = (0..102).map(|_| failures.admit(source(1), PATIENCE, now)).collect();
        let tenths = |tenths: u64| Admission::After(Duration::from_millis(100 * tenths));
        assert_eq!((&waits[0], &waits[1], &waits[90]), (&tenths(10), &tenths(11), &tenths(100)));
        assert_eq!(waits[91..], [const { Admission::Never }; 11]);
        // One that was good all the same gives its place back.
        failures.succeeded(source(1));
        assert_eq!(failures.admit(source(1), PATIENCE, now), tenths(100));
    }

    #[test]
    fn h7_a_network_of_ipv6_is_one_source_and_the_number_of_sources_is_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for last in 0..100 {
            failures.failed(IpAddr::from([0x2001, 0xdb8, 0, 1, last, 0, 0, 7]), now);
        }
        let other = |network| IpAddr::from([0x2001, 0xdb8, 0, network, 9, 9, 9, 9]);
        assert_ne!(failures.admit(other(1), PATIENCE, now), Admission::Now);
        assert_eq!(failures.admit(other(2), PATIENCE, now), Admission::Now);
        // The same address in its IPv6 form.
        (0..60).for_each(|_| failures.failed(source(1), now));
        let mapped = IpAddr::from(std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_ne!(failures.admit(mapped, PATIENCE, now), Admission::Now);

        let many = |at: u32| IpAddr::from((0x0a00_0000 + at).to_be_bytes());
        (0..3 * FAILING_SOURCES_MAX as u32).for_each(|at| failures.failed(many(at), now));
        assert_eq!(failures.forgiven.len(), FAILING_SOURCES_MAX);
        // Those who are forgiven make room.
        failures.failed(source(77), now + Duration::from_secs(60));
        assert_eq!(failures.forgiven.len(), 1);
    }
}
