//! Revocation lists: the newest of each issuer, and what they say.
//!
//! rustls-webpki takes the first list of an issuer, believes one that was issued in the future, looks neither at the
//! number nor at an anchor's key usage, and verifies a list's signature anew in every handshake. Here a signature is
//! checked once, with the key of the issuer that a path leads to, and then a handshake costs a look-up, however long the
//! list is.

use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::certificate::X509Certificate;

use crate::code::Code;
use crate::error::{Error, printable};
use crate::identity::KeyHash;
use crate::identity::list::RevocationList;
use crate::identity::report::Report;
use crate::time::Timestamp;

/// The lists of a node: the newest of each issuer, scope and signing key.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    lists: Vec<RevocationList>,
}

/// A certificate of a path, as the lists are asked about it.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) certificate: &'a X509Certificate<'a>,
    pub(super) is_authority: bool,
    /// SubjectPublicKeyInfo of its issuer, in DER.
    pub(super) issuer_key: &'a [u8],
}

impl RevocationLists {
    /// Parses lists and keeps, of each issuer and scope, the one with the highest number, then the latest start. One
    /// that cannot be used is a finding, so that a damaged file is never taken for "nothing is revoked". `issuers` are
    /// the CAs whose keys are known.
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

    /// Adds a finding for each list that is older than the previous one of the same issuer and scope, or that another
    /// key signed (H9).
    pub(super) fn check_succession(&self, previous: &Self, report: &mut Report) {
        for held in &previous.lists {
            for next in self.lists.iter().filter(|next| next.has_scope_of(held)) {
                let wrong = Error::new(Code::CrlUnusable).subject(&next.issuer_text);
                if next.age() < held.age() {
                    let found = format!("a list issued {}", Timestamp::from_unix_seconds(next.this_update));
                    let in_use = format!(
                        "the one in use, issued {}, or a newer one",
                        Timestamp::from_unix_seconds(held.this_update)
                    );
                    report.add(wrong.found(found).expected(in_use));
                } else if !next.is_signed_as(held) {
                    report.add(
                        wrong
                            .found("a signature that is not of the key which signed the list in use")
                            .expected("the list as its issuer published it"),
                    );
                }
            }
        }
    }

