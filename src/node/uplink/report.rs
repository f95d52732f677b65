//! What a report says of the upstreams: which one is in use and why, and how the others stand (section 14 of the wire
//! specification).

use super::Uplink;
use crate::code::Code;
use crate::error::Error;
use crate::group::Upstream;
use crate::routing::{Failure, Reason, Standby};
use crate::time::Instant;
use crate::wire::{Refuse, Report, ReportedStandby, report_text};

/// Why each upstream was of no use the last time; at most one entry for each.
#[derive(Debug, Default)]
pub(super) struct Troubles(Vec<(Upstream, Trouble)>);

/// What was the matter with an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    code: Code,
    text: String,
}

impl Troubles {
    pub(super) fn note(&mut self, upstream: &Upstream, error: &Error) {
        let trouble = Trouble { code: error.code(), text: Refuse::of_error(error).text };
        match self.0.iter_mut().find(|(known, _)| known == upstream) {
            Some((_, known)) => *known = trouble,
            None => self.0.push((upstream.clone(), trouble)),
        }
    }

    pub(super) fn of(&self, upstream: &Upstream) -> Option<&Trouble> {
        self.0.iter().find(|(known, _)| known == upstream).map(|(_, trouble)| trouble)
    }

    /// Forgets what is no upstream any more.
    pub(super) fn keep(&mut self, upstreams: &[Upstream]) {
        self.0.retain(|(known, _)| upstreams.contains(known));
    }
}

impl Uplink {
    /// Writes into a report what is known of the upstreams; answers when each of the standbys was proven.
    pub(crate) fn describe(&self, report: &mut Report, now: Instant) -> Vec<Instant> {
        let situation = self.situation();
        let used = self.upstream();
        report.upstream = used.map(|upstream| upstream.name().as_str().to_owned()).unwrap_or_default();
        report.since_ms = millis_since(situation.since, now);
        (report.upstream_code, report.upstream_text) = self.why(situation.reason);
        report.assignment_version = self.assignment_version;
        report.assignment_pending = self.assignment_pending().unwrap_or(0);
        let others = self.upstreams.iter().enumerate().filter(|(_, upstream)| Some(*upstream) != used);
        let (standbys, proofs) = others.map(|(index, upstream)| self.describe_standby(index, upstream, now)).unzip();
        report.standbys = standbys;
        proofs
    }

    fn why(&self, reason: Reason) -> (u32, String) {
        let (code, text) = match (reason, &self.left_primary) {
            (Reason::Primary, _) => return (0, String::new()),
            (Reason::FailedOver, Some((primary, trouble))) => (trouble.code, format!("{primary}: {}", trouble.text)),
            (Reason::FailedOver, None) => (Code::FailedOver, String::new()),
            (Reason::Unavailable, _) => (Code::UpstreamUnavailable, String::new()),
            (Reason::Leaving | Reason::NotAssigned, _) => (Code::UpstreamNotAssigned, String::new()),
            (Reason::Searching | Reason::NoneReachable, _) => (Code::NoUpstream, String::new()),
        };
        (u32::from(code.number()), report_text(&text))
    }

    fn describe_standby(&self, index: usize, upstream: &Upstream, now: Instant) -> (ReportedStandby, Instant) {
        let name = upstream.name().as_str().to_owned();
        let (ready, trouble, at) = match self.standby(index) {
            Some(Standby::Ready(at)) => (true, None, at),
            Some(Standby::NotReady(failure, at)) => (false, Some(self.trouble_of(upstream, failure)), at),
            Some(Standby::Unproven) | None => (false, None, now),
        };
        let (code, text) = trouble.map_or((0, String::new()), |(code, text)| (u32::from(code.number()), text));
        (ReportedStandby { name, ready, code, text: report_text(&text), proven_ms: millis_since(at, now) }, at)
    }

    fn trouble_of(&self, upstream: &Upstream, failure: Failure) -> (Code, String) {
        let known = self.troubles.of(upstream).map(|trouble| (trouble.code, trouble.text.clone()));
        known.unwrap_or_else(|| {
            let code = match failure {
                Failure::Unreachable => Code::ConnectFailed,
                Failure::Refused => Code::PeerRefused,
                Failure::Unavailable => Code::UpstreamUnavailable,
            };
            (code, String::new())
        })
    }

    /// A number that changes when something of this does that is told soon: a standby that is proven once more is not.
    pub(crate) fn standing(&self) -> u64 {
        let standby = |index| match self.standby(index) {
            Some(Standby::Ready(_)) => 1,
            Some(Standby::NotReady(failure, _)) => 2 + failure as u64,
            Some(Standby::Unproven) | None => 0,
        };
        let situation = self.situation();
        let own = [
            self.current.map_or(0, |link| link.number()),
            situation.reason as u64,
            situation.since.as_micros(),
            self.assignment_version,
            self.assignment_pending().unwrap_or(0),
        ];
        own.into_iter().chain((0..self.upstreams.len()).map(standby)).fold(0, mix)
    }
}

fn mix(sum: u64, part: u64) -> u64 {
    (sum ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn millis_since(at: Instant, now: Instant) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
}
