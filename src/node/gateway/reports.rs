//! A gateway's reports: what it says of itself, and whom it refused by itself.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use super::Effect;
use super::control::Control;
use crate::limits::{REFUSALS_HELD_MAX, REFUSALS_HELD_STRANGERS_MAX, REFUSALS_PER_REPORT_MAX, REPORT_INTERVAL_MIN};
use crate::name::Name;
use crate::node::LinkId;
use crate::node::reporting::{Attempt, Figures, Reporter};
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Report, ReportedRefusal, report_text};

/// What a gateway has to tell, and how far it came with that.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Reports go on this channel of the link in use: on 0 to a management server, else on the gateway's own.
    reporter: Reporter<(LinkId, u32)>,
    refusals: Refusals,
    /// The refusals of the last reports, until the chunk with this number was written to the link.
    on_the_way: Vec<Refusal>,
    written_with: Option<(LinkId, u64)>,
    /// Messages that were acknowledged since the start.
    pub(super) delivered: u64,
}

/// What the side of the agents knows for a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) connected: u32,
    pub(super) silent: u32,
    pub(super) pending: u32,
}

impl Control {
    /// At the end of a turn: asks for the figures of a report that may be due.
    pub(super) fn look_at_reports(&mut self, now: Instant) {
        let channel = self.own.open_id().unwrap_or(0);
        let uses = self.is_available();
        let link = self.uplink.link().map(|(id, link)| (id, link.chunks_written()));
        self.reports.note_written(link);
        let place = link.map(|(id, _)| (id, channel)).filter(|_| uses);
        let standing = self.uplink.standing().wrapping_add(self.reports.refusals.entered);
        if self.reports.reporter.look(place, standing, now) {
            self.effects.push_back(Effect::AskFigures);
        }
    }

    pub(super) fn poll_report(&self) -> Option<Instant> {
        self.reports.reporter.poll_timeout()
    }

    /// Somebody was refused here.
    pub(super) fn note_refused(&mut self, attempt: Attempt, now: Instant) {
        self.reports.refusals.add(attempt, now);
    }

    /// The shell's figures, and how many agents there are: reports, if there is anything new.
    pub(super) fn report(&mut self, figures: &Figures, crowd: Crowd, now: Instant) {
        let Some((place, channel)) = self.reports.reporter.answered(now).copied() else { return };
        let mut report = Report { software: report_text(&self.software), ..Report::default() };
        figures.describe(&mut report);
        let proofs = self.uplink.describe(&mut report, now);
        (report.queue_messages, report.queue_bytes) = self.queued();
        report.delivered = self.reports.delivered;
        report.agents_connected = crowd.connected;
        report.agents_silent = crowd.silent;
        report.agents_pending = crowd.pending;
        let told = self.reports.fill(&mut report, now);
        let since = self.uplink.situation().since;
        if !self.reports.reporter.is_news(&report, since, proofs, now) {
            return;
        }
        let Some((id, link)) = self.uplink.link().filter(|(id, _)| *id == place) else { return };
        link.send(channel, &report);
        let chunk = link.next_chunk();
        self.reports.told(told, (id, chunk));
        if !self.reports.refusals.is_empty() {
            self.reports.reporter.hurry(now + REPORT_INTERVAL_MIN);
        }
    }
}

impl Reports {
    /// The oldest refusals that fit; answers how many.
    fn fill(&mut self, report: &mut Report, now: Instant) -> usize {
        let room = ON_THE_WAY_MAX.saturating_sub(self.on_the_way.len());
        report.fill(self.refusals.iter().take(room).map(|refusal| refusal.told(now)))
    }

    fn told(&mut self, count: usize, chunk: (LinkId, u64)) {
        self.on_the_way.extend(self.refusals.take(count));
        self.written_with = Some(chunk);
    }

    /// What was written is told; what its link took with it is told again.
    fn note_written(&mut self, link: Option<(LinkId, u64)>) {
        let Some((told_on, chunk)) = self.written_with else { return };
        match link {
            Some((id, written)) if id == told_on && written < chunk => {}
            Some((id, _)) if id == told_on => {
                self.on_the_way.clear();
                self.written_with = None;
            }
            _ => self.give_back(),
        }
    }

