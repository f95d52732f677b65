//! The form that RFC 5280 and the CA/Browser Forum's rules demand of certificates, beyond what security needs.
//!
//! Certificates of private CAs often lack some of it (openssl leaves key identifiers out unless told otherwise) and are
//! sound all the same, so that a link does not ask for it.

use core::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, ParsedExtension};
use x509_parser::public_key::PublicKey;

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{bits_of, subject_of};
use crate::identity::report::Report;

/// How much of the form of certificates is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CertificateForm {
    /// What rule I2 needs; as on every link.
    #[default]
    Usual,
    /// Also what RFC 5280 and the CA/Browser Forum demand of the form: key identifiers, which extensions are critical,
    /// readable extensions, a common name that is an alternative name to the letter.
    Strict,
}

/// Adds what of the strict form a leaf or an intermediate lacks.
pub(super) fn check_strictly(certificate: &X509Certificate<'_>, report: &mut Report) {
    check_form(certificate, false, report);
}

fn check_form(certificate: &X509Certificate<'_>, is_root: bool, report: &mut Report) {
    let subject = subject_of(certificate);
    let mut lacks = Vec::new();
    key_identifiers(certificate, is_root, &mut lacks);
    criticality(certificate, &mut lacks);
    if certificate.extensions().iter().any(|extension| extension.parsed_extension().error().is_some()) {
        lacks.push("an extension that cannot be read");
    }
    if let Ok(PublicKey::RSA(rsa)) = certificate.public_key().parsed()
        && !bits_of(rsa.modulus).is_multiple_of(8)
    {
        lacks.push("an RSA key whose size is no multiple of 8 bits");
    }
    if let Ok(Some(constraints)) = certificate.name_constraints() {
        let trees = [&constraints.value.permitted_subtrees, &constraints.value.excluded_subtrees];
        let dotted =
            |tree: &GeneralSubtree<'_>| matches!(tree.base, GeneralName::DNSName(name) if name.starts_with('.'));
        if trees.into_iter().flatten().flatten().any(dotted) {
            lacks.push("a constraint on DNS names that begins with a dot");
        }
    }
    if !certificate.is_ca() {
        common_names(certificate, &mut lacks);
    }
    if !lacks.is_empty() {
        let wrong = Error::new(Code::PathInvalid).subject(subject).found(lacks.join("; "));
        report.add(wrong.expected("the form of RFC 5280 section 4.2, which was asked for"));
    }
}

/// Adds what makes an anchor's form strict beyond [`check_strictly`].
pub(super) fn check_anchor_strictly(anchor: &X509Certificate<'_>, report: &mut Report) {
    check_form(anchor, anchor.subject() == anchor.issuer(), report);
    if !matches!(anchor.extended_key_usage(), Ok(None)) {
        let wrong = Error::new(Code::TrustUnusable).subject(subject_of(anchor));
        report.add(wrong.found("an enhanced key usage").expected("none in a root certificate"));
    }
}

/// RFC 5280 sections 4.2.1.1 and 4.2.1.2.
fn key_identifiers(certificate: &X509Certificate<'_>, is_root: bool, lacks: &mut Vec<&'static str>) {
    let (mut own, mut authority) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => own = Some(identifier.0),
            ParsedExtension::AuthorityKeyIdentifier(identifier) => authority = Some(identifier),
            _ => {}
        }
    }
    if certificate.is_ca() && own.is_none() {
        lacks.push("a CA without a subject key identifier");
    }
    let key = authority.and_then(|identifier| identifier.key_identifier.as_ref());
    match (authority, key) {
        (None, _) if is_root => {}
        (None, _) => lacks.push("no authority key identifier"),
        (Some(_), None) => lacks.push("an authority key identifier without a key identifier"),
        (Some(_), Some(key)) if is_root && own.is_some_and(|own| own != key.0) => {
            lacks.push("a root whose two key identifiers differ");
        }
        (Some(_), Some(_)) => {}
    }
    let by_certificate =
        authority.is_some_and(|one| one.authority_cert_issuer.is_some() || one.authority_cert_serial.is_some());
    if is_root && by_certificate {
        lacks.push("an authority key identifier with issuer or serial number");
    }
}

/// Which extensions are critical and which are not.
fn criticality(certificate: &X509Certificate<'_>, lacks: &mut Vec<&'static str>) {
    let nameless = certificate.subject().iter().next().is_none();
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) if constraints.ca && !extension.critical => {
                lacks.push("basicConstraints that are not critical");
            }
            ParsedExtension::SubjectAlternativeName(_) if nameless && !extension.critical => {
                lacks.push("no subject, and alternative names that are not critical");
            }
            ParsedExtension::SubjectAlternativeName(_) if !nameless && extension.critical => {
                lacks.push("a subject, and alternative names that are critical");
            }
            ParsedExtension::PolicyConstraints(_) if !extension.critical => {
                lacks.push("policy constraints that are not critical");
            }
            ParsedExtension::ExtendedKeyUsage(_) if extension.critical => {
                lacks.push("an enhanced key usage that is critical");
            }
            _ => {}
        }
    }
}

/// A common name that is an alternative name is it to the letter; an internationalised one and an address always are.
fn common_names(certificate: &X509Certificate<'_>, lacks: &mut Vec<&'static str>) {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.map(|extension| &extension.value.general_names[..]).unwrap_or_default();
    for common in certificate.subject().iter_common_name() {
        let Ok(common) = common.as_str() else { continue };
        let texts = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(text) => Some((*text).to_owned()),
            GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
            _ => None,
        });
        let texts: Vec<String> = texts.collect();
        let is_address =
            common.contains(['.', ':']) && common.chars().all(|c| c.is_ascii_hexdigit() || ".:xX".contains(c));
        let is_meant = texts.iter().any(|text| text.eq_ignore_ascii_case(common))
            || common.contains("xn--")
            || !common.is_ascii()
            || is_address;
        if is_meant && !texts.iter().any(|text| text == common) {
            lacks.push("a common name that is no alternative name to the letter");
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
