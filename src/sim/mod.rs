//! The pure nodes in one simulated world: virtual time, a faulty network, crashes at any step, one printed seed.
//!
//! A world has up to three management servers on one group store in memory, two gateways and some agents; in half of the
//! tests a third gateway stands behind the two. Everything
//! that a node asks of its shell is done here after a delay that the seed decides; bytes arrive cut anywhere; any node
//! crashes and starts again from its disk; links are cut, or fall silent without anybody being told; the group changes
//! its mind. After every step the rules D1, D4, D5, D8, G1 and G3 hold (the assertion names the rule), what is on its way
//! is bounded (D7), and when the faults stop everything that an agent made durable arrives within bounded time (D6).
//!
//! A quarter of the seeds are calm: nothing fails, assignments change, and nothing at all may come twice.
//!
//! `FARPOST_SIM_SEEDS=n` runs n seeds instead of the sixty of the normal tests (before a merge 2,000 are run),
//! `FARPOST_SIM_SEED=x` one (with both, n from x on), and `FARPOST_SIM_TRACE=1` with one prints its history.

mod agents;
mod dice;
mod faults;
mod group;
mod ledger;
mod network;
mod people;
mod queue;
mod servers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dice::Dice;
use faults::Plan;
use world::World;

/// How long after the last fault everything must have arrived (rule D6).
const REST: Duration = Duration::from_secs(120);
/// A history that is longer than this does not come to rest: something goes round in circles.
const STEPS_MAX: u64 = 2_000_000;
const SEEDS: u64 = 60;

/// Runs one world to its end; answers how many messages it carried.
fn run(seed: u64, has_inner: bool) -> Result<usize, String> {
    let mut dice = Dice::new(seed);
    let (plan, output) = (Plan::of(&mut dice, has_inner), faults::output_of(&mut dice));
    let mut world = World::new(dice, plan.clone(), output);
    world.populate();
    catch_unwind(AssertUnwindSafe(|| run_to_rest(&mut world, &plan))).map_err(|panic| {
        let text =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into()));
        let (step, now) = (world.step, world.now);
        format!("FARPOST_SIM_SEED={seed} step {step} {now:?} {output:?} {plan:?}\n    {}", text.unwrap_or_default())
    })?;
    Ok(world.ledger.promised())
}

fn run_to_rest(world: &mut World, plan: &Plan) {
    let settled_from = plan.appends_until + Duration::from_secs(15);
    let is_done = |world: &World| world.ledger.is_everything_delivered() && world.group.is_every_down_delivered();
    while !(world.now > settled_from && is_done(world)) {
        world.advance();
        assert!(world.step < STEPS_MAX, "the world does not come to rest");
        let late = world.now > plan.appends_until + REST;
        assert!(
            !late,
            "D6 after {REST:?} without faults still missing: {}{:?}",
            world.ledger.missing(),
            world.group.downs
        );
    }
    world.check_reports();
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn run_seeds(part: u64, parts: u64, has_inner: bool) {
    let seeds = match (number_from("FARPOST_SIM_SEED"), number_from("FARPOST_SIM_SEEDS")) {
        (Some(seed), count) => seed..seed + count.unwrap_or(1),
        (None, count) => 0..count.unwrap_or(SEEDS),
    };
    let mut messages = 0;
    let mut failures = Vec::new();
    let count = seeds.end - seeds.start;
    for seed in seeds.filter(|seed| seed % parts == part) {
        match run(seed, has_inner) {
            Ok(carried) => messages += carried,
            Err(story) => failures.push(story),
        }
    }
    assert!(failures.is_empty(), "{} seeds broke a rule:\n{}", failures.len(), failures.join("\n"));
    assert!(messages > 0 || count < parts, "nothing was sent");
}

#[test]
fn every_rule_holds_after_every_step_of_even_seeds() {
    run_seeds(0, 2, false);
}

#[test]
fn every_rule_holds_after_every_step_of_odd_seeds() {
    run_seeds(1, 2, false);
}

/// The same with a gateway behind the two others: some agents come through two gateways (rules G1, I5 and I6).
#[test]
fn every_rule_holds_after_every_step_of_even_seeds_with_a_gateway_behind_another() {
    run_seeds(0, 2, true);
}

#[test]
fn every_rule_holds_after_every_step_of_odd_seeds_with_a_gateway_behind_another() {
    run_seeds(1, 2, true);
}

#[test]
fn one_seed_is_one_history() {
    let history = || {
        let mut dice = Dice::new(7);
        let (plan, output) = (Plan::of(&mut dice, false), faults::output_of(&mut dice));
        let mut world = World::new(dice, plan, output);
        world.populate();
        (0..5000).for_each(|_| world.advance());
        (world.now, world.dice.next(), world.messages)
    };
    assert_eq!(history(), history());
}
