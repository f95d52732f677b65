//! What is shown of keys (SECURITY H14): nothing.

use std::fmt::Debug;

use crate::identity::testing::{Issued, name, now};
use crate::identity::{Identity, IdentityPolicy, check_certificate};

/// Every part of a secret that could be read from a text: as base64, as hexadecimal digits, as a list of numbers.
fn parts_of(pem: &str, der: &[u8]) -> Vec<String> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    // The scalar of a P-256 key: what comes before it and after it is public.
    let at = der.windows(2).position(|window| window == [4, 32]).unwrap() + 2;
    let scalar = &der[at..at + 32];
    let hexadecimal: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = |window: &[u8]| format!("{window:?}").trim_matches(['[', ']']).to_owned();
    let base64 = text.as_bytes()[at * 4 / 3 + 4..(at + 32) * 4 / 3 - 4].windows(8);
    let mut parts: Vec<String> = base64.map(|window| String::from_utf8(window.to_vec()).unwrap()).collect();
    parts.extend(hexadecimal.as_bytes().windows(8).map(|window| String::from_utf8(window.to_vec()).unwrap()));
    parts.extend(scalar.windows(4).map(numbers));
    parts
}

fn assert_silent(parts: &[String], shown: &str) {
    for part in parts {
        assert!(!shown.to_lowercase().contains(&part.to_lowercase()), "\"{part}\" in {shown}");
    }
}

fn shown(values: &[&dyn Debug]) -> String {
    values.iter().map(|value| format!("{value:?} {value:#?}\n")).collect()
}

#[test]
fn h14_no_debug_text_of_an_identity_or_its_parts_has_anything_of_its_key() {
    let root = Issued::root(|_| {});
    let leaf = root.leaf(|_| {});
    let identity = leaf.identity(&root, &[], IdentityPolicy::default()).unwrap();
    let parts = parts_of(&leaf.key_pem(), &leaf.key.serialize_der());
    let key = identity.certified_key();
    let shown = shown(&[&identity, &Some(identity.clone()), key, &key.key, identity.own(), identity.trust()]);
    assert_silent(&parts, &shown);
    // The test can fail.
    assert!(parts.len() > 60 && parts.iter().any(|part| leaf.key_pem().replace('\n', "").contains(part)));
}

#[test]
fn h14_no_error_about_a_damaged_or_strange_key_has_anything_of_it() {
    let root = Issued::root(|_| {});
    let (leaf, other) = (root.leaf(|_| {}), root.leaf(|_| {}));
    let (pem, der) = (leaf.key_pem(), leaf.key.serialize_der());
    let parts = parts_of(&pem, &der);
    let mut keys: Vec<Vec<u8>> = (0..pem.len()).step_by(7).map(|length| pem.as_bytes()[..length].to_vec()).collect();
    keys.extend((0..der.len()).step_by(7).map(|length| der[..length].to_vec()));
    keys.push(pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").into_bytes());
    keys.push(pem.replace("PRIVATE KEY", "DSA PRIVATE KEY").into_bytes());
    keys.push(pem.replace('\n', "!\n").into_bytes());
    keys.push(pem.into_bytes());
    for key in keys {
        let (chain, trust) = (other.pem(), root.pem());
        let (chain, trust) = (chain.as_bytes(), &[trust.as_bytes()]);
        let policy = IdentityPolicy::default();
        let report = Identity::from_pem(&name(), chain, &key, trust, &[], policy, now()).unwrap_err();
        let check = check_certificate(Some(&name()), chain, Some(&key), trust, &[], policy, now());
        assert_silent(&parts, &format!("{report} {report:?} {check:?}"));
    }
}
