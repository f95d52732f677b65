//! The identities of a running node: the newest one, what is shown to those who connect, and those before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::code::Code;
use crate::identity::{ChainHash, Identity, Report, VerifiedPeer};
use crate::limits::{FORMER_KEYS_MAX, REVOCATION_GRACE};
use crate::node::Verdict;
use crate::time::{Instant, Timestamp};

/// When a new certificate is shown to those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Showing {
    /// At once: nobody's attestation goes on from here.
    AtOnce,
    /// When the node says so: once its upstream link stands with it (rule I5).
    WhenToldTo,
}

/// See the module's text.
pub(crate) struct Identities {
    showing: Showing,
    state: Mutex<State>,
    /// Peers that no current list tells of, and since when that is so (SECURITY H9).
    doubtful: Mutex<BTreeMap<ChainHash, Instant>>,
}

struct State {
    current: Identity,
    /// What those who connect are shown; it judges them as the current one does.
    shown: Identity,
    /// The generation that the current certificate and key came with.
    certificate_since: u64,
    /// Those with other keys before, the newest first.
    former: Vec<Identity>,
    /// When the node asks for its next certificate, where it renews by itself.
    renewal_from: Option<Timestamp>,
}

impl Identities {
    pub(crate) fn new(identity: Identity, showing: Showing) -> Self {
        let state = State {
            shown: identity.clone(),
            certificate_since: identity.generation(),
            former: Vec::new(),
            renewal_from: None,
            current: identity,
        };
        Self { showing, state: Mutex::new(state), doubtful: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest one: what is dialled with, and what everybody is judged with.
    pub(crate) fn current(&self) -> Identity {
        self.state().current.clone()
    }

    /// When the node asks for its next certificate, where it renews by itself.
    pub(crate) fn renewal_from(&self) -> Option<Timestamp> {
        self.state().renewal_from
    }

    /// Notes when the node asks for its next certificate.
    pub(crate) fn renew_from(&self, at: Timestamp) {
        self.state().renewal_from = Some(at);
    }

    /// What those who connect are shown.
    pub(crate) fn shown(&self) -> Identity {
        self.state().shown.clone()
    }

    /// The identities whose keys may vouch for the key of `newer`, the newest first; none where nobody relies on them.
    pub(crate) fn former_of(&self, newer: &Identity, at: Timestamp) -> Vec<Identity> {
        if self.showing == Showing::AtOnce {
            return Vec::new();
        }
        let state = self.state();
        let mut found: Vec<Identity> = Vec::new();
        for one in std::iter::once(&state.current).chain(&state.former) {
            let known = found.iter().any(|known| known.key_hash() == one.key_hash());
            if !known && one.key_hash() != newer.key_hash() && one.not_after() > at {
                found.push(one.clone());
            }
        }
        found.truncate(FORMER_KEYS_MAX);
        found
    }

    /// Takes a new identity, with a higher generation, into use.
    pub(crate) fn install(&self, newer: Identity, former: Vec<Identity>) {
        let mut state = self.state();
        let same_certificate = newer.shows_the_same(&state.current);
        if !same_certificate {
            state.certificate_since = newer.generation();
            state.former = former;
        }
        let is_current_shown = state.shown.shows_the_same(&state.current);
        state.shown = match self.showing {
            Showing::WhenToldTo if !same_certificate || !is_current_shown => state.shown.judging_as(&newer),
            _ => newer.clone(),
        };
        state.current = newer;
    }

    /// The upstream link stands with this generation: those who connect are shown the same certificate.
    pub(crate) fn show(&self, generation: u64) {
        let mut state = self.state();
        if generation >= state.certificate_since {
            state.shown = state.current.clone();
        }
    }

    /// Judges peers again with the newest identity. Those of whom nothing is said are as good as before.
    ///
    /// That a revocation list is late or missing is no revocation: a peer that is connected stays for a day.
    pub(crate) fn judge(&self, peers: &[Arc<VerifiedPeer>], now: Instant, at: Timestamp) -> Vec<Verdict> {
        let identity = self.current();
        let mut verdicts = Vec::new();
        for peer in peers {
            let chain = peer.chain_hash();
            let result = match identity.verify(peer.chain(), None, at) {
                Ok(again) => {
                    self.doubts().remove(&chain);
                    let proves_the_same = peer.names().iter().all(|name| again.proves(name));
                    if !proves_the_same {
                        Err(crate::error::Error::new(Code::NameMismatch).found(format!("{:?}", again.names())))
                    } else if again.not_after() == peer.not_after() {
                        continue;
                    } else {
                        Ok(Arc::new(again))
                    }
                }
                Err(report) if is_doubt(&report) => {
                    let since = *self.doubts().entry(chain).or_insert(now);
                    if now.since(since) < REVOCATION_GRACE {
                        continue;
                    }
                    Err(report.into())
                }
                Err(report) => Err(report.into()),
            };
            verdicts.push(Verdict { chain, result });
        }
        verdicts
    }

    /// Forgets the doubts about peers that are gone; answers how many stay in doubt.
    pub(crate) fn forget_doubts(&self, peers: &[Arc<VerifiedPeer>]) -> usize {
        let mut doubts = self.doubts();
        let connected: BTreeSet<ChainHash> = peers.iter().map(|peer| peer.chain_hash()).collect();
        doubts.retain(|chain, _| connected.contains(chain));
        doubts.len()
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<ChainHash, Instant>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nothing is wrong but that no current list tells of the peer.
fn is_doubt(report: &Report) -> bool {
    let of_lists = |code| matches!(code, Code::CrlMissing | Code::CrlStale | Code::CrlUnusable);
    !report.is_clean() && report.findings().iter().all(|finding| of_lists(finding.code()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::testing::{Issued, now};
    use crate::identity::{CrlPolicy, IdentityPolicy};

    const DAY: Duration = Duration::from_secs(86_400);

    fn start() -> Instant {
        Instant::from_micros(86_400_000_000)
    }

    fn peer(identity: &Identity, leaf: &Issued) -> Arc<VerifiedPeer> {
        Arc::new(identity.verify(&[leaf.der()], None, now()).unwrap())
    }

    /// Lists run out on the first of July.
    fn in_july() -> Timestamp {
        Timestamp::from_unix_seconds(now().unix_seconds() + 31 * 86_400)
    }

    #[test]
    fn h9_a_peer_without_a_current_list_stays_for_a_day_and_no_longer() {
        let root = Issued::root(|_| ());
        let (own, leaf) = (root.leaf(|_| ()), root.leaf_of("pc8.branch.example", |_| ()));
        let identity = own.identity(&root, &[&root.list(1, &[], |_| ())], IdentityPolicy::default()).unwrap();
        let peers = [peer(&identity, &leaf)];
        let identities = Identities::new(identity, Showing::AtOnce);
        let codes = |now: Instant, at: Timestamp| -> Vec<Code> {
            let verdicts = identities.judge(&peers, now, at);
            verdicts.into_iter().filter_map(|verdict| verdict.result.err()).map(|error| error.code()).collect()
        };
        assert_eq!(codes(start(), now()), []);
        assert_eq!(codes(start(), in_july()), [], "the list has run out");
        assert_eq!(identities.forget_doubts(&peers), 1);
        assert_eq!(codes(start() + DAY - Duration::from_secs(1), in_july()), []);
        assert_eq!(codes(start() + DAY, in_july()), [Code::CrlStale]);
        assert_eq!(codes(start() + DAY, now()), [], "a current list ends the doubt");
        assert_eq!(codes(start() + DAY, in_july()), [], "and the next one begins anew");
        assert_eq!(identities.forget_doubts(&[]), 0);
    }

    #[test]
    fn h9_a_stale_list_that_names_a_peer_is_no_grace_for_it() {
        let root = Issued::root(|_| ());
        let (own, leaf) = (root.leaf(|_| ()), root.leaf_of("pc8.branch.example", |_| ()));
        let before = own.identity(&root, &[&root.list(1, &[], |_| ())], IdentityPolicy::default()).unwrap();
        let peers = [peer(&before, &leaf)];
        let after = own.identity(&root, &[&root.list(2, &[&leaf], |_| ())], IdentityPolicy::default()).unwrap();
        let identities = Identities::new(before, Showing::AtOnce);
        identities.install(after.with_generation(2), Vec::new());
        for at in [now(), in_july()] {
            let verdicts = identities.judge(&peers, start(), at);
            let error = verdicts.into_iter().next().unwrap().result.unwrap_err();
            assert!(error.to_string().contains("FP1401"), "{error}");
        }
    }

    #[test]
    fn i5_a_new_certificate_is_shown_when_told_to_and_new_trust_counts_at_once() {
        let root = Issued::root(|_| ());
        let identity = |leaf: &Issued, policy| leaf.identity(&root, &[], policy).unwrap();
        let [first, second, third] = [(); 3].map(|()| root.leaf(|_| ()));
        let identities = Identities::new(identity(&first, IdentityPolicy::default()), Showing::WhenToldTo);
        let require = IdentityPolicy { crl_policy: CrlPolicy::Warn, ..IdentityPolicy::default() };
        let shown = || {
            let shown = identities.shown();
            (shown.key_hash(), shown.policy().crl_policy, shown.generation())
        };
        let (one, two, three) = (
            identity(&first, require).key_hash(),
            identity(&second, require),
            identity(&third, IdentityPolicy::default()),
        );
        identities.install(identity(&first, require).with_generation(2), Vec::new());
        assert_eq!(shown(), (one, CrlPolicy::Warn, 2), "the same certificate");
        let former = identities.former_of(&two, now());
        identities.install(two.clone().with_generation(3), former);
        assert_eq!(shown(), (one, CrlPolicy::Warn, 3), "the former certificate with the newest judgement");
        identities.show(2);
        assert_eq!(shown().0, one, "the link stands with the former one");
        let former: Vec<_> = identities.former_of(&three, now()).iter().map(Identity::key_hash).collect();
        assert_eq!(former, [two.key_hash(), one]);
        identities.show(3);
        assert_eq!(shown(), (two.key_hash(), CrlPolicy::Warn, 3));
        identities.install(three.clone().with_generation(4), identities.former_of(&three, now()));
        assert_eq!(shown(), (two.key_hash(), CrlPolicy::IfGiven, 4));
        let back: Vec<_> = identities.former_of(&two, now()).iter().map(Identity::key_hash).collect();
        assert_eq!(back, [three.key_hash(), one], "a key that comes back does not vouch for itself");
    }
}
