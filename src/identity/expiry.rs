//! Ends that come near: which of them is told, and when (DESIGN section 5: 30, 14, 7 and 1 days before).

use std::collections::BTreeMap;

use crate::code::Code;
use crate::event::Event;
use crate::limits::EXPIRY_WARNINGS_DAYS;
use crate::time::Timestamp;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The node's own certificate, or one of its path.
    Own,
    /// The certificate of a connected peer.
    Peer,
    /// A trust anchor.
    Authority,
    /// A revocation list.
    List,
}

/// Something with an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) kind: Kind,
    /// For people: a name, or the subject of a CA.
    pub(crate) subject: String,
    /// When its life began, where that is known.
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Timestamp,
}

impl Ending {
    /// Whole days until the end; negative once it is over.
    pub(crate) fn days(&self, now: Timestamp) -> i64 {
        (self.until.unix_seconds() - now.unix_seconds()).div_euclid(DAY_SECONDS)
    }

    /// The smallest threshold that it is within, in days. One that is longer than half of the whole life would be met by
    /// everything that is new, as a list for a week or a certificate for a day; where all are, it is the last quarter.
    fn threshold(&self, now: Timestamp) -> Option<i64> {
        let left = self.until.unix_seconds() - now.unix_seconds();
        let life = self.since.map_or(i64::MAX, |since| self.until.unix_seconds().saturating_sub(since.unix_seconds()));
        let fits = |days: &i64| days * DAY_SECONDS <= life / 2;
        match EXPIRY_WARNINGS_DAYS.iter().any(fits) {
            true => EXPIRY_WARNINGS_DAYS.into_iter().filter(fits).find(|days| left <= days * DAY_SECONDS),
            false => (left <= life / 4).then_some(0),
        }
    }
}

/// The first end of a kind.
pub(crate) fn nearest(endings: &[Ending], kind: Kind) -> Option<&Ending> {
    endings.iter().filter(|ending| ending.kind == kind).min_by_key(|ending| ending.until)
}

/// Remembers what was told, so that each threshold is told once for each certificate, however often it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Warnings(BTreeMap<(Kind, String, i64), i64>);

impl Warnings {
    /// What is to be told now. What has gone is forgotten; peers are told of together.
    pub(crate) fn check(&mut self, endings: &[Ending], now: Timestamp) -> Vec<Event> {
        let key = |ending: &Ending| (ending.kind, ending.subject.clone(), ending.until.unix_seconds());
        let near: Vec<(&Ending, i64)> =
            endings.iter().filter_map(|ending| Some((ending, ending.threshold(now)?))).collect();
        let told = std::mem::take(&mut self.0);
        let mut events = Vec::new();
        let mut peers: BTreeMap<i64, Vec<&Ending>> = BTreeMap::new();
        for (ending, threshold) in near {
            let is_new = told.get(&key(ending)).is_none_or(|before| threshold < *before);
            let known = self.0.insert(key(ending), threshold).is_some();
            match ending.kind {
                _ if !is_new || known => {}
                Kind::Peer => peers.entry(threshold).or_default().push(ending),
                _ => events.push(event_of(ending, now)),
            }
        }
        events.extend(peers.iter().filter_map(|(days, peers)| event_of_peers(*days, peers, now)));
        events
    }
}

fn event_of(ending: &Ending, now: Timestamp) -> Event {
    let code = if ending.kind == Kind::List { Code::CrlExpiring } else { Code::CertificateExpiring };
    let what = match ending.kind {
        Kind::Own => "this node's own certificate, ",
        Kind::Authority => "a trust anchor, ",
        Kind::Peer | Kind::List => "",
    };
    Event::new(code, ending.subject.clone(), format!("{what}until {} ({} days)", ending.until, ending.days(now)))
}

fn event_of_peers(days: i64, peers: &[&Ending], now: Timestamp) -> Option<Event> {
    let first = peers.iter().min_by_key(|ending| (ending.until, &ending.subject))?;
    if peers.len() == 1 {
        return Some(event_of(first, now));
    }
    let text =
        format!("{} peers' certificates end within {days} days, this one first, until {}", peers.len(), first.until);
    Some(Event::new(Code::CertificateExpiring, first.subject.clone(), text))
}

const DAY_SECONDS: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + days * DAY_SECONDS)
    }

    fn ending(kind: Kind, subject: &str, days: i64) -> Ending {
        Ending { kind, subject: subject.to_owned(), since: None, until: day(days) }
    }

    #[test]
    fn each_threshold_is_told_once_for_each_certificate() {
        let mut warnings = Warnings::default();
        let own = [ending(Kind::Own, "gw1", 40)];
        let told: Vec<i64> = (0..=45).filter(|at| !warnings.check(&own, day(*at)).is_empty()).collect();
        assert_eq!(told, [10, 26, 33, 39]);
        let renewed = [ending(Kind::Own, "gw1", 50)];
        assert_eq!(warnings.check(&renewed, day(45)).len(), 1, "another certificate is told of anew");
        assert_eq!(warnings.check(&[], day(45)), []);
        assert_eq!(warnings.check(&renewed, day(45)).len(), 1);
    }

    #[test]
    fn a_short_life_is_warned_of_late_in_it_and_not_when_it_begins() {
        let told = |life: i64, left: i64| {
            let hour = |hours: i64| Timestamp::from_unix_seconds(1_800_000_000 + hours * 3_600);
            let ending =
                Ending { kind: Kind::List, subject: "CN=CA".to_owned(), since: Some(hour(-life)), until: hour(0) };
            !Warnings::default().check(&[ending], hour(-left)).is_empty()
        };
        // A list for a week, a certificate for a day, and one for 90 days.
        assert_eq!([told(168, 168), told(168, 25), told(168, 24)], [false, false, true]);
        assert_eq!([told(24, 24), told(24, 7), told(24, 6)], [false, false, true]);
        assert_eq!([told(90 * 24, 31 * 24), told(90 * 24, 30 * 24)], [false, true]);
    }

    #[test]
    fn many_peers_are_one_event_for_each_threshold_and_a_second_link_of_one_is_none() {
        let mut warnings = Warnings::default();
        let mut peers: Vec<Ending> = (0..17).map(|at| ending(Kind::Peer, &format!("pc{at:02}"), 3)).collect();
        peers.push(ending(Kind::Peer, "pc99", 20));
        peers.push(peers[0].clone());
        let texts: Vec<String> = warnings.check(&peers, day(0)).iter().map(Event::without_time).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("pc00: 17 peers' certificates end within 7 days"), "{texts:?}");
        assert!(texts[1].contains("pc99"), "{texts:?}");
        assert_eq!(warnings.check(&peers, day(0)), []);
    }

    #[test]
    fn a_list_has_a_code_of_its_own_and_the_nearest_end_of_a_kind_is_found() {
        let endings =
            [ending(Kind::List, "CN=CA", 1), ending(Kind::Authority, "CN=CA", 9), ending(Kind::Authority, "CN=B", 5)];
        let codes: Vec<Code> = Warnings::default().check(&endings, day(0)).iter().map(|event| event.code).collect();
        assert_eq!(codes, [Code::CrlExpiring, Code::CertificateExpiring, Code::CertificateExpiring]);
        assert_eq!(nearest(&endings, Kind::Authority).map(|ending| ending.subject.as_str()), Some("CN=B"));
        assert_eq!(nearest(&endings, Kind::Peer), None);
    }
}
