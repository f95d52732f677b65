//! Putting a certificate, and what it needs, into a node's identity: all of it or nothing.
//!
//! Everything is judged first, in memory, as the node will find it afterwards. Then all files are written beside their
//! places and made durable; then they are renamed, the certificate as the one that decides. What is needed with the
//! certificate (its key, a new CA) comes before it and changes nothing by itself; what replaces comes after it. Lists
//! that the new certificate does not need come after it as well, since they might end the old one.

use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::contents::{Contents, next_key};
use super::file::{check_directory, parent_of};
use super::store::{Access, Staged, Steps, Store};
use super::waiting::{is_key_of, key_file, key_text, waiting_keys, waiting_room};
use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::import::ImportedKey;
use crate::identity::selection::{Candidate, CertificateSummary, issuer_of_list, live};
use crate::identity::{Identity, KeyHash, Report, pem};
use crate::name::Name;
use crate::session::clock;
use crate::time::Timestamp;

/// Installs a certificate with its chain, in any order; `key` is its private key in DER, or a waiting key is taken.
///
/// Everything is checked before anything is changed; on an error before the certificate is in place all is as it was.
///
/// # Errors
///
/// As [`Identity::from_files`]; [`Code::KeyMissing`]; [`Code::IdentityAmbiguous`] if another file of the store would be
/// chosen; [`Code::ArgumentInvalid`] where the identity is a PKCS#12 file.
pub(crate) fn install(
    files: &IdentityFiles,
    name: &Name,
    chain: &[CertificateDer<'static>],
    key: Option<&[u8]>,
) -> Result<Identity> {
    install_with_trust(files, name, chain, key, Vec::new())
}

/// The same, with CAs that are trusted from then on.
///
/// # Errors
///
/// As [`install`].
pub(crate) fn install_with_trust(
    files: &IdentityFiles,
    name: &Name,
    chain: &[CertificateDer<'static>],
    key: Option<&[u8]>,
    anchors: Vec<CertificateDer<'static>>,
) -> Result<Identity> {
    let key = key.map(|key| Zeroizing::new(key.to_vec()));
    let news = News { chain: chain.to_vec(), key, anchors, ..News::default() };
    let plan = Plan::make(files, name, news, clock::wall()).map_err(Error::from)?;
    plan.carry_out(&|_| Ok(()))
}

/// What is to be installed.
#[derive(Default)]
pub(super) struct News {
    /// The leaf and whatever came with it, in any order; the leaf is the first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// In DER; without one, the key must be in the store already.
    pub(super) key: Option<Zeroizing<Vec<u8>>>,
    /// CAs to be trusted.
    pub(super) anchors: Vec<CertificateDer<'static>>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

/// What will be done: judged, and not begun.
pub(super) struct Plan {
    identity: Identity,
    summary: CertificateSummary,
    place: Place,
    certificate: String,
    key: KeyPlan,
    /// New CAs: another one ends nothing, so they come first.
    anchors: Vec<(PathBuf, String)>,
    /// New lists. The first list of all would end what a CA without one issued: they come last, unless the certificate
    /// cannot be used without them.
    lists: Vec<(PathBuf, String)>,
    needs_lists: bool,
    superseded: Vec<PathBuf>,
}

/// Where the certificate goes.
#[derive(Clone)]
enum Place {
    Directory { directory: PathBuf, certificate: PathBuf },
    Named { certificate: PathBuf, key: PathBuf },
}

/// What happens to the key.
enum KeyPlan {
    /// It is where it belongs.
    Stays,
    Written {
        to: PathBuf,
        text: Zeroizing<String>,
    },
    /// It is beside its place since an interrupted installation.
    Beside(PathBuf),
}

impl Place {
    fn of(files: &IdentityFiles, name: &Name) -> Result<Self> {
        if let Some(directory) = &files.directory {
            let certificate = directory.join(format!("{name}.pem"));
            return Ok(Self::Directory { directory: directory.clone(), certificate });
        }
        match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => Ok(Self::Named { certificate: certificate.clone(), key: key.clone() }),
            _ if files.pkcs12.is_some() => Err(Error::new(Code::ArgumentInvalid)
                .subject("identity.pkcs12")
                .found("an identity in a PKCS#12 file")
                .expected("a directory, or a certificate and a key file")
                .remedy("replace the PKCS#12 file itself, or use identity.directory")),
            _ => Err(Error::new(Code::ConfigMissingKey).subject("identity.directory")),
        }
    }

    fn certificate(&self) -> &Path {
        match self {
            Self::Directory { certificate, .. } | Self::Named { certificate, .. } => certificate,
        }
    }
}

impl Plan {
    /// Judges what the files will be.
    ///
    /// # Errors
    ///
    /// All that is wrong (rule I3).
    pub(super) fn make(files: &IdentityFiles, name: &Name, news: News, at: Timestamp) -> Result<Self, Report> {
        let place = Place::of(files, name).map_err(Report::of)?;
        let mut contents = Contents::of_but(files, Some(place.certificate())).map_err(Report::of)?;
        if matches!(place, Place::Named { .. }) {
            if !news.anchors.is_empty() || !news.lists.is_empty() {
                return Err(Report::of(not_in_a_directory()));
            }
            for waiting in waiting_keys(files, name).map_err(Report::of)? {
                contents.add_keys(&waiting.key, None).map_err(Report::of)?;
            }
        }
        let problems = contents.problems_but(&[]);
        if !problems.is_clean() {
            return Err(problems);
        }
        let leaf = news.chain.first().cloned();
        let leaf = leaf.ok_or_else(|| Report::of(Error::new(Code::CertificateMissing).found("an empty chain")))?;
        contents.add_news(place.certificate(), &news).map_err(Report::of)?;
        let anchors = contents.add_anchors(&place, news.anchors);
        let is_usable = |contents: &Contents| contents.judge(&leaf, files, name, at).is_ok_and(|one| one.is_usable());
        let needs_lists = !news.lists.is_empty() && !is_usable(&contents);
        let lists = contents.add_lists_of(&place, news.lists).map_err(Report::of)?;
        let chosen = contents.judge(&leaf, files, name, at)?;
        if !chosen.is_usable() {
            return Err(chosen.report().clone());
        }
        let (identity, key) = contents.finished(&chosen, files, name, at)?;
        let key = KeyPlan::of(&contents, key, &place, name).map_err(Report::of)?;
        let superseded = contents.superseded(&chosen, &place, name);
        let certificate = chosen.chain().iter().map(|der| pem::encode("CERTIFICATE", der).to_string()).collect();
        let summary = chosen.summary().clone();
        Ok(Self { identity, summary, place, certificate, key, anchors, lists, needs_lists, superseded })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn summary(&self) -> &CertificateSummary {
        &self.summary
    }

    /// The files that will be written.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.place.certificate().to_owned()];
        files.extend(match (&self.key, &self.place) {
            (KeyPlan::Stays, _) => None,
            (_, Place::Named { key, .. }) => Some(key.clone()),
            (KeyPlan::Written { to, .. } | KeyPlan::Beside(to), _) => Some(to.clone()),
        });
        files.extend(self.anchors.iter().chain(&self.lists).map(|(path, _)| path.clone()));
        files
    }

    /// Changes the files.
    ///
    /// # Errors
    ///
    /// [`Code::FileUnreadable`], [`Code::DirectoryExposed`]; all is as it was, unless the error says otherwise.
    pub(super) fn carry_out(self, steps: Steps<'_>) -> Result<Identity> {
        let certificate = self.place.certificate().to_owned();
        let store = Store::open_with(&parent_of(&certificate), steps)?;
        let mut made = Undo { store: &store, made: Vec::new() };
        let stage = |(path, text): &(PathBuf, String)| store.stage(path, text.as_bytes(), Access::All);
        let anchors = self.anchors.iter().map(stage).collect::<Result<Vec<_>>>()?;
        let mut lists = self.lists.iter().map(stage).collect::<Result<Vec<_>>>()?;
        let key = match &self.key {
            KeyPlan::Written { to, text } => {
                check_directory(&parent_of(to))?;
                Some(store.stage(to, text.as_bytes(), Access::Owner)?)
            }
            KeyPlan::Stays | KeyPlan::Beside(_) => None,
        };
        let commit = store.stage(&certificate, self.certificate.as_bytes(), Access::All)?;
        anchors.into_iter().try_for_each(|anchor| made.place(anchor))?;
        if self.needs_lists {
            lists.drain(..).try_for_each(|list| made.place(list))?;
        }
        if let Some(key) = key {
            let directory = parent_of(key.path());
            made.place(key)?;
            store.sync_directory(&directory)?;
        }
        store.sync()?;
        commit.place()?;
        // From here on it is the new one.
        made.made.clear();
        let rest = lists.into_iter().try_for_each(Staged::place).and_then(|()| store.sync());
        let rest = rest.and_then(|()| self.tidy(&store));
        rest.map_err(|error| {
            let found = format!("{}; the new certificate is in place all the same", error.found_text());
            error.found(found)
        })?;
        Ok(self.identity)
    }

    /// Puts a key of a named file into its place, and removes what is not used any more.
    fn tidy(&self, store: &Store<'_>) -> Result<()> {
        if let (Place::Named { key, .. }, KeyPlan::Written { .. } | KeyPlan::Beside(_)) = (&self.place, &self.key) {
            store.rename(&next_key(key), key)?;
            store.sync_directory(&parent_of(key))?;
        }
        self.superseded.iter().try_for_each(|path| store.remove(path))
    }
}

impl KeyPlan {
    fn of(contents: &Contents, hash: KeyHash, place: &Place, name: &Name) -> Result<Self> {
        let Some(key) = contents.pile.key(hash) else { return Err(Error::new(Code::KeyMissing)) };
        let at = contents.path(key.file).to_owned();
        let is_given = at.as_os_str().is_empty();
        let text = || key_text(&key.der);
        match place {
            Place::Directory { directory, .. } if !is_given && parent_of(&at) == *directory => Ok(Self::Stays),
            Place::Directory { directory, .. } => {
                Ok(Self::Written { to: directory.join(key_file(name, hash)), text: text()? })
            }
            Place::Named { key, .. } if at == *key => Ok(Self::Stays),
            Place::Named { key, .. } if at == next_key(key) => Ok(Self::Beside(at)),
            Place::Named { key, .. } => Ok(Self::Written { to: next_key(key), text: text()? }),
        }
    }
}

impl Contents {
    fn add_news(&mut self, certificate: &Path, news: &News) -> Result<()> {
        let file = self.number(certificate);
        self.pile.add_certificates(file, news.chain.clone())?;
        if let Some(der) = &news.key {
            // No file: a key that is in none must be written.
            let file = self.number(Path::new(""));
            self.pile.add_key(file, ImportedKey { der: der.clone(), was_encrypted: false })?;
        }
        Ok(())
    }

    /// Adds new CAs; answers the files that they become.
    fn add_anchors(&mut self, place: &Place, anchors: Vec<CertificateDer<'static>>) -> Vec<(PathBuf, String)> {
        let Place::Directory { directory, .. } = place else { return Vec::new() };
        let mut files = Vec::new();
        for anchor in anchors {
            if !self.anchors.contains(&anchor) {
                let file = directory.join(format!("ca-{}.pem", short(&anchor)));
                files.push((file, pem::encode("CERTIFICATE", &anchor).to_string()));
                self.anchors.push(anchor);
            }
        }
        files
    }

    /// Adds new lists; answers the files that they become: one for each issuer.
    fn add_lists_of(
        &mut self,
        place: &Place,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Vec<(PathBuf, String)>> {
        let Place::Directory { directory, .. } = place else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for list in lists {
            if self.lists.contains(&list) {
                continue;
            }
            let (issuer, update) = issuer_of_list(&list)
                .ok_or_else(|| Error::new(Code::CrlUnusable).found("a list that cannot be read"))?;
            let is_newer = |old: &CertificateRevocationListDer<'_>| {
                issuer_of_list(old).is_some_and(|(of, at)| of == issuer && at > update)
            };
            if self.lists.iter().any(is_newer) {
                return Err(Error::new(Code::CrlUnusable)
                    .found("a list that is older than the one in the store")
                    .expected("a newer one"));
            }
            let file = directory.join(format!("crl-{}.crl", short(&issuer)));
            files.push((file, pem::encode("X509 CRL", &list).to_string()));
            self.lists.push(list);
        }
        Ok(files)
    }

    /// The candidate of this leaf, if it will be the live one; with what is wrong with it otherwise.
    fn judge(
        &self,
        leaf: &CertificateDer<'static>,
        files: &IdentityFiles,
        name: &Name,
        at: Timestamp,
    ) -> Result<Candidate, Report> {
        let mut report = Report::default();
        let trust = self.trust().map_err(|findings| report.merge(findings)).unwrap_or_default();
        let candidates = self.candidates(name, &trust, &files.policy(), at);
        let is_it = |candidate: &Candidate| candidate.chain().first() == Some(leaf);
        let Some(own) = candidates.iter().position(is_it) else {
            let own = self.pile.judged(leaf, name, &trust, &files.policy(), at);
            report.merge(own.map(|own| own.report().clone()).unwrap_or_default());
            return Err(report);
        };
        if !report.is_clean() || candidates.get(own).is_none_or(|own| !own.is_usable()) {
            let own = candidates.get(own).map(|own| own.report().clone()).unwrap_or_default();
            report.merge(own);
            return Err(report);
        }
        let chosen = live(candidates, name)?;
        if is_it(&chosen) {
            return Ok(chosen);
        }
        let place = self.path(chosen.file()).display();
        Err(Report::of(
            Error::new(Code::IdentityAmbiguous)
                .subject(name.as_str())
                .found(format!("{place} has a certificate that starts later: {}", chosen.summary()))
                .expected("the one that is installed to be the newest of the store")
                .remedy(format!("remove {place}, or import that one")),
        ))
    }

    /// The identity as it will be, and its key.
    fn finished(
        &self,
        chosen: &Candidate,
        files: &IdentityFiles,
        name: &Name,
        at: Timestamp,
    ) -> Result<(Identity, KeyHash), Report> {
        let identity = self.pile.identity_of(chosen, name, self.trust()?, files.policy(), at)?;
        let key = chosen.key().ok_or_else(|| Report::of(chosen.key_missing()))?;
        Ok((identity.loaded_from(files.clone()), key))
    }

    /// Keys of this name that nothing uses any more: neither a certificate of the store nor a request.
    fn superseded(&self, chosen: &Candidate, place: &Place, name: &Name) -> Vec<PathBuf> {
        let mut superseded = Vec::new();
        for hash in self.pile.key_hashes() {
            let Some(key) = self.pile.key(hash) else { continue };
            let path = self.path(key.file).to_owned();
            let is_live = chosen.key() == Some(hash);
            let is_of_name = match place {
                Place::Directory { directory, .. } => {
                    is_key_of(&path, name) || path == directory.join(format!("{name}.key"))
                }
                Place::Named { key, .. } => is_key_of(&path, name) || path == next_key(key),
            };
            let waits = path.with_extension("csr");
            if is_live && is_of_name && waits.exists() {
                superseded.push(waits);
                // The key of a named file was copied to its place.
                let is_copied = matches!(place, Place::Named { .. });
                superseded.extend(is_copied.then_some(path));
            } else if !is_live && is_of_name && !waits.exists() && !self.pile.has_leaf_of(hash) {
                superseded.push(path);
            }
        }
        superseded
    }
}

/// Removes the files that were new, unless the certificate was put into its place.
struct Undo<'a> {
    store: &'a Store<'a>,
    made: Vec<PathBuf>,
}

impl Undo<'_> {
    fn place(&mut self, staged: Staged<'_>) -> Result<()> {
        let path = staged.path().to_owned();
        let is_new = !path.exists();
        staged.place()?;
        if is_new {
            self.made.push(path);
        }
        Ok(())
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        for path in &self.made {
            // What stays is a key without a certificate, or a CA that was to be trusted: it changes nothing.
            let _ = self.store.remove(path);
        }
    }
}

