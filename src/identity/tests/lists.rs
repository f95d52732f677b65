//! Revocation: the newest list counts, and none, a stale one or a foreign one is never "not revoked".

use rcgen::{KeyUsagePurpose, date_time_ymd};

use super::codes;
use crate::code::Code;
use crate::identity::testing::{Issued, now};
use crate::identity::{CrlPolicy, IdentityPolicy, verify_peer};
use crate::time::Timestamp;

fn judge(root: &Issued, chain: &[&Issued], lists: &[&str], crl_policy: CrlPolicy) -> Vec<Code> {
    let chain: Vec<_> = chain.iter().map(|one| one.der()).collect();
    let policy = IdentityPolicy { crl_policy, ..IdentityPolicy::default() };
    let trust = match root.trust(lists) {
        Ok(trust) => trust,
        Err(report) => return codes(&report),
    };
    let mut found =
        verify_peer(&trust, &policy, &chain, None, now()).map_or_else(|report| codes(&report), |_| Vec::new());
    // Two issuers without a list are two findings with one code.
    found.dedup();
    found
}

#[test]
fn the_newest_list_wins_in_both_orders_by_number_then_by_start() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let older = root.list(255, &[], |_| {});
    let newer = root.list(256, &[&leaf], |_| {});
    for lists in [[&older, &newer], [&newer, &older]] {
        let lists = lists.map(String::as_str);
        assert_eq!(judge(&root, &[&leaf], &lists, CrlPolicy::IfGiven), [Code::CertificateRevoked]);
    }
    let earlier = root.list(9, &[], |params| params.this_update = date_time_ymd(2026, 4, 1));
    let later = root.list(9, &[&leaf], |params| params.this_update = date_time_ymd(2026, 5, 20));
    for lists in [[&earlier, &later], [&later, &earlier]] {
        let lists = lists.map(String::as_str);
        assert_eq!(judge(&root, &[&leaf], &lists, CrlPolicy::IfGiven), [Code::CertificateRevoked]);
    }
}

#[test]
fn a_revoked_leaf_and_a_revoked_intermediate_are_refused_under_every_policy() {
    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |_| {});
    let leaf = issuing.leaf(|_| {});
    let chain = [&leaf, &issuing];
    let (clean_root, clean_issuing) = (root.list(1, &[], |_| {}), issuing.list(1, &[], |_| {}));
    let (bad_root, bad_issuing) = (root.list(1, &[&issuing], |_| {}), issuing.list(1, &[&leaf], |_| {}));
    for policy in [CrlPolicy::IfGiven, CrlPolicy::Require, CrlPolicy::Warn] {
        assert_eq!(judge(&root, &chain, &[&clean_root, &clean_issuing], policy), []);
        assert_eq!(
            judge(&root, &chain, &[&clean_root, &bad_issuing], policy),
            [Code::CertificateRevoked],
            "{policy:?}"
        );
        assert_eq!(
            judge(&root, &chain, &[&bad_root, &clean_issuing], policy),
            [Code::CertificateRevoked],
            "{policy:?}"
        );
    }
}

#[test]
fn a_missing_stale_or_future_list_means_what_the_policy_says() {
    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |_| {});
    let leaf = issuing.leaf(|_| {});
    let chain = [&leaf, &issuing];
    let good = root.list(1, &[], |_| {});
    let stale = issuing.list(1, &[], |params| params.next_update = date_time_ymd(2026, 5, 20));
    let future = issuing.list(1, &[], |params| params.this_update = date_time_ymd(2026, 6, 20));
    let strict = [CrlPolicy::IfGiven, CrlPolicy::Require];
    for policy in strict {
        assert_eq!(judge(&root, &chain, &[&good], policy), [Code::CrlMissing]);
        assert_eq!(judge(&root, &chain, &[&good, &stale], policy), [Code::CrlStale]);
        assert_eq!(judge(&root, &chain, &[&good, &future], policy), [Code::CrlUnusable]);
        assert_eq!(judge(&root, &chain, &[&future], policy), [Code::CrlUnusable, Code::CrlMissing]);
    }
    assert_eq!(judge(&root, &chain, &[], CrlPolicy::IfGiven), []);
    assert_eq!(judge(&root, &chain, &[], CrlPolicy::Require), [Code::CrlMissing]);
    for lists in [vec![], vec![&good], vec![&good, &stale], vec![&good, &future]] {
        let texts: Vec<&str> = lists.iter().map(|list| list.as_str()).collect();
        assert_eq!(judge(&root, &chain, &texts, CrlPolicy::Warn), []);
        let policy = IdentityPolicy { crl_policy: CrlPolicy::Warn, ..IdentityPolicy::default() };
        let trust = root.trust(&texts).unwrap();
        let peer = verify_peer(&trust, &policy, &[leaf.der(), issuing.der()], None, now()).unwrap();
        assert!(!peer.warnings().is_empty(), "{lists:?}");
    }
}

