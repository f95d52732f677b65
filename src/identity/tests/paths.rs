//! Faults of the path, of extensions, and of what a check is asked for (rule I2), alone; and the cost of hostile chains.

use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, SanType,
};

use super::{codes, verdict};
use crate::code::Code;
use crate::identity::testing::{Issued, hostile_chains, name, now};
use crate::identity::{CertificateForm, ChainLimits, IdentityPolicy, PeerCheck, PeerRole, verify_peer};
use crate::name::Name;

type Spoil = fn(&mut CertificateParams);

fn usual(root: &Issued, chain: &[&Issued]) -> Vec<Code> {
    verdict(root, chain, IdentityPolicy::default())
}

fn constraints(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>) -> Option<NameConstraints> {
    Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded })
}

/// An extension of our own making: its object identifier and content, critical or not.
fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut out = CustomExtension::from_oid_content(oid, content.to_vec());
    out.set_criticality(critical);
    out
}

const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99999, 1];
const NULL: &[u8] = &[5, 0];

#[test]
fn i2_a_name_outside_a_cas_constraints_is_refused() {
    let dns = |text: &str| vec![GeneralSubtree::DnsName(text.to_owned())];
    for (permitted, excluded, expected) in [
        (dns("branch.example"), vec![], vec![]),
        (dns("corp.example"), vec![], vec![Code::NameConstraintViolated]),
        (vec![], dns("branch.example"), vec![Code::NameConstraintViolated]),
        (vec![], dns("corp.example"), vec![]),
    ] {
        let spoil = |params: &mut CertificateParams| {
            params.name_constraints = constraints(permitted.clone(), excluded.clone());
        };
        let root = Issued::root(|_| {});
        let issuing = root.intermediate("issuing", spoil);
        assert_eq!(usual(&root, &[&issuing.leaf(|_| {}), &issuing]), expected, "an intermediate: {permitted:?}");
        let root = Issued::root(spoil);
        assert_eq!(usual(&root, &[&root.leaf(|_| {})]), expected, "a root: {permitted:?}");
    }
}

#[test]
fn i2_constraints_that_cannot_be_checked_are_refused_and_named() {
    let root = Issued::root(|_| {});
    let mut directory = rcgen::DistinguishedName::new();
    directory.push(rcgen::DnType::OrganizationName, "Corp");
    for tree in [GeneralSubtree::DirectoryName(directory), GeneralSubtree::Rfc822Name("corp.example".to_owned())] {
        let issuing = root.intermediate("issuing", |params| {
            params.name_constraints = constraints(vec![tree.clone()], vec![]);
        });
        let leaf = issuing
            .leaf(|params| params.subject_alt_names.push(SanType::Rfc822Name("a@b.example".try_into().unwrap())));
        let chain = [leaf.der(), issuing.der()];
        let trust = root.trust(&[]).unwrap();
        let report = verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name()), now()).unwrap_err();
        assert_eq!(codes(&report), [Code::NameConstraintViolated]);
        assert!(report.to_string().contains("directory names, mail addresses or URIs"), "{report}");
    }
    // What constrains nothing is a mistake: 30 04 a0 00 a1 00.
    let nothing: Spoil =
        |params| params.custom_extensions.push(extension(&[2, 5, 29, 30], &[0x30, 4, 0xa0, 0, 0xa1, 0], true));
    let issuing = root.intermediate("issuing", nothing);
    assert_eq!(usual(&root, &[&issuing.leaf(|_| {}), &issuing]), [Code::PathInvalid]);
}

