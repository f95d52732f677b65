//! The management server's lease, and who is connected to it, written into the group store: in batches, and only what
//! changed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::reports::ReportBook;
use super::store_health::{Call, StoreHealth};
use crate::error::Result;
use crate::group::{Holder, NodePresence, PresenceBatch, Renewal, Silence};
use crate::limits::{
    HEARTBEAT_AGENT, HEARTBEAT_GATEWAY, PRESENCE_BATCH_MAX, PRESENCE_REMEMBERED, PRESENCE_RENEWED_EVERY,
    PRESENCE_WRITTEN_EVERY,
};
use crate::name::Name;
use crate::node::management_server::ManagementServer as Node;
use crate::role::Role;
use crate::session::clock;
use crate::session::driver::Mailbox;
use crate::store::StoreThread;
use crate::time::{Instant, Timestamp};

/// Writes presence for one run of a server.
pub(super) struct PresenceWriter {
    holder: Holder,
    store: Arc<StoreThread>,
    mailbox: Mailbox<Node>,
    book: ReportBook,
    health: StoreHealth,
    renewed: Option<Instant>,
    forgotten: Option<Instant>,
    /// What the store has is not what is: it is told of everybody.
    is_complete: bool,
    /// The group refuses this server, which was told: somebody else has its name since it was deleted.
    is_refused: bool,
    /// The nodes that the store has as silent, by session.
    silent: HashMap<u64, Name>,
}

/// Ends the lease when the node has stopped: its claims do not wait for it to run out.
pub(super) struct LeaseEnd {
    holder: Holder,
    store: Arc<StoreThread>,
}

impl PresenceWriter {
    pub(super) fn new(
        (server, address): (Name, Option<SocketAddr>),
        software: String,
        store: Arc<StoreThread>,
        mailbox: Mailbox<Node>,
        (book, health): (ReportBook, StoreHealth),
    ) -> Self {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let holder = Holder { server, address, start: clock::random(), started: clock::wall(), software };
        let (renewed, forgotten, is_complete) = (None, None, false);
        let (is_refused, silent) = (false, HashMap::new());
        Self { holder, store, mailbox, book, health, renewed, forgotten, is_complete, is_refused, silent }
    }

    pub(super) fn end(&self) -> LeaseEnd {
        LeaseEnd { holder: self.holder.clone(), store: self.store.clone() }
    }

    /// Writes until it is dropped.
    pub(super) async fn run(mut self) {
        let mut turn = tokio::time::interval(PRESENCE_WRITTEN_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let batch = self.batch().await.tidy();
            if !batch.is_empty() {
                self.write(batch).await;
            }
        }
    }

    async fn batch(&mut self) -> PresenceBatch {
        let mut batch = PresenceBatch::of(self.holder.clone());
        let now = clock::now();
        if is_due(self.renewed, PRESENCE_RENEWED_EVERY, now) {
            batch.renewal = Renewal::Renew;
            batch.silences = self.silences().await;
        }
        if is_due(self.forgotten, FORGETS_EVERY, now) {
            batch.forget = Some(before(clock::wall(), PRESENCE_REMEMBERED));
            self.forgotten = Some(now);
        }
        batch.gone = self.book.take_gone();
        let opened = self.book.take_opened();
        let reports = self.book.take_changed();
        if self.is_complete {
            let with_report = |presence| (presence, None);
            batch.opened = opened.into_iter().map(with_report).collect();
            batch.reports = reports;
        } else {
            batch.complete = Some(clock::wall());
            batch.opened = self.book.everybody();
            self.silent.clear();
        }
        batch
    }

    /// Who became silent, and who is heard again, since the last look.
    async fn silences(&mut self) -> Vec<Silence> {
        let Ok(presences) = self.mailbox.ask(Node::presences).await else { return Vec::new() };
        let wall = clock::wall();
        let mut silent: HashMap<u64, NodePresence> = presences
            .into_iter()
            .filter(|presence| presence.last_heard < before(wall, silent_after(presence)))
            .map(|presence| (presence.session, presence))
            .collect();
        let mut changed = Vec::new();
        self.silent.retain(|session, name| {
            let is_silent = silent.remove(session).is_some();
            if !is_silent {
                changed.push(Silence { name: name.clone(), session: *session, since: None });
            }
            is_silent
        });
        for (session, presence) in silent {
            self.silent.insert(session, presence.name.clone());
            changed.push(Silence { name: presence.name, session, since: Some(presence.last_heard) });
        }
        changed
    }

    /// Many at once are written in several transactions; a lease is renewed with the first.
    async fn write(&mut self, mut batch: PresenceBatch) {
        let renews = batch.renewal == Renewal::Renew;
        let now = clock::now();
        loop {
            let rest = split(&mut batch);
            let result: Result<()> = self.store.call(move |store| store.keep_presence(&batch)).await;
            let is_the_stores = self.health.note(Call::Write, &result);
            if let Err(error) = result {
                // Nothing of it is kept here: next time the store is told of everybody.
                self.is_complete = false;
                if !is_the_stores && !std::mem::replace(&mut self.is_refused, true) {
                    self.health.tell(&error);
                }
                return;
            }
            self.is_refused = false;
            match rest {
                Some(rest) => batch = rest,
                None => break,
            }
        }
        self.is_complete = true;
        if renews {
            self.renewed = Some(now);
        }
    }
}

impl Drop for LeaseEnd {
    fn drop(&mut self) {
        let mut batch = PresenceBatch::of(self.holder.clone());
        // Its nodes did not leave: they are behind a server that is gone. A store that fails does without.
        batch.renewal = Renewal::End;
        self.store.submit(Box::new(move |store| {
            let _ = store.keep_presence(&batch);
        }));
    }
}

/// What is too much for one transaction, as a batch for the next.
fn split(batch: &mut PresenceBatch) -> Option<PresenceBatch> {
    if batch.opened.len() <= PRESENCE_BATCH_MAX && batch.reports.len() <= PRESENCE_BATCH_MAX {
        return None;
    }
    let mut rest = PresenceBatch::of(batch.holder.clone());
    rest.opened = batch.opened.split_off(batch.opened.len().min(PRESENCE_BATCH_MAX));
    // Reports, silences and ends are about connections that are written before them.
    let (reports, silences, gone) = (&mut batch.reports, &mut batch.silences, &mut batch.gone);
    if rest.opened.is_empty() {
        rest.reports = reports.split_off(reports.len().min(PRESENCE_BATCH_MAX));
    } else {
        rest.reports = std::mem::take(reports);
    }
    rest.silences = std::mem::take(silences);
    rest.gone = std::mem::take(gone);
    Some(rest)
}

/// Three halves of the longest time between two signs of life.
fn silent_after(presence: &NodePresence) -> Duration {
    let is_direct_agent = presence.role == Role::Agent && presence.via.is_empty();
    (if is_direct_agent { HEARTBEAT_AGENT } else { HEARTBEAT_GATEWAY }) * 3 / 2
}

fn is_due(last: Option<Instant>, every: Duration, now: Instant) -> bool {
    // A turn comes a moment early as often as late.
    last.is_none_or(|last| now.since(last) + PRESENCE_WRITTEN_EVERY / 2 >= every)
}

fn before(at: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(at.unix_millis().saturating_sub(age))
}

/// How often those who never came back are looked for.
const FORGETS_EVERY: Duration = Duration::from_secs(3_600);
