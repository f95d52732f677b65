//! A report on a certificate, usable or not: what `farpost cert check` shows.

use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{key_kind, parse, subject_of};
use crate::identity::policy::IdentityPolicy;
use crate::identity::report::Report;
use crate::identity::trust::Trust;
use crate::identity::verify::PeerCheck;
use crate::identity::{KeyHash, kept, names, pem, signing_key, without_anchors};
use crate::name::Name;
use crate::time::Timestamp;

/// What a check of a certificate found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CertificateCheck {
    /// What it is, as label and text: subject, issuer, names, validity, key, purposes, chain.
    pub facts: Vec<(&'static str, String)>,
    /// All that is wrong (rule I3); clean if a node may use it.
    pub report: Report,
    /// What only needs attention.
    pub warnings: Vec<Error>,
}

/// Checks a chain, and its key if one is given, as a node with this trust would. Nothing is refused: whatever can be
/// read is told.
pub fn check_certificate(
    name: Option<&Name>,
    certificates: &[u8],
    key: Option<&[u8]>,
    trust: &[&[u8]],
    crls: &[&[u8]],
    policy: IdentityPolicy,
    at: Timestamp,
) -> CertificateCheck {
    let mut out = CertificateCheck::default();
    let trust = kept(Trust::from_pem(trust, crls), &mut out.report);
    let Some(chain) = kept(pem::certificates(certificates).map_err(Report::of), &mut out.report) else {
        return out;
    };
    let chain = without_anchors(chain, trust.as_ref());
    out.facts = facts_of(&chain, trust.as_ref());
    if let Some(key) = key {
        kept(signing_key(&chain, key).map_err(Report::of), &mut out.report);
    }
    let usable = trust.as_ref();
    let nobody = Trust::default();
    let mut check = PeerCheck::new(usable.unwrap_or(&nobody), at).policy(policy);
    if let Some(name) = name {
        check = check.name(name);
    }
    let judged = check.examine(&chain);
    for finding in judged.report.findings() {
        // Without usable anchors the certificate itself can still be looked at; that no path was found then says nothing new.
        if usable.is_some() || !matches!(finding.code(), Code::IssuerUnknown | Code::CrlMissing) {
            out.report.add(finding.clone());
        }
    }
    out.facts.extend(judged.facts.into_iter().filter(|(label, _)| *label == "issuer key"));
    out.warnings = judged.warnings;
    out
}

impl PeerCheck<'_> {
    /// Verifies a chain, and tells what it is whether it is good or not. [`Self::verify`] decides.
    pub fn examine(&self, chain: &[CertificateDer<'_>]) -> CertificateCheck {
        let facts = facts_of(chain, Some(self.trust));
        match self.verify(chain) {
            Ok(peer) => {
                // Proven, not read: what a rule of approval may ask for.
                let issuer = ("issuer key", peer.issuer_key_hash().to_string());
                let (facts, warnings) = (facts.into_iter().chain([issuer]).collect(), peer.warnings().to_vec());
                CertificateCheck { facts, report: Report::default(), warnings }
            }
            Err(report) => CertificateCheck { facts, report, warnings: Vec::new() },
        }
    }

    /// [`Self::examine`] for a file's bytes: PEM, leaf first, or one certificate in DER.
    pub fn examine_pem(&self, chain: &[u8]) -> CertificateCheck {
        match pem::certificates(chain) {
            Ok(chain) => self.examine(&chain),
            Err(error) => CertificateCheck { report: Report::of(error), ..CertificateCheck::default() },
        }
    }
}

/// SHA-256, in hexadecimal, of the public key of the first certificate in a file's bytes, PEM or DER: what a rule of
/// approval knows a CA by, and a pin a node. Nothing is judged.
///
/// # Errors
///
/// [`Code::CertificateUnreadable`], [`Code::CertificateMissing`].
pub fn key_of_certificate(certificate: &[u8]) -> Result<String, Error> {
    let certificates = pem::certificates(certificate)?;
    let first = certificates.first().ok_or_else(|| Error::new(Code::CertificateMissing))?;
    Ok(KeyHash::of(parse(first)?.public_key().raw).to_string())
}

fn facts_of(chain: &[CertificateDer<'_>], trust: Option<&Trust>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let Some(Ok(leaf)) = chain.first().map(|der| parse(der)) else { return facts };
    facts.push(("subject", subject_of(&leaf)));
    facts.push(("issuer", crate::error::printable(&leaf.issuer().to_string())));
    facts.push(("serial", leaf.raw_serial_as_string()));
    let proven: Vec<_> = names::check(&leaf, crate::identity::NameRule::San, None, &mut Report::default())
        .iter()
        .map(|name| Some(name.to_string()))
        .collect();
    facts.push(("names", names::listed(&proven)));
    let validity = leaf.validity();
    facts.push(("from", Timestamp::from_unix_seconds(validity.not_before.timestamp()).to_string()));
    facts.push(("until", Timestamp::from_unix_seconds(validity.not_after.timestamp()).to_string()));
    facts.push(("key", key_kind(leaf.public_key()).unwrap_or_else(|unaccepted| unaccepted)));
    facts.push(("key sha256", KeyHash::of(leaf.public_key().raw).to_string()));
    if let Ok(Some(usage)) = leaf.extended_key_usage() {
        let usage = usage.value;
        let known =
            [(usage.server_auth, "serverAuth"), (usage.client_auth, "clientAuth"), (usage.any, "anyExtendedKeyUsage")];
        let named: Vec<&str> = known.into_iter().filter_map(|(has, name)| has.then_some(name)).collect();
        facts.push(("purposes", named.join(", ")));
    }
    for issuer in chain.iter().skip(1) {
        facts.push((
            "chain",
            parse(issuer).map_or_else(|error| error.found_text().to_owned(), |issuer| subject_of(&issuer)),
        ));
    }
    if let Some(trust) = trust.filter(|trust| !trust.roots().is_empty()) {
        facts.push(("trust", trust.describe(8)));
        facts.extend(trust.lists().describe().into_iter().map(|list| ("crl", list)));
    }
    facts
}
