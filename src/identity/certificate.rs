//! The rules for single certificates that rustls-webpki does not know (rule I2).

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, GeneralSubtree, KeyUsage, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::policy::Purposes;
use crate::identity::report::Report;
use crate::time::Timestamp;

/// Parses a certificate; bytes after it make it unreadable.
///
/// # Errors
///
/// [`Code::CertificateUnreadable`].
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    let unreadable = || Error::new(Code::CertificateUnreadable).expected("X.509 version 3 in DER");
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(unreadable().found(format!("{} bytes after the certificate", rest.len()))),
        Err(error) => Err(unreadable().found(error.to_string())),
    }
}

/// The subject as a text that is safe and short enough for an error.
pub(super) fn subject_of(certificate: &X509Certificate<'_>) -> String {
    let text = printable(&certificate.subject().to_string());
    match text.chars().count() {
        0 => "a certificate without a subject".to_owned(),
        1..=128 => text,
        _ => text.chars().take(128).chain(['…']).collect(),
    }
}

/// Checks everything about a leaf but its names and its path.
pub(super) fn check_leaf(leaf: &X509Certificate<'_>, purposes: Purposes, at: Timestamp, report: &mut Report) {
    let subject = subject_of(leaf);
    check_validity(leaf, at, &subject, report);
    check_form(leaf, &subject, report);
    if leaf.is_ca() {
        report.add(
            Error::new(Code::CertificateIsCa)
                .subject(&subject)
                .found("basicConstraints CA")
                .expected("a certificate of a node"),
        );
    }
    check_leaf_key_usage(leaf, &subject, report);
    match leaf.extended_key_usage() {
        Err(error) => report.add(unreadable(&subject, "enhanced key usage", &error.to_string())),
        Ok(None) => report.add(Error::new(Code::EkuMissing).subject(&subject).found("none").expected(purposes.text())),
        Ok(Some(usage)) => check_purposes(usage.value, purposes, &subject, report),
    }
    check_key(leaf.public_key(), &subject, report);
}

/// What a key may be used for, in words; a usage without any bit says so.
fn usage_text(usage: &KeyUsage) -> String {
    match usage.to_string() {
        text if text.is_empty() => "a key usage without any use".to_owned(),
        text => text,
    }
}

fn check_leaf_key_usage(leaf: &X509Certificate<'_>, subject: &str, report: &mut Report) {
    match leaf.key_usage() {
        Err(error) => report.add(unreadable(subject, "key usage", &error.to_string())),
        Ok(Some(usage)) if !usage.value.digital_signature() || usage.value.key_cert_sign() => report.add(
            Error::new(Code::KeyUsageWrong)
                .subject(subject)
                .found(usage_text(usage.value))
                .expected("digitalSignature, and not keyCertSign"),
        ),
        Ok(_) => {}
    }
    if !matches!(leaf.name_constraints(), Ok(None)) {
        let wrong =
            Error::new(Code::PathInvalid).subject(subject).found("name constraints in an end-entity certificate");
        report.add(wrong.expected("name constraints in CA certificates only"));
    }
}

/// Checks an intermediate of the path that is used: webpki has no eye for the key usage of issuers, and its check of
/// the enhanced key usage cannot tell which certificate it looks at.
pub(super) fn check_issuer(issuer: &X509Certificate<'_>, signs_lists: bool, purposes: Purposes, report: &mut Report) {
    let subject = subject_of(issuer);
    check_form(issuer, &subject, report);
    check_key(issuer.public_key(), &subject, report);
    check_may_issue(issuer, Code::IntermediateUnusable, &subject, report);
    check_name_constraints(issuer, &subject, report);
    if signs_lists && !may_sign_lists(issuer) {
        report.add(no_list_signer(&subject));
    }
    match issuer.extended_key_usage() {
        Err(error) => report.add(unreadable(&subject, "enhanced key usage", &error.to_string())),
        Ok(Some(usage)) if !usage.value.any => check_purposes(usage.value, purposes, &subject, report),
        Ok(_) => {}
    }
}

