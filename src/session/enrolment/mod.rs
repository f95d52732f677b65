//! Enrolment: a node's first certificate, for a one-time token.

mod client;
mod service;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::code::Code;
use crate::error::Error;
use crate::limits::ENROLMENT_ANSWER_TIMEOUT;
use crate::wire::Answer;

pub use client::{Enrolment, EnrolmentOutcome};
pub(crate) use service::{Failures, accept_enrolments};

/// Enrolments that a gateway has passed on, each with who waits for its answer.
#[derive(Clone, Default)]
pub(crate) struct Tickets(Arc<Mutex<Waiters>>);

#[derive(Default)]
struct Waiters {
    count: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

impl Tickets {
    /// Has something passed on under a number that was never given before, and waits for its answer.
    pub(crate) async fn pass(&self, send: impl FnOnce(u64)) -> Answer {
        let (ticket, answer) = self.take();
        send(ticket);
        match tokio::time::timeout(ENROLMENT_ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::refused(Error::new(Code::ShuttingDown)),
            Err(_) => Answer::refused(Error::new(Code::TimedOut).found("no answer from the management server")),
        }
    }

    fn take(&self) -> (u64, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.lock();
        // Whoever gave up waiting is forgotten here: there are never more than the listener's places.
        waiters.waiting.retain(|_, waiter| !waiter.is_closed());
        waiters.count += 1;
        let ticket = waiters.count;
        waiters.waiting.insert(ticket, sender);
        (ticket, receiver)
    }

    /// The answer to a ticket; nobody may be there any more to hear it.
    pub(crate) fn answer(&self, ticket: u64, answer: Answer) {
        if let Some(waiter) = self.lock().waiting.remove(&ticket) {
            let _ = waiter.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
