//! One revocation list: its bytes, an index of its entries, and whose signature it has.
//!
//! A list may have half a million entries: it is kept as it came, with eight bytes more for each. rustls-webpki reads
//! it and refuses what it does not know (delta and indirect lists, unknown critical extensions of list and entries).

use std::fmt;
use std::sync::OnceLock;

use rustls::pki_types::CertificateRevocationListDer;
use webpki::{BorrowedCertRevocationList, CertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, IssuingDistributionPoint, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_CRL_NUMBER;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::KeyHash;
use crate::identity::der::{object, sequence};
use crate::identity::revocation::{problem_with, subject_content};
use crate::identity::signature::is_signed_by;
use crate::time::Timestamp;

/// A list that can be used.
pub(super) struct RevocationList {
    der: Box<[u8]>,
    /// Where each serial number stands in `der`, ordered by the number.
    entries: Box<[Place]>,
    /// The content of the issuer's name, as webpki has it.
    issuer: Box<[u8]>,
    pub(super) issuer_text: String,
    /// The key identifier of the key that signed it, as the list says: a CA that renewed its key has a list for each.
    authority_key: Option<Vec<u8>>,
    scope: Option<Scope>,
    /// Big-endian without leading zeros; RFC 5280 section 5.2.3 allows 20 octets.
    number: Vec<u8>,
    /// Seconds since 1970.
    pub(super) this_update: i64,
    pub(super) next_update: Option<i64>,
    /// The issuer's key with which the signature was found good. Set once; a list never has another signature.
    proven_by: OnceLock<KeyHash>,
    /// That key itself, for the list that comes after this one.
    signer: OnceLock<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    length: u32,
}

/// An issuing distribution point: what of its issuer a list is for.
#[derive(Debug, PartialEq, Eq)]
struct Scope {
    users_only: bool,
    authorities_only: bool,
    points: Vec<Vec<u8>>,
    /// The whole extension: two lists with equal ones are of one scope.
    value: Vec<u8>,
}

impl RevocationList {
    /// Reads a list. `issuers` are the certificates of CAs whose keys are known: a list that one of them should have
    /// signed and did not is refused, so that it takes no other's place (SECURITY H9).
    pub(super) fn parse(
        der: &CertificateRevocationListDer<'_>,
        issuers: &[X509Certificate<'_>],
    ) -> Result<Self, Error> {
        let unusable = |found: String| Error::new(Code::CrlUnusable).found(found);
        let read = BorrowedCertRevocationList::from_der(der).map_err(|error| unusable(problem_with(&error)))?;
        let entries = index(der, &read).map_err(|error| unusable(problem_with(&error)))?;
        let head = head(der).ok_or_else(|| unusable("it cannot be read".to_owned()))?;
        let (_, parsed) = CertificateRevocationList::from_der(&head)
            .map_err(|error| unusable(format!("it cannot be read: {error}")))?;
        let issuer_text = printable(&parsed.issuer().to_string());
        let Some(number) = number_of(&parsed) else {
            let wrong = unusable("no CRL number that could tell which list is newer".to_owned()).subject(issuer_text);
            return Err(wrong.expected("a version 2 CRL with a CRLNumber extension that is not critical"));
        };
        let read = CertRevocationList::from(read);
        let mut extensions = parsed.extensions().iter().map(|extension| extension.parsed_extension());
        let out = Self {
            entries,
            issuer: read.issuer().into(),
            issuer_text,
            authority_key: extensions.find_map(key_identifier).map(<[u8]>::to_vec),
            scope: scope_of(&parsed, read.issuing_distribution_point()),
            number,
            this_update: parsed.last_update().timestamp(),
            next_update: parsed.next_update().map(|end| end.timestamp()),
            proven_by: OnceLock::new(),
            signer: OnceLock::new(),
            der: der.as_ref().into(),
        };
        match out.prove(issuers) {
            Some(false) => Err(unusable("a signature that its issuer's key did not make".to_owned())
                .subject(out.issuer_text)
                .expected("the list as its issuer published it")),
            Some(true) | None => Ok(out),
        }
    }

    /// Whether it is the list of the issuer with this name (the content of its SEQUENCE).
    pub(super) fn is_of(&self, issuer: &[u8]) -> bool {
        *self.issuer == *issuer
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it was signed with the key that signed another list, as far as that is known.
    pub(super) fn is_signed_as(&self, other: &Self) -> bool {
        match (other.signer.get(), other.proven_by.get()) {
            (Some(public_key), Some(key)) => self.is_proven_by(*key, public_key),
            _ => true,
        }
    }

    /// Whether it has a serial number.
    pub(super) fn has(&self, serial: &[u8]) -> bool {
        self.entries.binary_search_by(|place| place.of(&self.der).cmp(serial)).is_ok()
    }

    pub(super) fn has_scope_of(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.scope == other.scope && self.authority_key == other.authority_key
    }

    /// What orders the lists of one issuer and scope.
    pub(super) fn age(&self) -> (usize, &[u8], i64) {
        (self.number.len(), &self.number, self.this_update)
    }

    pub(super) fn is_current(&self, at: Timestamp) -> bool {
        let now = at.unix_seconds();
        self.this_update <= now && self.next_update.is_some_and(|end| now < end)
    }

    /// Whether a certificate of its issuer is within its scope: the kind, and a distribution point in common where both
    /// name some (RFC 5280 section 6.3.3, by full names).
    pub(super) fn covers(&self, certificate: &X509Certificate<'_>, is_authority: bool) -> bool {
        let Some(scope) = &self.scope else { return true };
        if (is_authority && scope.users_only) || (!is_authority && scope.authorities_only) {
            return false;
        }
        let points = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::CRLDistributionPoints(points) => Some(points),
            _ => None,
        });
        let Some(points) = points else { return true };
        let whole = points.iter().filter(|point| point.crl_issuer.is_none() && point.reasons.is_none());
        whole
            .filter_map(|point| point.distribution_point.as_ref())
            .flat_map(full_names)
            .any(|name| scope.points.contains(&name))
    }

    /// Whether the signature was found good under this key before.
    pub(super) fn is_known_of(&self, key: KeyHash) -> bool {
        self.proven_by.get() == Some(&key)
    }

    /// Whether the key that the list names may be the one that a certificate of its issuer names; of a CA that renewed
    /// its key only one of the lists is.
    pub(super) fn may_be_of_issuer_of(&self, certificate: &X509Certificate<'_>) -> bool {
        let mut extensions = certificate.extensions().iter().map(|extension| extension.parsed_extension());
        let named = extensions.find_map(key_identifier);
        self.authority_key.as_deref().zip(named).is_none_or(|(own, named)| own == named)
    }

    /// Whether the signature is good under this key; looked at once, if it is.
    pub(super) fn is_proven_by(&self, key: KeyHash, public_key: &[u8]) -> bool {
        match self.proven_by.get() {
            Some(proven) => *proven == key,
            // Of two issuers with one name and two keys only the one that signed the list proves it.
            None => {
                let good = is_signed_by(&self.der, public_key) && *self.proven_by.get_or_init(|| key) == key;
                if good {
                    self.signer.get_or_init(|| public_key.into());
                }
                good
            }
        }
    }

    /// Checks the signature with the keys that the issuer is known to have; `None` if the list names another key, or the
    /// issuer is not known.
    pub(super) fn prove(&self, issuers: &[X509Certificate<'_>]) -> Option<bool> {
        let mut outcome = None;
        for issuer in issuers.iter().filter(|issuer| self.is_of(subject_content(issuer.subject().as_raw()))) {
            let key = issuer.public_key().raw;
            if self.is_proven_by(KeyHash::of(key), key) {
                return Some(true);
            }
            let own = issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
                _ => None,
            });
            if self.authority_key.as_deref().zip(own).is_none_or(|(named, own)| named == own) {
                outcome = Some(false);
            }
        }
        outcome
    }
}

