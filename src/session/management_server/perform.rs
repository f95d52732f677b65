//! The management server's effects, performed: the group store in batches, signatures on threads of their own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

use super::BatchSender;
use super::commit_pace::CommitPace;
use super::output_file::Lengths;
use super::registrar::Registrar;
use super::reports::ReportBook;
use super::store_health::{Call, StoreHealth};
use super::verify::{Attestation, Verification, Verifiers};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::{CursorOutcome, CursorWrite, Decision, Knock, SessionRequest};
use crate::limits::{DOWN_IN_FLIGHT_MAX, PENDING_EXPIRY_INTERVAL, STORE_BATCH_MAX};
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::node::management_server::{
    Delivery, Effect, Input, ManagementServer as Node, OperatorAsk, Standing, Subject,
};
use crate::session::clock;
use crate::session::driver::{Links, Mailbox};
use crate::session::events::EventHub;
use crate::store::{Changes, OutputPosition, Store, StoreThread, StoredRun};
use crate::time::Timestamp;

/// Asks the application for its own cursor (rule D5b).
pub(super) type CursorSource = Arc<dyn Fn(Name, Epoch) -> BoxFuture<'static, Result<Option<Sequence>>> + Send + Sync>;

/// What waits for the store's next turn.
type Waiting<T> = Arc<Mutex<VecDeque<T>>>;

/// Performs one management server's effects.
pub(super) struct Performer {
    pub(super) server: Name,
    pub(super) store: Arc<StoreThread>,
    pub(super) mailbox: Mailbox<Node>,
    pub(super) events: EventHub,
    pub(super) batches: BatchSender,
    pub(super) cursor_source: Option<CursorSource>,
    pub(super) verify: Verifiers,
    pub(super) knocks: Waiting<(Subject, Knock)>,
    pub(super) sessions: Waiting<(u64, SessionRequest)>,
    pub(super) registrar: Registrar,
    pub(super) reports: ReportBook,
    pub(super) health: StoreHealth,
    pub(super) pace: CommitPace,
    /// The file output's path and lengths.
    pub(super) position: Option<(String, Lengths)>,
}

impl Performer {
    /// False when the node has stopped.
    pub(super) fn perform(&mut self, effect: Effect, links: &mut Links<Node>) -> bool {
        match effect {
            Effect::Link(effect) => links.perform(effect),
            Effect::VerifyAgent { link, channel, agent, chain, claims, scheme, signature } => {
                let attestation = Attestation { channel, agent, chain, claims, scheme, signature };
                self.verify.order(link, Verification::Agent(attestation));
            }
            Effect::VerifySuccession { link, subject, name, group, shown } => {
                self.verify.order(link, Verification::Succession { subject, name, group, shown });
            }
            Effect::Authorise { subject, knock } => self.authorise(subject, knock),
            Effect::OpenSession { channel, request } => self.open_session(channel, request),
            Effect::AskCursor { channel, agent, epoch } => self.ask_cursor(channel, agent, epoch),
            Effect::HandOver(batch) => {
                // Nobody takes deliveries: they stay outstanding, and the agents wait.
                let _ = self.batches.send(batch);
            }
            Effect::Commit { writes, deliveries, batch } => self.commit(writes, deliveries, batch),
            Effect::FetchDown { channel, agent, fence, above } => self.fetch_down(channel, agent, fence, above),
            Effect::DownDelivered { agent, fence, through } => self.down_delivered(agent, fence, through),
            Effect::Issue { order, what } => {
                let (registrar, mailbox) = (self.registrar.clone(), self.mailbox.clone());
                tokio::spawn(async move {
                    let answer = registrar.answer(*what).await;
                    mailbox.post(Input::Issued { order, answer });
                });
            }
            Effect::NextKey(said) => {
                let registrar = self.registrar.clone();
                tokio::spawn(async move { registrar.note_next_key(*said).await });
            }
            Effect::Reported(report) => self.reports.reported(*report),
            Effect::Refused(refused) => self.reports.refused(*refused),
            Effect::Entered(presence) => self.reports.entered(*presence),
            Effect::Left { session, at } => self.reports.left(session, at),
            Effect::Perform(ask) => self.perform_ask(ask),
            Effect::Event(event) => self.events.emit(event),
            Effect::Stopped => {
                self.events.emit(Event::new(Code::ShuttingDown, "", ""));
                return false;
            }
        }
        true
    }

    fn perform_ask(&self, ask: OperatorAsk) {
        let (store, mailbox, health) = (self.store.clone(), self.mailbox.clone(), self.health.clone());
        tokio::spawn(async move {
            let order = ask.order;
            let result = super::operators::perform(ask, &store, &health).await;
            mailbox.post(Input::Performed { order, result });
        });
    }