impl IdentityFiles {
    /// Installs a certificate for this name with its chain (DER, the leaf first, the others in any order). `key` is its
    /// private key as PKCS#8, PKCS#1 or SEC1 in DER; without one, a key that waits in the store is taken. CAs in the
    /// chain are not trusted. See [`CertificateImport`](crate::CertificateImport) for files.
    ///
    /// Everything is checked before anything is changed; on an error before the certificate is in place all is as it
    /// was.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_files`]; [`Code::KeyMissing`]; [`Code::IdentityAmbiguous`] if another file of the store would
    /// be chosen; [`Code::ArgumentInvalid`] where the identity is a PKCS#12 file.
    pub fn install_certificate(&self, name: &Name, chain: &[impl AsRef<[u8]>], key: Option<&[u8]>) -> Result<Identity> {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_ref().to_vec())).collect();
        install(self, name, &chain, key)
    }
}

/// Removes the certificate of a name and its keys from its identity; CAs, lists and waiting keys stay. Answers what was
/// removed, the certificate first.
///
/// # Errors
///
/// [`Code::IdentityMissing`] if there is none; [`Code::FileUnreadable`], [`Code::DirectoryExposed`].
pub(crate) fn remove(files: &IdentityFiles, name: &Name) -> Result<Vec<PathBuf>> {
    let place = Place::of(files, name)?;
    let certificate = place.certificate().to_owned();
    if !certificate.exists() {
        return Err(Error::new(Code::IdentityMissing)
            .subject(certificate.display().to_string())
            .found("no such file")
            .remedy("look at the directory and the name"));
    }
    // Read before the store is locked: readers and writers wait for each other.
    let left = Contents::of_but(files, Some(&certificate))?;
    let store = Store::open(&parent_of(&certificate))?;
    let mut removed = vec![certificate];
    for hash in left.pile.key_hashes() {
        let Some(key) = left.pile.key(hash) else { continue };
        let path = left.path(key.file).to_owned();
        let room = waiting_room(files)?;
        let is_of_name = is_key_of(&path, name)
            || path == room.join(format!("{name}.key"))
            || files.key.as_ref().is_some_and(|key| path == *key || path == next_key(key));
        if is_of_name && !path.with_extension("csr").exists() && !left.pile.has_leaf_of(hash) {
            removed.push(path);
        }
    }
    for path in &removed {
        store.remove(path)?;
        store.sync_directory(&parent_of(path))?;
    }
    Ok(removed)
}

fn not_in_a_directory() -> Error {
    Error::new(Code::ArgumentInvalid)
        .found("a CA or a revocation list for an identity of files by name")
        .expected("an identity directory")
        .remedy("add the file to identity.trust or identity.crls of the configuration")
}

/// 16 digits of the SHA-256: the name of a file.
fn short(bytes: &[u8]) -> String {
    KeyHash::of(bytes).to_string().chars().take(16).collect()
}
