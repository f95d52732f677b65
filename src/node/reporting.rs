//! What the reports of nodes need at both ends: when one is made, how often one is taken, and which refusals are worth
//! telling. Section 14 of the wire specification.

use std::time::Duration;

use crate::code::Code;
use crate::error::Error;
use crate::limits::{REPORT_EVERY, REPORT_INTERVAL_MIN, REPORT_PROOF_AGE_MAX, REPORT_WITHIN, REPORTS_AT_ONCE_MAX};
use crate::name::Name;
use crate::node::reception::Caller;
use crate::role::Role;
use crate::time::{Instant, Timestamp};
use crate::wire::{Phase, Report, report_text};

/// What only the shell knows of how a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) queue_messages: u64,
    pub(crate) queue_bytes: u64,
    /// The age of the oldest undelivered message.
    pub(crate) oldest: Option<Duration>,
    /// When the node's own certificate ends.
    pub(crate) certificate_until: Option<Timestamp>,
}

impl Figures {
    /// Writes them into a report.
    pub(super) fn describe(&self, report: &mut Report) {
        report.queue_messages = self.queue_messages;
        report.queue_bytes = self.queue_bytes;
        report.oldest_ms = self.oldest.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        report.certificate_until_ms = self.certificate_until.map_or(0, Timestamp::unix_millis);
    }
}

/// When a node reports. A `Place` names the channel, or the link, that reports go on.
///
/// It asks the shell for its figures when a report may be due, and then finds out whether there is anything to tell: an
/// idle node looks at itself once a minute and says nothing.
#[derive(Debug)]
pub(super) struct Reporter<Place> {
    place: Option<Place>,
    /// What changes when something does that is told soon.
    standing: u64,
    /// When to ask the shell.
    due: Option<Instant>,
    /// The shell was asked and has not answered.
    asked: bool,
    /// The last report on this place.
    told: Option<Told>,
}

/// What a report said, without the ages, and since when that was so.
#[derive(Debug)]
struct Told {
    at: Instant,
    report: Report,
    since: Option<Instant>,
    proofs: Vec<Instant>,
}

impl<Place> Default for Reporter<Place> {
    fn default() -> Self {
        Self { place: None, standing: 0, due: None, asked: false, told: None }
    }
}

impl<Place: PartialEq> Reporter<Place> {
    /// Takes note of where reports go now and of what is told soon; answers whether the shell is to be asked.
    pub(super) fn look(&mut self, place: Option<Place>, standing: u64, now: Instant) -> bool {
        if self.place != place {
            self.due = place.is_some().then_some(now);
            (self.place, self.told) = (place, None);
        }
        if std::mem::replace(&mut self.standing, standing) != standing {
            self.hurry(now);
        }
        let is_due = !self.asked && self.place.is_some() && self.due.is_some_and(|due| due <= now);
        self.asked |= is_due;
        is_due
    }

    /// Something is to be told soon, with what else changes meanwhile.
    pub(super) fn hurry(&mut self, now: Instant) {
        let rested = self.told.as_ref().map_or(now, |told| told.at + REPORT_INTERVAL_MIN);
        let soon = rested.max(now + REPORT_WITHIN);
        self.due = self.due.map(|due| due.min(soon));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| !self.asked)
    }

    /// The shell answered: the place to report on, if there still is one.
    pub(super) fn answered(&mut self, now: Instant) -> Option<&Place> {
        self.asked = false;
        self.due = self.place.is_some().then_some(now + REPORT_EVERY);
        let too_soon = self.told.as_ref().is_some_and(|told| now < told.at + REPORT_INTERVAL_MIN);
        if too_soon {
            // It was asked for another place.
            self.hurry(now);
            return None;
        }
        self.place.as_ref()
    }

    /// Whether this report says what the last one on this place did not; then it counts as told. `since` is when the node
    /// came to where it is, `proofs` when its standbys were proven.
    pub(super) fn is_news(&mut self, report: &Report, since: Instant, proofs: Vec<Instant>, now: Instant) -> bool {
        let said = without_ages(report);
        let is_old = |told: &Told| {
            let is_fresh = |(new, old): (&Instant, &Instant)| new.since(*old) < REPORT_PROOF_AGE_MAX;
            told.report == said && told.since == Some(since) && proofs.iter().zip(&told.proofs).all(is_fresh)
        };
        if self.told.as_ref().is_some_and(is_old) && report.refusals.is_empty() {
            return false;
        }
        if self.told.is_none() && report.queue_messages > 0 {
            // What waited for this place is told as a backlog; most often it is gone in a moment.
            self.due = self.due.map(|due| due.min(now + REPORT_INTERVAL_MIN));
        }
        self.told = Some(Told { at: now, report: said, since: Some(since), proofs });
        true
    }
}

