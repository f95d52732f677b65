//! What a node trusts: anchors and revocation lists, as one value.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{check_anchor, constrains_other_names, may_sign_lists, parse, subject_of};
use crate::identity::report::Report;
use crate::identity::revocation::RevocationLists;
use crate::identity::{ChainHash, pem};
use crate::time::Timestamp;

/// The anchors and the revocation lists of a node. There is no fallback to a system's store; the
/// default trusts nobody.
#[derive(Debug, Default)]
pub struct Trust {
    /// As webpki takes them; `anchors[i]` has what webpki does not keep of `roots[i]`.
    roots: Vec<TrustAnchor<'static>>,
    anchors: Vec<Anchor>,
    lists: RevocationLists,
    /// Of the bytes that it was made of: two loads of the same files have the same one.
    digest: [u8; 32],
}

/// What rustls-webpki does not look at in a trust anchor.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) subject: String,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) path_length: Option<u32>,
    pub(super) may_sign_lists: bool,
    pub(super) has_list: bool,
    der: CertificateDer<'static>,
}

impl Anchor {
    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

impl Trust {
    /// Trust from files' bytes: each of `trust` holds certificates, each of `lists` revocation lists.
    ///
    /// # Errors
    ///
    /// All that is wrong with the files. An anchor that has merely expired is no fault while others stand; a path that
    /// ends at it is refused.
    pub fn from_pem(trust: &[&[u8]], lists: &[&[u8]]) -> Result<Self, Report> {
        let mut report = Report::default();
        let mut anchors = Vec::new();
        for file in trust {
            match pem::certificates(file) {
                Ok(found) => anchors.extend(found),
                Err(error) => {
                    let unusable = Error::new(Code::TrustUnusable).found(error.found_text());
                    report.add(unusable.expected(error.expected_text()));
                }
            }
        }
        let mut ders = Vec::new();
        for file in lists {
            match pem::revocation_lists(file) {
                Ok(found) => ders.extend(found),
                Err(error) => report.add(error),
            }
        }
        match Self::new(&anchors, &ders) {
            Ok(trust) if report.is_clean() => Ok(trust),
            Ok(_) => Err(report),
            Err(more) => {
                report.merge(more);
                Err(report)
            }
        }
    }

    /// Trust from anchors and revocation lists.
    ///
    /// # Errors
    ///
    /// As [`Self::from_pem`].
    pub fn new(
        certificates: &[CertificateDer<'_>],
        lists: &[CertificateRevocationListDer<'_>],
    ) -> Result<Self, Report> {
        let mut report = Report::default();
        let all: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).chain(lists.iter().map(AsRef::as_ref)).collect();
        let digest = ChainHash::of(&all).0;
        let issuers: Vec<_> = certificates.iter().filter_map(|der| parse(der).ok()).collect();
        let lists = RevocationLists::new(lists, &issuers, &mut report);
        let mut trust = Self { roots: Vec::new(), anchors: Vec::new(), lists, digest };
        for certificate in certificates {
            if let Err(findings) = trust.add(certificate) {
                report.merge(findings);
            }
        }
        if certificates.is_empty() {
            report.add(Error::new(Code::TrustMissing).found("no certificate").expected("at least one CA certificate"));
        }
        if report.is_clean() { Ok(trust) } else { Err(report) }
    }

    fn add(&mut self, der: &CertificateDer<'_>) -> Result<(), Report> {
        if self.anchors.iter().any(|anchor| anchor.der == *der) {
            return Ok(());
        }
        let unusable = |found: String| Report::of(Error::new(Code::TrustUnusable).found(found));
        let certificate = parse(der).map_err(|error| unusable(error.found_text().to_owned()))?;
        let mut report = Report::default();
        check_anchor(&certificate, &mut report);
        if !report.is_clean() {
            return Err(report);
        }
        let root = webpki::anchor_from_trusted_cert(der).map_err(|error| unusable(format!("{error:?}")))?;
        let constraints = certificate.basic_constraints().ok().flatten();
        self.anchors.push(Anchor {
            subject: subject_of(&certificate),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            path_length: constraints.and_then(|constraints| constraints.value.path_len_constraint),
            may_sign_lists: may_sign_lists(&certificate),
            has_list: self.lists.has_issuer(certificate.subject().as_raw()),
            der: der.clone().into_owned(),
        });
        self.roots.push(root.to_owned());
        Ok(())
    }

    /// What tells two sets of anchors and lists apart.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The anchors' subjects, with when each ends.
    pub(crate) fn anchors_until(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.anchors.iter().map(|anchor| (anchor.subject.as_str(), Timestamp::from_unix_seconds(anchor.not_after)))
    }

    /// The lists' issuers, with when each must be followed by the next one.
    pub(crate) fn lists_until(&self) -> impl Iterator<Item = (&str, Timestamp, Timestamp)> {
        self.lists.until()
    }

    pub(super) fn roots(&self) -> &[TrustAnchor<'static>] {
        &self.roots
    }

    /// What is known of one of [`Self::roots`].
    pub(super) fn anchor_of(&self, root: &TrustAnchor<'_>) -> Option<&Anchor> {
        let same = |held: &TrustAnchor<'_>| {
            held.subject == root.subject && held.subject_public_key_info == root.subject_public_key_info
        };
        let address = std::ptr::from_ref(root).cast::<()>();
        let exact = self.roots.iter().position(|held| std::ptr::from_ref(held).cast::<()>() == address);
        exact.or_else(|| self.roots.iter().position(same)).and_then(|index| self.anchors.get(index))
    }

    /// Of each anchor, whether it has name constraints on other than DNS names and addresses.
    pub(super) fn constrain_other_names(&self) -> impl Iterator<Item = bool> {
        self.anchors.iter().map(|anchor| parse(&anchor.der).is_ok_and(|anchor| constrains_other_names(&anchor)))
    }

    /// Checks the signatures of lists whose issuers are in a node's own chain, before a handshake has to.
    pub(super) fn prove_lists_with(&self, chain: &[CertificateDer<'_>]) {
        let issuers: Vec<_> = chain.iter().filter_map(|der| parse(der).ok()).collect();
        self.lists.prove_with(&issuers);
    }

    pub(super) fn lists(&self) -> &RevocationLists {
        &self.lists
    }

    /// Whether this certificate is an anchor itself, so that presenting it tells a peer nothing.
    pub(super) fn holds(&self, der: &CertificateDer<'_>) -> bool {
        self.anchors.iter().any(|anchor| anchor.der == *der)
    }

    /// The anchors' subjects with their ends, for people; at most `count`.
    pub(super) fn describe(&self, count: usize) -> String {
        let until =
            |anchor: &Anchor| format!("{} (until {})", anchor.subject, Timestamp::from_unix_seconds(anchor.not_after));
        let mut shown: Vec<String> = self.anchors.iter().take(count).map(until).collect();
        if self.anchors.len() > count {
            shown.push(format!("and {} more", self.anchors.len() - count));
        }
        shown.join(", ")
    }
}
