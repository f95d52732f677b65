//! `farpost cert check`: what a node and its peers will say about a certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use farpost::{CertificateCheck, Code, Config, Error, IdentityPolicy, Name, check_certificate};

use crate::cert::words::{CrlWord, NameWord};
use crate::clock;
use crate::failure::{Failure, printable};
use crate::files;

/// The arguments of `cert check`.
#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The files that a configuration names under [identity]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "key", "trust", "crl", "name"])]
    config: Option<PathBuf>,
    /// The certificate, then its intermediates: PEM or DER
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The CAs that are trusted
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    trust: Vec<PathBuf>,
    /// Revocation lists
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The name that the certificate must prove
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// What missing or stale revocation lists mean
    #[arg(long, value_enum, default_value_t = CrlWord::IfGiven, conflicts_with = "config")]
    crl_policy: CrlWord,
    /// Where the name is read
    #[arg(long, value_enum, default_value_t = NameWord::San, conflicts_with = "config")]
    name_rule: NameWord,
    /// Accept a certificate without clientAuth
    #[arg(long, conflicts_with = "config")]
    accept_server_auth_alone: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What is checked: the files and the demands.
struct Subject {
    certificate: PathBuf,
    key: Option<PathBuf>,
    trust: Vec<PathBuf>,
    crls: Vec<PathBuf>,
    name: Option<Name>,
    policy: IdentityPolicy,
}

pub(super) fn execute(arguments: &CheckArguments) -> Result<(), Failure> {
    let subject = match &arguments.config {
        Some(file) => Subject::of_config(file)?,
        None => Subject::of_arguments(arguments),
    };
    let check = subject.check()?;
    let mut findings = check.report.findings().iter().map(|finding| Failure::from(finding.clone())).collect::<Vec<_>>();
    findings.extend(subject.exposed_key()?);
    if arguments.json {
        println!("{}", as_json(&check, findings.is_empty()));
    } else {
        for (label, text) in &check.facts {
            println!("{label:<10} {}", printable(text));
        }
        for warning in &check.warnings {
            println!("warning    {warning}");
        }
    }
    let last = findings.pop();
    for finding in findings {
        eprintln!("{finding}");
    }
    last.map_or(Ok(()), Err)
}

impl Subject {
    fn of_arguments(arguments: &CheckArguments) -> Self {
        let (crl_policy, name_rule) = (arguments.crl_policy.policy(), arguments.name_rule.rule());
        let accept_server_auth_alone = arguments.accept_server_auth_alone;
        Self {
            certificate: arguments.certificate.clone().unwrap_or_default(),
            key: arguments.key.clone(),
            trust: arguments.trust.clone(),
            crls: arguments.crl.clone(),
            name: arguments.name.clone(),
            policy: IdentityPolicy { name_rule, crl_policy, accept_server_auth_alone },
        }
    }

    fn of_config(file: &Path) -> Result<Self, Failure> {
        let config = Config::from_toml(&files::read_text(file)?, &file.display().to_string())?;
        let identity = match (&config.identity.directory, &config.name) {
            (Some(_), Some(name)) => config.identity.resolve(name)?,
            _ => config.identity,
        };
        let certificate = identity.certificate.ok_or_else(|| {
            Failure::new(Code::ConfigMissingKey, format!("{}: identity.certificate", file.display()))
                .remedy("name the files, or give them here: --certificate, --key, --trust")
        })?;
        let policy = IdentityPolicy {
            name_rule: identity.name_rule,
            crl_policy: identity.crl_policy,
            accept_server_auth_alone: identity.accept_server_auth_alone,
        };
        let (key, trust, crls) = (identity.key, identity.trust, identity.crls);
        Ok(Self { certificate, key, trust, crls, name: config.name, policy })
    }

    fn check(&self) -> Result<CertificateCheck, Failure> {
        let certificates = read(&self.certificate)?;
        let key = self.key.as_deref().map(read).transpose()?;
        let trust = self.trust.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
        let crls = self.crls.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
        let trust: Vec<&[u8]> = trust.iter().map(Vec::as_slice).collect();
        let crls: Vec<&[u8]> = crls.iter().map(Vec::as_slice).collect();
        let name = self.name.as_ref();
        Ok(check_certificate(name, &certificates, key.as_deref(), &trust, &crls, self.policy, clock::now()))
    }

    /// A finding if others than the owner can read the key.
    fn exposed_key(&self) -> Result<Option<Failure>, Failure> {
        let Some(key) = &self.key else { return Ok(None) };
        let metadata = key.metadata().map_err(|error| files::unreadable(key, &error))?;
        let mode = metadata.permissions().mode() & 0o777;
        Ok((mode & 0o077 != 0).then(|| {
            Failure::new(Code::KeyExposed, key.display()).found(format!("mode {mode:04o}")).expected("mode 0600")
        }))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| files::unreadable(file, &error))
}

fn as_json(check: &CertificateCheck, usable: bool) -> serde_json::Value {
    let facts: Vec<_> = check.facts.iter().map(|(label, text)| serde_json::json!([label, text])).collect();
    let findings: Vec<_> = check.report.findings().iter().map(finding_as_json).collect();
    let warnings: Vec<_> = check.warnings.iter().map(finding_as_json).collect();
    serde_json::json!({ "usable": usable, "facts": facts, "findings": findings, "warnings": warnings })
}

pub(super) fn finding_as_json(finding: &Error) -> serde_json::Value {
    serde_json::json!({
        "code": finding.code().to_string(),
        "summary": finding.code().summary(),
        "subject": finding.subject_text(),
        "found": finding.found_text(),
        "expected": finding.expected_text(),
        "remedy": finding.remedy_text(),
    })
}
