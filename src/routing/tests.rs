//! Scenarios for F1 to F4 and G3, every short script, and long random ones with a bound on dials.

use std::time::Duration;

use super::backoff::Dice;
use super::*;
use Failure::{Refused, Unavailable, Unreachable};
use Purpose::{Failback, Probe, Use};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The world around the machine: it keeps the caller's part of the contract and checks the machine's.
#[derive(Clone)]
pub(super) struct World {
    failover: Failover,
    pub(super) now: Instant,
    count: usize,
    /// Dials without an answer.
    pub(super) open: Vec<(usize, Purpose)>,
    /// The link in use: its index, or none if its upstream is not assigned.
    in_use: Option<Option<usize>>,
    /// The link in use says that it has no upstream.
    unavailable: bool,
    /// A link that was just made and must be moved to or dropped.
    made: Option<usize>,
    uses: usize,
    dials: usize,
}

impl World {
    pub(super) fn new(count: usize, seed: u64) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut world = Self {
            failover: Failover::new(count, Timing::agent(), seed),
            now,
            count,
            open: Vec::new(),
            in_use: None,
            unavailable: false,
            made: None,
            uses: 0,
            dials: 0,
        };
        world.failover.start(now);
        world.check();
        world
    }

    /// Takes the actions and checks what must hold after every input.
    fn check(&mut self) {
        while let Some(action) = self.failover.poll_action() {
            match action {
                Action::Dial { index, purpose } => self.dial(index, purpose),
                Action::Move { index } => {
                    assert_eq!(self.made.take(), Some(index), "moved to a link that was not just made");
                    self.in_use = Some(Some(index));
                }
                Action::Drop { index } => assert_eq!(self.made.take(), Some(index), "dropped what was not just made"),
            }
        }
        assert_eq!(self.made, None, "a link was made and forgotten");
        assert_eq!(self.failover.current(), self.in_use.flatten());
        let dialling = self.open.iter().any(|(_, purpose)| *purpose != Probe);
        if self.count > 0 && self.in_use.is_none() {
            assert!(dialling || self.failover.poll_timeout().is_some(), "not connected and nothing planned");
        }
    }

    fn dial(&mut self, index: usize, purpose: Purpose) {
        assert!(index < self.count, "dialled {index} of {}", self.count);
        assert_ne!(self.in_use, Some(Some(index)), "dialled the upstream in use");
        assert!(!self.open.contains(&(index, purpose)), "dialled {index} twice for {purpose:?}");
        assert!(purpose != Use || self.open.iter().all(|(_, purpose)| *purpose != Use), "two dials for use");
        assert!(purpose != Failback || index == 0);
        let probed_in_vain = purpose == Probe && self.open.iter().any(|(other, _)| *other == index);
        assert!(!probed_in_vain, "probed {index} while it is dialled anyway");
        self.open.push((index, purpose));
        self.dials += 1;
        self.uses += usize::from(purpose == Use);
    }

    fn close(&mut self, index: usize, purpose: Purpose) {
        let place = self.open.iter().position(|dial| *dial == (index, purpose));
        self.open.remove(place.unwrap_or_else(|| panic!("{index} was not dialled for {purpose:?}: {:?}", self.open)));
    }

    pub(super) fn accept(&mut self, index: usize, purpose: Purpose) {
        self.close(index, purpose);
        self.made = (purpose != Probe).then_some(index);
        let before = self.in_use;
        self.failover.handle_accepted(index, purpose, self.now);
        self.check();
        self.unavailable &= self.in_use == before;
    }

    pub(super) fn fail(&mut self, index: usize, purpose: Purpose, failure: Failure) {
        self.close(index, purpose);
        self.made = (purpose != Probe && failure == Unavailable).then_some(index);
        let before = self.in_use;
        self.failover.handle_failed(index, purpose, failure, self.now);
        self.check();
        self.unavailable |= self.in_use != before;
    }

    pub(super) fn lose(&mut self) {
        (self.in_use, self.unavailable) = (None, false);
        self.failover.handle_lost(self.now);
        self.check();
    }

    fn say_available(&mut self, available: bool) {
        self.unavailable = !available;
        match available {
            true => self.failover.handle_available(self.now),
            false => self.failover.handle_unavailable(self.now),
        }
        self.check();
    }

    pub(super) fn replace(&mut self, count: usize, current: Option<usize>) {
        self.open.clear();
        self.count = count;
        self.in_use = self.in_use.map(|_| current);
        self.unavailable &= current.is_some();
        self.failover.replace(count, current, self.now);
        self.check();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Lets time pass to the next thing planned; false if nothing is.
    pub(super) fn next(&mut self) -> bool {
        let Some(at) = self.failover.poll_timeout() else { return false };
        self.now = self.now.max(at);
        self.failover.handle_timeout(self.now);
        self.check();
        if let Some(at) = self.failover.poll_timeout() {
            // A moment's jitter may be none at all; anything else that is due must have been done.
            assert!(at >= self.now, "something due was left undone");
        }
        true
    }

    /// Lets things happen until this upstream is dialled for this purpose; probes of others are answered well.
    pub(super) fn until(&mut self, index: usize, purpose: Purpose) -> Duration {
        let start = self.now;
        while !self.open.contains(&(index, purpose)) {
            if let Some(&(other, Probe)) = self.open.iter().find(|(other, of)| *of == Probe && *other != 0) {
                self.accept(other, Probe);
            } else {
                let open: Vec<_> = self.open.iter().filter(|(_, of)| *of == Use).collect();
                assert!(open.is_empty() || self.in_use.is_some(), "waits for {open:?}");
                assert!(self.next(), "nothing planned");
            }
        }
        self.now.since(start)
    }

    pub(super) fn connected_to(index: usize, count: usize) -> Self {
        let mut world = Self::new(count, 7);
        for dead in 0..index {
            world.until(dead, Use);
            world.fail(dead, Use, Unreachable);
        }
        world.until(index, Use);
        world.accept(index, Use);
        world
    }

    fn reason(&self) -> Reason {
        self.failover.why().reason
    }
}

