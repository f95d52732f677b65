//! The path from a leaf to a trust anchor: rustls-webpki finds it, our rules are asked about each candidate.

use std::cell::RefCell;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::aws_lc_rs as algorithms;
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;

use crate::code::Code;
use crate::error::Error;
use crate::identity::KeyHash;
use crate::identity::certificate::{check_issuer, no_list_signer, parse};
use crate::identity::policy::{CrlPolicy, IdentityPolicy};
use crate::identity::report::Report;
use crate::identity::trust::{Anchor, Trust};
use crate::time::Timestamp;

/// A search for a path, with everything that it depends on.
pub(super) struct Search<'a> {
    pub(super) trust: &'a Trust,
    pub(super) policy: &'a IdentityPolicy,
    /// Leaf first.
    pub(super) chain: &'a [CertificateDer<'a>],
    pub(super) leaf: &'a X509Certificate<'a>,
    pub(super) at: Timestamp,
}

/// What is known of an accepted path.
#[derive(Debug)]
pub(super) struct Path {
    /// Seconds since 1970: the first end of a validity on the path, the anchor's too.
    pub(super) not_after: i64,
    /// What [`CrlPolicy::Warn`] only tells.
    pub(super) warnings: Vec<Error>,
}

/// What a search does about lists beside webpki's own check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    Nothing,
    /// Accepts only what lists clear whose signatures were checked before.
    Proven,
    /// Remembers whose signatures webpki found good.
    Learn,
}

/// Why no candidate was accepted.
pub(super) struct Refusal {
    pub(super) error: webpki::Error,
    pub(super) findings: Report,
}

