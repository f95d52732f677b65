//! Deadlines of many things, found without looking at all of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// A heap of deadlines. Entries are hints: whoever is woken looks whether its deadline moved, and asks again.
#[derive(Debug)]
pub(crate) struct Timers<K: Ord>(BinaryHeap<Reverse<(Instant, K)>>);

impl<K: Ord + Copy> Timers<K> {
    pub(crate) fn new() -> Self {
        Self(BinaryHeap::new())
    }

    pub(crate) fn set(&mut self, at: Instant, key: K) {
        self.0.push(Reverse((at, key)));
    }

    /// The next key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.0.peek()?.0.0 > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, key))| key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
