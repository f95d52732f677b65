//! A case as the files hold it, one JSON object a line.

use std::io::Read as _;
use std::path::Path;

use farpost::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Deserialize;

/// What is to be verified, and what the outcome must be.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) suite: String,
    pub(crate) validation_kind: String,
    pub(crate) trusted_certs: Vec<String>,
    pub(crate) untrusted_intermediates: Vec<String>,
    pub(crate) peer_certificate: String,
    pub(crate) peer_certificate_key: Option<String>,
    validation_time: Option<String>,
    pub(crate) expected_peer_name: Option<PeerName>,
    pub(crate) max_chain_depth: Option<u32>,
    #[serde(default)]
    pub(crate) crls: Vec<String>,
    expected_result: String,
    #[serde(default)]
    features: Vec<String>,
}

/// The name that the peer must prove.
#[derive(Deserialize)]
pub(crate) struct PeerName {
    /// DNS, IP or RFC822.
    pub(crate) kind: String,
    pub(crate) value: String,
}

impl Case {
    /// Whether the chain is good, says the suite.
    pub(crate) fn is_good(&self) -> bool {
        self.expected_result == "SUCCESS"
    }

    /// Whether the suite itself says that the outcome may differ.
    pub(crate) fn is_optional(&self) -> bool {
        self.features.iter().any(|one| ["optional", "cn-only-legacy", "legacy-string"].contains(&one.as_str()))
    }

    /// The time of the verification; now, where the case names none.
    pub(crate) fn at(&self) -> Result<Timestamp, String> {
        let Some(text) = &self.validation_time else {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            return Ok(Timestamp::from_unix_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)));
        };
        text.parse().map_err(|error| format!("{}: {error}", self.id))
    }

    pub(crate) fn anchors(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        certificates(&self.trusted_certs)
    }

    /// The peer's certificate, then what it presents beside it.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut chain = certificates(std::slice::from_ref(&self.peer_certificate))?;
        chain.extend(certificates(&self.untrusted_intermediates)?);
        Ok(chain)
    }

    pub(crate) fn lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        let read = |pem: &String| CertificateRevocationListDer::from_pem_slice(pem.as_bytes());
        self.crls.iter().map(read).collect::<Result<_, _>>().map_err(|error| format!("a list: {error:?}"))
    }
}

/// Reads a file of cases, packed with zstd where its name says so.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>, String> {
    let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| problem(&error))?;
    let text = if path.extension().is_some_and(|extension| extension == "zst") {
        let mut text = String::new();
        let mut packed = &bytes[..];
        // A file may be made of several frames.
        while !packed.is_empty() {
            let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut packed).map_err(|error| problem(&error))?;
            frame.read_to_string(&mut text).map_err(|error| problem(&error))?;
        }
        text
    } else {
        String::from_utf8(bytes).map_err(|error| problem(&error))?
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|error| problem(&error))).collect()
}

fn certificates(pems: &[String]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut out = Vec::new();
    for pem in pems {
        for section in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            out.push(section.map_err(|error| format!("a certificate: {error:?}"))?);
        }
    }
    Ok(out)
}
