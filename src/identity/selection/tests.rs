//! Which certificate is chosen, whatever the order of the files.

use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::*;
use crate::identity::testing::{Issued, distinguished_name, name, now};
use crate::identity::{NameRule, import};

fn key_of(issued: &Issued) -> ImportedKey {
    ImportedKey { der: Zeroizing::new(issued.key.serialize_der()), was_encrypted: false }
}

/// A pile of leaves with their keys, and of further certificates.
fn pile(leaves: &[&Issued], others: &[CertificateDer<'static>]) -> Pile {
    let mut pile = Pile::default();
    for (file, leaf) in leaves.iter().enumerate() {
        pile.add_certificates(file, vec![leaf.der()]).unwrap();
        pile.add_key(file, key_of(leaf)).unwrap();
    }
    pile.add_certificates(leaves.len(), others.to_vec()).unwrap();
    pile
}

fn candidates(pile: &Pile, root: &Issued) -> Vec<Candidate> {
    pile.candidates(&name(), &root.trust(&[]).unwrap(), &IdentityPolicy::default(), now(), |_| true)
}

fn codes(report: &Report) -> Vec<Code> {
    report.findings().iter().map(Error::code).collect()
}

fn chosen(result: Result<Candidate, Report>) -> Result<String, Vec<Code>> {
    result.map(|one| one.summary().serial.clone()).map_err(|report| codes(&report))
}

fn year(from: (i32, u8), until: (i32, u8)) -> impl Fn(&mut CertificateParams) {
    move |params| {
        params.not_before = date_time_ymd(from.0, from.1, 1);
        params.not_after = date_time_ymd(until.0, until.1, 1);
    }
}

/// All orders of up to four things.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        out.extend(orders(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    out
}

#[test]
fn i4_the_live_one_is_the_usable_one_that_starts_last_in_every_order_of_the_files() {
    let root = Issued::root(|_| {});
    let old = root.leaf(year((2026, 1), (2027, 1)));
    let new = root.leaf(year((2026, 5), (2026, 9)));
    let future = root.leaf(year((2026, 8), (2028, 1)));
    let expired = root.leaf(year((2025, 2), (2026, 2)));
    for order in orders(&[&old, &new, &future, &expired]) {
        let pile = pile(&order, &[]);
        let live = live(candidates(&pile, &root), &name()).unwrap();
        assert_eq!(live.chain(), [new.der()]);
        assert_eq!(live.key(), Some(public_key_of(&new.key.serialize_der()).unwrap()));
    }
    let none = live(candidates(&pile(&[&expired, &future], &[]), &root), &name());
    assert_eq!(
        none.map(|_| ()).unwrap_err().findings()[0].code(),
        Code::CertificateNotYetValid,
        "the newest one is told"
    );
    assert_eq!(chosen(live(Vec::new(), &name())), Err(vec![Code::IdentityMissing]));
}

#[test]
fn i4_two_equally_good_candidates_are_an_error_that_lists_both() {
    let root = Issued::root(|_| {});
    let twins = [root.leaf(|_| {}), root.leaf(|_| {})];
    for order in [[&twins[0], &twins[1]], [&twins[1], &twins[0]]] {
        let pile = pile(&order, &[]);
        let report = live(candidates(&pile, &root), &name()).map(|_| ()).unwrap_err();
        assert_eq!(codes(&report), [Code::IdentityAmbiguous]);
        for twin in &twins {
            let summary = CertificateSummary::of(&twin.der()).unwrap();
            assert!(report.findings()[0].found_text().contains(&summary.sha256), "{report}");
        }
        let twice = the_only(
            candidates(&pile, &root),
            &CertificateSelector { newest: true, ..CertificateSelector::default() },
            &name(),
        );
        assert_eq!(chosen(twice), Err(vec![Code::IdentityAmbiguous]), "the newest is no answer either");
    }
    // The same certificate in two files is one.
    let same = pile(&[&twins[0], &twins[0]], &[twins[0].der()]);
    assert!(live(candidates(&same, &root), &name()).is_ok());
}