#[test]
fn the_primary_is_probed_often_enough_to_measure_the_hold_down() {
    assert_eq!(Timing::gateway().probe_primary_every(), 20 * SECOND);
    let hasty = Timing { hold_down: SECOND / 100, ..Timing::agent() };
    assert_eq!(hasty.probe_primary_every(), SECOND / 10);
    assert_eq!((Timing::gateway().backoff.1, Timing::agent().backoff.1), (30 * SECOND, 60 * SECOND));
}

#[test]
fn f1_the_primary_is_dialled_first_then_the_failovers_in_order() {
    let mut world = World::new(4, 1);
    for index in 0..4 {
        assert!(world.until(index, Use) <= MOMENT, "at once");
        assert_eq!(world.reason(), Reason::Searching);
        world.fail(index, Use, Unreachable);
    }
    assert_eq!(world.reason(), Reason::NoneReachable);
    let wait = world.until(0, Use);
    assert!(wait >= SECOND && wait <= 3 * SECOND + MOMENT, "{wait:?}");
}

#[test]
fn f2_a_lost_primary_is_followed_by_the_next_in_order_at_once() {
    let mut world = World::connected_to(0, 3);
    assert_eq!(world.reason(), Reason::Primary);
    world.pass(100 * SECOND);
    world.lose();
    assert!(world.until(1, Use) <= MOMENT);
    world.accept(1, Use);
    assert_eq!((world.reason(), world.failover.why().since), (Reason::FailedOver, world.now));
}

#[test]
fn f2_a_lost_failover_is_followed_by_the_one_after_it_and_the_lost_one_comes_last() {
    let mut world = World::connected_to(1, 3);
    world.pass(100 * SECOND);
    world.lose();
    for index in [2, 0, 1] {
        assert!(world.until(index, Use) <= MOMENT);
        world.fail(index, Use, Unreachable);
    }
    assert!(world.until(0, Use) >= SECOND, "a whole round without success backs off");
}

#[test]
fn f2_a_link_that_lasted_resets_the_backoff_and_one_that_did_not_does_not() {
    for (lasted, longest) in [(31 * SECOND, 3 * SECOND), (29 * SECOND, 60 * SECOND)] {
        let mut waits = Vec::new();
        for seed in 0..50 {
            let mut world = World::new(1, seed);
            for _ in 0..10 {
                world.until(0, Use);
                world.fail(0, Use, Unreachable);
            }
            world.until(0, Use);
            world.accept(0, Use);
            world.pass(lasted);
            world.lose();
            assert!(world.until(0, Use) <= MOMENT, "the first lost link is dialled again at once");
            world.fail(0, Use, Unreachable);
            waits.push(world.until(0, Use));
        }
        let most = waits.iter().max().copied().unwrap_or_default();
        assert!(most <= longest + MOMENT && most > longest / 3, "{lasted:?}: {most:?}");
    }
}

