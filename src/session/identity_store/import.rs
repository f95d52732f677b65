//! `cert import` as a library call: find the candidates, choose one, check everything, then install.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::contents::{Contents, listed, lists_of};
use super::file::{check_plain_key, read, read_password};
use super::install::{News, Plan, remove};
use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::import::{self, Options};
use crate::identity::selection::{Candidate, is_authority, the_only, without_subordinates};
use crate::identity::{CertificateSelector, CertificateSummary, Identity, Report, Trust};
use crate::limits::SOURCE_BYTES_MAX;
use crate::name::Name;
use crate::session::clock;

/// An import of a certificate, with its key and chain, into a node's identity.
///
/// ```no_run
/// use farpost::{CertificateImport, IdentityFiles, Name};
///
/// let mut files = IdentityFiles::default();
/// files.directory = Some("/etc/farpost/identity".into());
/// let import = CertificateImport::new(files, Name::parse("gw1.branch.example")?)
///     .source("gw1.pfx")
///     .password("from a file of its own");
/// let prepared = import.prepare()?; // nothing has changed yet
/// println!("{}", prepared.summary().not_after);
/// prepared.install()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct CertificateImport {
    files: IdentityFiles,
    name: Name,
    sources: Vec<PathBuf>,
    trust: Vec<PathBuf>,
    lists: Vec<PathBuf>,
    selector: CertificateSelector,
    password: Option<Zeroizing<String>>,
    allow_unprotected: bool,
}

impl CertificateImport {
    /// An import for a name into these files; a directory need not exist yet.
    pub fn new(files: IdentityFiles, name: Name) -> Self {
        Self {
            files,
            name,
            sources: Vec::new(),
            trust: Vec::new(),
            lists: Vec::new(),
            selector: CertificateSelector::default(),
            password: None,
            allow_unprotected: false,
        }
    }

