//! What a management server knows of the nodes behind it, kept until somebody writes it into the group store: who is
//! connected, the latest report of each, and the attempts that were refused here and at its gateways.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::group::{NodePresence, NodeReport, RefusedAttempt};
use crate::limits::{GONE_HELD_MAX, REFUSALS_BOOK_MAX, REFUSALS_BOOK_STRANGERS_MAX};
use crate::name::Name;
use crate::node::reporting::Attempt;
use crate::session::clock;
use crate::time::Timestamp;

/// See the module's text. Bounded: one report for each connection that stands, and what [`crate::limits`] says of the
/// rest. Who takes something and cannot write it down puts it back.
#[derive(Clone, Default)]
pub(crate) struct ReportBook(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    present: HashMap<u64, NodePresence>,
    /// Of those, the ones that nobody took yet.
    opened: BTreeSet<u64>,
    gone: VecDeque<NodePresence>,
    reports: HashMap<u64, NodeReport>,
    changed: BTreeSet<u64>,
    refusals: HashMap<Key, RefusedAttempt>,
    /// How many of these are of strangers.
    strangers: usize,
}

/// By whom, who, from where, why.
type Key = (Name, Option<Name>, String, u16);

impl ReportBook {
    /// A connection was let in.
    pub(super) fn entered(&self, presence: NodePresence) {
        let mut pages = self.pages();
        pages.opened.insert(presence.session);
        pages.present.insert(presence.session, presence);
    }

    /// A connection ended.
    pub(super) fn left(&self, session: u64, at: Timestamp) {
        let mut pages = self.pages();
        pages.reports.remove(&session);
        pages.changed.remove(&session);
        let Some(mut presence) = pages.present.remove(&session) else { return };
        // Of whom nobody heard, nobody has to hear that it went.
        if !pages.opened.remove(&session) {
            presence.last_heard = at;
            pages.keep_gone(presence);
        }
    }

    /// A connected node said how it stands.
    pub(super) fn reported(&self, report: NodeReport) {
        let mut pages = self.pages();
        if pages.present.contains_key(&report.session) {
            pages.changed.insert(report.session);
            pages.reports.insert(report.session, report);
        }
    }

    /// Attempts were refused; those of one kind are added up.
    pub(crate) fn refused(&self, refused: RefusedAttempt) {
        self.pages().add(refused);
    }

    /// Hears of everybody who does not come through TLS at this server.
    pub(super) fn of_strangers(&self, me: &Name) -> impl Fn(&str, &Error) + Clone + Send + Sync + use<> {
        let (book, me) = (self.clone(), me.clone());
        move |address, error| book.refused_stranger(&me, address, error)
    }

