//! The administrator: the command, in processes of its own, and how long each change takes to be effective.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Within which a change takes effect (rule G2), from when the command has said that it is made.
const EFFECT_WITHIN: Duration = Duration::from_secs(2);
/// After which one that never does is a failure at once.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// Runs commands on the group's store.
pub(crate) struct Operator {
    store_url: String,
    /// Per kind of change: what the command took, and from its end to the effect.
    times: BTreeMap<&'static str, Vec<(Duration, Duration)>>,
}

impl Operator {
    pub(crate) fn new(store_url: &str) -> Self {
        Self { store_url: store_url.to_owned(), times: BTreeMap::new() }
    }

    /// Runs a command on the group's store; what it says where it fails.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        run(&[arguments, &["--store", &self.store_url]].concat())
    }

    /// Makes a change while nothing else is the matter, and waits for its effect.
    pub(crate) fn change(&mut self, what: &'static str, arguments: &[&str], mut is_effective: impl FnMut() -> bool) {
        let began = Instant::now();
        self.try_run(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let made = Instant::now();
        while !is_effective() {
            assert!(made.elapsed() < GIVEN_UP_AFTER, "{what}: no effect of {arguments:?} within {GIVEN_UP_AFTER:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.times.entry(what).or_default().push((made - began, made.elapsed()));
    }

    /// Waits for what follows a change by rules of its own: it is told, and not held to rule G2.
    pub(crate) fn follows(&mut self, what: &'static str, mut is_so: impl FnMut() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < GIVEN_UP_AFTER, "{what}: not within {GIVEN_UP_AFTER:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{what}: after {:?}", since.elapsed());
    }

    /// Makes a change in the middle of an outage: again and again, until the store takes it.
    pub(crate) fn change_in_the_end(&self, arguments: &[&str]) {
        let began = Instant::now();
        let mut refusals = 0;
        while let Err(error) = self.try_run(arguments) {
            refusals += 1;
            let is_the_stores = ["FP3016", "FP3019"].iter().any(|code| error.contains(code));
            assert!(is_the_stores && began.elapsed() < GIVEN_UP_AFTER, "{arguments:?}: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{arguments:?} in the middle of it: {refusals} times refused, made after {:?}", began.elapsed());
    }

    /// Prints how long changes took, and holds them to rule G2.
    pub(crate) fn judge(&self) {
        println!("in milliseconds, of each change: what the command took, and from its end to the effect");
        for (what, times) in &self.times {
            let all = times.iter().map(|(command, effect)| format!("{}+{}", command.as_millis(), effect.as_millis()));
            println!("{what}: {}", all.collect::<Vec<_>>().join(" "));
        }
        for (what, times) in &self.times {
            assert!(times.iter().all(|(_, effect)| *effect < EFFECT_WITHIN), "{what}: {times:?}");
        }
    }
}

/// Runs a command; what it says where it fails.
pub(crate) fn run(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