#[test]
fn f2_a_refusing_upstream_rests_by_itself_and_does_not_slow_down_the_others() {
    let mut world = World::new(2, 3);
    let (mut last_refusal, mut refusals) = (None::<Instant>, 0);
    let start = world.now;
    while world.now.since(start) < 3600 * SECOND {
        match world.open.first().copied() {
            None => assert!(world.next()),
            Some((0, _)) => {
                let rest = last_refusal.replace(world.now).map(|last| world.now.since(last));
                assert!(rest.is_none_or(|rest| rest >= 30 * SECOND && rest <= 661 * SECOND), "{rest:?}");
                refusals += 1;
                world.fail(0, Use, Refused);
            }
            Some((index, purpose)) => world.fail(index, purpose, Unreachable),
        }
    }
    assert!((6..60).contains(&refusals), "{refusals}");
    assert!(world.uses - refusals > 100, "the other was dialled {} times in an hour", world.uses - refusals);
}

#[test]
fn f2_an_upstream_whose_far_end_refuses_the_node_rests_like_one_that_refuses_the_dial() {
    let mut world = World::connected_to(0, 1);
    world.in_use = None;
    world.failover.handle_refused(world.now);
    world.check();
    assert!(world.open.is_empty(), "dialled again at once");
    assert!(world.until(0, Use) >= 30 * SECOND);
}

#[test]
fn f2_when_all_refuse_the_first_that_has_rested_is_dialled() {
    let mut world = World::new(3, 5);
    for index in 0..3 {
        world.until(index, Use);
        world.fail(index, Use, Refused);
    }
    let start = world.now;
    assert!(world.next());
    assert!(world.now.since(start) >= 30 * SECOND && world.now.since(start) <= 91 * SECOND);
    assert_eq!(world.open.len(), 1);
}

#[test]
fn f2_agents_of_a_gateway_without_upstream_try_the_others_and_stay_if_none_is_better() {
    let mut world = World::connected_to(0, 3);
    world.pass(60 * SECOND);
    world.say_available(false);
    assert_eq!(world.reason(), Reason::Unavailable);
    world.until(1, Use);
    world.fail(1, Use, Unavailable);
    world.until(2, Use);
    world.fail(2, Use, Unreachable);
    assert_eq!(world.in_use, Some(Some(0)), "it stays");
    assert!(world.until(1, Use) >= SECOND, "and asks again after a while");
    world.accept(1, Use);
    assert_eq!((world.in_use, world.reason()), (Some(Some(1)), Reason::FailedOver));
}

#[test]
fn f2_an_upstream_that_is_available_again_is_kept_and_the_dial_on_its_way_dropped() {
    let mut world = World::connected_to(0, 2);
    world.pass(60 * SECOND);
    world.say_available(false);
    world.until(1, Use);
    world.say_available(true);
    world.accept(1, Use); // the world checks that it is dropped
    assert_eq!((world.in_use, world.reason()), (Some(Some(0)), Reason::Primary));
}

#[test]
fn f2_without_a_link_a_gateway_without_upstream_is_used_until_a_better_one_accepts() {
    let mut world = World::new(2, 9);
    world.until(0, Use);
    world.fail(0, Use, Unavailable);
    assert_eq!((world.in_use, world.reason()), (Some(Some(0)), Reason::Unavailable));
    assert!(world.until(1, Use) <= MOMENT);
    world.accept(1, Use);
    assert_eq!(world.in_use, Some(Some(1)));
}

#[test]
fn f3_every_standby_is_proven_every_five_minutes_or_so() {
    let mut world = World::connected_to(0, 3);
    assert_eq!(world.failover.standby(2), Some(Standby::Unproven));
    assert!(world.until(2, Probe) <= 60 * SECOND, "soon after the link came up");
    world.fail(2, Probe, Refused);
    assert_eq!(world.failover.standby(2), Some(Standby::NotReady(Refused, world.now)));
    let again = world.until(2, Probe);
    assert!(again >= 240 * SECOND && again <= 360 * SECOND, "{again:?}");
    world.accept(2, Probe);
    assert_eq!(world.failover.standby(2), Some(Standby::Ready(world.now)));
    assert_eq!(world.failover.standby(3), None);
}

#[test]
fn f4_failback_comes_only_after_the_hold_down_of_unbroken_health_and_make_before_break() {
    for seed in 0..100 {
        let mut world = World::new(2, seed);
        world.until(0, Use);
        world.fail(0, Use, Unreachable);
        world.until(1, Use);
        world.accept(1, Use);
        world.until(0, Probe);
        let healthy = world.now;
        while !world.open.contains(&(0, Failback)) {
            match world.open.first().copied() {
                Some((index, purpose)) => world.accept(index, purpose),
                None => assert!(world.next()),
            }
        }
        let held = world.now.since(healthy);
        assert!(held >= 60 * SECOND && held <= 91 * SECOND, "seed {seed}: {held:?}");
        assert_eq!(world.in_use, Some(Some(1)), "the old link stays until the new one is accepted");
        world.accept(0, Failback);
        assert_eq!((world.in_use, world.reason()), (Some(Some(0)), Reason::Primary));
    }
}

