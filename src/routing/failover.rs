//! The machine that decides which upstream is dialled and used; its contract is in the module above.

use std::collections::VecDeque;
use std::time::Duration;

use crate::routing::backoff::{Backoff, Dice};
use crate::routing::health::{Health, Series};
use crate::routing::{Action, Failure, Purpose, Reason, Situation, Standby, Timing};
use crate::time::Instant;

/// Failover over an ordered list of upstreams; the caller knows which upstream an index means.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    timing: Timing,
    dice: Dice,
    upstreams: Vec<Health>,
    link: Link,
    search: Search,
    /// The primary's unbroken successes while a failover is in use.
    series: Option<Series>,
    /// A dial for failback is out.
    failing_back: bool,
    /// A spool is being replayed on the link in use.
    replaying: bool,
    situation: Situation,
    actions: VecDeque<Action>,
}

/// The link in use.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// There is none.
    None,
    /// To an upstream of the assignment; good since a time, or not good: the gateway there has no upstream.
    At { index: usize, good_since: Option<Instant> },
    /// To an upstream that is no longer assigned.
    Unassigned,
}

/// The dials for use: one round after another until one is accepted.
#[derive(Clone, Debug)]
struct Search {
    /// The dial that is out.
    dialling: Option<usize>,
    /// Which upstreams had their turn in this round.
    tried: Vec<bool>,
    /// The upstream that this round began with.
    first: usize,
    /// When the next dial starts.
    next_at: Option<Instant>,
    /// The waits between rounds.
    backoff: Backoff,
    /// Rounds without success since the last link.
    rounds: u32,
    /// A link was lost or useless before it had lasted, and got a new round at once. The next such link continues the
    /// round instead, so that an upstream that accepts and drops cannot make a node dial in a loop.
    hasty: bool,
}

