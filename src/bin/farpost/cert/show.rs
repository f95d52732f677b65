//! What the subcommands of `farpost cert` share: demands as words, findings as text and JSON.

use std::path::Path;

use clap::Args;
use farpost::{CertificateCheck, Error, IdentityPolicy};
use serde_json::{Value, json};

use super::words::{CrlWord, NameWord};
use crate::failure::{Failure, printable};
use crate::files;

/// What is demanded of a certificate.
#[derive(Args)]
pub(super) struct PolicyArguments {
    /// What missing or stale revocation lists mean: if-given unless said otherwise
    #[arg(long, value_enum)]
    crl_policy: Option<CrlWord>,
    /// Where the name is read: san unless said otherwise
    #[arg(long, value_enum)]
    name_rule: Option<NameWord>,
    /// Accept a certificate without clientAuth
    #[arg(long)]
    accept_server_auth_alone: bool,
}

impl PolicyArguments {
    /// Whether anything is demanded in words of its own; a configuration has its own demands.
    pub(super) fn are_given(&self) -> bool {
        self.crl_policy.is_some() || self.name_rule.is_some() || self.accept_server_auth_alone
    }

    pub(super) fn policy(&self) -> IdentityPolicy {
        let crl_policy = self.crl_policy.unwrap_or(CrlWord::IfGiven).policy();
        let name_rule = self.name_rule.unwrap_or(NameWord::San).rule();
        IdentityPolicy { name_rule, crl_policy, accept_server_auth_alone: self.accept_server_auth_alone }
    }
}

/// Prints a check, with `more` findings that the library did not make; fails if there is any finding. Each stands on
/// standard error with code, found, expected and remedy, or in the JSON document.
pub(super) fn conclude(check: &CertificateCheck, more: Vec<Failure>, as_json: bool) -> Result<(), Failure> {
    let of_report = check.report.findings().iter().map(|finding| Failure::from(finding.clone()));
    let mut findings: Vec<Failure> = of_report.chain(more).collect();
    if as_json {
        println!("{}", document(check, &findings));
    } else {
        for (label, text) in &check.facts {
            println!("{label:<10} {}", printable(text));
        }
        for warning in &check.warnings {
            println!("warning    {warning}");
        }
        if findings.is_empty() {
            println!("usable     yes");
        }
    }
    let last = findings.pop();
    for finding in findings {
        eprintln!("{finding}");
    }
    last.map_or(Ok(()), Err)
}

fn document(check: &CertificateCheck, findings: &[Failure]) -> Value {
    let facts: Vec<Value> = check.facts.iter().map(|(label, text)| json!([label, text])).collect();
    let warnings: Vec<Value> = check.warnings.iter().map(finding_as_json).collect();
    let found: Vec<Value> = findings.iter().map(Failure::as_json).collect();
    json!({ "usable": findings.is_empty(), "facts": facts, "findings": found, "warnings": warnings })
}

pub(super) fn finding_as_json(finding: &Error) -> Value {
    Failure::from(finding.clone()).as_json()
}

/// A file's bytes.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| files::unreadable(file, &error))
}

/// The bytes of several files.
pub(super) fn read_all(paths: &[std::path::PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    paths.iter().map(|path| read(path)).collect()
}

/// Several files' bytes as the library takes them.
pub(super) fn slices(files: &[Vec<u8>]) -> Vec<&[u8]> {
    files.iter().map(Vec::as_slice).collect()
}