#[test]
fn i4_an_import_takes_one_usable_certificate_and_selectors_tell_several_apart() {
    let root = Issued::root(|_| {});
    let other = Issued::root(|params| params.distinguished_name = distinguished_name("other"));
    let old = root.leaf(year((2026, 1), (2027, 1)));
    let new = root.leaf(|params| {
        year((2026, 5), (2027, 5))(params);
        params.subject_alt_names.push(rcgen::SanType::DnsName("alias.branch.example".try_into().unwrap()));
    });
    let foreign = other.leaf(|_| {});
    let pile = pile(&[&old, &new, &foreign], &[]);
    let choose = |selector: CertificateSelector| chosen(the_only(candidates(&pile, &root), &selector, &name()));
    let serial = |issued: &Issued| Ok(CertificateSummary::of(&issued.der()).unwrap().serial);
    assert_eq!(
        choose(CertificateSelector::default()),
        Err(vec![Code::IdentityAmbiguous]),
        "the foreign one does not compete"
    );
    assert_eq!(choose(CertificateSelector { newest: true, ..CertificateSelector::default() }), serial(&new));
    assert_eq!(
        choose(CertificateSelector { san: Some("ALIAS.branch.example".into()), ..CertificateSelector::default() }),
        serial(&new)
    );
    let summary = CertificateSummary::of(&old.der()).unwrap();
    let colons = |hex: &str| {
        let pairs = hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase());
        pairs.collect::<Vec<_>>().join(":")
    };
    for fingerprint in [summary.sha256.clone(), summary.sha1.clone(), colons(&summary.sha256), colons(&summary.sha1)] {
        assert_eq!(
            choose(CertificateSelector { fingerprint: Some(fingerprint), ..CertificateSelector::default() }),
            serial(&old)
        );
    }
    let issuer = |text: &str| CertificateSelector { issuer: Some(text.into()), ..CertificateSelector::default() };
    assert_eq!(choose(issuer("OTHER")), Err(vec![Code::IssuerUnknown]), "what is wrong with the selected one");
    assert_eq!(choose(issuer("nobody")), Err(vec![Code::IdentityMissing]));
    assert_eq!(
        choose(CertificateSelector { fingerprint: Some("12".into()), ..CertificateSelector::default() }),
        Err(vec![Code::ArgumentInvalid])
    );
}

#[test]
fn i3_where_none_is_usable_all_that_is_wrong_with_each_is_told() {
    let root = Issued::root(|_| {});
    let expired = root.leaf(year((2025, 2), (2026, 2)));
    let narrow = root.leaf(|params| params.extended_key_usages.truncate(1));
    let pile = pile(&[&expired, &narrow], &[]);
    let report = the_only(candidates(&pile, &root), &CertificateSelector::default(), &name()).map(|_| ()).unwrap_err();
    assert!(report.has(Code::CertificateExpired) && report.has(Code::EkuIncomplete), "{report}");
    let mut without_key = Pile::default();
    without_key.add_certificates(0, vec![expired.der()]).unwrap();
    without_key.add_key(1, key_of(&narrow)).unwrap();
    let report =
        the_only(candidates(&without_key, &root), &CertificateSelector::default(), &name()).map(|_| ()).unwrap_err();
    assert!(report.has(Code::KeyMissing) && report.has(Code::CertificateExpired), "{report}");
}

#[test]
fn a_chain_is_put_in_order_out_of_any_pile_with_roots_duplicates_and_strangers() {
    let root = Issued::root(|_| {});
    let upper = root.intermediate("upper", |_| {});
    let lower = upper.intermediate("lower", |_| {});
    // The same name with another key, issued earlier: the key identifier tells them apart.
    let impostor = upper.intermediate("lower", |params| params.not_after = date_time_ymd(2034, 1, 1));
    let stranger = Issued::root(|_| {}).intermediate("stranger", |_| {});
    let leaf = lower.leaf(|params| params.use_authority_key_identifier_extension = true);
    for order in orders(&[root.der(), upper.der(), lower.der(), impostor.der()]) {
        let pile = pile(&[&leaf], &[&order[..], &[stranger.der(), lower.der()]].concat());
        let only = the_only(candidates(&pile, &root), &CertificateSelector::default(), &name()).unwrap();
        assert_eq!(only.chain(), [leaf.der(), lower.der(), upper.der()]);
    }
}

#[test]
fn a_ca_that_comes_with_the_certificate_is_not_trusted_and_the_error_says_how() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let pile = pile(&[&leaf], &[root.der()]);
    let summary = CertificateSummary::of(&root.der()).unwrap();
    let namesake = Issued::root(|_| {});
    let stranger = Issued::root(|params| params.distinguished_name = distinguished_name("stranger"));
    for (trusted, code) in [(namesake, Code::SignatureInvalid), (stranger, Code::IssuerUnknown)] {
        let report =
            the_only(candidates(&pile, &trusted), &CertificateSelector::default(), &name()).map(|_| ()).unwrap_err();
        let remedy = report.findings().iter().find(|finding| finding.code() == code).unwrap().remedy_text();
        assert!(remedy.contains(&summary.sha256) && remedy.contains("--trust"), "{report}");
    }
}