    fn asker(&self) -> Asker {
        Asker { store: self.store.clone(), mailbox: self.mailbox.clone(), health: self.health.clone() }
    }

    fn authorise(&self, subject: Subject, knock: Knock) {
        if push(&self.knocks, (subject, knock)) {
            authorise_waiting(self.asker(), self.knocks.clone());
        }
    }

    fn open_session(&self, channel: u64, request: SessionRequest) {
        // What was decided before this grant is committed before it: the grant fences it off.
        self.pace.hurry();
        if push(&self.sessions, (channel, request)) {
            open_waiting(self.asker(), self.sessions.clone());
        }
    }

    fn ask_cursor(&self, channel: u64, agent: Name, epoch: Epoch) {
        let (source, mailbox) = (self.cursor_source.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let asked = tokio::spawn(async move {
                match source {
                    Some(source) => source(agent, epoch).await,
                    None => Ok(None),
                }
            });
            // A panic of the application's code is an answer too: the channel must not wait for ever.
            let result = match tokio::time::timeout(CURSOR_WITHIN, asked).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => {
                    Err(Error::new(Code::OutputFailed).subject("the application's cursor").found(panic.to_string()))
                }
                Err(_) => Err(Error::new(Code::TimedOut).subject("the application's cursor")),
            };
            mailbox.post(Input::CursorAnswered { channel, result });
        });
    }

    fn fetch_down(&self, channel: u64, agent: Name, fence: u64, above: u64) {
        let count = usize::try_from(DOWN_IN_FLIGHT_MAX).unwrap_or(1);
        let found = self
            .asker()
            .until_answered(Call::Read, move |store| store.down_messages(&agent, fence, (above, count), clock::wall()));
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            // A stale fence: another server sends them.
            let found = found.await.and_then(Result::ok).unwrap_or_default();
            let messages = found.into_iter().map(|down| (down.number, down.sent, down.payload)).collect();
            mailbox.post(Input::DownFetched { channel, messages });
        });
    }

    /// What the agent has acknowledged waits for it no longer, also where the store fails for a while: an agent never
    /// acknowledges twice (rule D8).
    fn down_delivered(&self, agent: Name, fence: u64, through: u64) {
        let (events, subject) = (self.events.clone(), agent.to_string());
        let taken = self
            .asker()
            .until_answered(Call::Write, move |store| store.down_delivered(&agent, fence, through, clock::wall()));
        tokio::spawn(async move {
            if let Some(Err(error)) = taken.await {
                events.emit(Event::of_error(subject, &error));
            }
        });
    }

    /// Commits until the store has taken it: nothing is acknowledged meanwhile (rule D4).
    fn commit(&mut self, writes: Vec<CursorWrite>, deliveries: Vec<Delivery>, batch: u64) {
        let work = Arc::new(Commit {
            runs: stored_runs(&writes, deliveries),
            writes,
            output: self.position.as_ref().and_then(|(path, lengths)| {
                let length = length_after(lengths, batch)?;
                Some(OutputPosition { server: self.server.clone(), path: path.clone(), length })
            }),
        });
        let (store, mailbox, health) = (self.store.clone(), self.mailbox.clone(), self.health.clone());
        let events = self.events.clone();
        self.pace.start(move || {
            // Queued now, before the standings and sessions of those who just come: a commit never reaches the store after
            // a grant that the node asked for later.
            let first = store.call_first(work.job());
            tokio::spawn(async move {
                let mut result = first.await;
                loop {
                    let is_the_stores = health.note(Call::Write, &result);
                    match result {
                        Ok(outcomes) => return mailbox.post(Input::Committed(outcomes)),
                        Err(error) if !is_the_stores => events.emit(Event::of_error("cursors", &error)),
                        Err(_) => {}
                    }
                    if mailbox.is_closed() {
                        // The node ended without it: nothing was acknowledged, all of it comes again.
                        return;
                    }
                    tokio::time::sleep(COMMIT_AGAIN).await;
                    result = store.call_first(work.job()).await;
                }
            });
        });
    }
}

/// One commit, as it may have to be tried again.
struct Commit {
    writes: Vec<CursorWrite>,
    runs: Vec<StoredRun>,
    output: Option<OutputPosition>,
}

impl Commit {
    fn job(self: &Arc<Self>) -> impl FnOnce(&mut dyn Store) -> Result<Vec<CursorOutcome>> + Send + 'static {
        let work = self.clone();
        move |store| match &work.output {
            Some(output) => store.commit_with_output(&work.writes, output),
            None => store.commit(&work.writes, &work.runs),
        }
    }
}

