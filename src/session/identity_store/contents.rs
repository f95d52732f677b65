//! What the files of an identity hold: read and taken apart, before anything is decided.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::file::{check_directory, read, read_key, read_password, unreadable};
use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::import::{self, Material, Options};
use crate::identity::selection::{Candidate, Pile, is_authority};
use crate::identity::{IdentityPolicy, Report, Trust};
use crate::limits::{LIST_FILE_BYTES_MAX, SOURCE_BYTES_MAX, STORE_FILES_MAX};
use crate::name::Name;
use crate::time::Timestamp;

/// All that was read, with the file that each came from.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) pile: Pile,
    /// The files that were read; a file's number in the pile is its place here.
    pub(super) files: Vec<PathBuf>,
    /// CA certificates that are trusted, and the files that they are in.
    pub(super) anchors: Vec<CertificateDer<'static>>,
    pub(super) anchor_files: Vec<PathBuf>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) list_files: Vec<PathBuf>,
    /// What could not be read. One bad file makes the identity unusable: it may be the one that matters.
    pub(super) problems: Vec<(PathBuf, Error)>,
}

impl Contents {
    /// Reads the files of a configuration.
    pub(super) fn of(files: &IdentityFiles) -> Result<Self> {
        Self::of_but(files, None)
    }

    /// Reads all but the file that is about to be replaced. A directory that is not there is an empty one then.
    pub(super) fn of_but(files: &IdentityFiles, replaced: Option<&Path>) -> Result<Self> {
        let password = files.password_file.as_deref().map(read_password).transpose()?;
        let password = password.as_ref().map(|password| password.as_str());
        let mut contents = Self::default();
        if let Some(directory) = &files.directory {
            if replaced.is_none() || directory.exists() {
                contents.add_directory(directory, password, replaced)?;
            }
        } else if let Some(pkcs12) = &files.pkcs12 {
            contents.attempt(pkcs12, |contents| contents.add_pkcs12(pkcs12, password));
        } else {
            let missing = |key: &str| Error::new(Code::ConfigMissingKey).subject(format!("identity.{key}"));
            let certificate = files.certificate.as_ref().ok_or_else(|| missing("certificate"))?;
            let key = files.key.as_ref().ok_or_else(|| missing("key"))?;
            if replaced != Some(certificate) {
                contents.attempt(certificate, |contents| contents.add_chain(certificate));
            }
            if replaced.is_none() || key.exists() || next_key(key).exists() {
                contents.add_named_key(key, password);
            }
        }
        for path in &files.trust {
            contents.attempt(path, |contents| contents.add_trust(path));
        }
        for path in &files.crls {
            contents.attempt(path, |contents| contents.add_lists(path));
        }
        Ok(contents)
    }

    /// Remembers what is wrong with a file, and goes on with the next.
    fn attempt(&mut self, path: &Path, add: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = add(self) {
            let error = if error.subject_text().is_empty() { error.subject(path.display().to_string()) } else { error };
            self.problems.push((path.to_owned(), error));
        }
    }

    fn add_directory(&mut self, directory: &Path, password: Option<&str>, replaced: Option<&Path>) -> Result<()> {
        check_directory(directory)?;
        let _quiet = quiet(directory);
        let paths = listed(directory, &STORE_EXTENSIONS)?;
        for path in paths.into_iter().filter(|path| Some(path.as_path()) != replaced) {
            match extension_of(&path).as_str() {
                "key" => self.attempt(&path, |contents| contents.add_keys(&path, password)),
                "crl" => self.attempt(&path, |contents| contents.add_lists(&path)),
                _ => self.attempt(&path, |contents| contents.add_certificates(&path)),
            }
        }
        Ok(())
    }

    /// A file of a directory: with a leaf it is a chain, without one it is trust.
    fn add_certificates(&mut self, path: &Path) -> Result<()> {
        let material = certificates_of(path)?;
        self.lists.extend(material.lists);
        if material.certificates.iter().all(is_authority) {
            if !material.certificates.is_empty() {
                self.anchors.extend(material.certificates);
                self.anchor_files.push(path.to_owned());
            }
            return Ok(());
        }
        let file = self.number(path);
        self.pile.add_certificates(file, material.certificates)
    }

    fn add_chain(&mut self, path: &Path) -> Result<()> {
        let material = certificates_of(path)?;
        let file = self.number(path);
        self.pile.add_certificates(file, material.certificates)
    }

    fn add_trust(&mut self, path: &Path) -> Result<()> {
        let unusable =
            |error: Error| Error::new(Code::TrustUnusable).found(error.found_text()).expected(error.expected_text());
        let content = read(path, SOURCE_BYTES_MAX)?;
        let material = import::read(&content.bytes, &Options::without_keys()).map_err(unusable)?;
        if material.certificates.is_empty() {
            return Err(Error::new(Code::TrustUnusable).found("no certificate").expected("CA certificates"));
        }
        self.anchors.extend(material.certificates);
        self.anchor_files.push(path.to_owned());
        Ok(())
    }