/// Checks what makes a certificate a trust anchor: a CA that may sign certificates, with an accepted key. Its validity
/// is looked at each time a path ends at it.
pub(super) fn check_anchor(anchor: &X509Certificate<'_>, report: &mut Report) {
    let subject = subject_of(anchor);
    check_may_issue(anchor, Code::TrustUnusable, &subject, report);
    check_key(anchor.public_key(), &subject, report);
    check_name_constraints(anchor, &subject, report);
    check_key_identifiers(anchor, &subject, report);
    let unknown = |extension: &&x509_parser::extensions::X509Extension<'_>| {
        extension.critical && matches!(extension.parsed_extension(), ParsedExtension::UnsupportedExtension { .. })
    };
    if let Some(extension) = anchor.extensions().iter().find(unknown) {
        let found = format!("the unknown critical extension {}", extension.oid);
        report.add(Error::new(Code::TrustUnusable).subject(&subject).found(found));
    }
}

/// RFC 5280 section 4.2.1.10: name constraints constrain something.
fn check_name_constraints(issuer: &X509Certificate<'_>, subject: &str, report: &mut Report) {
    let wrong = |found: String| Error::new(Code::PathInvalid).subject(subject).found(found);
    match issuer.name_constraints() {
        Err(error) => report.add(wrong(format!("name constraints: {error}"))),
        Ok(Some(constraints)) => {
            let is_empty =
                |trees: &Option<Vec<GeneralSubtree<'_>>>| trees.as_ref().is_none_or(|trees| trees.is_empty());
            if is_empty(&constraints.value.permitted_subtrees) && is_empty(&constraints.value.excluded_subtrees) {
                report.add(wrong("name constraints that constrain nothing".to_owned()));
            }
        }
        Ok(None) => {}
    }
}

/// Whether a CA has name constraints on other than DNS names and addresses.
pub(super) fn constrains_other_names(issuer: &X509Certificate<'_>) -> bool {
    let Ok(Some(constraints)) = issuer.name_constraints() else { return false };
    let trees = [&constraints.value.permitted_subtrees, &constraints.value.excluded_subtrees];
    let mut trees = trees.into_iter().flatten().flatten();
    trees.any(|tree| !matches!(tree.base, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
}

fn check_may_issue(issuer: &X509Certificate<'_>, code: Code, subject: &str, report: &mut Report) {
    let mut refuse = |found: &str| report.add(Error::new(code).subject(subject).found(found));
    if issuer.subject().iter().next().is_none() {
        refuse("a CA without a subject");
    }
    match issuer.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => {}
        Ok(_) => refuse("no basicConstraints CA"),
        Err(error) => refuse(&error.to_string()),
    }
    match issuer.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            refuse(&format!("key usage {} without keyCertSign", usage.value))
        }
        Ok(_) => {}
        Err(error) => refuse(&error.to_string()),
    }
}

/// Whether an issuer's key usage, if it has one, lets it sign revocation lists.
pub(super) fn may_sign_lists(issuer: &X509Certificate<'_>) -> bool {
    issuer.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}

/// The finding about an issuer whose list is used but which may not sign lists.
pub(super) fn no_list_signer(subject: &str) -> Error {
    Error::new(Code::CrlUnusable).subject(subject).found("the issuer's key usage lacks cRLSign").expected("cRLSign")
}

/// Whether the time is within a certificate's validity; RFC 5280 section 4.1.2.5 includes both ends.
pub(super) fn check_validity(certificate: &X509Certificate<'_>, at: Timestamp, subject: &str, report: &mut Report) {
    let validity = certificate.validity();
    let (first, last) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if first > last {
        let found =
            format!("from {} until {}", Timestamp::from_unix_seconds(first), Timestamp::from_unix_seconds(last));
        report.add(Error::new(Code::PathInvalid).subject(subject).found(found).expected("a start before the end"));
    }
    if at.unix_seconds() < first {
        let found = format!("valid from {}", Timestamp::from_unix_seconds(first));
        report.add(
            Error::new(Code::CertificateNotYetValid).subject(subject).found(found).expected(format!("valid at {at}")),
        );
    }
    if at.unix_seconds() > last {
        let found = format!("valid until {}", Timestamp::from_unix_seconds(last));
        report
            .add(Error::new(Code::CertificateExpired).subject(subject).found(found).expected(format!("valid at {at}")));
    }
}