fn stored_runs(writes: &[CursorWrite], deliveries: Vec<Delivery>) -> Vec<StoredRun> {
    let index_of = |delivery: &Delivery| {
        writes.iter().position(|write| write.agent == delivery.agent && write.epoch == delivery.epoch)
    };
    let run = |delivery: Delivery| {
        let write = index_of(&delivery)?;
        let Delivery { agent, via, epoch, content, .. } = delivery;
        Some(StoredRun { write, agent, via: via.to_vec(), epoch, content })
    };
    deliveries.into_iter().filter_map(run).collect()
}

/// The file's length after the batches up to this one; what is earlier is forgotten.
fn length_after(lengths: &Lengths, batch: u64) -> Option<u64> {
    let mut lengths = lengths.lock().unwrap_or_else(PoisonError::into_inner);
    let later = lengths.split_off(&(batch + 1));
    let reached = std::mem::replace(&mut *lengths, later);
    reached.into_iter().next_back().map(|(_, length)| length)
}

/// What the group says now of those who knocked, maybe a while ago. What it decides has the time of the decision: in the
/// audit log a rule comes before whom it lets in, though they waited before.
fn standings(store: &mut dyn Store, knocks: &mut [Knock], now: Timestamp) -> Result<Vec<Standing>> {
    knocks.iter_mut().for_each(|knock| knock.at = now);
    let decisions = store.authorise(knocks)?;
    let may_know = |decision: &Decision| matches!(decision, Decision::Approved(_)) || decision.is_about_the_place();
    let decided = knocks.iter().zip(&decisions);
    let nodes: Vec<Name> =
        decided.filter(|(_, decision)| may_know(decision)).map(|(knock, _)| knock.name.clone()).collect();
    let mut assignments = if nodes.is_empty() { Vec::new() } else { store.signed_assignments(&nodes)? }.into_iter();
    let with_assignment = |decision: Decision| {
        let assignment = if may_know(&decision) { assignments.next().flatten() } else { None };
        Standing { decision, assignment }
    };
    Ok(decisions.into_iter().map(with_assignment).collect())
}

/// What it takes to ask the store about those who wait.
#[derive(Clone)]
struct Asker {
    store: Arc<StoreThread>,
    mailbox: Mailbox<Node>,
    health: StoreHealth,
}

impl Asker {
    /// Queues a call now, and makes it again for as long as it is the store that fails; none where the node ended first.
    fn until_answered<R, F>(self, call: Call, job: F) -> impl Future<Output = Option<Result<R>>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: Fn(&mut dyn Store) -> Result<R> + Clone + Send + 'static,
    {
        let first = self.store.call(job.clone());
        async move {
            let mut result = first.await;
            while self.health.note(call, &result) {
                if self.mailbox.is_closed() {
                    return None;
                }
                tokio::time::sleep(COMMIT_AGAIN).await;
                result = self.store.call(job.clone()).await;
            }
            Some(result)
        }
    }
}

/// Asks the store about those who wait, [`STORE_BATCH_MAX`] in a transaction; what else the store has to do comes in
/// between.
fn authorise_waiting(asker: Asker, waiting: Waiting<(Subject, Knock)>) {
    let Asker { mailbox, health, .. } = asker.clone();
    let thread = asker.store.clone();
    thread.submit(Box::new(move |store| {
        let (batch, more) = take(&waiting);
        // Also after a panic: those who are left would wait for ever.
        let _next = more.then(|| Afterwards(Some(move || authorise_waiting(asker, waiting))));
        let (subjects, mut knocks): (Vec<Subject>, Vec<Knock>) = batch.into_iter().unzip();
        let result = standings(store, &mut knocks, clock::validity());
        health.note(Call::Write, &result);
        match result {
            Ok(standings) => {
                let answer = |(subject, standing)| Input::Authorised { subject, result: Ok(standing) };
                mailbox.post_all(subjects.into_iter().zip(standings).map(answer).collect());
            }
            Err(error) => {
                let answer = |subject| Input::Authorised { subject, result: Err(error.clone()) };
                mailbox.post_all(subjects.into_iter().map(answer).collect());
            }
        }
    }));
}

/// The same for sessions.
fn open_waiting(asker: Asker, waiting: Waiting<(u64, SessionRequest)>) {
    let Asker { mailbox, health, .. } = asker.clone();
    let thread = asker.store.clone();
    thread.submit(Box::new(move |store| {
        let (batch, more) = take(&waiting);
        let _next = more.then(|| Afterwards(Some(move || open_waiting(asker, waiting))));
        let (channels, requests): (Vec<u64>, Vec<SessionRequest>) = batch.into_iter().unzip();
        let result = store.open_sessions(&requests);
        health.note(Call::Write, &result);
        match result {
            Ok(answers) => {
                let opened = |(channel, answer)| Input::SessionOpened { channel, result: Ok(answer) };
                mailbox.post_all(channels.into_iter().zip(answers).map(opened).collect());
            }
            Err(error) => {
                let refused = |channel| Input::SessionOpened { channel, result: Err(error.clone()) };
                mailbox.post_all(channels.into_iter().map(refused).collect());
            }
        }
    }));
}

