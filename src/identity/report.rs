//! What a check found: everything that is wrong, not the first thing only (rule I3).

use std::fmt;

use crate::code::Code;
use crate::error::{Error, printable};

/// All findings of one check, each with a permanent code, what was found, what was expected and what to do.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Error>,
}

impl Report {
    /// A report with one finding.
    pub(crate) fn of(finding: Error) -> Self {
        Self { findings: vec![complete(finding)] }
    }

    /// Adds a finding; a second one with the same code about the same thing says nothing new and is left out.
    pub(crate) fn add(&mut self, finding: Error) {
        let known = |old: &Error| old.code() == finding.code() && old.subject_text() == finding.subject_text();
        if self.findings.len() < FINDINGS_MAX && !self.findings.iter().any(known) {
            self.findings.push(complete(finding));
        }
    }

    /// Adds all findings of another report.
    pub(crate) fn merge(&mut self, other: Self) {
        other.findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// The findings, in the order in which the checks run: leaf, key, names, path, revocation.
    pub fn findings(&self) -> &[Error] {
        &self.findings
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first finding, if there is one.
    pub fn first(&self) -> Option<&Error> {
        self.findings.first()
    }

    /// Whether a finding has this code.
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code() == code)
    }
}

impl From<Report> for Error {
    /// The first finding; the codes of the others are added to what was found.
    fn from(report: Report) -> Self {
        let mut findings = report.findings.into_iter();
        let Some(first) = findings.next() else {
            return Error::new(Code::Internal).found("a refusal without a finding");
        };
        let others: Vec<String> = findings.map(|finding| finding.code().to_string()).collect();
        if others.is_empty() {
            return first;
        }
        let found = format!("{} (and {} more: {})", first.found_text(), others.len(), others.join(", "));
        first.found(found)
    }
}

impl fmt::Display for Report {
    /// One block for each finding: code and summary, then found, expected and remedy on lines of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{} {}", finding.code(), finding.code().summary())?;
            if !finding.subject_text().is_empty() {
                write!(f, ": {}", printable(finding.subject_text()))?;
            }
            let lines = [
                ("found    ", finding.found_text()),
                ("expected ", finding.expected_text()),
                ("remedy   ", finding.remedy_text()),
            ];
            for (label, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
                write!(f, "\n  {label} {}", printable(text))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

/// A finding that says what was expected: where the check did not, its code does.
fn complete(finding: Error) -> Error {
    if !finding.expected_text().is_empty() {
        return finding;
    }
    let expected = match finding.code() {
        Code::CertificateMissing => "a certificate, then its intermediates",
        Code::CertificateUnreadable => "X.509 version 3 in DER, each extension once and as its definition has it",
        Code::TrustMissing | Code::TrustUnusable => {
            "a CA certificate: basicConstraints CA, keyCertSign, no unknown critical extension"
        }
        Code::KeyUnreadable => "an unencrypted PEM key: PKCS#8, SEC1 or PKCS#1",
        Code::PathInvalid => "a path as RFC 5280 section 6 has it, with extensions that are known",
        Code::SignatureInvalid => "the signature of the issuer whose name the certificate has",
        Code::NameConstraintViolated => "names that every CA of the path may issue",
        Code::IntermediateUnusable => "a CA: basicConstraints CA, keyCertSign, a subject",
        Code::SignatureAlgorithmWeak => "RSA, ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519",
        Code::CertificateIsCa => "an end-entity certificate",
        Code::CertificateRevoked => "a certificate that is in no list of its issuer",
        Code::CrlMissing => "a current list of every issuer on the path",
        Code::CrlStale => "a list whose next update is not past",
        Code::CrlUnusable => {
            "the issuer's full list: version 2, numbered, signed with the key that signed the certificate"
        }
        _ => return finding,
    };
    finding.expected(expected)
}

/// No certificate has more kinds of faults; a bound all the same.
const FINDINGS_MAX: usize = 32;
