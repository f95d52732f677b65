//! What an authority has issued and revoked.

use std::path::Path;

use serde::{Deserialize, Serialize};

use farpost::Code;

use crate::failure::Failure;
use crate::files::{self, Readers};

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
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        serde_json::from_str(&files::read_text(path)?).map_err(|error| {
            Failure::new(Code::FileUnreadable, path.display())
                .found(error)
                .expected("the index of a certification authority")
                .remedy("restore it from a backup: without it nothing can be revoked")
        })
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::new(Code::Internal, path.display()).found(error))?;
        files::write(path, (text + "\n").as_bytes(), Readers::All)
    }

    /// Marks a certificate as revoked; again does nothing.
    pub(super) fn revoke(&mut self, serial: &str, at: i64) -> Result<(), Failure> {
        let wanted = serial.trim_start_matches('0');
        let Some(issued) = self.issued.iter_mut().find(|issued| issued.serial.trim_start_matches('0') == wanted) else {
            return Err(Failure::new(Code::CertificateMissing, format!("serial {serial}"))
                .found("no certificate of this authority with that serial number")
                .expected("one of those in index.json")
                .remedy("give the authority that issued it: --directory"));
        };
        issued.revoked.get_or_insert(at);
        Ok(())
    }
}
