//! Whether certificates answer a request.

use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::hash::KeyHash;
use crate::identity::policy::{NameRule, PeerRole, Purposes};
use crate::identity::report::Report;
use crate::identity::request::CertificateRequest;
use crate::identity::{certificate, names};
use crate::limits::CHAIN_CERTIFICATES_MAX;
use crate::time::Timestamp;

impl CertificateRequest {
    /// Checks that one of these certificates answers the request: its key, its one name, both purposes, valid now
    /// (rule I2). Returns it with its intermediates, leaf first, without the root. Whether somebody trusts the issuer
    /// is for those to say who know the trust anchors.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub(crate) fn check_answer(
        &self,
        certificates: &[CertificateDer<'static>],
        at: Timestamp,
    ) -> Result<Vec<CertificateDer<'static>>, Report> {
        let mut report = Report::default();
        if certificates.len() > CHAIN_CERTIFICATES_MAX + 1 {
            let found = format!("{} certificates", certificates.len());
            return Err(Report::of(Error::new(Code::ChainTooLarge).found(found)));
        }
        let mut parsed = Vec::new();
        for der in certificates {
            parsed.push((der, certificate::parse(der).map_err(Report::of)?));
        }
        let is_leaf = |key: &[u8]| KeyHash::of(key) == self.key;
        let Some((der, leaf)) = parsed.iter().find(|(_, certificate)| is_leaf(certificate.public_key().raw)) else {
            return Err(Report::of(
                Error::new(Code::KeyMismatch)
                    .found(format!("{} certificates, none of the request's key", certificates.len()))
                    .expected(format!("one of the key {}", self.key))
                    .remedy("issue from the request as it is"),
            ));
        };
        let purposes = Purposes { role: PeerRole::Any, server_auth_alone: false };
        certificate::check_leaf(leaf, purposes, at, &mut report);
        let proven = names::check(leaf, NameRule::San, Some(&self.name), &mut report);
        if let Some(other) = proven.iter().find(|other| **other != self.name) {
            // A second name would make one node another one as well.
            let more = Error::new(Code::NameMismatch).subject("a further name").found(other.as_str());
            report.add(more.expected(format!("{} alone", self.name)));
        }
        if !report.is_clean() {
            return Err(report);
        }
        let mut chain = vec![(*der).clone()];
        let mut last = leaf;
        while chain.len() < CHAIN_CERTIFICATES_MAX {
            let is_issuer = |next: &x509_parser::certificate::X509Certificate<'_>| {
                next.subject() == last.issuer() && next.subject() != next.issuer()
            };
            let Some((der, next)) = parsed.iter().find(|(der, next)| is_issuer(next) && !chain.contains(*der)) else {
                break;
            };
            chain.push((*der).clone());
            last = next;
        }
        Ok(chain)
    }
}