/// Ages grow by themselves. The oldest message's does not: that it still waits is worth telling.
fn without_ages(report: &Report) -> Report {
    let mut report = Report { since_ms: 0, refusals: Vec::new(), ..report.clone() };
    report.standbys.iter_mut().for_each(|standby| standby.proven_ms = 0);
    report
}

/// How many reports of one channel are taken (section 14 of the wire specification).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When all that were taken are paid for, at one in [`REPORT_INTERVAL_MIN`].
    paid_at: Instant,
    skipped: u32,
}

impl Pace {
    /// Whether a report that comes now is looked at; then how many were not since the last one that was.
    pub(super) fn take(&mut self, now: Instant) -> Option<u32> {
        if self.paid_at > now + REPORT_INTERVAL_MIN * (REPORTS_AT_ONCE_MAX - 1) {
            self.skipped = self.skipped.saturating_add(1);
            return None;
        }
        self.paid_at = self.paid_at.max(now) + REPORT_INTERVAL_MIN;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// One attempt to connect that this node refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// As its certificate proved it.
    pub(crate) name: Option<Name>,
    /// As it said.
    pub(crate) role: Option<Role>,
    /// Without a port: each attempt has another one.
    pub(crate) address: String,
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Attempt {
    /// Of somebody who did not come through TLS.
    pub(crate) fn of_stranger(address: &str, error: &Error) -> Self {
        Self::new(None, None, address, error)
    }

    /// Of somebody who proved a certificate. None if this is no refusal: a link that ended, a store that is away.
    pub(super) fn of_caller(caller: &Caller, error: &Error) -> Option<Self> {
        if !is_refusal(error.code(), caller.link.phase() == Phase::Open) {
            return None;
        }
        let introduced = caller.introduced.as_ref();
        // What introduced itself with a wrong name is told by the one that it proved.
        let name = introduced.map(|introduced| &introduced.name).or(caller.peer.names().first());
        Some(Self::new(name.cloned(), introduced.map(|introduced| introduced.role), &caller.address, error))
    }

    /// Of a node's channel; `is_open` once the group let it in. None as in [`Self::of_caller`].
    pub(super) fn of_channel((name, role): (&Name, Role), address: &str, is_open: bool, error: &Error) -> Option<Self> {
        is_refusal(error.code(), is_open).then(|| Self::new(Some(name.clone()), Some(role), address, error))
    }

    fn new(name: Option<Name>, role: Option<Role>, address: &str, error: &Error) -> Self {
        let text = said_of(name.as_ref(), error);
        let address = report_text(without_port(address));
        Self { name, role, address, code: error.code(), text: report_text(&text) }
    }
}

/// What was found and expected, after what it is about where that is not the name itself: what a certificate that was not
/// accepted says of itself, say.
fn said_of(name: Option<&Name>, error: &Error) -> String {
    let said = [("found", error.found_text()), ("expected", error.expected_text())];
    let said = said.iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what} {text}"));
    let said = said.collect::<Vec<_>>().join("; ");
    let subject = Some(error.subject_text()).filter(|subject| name.is_none_or(|name| name.as_str() != *subject));
    match (subject.unwrap_or_default(), said.as_str()) {
        ("", said) => said.to_owned(),
        (subject, "") => subject.to_owned(),
        (subject, said) => format!("{subject}: {said}"),
    }
}

/// Whether an administrator looks for this among the refused attempts. Once a node was let in, only what is said of the
/// node itself is: who it is and whether it may.
fn is_refusal(code: Code, was_let_in: bool) -> bool {
    let passes = matches!(
        code,
        Code::ShuttingDown
            | Code::LinkDown
            | Code::LinkClosed
            | Code::LinkSilent
            | Code::PeerDoesNotRead
            | Code::UpstreamUnavailable
            | Code::SessionFenced
            | Code::SessionStale
            | Code::AttestationStale
            | Code::RolledBack
    ) || code.is_of_the_store();
    !passes && (!was_let_in || matches!(code.number(), 1000..=1999 | 3000..=3999))
}

fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ReportedStandby;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn g5_a_refused_attempt_says_what_there_is_to_say_and_no_more() {
        let name = Name::parse("pc7.branch.example").unwrap();
        let bare = Error::new(Code::NameRejected).subject("pc7.branch.example");
        assert_eq!(said_of(Some(&name), &bare), "");
        assert_eq!(said_of(None, &Error::new(Code::NameRejected).expected("a certificate")), "expected a certificate");
        let full = Error::new(Code::NameRejected).subject("CN=x").found("y").expected("z");
        assert_eq!(said_of(Some(&name), &full), "CN=x: found y; expected z");
    }

    #[test]
    fn d7_three_reports_are_taken_at_once_and_one_in_five_seconds_from_then_on() {
        let mut pace = Pace::default();
        let taken = (0..10).filter(|_| pace.take(at(0)).is_some()).count();
        assert_eq!(taken, 3);
        assert_eq!(pace.take(at(4)), None);
        assert_eq!(pace.take(at(5)), Some(8), "those that were skipped are told with the next");
        let mut flood = Pace::default();
        let taken = (0..600_000).filter(|tick| flood.take(at(0) + Duration::from_millis(*tick)).is_some()).count();
        assert!((120..=123).contains(&taken), "{taken} in ten minutes");
    }

