//! `farpost cert import`: find a node's certificate, check everything, then install it.

use std::path::{Path, PathBuf};

use clap::Args;
use farpost::{
    CertificateImport, CertificateSelector, CertificateSummary, Code, Config, Error, IdentityFiles, Name,
    PreparedImport, Report, Timestamp,
};
use zeroize::Zeroizing;

use super::show::finding_as_json;
use super::words::{CrlWord, NameWord};
use crate::clock::now;
use crate::failure::{Failure, printable};
use crate::files;
use crate::secret;

/// The arguments of `cert import`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("secret").args(["password_file", "password_fd"]))]
pub(crate) struct ImportArguments {
    /// The node's name, which the certificate must prove
    #[arg(long, value_name = "NAME")]
    subject_name: Name,
    /// Files, or directories of files: PEM, DER, PKCS#7, PKCS#12; without one, what lies in the identity directory
    #[arg(value_name = "FILE|DIRECTORY")]
    sources: Vec<PathBuf>,
    /// A PKCS#12 file
    #[arg(long, value_name = "FILE")]
    pfx: Vec<PathBuf>,
    /// The password, as the first line of a file that only you can read
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The password, as the first line of an open descriptor
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
    /// Of several certificates the one with this SHA-256 or SHA-1
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Of several certificates the one that has this name as well
    #[arg(long, value_name = "NAME")]
    san: Option<String>,
    /// Of several certificates the one whose issuer has this text
    #[arg(long, value_name = "TEXT")]
    issuer: Option<String>,
    /// Of several certificates the one that became valid last
    #[arg(long)]
    newest: bool,
    /// A CA to be trusted from now on
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// A revocation list
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The identity directory
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/farpost/identity", conflicts_with = "config")]
    directory: PathBuf,
    /// The identity that a configuration names, with its rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What missing or stale revocation lists mean
    #[arg(long, value_enum, default_value_t = CrlWord::IfGiven, conflicts_with = "config")]
    crl_policy: CrlWord,
    /// Where the name is read
    #[arg(long, value_enum, default_value_t = NameWord::San, conflicts_with = "config")]
    name_rule: NameWord,
    /// Accept a certificate without clientAuth
    #[arg(long, conflicts_with = "config")]
    accept_server_auth_alone: bool,
    /// Accept a PKCS#12 file that anybody could have read or changed
    #[arg(long)]
    allow_unprotected_pfx: bool,
    /// Check everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove the certificate of this name and its keys
    #[arg(long, conflicts_with_all = ["sources", "pfx", "trust", "crl", "dry_run", "secret"])]
    remove: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &ImportArguments) -> Result<(), Failure> {
    let identity = arguments.identity()?;
    if arguments.remove {
        return remove(arguments, &identity);
    }
    let import = arguments.import(&identity)?;
    let prepared = match prepare(arguments, import) {
        Ok(prepared) => prepared,
        Err(report) => return Err(refused(arguments, &report)),
    };
    let outcome = Outcome::of(arguments, &prepared);
    if !arguments.dry_run {
        prepared.install().map_err(|error| {
            let failure = Failure::from(error.clone());
            if arguments.json {
                println!("{}", serde_json::json!({ "installed": false, "findings": [finding_as_json(&error)] }));
            }
            failure
        })?;
    }
    outcome.print(arguments.json);
    Ok(())
}

impl ImportArguments {
    fn identity(&self) -> Result<IdentityFiles, Failure> {
        if let Some(file) = &self.config {
            let config = Config::from_toml(&files::read_text(file)?, &file.display().to_string())?;
            return Ok(config.identity);
        }
        let mut identity = IdentityFiles::default();
        identity.directory = Some(self.directory.clone());
        identity.crl_policy = self.crl_policy.policy();
        identity.name_rule = self.name_rule.rule();
        identity.accept_server_auth_alone = self.accept_server_auth_alone;
        Ok(identity)
    }

    fn import(&self, identity: &IdentityFiles) -> Result<CertificateImport, Failure> {
        let mut selector = CertificateSelector::default();
        selector.fingerprint = self.fingerprint.clone();
        selector.san = self.san.clone();
        selector.issuer = self.issuer.clone();
        selector.newest = self.newest;
        let mut import = CertificateImport::new(identity.clone(), self.subject_name.clone()).select(selector);
        import = self.sources.iter().chain(&self.pfx).fold(import, CertificateImport::source);
        import = self.trust.iter().fold(import, CertificateImport::trust);
        import = self.crl.iter().fold(import, CertificateImport::revocation_list);
        if self.allow_unprotected_pfx {
            import = import.allow_unprotected_pfx();
        }
        if let Some(file) = &self.password_file {
            import = import.password_file(file)?;
        }
        if let Some(descriptor) = self.password_fd {
            import = with(import, &secret::of_descriptor(descriptor)?);
        }
        Ok(import)
    }

    /// The files that the certificate and its key were looked for in.
    fn has_secret(&self) -> bool {
        self.password_file.is_some() || self.password_fd.is_some()
    }
}

fn with(import: CertificateImport, password: &Zeroizing<String>) -> CertificateImport {
    import.password(password.as_str())
}

