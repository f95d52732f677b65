//! Revocation: the newest list counts, and none, a stale one or a foreign one is never "not revoked".

use std::time::{Duration, Instant};

use rcgen::{CrlScope, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd};

use super::codes;
use crate::code::Code;
use crate::identity::testing::{Issued, name, now};
use crate::identity::{CrlPolicy, Identity, IdentityPolicy, Trust, verify_peer};
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

/// SECURITY H9, at size: a list of half a million entries is read once, with its signature, and costs a handshake a
/// look-up, whether the peer is in it or not.
#[test]
fn h9_a_list_of_half_a_million_entries_costs_a_handshake_a_look_up() {
    let root = Issued::root(|_| {});
    let (good, bad) = (root.leaf(|_| {}), root.leaf(|_| {}));
    for entries in [100_000, 500_000] {
        let list = root.list(1, &[&bad], |params| {
            let entry = params.revoked_certs.remove(0);
            let scattered = |number: u64| [0x55_u64, number.wrapping_mul(0x9e37_79b9_7f4a_7c15)].map(u64::to_be_bytes);
            params.revoked_certs.extend((0..entries).map(|number| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&scattered(number).concat()),
                revocation_time: entry.revocation_time,
                reason_code: None,
                invalidity_date: None,
            }));
            params.revoked_certs.push(entry);
        });
        let began = Instant::now();
        let trust = root.trust(&[&list]).unwrap();
        println!("{entries} entries, {} bytes of PEM, read in {:?}", list.len(), began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        for (leaf, code) in [(&good, None), (&bad, Some(Code::CertificateRevoked))] {
            for crl_policy in [CrlPolicy::IfGiven, CrlPolicy::Warn] {
                let policy = IdentityPolicy { crl_policy, ..IdentityPolicy::default() };
                let shortest = (0..20).map(|_| {
                    let began = Instant::now();
                    let verdict = verify_peer(&trust, &policy, &[leaf.der()], None, now());
                    assert_eq!(verdict.err().map(|report| codes(&report)), code.map(|code| vec![code]));
                    began.elapsed()
                });
                let shortest = shortest.min().unwrap();
                println!("a chain in {shortest:?}");
                // Hashing the list alone takes 20 ms and more.
                assert!(shortest < Duration::from_millis(5), "{shortest:?}");
            }
        }
    }
}

#[test]
fn every_entry_of_a_list_is_found_and_nothing_else_whatever_its_length_and_sign() {
    let root = Issued::root(|_| {});
    let serials = (1..=20).flat_map(|length| {
        [0x01, 0x7f, 0x80, 0xff].map(|first| [vec![first], vec![length; usize::from(length) - 1]].concat())
    });
    let leaves: Vec<Issued> = serials
        .map(|serial| root.leaf(|params| params.serial_number = Some(SerialNumber::from_slice(&serial))))
        .collect();
    let (listed, others): (Vec<_>, Vec<_>) = leaves.iter().enumerate().partition(|(number, _)| number % 3 == 0);
    let listed: Vec<&Issued> = listed.into_iter().map(|(_, leaf)| leaf).collect();
    let list = root.list(1, &listed, |_| {});
    for leaf in listed {
        assert_eq!(judge(&root, &[leaf], &[&list], CrlPolicy::IfGiven), [Code::CertificateRevoked]);
    }
    for (_, leaf) in others {
        assert_eq!(judge(&root, &[leaf], &[&list], CrlPolicy::IfGiven), []);
    }
}

#[test]
fn h9_a_ca_that_renewed_its_key_has_a_list_for_each_key() {
    let spoil = |params: &mut rcgen::CertificateParams| params.serial_number = Some(77_u64.into());
    let (old, new) = (Issued::root(spoil), Issued::root(spoil));
    let of = |ca: &Issued| ca.leaf(|params| params.use_authority_key_identifier_extension = true);
    let (old_leaf, new_leaf, revoked) = (of(&old), of(&new), of(&old));
    let (old_list, new_list) = (old.list(9, &[&revoked], |_| {}), new.list(1, &[], |_| {}));
    let anchors = [old.pem(), new.pem()].concat();
    for lists in [[&old_list, &new_list], [&new_list, &old_list]] {
        let lists = lists.map(|list| list.as_bytes());
        let trust = Trust::from_pem(&[anchors.as_bytes()], &lists).unwrap();
        let judge = |leaf: &Issued| {
            let verdict = verify_peer(&trust, &IdentityPolicy::default(), &[leaf.der()], None, now());
            verdict.map_err(|report| codes(&report)).map(|_| ())
        };
        assert_eq!(judge(&old_leaf), Ok(()));
        assert_eq!(judge(&new_leaf), Ok(()));
        assert_eq!(judge(&revoked), Err(vec![Code::CertificateRevoked]));
    }
    // One list does not stand in for the other key's.
    let trust = Trust::from_pem(&[anchors.as_bytes()], &[new_list.as_bytes()]).unwrap();
    let report = verify_peer(&trust, &IdentityPolicy::default(), &[old_leaf.der()], None, now()).unwrap_err();
    assert_eq!(codes(&report), [Code::CrlUnusable]);
}