    fn give_back(&mut self) {
        self.written_with = None;
        for refusal in std::mem::take(&mut self.on_the_way).into_iter().rev() {
            self.refusals.put_back(refusal);
        }
    }
}

/// Refusals that were sent and not written: four reports full.
const ON_THE_WAY_MAX: usize = 4 * REFUSALS_PER_REPORT_MAX;

/// Attempts of one name, address and code.
#[derive(Clone, Debug)]
struct Refusal {
    attempt: Attempt,
    first: Instant,
    last: Instant,
    count: u64,
}

impl Refusal {
    fn told(&self, now: Instant) -> ReportedRefusal {
        let Attempt { name, role, address, code, text } = &self.attempt;
        let millis = |at: Instant| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        ReportedRefusal {
            name: name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            role: role.map_or(0, |role: Role| role as u32),
            address: address.clone(),
            code: u32::from(code.number()),
            text: text.clone(),
            first_ms: millis(self.first),
            last_ms: millis(self.last),
            count: self.count,
        }
    }

    fn key(&self) -> Key {
        let Attempt { name, address, code, .. } = &self.attempt;
        (name.clone(), address.clone(), code.number())
    }
}

/// Name, address, code.
type Key = (Option<Name>, String, u16);

/// Refusals that are to be told, those first that came first; strangers, who proved no name and may be a flood, after all
/// others.
#[derive(Debug, Default)]
struct Refusals {
    held: BTreeMap<Key, Refusal>,
    named: VecDeque<Key>,
    strangers: VecDeque<Key>,
    /// How often there was something new to tell.
    entered: u64,
}

impl Refusals {
    fn add(&mut self, attempt: Attempt, now: Instant) {
        let mut refusal = Refusal { attempt, first: now, last: now, count: 1 };
        let is_full = self.held.len() >= REFUSALS_HELD_MAX
            || refusal.attempt.name.is_none() && self.strangers.len() >= REFUSALS_HELD_STRANGERS_MAX;
        if is_full && !self.held.contains_key(&refusal.key()) {
            // Counted under its code all the same.
            let attempt = &mut refusal.attempt;
            (attempt.name, attempt.role, attempt.address) = (None, None, String::new());
        }
        let is_stranger = refusal.attempt.name.is_none();
        if self.join(refusal) {
            self.entered += 1;
            self.queue(is_stranger).rotate_left(1);
        }
    }

    /// What was not told after all comes first.
    fn put_back(&mut self, refusal: Refusal) {
        self.join(refusal);
    }

