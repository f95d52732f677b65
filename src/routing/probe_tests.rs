//! When standbys are proven (rule F3): soon for the first time, then at the interval, and never by everybody at once.

use super::Failure::{Refused, Unavailable, Unreachable};
use super::Purpose::{Failback, Probe, Use};
use super::tests::{SECOND, World};

#[test]
fn f3_the_first_probe_of_each_standby_comes_within_ten_seconds_and_the_next_ones_at_the_interval() {
    for (used, replaced) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut world = World::connected_to(used, 4);
        if replaced {
            world.pass(1_000 * SECOND);
            world.replace(4, Some(used));
        }
        let start = world.now;
        let mut probes = vec![Vec::new(); 4];
        while world.now.since(start) < 1_000 * SECOND {
            match world.open.first().copied() {
                Some((index, purpose)) => {
                    assert_eq!(purpose, Probe);
                    probes[index].push(world.now.since(start));
                    // The primary is not to be gone back to.
                    if index == 0 { world.fail(0, Probe, Unreachable) } else { world.accept(index, Probe) }
                }
                None => assert!(world.next()),
            }
        }
        for (index, probes) in probes.iter().enumerate().skip(1).filter(|(index, _)| *index != used) {
            assert!(probes[0] <= 10 * SECOND, "{index} of {used}, {replaced}: {:?}", probes[0]);
            let distances: Vec<_> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!((2..=4).contains(&distances.len()), "{distances:?}");
            assert!(distances.iter().all(|distance| (240 * SECOND..=360 * SECOND).contains(distance)), "{distances:?}");
        }
    }
}

#[test]
fn f3_two_thousand_agents_that_come_or_are_assigned_together_prove_their_standbys_one_after_the_other() {
    for assigned in [false, true] {
        let mut per_second = [0_u32; 12];
        for seed in 0..2_000 {
            let mut world = World::new(2, seed);
            world.until(0, Use);
            world.accept(0, Use);
            if assigned {
                world.pass(1_000 * SECOND);
                world.replace(2, Some(0));
            }
            let wait = world.until(1, Probe);
            per_second[wait.as_secs() as usize] += 1;
        }
        assert_eq!(per_second.iter().sum::<u32>(), 2_000);
        let most = per_second.iter().max().copied().unwrap_or_default();
        assert!((150..300).contains(&most), "per second: {per_second:?}");
    }
}

#[test]
fn f3_a_probe_that_became_overdue_while_its_upstream_was_in_use_does_not_come_at_once_for_everybody() {
    let mut early = 0;
    for seed in 0..1_000 {
        // Failed over to 1 and moved back after an hour: the plan to probe 1 is from before.
        let mut world = World::new(2, seed);
        world.until(0, Use);
        world.accept(0, Use);
        world.until(1, Probe);
        world.accept(1, Probe);
        world.lose();
        world.until(1, Use);
        world.accept(1, Use);
        world.pass(3_600 * SECOND);
        world.until(0, Probe);
        world.accept(0, Probe);
        while !world.open.contains(&(0, Failback)) {
            if world.open.contains(&(0, Probe)) {
                world.accept(0, Probe);
            }
            world.next();
        }
        world.accept(0, Failback);
        early += usize::from(world.until(1, Probe) < SECOND);
    }
    assert!((50..200).contains(&early), "{early} of 1000 in the first second");
}

#[test]
fn f3_a_standby_that_starts_later_is_proven_soon_and_one_that_stays_away_is_asked_as_often_as_others() {
    for (failure, soon) in [(Unreachable, true), (Unavailable, true), (Refused, false)] {
        for seed in 0..200 {
            let mut world = World::new(2, seed);
            world.until(0, Use);
            world.accept(0, Use);
            let mut waits = Vec::new();
            for _ in 0..20 {
                waits.push(world.until(1, Probe));
                world.fail(1, Probe, failure);
            }
            let proven_after = waits[1];
            assert_eq!(proven_after <= 30 * SECOND, soon, "{failure:?}: {proven_after:?}");
            let mean = waits.iter().skip(5).sum::<std::time::Duration>() / 15;
            assert!(mean >= 240 * SECOND, "{failure:?}, {seed}: every {mean:?}");
            world.until(1, Probe);
            world.accept(1, Probe);
            world.until(1, Probe);
            world.fail(1, Probe, failure);
            assert_eq!(world.until(1, Probe) <= 30 * SECOND, soon, "what was ready begins anew");
        }
    }
}
