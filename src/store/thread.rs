//! The store's own thread: an engine's calls block, tasks must not.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::Store;

/// Something to do with the store.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// Owns a store on the thread `farpost-store` and does its jobs in the order of submission.
///
/// The number of waiting jobs is the callers' to bound. Dropping it does what was submitted, then joins the thread.
pub(crate) struct StoreThread {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl StoreThread {
    /// Starts the thread and opens the store there.
    ///
    /// # Errors
    ///
    /// What `open` answers; [`Code::Internal`] if the system gives no thread.
    pub(crate) async fn start<F>(open: F) -> Result<Self>
    where
        F: FnOnce() -> Result<Box<dyn Store>> + Send + 'static,
    {
        let (jobs, waiting) = channel();
        let (opened, answer) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("farpost-store".to_owned())
            .spawn(move || match open() {
                Ok(store) => {
                    // Whoever started it may have gone away; then the sender is gone too and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    run(store, &waiting);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| Error::new(Code::Internal).subject("store thread").found(error.to_string()))?;
        answer.await.unwrap_or_else(|_| Err(fault()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job. One that panics is given up; the store goes on with the next.
    pub(crate) fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only after `jobs` was dropped, so there is a receiver.
            let _ = jobs.send(job);
        }
    }

    /// Queues a call, at once and not at the first poll, and waits for its answer. Dropping the future does not
    /// undo it.
    pub(crate) fn call<R, F>(&self, job: F) -> impl Future<Output = Result<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut dyn Store) -> Result<R> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        self.submit(Box::new(move |store| {
            let _ = done.send(job(store));
        }));
        async move { answer.await.unwrap_or_else(|_| Err(fault())) }
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let Some(thread) = self.thread.take() else { return };
        // The last owner may be a job: a thread cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

fn run(mut store: Box<dyn Store>, waiting: &Receiver<Job>) {
    while let Ok(job) = waiting.recv() {
        // A transaction that a panic interrupts is rolled back when it is dropped, so the store stays usable; the
        // caller learns of it by its answer's absence.
        let _ = catch_unwind(AssertUnwindSafe(|| job(store.as_mut())));
    }
}

fn fault() -> Error {
    Error::new(Code::Internal).subject("group store").found("a call that ended without an answer")
}

#[cfg(test)]
mod tests;
