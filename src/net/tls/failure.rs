//! What a failed handshake, or a link that the peer's alert ended, means (rule G5).

use std::io;

use rustls::AlertDescription;

use crate::code::Code;
use crate::error::Error;
use crate::identity::Identity;
use crate::identity::signer::signer_error;
use crate::net::tls::no_alpn;
use crate::net::tls::verifier::Verdict;
use crate::time::Timestamp;

/// The error of a handshake that failed: our own verdict about the peer says more than what rustls made of it.
pub(super) fn error_of(identity: &Identity, error: &io::Error, verdict: Option<Verdict>, at: Timestamp) -> Error {
    match verdict {
        Some(Err(report)) => report.into(),
        _ => explain(identity, error, at),
    }
}

/// Puts an error of a TLS stream into words. An alert about our certificate becomes [`Code::OwnCertificateRefused`]
/// with what our own check of it finds now; the dialler meets it at its first read or write, since in TLS 1.3 it was
/// done before the peer looked.
pub(super) fn explain(identity: &Identity, error: &io::Error, at: Timestamp) -> Error {
    let failed = |found: String| Error::new(Code::TlsFailed).found(found);
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            no_alpn("an alert: no such protocol")
        }
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            Error::new(Code::CertificateMissing)
                .subject(identity.name().as_str())
                .found("the peer saw no certificate of this node")
        }
        Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => own_refused(identity, *alert, at),
        Some(rustls::Error::AlertReceived(alert)) => {
            failed(format!("the peer ended the handshake: alert {}", words(*alert)))
        }
        Some(rustls::Error::NoApplicationProtocol) => no_alpn("other protocols"),
        Some(rustls::Error::NoCertificatesPresented) => {
            Error::new(Code::CertificateMissing).expected("a certificate of the peer")
        }
        Some(rustls::Error::InvalidMessage(message)) => failed(format!("bytes that are not TLS ({message:?})"))
            .expected("a TLS 1.3 handshake")
            .remedy("look at what connects to this port"),
        Some(rustls::Error::PeerIncompatible(what)) => failed(format!("{what:?}")).expected("TLS 1.3"),
        Some(other) => signer_error(other).unwrap_or_else(|| failed(other.to_string())),
        None => failed(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the connection was closed during the handshake".to_owned(),
            _ => error.to_string(),
        }),
    }
}

/// Whether TLS says why, or only that the connection is gone.
pub(super) fn is_of_tls(error: &io::Error) -> bool {
    tls_error(error).is_some()
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn own_refused(identity: &Identity, alert: AlertDescription, at: Timestamp) -> Error {
    let own = identity.check_own(at);
    let codes: Vec<String> =
        own.findings().iter().map(|finding| format!("{} {}", finding.code(), finding.code().summary())).collect();
    let check = if codes.is_empty() {
        "its own check finds nothing wrong, so the peer trusts other CAs, has another CRL or another clock".to_owned()
    } else {
        format!("its own check says {}", codes.join(", "))
    };
    let refused = Error::new(Code::OwnCertificateRefused).subject(identity.name().as_str());
    let refused = refused.found(format!("alert {}; {check}", words(alert)));
    match own.first() {
        Some(first) => refused.expected(first.expected_text()).remedy(first.remedy_text()),
        None => refused,
    }
}

/// The alerts of RFC 8446 section 6.2 that a verifier's refusal becomes. `decrypt_error` is among them: a signature of
/// our chain that the peer could not verify.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

/// `CertificateUnknown` as `certificate unknown`.
fn words(alert: AlertDescription) -> String {
    let mut out = String::new();
    let name = format!("{alert:?}");
    let mut before_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before_lower {
            out.push(' ');
        }
        before_lower = letter.is_ascii_lowercase();
        out.push(letter.to_ascii_lowercase());
    }
    out
}
