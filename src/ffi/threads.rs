//! The threads of a session: made with signals masked, named, and never the ones that block on themselves.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use tokio::runtime::{Builder, Runtime};

use crate::code::Code;
use crate::error::{Error, Result};

/// The runtime of one session.
#[derive(Debug)]
pub(super) struct Threads(Runtime);

impl Threads {
    /// Starts the threads. Signals of the program never run on them, and a write to a closed connection gives
    /// EPIPE there instead of killing the program with SIGPIPE.
    pub(super) fn start() -> Result<Self> {
        let _masked = Masked::new()?;
        let count = AtomicUsize::new(0);
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .thread_name_fn(move || format!("farpost-io-{}", count.fetch_add(1, Relaxed)))
            .on_thread_start(|| ON_LIBRARY_THREAD.set(true))
            .build()
            .map(Self)
            .map_err(|error| Error::new(Code::Internal).subject("threads").found(error.to_string()))
    }

    /// Runs a task on the session's threads and waits for it; none waits for ever.
    ///
    /// The task does not run on the caller's thread, so that threads it starts inherit the masked signals.
    ///
    /// # Errors
    ///
    /// [`Code::TimedOut`], and [`Code::Internal`] if the task panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        within: Option<Duration>,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let (done, result) = sync_channel(1);
        self.0.spawn(async move { drop(done.send(task.await)) });
        let failure = match within {
            Some(within) => match result.recv_timeout(within) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Timeout) => Error::new(Code::TimedOut).found(format!("{within:?} are over")),
                Err(RecvTimeoutError::Disconnected) => {
                    Error::new(Code::Internal).found("a task of the session panicked")
                }
            },
            None => match result.recv() {
                Ok(value) => return Ok(value),
                Err(_) => Error::new(Code::Internal).found("a task of the session panicked"),
            },
        };
        Err(failure)
    }

    /// Drops what needs the runtime, on the runtime, then ends the threads; waits for them a bounded time.
    pub(super) fn finish(self, last: impl Send + 'static) {
        self.0.spawn(async move { drop(last) });
        if ON_LIBRARY_THREAD.get() {
            self.0.shutdown_background(); // a runtime cannot wait for its own worker
        } else {
            self.0.shutdown_timeout(JOIN_MAX);
        }
    }
}

/// Refuses a blocking call on a thread of the library, where it would wait for itself.
pub(super) fn may_block() -> Result<()> {
    if ON_LIBRARY_THREAD.get() { Err(Error::new(Code::WrongThread)) } else { Ok(()) }
}

thread_local! {
    static ON_LIBRARY_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// All signals but the synchronous ones are masked on this thread until it is dropped; new threads inherit the mask.
struct Masked(SigSet);

impl Masked {
    fn new() -> Result<Self> {
        let mut masked = SigSet::all();
        for synchronous in SYNCHRONOUS {
            masked.remove(synchronous);
        }
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&masked), Some(&mut before))
            .map_err(|error| Error::new(Code::Internal).subject("signal mask").found(error.desc()))?;
        Ok(Self(before))
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // It was taken from the system: it cannot be refused.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

/// Raised by what the thread itself does wrong: masking them would hide the fault.
const SYNCHRONOUS: [Signal; 7] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT, Signal::SIGTRAP, Signal::SIGSYS];
/// Threads of one session: one for the link, one so that a slow task does not hold up its heartbeat.
const WORKERS: usize = 2;
/// How long `free` waits for the threads.
const JOIN_MAX: Duration = Duration::from_secs(5);