    /// Checks the signatures that are still open with the keys of these certificates: those of a node's own chain. A
    /// certificate need not be verified for that: a list speaks only for the key that it was proven with.
    pub(super) fn prove_with(&self, issuers: &[X509Certificate<'_>]) {
        for list in &self.lists {
            list.prove(issuers);
        }
    }

    /// What is wrong with a certificate according to the lists, which must have a current one that covers it. Empty if
    /// it is not revoked.
    pub(super) fn judge(&self, link: Link<'_>, at: Timestamp) -> Vec<Error> {
        let revoked = self.revoked(link.certificate, at);
        if !revoked.is_empty() {
            return revoked;
        }
        let key = KeyHash::of(link.issuer_key);
        let covering: Vec<&RevocationList> =
            self.of_issuer(link.certificate).filter(|list| list.covers(link.certificate, link.is_authority)).collect();
        // What is known decides first: to check the signature of a long list takes longer than all the rest.
        if covering.iter().any(|list| list.is_known_of(key) && list.is_current(at)) {
            return Vec::new();
        }
        let (mut foreign, mut covered) = (None, false);
        for list in covering {
            if !list.may_be_of_issuer_of(link.certificate) || !list.is_proven_by(key, link.issuer_key) {
                foreign = Some(list);
            } else if list.is_current(at) {
                return Vec::new();
            } else {
                covered = true;
            }
        }
        let mut findings = self.explain(link.certificate, at);
        if let Some(list) = foreign.filter(|_| !covered) {
            findings.push(
                Error::new(Code::CrlUnusable)
                    .subject(&list.issuer_text)
                    .found("a CRL that its issuer did not sign, or signed with another key than the certificate")
                    .expected("a list with the signature of the key that signed the certificate"),
            );
        }
        if findings.is_empty() {
            findings.push(
                Error::new(Code::CrlMissing)
                    .subject(printable(&link.certificate.issuer().to_string()))
                    .found("lists of the issuer for other certificates or distribution points only")
                    .expected("a list that covers this certificate"),
            );
        }
        findings
    }

    /// A finding for each list that has a certificate, whatever the list's scope, age and signature: of two lists of one
    /// issuer the one that says "revoked" is believed.
    pub(super) fn revoked(&self, certificate: &X509Certificate<'_>, at: Timestamp) -> Vec<Error> {
        let issued = self.of_issuer(certificate).filter(|list| list.this_update <= at.unix_seconds());
        issued.filter_map(|list| list.revocation_of(certificate)).collect()
    }

    fn of_issuer<'a>(&'a self, certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a RevocationList> {
        let issuer = subject_content(certificate.issuer().as_raw());
        self.lists.iter().filter(move |list| list.is_of(issuer))
    }

    /// Whether a list of the issuer with this subject (DER) is held, so that its right to sign lists matters.
    pub(super) fn has_issuer(&self, subject: &[u8]) -> bool {
        self.lists.iter().any(|list| list.is_of(subject_content(subject)))
    }

    /// What the lists say about one certificate. Their signatures are not checked here: this explains a refusal, it
    /// never makes an acceptance.
    pub(super) fn explain(&self, certificate: &X509Certificate<'_>, at: Timestamp) -> Vec<Error> {
        let mut findings = Vec::new();
        let mut any = false;
        for list in self.of_issuer(certificate) {
            any = true;
            findings.extend(list.explain(certificate, at));
        }
        if !any {
            findings.push(
                Error::new(Code::CrlMissing)
                    .subject(printable(&certificate.issuer().to_string()))
                    .found(format!("{} lists, none of this issuer", self.lists.len()))
                    .expected("the issuer's current CRL"),
            );
        }
        findings
    }

    /// The issuers, with when their list was made and when the next one is due.
    pub(super) fn until(&self) -> impl Iterator<Item = (&str, Timestamp, Timestamp)> {
        let time = Timestamp::from_unix_seconds;
        self.lists
            .iter()
            .filter_map(move |list| Some((list.issuer_text.as_str(), time(list.this_update), time(list.next_update?))))
    }

    /// One line for each list, for people.
    pub(super) fn describe(&self) -> Vec<String> {
        let until = |list: &RevocationList| {
            list.next_update.map_or("ever".to_owned(), |end| Timestamp::from_unix_seconds(end).to_string())
        };
        self.lists
            .iter()
            .map(|list| {
                let from = Timestamp::from_unix_seconds(list.this_update);
                format!("{} from {from} until {}, {} entries", list.issuer_text, until(list), list.len())
            })
            .collect()
    }
}

impl RevocationList {
    /// The finding that it has a certificate, if it does.
    fn revocation_of(&self, certificate: &X509Certificate<'_>) -> Option<Error> {
        // As it is encoded: 00ff is 255, and ff is -1.
        if !self.has(certificate.raw_serial()) {
            return None;
        }
        let found = format!("serial number {} in the list of {}", certificate.raw_serial_as_string(), self.issuer_text);
        Some(Error::new(Code::CertificateRevoked).subject(super::certificate::subject_of(certificate)).found(found))
    }

    fn explain(&self, certificate: &X509Certificate<'_>, at: Timestamp) -> Vec<Error> {
        let mut findings: Vec<Error> = self.revocation_of(certificate).into_iter().collect();
        if let Some(end) = self.next_update.filter(|end| *end <= at.unix_seconds()) {
            let found = format!("next update was due {}", Timestamp::from_unix_seconds(end));
            findings.push(
                Error::new(Code::CrlStale)
                    .subject(&self.issuer_text)
                    .found(found)
                    .expected(format!("a list that is current at {at}")),
            );
        }
        if self.this_update > at.unix_seconds() {
            let found = format!("issued {}, which is in the future", Timestamp::from_unix_seconds(self.this_update));
            findings.push(
                Error::new(Code::CrlUnusable)
                    .subject(&self.issuer_text)
                    .found(found)
                    .expected(format!("issued before {at}")),
            );
        }
        findings
    }
}

/// webpki holds a name as the content of its SEQUENCE, x509-parser with tag and length.
pub(super) fn subject_content(name: &[u8]) -> &[u8] {
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
