//! Certificate requests (PKCS#10, RFC 2986): what a node asks of a certificate authority, and what one is shown.
//!
//! A request is read as a hostile thing: it names exactly one computer, asks for nothing that makes a CA, proves that
//! its sender holds the key, and has no corner in which a second name could hide. An authority of farpost never copies
//! anything from a request but the name and the key; one that does (`openssl ca -copy_extensions copyall`, AD CS) gets
//! only requests that say no more than that.

mod answer;
mod kind;
mod shape;
mod signature;
#[cfg(test)]
mod tests;

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;
use zeroize::Zeroizing;

pub use kind::KeyKind;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::identity::certificate::key_kind;
use crate::identity::hash::KeyHash;
use crate::identity::names::{exact, listed, text_of};
use crate::identity::report::Report;
use crate::limits::{COMMON_NAME_BYTES_MAX, REQUEST_ATTRIBUTES_MAX, REQUEST_BYTES_MAX};
use crate::name::Name;

/// A certificate request that was checked: one name, a key of an accepted kind (rule I2), and the proof that whoever
/// made it holds that key.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    name: Name,
    key: KeyHash,
    key_kind: String,
    public_key: Vec<u8>,
}

impl CertificateRequest {
    /// Makes the request of a node for a key that is there: the name as dNSName, both purposes, digitalSignature.
    ///
    /// The common name is written where it is asked for (`name_rule` `cn` and `cn-and-san` demand one); X.509 gives
    /// it 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Code::CommonNameNotInSan`] for a common name that would be too long, [`Code::KeyUnreadable`] for another key
    /// than `kind` says.
    pub(crate) fn sign(name: &Name, kind: KeyKind, include_common_name: bool, pkcs8: &[u8]) -> Result<Self> {
        let unusable = |error: rcgen::Error| Error::new(Code::KeyUnreadable).found(error.to_string());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), kind.signs_with());
        let key = Zeroizing::new(key.map_err(unusable)?);
        let fault = |error: rcgen::Error| Error::new(Code::Internal).subject("request").found(error.to_string());
        let mut params = CertificateParams::new(vec![name.to_string()]).map_err(fault)?;
        params.distinguished_name = subject(name, include_common_name)?;
        params.key_usages = kind.usages();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.serialize_request(&*key).map_err(fault)?;
        Self::parse(made.der())
    }

    /// Whether a common name can hold this name.
    pub(crate) fn fits_common_name(name: &Name) -> bool {
        name.as_str().len() <= COMMON_NAME_BYTES_MAX
    }

    /// Reads and checks a request in DER.
    ///
    /// # Errors
    ///
    /// [`Code::RequestUnusable`] for what cannot be read, whose signature is not its own key's, or that asks for what
    /// no node needs; the codes of a certificate (rule I2) for its name and its key. The first of all that is wrong,
    /// with the codes of the others.
    pub fn parse(der: &[u8]) -> Result<Self> {
        Self::check(der).map_err(|report| {
            let error = Error::from(report);
            if error.subject_text().is_empty() { error.subject("the certificate request") } else { error }
        })
    }

    /// Reads and checks a request in a file's bytes: PEM, or DER.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn from_pem(bytes: &[u8]) -> Result<Self> {
        if bytes.first() == Some(&0x30) || bytes.len() > 2 * REQUEST_BYTES_MAX {
            return Self::parse(bytes);
        }
        // As certreq writes it.
        let text = String::from_utf8_lossy(bytes).replace(" NEW CERTIFICATE REQUEST-----", " CERTIFICATE REQUEST-----");
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).map_err(|error| {
            unusable(format!("no request in {} bytes: {error:?}", bytes.len()))
                .subject("the certificate request")
                .expected("a PEM section CERTIFICATE REQUEST")
        })?;
        Self::parse(&der)
    }

    fn check(der: &[u8]) -> Result<Self, Report> {
        if der.len() > REQUEST_BYTES_MAX {
            let long = unusable(format!("{} bytes", der.len())).expected(format!("at most {REQUEST_BYTES_MAX}"));
            return Err(Report::of(long));
        }
        shape::check(der).map_err(Report::of)?;
        let request = match X509CertificationRequest::from_der(der) {
            Ok(([], request)) => request,
            Ok((rest, _)) => return Err(Report::of(unusable(format!("{} bytes after the request", rest.len())))),
            Err(error) => return Err(Report::of(unusable(error.to_string()))),
        };
        let mut report = Report::default();
        let name = check_content(&request, &mut report);
        let info = &request.certification_request_info;
        let key_kind = key_kind(&info.subject_pki).map_err(|found| {
            report.add(Error::new(Code::KeyUnsupported).found(found));
        });
        // A signature of a key that is not accepted proves nothing that is of use.
        if key_kind.is_ok()
            && let Err(finding) = signature::check(&request)
        {
            report.add(finding);
        }
        match (name, key_kind) {
            (Some(name), Ok(key_kind)) if report.is_clean() => {
                let public_key = info.subject_pki.raw.to_vec();
                Ok(Self { der: der.to_vec(), name, key: KeyHash::of(&public_key), key_kind, public_key })
            }
            _ => Err(report),
        }
    }

    /// The one name that it asks for.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as PEM, with lines of 64 characters.
    pub fn to_pem(&self) -> String {
        crate::identity::pem::encode("CERTIFICATE REQUEST", &self.der).to_string()
    }

    /// SHA-256 of its public key in hexadecimal.
    pub fn key_fingerprint(&self) -> String {
        self.key.to_string()
    }

    /// What its key is, for people: `ECDSA P-256`.
    pub fn key_kind(&self) -> &str {
        &self.key_kind
    }

    /// The name of its key.
    pub(crate) fn key_hash(&self) -> KeyHash {
        self.key
    }

    /// Its key, SubjectPublicKeyInfo in DER.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// `NAME-<first 16 digits of the key's hash>`: how files of this request are called. No part of it can name
    /// another directory.
    pub(crate) fn file_stem(&self) -> String {
        file_stem(&self.name, &self.key.first_digits())
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateRequest({}, {}, key {})", self.name, self.key_kind, self.key)
    }
}

