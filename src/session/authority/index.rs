//! What an authority has issued and revoked: the file `index.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::session::atomic_file;
use crate::session::identity_store::read;

/// The file `index.json`.
#[derive(Deserialize, Default)]
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
    /// The first 16 hexadecimal digits of SHA-256 of the certificate's key; none where an older release issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// The same of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authority: Option<String>,
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
        // A line for each certificate: for people and their tools, and half as long as with one for each value.
        let mut text = format!("{{\"crl_number\":{},\"issued\":[", self.crl_number);
        for (index, issued) in self.issued.iter().enumerate() {
            let line = serde_json::to_string(issued).map_err(|error| {
                Error::new(Code::Internal).subject(path.display().to_string()).found(error.to_string())
            })?;
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.push_str(&line);
        }
        text.push_str("\n]}\n");
        atomic_file::replace(path, atomic_file::ALL, text.as_bytes())
    }

    /// Adds a certificate, and forgets those that ended long ago: no list needs them. Returns these.
    pub(super) fn add(&mut self, issued: Issued, now: i64) -> Vec<Issued> {
        let forgotten = self.issued.extract_if(.., |old| old.until <= now - KEPT_AFTER_END).collect();
        self.issued.push(issued);
        forgotten
    }

    /// Whether a certificate is in force: issued by this key of the authority for this key of a node, and not revoked.
    pub(super) fn is_in_force(&self, serial: &str, key: &str, authority: &str) -> bool {
        self.issued.iter().any(|one| {
            let (of_key, of_authority) = (one.key.as_deref() == Some(key), one.authority.as_deref() == Some(authority));
            one.serial == serial && of_key && of_authority && one.revoked.is_none()
        })
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

/// Seconds that a certificate stays in the index after its end: a month, for those who ask what there was. The whole
/// file is written for every certificate.
const KEPT_AFTER_END: i64 = 30 * 86_400;
