//! Why a chain was refused, in words: everything that is wrong with it (rule I3).

use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{constrains_other_names, parse, subject_of};
use crate::identity::path::{RULES, Search};
use crate::identity::report::Report;
use crate::identity::revocation::problem_with;
use crate::identity::signature::is_signed_by;
use crate::time::Timestamp;

impl Search<'_> {
    /// Adds all that is wrong with a refused chain, beyond what the candidate's own findings say.
    pub(super) fn explain(&self, error: webpki::Error, report: &mut Report) {
        let revocation = concerns_revocation(&error);
        if !revocation && error != RULES && (report.is_clean() || !self.is_of_another_time(&error)) {
            report.add(self.finding_of(&error));
        }
        if !revocation {
            self.explain_lists(&self.chain[..1], |finding| finding.code() == Code::CertificateRevoked, report);
            return;
        }
        let before = report.findings().len();
        // The path itself may have faults that the revocation check, which runs first, hid.
        if let Err(refusal) = self.candidate() {
            report.merge(refusal.findings);
            if refusal.error != RULES && (report.is_clean() || !self.is_of_another_time(&refusal.error)) {
                report.add(self.finding_of(&refusal.error));
            }
        }
        self.explain_lists(self.chain, |_| true, report);
        let explained = match error {
            webpki::Error::UnknownRevocationStatus => report.findings().len() > before,
            _ => report.has(self.finding_of(&error).code()),
        };
        if !explained {
            report.add(self.finding_of(&error));
        }
    }

    /// Whether it says only that an issuer was not valid when the leaf was: the search looks there where the leaf is not
    /// valid now, which is a finding already, and the issuer may well be valid now.
    fn is_of_another_time(&self, error: &webpki::Error) -> bool {
        let now = u64::try_from(self.check.at.unix_seconds()).unwrap_or(0);
        match error {
            webpki::Error::CertNotValidYet { not_before, .. } => not_before.as_secs() <= now,
            webpki::Error::CertExpired { not_after, .. } => now <= not_after.as_secs(),
            _ => false,
        }
    }

    /// Adds what the lists say about presented certificates, of that what is asked for.
    fn explain_lists(&self, chain: &[CertificateDer<'_>], wanted: impl Fn(&Error) -> bool, report: &mut Report) {
        for der in chain.iter().filter(|der| !self.check.trust.holds(der)) {
            let Ok(certificate) = parse(der) else { continue };
            let findings = self.check.trust.lists().explain(&certificate, self.check.at);
            findings.into_iter().filter(&wanted).for_each(|finding| report.add(finding));
        }
    }

    /// The finding that an error of webpki means.
    fn finding_of(&self, error: &webpki::Error) -> Error {
        use webpki::Error as E;
        let subject = subject_of(self.leaf);
        let finding = |code: Code| Error::new(code).subject(&subject);
        match error {
            E::UnknownIssuer => finding(Code::IssuerUnknown)
                .found(format!("issued by {}", crate::error::printable(&self.leaf.issuer().to_string())))
                .expected(format!("a path to one of: {}", self.check.trust.describe(4))),
            E::CertRevoked => {
                finding(Code::CertificateRevoked).found("a certificate of the path is on its issuer's list")
            }
            E::CertExpired { not_after, .. } => {
                self.about_issuer(Code::CertificateExpired, "valid until", not_after.as_secs(), true)
            }
            E::CertNotValidYet { not_before, .. } => {
                self.about_issuer(Code::CertificateNotYetValid, "valid from", not_before.as_secs(), false)
            }
            E::InvalidSignatureForPublicKey | E::SignatureAlgorithmMismatch => {
                self.about_signature(finding(Code::SignatureInvalid))
            }
            E::CaUsedAsEndEntity => finding(Code::CertificateIsCa).found("basicConstraints CA"),
            E::EndEntityUsedAsCa => finding(Code::IntermediateUnusable).found("an issuer that is no CA"),
            E::NameConstraintViolation | E::MalformedNameConstraint => {
                self.about_constraint(finding(Code::NameConstraintViolated))
            }
            E::UnsupportedSignatureAlgorithmContext(_) | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                finding(Code::SignatureAlgorithmWeak)
                    .found("a signature of the path by an algorithm or key that is not accepted")
            }
            E::CrlExpired { next_update, .. } => {
                finding(Code::CrlStale).found(format!("next update was due {}", seconds(next_update.as_secs())))
            }
            E::UnknownRevocationStatus => {
                finding(Code::CrlMissing).found("no revocation list that covers every certificate of the path")
            }
            other if concerns_revocation(other) => finding(Code::CrlUnusable).found(problem_with(other)),
            E::BadDer
            | E::BadDerTime
            | E::TrailingData(_)
            | E::UnsupportedCertVersion
            | E::ExtensionValueInvalid
            | E::MalformedExtensions
            | E::InvalidSerialNumber
            | E::MalformedDnsIdentifier => {
                finding(Code::CertificateUnreadable).found(problem_with_form(error)).expected("X.509 version 3 in DER")
            }
            other => finding(Code::PathInvalid).found(problem_with_path(other)),
        }
    }

    /// A wrong signature; where the chain has a CA's certificate for its own other key, a path over it failed otherwise.
    fn about_signature(&self, finding: Error) -> Error {
        let presented = self.chain.iter().skip(1).filter_map(|der| Some((der, parse(der).ok()?)));
        let mut self_issued = presented.filter(|(_, one)| one.subject().as_raw() == one.issuer().as_raw());
        // A root that is presented is signed with its own key.
        match self_issued.find(|(der, one)| !is_signed_by(der, one.public_key().raw)) {
            None => finding.found("a signature that the issuer's key did not make"),
            Some((_, own)) => finding
                .subject(subject_of(&own))
                .found(
                    "no path; one over this certificate, which a CA issued to itself for another key, is not allowed",
                )
                .expected("path lengths and name constraints that count such a certificate as any other")
                .remedy("trust the CA's old and its new certificate while both are in use"),
        }
    }

    /// A name that a CA may not issue, or a constraint of a kind that is not read.
    fn about_constraint(&self, finding: Error) -> Error {
        let presented =
            self.chain.iter().skip(1).filter_map(|der| parse(der).ok()).map(|one| constrains_other_names(&one));
        if presented.chain(self.check.trust.constrain_other_names()).any(|other| other) {
            return finding
                .found("a CA of the path with name constraints on directory names, mail addresses or URIs")
                .expected("constraints on DNS names and addresses only: others cannot be checked")
                .remedy("use a CA without such constraints");
        }
        finding.found("a name outside the constraints of a CA of the path")
    }

    /// A finding about the presented issuer whose validity begins or ends then.
    fn about_issuer(&self, code: Code, what: &str, time: u64, is_end: bool) -> Error {
        let moment = i64::try_from(time).unwrap_or(i64::MAX);
        let parsed: Vec<_> = self.chain.iter().skip(1).filter_map(|der| parse(der).ok()).collect();
        let matching = parsed.iter().find(|issuer| {
            let validity = issuer.validity();
            let bound = if is_end { validity.not_after } else { validity.not_before };
            bound.timestamp() == moment
        });
        let subject = matching.map_or_else(|| "an issuer".to_owned(), subject_of);
        Error::new(code)
            .subject(subject)
            .found(format!("{what} {}", seconds(time)))
            .expected(format!("valid at {}", self.check.at))
    }
}

