//! Events for the application, and for whoever reads the process's log.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::code::Severity;
use crate::event::Event;
use crate::session::clock;

/// Where a session's events come together.
#[derive(Clone)]
pub(crate) struct EventHub {
    sender: broadcast::Sender<Event>,
    notify: Arc<Mutex<Option<Arc<Notify>>>>,
}

/// Called when something became available; must not block.
pub(crate) type Notify = Box<dyn Fn() + Send + Sync>;

impl EventHub {
    /// A hub, and its first stream: it has everything from the start on.
    pub(crate) fn new() -> (Self, Events) {
        let (sender, receiver) = broadcast::channel(EVENTS_KEPT);
        (Self { sender, notify: Arc::default() }, Events(receiver))
    }

    pub(crate) fn emit(&self, mut event: Event) {
        event.time = clock::wall();
        let text = event.without_time();
        match event.severity() {
            Severity::Info => tracing::info!("{text}"),
            Severity::Warning => tracing::warn!("{text}"),
            Severity::Error => tracing::error!("{text}"),
        }
        // Nobody listens: the log has it.
        let _ = self.sender.send(event);
        self.notify();
    }

    pub(crate) fn notify(&self) {
        // Outside of the lock: what is called may set another one.
        let notify = self.notify.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(notify) = notify {
            notify();
        }
    }

    pub(crate) fn set_notify(&self, notify: Notify) {
        *self.notify.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(notify));
        self.notify();
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.sender.subscribe())
    }
}

/// A stream of events. A reader that falls more than 1,024 events behind misses the oldest.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` once the session is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Events that wait for a slow reader.
const EVENTS_KEPT: usize = 1024;
