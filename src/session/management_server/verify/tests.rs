//! Turns between links, and how long a verdict is believed.

use super::*;
use crate::identity::testing::{Issued, name, now};
use crate::identity::{Claim, IdentityPolicy, KeyHash};
use crate::message::Epoch;
use crate::role::Role;

#[test]
fn d7_a_link_with_all_its_checks_waiting_delays_another_links_by_one() {
    let (hostile, honest) = (LinkId::accepted(1), LinkId::accepted(2));
    let mut turns = Turns::default();
    assert!((0..CHECKS_PER_LINK_MAX).all(|_| turns.push(hostile, hostile).is_ok()));
    assert!(turns.push(hostile, hostile).is_err(), "more than one link may have waiting");
    assert!((0..3).all(|_| turns.push(honest, honest).is_ok()));
    let first: Vec<LinkId> = (0..8).filter_map(|_| turns.pop()).collect();
    assert_eq!(first, [hostile, honest, hostile, honest, hostile, honest, hostile, hostile]);
    assert!(turns.push(hostile, hostile).is_ok());
    assert_eq!(std::iter::from_fn(|| turns.pop()).count(), CHECKS_PER_LINK_MAX - 4);
    assert!(turns.links.is_empty() && turns.order.is_empty());
}

/// An agent, and what it takes to check an attestation of it.
struct Lab {
    root: Issued,
    agent: Identity,
}

impl Lab {
    fn new() -> Self {
        let root = Issued::root(|_| {});
        let agent = root.leaf(|_| {}).identity(&root, &[], IdentityPolicy::default()).unwrap();
        Self { root, agent }
    }

    /// A server's identity under the same root, with these lists.
    fn server(&self, lists: &[&str]) -> Identity {
        self.root.leaf_of("ms1.corp.example", |_| {}).identity(&self.root, lists, IdentityPolicy::default()).unwrap()
    }

    fn attestation(&self) -> Attestation {
        let agent = name();
        let (challenge, gateway_key) = ([1; 32], KeyHash([2; 32]));
        let claim = Claim {
            role: Role::Agent,
            group: "CORP",
            challenge: &challenge,
            gateway_key,
            name: &agent,
            epoch: Epoch(1),
            boot: 1,
            nonce: 1,
            connection: 1,
        };
        let claims = vec![(gateway_key, claim.to_be_signed())];
        let (scheme, signature) = attestation::sign(&self.agent, &claims[0].1).unwrap();
        let chain = Chain::Der(self.agent.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect());
        Attestation { channel: 1, agent, chain, claims, scheme, signature }
    }

    fn run(&self, server: &Identity, chains: &VerifiedChains, at: Timestamp) -> Result<Arc<VerifiedPeer>> {
        self.attestation().check(server, chains, at).map(|(peer, _)| peer)
    }
}

fn seconds_later(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(at.unix_seconds() + seconds)
}

#[test]
fn i6_a_verdict_is_believed_for_the_same_trust_in_the_same_minute_only() {
    let lab = Lab::new();
    let (chains, server, at) = (VerifiedChains::default(), lab.server(&[]), now());
    let first = lab.run(&server, &chains, at).unwrap();
    assert!(Arc::ptr_eq(&first, &lab.run(&server, &chains, seconds_later(at, 59)).unwrap()));
    assert!(!Arc::ptr_eq(&first, &lab.run(&server, &chains, seconds_later(at, 60)).unwrap()));
    let again = lab.run(&server, &chains, at).unwrap();
    // Another snapshot, be it of the same files.
    assert!(!Arc::ptr_eq(&again, &lab.run(&lab.server(&[]), &chains, at).unwrap()));
}

#[test]
fn i5_i6_a_chain_that_was_good_before_is_refused_by_a_new_list_other_trust_and_after_its_end() {
    let lab = Lab::new();
    let (chains, at) = (VerifiedChains::default(), now());
    let good = lab.run(&lab.server(&[]), &chains, at).unwrap();

    let leaf = lab.root.leaf(|_| {});
    let revoked = Lab { agent: leaf.identity(&lab.root, &[], IdentityPolicy::default()).unwrap(), root: lab.root };
    revoked.run(&revoked.server(&[]), &chains, at).unwrap();
    let list = revoked.root.list(1, &[&leaf], |_| {});
    let error = revoked.run(&revoked.server(&[&list]), &chains, at).unwrap_err();
    assert_eq!(error.code(), Code::CertificateRevoked);

    // The chain of a channel that stands is asked about again as well.
    let stranger = Lab::new();
    let standing = Attestation { chain: Chain::Verified(good), ..revoked.attestation() };
    let error = standing.check(&stranger.server(&[]), &chains, at).unwrap_err();
    assert_eq!(error.code(), Code::SignatureInvalid);
    let end = revoked.agent.not_after();
    let error = revoked.run(&revoked.server(&[]), &chains, seconds_later(end, 1)).unwrap_err();
    assert_eq!(error.code(), Code::CertificateExpired);
}

#[test]
fn what_is_kept_of_verdicts_is_bounded_and_forged_chains_take_nothing_of_it() {
    let lab = Lab::new();
    let (chains, server) = (VerifiedChains::default(), lab.server(&[]));
    let forged = Chain::Der(Lab::new().agent.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect());
    let forged = Attestation { chain: forged, ..lab.attestation() };
    assert!(forged.check(&server, &chains, now()).is_err());
    assert_eq!(chains.at(&server, now()).peers.len(), 0);

    let peer = lab.run(&server, &chains, now()).unwrap();
    let fill = |number: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        ChainHash(hash)
    };
    chains.at(&server, now()).peers.extend((0..VERIFIED_CHAINS_MAX).map(|number| (fill(number), peer.clone())));
    let other = lab.root.leaf(|_| {}).identity(&lab.root, &[], IdentityPolicy::default()).unwrap();
    Lab { root: lab.root, agent: other }.run(&server, &chains, now()).unwrap();
    assert_eq!(chains.at(&server, now()).peers.len(), VERIFIED_CHAINS_MAX + 1);
}