/// How files of a name's key are called. Of a name that is too long for a file the beginning has to do.
pub(crate) fn file_stem(name: &Name, key_digits: &str) -> String {
    let name: String = name.as_str().chars().take(FILE_NAME_CHARS).collect();
    format!("{name}-{key_digits}")
}

fn subject(name: &Name, include_common_name: bool) -> Result<DistinguishedName> {
    let mut subject = DistinguishedName::new();
    if include_common_name {
        if !CertificateRequest::fits_common_name(name) {
            return Err(Error::new(Code::CommonNameNotInSan)
                .subject(name.as_str())
                .found(format!("a name of {} bytes", name.as_str().len()))
                .expected(format!("at most {COMMON_NAME_BYTES_MAX} bytes in a common name"))
                .remedy("request without a common name, with name_rule = \"san\""));
        }
        subject.push(DnType::CommonName, name.as_str());
    }
    Ok(subject)
}

/// Checks everything but key and signature; the name, where there is exactly one.
fn check_content(request: &X509CertificationRequest<'_>, report: &mut Report) -> Option<Name> {
    let info = &request.certification_request_info;
    if info.version != X509Version::V1 {
        report.add(unusable(format!("version {}", info.version.0)).expected("version 0 (PKCS#10)"));
    }
    let extensions = match check_attributes(request) {
        Ok(extensions) => extensions,
        Err(finding) => {
            report.add(finding);
            return None;
        }
    };
    let mut name = None;
    for (index, extension) in extensions.iter().enumerate() {
        if extensions.iter().take(index).any(|other| other.oid == extension.oid) {
            report.add(unusable(format!("the extension {} twice", extension.oid)).expected("every extension once"));
        }
        if let Err(finding) = check_extension(extension, &mut name) {
            report.add(finding);
        }
    }
    if name.is_none() && report.is_clean() {
        report.add(
            Error::new(Code::SanMissing)
                .found("no dNSName in the request")
                .expected("the node's name as the one dNSName")
                .remedy("farpost cert request, or openssl req … -addext subjectAltName=DNS:NAME"),
        );
    }
    check_common_name(info.subject.iter_common_name().map(text_of).collect(), name.as_ref(), report);
    name
}

/// The extensions that are asked for. Attributes are a closed list: an enterprise CA may be told a second name, or
/// another template, by others.
fn check_attributes<'a>(request: &'a X509CertificationRequest<'_>) -> Result<&'a [X509Extension<'a>]> {
    let attributes = request.certification_request_info.attributes();
    if attributes.len() > REQUEST_ATTRIBUTES_MAX {
        let found = format!("{} attributes", attributes.len());
        return Err(unusable(found).expected(format!("at most {REQUEST_ATTRIBUTES_MAX}")));
    }
    let mut extensions = None;
    for attribute in attributes {
        let oid = attribute.oid.to_id_string();
        match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(request) if extensions.is_none() => {
                extensions = Some(request.extensions.as_slice());
            }
            ParsedCriAttribute::ExtensionRequest(_) => {
                return Err(unusable("two lists of extensions").expected("one"));
            }
            _ if HARMLESS_ATTRIBUTES.contains(&oid.as_str()) => {}
            _ => return Err(unusable(format!("the attribute {oid}")).expected("the attribute extensionRequest only")),
        }
    }
    Ok(extensions.unwrap_or_default())
}