#[test]
fn i2_more_intermediates_than_a_path_length_or_the_caller_allows_are_refused() {
    let root = Issued::root(|_| {});
    let first = root.intermediate("first", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let second = first.intermediate("second", |_| {});
    let leaf = second.leaf(|_| {});
    assert_eq!(usual(&root, &[&first.leaf(|_| {}), &first]), []);
    assert_eq!(usual(&root, &[&leaf, &second, &first]), [Code::PathInvalid]);

    let root = Issued::root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let issuing = root.intermediate("issuing", |_| {});
    assert_eq!(usual(&root, &[&issuing.leaf(|_| {}), &issuing]), [Code::TrustUnusable]);

    let root = Issued::root(|_| {});
    let issuing = root.intermediate("issuing", |_| {});
    let (chain, trust) = ([issuing.leaf(|_| {}).der(), issuing.der()], root.trust(&[]).unwrap());
    let check = PeerCheck::new(&trust, now());
    check.intermediates_max(1).verify(&chain).unwrap();
    assert_eq!(codes(&check.intermediates_max(0).verify(&chain).unwrap_err()), [Code::PathInvalid]);
}

#[test]
fn i2_an_unknown_critical_extension_is_refused_wherever_it_is() {
    let critical: Spoil = |params| params.custom_extensions.push(extension(UNKNOWN, NULL, true));
    let harmless: Spoil = |params| params.custom_extensions.push(extension(UNKNOWN, NULL, false));
    for (spoil, leaf_and_issuer, anchor) in
        [(critical, vec![Code::PathInvalid], vec![Code::TrustUnusable]), (harmless, vec![], vec![])]
    {
        let root = Issued::root(|_| {});
        assert_eq!(usual(&root, &[&root.leaf(spoil)]), leaf_and_issuer);
        let issuing = root.intermediate("issuing", spoil);
        assert_eq!(usual(&root, &[&issuing.leaf(|_| {}), &issuing]), leaf_and_issuer);
        let root = Issued::root(spoil);
        assert_eq!(usual(&root, &[&root.leaf(|_| {})]), anchor);
    }
}

#[test]
fn i2_extensions_out_of_place_are_refused() {
    let cases: [(&str, Spoil, Code); 4] = [
        ("twice", |p| p.custom_extensions = vec![extension(UNKNOWN, NULL, false); 2], Code::CertificateUnreadable),
        (
            "a critical authority key identifier",
            |p| p.custom_extensions.push(extension(&[2, 5, 29, 35], &[0x30, 3, 0x80, 1, 7], true)),
            Code::PathInvalid,
        ),
        (
            "name constraints in a leaf",
            |p| p.custom_extensions.push(extension(&[2, 5, 29, 30], &[0x30, 7, 0xa0, 5, 0x30, 3, 0x82, 1, b'a'], true)),
            Code::PathInvalid,
        ),
        ("serial number 0", |p| p.serial_number = Some(0_u64.into()), Code::PathInvalid),
    ];
    let root = Issued::root(|_| {});
    for (label, spoil, code) in cases {
        assert!(usual(&root, &[&root.leaf(spoil)]).contains(&code), "{label}");
    }
}

#[test]
fn i2_a_role_asks_for_its_own_purpose_and_a_link_for_both() {
    let root = Issued::root(|_| {});
    let trust = root.trust(&[]).unwrap();
    let leaf =
        |purposes: &[ExtendedKeyUsagePurpose]| root.leaf(|params| params.extended_key_usages = purposes.to_vec());
    let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    let (both, servers, clients) = (leaf(&[server.clone(), client.clone()]), leaf(&[server]), leaf(&[client]));
    let any = leaf(&[ExtendedKeyUsagePurpose::Any]);
    for (leaf, role, good) in [
        (&both, PeerRole::Any, true),
        (&both, PeerRole::Server, true),
        (&both, PeerRole::Client, true),
        (&servers, PeerRole::Any, false),
        (&servers, PeerRole::Server, true),
        (&servers, PeerRole::Client, false),
        (&clients, PeerRole::Any, false),
        (&clients, PeerRole::Server, false),
        (&clients, PeerRole::Client, true),
        (&any, PeerRole::Any, false),
        (&any, PeerRole::Server, false),
        (&any, PeerRole::Client, false),
    ] {
        let verdict = PeerCheck::new(&trust, now()).role(role).verify(&[leaf.der()]);
        let found = verdict.as_ref().err().map(codes).unwrap_or_default();
        assert_eq!(found, if good { vec![] } else { vec![Code::EkuIncomplete] }, "{role:?}");
    }
    let lenient = IdentityPolicy { accept_server_auth_alone: true, ..IdentityPolicy::default() };
    for role in [PeerRole::Any, PeerRole::Server, PeerRole::Client] {
        PeerCheck::new(&trust, now()).policy(lenient).role(role).verify(&[servers.der()]).unwrap();
    }
}

#[test]
fn i2_the_strict_form_asks_for_what_the_usual_one_lets_pass() {
    let root = Issued::root(|_| {});
    let trust = root.trust(&[]).unwrap();
    let formal: Spoil = |params| params.use_authority_key_identifier_extension = true;
    let check = PeerCheck::new(&trust, now()).form(CertificateForm::Strict);
    check.verify(&[root.leaf(formal).der()]).unwrap();
    let sloppy = root.leaf(|_| {}).der();
    PeerCheck::new(&trust, now()).verify(std::slice::from_ref(&sloppy)).unwrap();
    let report = check.verify(&[sloppy]).unwrap_err();
    assert_eq!(codes(&report), [Code::PathInvalid]);
    assert!(report.first().unwrap().found_text().contains("authority key identifier"), "{report}");
}

#[test]
fn i3_a_roll_over_that_a_path_length_forbids_is_told_from_a_forged_signature() {
    let root = Issued::root(|_| {});
    let (free, namesake) = (root.intermediate("CA", |_| {}), Issued::root(|_| {}));
    let old = root.intermediate("CA", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    // The CA's new key, which its old one vouches for; and a root of the same name that is merely presented.
    let renew = |ca: &Issued| ca.issue(ca.intermediate("CA", |_| {}).params, KeyPair::generate().unwrap());
    let (new, free_new) = (renew(&old), renew(&free));
    let trust = root.trust(&[]).unwrap();
    let found = |chain: &[&Issued]| {
        let chain: Vec<_> = chain.iter().map(|one| one.der()).collect();
        let report = verify_peer(&trust, &IdentityPolicy::default(), &chain, None, now()).unwrap_err();
        assert_eq!(codes(&report), [Code::SignatureInvalid]);
        report.first().unwrap().found_text().to_owned()
    };
    assert_eq!(usual(&root, &[&free_new.leaf(|_| {}), &free_new, &free]), []);
    assert!(found(&[&new.leaf(|_| {}), &new, &old]).contains("issued to itself"));
    assert!(!found(&[&namesake.leaf(|_| {}), &namesake]).contains("issued to itself"));
}

#[test]
fn larger_chains_are_looked_at_only_where_the_caller_says_so_and_never_without_a_bound() {
    let root = Issued::root(|_| {});
    let trust = root.trust(&[]).unwrap();
    let others: Vec<_> = (0..64).map(|number| root.intermediate(&format!("{number}"), |_| {}).der()).collect();
    let chain = |count: usize| [&[root.leaf(|_| {}).der()][..], &others[..count - 1]].concat();
    let check = PeerCheck::new(&trust, now());
    check.verify(&chain(8)).unwrap();
    assert_eq!(codes(&check.verify(&chain(9)).unwrap_err()), [Code::ChainTooLarge]);
    check.limits(ChainLimits::Offline).verify(&chain(64)).unwrap();
    let report = check.limits(ChainLimits::Offline).verify(&chain(65)).unwrap_err();
    assert_eq!(codes(&report), [Code::ChainTooLarge]);
}

/// SECURITY incident 30: what is said of a certificate does not grow with it.
#[test]
fn i3_an_error_about_a_certificate_with_five_thousand_names_stays_short() {
    let root = Issued::root(|_| {});
    let trust = root.trust(&[]).unwrap();
    let other = Name::parse("wanted.example").unwrap();
    for (count, length) in [(5_000, 3), (200, 50), (256, 100)] {
        let leaf = root.leaf(|params| {
            let name = |number: usize| format!("{number}.{}.example", "a".repeat(length));
            params.subject_alt_names =
                (0..count).map(|number| SanType::DnsName(name(number).try_into().unwrap())).collect();
        });
        for limits in [ChainLimits::Link, ChainLimits::Offline] {
            let check = PeerCheck::new(&trust, now()).name(&other).limits(limits);
            let report = check.verify(&[leaf.der()]).unwrap_err();
            for finding in report.findings() {
                assert!(finding.found_text().len() <= 512 && finding.expected_text().len() <= 512, "{finding}");
                assert!(finding.to_string().len() <= 1024, "{finding}");
            }
            let facts = check.examine(&[leaf.der()]).facts;
            assert!(facts.iter().all(|(_, text)| text.len() <= 512), "{facts:?}");
        }
    }
}

/// SECURITY incidents 28 and 29: within the limits of a link the worst chain that a stranger can present is refused in
/// bounded time: issuers that all bear one name, with the keys that are slowest to check.
#[test]
fn d7_a_hostile_chain_costs_milliseconds_at_most() {
    let trust = Issued::root(|_| {}).trust(&[]).unwrap();
    for (label, _, chain) in hostile_chains() {
        let mut shortest = Duration::MAX;
        for _ in 0..10 {
            let began = Instant::now();
            verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name()), now()).unwrap_err();
            shortest = shortest.min(began.elapsed());
        }
        println!("{label}: {shortest:?}");
        assert!(shortest < Duration::from_millis(5), "{label}: {shortest:?}");
    }
}