    fn add_lists(&mut self, path: &Path) -> Result<()> {
        self.lists.extend(lists_of(path)?);
        self.list_files.push(path.to_owned());
        Ok(())
    }

    /// The key that is configured, and the one that an interrupted import left beside it: the certificate tells which
    /// of them is in use.
    fn add_named_key(&mut self, key: &Path, password: Option<&str>) {
        let next = next_key(key);
        let has_next = next.exists();
        if key.exists() || !has_next {
            self.attempt(key, |contents| contents.add_keys(key, password));
        }
        if has_next {
            self.attempt(&next, |contents| contents.add_keys(&next, password));
        }
    }

    pub(super) fn add_keys(&mut self, path: &Path, password: Option<&str>) -> Result<()> {
        let bytes = read_key(path, SOURCE_BYTES_MAX)?;
        let material = import::read(&bytes, &Options::with_password(password))?;
        if material.keys.is_empty() {
            return Err(Error::new(Code::KeyUnreadable).found("no private key"));
        }
        self.add_material_keys(path, material)
    }

    fn add_pkcs12(&mut self, path: &Path, password: Option<&str>) -> Result<()> {
        let bytes = read_key(path, SOURCE_BYTES_MAX)?;
        let mut material = import::read(&bytes, &Options::with_password(password))?;
        let certificates = std::mem::take(&mut material.certificates);
        self.add_material_keys(path, material)?;
        let file = self.number(path);
        self.pile.add_certificates(file, certificates)
    }

    fn add_material_keys(&mut self, path: &Path, material: Material) -> Result<()> {
        let file = self.number(path);
        for key in material.keys {
            self.pile.add_key(file, key)?;
        }
        Ok(())
    }

    /// The number of a file.
    pub(super) fn number(&mut self, path: &Path) -> usize {
        self.files.iter().position(|known| known == path).unwrap_or_else(|| {
            self.files.push(path.to_owned());
            self.files.len() - 1
        })
    }

    /// What peers are judged with.
    pub(super) fn trust(&self) -> Result<Trust, Report> {
        Trust::new(&self.anchors, &self.lists)
    }

    /// What is wrong with the files, but those that are about to be replaced.
    pub(super) fn problems_but(&self, replaced: &[PathBuf]) -> Report {
        let mut report = Report::default();
        let others = self.problems.iter().filter(|(path, _)| !replaced.contains(path));
        others.for_each(|(_, error)| report.add(error.clone()));
        report
    }

    /// The candidates for a name among the leaves of all files.
    pub(super) fn candidates(
        &self,
        name: &Name,
        trust: &Trust,
        policy: &IdentityPolicy,
        at: Timestamp,
    ) -> Vec<Candidate> {
        self.pile.candidates(name, trust, policy, at, |_| true)
    }

    /// The path of a file of the pile.
    pub(super) fn path(&self, file: usize) -> &Path {
        self.files.get(file).map_or(Path::new(""), PathBuf::as_path)
    }
}

/// The certificates and lists of a file.
fn certificates_of(path: &Path) -> Result<Material> {
    let content = read(path, SOURCE_BYTES_MAX)?;
    import::read(&content.bytes, &Options::without_keys()).map_err(|error| {
        let remedy = "a private key belongs into a file .key; what is none of the identity's does not belong here";
        if error.code() == Code::SourceUnreadable { error.remedy(remedy) } else { error }
    })
}

/// The revocation lists of a file.
pub(super) fn lists_of(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    let content = read(path, LIST_FILE_BYTES_MAX)?;
    import::lists(&content.bytes)
}

/// The files of a directory with one of these extensions, by name; hidden ones are somebody's unfinished work.
pub(super) fn listed(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let failed = |error: &std::io::Error| unreadable(directory, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && extensions.contains(&extension_of(&path).as_str()) {
            paths.push(path);
        }
        if paths.len() > STORE_FILES_MAX {
            return Err(Error::new(Code::StoreTooLarge)
                .subject(directory.display().to_string())
                .found(format!("more than {STORE_FILES_MAX} files")));
        }
    }
    paths.sort();
    Ok(paths)
}

fn extension_of(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Waits for an installation that is in progress, and keeps the next one waiting while the directory is read. Where
/// that cannot be had in time, it is read as it is: what is seen of an installation then does not fit, and is refused.
fn quiet(directory: &Path) -> Option<File> {
    let lock = File::open(directory).ok()?;
    let began = Instant::now();
    loop {
        match lock.try_lock_shared() {
            Ok(()) => return Some(lock),
            Err(TryLockError::WouldBlock) if began.elapsed() < QUIET_WAIT => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err(_) => return None,
        }
    }
}

/// An installation takes some milliseconds; a disk that stands still must not keep a node from starting.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// Where an import keeps the key until the certificate is in place.
pub(super) fn next_key(key: &Path) -> PathBuf {
    let mut next = key.as_os_str().to_owned();
    next.push(".next");
    PathBuf::from(next)
}

/// What is read of an identity directory.
pub(super) const STORE_EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "der", "key", "crl"];
