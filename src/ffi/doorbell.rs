//! The descriptor that is readable while something waits, and the wait for it.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::code::Code;
use crate::error::{Error, Result};

/// An eventfd with level semantics.
///
/// Whoever makes something wait rings; whoever finds nothing quiets, then looks once more and rings if there was
/// something after all. So a ring is never lost, and the bell is silent once nothing waits.
#[derive(Debug)]
pub(super) struct Doorbell {
    descriptor: EventFd,
    /// Rung and not yet quieted: spares a system call per ring.
    rung: AtomicBool,
    /// Someone asked to be woken; kept apart because a signal handler sets it.
    woken: AtomicBool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// Something waits.
    Rung,
    /// The time is over.
    TimedOut,
    /// A signal handler ran: the caller should have a chance to look at what it did.
    Interrupted,
}

impl Doorbell {
    /// A silent bell.
    ///
    /// # Errors
    ///
    /// [`Code::OpenFilesLow`] if there is no descriptor left.
    pub(super) fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let descriptor = EventFd::from_value_and_flags(0, flags)
            .map_err(|error| Error::new(Code::OpenFilesLow).subject("eventfd").found(error.desc()))?;
        Ok(Self { descriptor, rung: AtomicBool::new(false), woken: AtomicBool::new(false) })
    }

    /// Makes the descriptor readable.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, SeqCst) {
            self.write();
        }
    }

    /// Makes the descriptor unreadable. What is found in a look after this call was not announced: ring again.
    pub(super) fn quiet(&self) {
        let _ = self.descriptor.read(); // EAGAIN: it was silent
        self.rung.store(false, SeqCst);
    }

    /// Wakes the one who waits. Async-signal-safe: an atomic store and one write, errno kept.
    pub(super) fn wake(&self) {
        let errno = Errno::last_raw();
        self.woken.store(true, SeqCst);
        self.write();
        Errno::set_raw(errno);
    }

    /// Whether [`Self::wake`] was called since the last look.
    pub(super) fn take_wake(&self) -> bool {
        self.woken.swap(false, SeqCst)
    }

    /// Waits until the descriptor is readable or the deadline is over; none waits for ever.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Waited {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up: a wait of 0.4 ms must not spin.
            let rest = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(rest).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(0) => Waited::TimedOut,
            Ok(_) => Waited::Rung,
            Err(_) => Waited::Interrupted,
        }
    }

    /// The descriptor's number, for poll(2), epoll, select or an event loop.
    pub(super) fn number(&self) -> RawFd {
        self.descriptor.as_fd().as_raw_fd()
    }

    /// Adds one to the counter. EAGAIN means that it is full, hence readable already.
    fn write(&self) {
        let _ = self.descriptor.write(1);
    }
}
