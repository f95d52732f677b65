//! A certificate that may be a node's, with its chain and what is wrong with it.

use std::fmt;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::Pile;
use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::certificate::{key_kind, parse, subject_of};
use crate::identity::{IdentityPolicy, KeyHash, Report, Trust, verify_peer, without_anchors};
use crate::limits::{CHAIN_CERTIFICATES_MAX, SAN_ENTRIES_MAX};
use crate::name::Name;
use crate::time::Timestamp;

/// What tells one certificate from another, for people. Texts are escaped and bounded (H17).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateSummary {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The dNSNames of the subject alternative name, at most 16.
    pub names: Vec<String>,
    /// The serial number, hexadecimal with colons.
    pub serial: String,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
    /// SHA-1 of the certificate, hexadecimal: what Windows shows as thumbprint.
    pub sha1: String,
    /// Where its validity begins.
    pub not_before: Timestamp,
    /// Where its validity ends.
    pub not_after: Timestamp,
    /// `ECDSA P-256`, `RSA 2048`, …
    pub key: String,
}

impl CertificateSummary {
    /// Of a certificate in DER; `None` if it cannot be read.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = parse(der).ok()?;
        let short = |text: String| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        let names = dns_names(&certificate).take(16).map(|name| short(printable(name))).collect();
        let validity = certificate.validity();
        Some(Self {
            subject: subject_of(&certificate),
            issuer: short(printable(&certificate.issuer().to_string())),
            names,
            serial: short(certificate.raw_serial_as_string()),
            sha256: hexadecimal(digest::digest(&digest::SHA256, der).as_ref()),
            sha1: hexadecimal(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
            not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
            key: key_kind(certificate.public_key()).unwrap_or_else(|unaccepted| unaccepted),
        })
    }
}

impl fmt::Display for CertificateSummary {
    /// One line, as an error lists it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer: String = self.issuer.chars().take(48).collect();
        let Self { sha256, serial, not_before, not_after, .. } = self;
        write!(f, "SHA-256 {sha256}, serial {serial}, {not_before} until {not_after}, issued by {issuer}")
    }
}

/// A certificate that claims a name, its chain, and everything that is wrong with it.
pub(crate) struct Candidate {
    file: usize,
    summary: CertificateSummary,
    chain: Vec<CertificateDer<'static>>,
    public_key: KeyHash,
    has_key: bool,
    report: Report,
    /// A root among the files that nobody said is trusted.
    untrusted_root: Option<CertificateSummary>,
}

impl Candidate {
    /// `None` for what cannot be read, does not claim the name or is a CA's; a CA's with DNS names is one that was meant for
    /// a node, and its report says what is wrong with it.
    pub(super) fn new(
        file: usize,
        der: &CertificateDer<'static>,
        name: &Name,
        pile: &[&CertificateDer<'static>],
    ) -> Option<Self> {
        parse(der).ok().filter(|leaf| claims(leaf, name) && (!leaf.is_ca() || dns_names(leaf).next().is_some()))?;
        Self::of_any(file, der, pile)
    }

    /// Whatever the certificate is; `None` if it cannot be read.
    pub(super) fn of_any(
        file: usize,
        der: &CertificateDer<'static>,
        pile: &[&CertificateDer<'static>],
    ) -> Option<Self> {
        let leaf = parse(der).ok()?;
        let public_key = KeyHash::of(leaf.public_key().raw);
        let (chain, root) = assemble(der, pile);
        Some(Self {
            file,
            summary: CertificateSummary::of(der)?,
            chain,
            public_key,
            has_key: false,
            report: Report::default(),
            untrusted_root: root.and_then(CertificateSummary::of),
        })
    }

    /// Looks for its key, and lets the one verify function judge it.
    pub(super) fn judged(
        mut self,
        pile: &Pile,
        name: &Name,
        trust: &Trust,
        policy: &IdentityPolicy,
        at: Timestamp,
    ) -> Self {
        self.has_key = pile.key(self.public_key).is_some();
        self.chain = without_anchors(std::mem::take(&mut self.chain), Some(trust));
        let findings = verify_peer(trust, policy, &self.chain, Some(name), at).err().unwrap_or_default();
        for finding in findings.findings() {
            self.report.add(match &self.untrusted_root {
                // A CA that was made anew under its old name shows as a wrong signature.
                Some(root) if matches!(finding.code(), Code::IssuerUnknown | Code::SignatureInvalid) => {
                    finding.clone().remedy(format!(
                        "the files hold the CA {} (SHA-256 {}); if that is your CA, trust it: --trust FILE",
                        root.subject, root.sha256
                    ))
                }
                _ => finding.clone(),
            });
        }
        if !self.has_key {
            self.report.add(self.key_missing());
        }
        self
    }

    pub(crate) fn key_missing(&self) -> Error {
        Error::new(Code::KeyMissing)
            .subject(&self.summary.subject)
            .found(format!("no private key for the certificate of {}", self.summary))
            .expected(format!("the key whose public key has the SHA-256 {}", self.public_key))
    }

    /// The file that its leaf is in.
    pub(crate) fn file(&self) -> usize {
        self.file
    }

    pub(crate) fn summary(&self) -> &CertificateSummary {
        &self.summary
    }

    /// Leaf first, each issued by the next, without roots and anchors.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The name of its key, if the pile has it.
    pub(crate) fn key(&self) -> Option<KeyHash> {
        self.has_key.then_some(self.public_key)
    }

    /// All that is wrong with it (rule I3).
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.report.is_clean()
    }
}

/// The name of the key that a certificate is for.
pub(super) fn public_key_of_certificate(der: &CertificateDer<'_>) -> Option<KeyHash> {
    parse(der).ok().map(|certificate| KeyHash::of(certificate.public_key().raw))
}

/// Whether a certificate is a CA's.
pub(crate) fn is_authority(der: &CertificateDer<'_>) -> bool {
    parse(der).is_ok_and(|certificate| certificate.is_ca())
}

/// Without those CAs that another one of them issued.
pub(crate) fn without_subordinates(authorities: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    let subject_and_issuer = |der: &CertificateDer<'static>| {
        let certificate = parse(der).ok()?;
        Some((certificate.subject().as_raw().to_vec(), certificate.issuer().as_raw().to_vec()))
    };
    let names: Vec<_> = authorities.iter().map(subject_and_issuer).collect();
    let is_top = |names_of_one: &Option<(Vec<u8>, Vec<u8>)>| {
        names_of_one.as_ref().is_none_or(|(subject, issuer)| {
            subject == issuer || !names.iter().flatten().any(|(other, _)| other == issuer)
        })
    };
    let tops: Vec<bool> = names.iter().map(is_top).collect();
    authorities.into_iter().zip(tops).filter_map(|(authority, is_top)| is_top.then_some(authority)).collect()
}