    /// Adds to what is held of this kind; answers whether there was nothing, so that it is the first in order now.
    fn join(&mut self, refusal: Refusal) -> bool {
        match self.held.entry(refusal.key()) {
            Entry::Vacant(entry) => {
                let queue = if entry.key().0.is_none() { &mut self.strangers } else { &mut self.named };
                queue.push_front(entry.key().clone());
                entry.insert(refusal);
                true
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.count = known.count.saturating_add(refusal.count);
                known.first = known.first.min(refusal.first);
                if refusal.last >= known.last {
                    (known.last, known.attempt) = (refusal.last, refusal.attempt);
                }
                false
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Refusal> {
        self.named.iter().chain(&self.strangers).filter_map(|key| self.held.get(key))
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn queue(&mut self, is_stranger: bool) -> &mut VecDeque<Key> {
        if is_stranger { &mut self.strangers } else { &mut self.named }
    }

    fn take(&mut self, count: usize) -> Vec<Refusal> {
        let named = count.min(self.named.len());
        let strangers = (count - named).min(self.strangers.len());
        let taken: Vec<Key> = self.named.drain(..named).chain(self.strangers.drain(..strangers)).collect();
        taken.iter().filter_map(|key| self.held.remove(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::code::Code;
    use crate::error::Error;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000) + Duration::from_secs(seconds)
    }

    fn attempt(number: usize) -> Attempt {
        let address = format!("10.0.{}.{}:4711", number / 256, number % 256);
        Attempt::of_stranger(&address, &Error::new(Code::CertificateExpired))
    }

    fn link(number: u64) -> LinkId {
        LinkId::dialled(number)
    }

    /// Fills a report and takes what it has for told with a chunk; answers the addresses and counts.
    fn tell(reports: &mut Reports, chunk: (LinkId, u64)) -> Vec<(String, u64)> {
        let mut report = Report::default();
        let told = reports.fill(&mut report, at(9));
        reports.told(told, chunk);
        report.refusals.into_iter().map(|refusal| (refusal.address, refusal.count)).collect()
    }

    fn told(addresses: &[(&str, u64)]) -> Vec<(String, u64)> {
        addresses.iter().map(|(address, count)| ((*address).to_owned(), *count)).collect()
    }

    #[test]
    fn i4_a_refusal_is_told_again_if_its_link_ended_before_it_was_written_and_never_twice_on_one_link() {
        let mut reports = Reports::default();
        [1, 2, 1].into_iter().for_each(|number| reports.refusals.add(attempt(number), at(1)));
        assert_eq!(tell(&mut reports, (link(1), 7)), told(&[("10.0.0.1", 2), ("10.0.0.2", 1)]));
        reports.note_written(Some((link(1), 6)));
        reports.refusals.add(attempt(1), at(2));
        assert_eq!(tell(&mut reports, (link(1), 8)), told(&[("10.0.0.1", 1)]), "the rest is on its way");
        // The link ends: everything comes again, added up, before what is new.
        reports.refusals.add(attempt(3), at(3));
        reports.note_written(None);
        let all = told(&[("10.0.0.2", 1), ("10.0.0.1", 3), ("10.0.0.3", 1)]);
        assert_eq!(tell(&mut reports, (link(2), 1)), all);
        reports.note_written(Some((link(2), 1)));
        reports.note_written(None);
        assert_eq!(tell(&mut reports, (link(3), 1)), [], "it was written");
    }

    #[test]
    fn d7_refusals_from_everywhere_are_bounded_told_in_order_and_all_counted() {
        let mut reports = Reports::default();
        (0..5_000).for_each(|number| reports.refusals.add(attempt(number), at(1)));
        assert_eq!(reports.refusals.held.len(), REFUSALS_HELD_STRANGERS_MAX + 1);
        let (mut count, mut rounds) = (0, 0);
        while !reports.refusals.is_empty() {
            let some = tell(&mut reports, (link(1), rounds));
            assert!(!some.is_empty() && some.len() <= REFUSALS_PER_REPORT_MAX);
            assert!(rounds > 0 || some[0].0 == "10.0.0.0", "the first ones first: {some:?}");
            count += some.iter().map(|(_, count)| count).sum::<u64>();
            reports.note_written(Some((link(1), rounds)));
            rounds += 1;
        }
        assert_eq!(count, 5_000);
    }

    #[test]
    fn g5_who_proved_a_name_is_told_before_a_flood_of_strangers_and_with_the_name() {
        let mut reports = Reports::default();
        (0..5_000).for_each(|number| reports.refusals.add(attempt(number), at(1)));
        let name = crate::name::Name::parse("pc7.branch.example").unwrap();
        let named = Attempt { name: Some(name), address: "10.7.0.7".to_owned(), ..attempt(1) };
        reports.refusals.add(named, at(2));
        assert_eq!(tell(&mut reports, (link(1), 1))[0], ("10.7.0.7".to_owned(), 1));
        // The link ends before it was written: it is still the first.
        reports.refusals.add(attempt(6_000), at(3));
        reports.note_written(None);
        assert_eq!(tell(&mut reports, (link(2), 1))[0], ("10.7.0.7".to_owned(), 1));
    }

    #[test]
    fn d7_what_is_on_its_way_on_a_link_that_stands_still_is_bounded() {
        let mut reports = Reports::default();
        for round in 0..1_000 {
            (0..100).for_each(|number| reports.refusals.add(attempt(number), at(round)));
            tell(&mut reports, (link(1), 1_000));
        }
        assert!(reports.on_the_way.len() <= ON_THE_WAY_MAX, "{}", reports.on_the_way.len());
    }
}
