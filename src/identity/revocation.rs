//! Revocation lists: the newest of each issuer, and what they say.
//!
//! rustls-webpki takes the first list of an issuer, believes one that was issued in the future, and looks neither at
//! the number nor at an anchor's key usage; that is closed here.

use std::sync::OnceLock;

use rustls::pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_X509_EXT_CRL_NUMBER;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::KeyHash;
use crate::identity::report::Report;
use crate::time::Timestamp;

/// The lists of a node: the newest of each issuer and scope.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    lists: Vec<RevocationList>,
}

#[derive(Debug)]
struct RevocationList {
    list: CertRevocationList<'static>,
    issuer: String,
    /// Big-endian without leading zeros; RFC 5280 section 5.2.3 allows 20 octets.
    number: Vec<u8>,
    /// Seconds since 1970.
    this_update: i64,
    next_update: Option<i64>,
    /// The issuer's key with which webpki found the signature good. Set once; a list never has another signature.
    proven_by: OnceLock<KeyHash>,
}

impl RevocationLists {
    /// Parses lists and keeps, of each issuer and scope, the one with the highest number, then the latest start. One
    /// that cannot be used is a finding, so that a damaged file is never taken for "nothing is revoked".
    pub(super) fn new(ders: &[CertificateRevocationListDer<'_>], report: &mut Report) -> Self {
        let mut lists: Vec<RevocationList> = Vec::new();
        for der in ders {
            match RevocationList::parse(der) {
                Err(finding) => report.add(finding),
                Ok(list) => match lists.iter_mut().find(|held| held.has_scope_of(&list)) {
                    None => lists.push(list),
                    Some(held) if held.age() < list.age() => *held = list,
                    Some(_) => {}
                },
            }
        }
        Self { lists }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The lists that had been issued at this time, as the path validation takes them.
    pub(super) fn issued(&self, at: Timestamp) -> Vec<&CertRevocationList<'_>> {
        self.lists.iter().filter(|list| list.this_update <= at.unix_seconds()).map(|list| &list.list).collect()
    }

    /// Adds a finding for each list that is older than the previous one of the same issuer and scope.
    pub(super) fn check_succession(&self, previous: &Self, report: &mut Report) {
        for held in &previous.lists {
            for next in self.lists.iter().filter(|next| next.has_scope_of(held) && next.age() < held.age()) {
                let wrong = Error::new(Code::CrlUnusable).subject(&next.issuer);
                let found = format!("a list issued {}", Timestamp::from_unix_seconds(next.this_update));
                let in_use = format!(
                    "the one in use, issued {}, or a newer one",
                    Timestamp::from_unix_seconds(held.this_update)
                );
                report.add(wrong.found(found).expected(in_use));
            }
        }
    }

    /// Whether a list whose signature was checked before, with this issuer's key, says that a certificate is not
    /// revoked. webpki hashes and verifies the whole list in every handshake, which takes milliseconds for a list of
    /// 100,000 entries. `false` means only that webpki must be asked.
    pub(super) fn clears(&self, certificate: &webpki::Cert<'_>, issuer_key: KeyHash, at: Timestamp) -> bool {
        let now = at.unix_seconds();
        self.only_list_of(certificate).is_some_and(|list| {
            list.proven_by.get() == Some(&issuer_key)
                && list.this_update <= now
                && list.next_update.is_some_and(|end| now < end)
                && matches!(list.list.find_serial(certificate.serial()), Ok(None))
        })
    }

    /// Remembers that webpki accepted a certificate by its issuer's list.
    pub(super) fn learn(&self, certificate: &webpki::Cert<'_>, issuer_key: KeyHash) {
        if let Some(list) = self.only_list_of(certificate) {
            // Of two issuers with one name and two keys only the one that signed the list is ever accepted by it.
            let _ = list.proven_by.set(issuer_key);
        }
    }

    /// Whether a signature was checked before, so that asking [`Self::clears`] makes sense.
    pub(super) fn has_proven(&self) -> bool {
        self.lists.iter().any(|list| list.proven_by.get().is_some())
    }

    /// The list that webpki would take for a certificate, where there is no choice: the issuer's only one, without a
    /// scope of its own.
    fn only_list_of(&self, certificate: &webpki::Cert<'_>) -> Option<&RevocationList> {
        let mut of_issuer = self.lists.iter().filter(|list| list.list.issuer() == certificate.issuer());
        let list = of_issuer.next()?;
        (of_issuer.next().is_none() && list.list.issuing_distribution_point().is_none()).then_some(list)
    }

    /// Whether a list of the issuer with this subject (DER) is held, so that its right to sign lists matters.
    pub(super) fn has_issuer(&self, subject: &[u8]) -> bool {
        self.lists.iter().any(|list| list.list.issuer() == subject_content(subject))
    }

    /// What the lists say about one certificate. Their signatures are not checked here: this explains a refusal, it
    /// never makes an acceptance.
    pub(super) fn explain(&self, certificate: &X509Certificate<'_>, at: Timestamp) -> Vec<Error> {
        let issuer = certificate.issuer();
        let of_issuer = self.lists.iter().filter(|list| list.list.issuer() == subject_content(issuer.as_raw()));
        let mut findings = Vec::new();
        let mut any = false;
        for list in of_issuer {
            any = true;
            findings.extend(list.explain(certificate, at));
        }
        if !any {
            findings.push(
                Error::new(Code::CrlMissing)
                    .subject(printable(&issuer.to_string()))
                    .found(format!("{} lists, none of this issuer", self.lists.len()))
                    .expected("the issuer's current CRL"),
            );
        }
        findings
    }

    /// One line for each list, for people.
    pub(super) fn describe(&self) -> Vec<String> {
        let until = |list: &RevocationList| {
            list.next_update.map_or("ever".to_owned(), |end| Timestamp::from_unix_seconds(end).to_string())
        };
        self.lists
            .iter()
            .map(|list| {
                format!("{} from {} until {}", list.issuer, Timestamp::from_unix_seconds(list.this_update), until(list))
            })
            .collect()
    }
}

impl RevocationList {
    fn parse(der: &CertificateRevocationListDer<'_>) -> Result<Self, Error> {
        let unusable = |found: String| Error::new(Code::CrlUnusable).found(found);
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| unusable(problem_with(&error)))?;
        let (rest, parsed) = CertificateRevocationList::from_der(der)
            .map_err(|error| unusable(format!("it cannot be read: {error}")))?;
        let issuer = printable(&parsed.issuer().to_string());
        let numbers: Vec<_> =
            parsed.extensions().iter().filter(|extension| extension.oid == OID_X509_EXT_CRL_NUMBER).collect();
        let number = match (parsed.crl_number(), numbers.as_slice()) {
            (Some(number), [extension]) if !extension.critical && rest.is_empty() => number.to_bytes_be(),
            _ => {
                let wrong = unusable("no CRL number that could tell which list is newer".to_owned()).subject(issuer);
                return Err(wrong.expected("a version 2 CRL with a CRLNumber extension that is not critical"));
            }
        };
        let this_update = parsed.last_update().timestamp();
        let next_update = parsed.next_update().map(|end| end.timestamp());
        Ok(Self { list: list.into(), issuer, number, this_update, next_update, proven_by: OnceLock::new() })
    }