/// Checks one extension that is asked for, and takes the name from it.
fn check_extension(extension: &X509Extension<'_>, name: &mut Option<Name>) -> Result<()> {
    let asks = |found: String| unusable(found).expected("what a node needs: one dNSName, serverAuth, clientAuth");
    match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(alternative) => {
            *name = Some(only_name(&alternative.general_names)?);
            Ok(())
        }
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
            Err(Error::new(Code::CertificateIsCa).found("a request for a CA certificate").expected("one for a node"))
        }
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(Error::new(Code::CertificateIsCa).found(usage.to_string()).expected("digitalSignature"))
        }
        ParsedExtension::KeyUsage(usage) if !usage.digital_signature() => {
            Err(Error::new(Code::KeyUsageWrong).found(usage.to_string()).expected("digitalSignature"))
        }
        ParsedExtension::ExtendedKeyUsage(usage) if !(usage.any || usage.server_auth && usage.client_auth) => {
            Err(Error::new(Code::EkuIncomplete)
                .found("a request for other purposes")
                .expected("serverAuth, clientAuth"))
        }
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectKeyIdentifier(_) => Ok(()),
        ParsedExtension::NameConstraints(_) => Err(asks("name constraints".to_owned())),
        ParsedExtension::ParseError { .. } => Err(asks(format!("an extension {} that cannot be read", extension.oid))),
        _ if extension.critical => Err(asks(format!("the critical extension {}", extension.oid))),
        // A template's name, for example: it is for the CA to look at.
        _ => Ok(()),
    }
}

/// The one name of a request. Two names would make one node's certificate prove another node's name.
fn only_name(names: &[GeneralName<'_>]) -> Result<Name> {
    let [GeneralName::DNSName(text)] = names else {
        let found: Vec<_> = names
            .iter()
            .map(|name| match name {
                GeneralName::DNSName(text) => Some((*text).to_owned()),
                _ => None,
            })
            .collect();
        let found = format!("{} names: {}", names.len(), listed(&found));
        return Err(Error::new(Code::SanMissing).found(printable(&found)).expected("exactly one dNSName"));
    };
    if text.contains('*') {
        return Err(Error::new(Code::WildcardName).found(printable(text)).expected("the exact name of one computer"));
    }
    let name = exact(text).filter(|name| name.as_str().parse::<core::net::IpAddr>().is_err());
    name.ok_or_else(|| {
        Error::new(Code::NameUnreadable)
            .found(format!("\"{}\"", printable(text)))
            .expected("a DNS name of letters, digits, hyphens and dots, without a dot at its end; no address")
    })
}

/// A common name, if there is one, is the name; there is at most one.
fn check_common_name(common: Vec<Option<String>>, name: Option<&Name>, report: &mut Report) {
    let Some(name) = name else { return };
    let is_name = |text: &Option<String>| text.as_deref().and_then(exact).is_some_and(|common| common == *name);
    if common.len() > 1 || !common.iter().all(is_name) {
        let found = format!("CN {}", listed(&common));
        report.add(
            Error::new(Code::CommonNameNotInSan)
                .found(found)
                .expected(format!("CN {name}, or none"))
                .remedy("request one whose CN is its dNSName"),
        );
    }
}

/// The error of a request that cannot be read, or says too much.
fn unusable(found: impl Into<String>) -> Error {
    Error::new(Code::RequestUnusable).found(found)
}

/// With a hyphen, 16 digits, an extension and what a file system keeps for itself below 255.
const FILE_NAME_CHARS: usize = 200;
/// What `openssl req` and `certreq` write and no CA builds a certificate from: challengePassword, unstructuredName; the
/// version of Windows, the client, the provider of the key.
const HARMLESS_ATTRIBUTES: [&str; 5] = [
    "1.2.840.113549.1.9.7",
    "1.2.840.113549.1.9.2",
    "1.3.6.1.4.1.311.13.2.3",
    "1.3.6.1.4.1.311.21.20",
    "1.3.6.1.4.1.311.13.2.2",
];
