//! The agent's effects, performed; the queue's answers, handed in.

use std::sync::Arc;
use std::time::Duration;

use super::{Received, Shared, lock};
use crate::code::Code;
use crate::disk::{Opened, QueueSink};
use crate::error::Error;
use crate::event::Event;
use crate::identity::{Identity, attestation};
use crate::message::{Epoch, Numbered, Sequence};
use crate::node::agent::{Agent as Node, Effect, Held, Input, Instance};
use crate::node::reporting::Figures;
use crate::session::assignment_file::AssignmentFile;
use crate::session::clock;
use crate::session::driver::{IdentityCell, Links};
use crate::session::reload::Background;
use crate::session::renewal::Answers;
use crate::session::status::StatusSocket;
use crate::time::Timestamp;

/// Performs one agent's effects.
pub(super) struct Performer {
    pub(super) shared: Arc<Shared>,
    pub(super) assignment_file: Option<AssignmentFile>,
    pub(super) renewed: Answers,
    pub(super) identity: IdentityCell,
}

impl Performer {
    /// False when the node has stopped.
    pub(super) fn perform(&mut self, effect: Effect, links: &mut Links<Node>) -> bool {
        let shared = &self.shared;
        match effect {
            Effect::Link(effect) => links.perform(effect),
            Effect::Read { from, bytes_max } => shared.queue.read(from, bytes_max),
            Effect::Sign { token, link, bytes } => self.sign(token, links.identity_of(link), bytes),
            Effect::Delivered(through) => {
                shared.queue.delivered(through);
                shared.progress.send_modify(|progress| progress.watermarks.delivered = through);
                shared.events.notify();
            }
            Effect::Rekey => self.rekey(),
            Effect::Down { number, sent, payload } => {
                let mailbox = shared.mailbox.clone();
                lock(&shared.received).push_back(Received { number, sent, payload, mailbox });
                shared.arrived.notify_one();
                shared.events.notify();
            }
            Effect::KeepDownCursor { number } => {
                let mailbox = shared.mailbox.clone();
                let done = Box::new(move || mailbox.post(Input::DownCursorKept { number }));
                shared.queue.set_down_cursor(number, done);
            }
            Effect::KeepSeen { epoch } => {
                let mailbox = shared.mailbox.clone();
                shared.queue.keep_seen(epoch, Box::new(move || mailbox.post(Input::SeenKept { epoch })));
            }
            Effect::SaveAssignment(signed, key) => {
                if let Some(file) = self.assignment_file.clone() {
                    let events = shared.events.clone();
                    file.put(signed, key);
                    tokio::task::spawn_blocking(move || {
                        if let Err(error) = file.write() {
                            events.emit(Event::of_error(error.subject_text().to_owned(), &error));
                        }
                    });
                }
            }
            Effect::Renewed(renewed) => self.renewed.put(renewed),
            Effect::AskFigures => shared.mailbox.post(Input::Figures(self.figures())),
            Effect::Event(event) => shared.events.emit(event),
            Effect::Stopped => return false,
        }
        true
    }

    fn figures(&self) -> Figures {
        let held = self.shared.queue.held();
        let age = |sent: Timestamp| clock::wall().unix_millis().saturating_sub(sent.unix_millis());
        let oldest = held.oldest.map(|sent| Duration::from_millis(u64::try_from(age(sent)).unwrap_or(0)));
        let certificate_until = Some(self.identity.current().not_after());
        Figures { queue_messages: held.count, queue_bytes: held.bytes, oldest, certificate_until }
    }

    /// A signature may be made by a slow key service: never on the node's loop.
    fn sign(&self, token: u64, identity: Identity, bytes: Vec<u8>) {
        let mailbox = self.shared.mailbox.clone();
        tokio::task::spawn_blocking(move || {
            let chain = identity.chain_hash();
            let result = attestation::sign(&identity, &bytes).map(|(scheme, signature)| (scheme, signature, chain));
            mailbox.post(Input::Signed { token, result });
        });
    }

    fn rekey(&self) {
        let epoch = Epoch(clock::random());
        let _numbering = lock(&self.shared.numbering);
        let shared = self.shared.clone();
        self.shared.progress.send_modify(|progress| {
            let shift = progress.watermarks.delivered.0;
            progress.ended.push((progress.epoch, shift));
            progress.epoch = epoch;
            progress.sent = Sequence(progress.sent.0.saturating_sub(shift));
            progress.watermarks = Default::default();
            progress.rekeying = true;
        });
        self.shared.queue.rekey(epoch, Box::new(move |opened| shared.rekeyed(&opened)));
    }
}

/// What ends with the node's task, also where the task panics or its runtime goes away: the status socket first, then
/// the queue, which gives the state directory back, and only then whoever waits is told.
pub(super) struct Running {
    pub(super) status: Option<StatusSocket>,
    /// What watches the identity's files.
    pub(super) reloading: Option<Background>,
    pub(super) shared: Arc<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop((self.status.take(), self.reloading.take()));
        self.shared.queue.end();
        self.shared.stop();
    }
}

/// What the node starts with, from what the queue found.
pub(super) fn instance_of(opened: &Opened, nonce: u64) -> (Instance, Held) {
    let instance = Instance { epoch: opened.epoch, boot: opened.boot, nonce, first: opened.first };
    let durable = Sequence(opened.next.0.saturating_sub(1));
    (instance, Held { delivered: opened.delivered, durable, down_cursor: opened.down_cursor })
}

impl Shared {
    fn rekeyed(&self, opened: &Opened) {
        let (instance, held) = instance_of(opened, clock::random());
        self.progress.send_modify(|progress| {
            progress.watermarks.stored = held.durable;
            progress.rekeying = false;
        });
        self.mailbox.post(Input::Rekeyed { instance, held });
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
        self.progress.send_modify(|progress| progress.stopped = true);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
        self.space.notify_waiters();
        self.events.emit(Event::new(Code::ShuttingDown, "", ""));
    }
}

/// The queue's thread speaks to the node and to those who wait for receipts.
pub(super) struct Sink(pub(super) Arc<Shared>);

impl QueueSink for Sink {
    fn durable(&self, messages: Vec<Numbered>) {
        let Some(last) = messages.last().map(|message| message.sequence) else { return };
        if !self.0.in_memory {
            self.0.progress.send_if_modified(|progress| {
                let rises = !progress.rekeying && last > progress.watermarks.stored;
                if rises {
                    progress.watermarks.stored = last;
                }
                rises
            });
            self.0.events.notify();
        }
        self.0.mailbox.post(Input::Durable(messages));
    }

    fn read(&self, messages: Vec<Numbered>) {
        self.0.mailbox.post(Input::Read(messages));
    }

    fn space(&self) {
        self.0.space.notify_waiters();
        self.0.events.notify();
    }

    fn event(&self, event: Event) {
        self.0.events.emit(event);
    }

    fn failed(&self, error: Error) {
        self.0.events.emit(Event::of_error("queue", &error));
        self.0.mailbox.post(Input::Stop);
    }
}