impl fmt::Debug for RevocationList {
    /// Whose it is and how long; not its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({}, {} entries)", self.issuer_text, self.len())
    }
}

impl Place {
    fn of(self, der: &[u8]) -> &[u8] {
        let at = self.at as usize;
        der.get(at..at + self.length as usize).unwrap_or_default()
    }
}

/// The places of all serial numbers; an entry that cannot be read makes the list unusable.
fn index(der: &[u8], read: &BorrowedCertRevocationList<'_>) -> Result<Box<[Place]>, webpki::Error> {
    let start = der.as_ptr() as usize;
    let mut places = Vec::new();
    for entry in read {
        let serial = entry?.serial_number;
        let at = (serial.as_ptr() as usize).checked_sub(start).and_then(|at| u32::try_from(at).ok());
        let length = u32::try_from(serial.len()).ok();
        let place = at.zip(length).map(|(at, length)| Place { at, length });
        // webpki gives parts of the bytes that it was given; what is elsewhere would never be found again.
        places.push(place.filter(|place| place.of(der) == serial).ok_or(webpki::Error::BadDer)?);
    }
    places.sort_unstable_by(|one, other| one.of(der).cmp(other.of(der)));
    Ok(places.into())
}

/// The list without its entries, as x509-parser may read it: it takes more than a hundred bytes for each.
fn head(der: &[u8]) -> Option<Vec<u8>> {
    let outer = object(der)?;
    let signed = object(outer.content)?;
    let (mut rest, mut kept) = (signed.content, Vec::new());
    for place in 0.. {
        let Some(part) = object(rest) else { break };
        // Version, algorithm, issuer, two times (webpki demands both), then the entries, if there are any.
        if place != ENTRIES || part.tag != SEQUENCE {
            kept.extend_from_slice(part.whole);
        }
        rest = part.rest;
    }
    let mut content = sequence(&kept);
    content.extend_from_slice(signed.rest);
    Some(sequence(&content))
}

