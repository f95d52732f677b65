//! The choice among candidates.

use super::{Candidate, CertificateSummary};
use crate::code::Code;
use crate::error::Error;
use crate::identity::Report;
use crate::limits::CANDIDATES_MAX;
use crate::name::Name;

/// Which of several certificates an import takes. Everything that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateSelector {
    /// SHA-256 or SHA-1 of the certificate, hexadecimal, with or without colons, in any case.
    pub fingerprint: Option<String>,
    /// A dNSName that the certificate has besides.
    pub san: Option<String>,
    /// A part of the issuer's distinguished name, in any case.
    pub issuer: Option<String>,
    /// Of several that fit, the one that became valid last.
    pub newest: bool,
}

impl CertificateSelector {
    /// Refuses a fingerprint that cannot be one.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(text) = &self.fingerprint else { return Ok(()) };
        let digits = plain(text);
        if matches!(digits.len(), 40 | 64) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err(Error::new(Code::ArgumentInvalid)
            .subject("fingerprint")
            .found(text)
            .expected("SHA-256 (64 digits) or SHA-1 (40 digits), hexadecimal, with or without colons"))
    }

    fn takes(&self, summary: &CertificateSummary) -> bool {
        let fingerprint = self.fingerprint.as_deref().map(plain);
        let by_fingerprint = fingerprint.is_none_or(|digits| digits == summary.sha256 || digits == summary.sha1);
        let is_san = |san: &String| summary.names.iter().any(|name| name.eq_ignore_ascii_case(san));
        let issuer = summary.issuer.to_lowercase();
        let is_issuer = |part: &String| issuer.contains(&part.to_lowercase());
        by_fingerprint && self.san.as_ref().is_none_or(is_san) && self.issuer.as_ref().is_none_or(is_issuer)
    }
}

fn plain(fingerprint: &str) -> String {
    let is_digit = |c: &char| !matches!(c, ':' | ' ' | '-');
    fingerprint.chars().filter(is_digit).map(|c| c.to_ascii_lowercase()).collect()
}

/// The candidate that a running node uses: the usable one with the latest start, then the latest end.
///
/// # Errors
///
/// [`Code::IdentityAmbiguous`] for two that are equal in both; [`Code::IdentityMissing`] without a candidate; else what
/// is wrong with the newest.
pub(crate) fn live(candidates: Vec<Candidate>, name: &Name) -> Result<Candidate, Report> {
    check_count(&candidates, name)?;
    let (usable, mut others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(Candidate::is_usable);
    if !usable.is_empty() {
        return newest(usable, name).map_err(Report::of);
    }
    others.sort_by_key(age);
    Err(others.pop().map_or_else(|| Report::of(missing(name)), |newest| newest.report().clone()))
}

/// The one candidate that an import takes.
///
/// # Errors
///
/// [`Code::IdentityAmbiguous`], with each, for several usable ones; [`Code::IdentityMissing`] where none fits the
/// selector; what is wrong with each where none is usable.
pub(crate) fn the_only(
    candidates: Vec<Candidate>,
    selector: &CertificateSelector,
    name: &Name,
) -> Result<Candidate, Report> {
    selector.check().map_err(Report::of)?;
    check_count(&candidates, name)?;
    let total = candidates.len();
    let fitting: Vec<_> = candidates.into_iter().filter(|one| selector.takes(one.summary())).collect();
    if fitting.is_empty() && total > 0 {
        let none = missing(name).found(format!("{total} certificates for this name, and none that was selected"));
        return Err(Report::of(none.remedy("select another one, or leave the selection out")));
    }
    let (mut usable, others): (Vec<_>, Vec<_>) = fitting.into_iter().partition(Candidate::is_usable);
    match (usable.len(), usable.pop()) {
        (0, _) | (_, None) => Err(unusable(&others, name)),
        (1, Some(only)) => Ok(only),
        (_, Some(last)) => {
            usable.push(last);
            if selector.newest { newest(usable, name) } else { Err(ambiguous(&usable, name)) }.map_err(Report::of)
        }
    }
}

fn check_count(candidates: &[Candidate], name: &Name) -> Result<(), Report> {
    if candidates.len() <= CANDIDATES_MAX {
        return Ok(());
    }
    let found = format!("more than {CANDIDATES_MAX} certificates for this name");
    Err(Report::of(Error::new(Code::StoreTooLarge).subject(name.as_str()).found(found)))
}

fn age(candidate: &Candidate) -> (i64, i64) {
    (candidate.summary().not_before.unix_seconds(), candidate.summary().not_after.unix_seconds())
}

fn newest(mut usable: Vec<Candidate>, name: &Name) -> Result<Candidate, Error> {
    usable.sort_by_key(age);
    let best = usable.last().map(age);
    if usable.iter().filter(|one| Some(age(one)) == best).count() > 1 {
        usable.retain(|one| Some(age(one)) == best);
        return Err(ambiguous(&usable, name));
    }
    usable.pop().ok_or_else(|| missing(name))
}

fn missing(name: &Name) -> Error {
    Error::new(Code::IdentityMissing).subject(name.as_str()).found("no certificate for this name")
}

/// Lists all that compete, in the order of their fingerprints.
fn ambiguous(usable: &[Candidate], name: &Name) -> Error {
    let mut lines: Vec<String> = usable.iter().map(|one| one.summary().to_string()).collect();
    lines.sort();
    let (total, shown) = (lines.len(), lines.len().min(LISTED_MAX));
    lines.truncate(LISTED_MAX);
    let rest = if total > shown { format!("; and {} more", total - shown) } else { String::new() };
    let first = lines.first().and_then(|line| line.split([' ', ',']).nth(1)).unwrap_or_default();
    Error::new(Code::IdentityAmbiguous)
        .subject(name.as_str())
        .found(format!("{}{rest}", lines.join("; ")))
        .expected("one certificate that can be used")
        .remedy(format!("say which: --fingerprint {first}, --newest, or remove the others"))
}

/// What is wrong with each, told apart where there are several.
fn unusable(others: &[Candidate], name: &Name) -> Report {
    match others {
        [] => Report::of(missing(name)),
        [only] => only.report().clone(),
        several => {
            let mut report = Report::default();
            for candidate in several {
                for finding in candidate.report().findings() {
                    let serial = &candidate.summary().serial;
                    let subject = format!("serial {serial}: {}", finding.subject_text());
                    report.add(finding.clone().subject(subject.trim_end_matches([' ', ':'])));
                }
            }
            report
        }
    }
}

/// Of one error.
const LISTED_MAX: usize = 16;