impl Search<'_> {
    /// Finds an accepted path, or adds to the report all that is wrong.
    pub(super) fn run(&self, report: &mut Report) -> Option<Path> {
        let issued = self.trust.lists().issued(self.at);
        let (accepted, warnings) = match self.policy.crl_policy {
            CrlPolicy::Warn => (self.candidate_unless_revoked(&issued), self.list_warnings()),
            CrlPolicy::IfGiven if self.trust.lists().is_empty() => (self.candidate(None), Vec::new()),
            CrlPolicy::IfGiven | CrlPolicy::Require if issued.is_empty() => {
                self.explain(webpki::Error::UnknownRevocationStatus, report);
                return None;
            }
            CrlPolicy::IfGiven | CrlPolicy::Require => (self.candidate_not_revoked(&issued), Vec::new()),
        };
        match accepted {
            Ok(not_after) => Some(Path { not_after, warnings }),
            Err(refusal) => {
                report.merge(refusal.findings);
                self.explain(refusal.error, report);
                None
            }
        }
    }

    /// Every certificate of the path must be on no current list of its issuer.
    fn candidate_not_revoked(&self, issued: &[&CertRevocationList<'_>]) -> Result<i64, Refusal> {
        if self.trust.lists().has_proven()
            && let Ok(not_after) = self.search(None, Lists::Proven)
        {
            return Ok(not_after);
        }
        self.search(strict(issued), Lists::Learn)
    }

    /// Under [`CrlPolicy::Warn`]: lists that cannot be used do not count, a revocation does.
    fn candidate_unless_revoked(&self, issued: &[&CertRevocationList<'_>]) -> Result<i64, Refusal> {
        let not_after = self.candidate(None)?;
        for list in issued {
            if let Err(refusal) = self.candidate(lenient(std::slice::from_ref(list)))
                && refusal.error == webpki::Error::CertRevoked
            {
                return Err(refusal);
            }
        }
        Ok(not_after)
    }

    fn list_warnings(&self) -> Vec<Error> {
        let mut findings = Vec::new();
        let mut presented = self.chain.iter().skip(1).filter_map(|der| parse(der).ok()).collect::<Vec<_>>();
        presented.push(self.leaf.clone());
        for certificate in &presented {
            findings.extend(self.trust.lists().explain(certificate, self.at));
        }
        findings
    }

    /// One search without lists that were checked before.
    pub(super) fn candidate(&self, revocation: Option<RevocationOptions<'_>>) -> Result<i64, Refusal> {
        self.search(revocation, Lists::Nothing)
    }

    /// One search; the result is the first end of a validity on the path.
    fn search(&self, revocation: Option<RevocationOptions<'_>>, lists: Lists) -> Result<i64, Refusal> {
        let refusal = |error| Refusal { error, findings: Report::default() };
        let judged: RefCell<Result<i64, Report>> = RefCell::new(Err(Report::default()));
        let leaf = EndEntityCert::try_from(&self.chain[0]).map_err(refusal)?;
        let judge = |path: &VerifiedPath<'_>| {
            let mut verdict = self.judge(path);
            if lists == Lists::Proven
                && !self.all_links(path, |certificate, key| self.trust.lists().clears(certificate, key, self.at))
            {
                verdict = Err(Report::default());
            }
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
            self.trust.roots(),
            &self.chain[1..],
            self.unix_time(),
            AnyPurpose,
            revocation,
            Some(&judge),
        );
        if let (Ok(path), Lists::Learn) = (&found, lists) {
            self.all_links(path, |certificate, key| {
                self.trust.lists().learn(certificate, key);
                true
            });
        }
        let error = found.err();
        match (error, judged.into_inner()) {
            (None, Ok(not_after)) => Ok(not_after),
            (error, judged) => {
                Err(Refusal { error: error.unwrap_or(RULES), findings: judged.err().unwrap_or_default() })
            }
        }
    }

    /// Asks about each certificate of a path below the anchor, with its issuer's key, until the answer is no.
    fn all_links(&self, path: &VerifiedPath<'_>, mut ask: impl FnMut(&webpki::Cert<'_>, KeyHash) -> bool) -> bool {
        let mut certificate: &webpki::Cert<'_> = path.end_entity();
        for issuer in path.intermediate_certificates() {
            if !ask(certificate, KeyHash::of(&issuer.subject_public_key_info())) {
                return false;
            }
            certificate = issuer;
        }
        ask(certificate, KeyHash::of(&webpki::spki_for_anchor(path.anchor())))
    }

    /// The time of the search. A leaf that is not valid now is refused in any case; the search then looks at the
    /// nearest time at which it is, so that the report has what else is wrong (rule I3).
    fn unix_time(&self) -> UnixTime {
        let validity = self.leaf.validity();
        let (first, last) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let seconds = self.at.unix_seconds().min(last).max(first);
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Our rules about a path that webpki found.
    fn judge(&self, path: &VerifiedPath<'_>) -> Result<i64, Report> {
        let mut report = Report::default();
        let mut not_after = self.leaf.validity().not_after.timestamp();
        let mut issuers = 0_u32;
        for intermediate in path.intermediate_certificates() {
            let der = intermediate.der();
            match parse(&der) {
                Err(finding) => report.add(finding),
                Ok(issuer) => {
                    let signs_lists = self.trust.lists().has_issuer(issuer.subject().as_raw());
                    check_issuer(&issuer, signs_lists, self.policy, &mut report);
                    not_after = not_after.min(issuer.validity().not_after.timestamp());
                    issuers += u32::from(issuer.subject() != issuer.issuer());
                }
            }
        }
        match self.trust.anchor_of(path.anchor()) {
            None => report.add(Error::new(Code::Internal).found("a path to an anchor that is not held")),
            Some(anchor) => {
                self.judge_anchor(anchor, issuers, &mut report);
                not_after = not_after.min(anchor.not_after);
            }
        }
        if report.is_clean() { Ok(not_after) } else { Err(report) }
    }

    fn judge_anchor(&self, anchor: &Anchor, issuers: u32, report: &mut Report) {
        let now = self.at.unix_seconds();
        let mut refuse = |found: String, expected: String| {
            report.add(Error::new(Code::TrustUnusable).subject(&anchor.subject).found(found).expected(expected));
        };
        if now < anchor.not_before {
            refuse(
                format!("valid from {}", Timestamp::from_unix_seconds(anchor.not_before)),
                format!("valid at {}", self.at),
            );
        }
        if now > anchor.not_after {
            refuse(
                format!("valid until {}", Timestamp::from_unix_seconds(anchor.not_after)),
                format!("valid at {}", self.at),
            );
        }
        if anchor.path_length.is_some_and(|most| issuers > most) {
            refuse(format!("{issuers} intermediates under it"), format!("at most {}", anchor.path_length.unwrap_or(0)));
        }
        if anchor.has_list && !anchor.may_sign_lists && self.policy.crl_policy != CrlPolicy::Warn {
            report.add(no_list_signer(&anchor.subject));
        }
    }
}

/// The whole path is looked at, an unknown status is refused, a stale list is refused. (The defaults of webpki are not
/// these, and its `with_*` take and give the builder.)
fn strict<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    let builder = builder.with_status_policy(UnknownStatusPolicy::Deny);
    Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build())
}

fn lenient<'a>(lists: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    let builder = builder.with_status_policy(UnknownStatusPolicy::Allow);
    Some(builder.with_expiration_policy(ExpirationPolicy::Ignore).build())
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
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
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
