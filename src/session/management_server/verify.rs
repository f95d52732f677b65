//! The threads that check attestations (rule I6): fair between links, and behind everything else that wants the CPU.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::succession::{self, Succession};
use crate::identity::{ChainHash, Identity, KeyHash, Trust, VerifiedPeer, attestation};
use crate::limits::{CHECKS_PER_LINK_MAX, VERIFIED_CHAINS_MAX};
use crate::name::Name;
use crate::node::management_server::{Chain, Input, ManagementServer as Node, Subject};
use crate::node::{IdentityInput, LinkId};
use crate::session::clock;
use crate::session::driver::{IdentityCell, Mailbox};
use crate::time::Timestamp;

/// What there is to check.
pub(super) enum Verification {
    Agent(Attestation),
    /// Whether a gateway's former key vouches for its new one (rule I5).
    Succession {
        subject: Subject,
        name: Name,
        group: String,
        shown: Succession,
    },
}

/// An attestation to check: a claim for each key that its gateway speaks for, the likeliest first.
pub(super) struct Attestation {
    pub(super) channel: u64,
    pub(super) agent: Name,
    pub(super) chain: Chain,
    pub(super) claims: Vec<(KeyHash, Vec<u8>)>,
    pub(super) scheme: u16,
    pub(super) signature: Bytes,
}

/// Where checks are ordered; the threads end when it is dropped.
pub(super) struct Verifiers {
    desk: Arc<Desk>,
    mailbox: Mailbox<Node>,
}