/// Asks for a password when one is missing and there is somebody to ask.
fn prepare(arguments: &ImportArguments, mut import: CertificateImport) -> Result<PreparedImport, Report> {
    let mut outcome = import.prepare();
    for _ in 0..PROMPTS_MAX {
        let Err(report) = &outcome else { break };
        let is_about = |finding: &&Error| matches!(finding.code(), Code::PasswordMissing | Code::PasswordWrong);
        let Some(finding) = report.findings().iter().find(is_about).filter(|_| !arguments.has_secret()) else { break };
        let again = if finding.code() == Code::PasswordWrong { "That was wrong. " } else { "" };
        let Some(password) = secret::prompt(&format!("{again}Password of {}", finding.subject_text())) else { break };
        import = with(import, &password);
        outcome = import.prepare();
    }
    outcome
}

/// Prints all findings but the last, which the caller prints.
fn refused(arguments: &ImportArguments, report: &Report) -> Failure {
    if arguments.json {
        let findings: Vec<_> = report.findings().iter().map(finding_as_json).collect();
        println!("{}", serde_json::json!({ "installed": false, "findings": findings }));
    }
    let mut findings: Vec<Failure> = report.findings().iter().cloned().map(Failure::from).collect();
    let last = findings.pop();
    for finding in findings {
        eprint!("{finding}");
    }
    last.unwrap_or_else(|| Failure::new(Code::Internal, "a refusal without a finding"))
}

fn remove(arguments: &ImportArguments, identity: &IdentityFiles) -> Result<(), Failure> {
    let removed = identity.remove_certificate(&arguments.subject_name)?;
    let shown: Vec<String> = removed.iter().map(|path| path.display().to_string()).collect();
    if arguments.json {
        println!("{}", serde_json::json!({ "removed": shown }));
    } else {
        shown.iter().for_each(|path| println!("removed    {}", printable(path)));
    }
    Ok(())
}

/// What is told when all went well.
struct Outcome {
    name: String,
    summary: CertificateSummary,
    until: Timestamp,
    source: PathBuf,
    files: Vec<PathBuf>,
    warnings: Vec<Error>,
    is_installed: bool,
    next: String,
}

impl Outcome {
    fn of(arguments: &ImportArguments, prepared: &PreparedImport) -> Self {
        Self {
            name: arguments.subject_name.to_string(),
            summary: prepared.summary().clone(),
            until: prepared.identity().not_after(),
            source: prepared.source().to_owned(),
            files: prepared.files(),
            warnings: prepared.warnings().to_vec(),
            is_installed: !arguments.dry_run,
            next: next(arguments),
        }
    }

    fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
            return;
        }
        let state = if self.is_installed { "is live" } else { "would be live; nothing was changed" };
        println!("{} {state}", self.name);
        let summary = &self.summary;
        let until = format!("{} ({} days)", summary.not_after, days_until(summary.not_after));
        let lines = [
            ("subject", summary.subject.clone()),
            ("names", summary.names.join(", ")),
            ("issuer", summary.issuer.clone()),
            ("serial", summary.serial.clone()),
            ("sha256", summary.sha256.clone()),
            ("key", summary.key.clone()),
            ("from", summary.not_before.to_string()),
            ("until", until),
            ("found in", self.source.display().to_string()),
        ];
        for (label, text) in lines {
            println!("{label:<10} {}", printable(&text));
        }
        if self.until.unix_seconds() < summary.not_after.unix_seconds() {
            println!("{:<10} a CA of its chain ends first, at {}", "attention", self.until);
        }
        for file in &self.files {
            let label = if self.is_installed { "written" } else { "to write" };
            println!("{label:<10} {}", printable(&file.display().to_string()));
        }
        for warning in &self.warnings {
            println!("warning    {warning}");
        }
        println!("next       {}", self.next);
    }

    fn json(&self) -> serde_json::Value {
        let summary = &self.summary;
        let files: Vec<String> = self.files.iter().map(|path| path.display().to_string()).collect();
        let warnings: Vec<_> = self.warnings.iter().map(finding_as_json).collect();
        serde_json::json!({
            "installed": self.is_installed, "name": self.name, "subject": summary.subject, "names": summary.names,
            "issuer": summary.issuer, "serial": summary.serial, "sha256": summary.sha256, "sha1": summary.sha1,
            "key": summary.key, "from": summary.not_before.to_string(), "until": summary.not_after.to_string(),
            "days": days_until(summary.not_after), "chain_until": self.until.to_string(),
            "source": self.source.display().to_string(), "files": files, "warnings": warnings, "next": self.next,
        })
    }
}

fn next(arguments: &ImportArguments) -> String {
    if arguments.dry_run {
        return "the same without --dry-run".to_owned();
    }
    match &arguments.config {
        Some(file) => format!("a node that runs takes it by itself; else start it with {}", file.display()),
        None => format!(
            "a node that runs takes it by itself; else set identity.directory = \"{}\" in its configuration and start it",
            absolute(&arguments.directory).display()
        ),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn days_until(end: Timestamp) -> i64 {
    end.unix_seconds().saturating_sub(now().unix_seconds()).div_euclid(86_400)
}

/// As often as people mistype.
const PROMPTS_MAX: usize = 3;
