//! A bounded number of kills in a random order, while the agents' input files grow.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::chance::Chance;
use crate::installation::{AGENTS, Installation};

/// How many processes are killed, unless FARPOST_KILLS says.
const KILLS: u64 = 6;

/// Kills with SIGKILL and restarts, one or more at a time, until the number is reached; then all run again. What
/// happens between two kills is chance too.
pub(crate) fn kill_and_restart(installation: &mut Installation) {
    let kills = std::env::var("FARPOST_KILLS").ok().map_or(KILLS, |text| text.parse().unwrap());
    let mut chance = Chance::new();
    let mut killed = 0;
    while killed < kills {
        std::thread::sleep(Duration::from_millis(chance.below(800)));
        let nodes = installation.nodes();
        let at = usize::try_from(chance.below(nodes.len() as u64)).unwrap();
        let node = &mut nodes[at];
        if node.is_running() {
            node.kill();
            killed += 1;
            println!("{killed}: killed {}", node.name);
        } else {
            node.start();
        }
    }
    for node in installation.nodes().iter_mut().filter(|node| !node.is_running()) {
        node.start();
    }
}

/// The agents' applications: append numbered lines to the input files until they are stopped.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    pub(crate) fn start(directory: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = AGENTS.map(|agent| {
            let (stop, path) = (stop.clone(), directory.join(format!("{agent}.log")));
            std::thread::spawn(move || write_lines(agent, &path, &stop))
        });
        Self { stop, threads: threads.into() }
    }

    /// How many lines each agent's file has, in the agents' order.
    pub(crate) fn stop(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

/// The payload of an agent's line with this number, from 1.
pub(crate) fn line(agent: &str, number: u64) -> String {
    format!("{agent} {number} {}", "x".repeat(usize::try_from(number % 100).unwrap()))
}

fn write_lines(agent: &str, path: &Path, stop: &AtomicBool) -> u64 {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut written = BACKLOG;
    file.write_all((1..=BACKLOG).map(|number| line(agent, number) + "\n").collect::<String>().as_bytes()).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let lines: String = (1..=LINES_AT_ONCE).map(|at| line(agent, written + at) + "\n").collect();
        // Torn in the middle: a half line is none yet.
        let (first, rest) = lines.as_bytes().split_at(lines.len() / 2);
        file.write_all(first).unwrap();
        std::thread::sleep(PACE);
        file.write_all(rest).unwrap();
        written += LINES_AT_ONCE;
    }
    written
}

/// What waits from the start: whoever is killed is busy then, and has something that nobody acknowledged yet.
const BACKLOG: u64 = 100_000;
const LINES_AT_ONCE: u64 = 20;
const PACE: Duration = Duration::from_millis(5);
