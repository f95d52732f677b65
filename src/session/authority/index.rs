//! What an authority has issued and revoked: the file `index.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::session::atomic_file;
use crate::session::identity_store::read;

/// The file `index.json`.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Index {
    /// The number of the last revocation list; the next one has a higher one.
    pub(super) crl_number: u64,
    pub(super) issued: Vec<Issued>,
}

/// One certificate.
#[derive(Serialize, Deserialize)]
pub(super) struct Issued {
    /// Hexadecimal, lower case, no leading zeros.
    pub(super) serial: String,
    pub(super) name: String,
    /// Seconds since 1970.
    pub(super) until: i64,
    /// Seconds since 1970.
    pub(super) revoked: Option<i64>,
}

impl Index {
    pub(super) fn read(path: &Path) -> Result<Self> {
        serde_json::from_slice(&read(path)?).map_err(|error| {
            Error::new(Code::FileUnreadable)
                .subject(path.display().to_string())
                .found(error.to_string())
                .expected("the index of a certification authority")
                .remedy("restore it from a backup: without it nothing can be revoked")
        })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::new(Code::Internal).subject(path.display().to_string()).found(error.to_string()))?;
        atomic_file::replace(path, atomic_file::ALL, (text + "\n").as_bytes())
    }

    /// Adds a certificate, and forgets those that ended long ago: no list needs them.
    pub(super) fn add(&mut self, issued: Issued, now: i64) {
        self.issued.retain(|old| old.until > now - KEPT_AFTER_END);
        self.issued.push(issued);
    }

    /// Marks a certificate as revoked; again does nothing.
    pub(super) fn revoke(&mut self, serial: &str, at: i64) -> Result<()> {
        let wanted = serial.trim_start_matches('0');
        let Some(issued) = self.issued.iter_mut().find(|issued| issued.serial.trim_start_matches('0') == wanted) else {
            return Err(Error::new(Code::CertificateMissing)
                .subject(format!("serial {}", printable(serial)))
                .found("no certificate of this authority with that serial number")
                .expected("one of those in index.json")
                .remedy("give the authority that issued it: --directory"));
        };
        issued.revoked.get_or_insert(at);
        Ok(())
    }
}

/// Seconds that a certificate stays in the index after its end: a year, for those who ask what there was.
const KEPT_AFTER_END: i64 = 366 * 86_400;
