//! From files to an identity, and back: the identity store.
//!
//! A node's identity is a *directory*, the store, or *files by name*. Of a directory every `*.pem`, `*.crt`, `*.cer` and
//! `*.der` (certificates), `*.key` (private keys) and `*.crl` (revocation lists) is read, and `selection` chooses (rule
//! I4); the names of the files mean nothing. CA certificates in a file without a leaf are trust anchors, those in a file
//! with a leaf its intermediates.
//!
//! [`install`] writes `NAME.pem` and `NAME-HASH.key`. The rename of `NAME.pem` is the one moment that counts: before it
//! the old identity is read, after it the new one, whenever the process or the power fails.

mod contents;
mod file;
mod import;
mod install;
mod proof;
mod store;
mod waiting;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::selection::{Candidate, live};
use crate::identity::{CertificateCheck, Identity, IdentityPolicy, PeerCheck, Report};
use crate::limits::SOURCE_BYTES_MAX;
use crate::name::Name;
use crate::session::clock;
use crate::time::Timestamp;

use contents::{Contents, next_key};
#[cfg(feature = "management-server")]
pub(crate) use file::read_password;
pub use import::{CertificateImport, PreparedImport};
#[cfg(test)]
use install::install;
pub(crate) use install::install_with_trust;
pub use waiting::WaitingKey;
pub(crate) use waiting::waiting_room;
#[cfg(test)]
use waiting::{keep_waiting_key, waiting_keys};

/// Reads a file of certificates, requests or lists, of at most a source's size.
///
/// # Errors
///
/// [`Code::FileMissing`], [`Code::FileUnreadable`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    Ok(file::read(path, SOURCE_BYTES_MAX)?.bytes)
}

/// Reads a private key, of at most a source's size.
///
/// # Errors
///
/// As [`read`]; [`Code::KeyExposed`], [`Code::DirectoryExposed`].
pub(crate) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    file::read_key(path, SOURCE_BYTES_MAX)
}

impl Identity {
    /// The identity of a configuration: a directory, files by name, or a PKCS#12 file with its trust.
    ///
    /// Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// [`Code::FileMissing`], [`Code::FileUnreadable`], [`Code::KeyExposed`], [`Code::DirectoryExposed`],
    /// [`Code::IdentityMissing`], [`Code::IdentityAmbiguous`], what reading PKCS#12 and encrypted keys finds, and all that
    /// the node's own check finds, the first as the error (`farpost cert check` lists all).
    pub fn from_files(files: &IdentityFiles, name: &Name) -> Result<Self> {
        let contents = Contents::of(files)?;
        match load(&contents, files, name, clock::wall()) {
            Ok(identity) => Ok(identity.loaded_from(files.clone())),
            Err(Refused { report, place }) => {
                let is_of_a_file = contents.problems.iter().any(|(_, problem)| Some(problem) == report.first());
                let error = Error::from(report);
                let of_key = files.key.as_ref().filter(|_| error.code() == Code::KeyMismatch);
                let place = of_key.unwrap_or(&place);
                Err(if is_of_a_file { error } else { error.subject(place.display().to_string()) })
            }
        }
    }

    /// The identity in a directory (see [`Self::from_files`]): every certificate, key, CA and revocation list in it is
    /// looked at, and the usable certificate for this name that became valid last is the identity.
    ///
    /// # Errors
    ///
    /// As [`Self::from_files`].
    pub fn from_directory(directory: impl AsRef<Path>, name: &str) -> Result<Self> {
        let files = IdentityFiles { directory: Some(directory.as_ref().to_owned()), ..IdentityFiles::default() };
        Self::from_files(&files, &Name::parse(name)?)
    }
}

impl IdentityFiles {
    /// The identity that these files make now.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_files`].
    #[cfg_attr(not(test), expect(dead_code, reason = "identities are not reloaded yet"))]
    pub(crate) fn load(&self, name: &Name) -> Result<Identity> {
        Identity::from_files(self, name)
    }

