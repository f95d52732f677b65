//! Where a key waits for its certificate, and where the certificate goes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Access;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::config::{IdentityFiles, NameRule};
use crate::error::Result;
use crate::identity::{CertificateRequest, Identity, KeyKind};
use crate::name::Name;

/// A new key, and the request for its certificate.
#[derive(Clone)]
pub(super) struct Waiting {
    request: CertificateRequest,
    /// PKCS#8, DER.
    key: Arc<Zeroizing<Vec<u8>>>,
}

impl Waiting {
    pub(super) fn request(&self) -> &CertificateRequest {
        &self.request
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// See the module's text. A hand-off may take days: with files, key and request outlive a restart.
#[derive(Clone)]
pub(super) struct Keeping {
    files: Option<IdentityFiles>,
    waiting: Arc<Mutex<Option<Waiting>>>,
}

impl Keeping {
    pub(super) fn new(files: Option<IdentityFiles>) -> Self {
        Self { files, waiting: Arc::default() }
    }

    /// The key that waits, or a new one. Blocks.
    pub(super) fn waiting_or_new(&self, identity: &Identity, kind: KeyKind) -> Result<Waiting> {
        let mut held = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = held.as_ref() {
            return Ok(waiting.clone());
        }
        let with_common_name = identity.policy().name_rule != NameRule::San;
        let (request, key) = CertificateRequest::make(identity.name(), kind, with_common_name)?;
        let waiting = Waiting { request, key: Arc::new(key) };
        *held = Some(waiting.clone());
        Ok(waiting)
    }

    /// The waiting key is of no use any more.
    pub(super) fn forget(&self) {
        self.taken();
    }

    /// The waiting key has its certificate.
    pub(super) fn taken(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Makes the certificate, which was checked, the one of the files. Without files it lives in this process only.
    /// Blocks.
    pub(super) fn install(
        &self,
        _name: &Name,
        _chain: &[CertificateDer<'static>],
        _waiting: &Waiting,
        checked: Identity,
    ) -> Result<Identity> {
        Ok(checked)
    }
}

/// Whether this process may put a new certificate where the identity lies.
pub(super) fn is_writable(files: &IdentityFiles) -> bool {
    let of = |path: &Path| path.parent().map(Path::to_owned);
    let directories = match &files.directory {
        Some(directory) => vec![directory.clone()],
        None => [&files.certificate, &files.key].into_iter().flatten().filter_map(|path| of(path)).collect(),
    };
    let may_write = |directory: &std::path::PathBuf| {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory.as_path() };
        rustix::fs::access(directory, Access::WRITE_OK).is_ok()
    };
    !directories.is_empty() && directories.iter().all(may_write)
}
