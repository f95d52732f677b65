//! The path from a leaf to a trust anchor: rustls-webpki finds it, our rules are asked about each candidate.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};
use x509_parser::certificate::X509Certificate;

use crate::code::Code;
use crate::error::Error;
use crate::identity::KeyHash;
use crate::identity::certificate::{check_issuer, no_list_signer, parse, subject_of};
use crate::identity::form::{CertificateForm, check_anchor_strictly, check_strictly};
use crate::identity::policy::{ChainLimits, CrlPolicy};
use crate::identity::report::Report;
use crate::identity::revocation::Link;
use crate::identity::trust::Anchor;
use crate::identity::verify::PeerCheck;
use crate::limits::KEYS_PER_SUBJECT_MAX;
use crate::time::Timestamp;

/// A search for a path, with everything that it depends on.
pub(super) struct Search<'a> {
    pub(super) check: &'a PeerCheck<'a>,
    /// Leaf first.
    pub(super) chain: &'a [CertificateDer<'a>],
    pub(super) leaf: &'a X509Certificate<'a>,
}

/// What is known of an accepted path.
#[derive(Debug)]
pub(super) struct Path {
    /// Seconds since 1970: the first end of a validity on the path, the anchor's too.
    pub(super) not_after: i64,
    /// The key of the CA that issued the leaf: the one that proved the leaf's signature.
    pub(super) issuer: KeyHash,
    /// What [`CrlPolicy::Warn`] only tells.
    pub(super) warnings: Vec<Error>,
}

/// What a judged candidate has that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Seconds since 1970.
    not_after: i64,
    issuer: KeyHash,
}

/// What a search does about lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// They are not asked.
    Nothing,
    /// Refuses what a list has, and no more.
    Revoked,
    /// Accepts only what a current list of the issuer clears.
    Decide,
}

/// Why no candidate was accepted.
pub(super) struct Refusal {
    pub(super) error: webpki::Error,
    pub(super) findings: Report,
}

