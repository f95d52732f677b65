//! An authority's directory, read under its lock.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::{CERTIFICATE, INDEX, KEY, unsigned, unusable_file};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::{KeyHash, pem};
use crate::session::authority::index::Index;
use crate::session::clock;
use crate::session::identity_store::{read, read_key};
use crate::time::Timestamp;

const LOCK: &str = "lock";

/// An authority that this call alone may use until it is dropped.
pub(super) struct Unlocked {
    certificate: CertificateDer<'static>,
    /// What its nodes have to present with their certificates.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// The end of the authority's own certificate, in seconds since 1970.
    pub(super) until: i64,
    key: Zeroizing<KeyPair>,
    pub(super) index: Index,
    _lock: Flock<File>,
}

impl Unlocked {
    /// Takes the lock and reads what is there.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let key_path = directory.join(KEY);
        if !key_path.exists() {
            return Err(Error::new(Code::FileMissing)
                .subject(key_path.display().to_string())
                .found("none")
                .expected("a certification authority")
                .remedy("farpost ca init"));
        }
        let lock = lock(directory, LOCK_WAIT)?;
        let file = directory.join(CERTIFICATE);
        let certificates = pem::certificates(&read(&file)?)?;
        let key = key_of(&key_path)?;
        let (certificate, intermediates, until) = own_certificate(&file, certificates, &key)?;
        let index = Index::read(&directory.join(INDEX))?;
        Ok(Self { certificate, intermediates, until, key, index, _lock: lock })
    }

    /// What signs.
    pub(super) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>> {
        Issuer::from_ca_cert_der(&self.certificate, &*self.key).map_err(|error| unsigned(&error))
    }

    /// The first digits of SHA-256 of the authority's public key.
    pub(super) fn key_digits(&self) -> String {
        KeyHash::of(&self.key.subject_public_key_info()).first_digits()
    }
}

fn key_of(path: &Path) -> Result<Zeroizing<KeyPair>> {
    let der = pem::private_key(&read_key(path)?).map_err(|error| error.subject(path.display().to_string()))?;
    KeyPair::try_from(der.as_slice()).map(Zeroizing::new).map_err(|error| {
        let unreadable = Error::new(Code::KeyUnreadable).subject(path.display().to_string());
        unreadable.found(error.to_string()).expected("a PEM key")
    })
}

type Own = (CertificateDer<'static>, Vec<CertificateDer<'static>>, i64);

/// The authority's own certificate, those that its nodes have to present with theirs, and its end.
fn own_certificate(file: &Path, certificates: Vec<CertificateDer<'static>>, key: &KeyPair) -> Result<Own> {
    let wrong = |code: Code| Error::new(code).subject(file.display().to_string());
    let unusable = |found: String| wrong(Code::TrustUnusable).found(found);
    let first = certificates.first().cloned().ok_or_else(|| unusable("no certificate".to_owned()))?;
    let mut intermediates = Vec::new();
    for der in certificates {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| unusable(error.to_string()))?;
        if parsed.subject() != parsed.issuer() {
            intermediates.push(der.clone());
        }
    }
    let (_, own) = X509Certificate::from_der(&first).map_err(|error| unusable(error.to_string()))?;
    if !own.is_ca() {
        return Err(unusable("a certificate that is no CA's".to_owned()).expected("the authority's own"));
    }
    if own.public_key().raw != key.subject_public_key_info() {
        let mismatch = wrong(Code::KeyMismatch).found("another key than that of ca.key");
        return Err(mismatch.expected("the certificate of ca.key"));
    }
    let until = own.validity().not_after.timestamp();
    if until <= clock::wall().unix_seconds() {
        return Err(wrong(Code::CertificateExpired)
            .found(format!("valid until {}", Timestamp::from_unix_seconds(until)))
            .expected("an authority that is valid now")
            .remedy("farpost ca init makes a new one, which every node has to trust"));
    }
    Ok((first, intermediates, until))
}

/// Waits for the lock of an authority: it is held for the time of one signature and one write.
pub(in crate::session::authority) fn lock(directory: &Path, wait: Duration) -> Result<Flock<File>> {
    let path: PathBuf = directory.join(LOCK);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let mut file = opened.map_err(|error| unusable_file(&path, &error))?;
    let start = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) if start.elapsed() < wait => file = back,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(Error::new(Code::TimedOut)
                    .subject(path.display().to_string())
                    .found(format!("another process that has kept the lock for {wait:?}"))
                    .remedy("look who uses the authority, then try again"));
            }
            Err((_, errno)) => return Err(unusable_file(&path, &errno.into())),
        }
        std::thread::sleep(LOCK_POLL);
    }
}

/// How long a call waits for others; one signature and one write take milliseconds.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(5);
