//! Whether the group store takes what it is given: one event when it begins to fail and one when it works again, however
//! many calls meet it, and what `farpost status` says.

use std::sync::{Arc, Mutex, PoisonError};

use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::session::clock;
use crate::session::events::EventHub;
use crate::session::json::Object;
use crate::time::Timestamp;

/// What a call was about: a store that is locked or read-only may be read and not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
}

/// Shared by all who call the store for one server.
#[derive(Clone)]
pub(super) struct StoreHealth {
    state: Arc<Mutex<State>>,
    events: EventHub,
}

#[derive(Default)]
struct State {
    /// Since when, and why, it fails; the first reason, until all works again.
    failing: Option<(Timestamp, Error)>,
    reads_fail: bool,
    writes_fail: bool,
}

impl StoreHealth {
    pub(super) fn new(events: EventHub) -> Self {
        Self { state: Arc::default(), events }
    }

    /// Takes note of how a call ended; answers whether it was the store that failed, and not a rule that refused.
    pub(super) fn note<R>(&self, call: Call, result: &Result<R, Error>) -> bool {
        let failure = result.as_ref().err().filter(|error| is_the_stores(error.code()));
        if let Some(event) = self.changed(call, failure) {
            self.events.emit(event);
        }
        failure.is_some()
    }

    /// Tells of a rule of the store's that refused this server itself.
    pub(super) fn tell(&self, error: &Error) {
        self.events.emit(Event::of_error(error.subject_text(), error));
    }

    /// The event of a change, to be told once the lock is free.
    fn changed(&self, call: Call, failure: Option<&Error>) -> Option<Event> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match call {
            Call::Read => state.reads_fail = failure.is_some(),
            Call::Write => state.writes_fail = failure.is_some(),
        }
        match (&state.failing, failure) {
            (None, Some(error)) => {
                state.failing = Some((clock::wall(), error.clone()));
                Some(Event::of_error(error.subject_text(), error))
            }
            (Some((since, error)), None) if !state.reads_fail && !state.writes_fail => {
                let event = Event::new(Code::StoreBack, error.subject_text(), format!("failed since {since}"));
                state.failing = None;
                Some(event)
            }
            _ => None,
        }
    }

    /// For status.
    pub(super) fn describe(&self, object: &mut Object) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store = Object::new();
        store.boolean("works", state.failing.is_none());
        if let Some((since, error)) = &state.failing {
            store.text("since", &since.to_string());
            store.text("why", &error.to_string());
        }
        object.object("store", store);
    }
}

fn is_the_stores(code: Code) -> bool {
    code.is_of_the_store() || code == Code::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_is_one_event_and_its_end_another_however_many_calls_meet_it() {
        let (events, mut first) = EventHub::new();
        let health = StoreHealth::new(events);
        let failed = || Err::<(), _>(Error::new(Code::StoreUnavailable).subject("store").found("gone"));
        let refused = Err::<(), _>(Error::new(Code::CursorFenced));
        for _ in 0..3 {
            assert!(health.note(Call::Write, &failed()) && health.note(Call::Read, &failed()));
        }
        assert!(!health.note(Call::Read, &Ok(())), "a read alone does not tell that writes work");
        health.note(Call::Read, &failed());
        health.note(Call::Read, &Ok(()));
        let mut status = Object::new();
        health.describe(&mut status);
        assert!(status.finish().contains("\"works\":false"));
        assert!(!health.note(Call::Write, &refused), "a rule that refuses was asked by a store that works");
        health.note(Call::Write, &Ok(()));
        let mut codes = Vec::new();
        drop(health);
        while let Some(event) = first.next().await {
            codes.push(event.code);
        }
        assert_eq!(codes, [Code::StoreUnavailable, Code::StoreBack]);
    }
}