impl Verifiers {
    /// Starts the threads: one fewer than there are cores, since the loop and TLS want one.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] if the system gives no thread.
    pub(super) fn start(mailbox: &Mailbox<Node>, identities: &IdentityCell) -> Result<Self> {
        let verifiers = Self { desk: Arc::default(), mailbox: mailbox.clone() };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for index in 0..cores.saturating_sub(1).max(1) {
            let (desk, mailbox, identities) = (verifiers.desk.clone(), mailbox.clone(), identities.clone());
            let work = move || {
                // Data, heartbeats and handshakes go first; where the system does not allow it, they share.
                let _ = rustix::process::nice(NICE);
                let mut answers = Answers::default();
                while let Some(verification) = desk.next() {
                    answers.add(verification.answer(&identities, &desk.chains));
                    if answers.are_due() || !desk.has_more() {
                        answers.post(&identities, &mailbox);
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("farpost-verify-{index}")).spawn(work);
            thread.map_err(|error| Error::new(Code::Internal).subject("a thread").found(error.to_string()))?;
        }
        Ok(verifiers)
    }

    /// Orders a check; its answer is posted to the node.
    pub(super) fn order(&self, link: LinkId, verification: Verification) {
        if let Err(verification) = self.desk.turns().push(link, verification) {
            let found = format!("{CHECKS_PER_LINK_MAX} attestations of this link that wait to be checked");
            return self.mailbox.post(verification.refused(Error::new(Code::TooManyConnections).found(found)));
        }
        self.desk.ordered.notify_one();
    }
}

impl Drop for Verifiers {
    fn drop(&mut self) {
        self.desk.turns().closed = true;
        self.desk.ordered.notify_all();
    }
}

/// What the threads share.
#[derive(Default)]
struct Desk {
    turns: Mutex<Turns<Verification>>,
    ordered: Condvar,
    chains: VerifiedChains,
}

impl Desk {
    fn turns(&self) -> MutexGuard<'_, Turns<Verification>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check waits.
    fn has_more(&self) -> bool {
        !self.turns().order.is_empty()
    }

    /// The next check; none when the node has ended.
    fn next(&self) -> Option<Verification> {
        let mut turns = self.turns();
        loop {
            if turns.closed {
                return None;
            }
            if let Some(next) = turns.pop() {
                return Some(next);
            }
            turns = self.ordered.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What waits, by link: each has its turn, so that a gateway that shows 40,000 forged attestations delays its own agents
/// only (rule D7).
struct Turns<T> {
    links: HashMap<LinkId, VecDeque<T>>,
    /// The links that have something waiting, the next one first.
    order: VecDeque<LinkId>,
    closed: bool,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { links: HashMap::new(), order: VecDeque::new(), closed: false }
    }
}

impl<T> Turns<T> {
    /// Gives it back if the link has too much waiting.
    fn push(&mut self, link: LinkId, item: T) -> Result<(), T> {
        let waiting = self.links.entry(link).or_default();
        if waiting.len() >= CHECKS_PER_LINK_MAX {
            return Err(item);
        }
        if waiting.is_empty() {
            self.order.push_back(link);
        }
        waiting.push_back(item);
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        let link = self.order.pop_front()?;
        let waiting = self.links.get_mut(&link)?;
        let item = waiting.pop_front();
        if waiting.is_empty() {
            self.links.remove(&link);
        } else {
            self.order.push_back(link);
        }
        item
    }
}

/// Which chains were found good with the trust in use in this minute. A verdict is never kept by the certificate alone
/// (SECURITY 21): another snapshot of the identity, and the next minute, begin with none.
#[derive(Default)]
struct VerifiedChains(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Held, so that no other snapshot can be taken for it.
    trust: Option<Arc<Trust>>,
    minute: i64,
    peers: HashMap<ChainHash, Arc<VerifiedPeer>>,
}

impl VerifiedChains {
    /// The verdict on a chain, which `verify` finds if it is not known.
    fn get_or_verify(
        &self,
        hash: ChainHash,
        identity: &Identity,
        at: Timestamp,
        verify: impl FnOnce() -> Result<VerifiedPeer>,
    ) -> Result<Arc<VerifiedPeer>> {
        if let Some(peer) = self.at(identity, at).peers.get(&hash) {
            return Ok(peer.clone());
        }
        let peer = Arc::new(verify()?);
        let mut kept = self.at(identity, at);
        if kept.peers.len() < VERIFIED_CHAINS_MAX {
            kept.peers.insert(hash, peer.clone());
        }
        Ok(peer)
    }

    /// What is known with this trust and in this minute.
    fn at(&self, identity: &Identity, at: Timestamp) -> MutexGuard<'_, Kept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = at.unix_seconds().div_euclid(60);
        let same = kept.trust.as_ref().is_some_and(|trust| Arc::ptr_eq(trust, identity.trust()));
        if !same || kept.minute != minute {
            *kept = Kept { trust: Some(identity.trust().clone()), minute, peers: HashMap::new() };
        }
        kept
    }
}

/// What the node is told of one check.
struct Answer {
    input: Input,
    peer: Option<Arc<VerifiedPeer>>,
    /// The identity's with which it was judged.
    generation: u64,
}

/// Answers of one thread that go to the node together: it is woken once for them, and asks the store about all of them
/// at once.
#[derive(Default)]
struct Answers {
    answers: Vec<Answer>,
    first: Option<Instant>,
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        self.first.get_or_insert_with(Instant::now);
        self.answers.push(answer);
    }

    fn are_due(&self) -> bool {
        self.answers.len() >= ANSWERS_MAX || self.first.is_some_and(|first| first.elapsed() >= ANSWERS_WITHIN)
    }

    /// Tells the node. If the identity was reloaded meanwhile, the reload may have asked the node for its peers before it
    /// heard of these: then they are judged again.
    fn post(&mut self, identities: &IdentityCell, mailbox: &Mailbox<Node>) {
        self.first = None;
        let (mut inputs, mut judged) = (Vec::with_capacity(self.answers.len()), Vec::new());
        for Answer { input, peer, generation } in self.answers.drain(..) {
            inputs.push(input);
            judged.extend(peer.map(|peer| (peer, generation)));
        }
        mailbox.post_all(inputs);
        let current = identities.current().generation();
        judged.retain(|(_, generation)| current > *generation);
        if !judged.is_empty() {
            let peers: Vec<Arc<VerifiedPeer>> = judged.into_iter().map(|(peer, _)| peer).collect();
            let verdicts = identities.judge(&peers, clock::now(), clock::validity());
            mailbox.post(Input::Identity(IdentityInput::Judged(verdicts)));
        }
    }
}

impl Verification {
    fn answer(self, identities: &IdentityCell, chains: &VerifiedChains) -> Answer {
        let identity = identities.current();
        let refused = self.refusal();
        // What a parser of other people's bytes makes of them costs this agent, and no thread.
        let checked = catch_unwind(AssertUnwindSafe(|| self.check(&identity, chains, clock::validity())));
        let fault = || Error::new(Code::Internal).subject("the check of an attestation").found("a panic");
        let (input, peer) = checked.unwrap_or_else(|_| (refused(fault()), None));
        Answer { input, peer, generation: identity.generation() }
    }

    fn check(self, identity: &Identity, chains: &VerifiedChains, at: Timestamp) -> (Input, Option<Arc<VerifiedPeer>>) {
        match self {
            Self::Agent(attestation) => {
                let channel = attestation.channel;
                let result = attestation.check(identity, chains, at);
                let peer = result.as_ref().map(|(peer, _)| peer.clone()).ok();
                (Input::AgentVerified { channel, result }, peer)
            }
            Self::Succession { subject, name, group, shown } => {
                let chain = ChainHash::of(&shown.chain);
                let result = succession::verify(identity, &shown, &name, &group, at).map(Arc::new);
                let peer = result.as_ref().map(Arc::clone).ok();
                (Input::SuccessionVerified { subject, chain, result }, peer)
            }
        }
    }

    /// The answer that it was not checked.
    fn refused(&self, error: Error) -> Input {
        self.refusal()(error)
    }

    fn refusal(&self) -> impl FnOnce(Error) -> Input + use<> {
        let (channel, of_gateway) = match self {
            Self::Agent(attestation) => (attestation.channel, None),
            Self::Succession { subject, shown, .. } => (0, Some((*subject, ChainHash::of(&shown.chain)))),
        };
        move |error| match of_gateway {
            None => Input::AgentVerified { channel, result: Err(error) },
            Some((subject, chain)) => Input::SuccessionVerified { subject, chain, result: Err(error) },
        }
    }
}

impl Attestation {
    /// Who the agent is, and for which of the gateway's keys it signed.
    fn check(
        self,
        identity: &Identity,
        chains: &VerifiedChains,
        at: Timestamp,
    ) -> Result<(Arc<VerifiedPeer>, KeyHash)> {
        let peer = match &self.chain {
            Chain::Verified(peer) => chains.get_or_verify(peer.chain_hash(), identity, at, || {
                Ok(identity.verify(peer.chain(), Some(&self.agent), at)?)
            }),
            Chain::Der(certificates) => chains.get_or_verify(ChainHash::of(certificates), identity, at, || {
                let chain: Vec<CertificateDer<'_>> =
                    certificates.iter().map(|der| CertificateDer::from(&der[..])).collect();
                Ok(identity.verify(&chain, Some(&self.agent), at)?)
            }),
        }?;
        if !peer.proves(&self.agent) {
            return Err(Error::new(Code::NameMismatch)
                .found(format!("{:?}", peer.names()))
                .expected(self.agent.to_string()));
        }
        if peer.not_after() < at {
            return Err(Error::new(Code::CertificateExpired).found(format!("until {}", peer.not_after())));
        }
        let mut result = Err(Error::new(Code::AttestationInvalid).found("no claim"));
        for (key, claim) in &self.claims {
            result = attestation::verify(&peer, self.scheme, claim, &self.signature).map(|()| *key);
            if result.is_ok() {
                break;
            }
        }
        result.map(|key| (peer, key))
    }
}

/// How far the threads stand back behind the rest of the process.
const NICE: i32 = 10;
/// How many answers go to the node together, half a turn; and how long the first of them waits for others, about as long
/// as so many checks take.
const ANSWERS_MAX: usize = 16;
const ANSWERS_WITHIN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