    /// A file, or a directory of files, to look in: certificates and keys as PEM or DER, PKCS#7, PKCS#12. Without a
    /// source, what lies in the store is looked at.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(path.into());
        self
    }

    /// A file of CA certificates that are trusted from now on. CAs in a source are not.
    pub fn trust(mut self, path: impl Into<PathBuf>) -> Self {
        self.trust.push(path.into());
        self
    }

    /// A file of revocation lists.
    pub fn revocation_list(mut self, path: impl Into<PathBuf>) -> Self {
        self.lists.push(path.into());
        self
    }

    /// Which of several certificates is meant.
    pub fn select(mut self, selector: CertificateSelector) -> Self {
        self.selector = selector;
        self
    }

    /// The password of PKCS#12 files and encrypted keys.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Zeroizing::new(password.into()));
        self
    }

    /// The same, out of the first line of a file that only its owner can read.
    ///
    /// # Errors
    ///
    /// [`Code::PasswordExposed`], [`Code::DirectoryExposed`], [`Code::FileMissing`], [`Code::FileUnreadable`].
    pub fn password_file(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.password = Some(read_password(path.as_ref())?);
        Ok(self)
    }

    /// Takes PKCS#12 files that have no integrity code, or whose key or certificates are not encrypted.
    pub fn allow_unprotected_pfx(mut self) -> Self {
        self.allow_unprotected = true;
        self
    }

    /// Finds the certificate and checks everything, with a real handshake of the new identity with itself at the end.
    /// Changes nothing.
    ///
    /// Blocks while it reads files and derives keys from passwords.
    ///
    /// # Errors
    ///
    /// All that is wrong (rule I3): [`Code::PasswordMissing`] and the other errors of reading; [`Code::IdentityMissing`],
    /// [`Code::IdentityAmbiguous`], and what is wrong with the certificate; [`Code::HandshakeFailed`].
    pub fn prepare(&self) -> Result<PreparedImport, Report> {
        let at = clock::wall();
        let mut news = self.news()?;
        let mut contents = Contents::of_but(&self.files, self.replaced().as_deref()).map_err(Report::of)?;
        let first = contents.files.len();
        // What is wrong in the store may be why nothing fits: a waiting key that others can read, say.
        let mut report = contents.problems_but(&[]);
        for source in &self.sources {
            self.add_source(&mut contents, source, &mut report)?;
        }
        let competes = |file: usize| self.sources.is_empty() || file >= first;
        contents.anchors.extend(news.anchors.iter().cloned());
        contents.lists.extend(news.lists.iter().cloned());
        let trust = contents.trust();
        let (trust, distrust) =
            trust.map_or_else(|findings| (Trust::default(), findings), |trust| (trust, Report::default()));
        let policy = self.files.policy();
        let candidates = contents.pile.candidates(&self.name, &trust, &policy, at, competes);
        if candidates.is_empty() {
            report.merge(distrust);
            report.merge(self.nobody(&contents, competes));
            return Err(report);
        }
        let chosen = match the_only(candidates, &self.selector, &self.name) {
            Ok(chosen) if distrust.is_clean() && report.is_clean() => chosen,
            chosen => {
                let findings = chosen.err().unwrap_or_default();
                self.explain(&distrust, &findings, &mut report);
                return Err(report);
            }
        };
        news.chain = chosen.chain().to_vec();
        news.key = key_of(&contents, &chosen, first);
        let source = contents.path(chosen.file()).to_owned();
        let plan = Plan::make(&self.files, &self.name, news, at)?;
        plan.identity().prove().map_err(Report::of)?;
        Ok(PreparedImport { plan, source })
    }

    /// What a new certificate replaces: with a source, the one in the store does not compete.
    fn replaced(&self) -> Option<PathBuf> {
        let directory = self.files.directory.as_ref().map(|directory| directory.join(format!("{}.pem", self.name)));
        // A store that is not there yet is an empty one.
        let none = || Some(PathBuf::new());
        if self.sources.is_empty() { none() } else { directory.or_else(|| self.files.certificate.clone()) }
    }

    /// The CAs and lists that are given.
    fn news(&self) -> Result<News, Report> {
        let (mut news, mut report) = (News::default(), Report::default());
        for path in &self.trust {
            match self.authorities_of(path) {
                Ok(anchors) => news.anchors.extend(anchors),
                Err(error) => report.add(error.subject(path.display().to_string())),
            }
        }
        for path in &self.lists {
            match lists_of(path) {
                Ok(lists) => news.lists.extend(lists),
                Err(error) => report.add(error.subject(path.display().to_string())),
            }
        }
        if report.is_clean() { Ok(news) } else { Err(report) }
    }

    /// The CAs of a file; of one that holds a node's key too, such as a PKCS#12 file, only the CAs at the top: those below
    /// them come with the node's chain, and whoever trusts them as well does without their issuer's revocation list.
    fn authorities_of(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
        let content = read(path, SOURCE_BYTES_MAX)?;
        let material = import::read(&content.bytes, &self.options())?;
        let is_mixed = !material.keys.is_empty();
        let mut certificates = material.certificates;
        if is_mixed {
            certificates.retain(is_authority);
            certificates = without_subordinates(certificates);
        }
        if certificates.is_empty() {
            return Err(Error::new(Code::TrustUnusable).found("no CA certificate").expected("CA certificates"));
        }
        Ok(certificates)
    }

    fn options(&self) -> Options<'_> {
        let password = self.password.as_ref().map(|password| password.as_str());
        Options { allow_unprotected: self.allow_unprotected, ..Options::with_password(password) }
    }

    /// Of a directory, what is none of the formats is passed over; it is told if nothing else is found.
    fn add_source(&self, contents: &mut Contents, source: &Path, report: &mut Report) -> Result<(), Report> {
        if !source.is_dir() {
            return self.add_file(contents, source).map_err(Report::of);
        }
        for path in listed(source, &SOURCE_EXTENSIONS).map_err(Report::of)? {
            if let Err(error) = self.add_file(contents, &path) {
                let is_secret = matches!(error.code(), Code::KeyExposed | Code::PasswordMissing | Code::PasswordWrong);
                if is_secret {
                    return Err(Report::of(error));
                }
                contents.problems.push((path, error.clone()));
            }
        }
        if contents.pile.leaves(|_| true).is_empty() {
            contents.problems.iter().for_each(|(_, error)| report.add(error.clone()));
        }
        Ok(())
    }

    fn add_file(&self, contents: &mut Contents, path: &Path) -> Result<()> {
        let mut content = read(path, SOURCE_BYTES_MAX)?;
        let about = |error: Error| {
            let file = format!("-in {}", path.display());
            let remedy = error.remedy_text().replace("-in FILE", &file).replace("-in KEY", &file);
            error.subject(path.display().to_string()).remedy(remedy)
        };
        let material = import::read(&content.bytes, &self.options()).map_err(about)?;
        if material.keys.iter().any(|key| !key.was_encrypted) {
            check_plain_key(&mut content, path)?;
        }
        let file = contents.new_number(path);
        for key in material.keys {
            contents.pile.add_key(file, key).map_err(about)?;
        }
        contents.pile.add_certificates(file, material.certificates).map_err(about)
    }

    /// Adds what is wrong with the trust and with the certificate. Where the trust cannot be used, that no path was found says only which
    /// CA it would take.
    fn explain(&self, distrust: &Report, findings: &Report, report: &mut Report) {
        let path = findings.findings().iter().find(|finding| finding.code() == Code::IssuerUnknown);
        for finding in distrust.findings() {
            let is_missing = finding.code() == Code::TrustMissing;
            let remedy = path.map(Error::remedy_text).filter(|remedy| remedy.contains("--trust"));
            let remedy = self.with_source(remedy.unwrap_or("give the CA's certificate: --trust FILE"));
            report.add(if is_missing { finding.clone().remedy(remedy) } else { finding.clone() });
        }
        for finding in findings.findings() {
            if distrust.is_clean() || !matches!(finding.code(), Code::IssuerUnknown | Code::CrlMissing) {
                report.add(finding.clone().remedy(self.with_source(finding.remedy_text())));
            }
        }
    }

    /// A CA that came with the only source can be trusted by naming that file.
    fn with_source(&self, remedy: &str) -> String {
        match self.sources.as_slice() {
            [only] if !only.is_dir() && remedy.starts_with("the files hold") => {
                remedy.replace("--trust FILE", &format!("--trust {}", only.display()))
            }
            _ => remedy.to_owned(),
        }
    }

    /// What to say where no certificate claims the name: what is wrong with the only one, or whose there are.
    fn nobody(&self, contents: &Contents, competes: impl Fn(usize) -> bool) -> Report {
        let leaves = contents.pile.leaves(competes);
        let mut names: Vec<String> = leaves.iter().flat_map(|leaf| leaf.names.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let total = names.len();
        names.truncate(8);
        let rest = if total > names.len() { format!(" and {} more", total - names.len()) } else { String::new() };
        let found = match total {
            0 => format!("{} certificates of nodes", leaves.len()),
            _ => format!("certificates for {}{rest}", names.join(", ")),
        };
        Report::of(
            Error::new(Code::IdentityMissing)
                .subject(self.name.as_str())
                .found(found)
                .expected(format!("a certificate whose subject alternative name has {}", self.name))
                .remedy("give the file that the CA answered with, or another --subject-name"),
        )
    }
}