#[test]
fn a_chain_of_a_hundred_is_refused_as_too_large() {
    let root = Issued::root(|_| {});
    let mut issuers = vec![root.intermediate("0", |_| {})];
    for depth in 1..100 {
        let next = issuers.last().unwrap().intermediate(&depth.to_string(), |_| {});
        issuers.push(next);
    }
    let leaf = issuers.last().unwrap().leaf(|_| {});
    let others: Vec<_> = issuers.iter().map(Issued::der).collect();
    let report = the_only(candidates(&pile(&[&leaf], &others), &root), &CertificateSelector::default(), &name());
    assert_eq!(chosen(report), Err(vec![Code::ChainTooLarge]));
}

#[test]
fn more_certificates_for_one_name_than_anybody_has_are_refused() {
    let root = Issued::root(|_| {});
    let leaves: Vec<Issued> = (0..=CANDIDATES_MAX).map(|_| root.leaf(|_| {})).collect();
    let mut pile = pile(&[&leaves[0]], &[]);
    pile.add_certificates(1, leaves[1..].iter().map(Issued::der).collect()).unwrap();
    assert_eq!(chosen(live(candidates(&pile, &root), &name())), Err(vec![Code::StoreTooLarge]));
    let only = the_only(candidates(&pile, &root), &CertificateSelector::default(), &name());
    assert_eq!(chosen(only), Err(vec![Code::StoreTooLarge]));
}

#[test]
fn a_certificate_that_only_claims_the_name_is_a_candidate_and_told_what_it_lacks() {
    let root = Issued::root(|_| {});
    let only_common_name = root.leaf(|params| params.subject_alt_names.clear());
    let wildcard = root.leaf_of("*.branch.example", |_| {});
    for (leaf, code) in [(&only_common_name, Code::SanMissing), (&wildcard, Code::WildcardName)] {
        let report =
            the_only(candidates(&pile(&[leaf], &[]), &root), &CertificateSelector::default(), &name()).map(|_| ());
        assert!(report.as_ref().is_err_and(|report| report.has(code)), "{code}");
    }
    let policy = IdentityPolicy { name_rule: NameRule::Cn, ..IdentityPolicy::default() };
    let pile = pile(&[&only_common_name], &[]);
    let trust = root.trust(&[]).unwrap();
    let with_rule = pile.candidates(&name(), &trust, &policy, now(), |_| true);
    assert!(the_only(with_rule, &CertificateSelector::default(), &name()).is_ok());
    let other = root.leaf_of("pc8.branch.example", |_| {});
    let other = self::pile(&[&other], &[]);
    assert!(candidates(&other, &root).is_empty());
    assert_eq!(other.leaves(|_| true)[0].names, ["pc8.branch.example"]);
}

#[test]
fn an_identity_is_made_of_the_chosen_candidate_with_a_key_of_any_form() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let text = leaf.key_pem() + &leaf.pem() + &root.pem();
    let material = import::read(text.as_bytes(), &import::Options::with_password(None)).unwrap();
    let mut pile = Pile::default();
    pile.add_certificates(0, material.certificates).unwrap();
    for key in material.keys {
        pile.add_key(0, key).unwrap();
    }
    let chosen = live(candidates(&pile, &root), &name()).unwrap();
    let policy = IdentityPolicy::default();
    let identity = pile.identity_of(&chosen, &name(), root.trust(&[]).unwrap(), policy, now()).unwrap();
    assert_eq!(identity.chain().as_ref(), [leaf.der()]);
}

#[test]
fn of_a_files_authorities_those_below_another_are_no_anchors() {
    let root = Issued::root(|_| {});
    let below = root.intermediate("below", |_| {});
    let lowest = below.intermediate("lowest", |_| {});
    assert_eq!(without_subordinates(vec![lowest.der(), root.der(), below.der()]), [root.der()]);
    assert_eq!(without_subordinates(vec![lowest.der(), below.der()]), [below.der()]);
    assert_eq!(without_subordinates(vec![lowest.der()]), [lowest.der()]);
}