fn concerns_revocation(error: &webpki::Error) -> bool {
    use webpki::Error as E;
    matches!(
        error,
        E::CertRevoked
            | E::CrlExpired { .. }
            | E::InvalidCrlNumber
            | E::InvalidCrlSignatureForPublicKey
            | E::IssuerNotCrlSigner
            | E::UnknownRevocationStatus
            | E::UnsupportedCrlIssuingDistributionPoint
            | E::UnsupportedCrlVersion
            | E::UnsupportedDeltaCrl
            | E::UnsupportedIndirectCrl
            | E::UnsupportedRevocationReason
            | E::UnsupportedRevocationReasonsPartitioning
            | E::UnsupportedCrlSignatureAlgorithmContext(_)
            | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
    )
}

/// Why webpki does not read a certificate.
fn problem_with_form(error: &webpki::Error) -> String {
    match error {
        webpki::Error::BadDerTime => "a time that cannot be read, or one before 1970".to_owned(),
        webpki::Error::TrailingData(_) => {
            "something after the extensions, or unique identifiers before them".to_owned()
        }
        other => format!("{other:?}"),
    }
}

fn problem_with_path(error: &webpki::Error) -> String {
    use webpki::Error as E;
    match error {
        E::PathLenConstraintViolated => "more intermediates than a CA's path length allows".to_owned(),
        E::UnsupportedCriticalExtension => {
            "an unknown critical extension (certificate policies marked critical are one)".to_owned()
        }
        E::MaximumPathDepthExceeded => "more than 6 intermediates".to_owned(),
        E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            format!("a chain that costs too much to check ({error:?})")
        }
        other => format!("{other:?}"),
    }
}

fn seconds(time: u64) -> Timestamp {
    Timestamp::from_unix_seconds(i64::try_from(time).unwrap_or(i64::MAX))
}