#[test]
fn f4_one_failed_probe_or_failback_starts_the_hold_down_again() {
    let mut world = World::connected_to(1, 2);
    world.until(0, Probe);
    world.accept(0, Probe);
    world.until(0, Probe);
    world.accept(0, Probe);
    world.until(0, Probe);
    world.fail(0, Probe, Unreachable);
    assert_eq!(world.failover.failback_at(), None);
    for last in [Probe, Failback] {
        world.until(0, Probe);
        let healthy = world.now;
        while !world.open.contains(&(0, Failback)) {
            match world.open.first().copied() {
                Some((index, purpose)) => world.accept(index, purpose),
                None => assert!(world.next()),
            }
        }
        assert!(world.now.since(healthy) >= 60 * SECOND, "{last:?}");
        world.fail(0, Failback, Unreachable);
        assert_eq!((world.in_use, world.failover.failback_at()), (Some(Some(1)), None));
    }
}

#[test]
fn f4_a_replay_defers_failback_for_ten_minutes_and_no_longer() {
    let mut world = World::connected_to(1, 2);
    world.failover.handle_replay(true);
    world.until(0, Probe);
    let healthy = world.now;
    while !world.open.contains(&(0, Failback)) {
        match world.open.first().copied() {
            Some((index, purpose)) => world.accept(index, purpose),
            None => assert!(world.next()),
        }
    }
    let held = world.now.since(healthy);
    assert!(held >= 660 * SECOND && held <= 691 * SECOND, "{held:?}");
}

#[test]
fn f4_a_link_lost_during_failback_is_replaced_by_whichever_dial_is_accepted_first() {
    let mut world = World::connected_to(1, 3);
    world.until(0, Probe);
    world.accept(0, Probe);
    while !world.open.contains(&(0, Failback)) {
        match world.open.first().copied() {
            Some((index, purpose)) => world.accept(index, purpose),
            None => assert!(world.next()),
        }
    }
    world.lose();
    world.until(2, Use);
    world.accept(0, Failback);
    assert_eq!(world.in_use, Some(Some(0)));
    world.accept(2, Use); // dropped
    assert_eq!(world.in_use, Some(Some(0)));
}

#[test]
fn f1_an_upstream_no_longer_assigned_is_left_as_soon_as_another_accepts() {
    let mut world = World::connected_to(0, 2);
    world.replace(2, None);
    assert_eq!(world.reason(), Reason::Leaving);
    world.until(0, Use);
    world.fail(0, Use, Unreachable);
    assert_eq!(world.in_use, Some(None), "it is used until then");
    world.until(1, Use);
    world.accept(1, Use);
    assert_eq!(world.in_use, Some(Some(1)));
}

#[test]
fn g2_a_primary_that_the_operator_made_a_failover_is_left_at_once_make_before_break() {
    let mut world = World::connected_to(0, 2);
    world.replace(2, Some(1));
    assert!(world.until(0, Failback) <= MOMENT);
    assert_eq!(world.in_use, Some(Some(1)));
    world.accept(0, Failback);
    assert_eq!(world.in_use, Some(Some(0)));
}

#[test]
fn g3_a_server_that_refuses_as_excluded_is_never_used() {
    let mut world = World::connected_to(0, 3);
    for _ in 0..2000 {
        match world.open.first().copied() {
            Some((1, purpose)) => world.fail(1, purpose, Refused),
            Some((index, purpose)) => world.accept(index, purpose),
            None => {
                world.next();
                if world.open.is_empty() {
                    world.pass(SECOND);
                }
            }
        }
        if world.uses % 7 == 3 && world.in_use.is_some() {
            world.lose();
        }
        assert_ne!(world.in_use, Some(Some(1)));
    }
}