impl Failover {
    /// A machine over `count` upstreams, which does nothing before [`Self::start`].
    pub(crate) fn new(count: usize, timing: Timing, seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            upstreams: vec![Health::new(&timing); count],
            link: Link::None,
            search: Search {
                dialling: None,
                tried: vec![false; count],
                first: 0,
                next_at: None,
                backoff: Backoff::new(timing.backoff),
                rounds: 0,
                hasty: false,
            },
            series: None,
            failing_back: false,
            replaying: false,
            situation: Situation { reason: Reason::Searching, since: Instant::default() },
            actions: VecDeque::new(),
            timing,
        }
    }

    /// Begins with the primary.
    pub(crate) fn start(&mut self, now: Instant) {
        self.situation.since = now;
        self.begin_round(0, now);
        self.note(now);
    }

    /// Takes a new list. `current` is where the upstream in use stands in it; none if it is not in it: then it
    /// is left as soon as another one accepts. All open dials are void.
    ///
    /// A node on its primary that an operator makes a failover moves at once, without hold-down, which is
    /// against primaries that come and go; a node on a failover keeps to the hold-down.
    pub(crate) fn replace(&mut self, count: usize, current: Option<usize>, now: Instant) {
        let was_primary = matches!(self.link, Link::At { index: 0, .. });
        self.upstreams = vec![Health::new(&self.timing); count];
        self.search.tried = vec![false; count];
        self.search.dialling = None;
        self.search.next_at = None;
        (self.series, self.failing_back) = (None, false);
        self.actions.clear();
        self.link = match (self.link, current.filter(|index| *index < count)) {
            (Link::None, _) => Link::None,
            (Link::At { good_since, .. }, Some(index)) => Link::At { index, good_since },
            (Link::Unassigned, Some(index)) => Link::At { index, good_since: Some(now) },
            (Link::At { .. } | Link::Unassigned, None) => Link::Unassigned,
        };
        if self.is_searching() {
            self.begin_round(0, now);
        } else {
            self.plan_probes(now);
            if was_primary && self.current() != Some(0) {
                self.series = Some(Series { since: now, hold: self.dice.up_to(self.timing.moment) });
            } else {
                let first = self.first_probe();
                self.upstreams[0].probe_at(now + first);
            }
        }
        self.note(now);
    }

    /// A dial led to an accepted link: authorised by HELLO and WELCOME, and the peer has an upstream or needs none.
    pub(crate) fn handle_accepted(&mut self, index: usize, purpose: Purpose, now: Instant) {
        if !self.answer(index, purpose) {
            return self.drop_stale(index, purpose);
        }
        self.upstreams[index].accepted(now);
        match purpose {
            Purpose::Probe => self.probe_succeeded(index, now),
            Purpose::Use if self.is_searching() => self.adopt(index, Some(now), now),
            Purpose::Failback if self.current() != Some(index) => self.adopt(index, Some(now), now),
            Purpose::Use | Purpose::Failback => self.actions.push_back(Action::Drop { index }),
        }
        self.note(now);
    }

    /// A dial did not lead to an accepted link.
    pub(crate) fn handle_failed(&mut self, index: usize, purpose: Purpose, failure: Failure, now: Instant) {
        if !self.answer(index, purpose) {
            return if failure == Failure::Unavailable {
                self.drop_stale(index, purpose)
            };
        }
        if purpose == Purpose::Probe {
            self.probe_failed(index, failure, now);
            return self.note(now);
        }
        self.upstreams[index].failed(failure, &mut self.dice, now);
        if index == 0 {
            self.series = None;
            self.upstreams[0].probe_at(now + self.timing.probe_primary_every());
        }
        self.search.tried[index] = true;
        if failure == Failure::Unavailable {
            match self.link {
                Link::None => self.adopt(index, None, now),
                Link::At { .. } | Link::Unassigned => self.actions.push_back(Action::Drop { index }),
            }
        }
        self.advance(now);
        self.note(now);
    }

    /// The link in use died: the next upstream in order is tried at once (rule F2).
    pub(crate) fn handle_lost(&mut self, now: Instant) {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::None => return,
            Link::At { index, good_since } => self.search_after(Some(index), good_since, now),
            Link::Unassigned => self.search_after(None, None, now),
        }
        self.replaying = false;
        self.note(now);
    }

    /// The link in use is given up because the far end of the chain refused this node: its upstream rests like one that
    /// refused a dial, and the others are tried.
    pub(crate) fn handle_refused(&mut self, now: Instant) {
        if let Link::At { index, .. } = self.link {
            self.upstreams[index].failed(Failure::Refused, &mut self.dice, now);
        }
        self.handle_lost(now);
    }

    /// The gateway in use says that it has no upstream: the others are tried while its link stays (rule F2).
    pub(crate) fn handle_unavailable(&mut self, now: Instant) {
        if let Link::At { index, good_since: Some(good_since) } = self.link {
            self.link = Link::At { index, good_since: None };
            self.search_after(Some(index), Some(good_since), now);
            self.note(now);
        }
    }

    /// The gateway in use has an upstream again. A dial that is out ends in [`Action::Drop`].
    pub(crate) fn handle_available(&mut self, now: Instant) {
        if let Link::At { index, good_since: None } = self.link {
            self.link = Link::At { index, good_since: Some(now) };
            self.search.next_at = None;
            self.search.rounds = 0;
            self.plan_probes(now);
            self.note(now);
        }
    }

    /// A replay of the spool began (`true`) or ended: it puts off a failback for at most ten minutes (rule F4).
    #[cfg_attr(not(test), expect(dead_code, reason = "no gateway replays a spool yet"))]
    pub(crate) fn handle_replay(&mut self, replaying: bool) {
        self.replaying = replaying;
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.search_due().is_some_and(|at| at <= now) {
            self.dial_next(now);
        }
        if self.failback_at().is_some_and(|at| at <= now) {
            self.failing_back = true;
            self.actions.push_back(Action::Dial { index: 0, purpose: Purpose::Failback });
        }
        for index in 0..self.upstreams.len() {
            if self.probe_due(index).is_some_and(|at| at <= now) {
                self.upstreams[index].probe_started();
                self.actions.push_back(Action::Dial { index, purpose: Purpose::Probe });
            }
        }
        self.note(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let probes = (0..self.upstreams.len()).filter_map(|index| self.probe_due(index));
        probes.chain(self.search_due()).chain(self.failback_at()).min()
    }

    /// The next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The upstream in use; none if there is no link or its upstream is no longer assigned.
    pub(crate) fn current(&self) -> Option<usize> {
        match self.link {
            Link::At { index, .. } => Some(index),
            Link::None | Link::Unassigned => None,
        }
    }

    /// Why the node is where it is, and since when.
    pub(crate) fn why(&self) -> Situation {
        self.situation
    }

    /// What is known of a standby; none if there is no such upstream.
    pub(crate) fn standby(&self, index: usize) -> Option<Standby> {
        self.upstreams.get(index).map(Health::standby)
    }

    /// When the primary is dialled for failback if it stays healthy; none while that cannot be said.
    pub(crate) fn failback_at(&self) -> Option<Instant> {
        let Link::At { index: 1.., good_since: Some(_) } = self.link else { return None };
        if self.failing_back || self.search.dialling.is_some() || self.upstreams[0].is_probing() {
            return None;
        }
        let due = self.series?.over_at();
        Some(if self.replaying { due + self.timing.defer_max } else { due })
    }

    /// Whether a better link than the present one is wanted at once.
    fn is_searching(&self) -> bool {
        !matches!(self.link, Link::At { good_since: Some(_), .. })
    }

    /// When the next dial for use starts.
    fn search_due(&self) -> Option<Instant> {
        self.search.next_at.filter(|_| self.is_searching() && self.search.dialling.is_none())
    }

    /// When a standby's next probe starts. There are none while the node searches: it has other worries.
    fn probe_due(&self, index: usize) -> Option<Instant> {
        let dialled = self.search.dialling == Some(index) || (index == 0 && self.failing_back);
        if self.is_searching() || self.current() == Some(index) || dialled {
            return None;
        }
        self.upstreams[index].probe_due()
    }

    /// Closes the books on a dial; false if no such dial is out.
    fn answer(&mut self, index: usize, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Use => self.search.dialling.take_if(|dialled| *dialled == index).is_some(),
            Purpose::Failback => index == 0 && std::mem::take(&mut self.failing_back),
            Purpose::Probe => self.upstreams.get_mut(index).is_some_and(Health::probe_answered),
        }
    }

    /// A link that nobody asked for is closed, if it is one that would stay.
    fn drop_stale(&mut self, index: usize, purpose: Purpose) {
        if purpose != Purpose::Probe {
            self.actions.push_back(Action::Drop { index });
        }
    }

    /// Makes the new link the one in use; the link before it counts for the backoff if it had lasted.
    fn adopt(&mut self, index: usize, good_since: Option<Instant>, now: Instant) {
        if let Link::At { good_since, .. } = self.link {
            self.forgive_if_lasted(good_since, now);
        }
        self.link = Link::At { index, good_since };
        self.actions.push_back(Action::Move { index });
        self.series = None;
        if good_since.is_some() {
            self.search.next_at = None;
            self.search.rounds = 0;
            self.plan_probes(now);
        }
    }

    /// Searches after the link in use died or became useless, from the next upstream in order on.
    fn search_after(&mut self, index: Option<usize>, good_since: Option<Instant>, now: Instant) {
        self.series = None;
        let lasted = self.forgive_if_lasted(good_since, now);
        if lasted || !self.search.hasty {
            self.search.hasty = !lasted;
            let first = index.map_or(0, |index| (index + 1) % self.upstreams.len().max(1));
            return self.begin_round(first, now);
        }
        if let Some(index) = index {
            self.search.tried[index] = true;
        }
        if self.search.next_at.is_none() {
            self.advance(now);
        }
    }

    /// Resets the backoff and the round if a link had been good for long enough, and says so.
    fn forgive_if_lasted(&mut self, good_since: Option<Instant>, now: Instant) -> bool {
        let lasted = good_since.is_some_and(|since| now.since(since) >= self.timing.reset_after);
        if lasted {
            self.search.backoff.reset();
            self.search.hasty = false;
            self.search.tried.fill(false);
        }
        lasted
    }

    /// Gives every upstream a turn again, from `first` on; a dial that is out has had its turn.
    fn begin_round(&mut self, first: usize, now: Instant) {
        self.search.tried.fill(false);
        self.search.first = first;
        if let Some(dialled) = self.search.dialling {
            self.search.tried[dialled] = true;
        }
        self.advance(now);
    }

    /// Plans the next dial of the round, or the wait after it, if the node searches and none is out.
    fn advance(&mut self, now: Instant) {
        if !self.is_searching() || self.search.dialling.is_some() {
            return;
        }
        if self.candidate(now).is_some() {
            self.search.next_at = Some(now + self.dice.up_to(self.timing.moment));
        } else if !self.failing_back {
            self.end_round(now);
        }
    }

    /// Dials the next upstream of the round.
    fn dial_next(&mut self, now: Instant) {
        self.search.next_at = None;
        match self.candidate(now) {
            Some(index) => {
                self.search.tried[index] = true;
                self.search.dialling = Some(index);
                self.actions.push_back(Action::Dial { index, purpose: Purpose::Use });
            }
            None if self.failing_back => {} // its answer continues the round
            None => self.end_round(now),
        }
    }

    /// The next upstream of the round that is neither in use, nor resting, nor being dialled for failback.
    fn candidate(&self, now: Instant) -> Option<usize> {
        let count = self.upstreams.len();
        (0..count).map(|step| (self.search.first + step) % count).find(|&index| {
            let had_its_turn = self.search.tried[index] || (index == 0 && self.failing_back);
            let unfit = self.current() == Some(index) || self.upstreams[index].is_resting(now);
            !had_its_turn && !unfit
        })
    }

    /// A whole round without success: the next begins with the primary, after a wait, and not before one of the
    /// upstreams has rested.
    fn end_round(&mut self, now: Instant) {
        let current = self.current();
        let others = self.upstreams.iter().enumerate().filter(|(index, _)| Some(*index) != current);
        let Some(rested_at) = others.map(|(_, health)| health.rested_at(now)).min() else {
            self.search.next_at = None; // nobody else to try
            return;
        };
        let wait = self.search.backoff.next(&mut self.dice);
        self.search.tried.fill(false);
        self.search.first = 0;
        self.search.rounds = self.search.rounds.saturating_add(1);
        self.search.next_at = Some(rested_at.max(now + wait));
    }

    /// Plans the probes of all upstreams that are not in use; the primary's, which a search dials first, for the
    /// hold-down.
    fn plan_probes(&mut self, now: Instant) {
        let current = self.current();
        for index in (0..self.upstreams.len()).filter(|index| Some(*index) != current) {
            if index == 0 {
                self.upstreams[0].probe_at(now + self.timing.probe_primary_every());
            } else {
                let first = self.first_probe();
                self.upstreams[index].probe_first_at(now + first, now);
            }
        }
    }

    /// How long from now the first probe of a standby comes.
    fn first_probe(&mut self) -> Duration {
        self.dice.up_to(self.timing.first_probe())
    }

    /// The distance to an upstream's next probe; `every` is a standby's, without its jitter.
    fn probe_distance(&mut self, index: usize, every: Duration) -> Duration {
        match index {
            0 => self.timing.probe_primary_every(),
            _ => self.dice.between(every * 4 / 5, every * 6 / 5),
        }
    }

    fn probe_succeeded(&mut self, index: usize, now: Instant) {
        let distance = self.probe_distance(index, self.timing.probe_every);
        self.upstreams[index].probe_at(now + distance);
        if index == 0 && self.series.is_none() && matches!(self.link, Link::At { index: 1.., good_since: Some(_) }) {
            let hold = self.timing.hold_down + self.dice.up_to(self.timing.hold_down_jitter);
            self.series = Some(Series { since: now, hold });
        }
    }

    fn probe_failed(&mut self, index: usize, failure: Failure, now: Instant) {
        let every = match failure {
            // Each is told to whoever runs the peer.
            Failure::Refused => self.timing.probe_every,
            Failure::Unreachable | Failure::Unavailable => self.upstreams[index].probe_again(&self.timing),
        };
        let distance = self.probe_distance(index, every);
        self.upstreams[index].probe_failed(failure, distance, &mut self.dice, now);
        if index == 0 {
            self.series = None;
        }
    }

    /// Notes since when the present reason holds.
    fn note(&mut self, now: Instant) {
        let reason = match self.link {
            Link::None if self.upstreams.is_empty() => Reason::NotAssigned,
            Link::None if self.search.rounds == 0 => Reason::Searching,
            Link::None => Reason::NoneReachable,
            Link::Unassigned => Reason::Leaving,
            Link::At { good_since: None, .. } => Reason::Unavailable,
            Link::At { index: 0, .. } => Reason::Primary,
            Link::At { .. } => Reason::FailedOver,
        };
        if reason != self.situation.reason {
            self.situation = Situation { reason, since: now };
        }
    }
}