    #[test]
    fn reports_that_were_sent_five_seconds_apart_and_came_together_are_all_taken() {
        let mut pace = Pace::default();
        for arrival in [0, 5, 15, 15, 20, 25, 35, 35, 40] {
            assert_eq!(pace.take(at(arrival)), Some(0), "at {arrival} s");
        }
    }

    /// Looks at a node every tenth of a second, as its turns do; answers when it reported.
    fn reports(seconds: u64, state: impl Fn(u64) -> (Option<u32>, u64, Report)) -> Vec<u64> {
        let (mut reporter, mut told) = (Reporter::default(), Vec::new());
        for tenth in 0..seconds * 10 {
            let now = at(0) + Duration::from_millis(tenth * 100);
            let (place, standing, report) = state(tenth);
            if reporter.look(place, standing, now)
                && reporter.answered(now).is_some()
                && reporter.is_news(&report, at(0), vec![at(tenth / 10)], now)
            {
                told.push(tenth);
            }
        }
        told
    }

    fn ready(delivered: u64) -> Report {
        let standby = ReportedStandby { name: "gw2".into(), ready: true, ..ReportedStandby::default() };
        Report { delivered, standbys: vec![standby], ..Report::default() }
    }

    #[test]
    fn i4_an_idle_node_reports_once_and_then_only_that_its_standbys_are_still_proven() {
        assert_eq!(reports(3_000, |_| (Some(1), 0, ready(0))), [0, 9_000, 18_000, 27_000]);
        assert_eq!(reports(300, |_| (None, 0, ready(0))), [0; 0], "nowhere");
    }

    #[test]
    fn i4_a_change_is_told_within_two_seconds_and_never_within_five_of_the_last_report() {
        let changes = |at: u64| move |tenth: u64| (Some(1), u64::from(tenth >= at), ready(u64::from(tenth >= at)));
        assert_eq!(reports(30, changes(200)), [0, 210]);
        assert_eq!(reports(30, changes(20)), [0, 50]);
        let always = reports(100, |tenth| (Some(1), tenth, ready(tenth)));
        assert!(always.windows(2).all(|pair| (50..=61).contains(&(pair[1] - pair[0]))), "{always:?}");
        // Figures alone are told once a minute.
        assert_eq!(reports(200, |tenth| (Some(1), 0, ready(tenth))), [0, 600, 1_200, 1_800]);
    }

    #[test]
    fn i4_a_backlog_that_is_gone_soon_after_its_channel_was_opened_is_told_of_no_longer_than_five_seconds() {
        let waiting = |tenth: u64| Report { queue_messages: 1_000_u64.saturating_sub(tenth * 50), ..ready(0) };
        assert_eq!(reports(100, |tenth| (Some(1), 0, waiting(tenth))), [0, 50]);
        // One that stays is told once a minute.
        let growing = |tenth: u64| Report { queue_messages: tenth + 1, ..ready(0) };
        assert_eq!(reports(200, |tenth| (Some(1), 0, growing(tenth))), [0, 50, 650, 1_250, 1_850]);
    }

    #[test]
    fn i4_a_new_channel_hears_at_once_what_was_told_on_the_last_one() {
        let moved = |tenth: u64| (Some(if tenth < 25 { 1 } else { 2 }), 0, ready(0));
        assert_eq!(reports(30, moved), [0, 25]);
        let away = |tenth: u64| (Some(1).filter(|_| !(20..40).contains(&tenth)), 0, ready(0));
        assert_eq!(reports(30, away), [0, 40]);
    }

    #[test]
    fn an_attempt_is_told_without_the_port_that_it_came_from() {
        for (address, host) in [("10.1.0.7:49152", "10.1.0.7"), ("[::1]:1", "[::1]"), ("::1x", "::1x"), ("", "")] {
            assert_eq!(Attempt::of_stranger(address, &Error::new(Code::TlsFailed)).address, host);
        }
    }

    #[test]
    fn i4_what_is_said_of_a_node_is_a_refused_attempt_and_a_lost_link_or_store_is_none() {
        for code in [Code::HelloNameMismatch, Code::CertificateExpired, Code::NameRejected, Code::FrameMalformed] {
            assert!(is_refusal(code, false), "{code}");
        }
        for code in [Code::CertificateRevoked, Code::ApprovalWithdrawn] {
            assert!(is_refusal(code, true), "{code}");
        }
        for code in [Code::LinkDown, Code::StoreUnavailable, Code::StoreLoginFailed, Code::SessionFenced] {
            assert!(!is_refusal(code, false) && !is_refusal(code, true), "{code}");
        }
        assert!(!is_refusal(Code::FrameMalformed, true), "it was let in");
    }
}
