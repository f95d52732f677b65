//! When commits go to the store: one that comes too soon after the last waits, so that a busy server makes few large
//! transactions instead of many small ones.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Hands a commit to the store.
type Start = Box<dyn FnOnce() + Send>;

/// The pace of one server's commits. One is on its way at a time.
pub(super) struct CommitPace {
    pace: Duration,
    next: Instant,
    waiting: Arc<Mutex<Option<Start>>>,
}

impl CommitPace {
    pub(super) fn new(pace: Duration) -> Self {
        Self { pace, next: Instant::now(), waiting: Arc::default() }
    }

    /// Starts a commit when it is due: now, after a rest.
    pub(super) fn start(&mut self, start: impl FnOnce() + Send + 'static) {
        let (now, due) = (Instant::now(), self.next);
        self.next = now.max(due) + self.pace;
        if due <= now {
            return start();
        }
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(start));
        let waiting = self.waiting.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            take(&waiting);
        });
    }

    /// Starts the commit that waits, if one does: what follows must reach the store after it.
    pub(super) fn hurry(&self) {
        take(&self.waiting);
    }
}

fn take(waiting: &Mutex<Option<Start>>) {
    let start = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(start) = start {
        start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_after_a_rest_goes_at_once_and_the_next_at_its_pace_or_when_something_must_follow_it() {
        let pause = Duration::from_millis(50);
        let mut pace = CommitPace::new(pause);
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let start = |pace: &mut CommitPace| {
            let started = started.clone();
            pace.start(move || started.send(Instant::now()).unwrap());
        };
        start(&mut pace);
        let first = starts.try_recv().unwrap();
        start(&mut pace);
        assert!(starts.try_recv().is_err(), "it waits");
        let second = starts.recv().await.unwrap();
        assert!(second - first >= pause);
        start(&mut pace);
        pace.hurry();
        assert!(starts.try_recv().is_ok());
        tokio::time::sleep(4 * pause).await;
        assert!(starts.try_recv().is_err(), "it was started once");
        start(&mut pace);
        assert!(starts.try_recv().is_ok(), "after a rest");
    }
}