    /// What to watch to see a new identity: the directory, and files whether they exist or not.
    #[cfg_attr(not(test), expect(dead_code, reason = "identities are not reloaded yet"))]
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        let named = [&self.directory, &self.certificate, &self.key, &self.pkcs12, &self.password_file];
        let mut paths: Vec<PathBuf> = named.into_iter().flatten().cloned().collect();
        paths.extend(self.key.as_deref().map(next_key));
        paths.extend(self.trust.iter().chain(&self.crls).cloned());
        paths
    }

    /// The same files by name: what a directory holds for a node of this name stands in `certificate`, `key`, `trust`
    /// and `crls`, and `directory` is empty. Where nothing is usable, it is the newest certificate for this name.
    ///
    /// # Errors
    ///
    /// [`Code::IdentityMissing`]; what cannot be read in the directory; [`Code::ConfigMissingKey`].
    pub fn resolve(&self, name: &Name) -> Result<Self> {
        let contents = Contents::of(self)?;
        if self.directory.is_none() {
            return Ok(self.clone());
        }
        let problems = contents.problems_but(&[]);
        if !problems.is_clean() {
            return Err(problems.into());
        }
        let trust = contents.trust().unwrap_or_default();
        let candidates = contents.candidates(name, &trust, &self.policy(), clock::wall());
        let best = candidates.iter().max_by_key(|one| (one.is_usable(), one.summary().not_before.unix_seconds()));
        let Some(best) = best else { return Err(nobody(&contents, self, name)) };
        let key = best.key().and_then(|hash| contents.pile.key(hash)).map(|key| contents.path(key.file).to_owned());
        let certificate = Some(contents.path(best.file()).to_owned());
        let (trust, crls) = (contents.anchor_files.clone(), contents.list_files.clone());
        Ok(Self { directory: None, certificate, key, trust, crls, ..self.clone() })
    }

    /// Checks the identity of these files as a node of this name loads it, and tells all that is wrong (rule I3). Nothing is
    /// refused: whatever can be read is told.
    ///
    /// Blocks while it reads files and derives keys from passwords.
    pub fn check(&self, name: &Name) -> CertificateCheck {
        let mut out = CertificateCheck::default();
        let contents = match Contents::of(self) {
            Ok(contents) => contents,
            Err(error) => {
                out.report = Report::of(error);
                return out;
            }
        };
        let (at, policy) = (clock::wall(), self.policy());
        let trust = contents.trust().unwrap_or_default();
        let candidates = contents.candidates(name, &trust, &policy, at);
        let newest = |one: &Candidate| (one.is_usable(), one.summary().not_before.unix_seconds());
        let best = candidates.into_iter().max_by_key(newest);
        let is_empty = match best.or_else(|| contents.pile.stranger(name, &trust, &policy, at)) {
            Some(best) => {
                out.facts = PeerCheck::new(&trust, at).policy(policy).name(name).examine(best.chain()).facts;
                false
            }
            None => true,
        };
        match load(&contents, self, name, at) {
            Ok(identity) => out.warnings = identity.own().warnings().to_vec(),
            Err(Refused { report, .. }) => {
                // Where the file itself could not be read, that it gave no certificate says nothing new.
                let is_told = |code: Code| is_empty && !contents.problems.is_empty() && code == Code::IdentityMissing;
                report.findings().iter().filter(|one| !is_told(one.code())).for_each(|one| out.report.add(one.clone()));
            }
        }
        out
    }

    /// The names of the nodes' certificates in these files, sorted, each once; whether they are usable is not looked at.
    ///
    /// Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// [`Code::FileMissing`], [`Code::FileUnreadable`], [`Code::DirectoryExposed`].
    pub fn names(&self) -> Result<Vec<Name>> {
        let leaves = Contents::of(self)?.pile.leaves(|_| true);
        let names = leaves.iter().flat_map(|leaf| &leaf.names).filter_map(|name| Name::parse(name).ok());
        Ok(names.collect::<std::collections::BTreeSet<_>>().into_iter().collect())
    }

    /// What is demanded of certificates.
    pub(crate) fn policy(&self) -> IdentityPolicy {
        IdentityPolicy {
            name_rule: self.name_rule,
            crl_policy: self.crl_policy,
            accept_server_auth_alone: self.accept_server_auth_alone,
        }
    }

    /// Where the identity is, for people.
    fn place(&self) -> &Path {
        let places = [&self.directory, &self.pkcs12, &self.certificate];
        places.into_iter().flatten().next().map_or(Path::new(""), PathBuf::as_path)
    }
}

