//! Revocation lists: the newest of each issuer, and what they say.
//!
//! rustls-webpki takes the first list of an issuer, believes one that was issued in the future, looks neither at the
//! number nor at an anchor's key usage, and verifies a list's signature anew in every handshake; that is closed here.
//! A list's signature is checked once, and then a handshake costs a look-up, however long the list is. webpki decides
//! where a list has a scope of its own (an issuing distribution point).

use std::sync::OnceLock;

use rustls::pki_types::CertificateRevocationListDer;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::OID_X509_EXT_CRL_NUMBER;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::KeyHash;
use crate::identity::list_signature::is_signed_by;
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
    /// The key identifier of the key that signed it, as the list says: a CA that renewed its key has a list for each.
    authority_key: Option<Vec<u8>>,
    /// Big-endian without leading zeros; RFC 5280 section 5.2.3 allows 20 octets.
    number: Vec<u8>,
    /// Seconds since 1970.
    this_update: i64,
    next_update: Option<i64>,
    /// The issuer's key with which the signature was found good. Set once; a list never has another signature.
    proven_by: OnceLock<KeyHash>,
    /// The list itself, while its issuer's key was not known when it was read.
    unproven: Option<Box<[u8]>>,
}

/// What the lists say of one certificate of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A current list of its issuer, signed with its issuer's key, does not have it.
    Clear,
    /// A list of its issuer has it, whatever the list's scope and age.
    Revoked,
    /// No list, or none that is current: [`RevocationLists::explain`] says which.
    Uncovered,
    /// Only the path validation can tell: the lists have scopes, or another key's signature.
    Unknown,
}

impl RevocationLists {
    /// Parses lists and keeps, of each issuer and scope, the one with the highest number, then the latest start. One
    /// that cannot be used is a finding, so that a damaged file is never taken for "nothing is revoked".
    /// `issuers` are the certificates of CAs whose keys are known: a list that one of them should have signed and did not
    /// is a finding as well, so that it takes no other's place (SECURITY H9).
    pub(super) fn new(
        ders: &[CertificateRevocationListDer<'_>],
        issuers: &[X509Certificate<'_>],
        report: &mut Report,
    ) -> Self {
        let mut lists: Vec<RevocationList> = Vec::new();
        for der in ders {
            match RevocationList::parse(der, issuers) {
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

    /// The lists that had been issued at this time, as the path validation takes them, which asks the first that fits:
    /// those of the keys that these presented certificates name come first, and of them those for everything.
    pub(super) fn issued(&self, at: Timestamp, presented: &[X509Certificate<'_>]) -> Vec<&CertRevocationList<'_>> {
        let named: Vec<&[u8]> = presented.iter().filter_map(authority_key_of).collect();
        let mut issued: Vec<&RevocationList> =
            self.lists.iter().filter(|list| list.this_update <= at.unix_seconds()).collect();
        issued.sort_by_key(|list| {
            let is_named = list.authority_key.as_deref().is_some_and(|key| named.contains(&key));
            (!is_named, list.list.issuing_distribution_point().is_some())
        });
        issued.into_iter().map(|list| &list.list).collect()
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

    /// Checks the signatures that are still open with the keys of these certificates: those of a node's own chain. A
    /// certificate need not be verified for that: a list speaks only for the key that it was proven with.
    pub(super) fn prove_with(&self, issuers: &[X509Certificate<'_>]) {
        for list in &self.lists {
            for issuer in
                issuers.iter().filter(|issuer| list.list.issuer() == subject_content(issuer.subject().as_raw()))
            {
                list.is_proven_by(KeyHash::of(issuer.public_key().raw), issuer.public_key().raw);
            }
        }
    }

    /// What the lists say of a certificate whose issuer has this key (SubjectPublicKeyInfo in DER).
    pub(super) fn standing(&self, certificate: &webpki::Cert<'_>, issuer_key: &[u8], at: Timestamp) -> Standing {
        let now = at.unix_seconds();
        let of_issuer = || self.lists.iter().filter(|list| list.list.issuer() == certificate.issuer());
        let has = |list: &RevocationList| matches!(list.list.find_serial(certificate.serial()), Ok(Some(_)));
        if of_issuer().filter(|list| list.this_update <= now).any(has) {
            return Standing::Revoked;
        }
        if of_issuer().next().is_none() {
            return Standing::Uncovered;
        }
        let key = KeyHash::of(issuer_key);
        let (mut stale, mut unknown) = (false, false);
        for list in of_issuer() {
            if list.list.issuing_distribution_point().is_some() || !list.is_proven_by(key, issuer_key) {
                unknown = true;
            } else if list.this_update <= now && list.next_update.is_some_and(|end| now < end) {
                return Standing::Clear;
            } else {
                stale = true;
            }
        }
        if stale && !unknown { Standing::Uncovered } else { Standing::Unknown }
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
    fn parse(der: &CertificateRevocationListDer<'_>, issuers: &[X509Certificate<'_>]) -> Result<Self, Error> {
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
        let authority_key =
            parsed.extensions().iter().find_map(|extension| key_identifier(extension.parsed_extension()));
        let mut out = Self {
            list: list.into(),
            issuer,
            authority_key: authority_key.map(<[u8]>::to_vec),
            number,
            this_update,
            next_update,
            proven_by: OnceLock::new(),
            unproven: None,
        };
        match out.prove(der, issuers) {
            Some(true) => {}
            None => out.unproven = Some(der.as_ref().into()),
            Some(false) => {
                return Err(unusable("a signature that its issuer's key did not make".to_owned())
                    .subject(out.issuer)
                    .expected("the list as its issuer published it"));
            }
        }
        Ok(out)
    }

    /// Checks the signature with the keys that the issuer is known to have; `None` if the list names another key, or the
    /// issuer is not known.
    fn prove(&self, der: &[u8], issuers: &[X509Certificate<'_>]) -> Option<bool> {
        let mut outcome = None;
        for issuer in issuers.iter().filter(|issuer| self.list.issuer() == subject_content(issuer.subject().as_raw())) {
            let key = issuer.public_key().raw;
            if is_signed_by(der, key) {
                // Nobody else has it yet, so that it is not set.
                let _ = self.proven_by.set(KeyHash::of(key));
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

    /// Whether the signature is good under this key; looked at once.
    fn is_proven_by(&self, key: KeyHash, public_key: &[u8]) -> bool {
        if let Some(proven) = self.proven_by.get() {
            return *proven == key;
        }
        let good = self.unproven.as_deref().is_some_and(|der| is_signed_by(der, public_key));
        // Of two issuers with one name and two keys only the one that signed the list proves it.
        good && *self.proven_by.get_or_init(|| key) == key
    }

    fn has_scope_of(&self, other: &Self) -> bool {
        self.list.issuer() == other.list.issuer()
            && self.list.issuing_distribution_point() == other.list.issuing_distribution_point()
            && self.authority_key == other.authority_key
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

/// The key identifier of an authority key identifier extension.
fn key_identifier<'a>(extension: &'a ParsedExtension<'a>) -> Option<&'a [u8]> {
    match extension {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => Some(identifier.key_identifier.as_ref()?.0),
        _ => None,
    }
}

/// The key that a certificate says it was signed with.
fn authority_key_of<'a>(certificate: &'a X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate.extensions().iter().find_map(|extension| key_identifier(extension.parsed_extension()))
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