#[test]
fn a_list_that_its_issuer_did_not_sign_or_may_not_sign_is_not_believed() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let forged = Issued::root(|_| {}).list(9, &[], |_| {});
    assert_eq!(judge(&root, &[&leaf], &[&forged], CrlPolicy::IfGiven), [Code::CrlUnusable]);

    let mute = Issued::root(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let list = {
        // rcgen refuses to sign a list without cRLSign: the same key under fuller parameters signs it.
        let mut params = mute.params.clone();
        params.key_usages.push(KeyUsagePurpose::CrlSign);
        let key = rcgen::KeyPair::from_pem(&mute.key_pem()).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Issued { params, key, certificate }.list(1, &[], |_| {})
    };
    assert_eq!(judge(&mute, &[&mute.leaf(|_| {})], &[&list], CrlPolicy::IfGiven), [Code::CrlUnusable]);
    assert_eq!(judge(&mute, &[&mute.leaf(|_| {})], &[], CrlPolicy::IfGiven), []);
}

#[test]
fn a_damaged_list_is_a_fault_and_not_an_empty_one() {
    let root = Issued::root(|_| {});
    let good = root.list(1, &[], |_| {});
    for bad in ["", "garbage", &good[..good.len() / 2], "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        assert!(root.trust(&[&good, bad]).unwrap_err().has(Code::CrlUnusable), "{bad}");
    }
}

#[test]
fn a_verdict_under_one_trust_says_nothing_under_another() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    assert_eq!(judge(&root, &[&leaf], &[&root.list(1, &[], |_| {})], CrlPolicy::IfGiven), []);
    assert_eq!(
        judge(&root, &[&leaf], &[&root.list(2, &[&leaf], |_| {})], CrlPolicy::IfGiven),
        [Code::CertificateRevoked]
    );
}

#[test]
fn h9_a_reload_never_steps_back_behind_a_list_that_is_in_use() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let with = |lists: &[&str]| leaf.identity(&root, lists, IdentityPolicy::default()).unwrap();
    let (first, second) = (root.list(1, &[], |_| {}), root.list(2, &[], |_| {}));
    with(&[&second]).check_succession(&with(&[&first])).unwrap();
    with(&[&second]).check_succession(&with(&[&second])).unwrap();
    with(&[&first]).check_succession(&with(&[])).unwrap();
    assert_eq!(codes(&with(&[&first]).check_succession(&with(&[&second])).unwrap_err()), [Code::CrlUnusable]);
}

#[test]
fn a_list_whose_signature_was_checked_before_still_refuses_everything_it_refused() {
    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |_| {});
    let (good, bad) = (issuing.leaf(|_| {}), issuing.leaf(|_| {}));
    let earlier = root.list(1, &[], |params| params.this_update = date_time_ymd(2026, 4, 1));
    let lists = [earlier, issuing.list(1, &[&bad], |_| {})];
    let trust = root.trust(&[&lists[0], &lists[1]]).unwrap();
    let policy = IdentityPolicy::default();
    let judge = |leaf: &Issued, issuer: &Issued, at| {
        verify_peer(&trust, &policy, &[leaf.der(), issuer.der()], None, at).map_err(|report| codes(&report)).map(|_| ())
    };
    for _ in 0..3 {
        judge(&good, &issuing, now()).unwrap();
        assert_eq!(judge(&bad, &issuing, now()).unwrap_err(), [Code::CertificateRevoked]);
        // An issuer with the same name and another key: the list is not its list.
        let twin = root.intermediate("issuing", |_| {});
        assert_eq!(judge(&twin.leaf(|_| {}), &twin, now()).unwrap_err(), [Code::CrlUnusable]);
        let after = Timestamp::from_unix_seconds(date_time_ymd(2026, 7, 1).unix_timestamp());
        assert_eq!(judge(&good, &issuing, after).unwrap_err()[0], Code::CrlStale);
        let before = Timestamp::from_unix_seconds(date_time_ymd(2026, 4, 15).unix_timestamp());
        assert_eq!(judge(&good, &issuing, before).unwrap_err()[0], Code::CrlUnusable);
    }
}
