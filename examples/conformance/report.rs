//! What is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::case::Case;
use crate::exceptions::{Exception, covering};
use crate::runner::{Outcome, run};

/// A case with what came of it.
pub(crate) struct Judged<'a> {
    pub(crate) case: &'a Case,
    pub(crate) outcome: Outcome,
    /// What covers a disagreement.
    pub(crate) exception: Option<&'static Exception>,
}

impl<'a> Judged<'a> {
    pub(crate) fn new(case: &'a Case) -> Self {
        let outcome = run(case);
        let agrees = outcome.accepted == case.is_good() && outcome.reason != "PANIC";
        let exception = if agrees { None } else { covering(case, &outcome) };
        Self { case, outcome, exception }
    }

    pub(crate) fn agrees(&self) -> bool {
        self.outcome.accepted == self.case.is_good() && self.outcome.reason != "PANIC"
    }

    /// A disagreement that no documented exception covers.
    pub(crate) fn is_wrong(&self) -> bool {
        !self.agrees() && self.exception.is_none()
    }

    fn result(&self) -> &'static str {
        if self.outcome.accepted { "SUCCESS" } else { "FAILURE" }
    }

    fn expected(&self) -> &'static str {
        if self.case.is_good() { "SUCCESS" } else { "FAILURE" }
    }

    /// Why it came out so: the findings, and for a disagreement what covers it.
    fn reason(&self) -> String {
        let mut reason = self.outcome.reason.clone();
        match self.exception {
            Some(exception) if reason.is_empty() => reason = format!("[{}]", exception.name),
            Some(exception) => reason = format!("[{}] {reason}", exception.name),
            None => {}
        }
        reason
    }

    /// One line of `--json`.
    pub(crate) fn as_json(&self) -> String {
        let exception = self.exception.map(|exception| exception.name);
        let (expected, result) = (Some(self.expected()), self.result());
        let Case { id, suite, .. } = self.case;
        json_line(id, suite, expected, result, self.agrees(), exception, &self.reason(), self.outcome.took)
    }
}

/// A line of `--json`: `expected` is null where nobody has said what must come out.
#[expect(clippy::too_many_arguments, reason = "the fields of the line, each named where it is printed")]
pub(crate) fn json_line(
    id: &str,
    suite: &str,
    expected: Option<&str>,
    result: &str,
    agrees: bool,
    exception: Option<&str>,
    reason: &str,
    took: Duration,
) -> String {
    json!({
        "id": id,
        "suite": suite,
        "expected": expected,
        "result": result,
        "agrees": agrees,
        "exception": exception,
        "reason": reason,
        "microseconds": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    })
    .to_string()
}

/// The report for people: per source the sums, then a line for each disagreement.
pub(crate) fn summary(judged: &[Judged<'_>]) -> String {
    let mut suites: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
    for one in judged {
        suites.entry(&one.case.suite).or_default().push(one);
    }
    let mut out = String::new();
    for (suite, cases) in suites {
        let differing: Vec<_> = cases.iter().filter(|one| !one.agrees()).collect();
        let covered = differing.iter().filter(|one| one.exception.is_some()).count();
        let (agree, differ) = (cases.len() - differing.len(), differing.len());
        out += &format!("{suite}: {agree} of {} agree, {differ} disagree, {covered} of them documented\n", cases.len());
        for one in differing {
            let mark = if one.exception.is_some() { " " } else { "!" };
            let (expected, result) = (one.expected(), one.result());
            let may = if one.case.is_optional() { " (optional)" } else { "" };
            out += &format!("{mark} {}{may}: expected {expected}, got {result}: {}\n", one.case.id, one.reason());
        }
    }
    if let Some(slowest) = judged.iter().max_by_key(|one| one.outcome.took) {
        let all: Duration = judged.iter().map(|one| one.outcome.took).sum();
        let (most, mean) = (slowest.outcome.took.as_micros(), all.as_micros() / judged.len() as u128);
        out += &format!("{} cases, {mean} µs each, the slowest {most} µs: {}\n", judged.len(), slowest.case.id);
    }
    out
}
