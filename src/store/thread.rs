//! The store's own thread: an engine's calls block, tasks must not.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::Store;

/// Something to do with the store.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn Store) + Send>;

/// Owns a store on the thread `farpost-store` and does its jobs in the order of submission, those that came first of all
/// ([`StoreThread::call_first`]) before the others.
///
/// The number of waiting jobs is the callers' to bound. Dropping it does what was submitted, then joins the thread.
pub(crate) struct StoreThread {
    door: Option<Door>,
    thread: Option<JoinHandle<()>>,
}

/// Where jobs come in; when it is dropped, what waits is the last.
struct Door(Arc<Desk>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.lanes().closed = true;
        self.0.submitted.notify_one();
    }
}

/// What waits for the thread.
#[derive(Default)]
struct Desk {
    lanes: Mutex<Lanes>,
    submitted: Condvar,
}

#[derive(Default)]
struct Lanes {
    first: VecDeque<Job>,
    then: VecDeque<Job>,
    closed: bool,
}

impl Desk {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; none when nothing waits and nothing more will come.
    fn next(&self) -> Option<Job> {
        let mut lanes = self.lanes();
        loop {
            if let Some(job) = lanes.first.pop_front() {
                return Some(job);
            }
            if let Some(job) = lanes.then.pop_front() {
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.submitted.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }
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
        let door = Door(Arc::default());
        let waiting = door.0.clone();
        let (opened, answer) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("farpost-store".to_owned())
            .spawn(move || match open() {
                Ok(store) => {
                    // Whoever started it may have gone away; then the door is closed and the loop ends at once.
                    let _ = opened.send(Ok(()));
                    run(store, &waiting);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| Error::new(Code::Internal).subject("store thread").found(error.to_string()))?;
        answer.await.unwrap_or_else(|_| Err(fault()))?;
        Ok(Self { door: Some(door), thread: Some(thread) })
    }

    /// Queues a job. One that panics is given up; the store goes on with the next.
    pub(crate) fn submit(&self, job: Job) {
        self.put(|lanes| lanes.then.push_back(job));
    }

    fn put(&self, put: impl FnOnce(&mut Lanes)) {
        if let Some(Door(desk)) = &self.door {
            put(&mut desk.lanes());
            desk.submitted.notify_one();
        }
    }

    /// Queues a call, at once and not at the first poll, and waits for its answer. Dropping the future does not
    /// undo it.
    pub(crate) fn call<R, F>(&self, job: F) -> impl Future<Output = Result<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut dyn Store) -> Result<R> + Send + 'static,
    {
        let (job, answer) = answered(job);
        self.submit(job);
        answer
    }

    /// The same, before all that waits but other calls of this kind: what connected agents wait for.
    pub(crate) fn call_first<R, F>(&self, job: F) -> impl Future<Output = Result<R>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut dyn Store) -> Result<R> + Send + 'static,
    {
        let (job, answer) = answered(job);
        self.put(|lanes| lanes.first.push_back(job));
        answer
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        drop(self.door.take());
        let Some(thread) = self.thread.take() else { return };
        // The last owner may be a job: a thread cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// A call as a job, and its answer.
fn answered<R, F>(job: F) -> (Job, impl Future<Output = Result<R>> + Send + use<R, F>)
where
    R: Send + 'static,
    F: FnOnce(&mut dyn Store) -> Result<R> + Send + 'static,
{
    let (done, answer) = oneshot::channel();
    let job: Job = Box::new(move |store| {
        let _ = done.send(job(store));
    });
    (job, async move { answer.await.unwrap_or_else(|_| Err(fault())) })
}

fn run(mut store: Box<dyn Store>, waiting: &Desk) {
    while let Some(job) = waiting.next() {
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
