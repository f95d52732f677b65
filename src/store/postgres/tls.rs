//! TLS to the database: its certificate leads to the given anchors and proves the host's name.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Result, printable};
use crate::store::postgres::url::bad;

/// Makes the TLS of a connection.
pub(super) type Tls = MakeRustlsConnect;

/// Trusts what leads to the CA certificates of a PEM file, and nothing else.
///
/// # Errors
///
/// [`crate::code::Code::ConfigBadValue`] for a file that cannot be read or holds no certificate.
pub(super) fn trusting(path: &Path) -> Result<Tls> {
    let subject = format!("store.url: sslrootcert={}", path.display());
    let unfit = |found: String| bad(printable(&found)).subject(&*subject).expected("CA certificates (PEM)");
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unfit(error.to_string()))?;
    let mut anchors = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unfit(error.to_string()))?;
        anchors.add(certificate).map_err(|error| unfit(error.to_string()))?;
    }
    if anchors.is_empty() {
        return Err(unfit("no certificate".into()));
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(error.to_string()))?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
