//! An authority outside: requests go into a directory, for a person or a program to take to an enterprise CA; answers
//! are picked up from it.
//!
//! For the node `pc7` with a key whose hash begins with `1f…`, the directory holds `pc7-1f….toml` (who asks, and why)
//! and `pc7-1f….csr` (PEM), in this order. The answer is `pc7-1f….pem` (the certificate, then its intermediates) or
//! `pc7-1f….refused` (a text why not). Answered requests are the administrator's to clear away.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::{CertificateAuthority, Issuance, Order, Reason};
use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::identity::{file_stem, pem};
use crate::limits::{HAND_OFF_RETRY, OPEN_REQUESTS_MAX, OPEN_REQUESTS_PER_NAME_MAX, REFUSAL_BYTES_MAX};
use crate::name::Name;
use crate::session::identity_store::read;
use crate::session::{atomic_file, clock};
use crate::time::Timestamp;

/// Hands requests to somebody else, and picks the answers up later.
#[derive(Clone, Debug)]
pub struct HandOff {
    directory: PathBuf,
    retry_after: Duration,
    /// One order at a time, so that the bound on open requests holds.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl HandOff {
    /// A hand-off through a directory, made for its owner alone if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::FileUnreadable`]; also for a directory that everybody may write to.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        let failed = |error: std::io::Error| unusable(&directory).found(error.to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
        let mode = directory.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o002 != 0 {
            return Err(unusable(&directory)
                .found(format!("mode {mode:04o}: everybody may answer requests"))
                .expected("a directory that others cannot write to")
                .remedy("chmod o-w the directory"));
        }
        Ok(Self { directory, retry_after: HAND_OFF_RETRY, turn: Arc::default() })
    }

    /// How long a node is told to wait before it asks again; a minute unless set.
    #[must_use]
    pub fn retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Answers an order by what lies in the directory. Blocks.
    fn look(&self, order: &Order) -> Result<Issuance> {
        let stem = order.request.file_stem();
        let path = |extension: &str| self.directory.join(format!("{stem}.{extension}"));
        if let Some(reason) = refusal(&path("refused"))? {
            return Err(Error::new(Code::RequestRefused)
                .subject(order.name.as_str())
                .found(reason)
                .expected("a request that the authority grants"));
        }
        if path("pem").exists() {
            let (chain, not_after) = answer(order, &path("pem"))?;
            if order.reason.is_served_by(not_after) {
                return Ok(Issuance::Issued(chain));
            }
            // A key that is kept, since it cannot leave its owner, asks again: the old answer makes way.
            let failed = |error: std::io::Error| unusable(&path("pem")).found(error.to_string());
            fs::rename(path("pem"), path("pem.old")).map_err(failed)?;
            fs::remove_file(path("csr")).or_else(nothing_there).map_err(failed)?;
        }
        if !path("csr").exists() {
            self.check_room(order)?;
            atomic_file::replace(&path("toml"), atomic_file::ALL, description(order, &stem).as_bytes())?;
            // Last: a request that can be seen can be judged.
            atomic_file::replace(&path("csr"), atomic_file::ALL, order.request.to_pem().as_bytes())?;
        }
        Ok(Issuance::Pending { retry_after: self.retry_after })
    }

    /// Refuses a further request where too many wait already; one node's are bounded by themselves (rule D7).
    fn check_room(&self, order: &Order) -> Result<()> {
        let failed = |error: std::io::Error| unusable(&self.directory).found(error.to_string());
        let (mut open, mut own) = (0, 0);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let is_open = path.extension().is_some_and(|extension| extension == "csr")
                && !path.with_extension("pem").exists()
                && !path.with_extension("refused").exists();
            if is_open {
                open += 1;
                own += usize::from(is_of(&path, &order.name));
            }
        }
        let full = |found: String, most: usize| {
            let full = Error::new(Code::RequestsFull).subject(self.directory.display().to_string());
            Err(full.found(found).expected(format!("less than {most}")))
        };
        if own >= OPEN_REQUESTS_PER_NAME_MAX {
            return full(format!("{own} of {}", order.name), OPEN_REQUESTS_PER_NAME_MAX);
        }
        if open >= OPEN_REQUESTS_MAX { full(open.to_string(), OPEN_REQUESTS_MAX) } else { Ok(()) }
    }
}

impl CertificateAuthority for HandOff {
    fn issue(&self, order: Order) -> BoxFuture<'_, Result<Issuance>> {
        Box::pin(async move {
            if order.name != *order.request.name() {
                return Err(Error::new(Code::Internal)
                    .subject(order.name.as_str())
                    .found("a request for another name"));
            }
            let _turn = self.turn.lock().await;
            let hand_off = self.clone();
            let looked = tokio::task::spawn_blocking(move || hand_off.look(&order)).await;
            looked.map_err(|error| Error::new(Code::Internal).found(error.to_string()))?
        })
    }
}

/// The text that refuses a request; none if there is no such file.
fn refusal(path: &Path) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut bytes = read(path)?;
    bytes.truncate(REFUSAL_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Some(if text.is_empty() { "no reason was given".to_owned() } else { printable(&text) }))
}

/// The certificates of an answer, checked against the request.
fn answer(order: &Order, path: &Path) -> Result<(Vec<CertificateDer<'static>>, Timestamp)> {
    let unusable = |error: Error| {
        Error::new(Code::AuthorityAnswerUnusable)
            .subject(path.display().to_string())
            .found(format!("{} {}: {}", error.code(), error.code().summary(), error.found_text()))
            .expected(error.expected_text())
    };
    let certificates = read(path).and_then(|bytes| pem::certificates(&bytes)).map_err(unusable)?;
    let chain = order.request.check_answer(&certificates, clock::wall()).map_err(|report| unusable(report.into()))?;
    let leaf = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let (_, leaf) = leaf.ok_or_else(|| unusable(Error::new(Code::CertificateUnreadable)))?;
    let not_after = Timestamp::from_unix_seconds(leaf.validity().not_after.timestamp());
    Ok((chain, not_after))
}

fn nothing_there(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Whether a file is one of the requests of a name: a name may hold hyphens, a hash does not.
fn is_of(path: &Path, name: &Name) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.rsplit_once('-').is_some_and(|(_, digits)| stem == file_stem(name, digits))
}

/// Who asks, as TOML. No value can hold a quote: names, roles, numbers.
fn description(order: &Order, stem: &str) -> String {
    let mut text = format!(
        "# A certificate request of a farpost node. Sign {stem}.csr and put the answer beside it: {stem}.pem, the\n\
         # certificate and its intermediates, or {stem}.refused, a text why not.\n\
         name = \"{}\"\nrole = \"{}\"\n",
        order.name, order.role
    );
    // Writing to a String cannot fail.
    if let Some(via) = &order.via {
        let _ = writeln!(text, "via = \"{via}\"");
    }
    let _ = match order.reason {
        Reason::Enrolment => writeln!(text, "reason = \"enrolment\""),
        Reason::Renewal { current_not_after } => {
            writeln!(text, "reason = \"renewal\"\ncurrent_not_after = {current_not_after}")
        }
    };
    let _ = writeln!(text, "asked = {}", clock::wall());
    let _ = writeln!(text, "key_kind = \"{}\"", order.request.key_kind());
    let _ = writeln!(text, "key_sha256 = \"{}\"", order.request.key_hash());
    text
}

fn unusable(directory: &Path) -> Error {
    Error::new(Code::FileUnreadable).subject(directory.display().to_string())
}
