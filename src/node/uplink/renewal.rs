//! Renewing the link in use (rule I5): a new certificate of this node, or the end of the upstream's.
//!
//! The new link goes to the same upstream and takes the place of the one in use as in a failback: it is accepted first,
//! then the owner falls quiet, then it moves, so that nothing comes twice (rule D5). If the upstream does not take the
//! new certificate, the old link stays and the node tries again later. Routing hears nothing of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Dialled, Uplink, UplinkOutput};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::identity::VerifiedPeer;
use crate::limits::{RENEW_BACKOFF, RENEW_BEFORE_MAX, RENEW_WITHIN};
use crate::node::{IdentityChange, LinkId, Shown, Verdict};
use crate::routing::{Backoff, Dice, Purpose};
use crate::time::{Instant, Timestamp};

/// What the uplink knows of the renewal of its link.
#[derive(Debug)]
pub(super) struct Renewal {
    dice: Dice,
    backoff: Backoff,
    /// The link in use is to be one on which an identity of at least this generation was shown.
    wanted: u64,
    /// When to dial.
    due: Option<Instant>,
    /// The link that is to take over.
    link: Option<LinkId>,
    /// When to look for a new certificate of the upstream, for which link.
    upstream_ends: Option<(LinkId, Timestamp)>,
}

impl Renewal {
    pub(super) fn new(seed: u64) -> Self {
        // Another sequence of numbers than routing's, which has the same seed.
        let dice = Dice::new(seed.rotate_left(32) ^ 0x7265_6e65_7761_6c21);
        Self { dice, backoff: Backoff::new(RENEW_BACKOFF), wanted: 0, due: None, link: None, upstream_ends: None }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_link(&self, id: LinkId) -> bool {
        self.link == Some(id)
    }
}

impl Uplink {
    /// This node has a new identity, which dials use from now on. A node without a link tries everybody at once: an
    /// upstream that refused the one before may take this one.
    pub(crate) fn handle_change(&mut self, change: &IdentityChange, now: Instant) {
        // A link that is on its way may have been dialled a moment before.
        self.give_renewal_up();
        if self.current.is_none() {
            self.search_anew(now);
        }
        if change.certificate.is_some() {
            self.renewal.wanted = self.renewal.wanted.max(change.generation);
            self.renewal.backoff.reset();
        }
        self.begin_renewal_anew(now);
        self.act(now);
    }

    fn search_anew(&mut self, now: Instant) {
        while let Some(dialled) = self.dialled.first() {
            let id = dialled.id;
            self.forget(id);
        }
        self.routing.replace(self.upstreams.len(), None, now);
    }

    /// What this node showed on the link in use.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.in_use()?.shown
    }