fn number_of(list: &CertificateRevocationList<'_>) -> Option<Vec<u8>> {
    let mut numbers = list.extensions().iter().filter(|extension| extension.oid == OID_X509_EXT_CRL_NUMBER);
    match (list.crl_number(), numbers.next(), numbers.next()) {
        (Some(number), Some(extension), None) if !extension.critical => Some(number.to_bytes_be()),
        _ => None,
    }
}

fn scope_of(list: &CertificateRevocationList<'_>, value: Option<&[u8]>) -> Option<Scope> {
    let parsed = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::IssuingDistributionPoint(point) => Some(point),
        _ => None,
    });
    let points =
        |point: &IssuingDistributionPoint<'_>| point.distribution_point.iter().flat_map(full_names).collect::<Vec<_>>();
    value.map(|value| Scope {
        // One that webpki reads and x509-parser does not is for nothing.
        users_only: parsed.is_none_or(|point| point.only_contains_user_certs),
        authorities_only: parsed.is_none_or(|point| point.only_contains_ca_certs),
        points: parsed.map(points).unwrap_or_default(),
        value: value.to_vec(),
    })
}

/// The URIs and directory names of a distribution point, each with its kind before it.
fn full_names(point: &DistributionPointName<'_>) -> Vec<Vec<u8>> {
    let DistributionPointName::FullName(names) = point else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some([b"u", uri.as_bytes()].concat()),
        GeneralName::DirectoryName(name) => Some([b"d", name.as_raw()].concat()),
        _ => None,
    };
    names.iter().filter_map(name).collect()
}

/// The key identifier of an authority key identifier extension.
fn key_identifier<'a>(extension: &'a ParsedExtension<'a>) -> Option<&'a [u8]> {
    match extension {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => Some(identifier.key_identifier.as_ref()?.0),
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
/// The place of the entries in what is signed.
const ENTRIES: usize = 5;
