//! Which upstream a node uses: failover, health and backoff (rules F1 to F4), as a pure machine.
//!
//! # What it decides
//!
//! The upstreams of an assignment are numbered in their order: 0 is the primary, then the failovers (rule F1). At most
//! one link is *in use*. While there is none — or the gateway at its other end has no upstream itself, or the
//! assignment no longer names it — the machine *searches*: one dial at a time, in order, beginning after the
//! upstream that was lost. A whole *round* without success is followed by a wait with decorrelated jitter (rule F2).
//! An upstream that refuses this node rests by itself, 30 s to 10 min, so that it cannot slow down the others.
//!
//! While the link in use is good, the other upstreams are *probed* (rule F3): for the first time a few seconds after the
//! link is good or the list is new, then at the interval, and after a failure again after waits that grow to it; the primary often enough to measure the hold-down. When the primary was healthy without a break for the hold-down and its jitter, it is dialled for
//! *failback* (rule F4), and the link in use stays until that dial is accepted.
//!
//! # The contract with the caller
//!
//! - After each call `poll_action` is asked until it returns `None`, then `poll_timeout`.
//! - Each [`Action::Dial`] is answered exactly once, by `handle_accepted` or `handle_failed` with the same index and
//!   purpose, after a time that the caller bounds. Only [`Failover::replace`] makes the open dials void: the caller gives
//!   them up.
//! - A probe's link is closed by the caller, whatever its result. Any other accepted link is followed by a
//!   [`Action::Move`] or a [`Action::Drop`] with its index, and so is one that is [`Failure::Unavailable`]: it stays up
//!   until then.
//! - After [`Action::Move`] "the link in use" is the new one. The old one is the node's to quiesce and close (rule D5);
//!   its end is not reported here.

use std::time::Duration;

use crate::limits;
use crate::time::Instant;

mod backoff;
mod failover;
mod health;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod tests;

pub(crate) use backoff::{Backoff, Dice};
pub(crate) use failover::Failover;

/// The durations that routing works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// First and longest wait between rounds of failed dials.
    pub(crate) backoff: (Duration, Duration),
    /// The same for one upstream that refused this node for identity or approval.
    pub(crate) backoff_refused: (Duration, Duration),
    /// A link that was good for this long resets the backoff.
    pub(crate) reset_after: Duration,
    /// How long the primary must have been healthy before a node moves back to it.
    pub(crate) hold_down: Duration,
    /// Added to the hold-down at random.
    pub(crate) hold_down_jitter: Duration,
    /// How often a standby is proven, ± 20 %; the primary at least three times per hold-down.
    pub(crate) probe_every: Duration,
    /// The first proof of a standby comes within this time, at random, so that the agents of one gateway, which came
    /// together or were assigned together, do not all prove theirs in one instant.
    pub(crate) first_probe_within: Duration,
    /// The longest delay before the next upstream of a round is tried, at random, so that the agents of a lost
    /// gateway do not arrive at the next one in one instant.
    pub(crate) moment: Duration,
    /// How long a spool that is being replayed may put off a failback that is due (rule F4).
    pub(crate) defer_max: Duration,
}

impl Timing {
    /// Of an agent (DESIGN section 5).
    pub(crate) fn agent() -> Self {
        Self {
            backoff: limits::BACKOFF_AGENT,
            backoff_refused: limits::BACKOFF_REFUSED,
            reset_after: limits::BACKOFF_RESET_AFTER,
            hold_down: limits::FAILBACK_HOLD_DOWN,
            hold_down_jitter: limits::FAILBACK_JITTER,
            probe_every: STANDBY_PROBE,
            first_probe_within: limits::FIRST_PROBE_WITHIN,
            moment: MOMENT,
            defer_max: FAILBACK_DEFER_MAX,
        }
    }

    /// Of a gateway (DESIGN section 5).
    pub(crate) fn gateway() -> Self {
        Self { backoff: limits::BACKOFF_GATEWAY, ..Self::agent() }
    }

    /// When a standby's first probe comes at the latest, and the shortest wait after one that failed: well within the
    /// interval where that is configured to be short.
    pub(crate) fn first_probe(&self) -> Duration {
        self.first_probe_within.min(self.probe_every / 5)
    }

    /// How often the primary is probed from a failover: often enough to measure the hold-down, yet bounded where
    /// a test or a configuration makes the hold-down tiny.
    pub(crate) fn probe_primary_every(&self) -> Duration {
        self.probe_every.min(self.hold_down / 3).max(PROBE_EVERY_MIN)
    }
}

/// Why a dial did not lead to acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, no TLS, or no answer in time.
    Unreachable,
    /// The peer refused this node, or this node the peer, for identity or approval (FP1xxx, FP3xxx).
    Refused,
    /// The peer authorised this node, but it is a gateway that has no upstream itself (FP2110). Its link is used where
    /// none is better.
    Unavailable,
}

/// What a dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// To be the link in use.
    Use,
    /// To prove a standby: HELLO `purpose = probe`, closed after its answer (rule F3).
    Probe,
    /// To move back to the primary (rule F4).
    Failback,
}

/// What the node should do. Indices count the upstreams of the assignment from 0, the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Dial the upstream.
    Dial {
        /// Which one.
        index: usize,
        /// What for.
        purpose: Purpose,
    },
    /// Use the link that was just made to this upstream; one that was in use before is quiesced, then closed.
    Move {
        /// To which one.
        index: usize,
    },
    /// Close the link that was just made to this upstream: it is not needed.
    Drop {
        /// Which one.
        index: usize,
    },
}

/// What a standby's last probe or dial has shown (rule F3), for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standby {
    /// Not tried yet.
    Unproven,
    /// It accepted this node then.
    Ready(Instant),
    /// It did not then.
    NotReady(Failure, Instant),
}

/// Why the node is where it is, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No upstream is assigned.
    NotAssigned,
    /// There is no link; the first round of dials is going on.
    Searching,
    /// There is no link, and no upstream accepted this node in a whole round (FP2106).
    NoneReachable,
    /// The primary is in use.
    Primary,
    /// A failover is in use (FP2107).
    FailedOver,
    /// The gateway in use has no upstream itself, and none of the others is better (FP2110).
    Unavailable,
    /// The upstream in use is no longer assigned; it is left as soon as another one accepts.
    Leaving,
}

/// The reason and since when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Why the node is where it is.
    pub(crate) reason: Reason,
    /// Since when.
    pub(crate) since: Instant,
}

/// Standby probe, ± 20 % (DESIGN section 5).
const STANDBY_PROBE: Duration = Duration::from_secs(300);
/// A moment's jitter before the next upstream is tried (rule F2).
const MOMENT: Duration = Duration::from_millis(50);
/// How long a replay may put off a failback (rule F4).
const FAILBACK_DEFER_MAX: Duration = Duration::from_secs(600);
/// The shortest distance of two probes: a full handshake on both sides, 0.5 ms of CPU each.
const PROBE_EVERY_MIN: Duration = Duration::from_millis(100);
