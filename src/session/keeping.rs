//! Where a new key waits for its certificate, and where the certificate goes: what renewal and enrolment share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::Access;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::config::{IdentityFiles, NameRule};
use crate::error::{Error, Result};
use crate::identity::{CertificateRequest, Identity, KeyKind};
use crate::name::Name;
use crate::session::identity_store::{install_with_trust, read, read_key, waiting_room};

/// A new key, and the request for its certificate.
#[derive(Clone)]
pub(crate) struct Waiting {
    request: CertificateRequest,
    /// PKCS#8, DER.
    key: Arc<Zeroizing<Vec<u8>>>,
    /// Where both lie, if they do: the request's file, and the key's beside it.
    file: Option<PathBuf>,
}

impl Waiting {
    pub(crate) fn request(&self) -> &CertificateRequest {
        &self.request
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// See the module's text. A hand-off may take days: with files, key and request outlive a restart.
#[derive(Clone)]
pub(crate) struct Keeping {
    files: Option<IdentityFiles>,
    /// What waits, once it was looked for.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl Keeping {
    pub(crate) fn new(files: Option<IdentityFiles>) -> Self {
        Self { files, waiting: Arc::default() }
    }

    /// The key that waits, the newest if there are several, or a new one, which is on disk when this returns. Blocks.
    ///
    /// # Errors
    ///
    /// As [`IdentityFiles::make_request`].
    pub(crate) fn waiting_or_new(&self, name: &Name, kind: KeyKind, rule: NameRule) -> Result<Waiting> {
        let mut held = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = held.as_ref() {
            return Ok(waiting.clone());
        }
        let waiting = match self.files.as_ref() {
            Some(files) => match newest_waiting(&waiting_room(files)?, name) {
                Some(waiting) => waiting,
                None => read_waiting(&files.make_request(name, kind)?.request_file)?,
            },
            None => {
                let (request, key) = CertificateRequest::make(name, kind, rule != NameRule::San)?;
                Waiting { request, key: Arc::new(key), file: None }
            }
        };
        *held = Some(waiting.clone());
        Ok(waiting)
    }

    /// The waiting key is of no use any more: the next request has another one. Blocks.
    pub(crate) fn forget(&self) {
        let forgotten = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = forgotten.and_then(|waiting| waiting.file) {
            // The request first: a key without a request waits for nothing. One that stays is found again.
            let _ = fs::remove_file(&file);
            let _ = fs::remove_file(file.with_extension("key"));
        }
    }

    /// Makes the certificate the one of the files, with CAs that are trusted from then on. `None` without files: it lives
    /// in this process only. Blocks.
    ///
    /// # Errors
    ///
    /// As [`install_with_trust`], which checks all before it changes anything.
    pub(crate) fn install(
        &self,
        name: &Name,
        chain: &[CertificateDer<'static>],
        waiting: &Waiting,
        anchors: Vec<CertificateDer<'static>>,
    ) -> Result<Option<Identity>> {
        let Some(files) = &self.files else {
            *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Ok(None);
        };
        let identity = install_with_trust(files, name, chain, Some(waiting.key()), anchors)?;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(Some(identity))
    }
}

/// The newest request of this name whose key lies beside it. What cannot be read does not wait for anything.
fn newest_waiting(room: &Path, name: &Name) -> Option<Waiting> {
    let is_request = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "csr");
    let modified = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut requests: Vec<PathBuf> =
        fs::read_dir(room).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_request).collect();
    requests.sort_by_key(|path| std::cmp::Reverse((modified(path), path.clone())));
    requests.iter().filter_map(|path| read_waiting(path).ok()).find(|waiting| waiting.request.name() == name)
}

fn read_waiting(file: &Path) -> Result<Waiting> {
    let request = CertificateRequest::from_pem(&read(file)?)?;
    let path = file.with_extension("key");
    let text = read_key(&path)?;
    let unreadable = |found: String| Error::new(Code::KeyUnreadable).subject(path.display().to_string()).found(found);
    let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|error| unreadable(format!("{error:?}")))?;
    let key = Arc::new(Zeroizing::new(key.secret_pkcs8_der().to_vec()));
    Ok(Waiting { request, key, file: Some(file.to_owned()) })
}

/// Whether this process may put a new certificate where the identity lies.
pub(crate) fn is_writable(files: &IdentityFiles) -> bool {
    let may_write = |directory: &Path| {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        rustix::fs::access(directory, Access::WRITE_OK).is_ok()
    };
    let named = [&files.certificate, &files.key];
    match &files.directory {
        Some(directory) => may_write(directory),
        None => named.iter().all(|file| file.as_ref().and_then(|file| file.parent()).is_some_and(may_write)),
    }
}

/// Runs what takes processor time or reads files on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::new(Code::Internal).found(panic.to_string())),
    }
}
