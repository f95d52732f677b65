//! What a running node tells, kept to be waited for: tests wait for events, never for time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farpost::{Code, Event, Events};
use tokio::sync::watch;

/// How long anything that is sure to happen may take, on a machine that has much else to do.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for something that is sure to happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// All events of one node, from its start.
pub(crate) struct EventLog {
    node: &'static str,
    events: Arc<Mutex<Vec<Event>>>,
    count: watch::Receiver<usize>,
}

impl EventLog {
    pub(crate) fn follow(node: &'static str, mut stream: Events) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (told, count) = watch::channel(0);
        let kept = events.clone();
        tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                let mut events = kept.lock().unwrap_or_else(PoisonError::into_inner);
                events.push(event);
                told.send_replace(events.len());
            }
        });
        Self { node, events, count }
    }

    /// Now: what comes later than this mark can be told from what came before.
    pub(crate) fn mark(&self) -> usize {
        self.all().len()
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events with this code there were.
    pub(crate) fn count(&self, code: Code) -> usize {
        self.all().iter().filter(|event| event.code == code).count()
    }

    /// Waits for an event after the mark with this code and, in its subject or text, `about`.
    pub(crate) async fn after(&self, mark: usize, code: Code, about: &str) -> Event {
        let wanted =
            |event: &Event| event.code == code && (event.subject.contains(about) || event.text.contains(about));
        let mut count = self.count.clone();
        let found = async {
            loop {
                count.borrow_and_update();
                if let Some(event) = self.all().into_iter().skip(mark).find(wanted) {
                    return event;
                }
                if count.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, found).await {
            Ok(event) => event,
            Err(_) => panic!("{} did not tell {code:?} about \"{about}\", but:\n{:#?}", self.node, self.all()),
        }
    }

    /// Waits for an event with this code and, in its subject or text, `about`; it may have come already.
    pub(crate) async fn told(&self, code: Code, about: &str) -> Event {
        self.after(0, code, about).await
    }
}
