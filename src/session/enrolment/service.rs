//! The enrolment port of a gateway or a management server.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::event::Event;
use crate::net::enrolment::EnrolmentListener;
use crate::session::clock;
use crate::session::driver::{IdentityCell, TurnedAway};
use crate::session::events::EventHub;
use crate::wire::{Answer, Enrol};

/// Accepts nodes that enrol, until the task is dropped; `answer` has each one's request answered.
pub(crate) async fn accept_enrolments<F>(
    listener: EnrolmentListener,
    identity: IdentityCell,
    failures: Failures,
    answer: impl Fn(Enrol) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let failed = move |address: String, error: Error| failures.tell(&address, &error);
    listener.run(move || identity.shown(), answer, failed).await;
}

/// Tells of enrolments that failed, a few a minute: whoever asks there has proven nothing, and must not fill the log
/// (SECURITY H17).
#[derive(Clone)]
pub(crate) struct Failures {
    events: EventHub,
    turned_away: Arc<Mutex<TurnedAway>>,
}

impl Failures {
    pub(crate) fn new(events: &EventHub) -> Self {
        Self { events: events.clone(), turned_away: Arc::default() }
    }

    /// Tells of one, or counts it.
    pub(crate) fn tell(&self, subject: &str, error: &Error) {
        let told = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).tell(clock::now());
        if let Some(untold) = told {
            let mut event = Event::of_error(subject.to_owned(), error);
            if untold > 0 {
                event.text.push_str(&format!("; {untold} more failed and were not told"));
            }
            self.events.emit(event);
        }
    }
}