    fn refused_stranger(&self, me: &Name, address: &str, error: &Error) {
        let Attempt { name, role, address, code, text } = Attempt::of_stranger(address, error);
        let (by, code, at) = (me.clone(), code.number(), clock::wall());
        self.refused(RefusedAttempt { by, name, role, address, code, text, first: at, last: at, count: 1 });
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writer of the inventory takes.
impl ReportBook {
    /// The reports that changed since the last call.
    pub(crate) fn take_changed(&self) -> Vec<NodeReport> {
        let mut pages = self.pages();
        let changed = std::mem::take(&mut pages.changed);
        changed.iter().filter_map(|session| pages.reports.get(session).cloned()).collect()
    }

    /// The connections that were let in since the last call and still stand.
    pub(crate) fn take_opened(&self) -> Vec<NodePresence> {
        let mut pages = self.pages();
        let opened = std::mem::take(&mut pages.opened);
        opened.iter().filter_map(|session| pages.present.get(session).cloned()).collect()
    }

    /// Those of the connections taken before that ended since the last call; `last_heard` is when they did.
    pub(crate) fn take_gone(&self) -> Vec<NodePresence> {
        std::mem::take(&mut self.pages().gone).into()
    }

    /// The refused attempts since the last call: counts to be added up. What cannot be written down goes back by
    /// [`Self::refused`].
    pub(crate) fn take_refusals(&self) -> Vec<RefusedAttempt> {
        let mut pages = self.pages();
        pages.strangers = 0;
        std::mem::take(&mut pages.refusals).into_values().collect()
    }

    /// Everybody who is connected, with the latest report where there is one: for a store that lost what it had.
    pub(crate) fn everybody(&self) -> Vec<(NodePresence, Option<NodeReport>)> {
        let pages = self.pages();
        let with_report = |presence: &NodePresence| (presence.clone(), pages.reports.get(&presence.session).cloned());
        pages.present.values().map(with_report).collect()
    }
}

impl Pages {
    /// Of too many the oldest ends are forgotten: a presence that nobody renews runs out by itself.
    fn keep_gone(&mut self, presence: NodePresence) {
        if self.gone.len() >= GONE_HELD_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(presence);
    }

    fn add(&mut self, mut refused: RefusedAttempt) {
        let mut key = key_of(&refused);
        let is_full = self.refusals.len() >= REFUSALS_BOOK_MAX
            || refused.name.is_none() && self.strangers >= REFUSALS_BOOK_STRANGERS_MAX;
        if is_full && !self.refusals.contains_key(&key) {
            // Counted under its code all the same: somebody comes from everywhere.
            (refused.name, refused.role, refused.address) = (None, None, String::new());
            key = key_of(&refused);
        }
        match self.refusals.entry(key) {
            Entry::Vacant(entry) => {
                self.strangers += usize::from(refused.name.is_none());
                entry.insert(refused);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.count = known.count.saturating_add(refused.count);
                known.first = known.first.min(refused.first);
                if refused.last >= known.last {
                    (known.last, known.text, known.role) = (refused.last, refused.text, refused.role.or(known.role));
                }
            }
        }
    }
}

fn key_of(refused: &RefusedAttempt) -> Key {
    (refused.by.clone(), refused.name.clone(), refused.address.clone(), refused.code)
}

#[cfg(test)]
mod chain_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn presence(session: u64) -> NodePresence {
        let name = name(&format!("pc{session}.branch.example"));
        let (since, last_heard) = (at(0), at(0));
        NodePresence { name, role: Role::Agent, via: Vec::new(), address: String::new(), since, last_heard, session }
    }

    fn report(session: u64, delivered: u64) -> NodeReport {
        NodeReport {
            name: presence(session).name,
            role: Role::Agent,
            via: Vec::new(),
            session,
            at: at(1),
            skipped: 0,
            software: String::new(),
            upstream: None,
            upstream_code: 0,
            upstream_text: String::new(),
            since: at(0),
            standbys: Vec::new(),
            queue_messages: 0,
            queue_bytes: 0,
            oldest: None,
            delivered,
            certificate_until: None,
            assignment_version: 0,
            assignment_pending: 0,
            agents_connected: 0,
            agents_silent: 0,
            agents_pending: 0,
        }
    }

    fn refused(number: usize, count: u64) -> RefusedAttempt {
        let (by, address) = (name("gw1.branch.example"), format!("10.0.{}.{}", number / 256, number % 256));
        let (name, role, text) = (None, None, String::new());
        RefusedAttempt { by, name, role, address, code: 1202, text, first: at(0), last: at(0), count }
    }

    fn sessions(presences: &[NodePresence]) -> Vec<u64> {
        presences.iter().map(|presence| presence.session).collect()
    }

    #[test]
    fn i4_each_change_is_taken_once_and_goes_with_its_connection() {
        let book = ReportBook::default();
        book.reported(report(2, 1));
        assert!(book.take_changed().is_empty(), "of nobody who is connected");
        (2..5).for_each(|session| book.entered(presence(session)));
        book.reported(report(2, 1));
        book.reported(report(2, 2));
        book.reported(report(3, 9));
        assert_eq!(book.take_changed(), [report(2, 2), report(3, 9)]);
        assert!(book.take_changed().is_empty());
        book.left(4, at(7));
        assert_eq!(sessions(&book.take_opened()), [2, 3]);
        assert!(book.take_gone().is_empty(), "nobody had heard of 4");
        book.reported(report(3, 9));
        book.left(3, at(8));
        assert!(book.take_changed().is_empty(), "its report went with it");
        let gone = book.take_gone();
        assert_eq!((sessions(&gone), gone[0].last_heard), (vec![3], at(8)));
        assert!(book.take_gone().is_empty());
        assert_eq!(book.everybody(), [(presence(2), Some(report(2, 2)))]);
    }

    #[test]
    fn i4_refused_attempts_of_one_kind_are_added_up_and_no_attempt_is_lost_where_they_are_too_many() {
        let book = ReportBook::default();
        book.refused(refused(1, 2));
        book.refused(RefusedAttempt { text: "newer".into(), last: at(5), ..refused(1, 3) });
        book.refused(RefusedAttempt { text: "older".into(), first: at(-5), last: at(-5), ..refused(1, 1) });
        let taken = book.take_refusals();
        assert_eq!(taken.len(), 1);
        let RefusedAttempt { count, first, last, text, .. } = &taken[0];
        assert_eq!((*count, *first, *last, text.as_str()), (6, at(-5), at(5), "newer"));
        assert!(book.take_refusals().is_empty());

        (0..REFUSALS_BOOK_MAX + 500).for_each(|number| book.refused(refused(number, 1)));
        let taken = book.take_refusals();
        assert!(taken.len() <= REFUSALS_BOOK_MAX + 1, "{}", taken.len());
        let count: u64 = taken.iter().map(|refused| refused.count).sum();
        assert_eq!(count, REFUSALS_BOOK_MAX as u64 + 500);
    }

    #[test]
    fn g5_strangers_from_everywhere_leave_room_in_the_book_for_those_with_a_name() {
        let book = ReportBook::default();
        let named = RefusedAttempt { name: Some(name("pc7.branch.example")), ..refused(0, 1) };
        for _ in 0..2 {
            (0..2 * REFUSALS_BOOK_MAX).for_each(|number| book.refused(refused(number, 1)));
            book.refused(named.clone());
            let taken = book.take_refusals();
            assert!(taken.contains(&named));
            assert_eq!(taken.len(), REFUSALS_BOOK_STRANGERS_MAX + 2, "the rest is one entry, counted");
        }
    }

    #[test]
    fn d7_ends_that_nobody_takes_are_bounded() {
        let book = ReportBook::default();
        for session in 0..GONE_HELD_MAX as u64 + 10 {
            book.entered(presence(session));
            book.take_opened();
            book.left(session, at(1));
        }
        let gone = book.take_gone();
        assert_eq!((gone.len(), gone[0].session), (GONE_HELD_MAX, 10));
    }
}
