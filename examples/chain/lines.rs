//! The lines that are shipped, and which of them is whose.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::Outcome;

/// The lines of one file.
///
/// Agent 0 sends them from the first on, the others from somewhere in the middle; at the end each begins again with
/// the first. So every message of every agent is known beforehand, and no two agents send the same.
pub(crate) struct Lines(Vec<Bytes>);

impl Lines {
    /// Reads the lines that are not empty, of the first [`BYTES_MAX`].
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let mut text = Vec::new();
        let file = fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        file.take(BYTES_MAX).read_to_end(&mut text)?;
        let text = Bytes::from(text);
        let lines: Vec<Bytes> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| text.slice_ref(line))
            .collect();
        if lines.is_empty() {
            return Err(format!("{} has no lines", path.display()).into());
        }
        Ok(Self(lines))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What an agent sends with this number, from 1.
    pub(crate) fn line(&self, agent: usize, number: u64) -> Bytes {
        let count = self.0.len() as u64;
        let place = (agent as u64).wrapping_mul(APART).wrapping_add(number - 1) % count;
        self.0[usize::try_from(place).unwrap_or(0)].clone()
    }
}

/// How many of the messages of all agents together are this one's.
pub(crate) fn share(messages: u64, agents: usize, agent: usize) -> u64 {
    let (agents, agent) = (agents as u64, agent as u64);
    messages / agents + u64::from(agent < messages % agents)
}

/// A log that Linux computers have, or else a file of this repository.
pub(crate) fn default_file() -> PathBuf {
    let is_long = |path: &&str| Lines::read(Path::new(path)).is_ok_and(|lines| lines.count() >= LINES_MIN);
    let found = LOGS.into_iter().find(is_long);
    found.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"), PathBuf::from)
}

const LOGS: [&str; 6] = [
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/dpkg.log",
    "/var/log/pacman.log",
    "/var/log/dnf.log",
    "/var/log/apt/term.log",
];
/// A shorter log is no sight.
const LINES_MIN: usize = 200;
/// More of a file is not read.
const BYTES_MAX: u64 = 32 << 20;
/// Lines between the first ones of two agents: a prime.
const APART: u64 = 7_919;