/// Version, serial number, signature algorithm and the criticality of key identifiers (RFC 5280 section 4).
fn check_form(certificate: &X509Certificate<'_>, subject: &str, report: &mut Report) {
    if certificate.version() != X509Version::V3 {
        let wrong = Error::new(Code::CertificateUnreadable).subject(subject);
        report.add(wrong.found(format!("version {}", certificate.version())).expected("X.509 version 3"));
    }
    let serial = certificate.raw_serial();
    let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
    if serial.iter().all(|byte| *byte == 0) || serial.len() > SERIAL_BYTES_MAX {
        let found = format!("a serial number of {} bytes: {}", serial.len(), certificate.raw_serial_as_string());
        report.add(
            Error::new(Code::PathInvalid).subject(subject).found(found).expected("a number above 0, at most 20 bytes"),
        );
    }
    let algorithm = certificate.signature_algorithm.oid().to_id_string();
    if !SIGNATURE_ALGORITHMS.contains(&algorithm.as_str()) {
        let weak = Error::new(Code::SignatureAlgorithmWeak).subject(subject).found(signature_name(&algorithm));
        report.add(weak.expected("RSA, ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519"));
    }
    let mut seen = BTreeSet::new();
    if !certificate.extensions().iter().all(|extension| seen.insert(extension.oid.as_bytes())) {
        let twice = Error::new(Code::CertificateUnreadable).subject(subject);
        report.add(twice.found("an extension that is there twice").expected("each extension once"));
    }
    check_key_identifiers(certificate, subject, report);
}

fn check_key_identifiers(certificate: &X509Certificate<'_>, subject: &str, report: &mut Report) {
    let identifiers = [OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER];
    if certificate.extensions().iter().any(|extension| extension.critical && identifiers.contains(&extension.oid)) {
        report.add(Error::new(Code::PathInvalid).subject(subject).found("a key identifier marked critical"));
    }
}

fn check_purposes(usage: &ExtendedKeyUsage<'_>, purposes: Purposes, subject: &str, report: &mut Report) {
    if purposes.are_in(usage) {
        return;
    }
    let known =
        [(usage.server_auth, "serverAuth"), (usage.client_auth, "clientAuth"), (usage.any, "anyExtendedKeyUsage")];
    let mut found: Vec<&str> = known.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    if found.is_empty() {
        found.push("other purposes only");
    }
    report.add(Error::new(Code::EkuIncomplete).subject(subject).found(found.join(", ")).expected(purposes.text()));
}

fn check_key(key: &SubjectPublicKeyInfo<'_>, subject: &str, report: &mut Report) {
    if let Err(found) = key_kind(key) {
        let wrong = Error::new(Code::KeyUnsupported).subject(subject).found(found);
        report.add(wrong.expected("RSA 2048 to 4096, ECDSA P-256, P-384 or P-521, or Ed25519"));
    }
}

/// The kind of an accepted key, or what an unaccepted one is.
pub(super) fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> Result<String, String> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Ok("Ed25519".to_owned());
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok("ECDSA P-256".to_owned()),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok("ECDSA P-384".to_owned()),
            Some(curve) if curve == OID_NIST_EC_P521 => Ok("ECDSA P-521".to_owned()),
            Some(curve) => Err(format!("ECDSA on the curve {curve}")),
            None => Err("ECDSA with explicit parameters".to_owned()),
        };
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else { return Err("an RSA key that cannot be read".to_owned()) };
        let bits = bits_of(rsa.modulus);
        return if RSA_BITS.contains(&bits) { Ok(format!("RSA {bits}")) } else { Err(format!("RSA {bits}")) };
    }
    Err(format!("a key of the kind {algorithm}"))
}

pub(super) fn bits_of(number: &[u8]) -> usize {
    let significant = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let rest = &number[significant..];
    rest.first().map_or(0, |first| rest.len() * 8 - first.leading_zeros() as usize)
}

fn unreadable(subject: &str, what: &str, problem: &str) -> Error {
    Error::new(Code::CertificateUnreadable).subject(subject).found(format!("{what}: {problem}"))
}

fn signature_name(oid: &str) -> String {
    match oid {
        "1.2.840.113549.1.1.5" => "RSA with SHA-1".to_owned(),
        "1.2.840.113549.1.1.4" => "RSA with MD5".to_owned(),
        "1.2.840.10045.4.1" => "ECDSA with SHA-1".to_owned(),
        other => other.to_owned(),
    }
}

/// RFC 5280 section 4.1.2.2, without the octet that only holds the sign.
const SERIAL_BYTES_MAX: usize = 20;
/// Rule I2.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// RSA PKCS#1 with SHA-256, -384, -512, RSA-PSS, ECDSA with SHA-256, -384, -512, Ed25519.
const SIGNATURE_ALGORITHMS: [&str; 8] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.113549.1.1.10",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.2.840.10045.4.3.4",
    "1.3.101.112",
];