impl Search<'_> {
    /// Finds an accepted path, or adds to the report all that is wrong.
    pub(super) fn run(&self, report: &mut Report) -> Option<Path> {
        if let Err(finding) = self.check_subjects() {
            report.add(finding);
            return None;
        }
        let has_lists = !self.check.trust.lists().is_empty();
        let (accepted, warnings) = match self.check.policy.crl_policy {
            CrlPolicy::Warn => (self.search(Lists::Revoked), self.list_warnings()),
            CrlPolicy::IfGiven if !has_lists => (self.candidate(), Vec::new()),
            CrlPolicy::Require if !has_lists => {
                self.explain(webpki::Error::UnknownRevocationStatus, report);
                return None;
            }
            CrlPolicy::IfGiven | CrlPolicy::Require => (self.search(Lists::Decide), Vec::new()),
        };
        match accepted {
            Ok(Judged { not_after, issuer }) => Some(Path { not_after, issuer, warnings }),
            Err(refusal) => {
                report.merge(refusal.findings);
                self.explain(refusal.error, report);
                None
            }
        }
    }

    /// At most [`KEYS_PER_SUBJECT_MAX`] keys under one subject: more are no roll-over, but work for the path building.
    fn check_subjects(&self) -> Result<(), Error> {
        let issuers: Vec<_> = self.chain.iter().skip(1).filter_map(|der| parse(der).ok()).collect();
        for issuer in &issuers {
            let keys: BTreeSet<&[u8]> = issuers
                .iter()
                .filter(|other| other.subject().as_raw() == issuer.subject().as_raw())
                .map(|other| other.public_key().raw)
                .collect();
            if keys.len() > KEYS_PER_SUBJECT_MAX && self.check.limits == ChainLimits::Link {
                return Err(Error::new(Code::ChainTooLarge)
                    .subject(subject_of(issuer))
                    .found(format!("{} keys of one CA", keys.len()))
                    .expected(format!("at most {KEYS_PER_SUBJECT_MAX}: an old and a new one")));
            }
        }
        Ok(())
    }

    fn list_warnings(&self) -> Vec<Error> {
        let mut findings = Vec::new();
        let mut presented = self.chain.iter().skip(1).filter_map(|der| parse(der).ok()).collect::<Vec<_>>();
        presented.push(self.leaf.clone());
        for certificate in &presented {
            findings.extend(self.check.trust.lists().explain(certificate, self.check.at));
        }
        findings
    }

    /// One search without lists.
    pub(super) fn candidate(&self) -> Result<Judged, Refusal> {
        self.search(Lists::Nothing)
    }

    /// One search; the result has the first end of a validity on the path.
    fn search(&self, lists: Lists) -> Result<Judged, Refusal> {
        let judged: RefCell<Result<Judged, Report>> = RefCell::new(Err(Report::default()));
        let leaf =
            EndEntityCert::try_from(&self.chain[0]).map_err(|error| Refusal { error, findings: Report::default() })?;
        let judge = |path: &VerifiedPath<'_>| {
            let verdict = self.judge(path, lists);
            let refused = verdict.is_err();
            // Of several refused candidates the first explains best; an accepted one ends the search.
            let first = judged.borrow().as_ref().is_err_and(Report::is_clean);
            if !refused || first {
                *judged.borrow_mut() = verdict;
            }
            if refused { Err(RULES) } else { Ok(()) }
        };
        let found = leaf.verify_for_usage(
            ALGORITHMS,
            self.check.trust.roots(),
            &self.chain[1..],
            self.unix_time(),
            AnyPurpose,
            None,
            Some(&judge),
        );
        match (found.err(), judged.into_inner()) {
            (None, Ok(judged)) => Ok(judged),
            (error, judged) => {
                Err(Refusal { error: error.unwrap_or(RULES), findings: judged.err().unwrap_or_default() })
            }
        }
    }

    /// Asks the lists about each certificate of a path below the anchor.
    fn judge_by_lists(&self, path: &VerifiedPath<'_>, lists: Lists, report: &mut Report) {
        let held = self.check.trust.lists();
        let mut ask = |der: &[u8], is_authority: bool, issuer_key: &[u8]| match parse(der) {
            Err(finding) => report.add(finding),
            Ok(parsed) => {
                let findings = match lists {
                    Lists::Nothing => Vec::new(),
                    Lists::Revoked => held.revoked(&parsed, self.check.at),
                    Lists::Decide => held.judge(Link { certificate: &parsed, is_authority, issuer_key }, self.check.at),
                };
                findings.into_iter().for_each(|finding| report.add(finding));
            }
        };
        let mut certificate: &webpki::Cert<'_> = path.end_entity();
        let mut is_authority = false;
        for issuer in path.intermediate_certificates() {
            ask(&certificate.der(), is_authority, &issuer.subject_public_key_info());
            (certificate, is_authority) = (issuer, true);
        }
        ask(&certificate.der(), is_authority, &webpki::spki_for_anchor(path.anchor()));
    }

    /// The time of the search. A leaf that is not valid now is refused in any case; the search then looks at the
    /// nearest time at which it is, so that the report has what else is wrong (rule I3).
    fn unix_time(&self) -> UnixTime {
        let validity = self.leaf.validity();
        let (first, last) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let seconds = self.check.at.unix_seconds().min(last).max(first);
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Our rules about a path that webpki found.
    fn judge(&self, path: &VerifiedPath<'_>, lists: Lists) -> Result<Judged, Report> {
        let mut report = Report::default();
        let mut not_after = self.leaf.validity().not_after.timestamp();
        let mut issuers = 0_u32;
        for intermediate in path.intermediate_certificates() {
            let der = intermediate.der();
            match parse(&der) {
                Err(finding) => report.add(finding),
                Ok(issuer) => {
                    let signs_lists = self.check.trust.lists().has_issuer(issuer.subject().as_raw());
                    check_issuer(&issuer, signs_lists, self.check.purposes(), &mut report);
                    if self.check.form == CertificateForm::Strict {
                        check_strictly(&issuer, &mut report);
                    }
                    not_after = not_after.min(issuer.validity().not_after.timestamp());
                    issuers += u32::from(issuer.subject() != issuer.issuer());
                }
            }
        }
        if let Some(most) = self.check.intermediates_max.filter(|most| issuers > *most) {
            let wrong = Error::new(Code::PathInvalid).subject(subject_of(self.leaf));
            report.add(wrong.found(format!("{issuers} intermediates")).expected(format!("at most {most}")));
        }
        match self.check.trust.anchor_of(path.anchor()) {
            None => report.add(Error::new(Code::Internal).found("a path to an anchor that is not held")),
            Some(anchor) => {
                self.judge_anchor(anchor, issuers, &mut report);
                not_after = not_after.min(anchor.not_after);
            }
        }
        if lists != Lists::Nothing {
            self.judge_by_lists(path, lists, &mut report);
        }
        if report.is_clean() { Ok(Judged { not_after, issuer: issuer_of(path) }) } else { Err(report) }
    }

    fn judge_anchor(&self, anchor: &Anchor, issuers: u32, report: &mut Report) {
        if self.check.form == CertificateForm::Strict {
            match parse(anchor.der()) {
                Ok(certificate) => check_anchor_strictly(&certificate, report),
                Err(finding) => report.add(finding),
            }
        }
        let now = self.check.at.unix_seconds();
        let mut refuse = |found: String, expected: String| {
            report.add(Error::new(Code::TrustUnusable).subject(&anchor.subject).found(found).expected(expected));
        };
        if now < anchor.not_before {
            refuse(
                format!("valid from {}", Timestamp::from_unix_seconds(anchor.not_before)),
                format!("valid at {}", self.check.at),
            );
        }
        if now > anchor.not_after {
            refuse(
                format!("valid until {}", Timestamp::from_unix_seconds(anchor.not_after)),
                format!("valid at {}", self.check.at),
            );
        }
        if anchor.path_length.is_some_and(|most| issuers > most) {
            refuse(format!("{issuers} intermediates under it"), format!("at most {}", anchor.path_length.unwrap_or(0)));
        }
        if anchor.has_list && !anchor.may_sign_lists && self.check.policy.crl_policy != CrlPolicy::Warn {
            report.add(no_list_signer(&anchor.subject));
        }
    }
}

/// The key that proved the leaf's signature: nobody without its private half can make another one stand here.
fn issuer_of(path: &VerifiedPath<'_>) -> KeyHash {
    match path.intermediate_certificates().next() {
        Some(issuer) => KeyHash::of(&issuer.subject_public_key_info()),
        None => KeyHash::of(&webpki::spki_for_anchor(path.anchor())),
    }
}

/// webpki asks about each certificate without saying which: our own rules look at each instead.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// What our rules answer to webpki for a candidate that they refuse. It comes from nowhere else but webpki's own list
/// of distrusted keys, which is refused likewise.
pub(super) const RULES: webpki::Error = webpki::Error::CertDistrusted;

/// The signatures that a path may have (rule I2): no SHA-1, no RSA below 2048 bits.
pub(super) static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P256_SHA512,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P384_SHA512,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];