    fn has_scope_of(&self, other: &Self) -> bool {
        self.list.issuer() == other.list.issuer()
            && self.list.issuing_distribution_point() == other.list.issuing_distribution_point()
    }

    /// What orders the lists of one issuer and scope.
    fn age(&self) -> (usize, &[u8], i64) {
        (self.number.len(), &self.number, self.this_update)
    }

    fn explain(&self, certificate: &X509Certificate<'_>, at: Timestamp) -> Vec<Error> {
        let mut findings = Vec::new();
        let serial = certificate.raw_serial();
        let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
        let revoked = [serial, certificate.raw_serial()]
            .into_iter()
            .any(|serial| matches!(self.list.find_serial(serial), Ok(Some(_))));
        if revoked {
            findings.push(
                Error::new(Code::CertificateRevoked).subject(super::certificate::subject_of(certificate)).found(
                    format!("serial number {} in the list of {}", certificate.raw_serial_as_string(), self.issuer),
                ),
            );
        }
        if let Some(end) = self.next_update.filter(|end| *end <= at.unix_seconds()) {
            let found = format!("next update was due {}", Timestamp::from_unix_seconds(end));
            findings.push(
                Error::new(Code::CrlStale)
                    .subject(&self.issuer)
                    .found(found)
                    .expected(format!("a list that is current at {at}")),
            );
        }
        if self.this_update > at.unix_seconds() {
            let found = format!("issued {}, which is in the future", Timestamp::from_unix_seconds(self.this_update));
            findings.push(
                Error::new(Code::CrlUnusable)
                    .subject(&self.issuer)
                    .found(found)
                    .expected(format!("issued before {at}")),
            );
        }
        findings
    }
}

/// webpki holds a name as the content of its SEQUENCE, x509-parser with tag and length.
fn subject_content(name: &[u8]) -> &[u8] {
    match name {
        [0x30, length, content @ ..] if *length < 0x80 => content,
        [0x30, 0x81, _, content @ ..] => content,
        [0x30, 0x82, _, _, content @ ..] => content,
        _ => name,
    }
}

/// Why webpki does not take a list, in words (AD CS sites meet some of these).
pub(super) fn problem_with(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnsupportedDeltaCrl => "a delta CRL: give the base CRL".to_owned(),
        webpki::Error::UnsupportedIndirectCrl => "an indirect CRL: give the issuer's own".to_owned(),
        webpki::Error::UnsupportedCrlIssuingDistributionPoint => {
            "a CRL whose issuing distribution point has no full name: have the CA publish one without it".to_owned()
        }
        webpki::Error::UnsupportedRevocationReasonsPartitioning => {
            "a CRL for some reasons only: give the full one".to_owned()
        }
        webpki::Error::UnsupportedCrlVersion => "a version 1 CRL: have the CA publish version 2".to_owned(),
        webpki::Error::InvalidCrlSignatureForPublicKey => "a CRL that its issuer did not sign".to_owned(),
        webpki::Error::UnsupportedCriticalExtension => "a CRL with an unknown critical extension".to_owned(),
        other => format!("a CRL that cannot be read or checked ({other:?})"),
    }
}