/// Does something when it is dropped, however that comes.
struct Afterwards<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Afterwards<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

/// True if it is the first that waits: then somebody has to fetch them.
fn push<T>(waiting: &Waiting<T>, value: T) -> bool {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.push_back(value);
    waiting.len() == 1
}

/// The first ones, and whether there are more, who must be fetched too.
fn take<T>(waiting: &Waiting<T>) -> (Vec<T>, bool) {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let count = waiting.len().min(STORE_BATCH_MAX);
    (waiting.drain(..count).collect(), !waiting.is_empty())
}

/// Looks at the group's change counter, and tells the node when it moved (rule G2). `known` is how it stood before the
/// first peer was asked about.
pub(super) async fn follow_group(
    store: Arc<StoreThread>,
    mut known: u64,
    mut changes: Changes,
    mailbox: Mailbox<Node>,
    health: StoreHealth,
) {
    loop {
        let look = move |store: &mut dyn Store| {
            let change = store.change()?;
            let keys = if change == known { None } else { Some(store.group_keys()?) };
            Ok((change, keys, store.down_waiting()?))
        };
        let result = store.call(look).await;
        health.note(Call::Read, &result);
        if let Ok((change, Some(keys), waiting)) = result {
            known = change;
            // Before everybody is asked about: what comes of that is signed by this key, or by a later one.
            mailbox.post(Input::GroupKeys(keys));
            mailbox.post(Input::GroupChanged);
            mailbox.post(Input::DownWaiting(waiting));
        }
        changes.wait().await;
    }
}

/// Tells the node the wall clock.
pub(super) async fn tick(mailbox: Mailbox<Node>) {
    loop {
        tokio::time::sleep(TICK).await;
        mailbox.post(Input::Wall(clock::validity()));
    }
}

/// Forgets who waits for approval and was not seen for too long, whether or not anybody new comes.
pub(super) async fn expire_pending(store: Arc<StoreThread>, health: StoreHealth) {
    loop {
        let result = store.call(|store| store.expire_pending(clock::wall())).await;
        health.note(Call::Write, &result);
        tokio::time::sleep(PENDING_EXPIRY_INTERVAL).await;
    }
}

/// A store that failed is tried again after this.
const COMMIT_AGAIN: Duration = Duration::from_millis(500);
/// How long the application may look for its cursor.
const CURSOR_WITHIN: Duration = Duration::from_secs(30);
/// How late an expiry or a new period may be seen.
const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{ApprovalRule, ApprovalsOperation, AuditRecord, UnknownAgents};
    use crate::identity::KeyHash;
    use crate::role::Role;
    use crate::store::asking::Asking as _;

    #[test]
    fn g4_what_a_rule_decides_has_the_time_of_the_decision_and_not_of_the_knock() {
        let at = Timestamp::from_unix_millis;
        let directory = tempfile::tempdir().unwrap();
        let mut store = crate::store::SqliteStore::open(&directory.path().join("group.db"), Some("CORP")).unwrap();
        store.register_server(&Name::parse("ms1").unwrap(), "0.0.0.0:5723", at(1)).unwrap();
        let mut knocks = [Knock {
            role: Role::Agent,
            name: Name::parse("pc7").unwrap(),
            key: KeyHash([1; 32]),
            issuer: KeyHash([9; 32]),
            is_in: false,
            address: "10.0.0.7:50000".to_owned(),
            server: Name::parse("ms1").unwrap(),
            via: None,
            software: String::new(),
            at: at(900),
        }];
        assert!(matches!(standings(&mut store, &mut knocks, at(1_000)).unwrap()[0].decision, Decision::Pending(_)));
        let rule = ApprovalRule::new("all", "**", UnknownAgents::Approve).unwrap();
        store.change_group(ApprovalsOperation::AddRule { rule, before: None }, at(5_000)).unwrap();
        let decided = standings(&mut store, &mut knocks, at(5_001)).unwrap().remove(0).decision;
        assert!(matches!(decided, Decision::Approved(_)));
        let entries: Vec<AuditRecord> = store.audited().unwrap();
        let last: Vec<_> =
            entries.iter().rev().take(2).map(|one| (one.action.as_str(), one.at.unix_millis())).collect();
        assert_eq!(last, [("approve agent", 5_001), ("add rule", 5_000)]);
    }
}