    /// Every peer at the other end of a link of this node.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<VerifiedPeer>> {
        self.dialled.iter().filter_map(|dialled| dialled.link.as_ref()).map(|(_, peer)| peer)
    }

    /// A peer that is no longer good is left.
    pub(crate) fn handle_verdict(&mut self, verdict: &Verdict, now: Instant) {
        let mut lost = Vec::new();
        for dialled in &mut self.dialled {
            let Some((_, peer)) = dialled.link.as_mut().filter(|(_, peer)| peer.chain_hash() == verdict.chain) else {
                continue;
            };
            match &verdict.result {
                Ok(again) => *peer = again.clone(),
                Err(error) => lost.push((dialled.id, error.clone())),
            }
        }
        for (id, error) in lost {
            self.lose(id, error, true, now);
        }
        self.act(now);
    }

    /// An upstream whose certificate has ended is left; before that its new one is looked for.
    pub(crate) fn handle_wall(&mut self, wall: Timestamp, now: Instant) {
        let ended = |dialled: &Dialled| dialled.link.as_ref().is_some_and(|(_, peer)| peer.not_after() < wall);
        let ended: Vec<LinkId> =
            self.dialled.iter().filter(|dialled| ended(dialled)).map(|dialled| dialled.id).collect();
        for id in ended {
            self.lose(id, Error::new(Code::CertificateExpired), true, now);
        }
        self.plan_for_the_upstreams_end(wall, now);
        self.act(now);
    }

    fn plan_for_the_upstreams_end(&mut self, wall: Timestamp, now: Instant) {
        let in_use = self.in_use().and_then(|dialled| Some((dialled.id, dialled.link.as_ref()?.1.not_after())));
        let Some((id, not_after)) = in_use else { return };
        let planned = self.renewal.upstream_ends.filter(|(planned, _)| *planned == id).map(|(_, at)| at);
        if planned.is_some_and(|at| wall < at) {
            return;
        }
        let mut next = look_at(not_after, wall, &mut self.renewal.dice);
        if planned.is_some() {
            next = next.max(later(wall, LOOK_AGAIN_MIN));
            if self.renewal.link.is_none() {
                self.renewal.due.get_or_insert(now);
            }
        }
        self.renewal.upstream_ends = Some((id, next));
    }

    /// Whether the link in use shows an older certificate of this node than it should.
    fn is_outdated(&self) -> bool {
        self.shown().is_some_and(|shown| shown.generation < self.renewal.wanted)
    }

    /// Plans the dial, if the link in use is not what it should be.
    pub(super) fn begin_renewal_anew(&mut self, now: Instant) {
        self.renewal.link = None;
        // Not at once: the upstream is told of a gateway's next key on the link in use (rule G1).
        let wait = |dice: &mut Dice| dice.between(RENEW_WITHIN / 4, RENEW_WITHIN);
        self.renewal.due = self.is_outdated().then(|| now + wait(&mut self.renewal.dice));
    }

    pub(super) fn renew_if_due(&mut self, now: Instant) {
        if self.renewal.due.is_none_or(|due| now < due) {
            return;
        }
        self.renewal.due = None;
        let Some(upstream) = self.upstream().cloned() else { return };
        if self.moving_to.is_some() {
            // It moves for another reason; if that comes to nothing, this is looked at again.
            self.renewal.due = Some(now + MOVES_WITHIN);
            return;
        }
        self.renewal.link = Some(self.dial_to(upstream, Purpose::Use, true));
    }

    /// Whether the link at `at` was dialled to meet a new certificate of the upstream, and met the old one.
    pub(super) fn brings_nothing_new(&self, at: usize, peer: &VerifiedPeer) -> bool {
        let known = self.in_use().and_then(|dialled| dialled.link.as_ref()).map(|(_, peer)| peer.not_after());
        let renews = self.dialled.get(at).is_some_and(|dialled| dialled.renews);
        renews && !self.is_outdated() && known.is_some_and(|known| peer.not_after() <= known)
    }

    /// The upstream still shows its old certificate: it is looked at again later.
    pub(super) fn put_renewal_off(&mut self, id: LinkId, now: Instant) {
        self.forget(id);
        self.begin_renewal_anew(now);
    }

    /// The old link stays (rule I5).
    pub(super) fn handle_renewal_failed(&mut self, dialled: &Dialled, error: &Error, now: Instant) {
        if !self.renewal.is_link(dialled.id) {
            return;
        }
        self.renewal.link = None;
        if !self.is_outdated() {
            return;
        }
        let wait = self.renewal.backoff.next(&mut self.renewal.dice);
        self.renewal.due = Some(now + wait);
        let text = format!("{}; again in {} s", Event::of_error("", error).without_time(), wait.as_secs());
        let event = Event::new(Code::IdentityNotTaken, dialled.upstream.to_string(), text);
        self.output.push_back(UplinkOutput::Event(event));
    }

    /// The node took another link into use: what was planned for the one before is void.
    pub(super) fn end_renewal(&mut self, now: Instant) {
        if let Some(link) = self.renewal.link.take().filter(|link| self.current != Some(*link)) {
            self.forget(link);
        }
        self.begin_renewal_anew(now);
        if let Some(dialled) = self.dialled.iter_mut().find(|dialled| Some(dialled.id) == self.current) {
            dialled.renews = false;
        }
    }

    /// What this node was to move to, where its new certificate would have been shown, came to nothing: the link in use
    /// is renewed.
    pub(super) fn renew_after_all(&mut self, now: Instant) {
        if self.moving_to.is_none() && self.renewal.link.is_none() && self.renewal.due.is_none() {
            self.begin_renewal_anew(now);
        }
    }

    /// There is nothing to renew, or something better to move to.
    pub(super) fn give_renewal_up(&mut self) {
        self.renewal.due = None;
        if let Some(link) = self.renewal.link.take() {
            self.moving_to.take_if(|next| *next == link);
            self.forget(link);
        }
    }

    pub(super) fn give_renewal_up_unless(&mut self, id: LinkId) {
        if !self.renewal.is_link(id) {
            self.give_renewal_up();
        }
    }
}

/// When to look for the next certificate of an upstream: at random in the last tenth of what is left, or in the last
/// hour where that is less, but not in the very end of it.
fn look_at(not_after: Timestamp, wall: Timestamp, dice: &mut Dice) -> Timestamp {
    let left = Duration::from_millis(u64::try_from(not_after.unix_millis() - wall.unix_millis()).unwrap_or(0));
    let window = (left / 10).min(RENEW_BEFORE_MAX);
    let before = dice.between((window / 10).max(LOOK_BEFORE_MIN), window);
    later(wall, left.saturating_sub(before))
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_unix_millis(at.unix_millis().saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// The wall clock is told about once a second, and a handshake takes its time too.
const LOOK_BEFORE_MIN: Duration = Duration::from_secs(2);
/// An upstream that still shows the old certificate is not looked at again sooner.
const LOOK_AGAIN_MIN: Duration = Duration::from_secs(1);
/// How long another move may take before the renewal is looked at again.
const MOVES_WITHIN: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstreams_next_certificate_is_looked_for_in_the_last_tenth_and_at_most_an_hour_before_the_end() {
        let (mut dice, wall) = (Dice::new(7), Timestamp::from_unix_seconds(1_800_000_000));
        let ten_seconds = Timestamp::from_unix_seconds(wall.unix_seconds() + 10);
        assert_eq!(
            look_at(ten_seconds, wall, &mut dice),
            later(wall, Duration::from_secs(8)),
            "not in the last second"
        );
        for left in [600, 36_000, 90 * 86_400] {
            let end = Timestamp::from_unix_seconds(wall.unix_seconds() + left);
            let window = (left * 1000 / 10).min(3_600_000);
            let before: Vec<i64> =
                (0..1_000).map(|_| end.unix_millis() - look_at(end, wall, &mut dice).unix_millis()).collect();
            let (first, last) = (before.iter().max().unwrap(), before.iter().min().unwrap());
            let least = (window / 10).max(2_000);
            assert!(*first <= window && *last >= least, "{left} s: {first} to {last} ms before");
            assert!(*first - *last > window * 8 / 10, "{left} s: spread over {} ms", first - last);
        }
        assert_eq!(look_at(wall, wall, &mut dice), wall, "over");
    }
}