#[test]
fn h9_a_forged_list_is_refused_when_it_is_read_and_takes_no_others_place() {
    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |_| {});
    let leaf = issuing.leaf(|_| {});
    // Under the name of the CA and of its key; under the name of another key it would be nobody's list.
    let forged = |ca: &Issued, number| {
        let key_identifier = ca.params.key_identifier(&ca.key);
        let forger = Issued { params: ca.params.clone(), ..Issued::root(|_| {}) };
        forger.list(number, &[], |params| params.key_identifier_method = KeyIdMethod::PreSpecified(key_identifier))
    };
    let (genuine, forgery) = (root.list(1, &[], |_| {}), forged(&root, 99));
    assert_eq!(codes(&root.trust(&[&genuine, &forgery]).unwrap_err()), [Code::CrlUnusable]);

    // The issuer's key is known from the list that is in use: a next one must have it as well.
    let with = |list: &str| {
        let lists = [root.list(1, &[], |_| {}), list.to_owned()];
        let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_bytes()).collect();
        let chain = [leaf.pem(), issuing.pem()].concat();
        let (key, ca, policy) = (leaf.key_pem(), root.pem(), IdentityPolicy::default());
        Identity::from_pem(&name(), chain.as_bytes(), key.as_bytes(), &[ca.as_bytes()], &lists, policy, now())
    };
    let (first, second) = (with(&issuing.list(1, &[], |_| {})).unwrap(), with(&issuing.list(2, &[], |_| {})).unwrap());
    second.check_succession(&first).unwrap();
    assert_eq!(codes(&with(&forged(&issuing, 3)).unwrap_err()), [Code::CrlUnusable]);

    // A node whose own chain has not that CA cannot check the list when it reads it.
    let of_root = root.leaf(|_| {});
    let alone = |list: &str| of_root.identity(&root, &[&root.list(1, &[], |_| {}), list], IdentityPolicy::default());
    let (held, next) = (alone(&issuing.list(1, &[], |_| {})).unwrap(), alone(&forged(&issuing, 3)).unwrap());
    held.verify(&[leaf.der(), issuing.der()], None, now()).unwrap();
    assert_eq!(codes(&next.check_succession(&held).unwrap_err()), [Code::CrlUnusable]);
    alone(&issuing.list(2, &[], |_| {})).unwrap().check_succession(&held).unwrap();
    assert_eq!(codes(&next.verify(&[leaf.der(), issuing.der()], None, now()).unwrap_err()), [Code::CrlUnusable]);
}

#[test]
fn a_list_with_a_scope_covers_what_is_within_it_and_no_more() {
    let root = Issued::root(|_| {});
    let point = |uri: &str| rcgen::CrlDistributionPoint { uris: vec![uri.to_owned()] };
    let leaf = |uris: &[&str]| {
        root.leaf(|params| params.crl_distribution_points = uris.iter().map(|uri| point(uri)).collect())
    };
    let list = |number: u64, scope: Option<CrlScope>, revoked: &[&Issued]| {
        root.list(number, revoked, |params| {
            params.issuing_distribution_point =
                Some(rcgen::CrlIssuingDistributionPoint { distribution_point: point("http://ca/1.crl"), scope });
        })
    };
    let all = list(1, None, &[]);
    let users = list(1, Some(CrlScope::UserCertsOnly), &[]);
    let authorities = list(1, Some(CrlScope::CaCertsOnly), &[]);
    for (uris, list, expected) in [
        (&[][..], &all, vec![]),
        (&["http://ca/1.crl"], &all, vec![]),
        (&["http://ca/0.crl", "http://ca/1.crl"], &users, vec![]),
        (&["http://ca/2.crl"], &all, vec![Code::CrlMissing]),
        (&["http://ca/1.crl"], &authorities, vec![Code::CrlMissing]),
    ] {
        assert_eq!(judge(&root, &[&leaf(uris)], &[list], CrlPolicy::IfGiven), expected, "{uris:?}");
    }
    // Whatever its scope: what a list of the issuer has is revoked.
    let bad = leaf(&["http://ca/2.crl"]);
    let lists = [list(1, None, &[&bad]), root.list(5, &[], |_| {})];
    let lists = lists.each_ref().map(String::as_str);
    assert_eq!(judge(&root, &[&bad], &lists, CrlPolicy::IfGiven), [Code::CertificateRevoked]);
}