#[test]
fn without_upstreams_nothing_is_dialled() {
    let mut world = World::new(0, 1);
    assert_eq!((world.reason(), world.failover.poll_timeout()), (Reason::NotAssigned, None));
    world.replace(1, None);
    world.until(0, Use);
    world.accept(0, Use);
    world.replace(0, None);
    assert_eq!((world.reason(), world.failover.poll_timeout()), (Reason::Leaving, None));
    world.lose();
    assert!(!world.next());
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut world = World::connected_to(1, 3);
    for (index, purpose) in [(0, Use), (2, Use), (9, Use), (2, Failback), (0, Failback), (2, Probe), (9, Probe)] {
        let (before, now) = (world.failover.poll_timeout(), world.now);
        world.made = (purpose != Probe).then_some(index);
        world.failover.handle_accepted(index, purpose, now);
        world.check();
        world.failover.handle_failed(index, purpose, Unreachable, now);
        world.check();
        assert_eq!((world.failover.poll_timeout(), world.in_use), (before, Some(Some(1))));
    }
}

/// What can happen next in a world.
#[derive(Clone, Copy, Debug)]
enum Step {
    Accept(usize, Purpose),
    Fail(usize, Purpose, Failure),
    Lose,
    LoseAfter(Duration),
    Say(bool),
    Next,
    Replace(usize, Option<usize>),
}

fn steps(world: &World) -> Vec<Step> {
    let mut steps = vec![Step::Next];
    for &(index, purpose) in &world.open {
        steps.push(Step::Accept(index, purpose));
        steps.extend([Unreachable, Refused, Unavailable].map(|failure| Step::Fail(index, purpose, failure)));
    }
    if let Some(index) = world.in_use {
        steps.extend([Step::Lose, Step::LoseAfter(31 * SECOND), Step::Replace(3, Some(1)), Step::Replace(2, None)]);
        if index.is_some() {
            steps.push(Step::Say(world.unavailable));
        }
    } else {
        steps.push(Step::Replace(2, None));
    }
    steps
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Accept(index, purpose) => world.accept(index, purpose),
        Step::Fail(index, purpose, failure) => world.fail(index, purpose, failure),
        Step::Lose => world.lose(),
        Step::LoseAfter(time) => {
            world.pass(time);
            world.lose();
        }
        Step::Say(available) => world.say_available(available),
        Step::Next => drop(world.next()),
        Step::Replace(count, current) => world.replace(count, current),
    }
}

fn every_script(world: &World, length: usize) -> usize {
    if length == 0 {
        return 1;
    }
    let mut scripts = 0;
    for step in steps(world) {
        let mut after = world.clone();
        apply(&mut after, step);
        scripts += every_script(&after, length - 1);
    }
    scripts
}

#[test]
fn every_script_of_seven_events_over_three_upstreams_keeps_the_contract() {
    let mut scripts = 0;
    for index in 0..3 {
        scripts += every_script(&World::connected_to(index, 3), 7);
    }
    scripts += every_script(&World::new(3, 1), 7);
    assert!(scripts > 100_000, "{scripts}");
}

#[test]
fn random_scripts_keep_the_contract_and_the_rate_of_dials() {
    for seed in 0..200 {
        let (mut dice, mut world) = (Dice::new(seed), World::new(3, seed));
        let start = world.now;
        let mut replaced = 0;
        for _ in 0..2000 {
            let steps = steps(&world);
            let chosen = dice.up_to(Duration::from_micros(steps.len() as u64 - 1)).as_micros() as usize;
            replaced += usize::from(matches!(steps[chosen], Step::Replace(..)));
            apply(&mut world, steps[chosen]);
        }
        let seconds = world.now.since(start).as_secs() as usize;
        // Three dials per round, a round per second at most, and per replaced list or lasting link one more.
        let bound = 3 * (seconds + replaced + seconds / 30 + 2);
        assert!(world.uses <= bound, "seed {seed}: {} dials in {seconds} s, {replaced} lists", world.uses);
    }
}

#[test]
fn an_upstream_that_accepts_and_drops_or_says_unavailable_is_not_dialled_in_a_loop() {
    for (count, unavailable) in [(1, false), (2, false), (3, false), (2, true), (3, true)] {
        let mut world = World::new(count, 11);
        let start = world.now;
        while world.now.since(start) < 3600 * SECOND {
            match world.open.first().copied() {
                Some((index, purpose)) => {
                    world.accept(index, purpose);
                    match unavailable {
                        true if world.in_use.is_some() && !world.unavailable => world.say_available(false),
                        false if world.in_use.is_some() => world.lose(),
                        _ => {}
                    }
                }
                None => assert!(world.next(), "{count} {unavailable}"),
            }
        }
        // The waits of a backoff up to 60 s are 20 s in the mean.
        assert!(world.uses < 250 * count, "{count} {unavailable}: {} dials in an hour", world.uses);
        assert!(world.uses > 50, "{count} {unavailable}: {} dials in an hour", world.uses);
    }
}
