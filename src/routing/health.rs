//! What is known of one upstream: its rest after a refusal, its probes; and the series of successes that failback needs.

use std::time::Duration;

use crate::routing::backoff::{Backoff, Dice};
use crate::routing::{Failure, Standby, Timing};
use crate::time::Instant;

/// One upstream.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// Grows with each refusal, resets with an acceptance.
    refusals: Backoff,
    /// Failed probes since the last acceptance.
    absences: u32,
    /// Not dialled for use before this time.
    resting_until: Option<Instant>,
    /// When the next probe is due; none while one is out and while it was never a standby.
    probe_at: Option<Instant>,
    /// A probe is out.
    probing: bool,
    standby: Standby,
}

impl Health {
    /// Of an upstream that nothing is known of.
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            refusals: Backoff::new(timing.backoff_refused),
            absences: 0,
            resting_until: None,
            probe_at: None,
            probing: false,
            standby: Standby::Unproven,
        }
    }

    /// What its last probe or dial has shown.
    pub(super) fn standby(&self) -> Standby {
        self.standby
    }

    /// Whether a refusal keeps it from being dialled for use.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.resting_until.is_some_and(|until| until > now)
    }

    /// When its rest is over; `now` if it does not rest.
    pub(super) fn rested_at(&self, now: Instant) -> Instant {
        self.resting_until.unwrap_or(now).max(now)
    }

    /// It accepted this node, whatever the dial was for.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.refusals.reset();
        self.absences = 0;
        self.resting_until = None;
        self.standby = Standby::Ready(now);
    }

    /// A dial for use or failback failed; a refusal makes it rest.
    pub(super) fn failed(&mut self, failure: Failure, dice: &mut Dice, now: Instant) {
        self.standby = Standby::NotReady(failure, now);
        if failure == Failure::Refused {
            self.resting_until = Some(now + self.refusals.next(dice));
        }
    }

    /// When its next probe may start; none while one is out or none is wanted.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        if self.probing {
            return None;
        }
        self.probe_at.map(|at| self.resting_until.map_or(at, |until| at.max(until)))
    }

    /// Whether a probe is out.
    pub(super) fn is_probing(&self) -> bool {
        self.probing
    }

    /// A probe starts.
    pub(super) fn probe_started(&mut self) {
        self.probing = true;
        self.probe_at = None;
    }

    /// The probe that was out is answered. Returns false if none was.
    pub(super) fn probe_answered(&mut self) -> bool {
        std::mem::take(&mut self.probing)
    }

    /// A probe failed; the next one waits for `every`, after a refusal for the refusals' own backoff. It stays a
    /// candidate for use: when a link is lost, a refusal that only a probe met is worth another try.
    pub(super) fn probe_failed(&mut self, failure: Failure, every: Duration, dice: &mut Dice, now: Instant) {
        self.standby = Standby::NotReady(failure, now);
        self.absences = self.absences.saturating_add(1);
        let wait = if failure == Failure::Refused { self.refusals.next(dice).max(every) } else { every };
        self.probe_at = Some(now + wait);
    }

    /// The distance of a standby's probes, without its jitter, after the one that has just failed: it doubles with each
    /// failure, so that a standby that starts a little later than this node is proven soon after it is up, and one that
    /// stays away is asked no more often than others are.
    pub(super) fn probe_again(&self, timing: &Timing) -> Duration {
        timing
            .first_probe()
            .saturating_mul(1_u32.checked_shl(self.absences).unwrap_or(u32::MAX))
            .min(timing.probe_every)
    }

    /// Sets when the next probe is due.
    pub(super) fn probe_at(&mut self, at: Instant) {
        self.probe_at = Some(at);
    }

    /// Sets when the first probe since it is a standby is due, unless one is planned that is not overdue: what became so
    /// while this upstream was in use, or the node searched, would come without the first one's jitter.
    pub(super) fn probe_first_at(&mut self, at: Instant, now: Instant) {
        if self.probe_at.is_none_or(|planned| planned < now) {
            self.probe_at = Some(at);
        }
    }
}

/// An unbroken series of the primary's successful probes (rule F4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// The first success.
    pub(super) since: Instant,
    /// The hold-down of this series, with its jitter.
    pub(super) hold: Duration,
}

impl Series {
    /// When the primary was healthy for long enough.
    pub(super) fn over_at(&self) -> Instant {
        self.since + self.hold
    }
}