/// The issuer (DER) of a revocation list and the start of its currency in seconds since 1970.
pub(crate) fn issuer_of_list(der: &[u8]) -> Option<(Vec<u8>, i64)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    Some((list.issuer().as_raw().to_vec(), list.last_update().timestamp()))
}

/// Whether a certificate says of itself, in whatever form, that it is this name's: what is wrong with the form is
/// better told than hidden.
fn claims(leaf: &X509Certificate<'_>, name: &Name) -> bool {
    let name = name.as_str();
    let is_same = |text: &str| {
        let text = text.trim_end_matches('.');
        let covers = text.strip_prefix("*.").zip(name.split_once('.'));
        text.eq_ignore_ascii_case(name) || covers.is_some_and(|(rest, (_, parent))| rest.eq_ignore_ascii_case(parent))
    };
    let by_common_name = leaf.subject().iter_common_name().any(|attribute| attribute.as_str().is_ok_and(is_same));
    by_common_name || dns_names(leaf).any(is_same)
}

/// The dNSNames as they stand in the certificate.
fn dns_names<'a>(certificate: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a str> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let entries = alternative.map_or(&[][..], |extension| &extension.value.general_names);
    entries.iter().take(SAN_ENTRIES_MAX).filter_map(|entry| match entry {
        GeneralName::DNSName(text) => Some(*text),
        _ => None,
    })
}

/// The chain of a leaf out of certificates in any order, and the root that it ends at, if it is among them. A chain
/// that is longer than a peer would take is cut after one certificate more, so that the check says so.
fn assemble<'a>(
    leaf: &CertificateDer<'static>,
    pile: &[&'a CertificateDer<'static>],
) -> (Vec<CertificateDer<'static>>, Option<&'a CertificateDer<'static>>) {
    let mut chain = vec![leaf.clone()];
    while chain.len() <= CHAIN_CERTIFICATES_MAX {
        let Some(issuer) = chain.last().and_then(|last| issuer_in(last, pile)) else { break };
        if is_self_issued(issuer) {
            return (chain, Some(issuer));
        }
        if chain.contains(issuer) {
            break;
        }
        chain.push(issuer.clone());
    }
    (chain, None)
}

/// The certificate that issued this one: by subject and key identifier; of several the one that ends last. Whether it
/// really did, the verify function finds out.
fn issuer_in<'a>(of: &CertificateDer<'_>, pile: &[&'a CertificateDer<'static>]) -> Option<&'a CertificateDer<'static>> {
    let of = parse(of).ok()?;
    let wanted = key_identifier(&of, true);
    let rank = |issuer: &X509Certificate<'_>| {
        let given = key_identifier(issuer, false);
        let fits = wanted.is_some() && wanted == given;
        let contradicts = wanted.is_some() && given.is_some() && wanted != given;
        (!contradicts, fits, issuer.validity().not_after.timestamp())
    };
    pile.iter()
        .filter_map(|der| Some((*der, parse(der).ok()?)))
        .filter(|(_, issuer)| issuer.is_ca() && issuer.subject().as_raw() == of.issuer().as_raw())
        // Equal in all that counts: the bytes decide, not the order of the files.
        .max_by_key(|(der, issuer)| (rank(issuer), der.to_vec()))
        .map(|(der, _)| der)
}

fn is_self_issued(der: &CertificateDer<'_>) -> bool {
    parse(der).is_ok_and(|certificate| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// The identifier of the issuer's key, or of the own one.
fn key_identifier<'a>(certificate: &'a X509Certificate<'_>, of_issuer: bool) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(identifier) if of_issuer => {
            identifier.key_identifier.as_ref().map(|key| key.0)
        }
        ParsedExtension::SubjectKeyIdentifier(identifier) if !of_issuer => Some(identifier.0),
        _ => None,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of one text of a summary.
const TEXT_CHARS_MAX: usize = 128;
