//! What the reports of nodes need at both ends: how often one is taken, and which refusals are worth telling.

use crate::code::Code;
use crate::error::Error;
use crate::limits::{REPORT_INTERVAL_MIN, REPORTS_AT_ONCE_MAX};
use crate::name::Name;
use crate::node::reception::Caller;
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Phase, Refuse, report_text};

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

    /// Of an agent's channel; `is_open` once the group let it in. None as in [`Self::of_caller`].
    pub(super) fn of_channel(agent: &Name, address: &str, is_open: bool, error: &Error) -> Option<Self> {
        is_refusal(error.code(), is_open).then(|| Self::new(Some(agent.clone()), Some(Role::Agent), address, error))
    }

    fn new(name: Option<Name>, role: Option<Role>, address: &str, error: &Error) -> Self {
        let text = Refuse::of_error(error).text;
        let address = report_text(without_port(address));
        Self { name, role, address, code: error.code(), text: report_text(&text) }
    }
}

/// Whether an administrator looks for this among the refused attempts. Once a node was let in, only what is said of the
/// node itself is: who it is and whether it may.
fn is_refusal(code: Code, was_let_in: bool) -> bool {
    let passes = matches!(
        code,
        Code::StoreUnavailable
            | Code::StoreBusy
            | Code::StoreNewer
            | Code::StoreCorrupt
            | Code::ShuttingDown
            | Code::LinkDown
            | Code::LinkClosed
            | Code::LinkSilent
            | Code::PeerDoesNotRead
            | Code::UpstreamUnavailable
            | Code::SessionFenced
            | Code::SessionStale
            | Code::AttestationStale
            | Code::RolledBack
    );
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
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + seconds * 1_000_000)
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
        for code in [Code::LinkDown, Code::StoreUnavailable, Code::SessionFenced] {
            assert!(!is_refusal(code, false) && !is_refusal(code, true), "{code}");
        }
        assert!(!is_refusal(Code::FrameMalformed, true), "it was let in");
    }
}