/// Why files make no identity, and which of them it is about.
struct Refused {
    report: Report,
    place: PathBuf,
}

/// The identity that a store's contents make at a time.
fn load(contents: &Contents, files: &IdentityFiles, name: &Name, at: Timestamp) -> Result<Identity, Refused> {
    let refused = |report: Report| Refused { report, place: files.place().to_owned() };
    let mut report = contents.problems_but(&[]);
    let trust = contents.trust().map_err(|findings| report.merge(findings)).ok();
    let (has_trust, trust) = (trust.is_some(), trust.unwrap_or_default());
    // Without anchors, that no path was found says nothing new.
    let is_of_trust = |code: Code| matches!(code, Code::IssuerUnknown | Code::CrlMissing);
    let candidates = contents.candidates(name, &trust, &files.policy(), at);
    if candidates.is_empty() {
        let stranger = contents.pile.stranger(name, &trust, &files.policy(), at);
        let stranger = stranger.filter(|_| files.directory.is_none());
        match stranger {
            Some(one) => {
                let new = one.report().findings().iter().filter(|one| has_trust || !is_of_trust(one.code()));
                new.for_each(|finding| report.add(explained(finding, contents, files)));
            }
            None => report.add(nobody(contents, files, name)),
        }
        return Err(refused(report));
    }
    let place = place_of(contents, &candidates);
    match live(candidates, name) {
        Ok(chosen) if report.is_clean() => {
            let place = contents.path(chosen.file()).to_owned();
            let identity = contents.pile.identity_of(&chosen, name, trust, files.policy(), at);
            identity.map_err(|report| Refused { report, place })
        }
        Ok(_) => Err(refused(report)),
        Err(findings) => {
            let new = findings.findings().iter().filter(|one| has_trust || !is_of_trust(one.code()));
            new.for_each(|finding| report.add(explained(finding, contents, files)));
            let place = place.unwrap_or_else(|| files.place().to_owned());
            Err(Refused { report, place })
        }
    }
}

/// With files by name, a key that is there is the wrong one.
fn explained(finding: &Error, contents: &Contents, files: &IdentityFiles) -> Error {
    let has_keys = contents.pile.key_hashes().next().is_some();
    if finding.code() == Code::KeyMissing && has_keys && files.directory.is_none() {
        return Error::new(Code::KeyMismatch)
            .found("another key than the certificate's")
            .expected("the key that the certificate was requested with");
    }
    finding.clone()
}

/// The file of the only candidate, or of the newest.
fn place_of(contents: &Contents, candidates: &[Candidate]) -> Option<PathBuf> {
    let newest = candidates.iter().max_by_key(|one| one.summary().not_before.unix_seconds())?;
    Some(contents.path(newest.file()).to_owned())
}

/// The error where no certificate claims the name.
fn nobody(contents: &Contents, files: &IdentityFiles, name: &Name) -> Error {
    let leaves = contents.pile.leaves(|_| true);
    let mut names: Vec<&str> = leaves.iter().flat_map(|leaf| leaf.names.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let (total, shown) = (names.len(), names.len().min(8));
    names.truncate(shown);
    let rest = if total > shown { format!(" and {} more", total - shown) } else { String::new() };
    let found = match total {
        0 => format!("{} certificates of nodes", leaves.len()),
        _ => format!("certificates for {}{rest}", names.join(", ")),
    };
    let remedy = match &files.directory {
        Some(directory) => {
            format!("farpost cert import --subject-name {name} --directory {} FILE", directory.display())
        }
        None => "name the file with this node's certificate".to_owned(),
    };
    Error::new(Code::IdentityMissing)
        .subject(files.place().display().to_string())
        .found(found)
        .expected(format!("a certificate for {name}, its key and the CA"))
        .remedy(remedy)
}