/// An import that was checked and changes nothing before [`Self::install`].
#[must_use]
pub struct PreparedImport {
    plan: Plan,
    source: PathBuf,
}

impl PreparedImport {
    /// The certificate that will be live.
    pub fn summary(&self) -> &CertificateSummary {
        self.plan.summary()
    }

    /// The identity as the node will load it.
    pub fn identity(&self) -> &Identity {
        self.plan.identity()
    }

    /// The file that the certificate was found in.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// The files that will be written, the certificate first.
    pub fn files(&self) -> Vec<PathBuf> {
        self.plan.files()
    }

    /// What needs attention and prevents nothing.
    pub fn warnings(&self) -> &[Error] {
        self.plan.identity().own().warnings()
    }

    /// Writes the files: all of them, or none.
    ///
    /// # Errors
    ///
    /// [`Code::FileUnreadable`], [`Code::DirectoryExposed`].
    pub fn install(self) -> Result<Identity> {
        self.plan.carry_out(&|_| Ok(()))
    }
}

impl IdentityFiles {
    /// Removes the certificate of this name and its keys; CAs, revocation lists and keys that wait for a certificate
    /// stay. Answers what was removed, the certificate first.
    ///
    /// # Errors
    ///
    /// [`Code::IdentityMissing`] if there is none; [`Code::FileUnreadable`], [`Code::DirectoryExposed`].
    pub fn remove_certificate(&self, name: &Name) -> Result<Vec<PathBuf>> {
        remove(self, name)
    }
}

impl Contents {
    /// A number of its own for a source, even if the file is in the store as well.
    fn new_number(&mut self, path: &Path) -> usize {
        self.files.push(path.to_owned());
        self.files.len() - 1
    }
}

/// The candidate's key, unless it is in the store already.
fn key_of(contents: &Contents, chosen: &Candidate, first: usize) -> Option<Zeroizing<Vec<u8>>> {
    let key = contents.pile.key(chosen.key()?)?;
    (key.file >= first).then(|| key.der.clone())
}

/// What is looked at in a directory that is given as a source.
const SOURCE_EXTENSIONS: [&str; 10] = ["pem", "crt", "cer", "der", "key", "pfx", "p12", "p7b", "p7c", "p8"];
