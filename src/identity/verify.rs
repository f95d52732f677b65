//! The one verify function: links on both sides, attestations, imports, a node's own certificate, reloads and the
//! public [`PeerCheck`] all call it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{check_leaf, parse};
use crate::identity::form::{CertificateForm, check_strictly};
use crate::identity::path::Search;
use crate::identity::policy::{ChainLimits, IdentityPolicy, PeerRole, Purposes};
use crate::identity::report::Report;
use crate::identity::trust::Trust;
use crate::identity::{ChainHash, KeyHash, names, pem};
use crate::name::Name;
use crate::time::Timestamp;

/// A check of a peer's certificate chain: for a role and a name, at a time, with given anchors and revocation lists
/// (rules I1 to I3). It is the one that sessions make of their peers; what is set here beyond [`Self::new`] says what
/// is demanded.
///
/// Without a name the chain alone decides: the result lists the names that it proves, and whoever relies on it asks
/// [`VerifiedPeer::proves`]. A session never accepts a peer without doing so.
///
/// ```
/// # fn check(ca: &[u8], crl: &[u8], chain: &[u8]) -> Result<(), farpost::Report> {
/// use farpost::{Name, PeerCheck, PeerRole, Timestamp, Trust};
///
/// let trust = Trust::from_pem(&[ca], &[crl])?;
/// let name = Name::parse("gw1.branch.example").expect("a DNS name");
/// let at = Timestamp::from_unix_seconds(1_795_300_000);
/// let peer = PeerCheck::new(&trust, at).role(PeerRole::Server).name(&name).verify_pem(chain)?;
/// assert!(peer.proves(&name));
/// # Ok(())
/// # }
/// # assert!(check(b"", b"", b"").is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PeerCheck<'a> {
    pub(super) trust: &'a Trust,
    pub(super) at: Timestamp,
    pub(super) policy: IdentityPolicy,
    pub(super) role: PeerRole,
    pub(super) limits: ChainLimits,
    pub(super) form: CertificateForm,
    /// Intermediates that a path may have, where the caller allows fewer than the path validation does.
    pub(super) intermediates_max: Option<u32>,
    name: Option<&'a Name>,
}

impl<'a> PeerCheck<'a> {
    /// A check as sessions make it: the default policy, both purposes, the limits of a link; any name.
    pub fn new(trust: &'a Trust, at: Timestamp) -> Self {
        Self {
            trust,
            at,
            policy: IdentityPolicy::default(),
            role: PeerRole::Any,
            limits: ChainLimits::Link,
            form: CertificateForm::Usual,
            intermediates_max: None,
            name: None,
        }
    }

    /// Where the name is read, what missing revocation lists mean, whether serverAuth alone is enough.
    #[must_use]
    pub fn policy(self, policy: IdentityPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Which end of TLS the peer is.
    #[must_use]
    pub fn role(self, role: PeerRole) -> Self {
        Self { role, ..self }
    }

    /// The name that the leaf must prove.
    #[must_use]
    pub fn name(self, name: &'a Name) -> Self {
        Self { name: Some(name), ..self }
    }

    /// How large a chain is looked at.
    #[must_use]
    pub fn limits(self, limits: ChainLimits) -> Self {
        Self { limits, ..self }
    }

    /// How much of RFC 5280's form is demanded of certificates.
    #[must_use]
    pub fn form(self, form: CertificateForm) -> Self {
        Self { form, ..self }
    }

    /// The most intermediates on the path, self-issued ones not counted (RFC 5280 section 6.1). The path validation
    /// itself takes 6 at most.
    #[must_use]
    pub fn intermediates_max(self, most: u32) -> Self {
        Self { intermediates_max: Some(most), ..self }
    }

    /// Verifies a chain in DER, leaf first; intermediates in any order.
    ///
    /// # Errors
    ///
    /// All that is wrong (rule I3). A chain beyond the limits, or a leaf that cannot be read, is not looked into further.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<VerifiedPeer, Report> {
        let Some(first) = chain.first() else {
            return Err(Report::of(Error::new(Code::CertificateMissing).found("an empty chain")));
        };
        check_limits(chain, self.limits).map_err(Report::of)?;
        let leaf = parse(first).map_err(Report::of)?;
        let mut report = Report::default();
        check_leaf(&leaf, self.purposes(), self.at, &mut report);
        if self.form == CertificateForm::Strict {
            check_strictly(&leaf, &mut report);
        }
        let names = names::check(&leaf, self.policy.name_rule, self.name, &mut report);
        let path = Search { check: self, chain, leaf: &leaf }.run(&mut report);
        match path {
            Some(path) if report.is_clean() => Ok(VerifiedPeer {
                chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
                chain_hash: ChainHash::of(chain),
                key_hash: KeyHash::of(leaf.public_key().raw),
                issuer_key_hash: path.issuer,
                not_before: Timestamp::from_unix_seconds(leaf.validity().not_before.timestamp()),
                not_after: Timestamp::from_unix_seconds(path.not_after),
                names: names.into(),
                warnings: path.warnings.into(),
            }),
            Some(_) | None if report.is_clean() => {
                Err(Report::of(Error::new(Code::Internal).found("no path and no finding")))
            }
            _ => Err(report),
        }
    }

    /// Verifies the chain in a file's bytes: PEM, leaf first, or one certificate in DER.
    ///
    /// # Errors
    ///
    /// As [`Self::verify`]; [`Code::CertificateUnreadable`] where the bytes hold no certificate.
    pub fn verify_pem(&self, chain: &[u8]) -> Result<VerifiedPeer, Report> {
        self.verify(&pem::certificates(chain).map_err(Report::of)?)
    }

    /// What the enhanced key usage of the leaf, and of issuers that have one, must hold.
    pub(super) fn purposes(&self) -> Purposes {
        Purposes { role: self.role, server_auth_alone: self.policy.accept_server_auth_alone }
    }
}

/// A chain that was found good: the proof that a node's name is what it says (rule I1). Only [`PeerCheck`] makes one.
///
/// It holds for the trust and the time that it was made with: after a reload, and at [`Self::not_after`], the chain is
/// verified again (rule I5).
#[derive(Clone, Debug)]
pub struct VerifiedPeer {
    chain: Arc<[CertificateDer<'static>]>,
    chain_hash: ChainHash,
    key_hash: KeyHash,
    issuer_key_hash: KeyHash,
    not_before: Timestamp,
    not_after: Timestamp,
    names: Arc<[Name]>,
    warnings: Arc<[Error]>,
}

impl VerifiedPeer {
    /// The chain as it was presented, leaf first.
    pub fn chain(&self) -> &Arc<[CertificateDer<'static>]> {
        &self.chain
    }

    /// What names the chain on a link (rule I6).
    pub(crate) fn chain_hash(&self) -> ChainHash {
        self.chain_hash
    }

    /// What names the peer's key.
    pub(crate) fn key_hash(&self) -> KeyHash {
        self.key_hash
    }

    /// SHA-256 of the leaf's SubjectPublicKeyInfo: what names the peer's key.
    pub fn key_sha256(&self) -> [u8; 32] {
        self.key_hash.0
    }

    /// What names the key of the CA that issued the leaf, as the verified path proves it.
    pub(crate) fn issuer_key_hash(&self) -> KeyHash {
        self.issuer_key_hash
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the CA that issued the leaf, as the verified path proves it: what rules of
    /// approval know a CA by.
    pub fn issuer_key_sha256(&self) -> [u8; 32] {
        self.issuer_key_hash.0
    }

    /// The first end of a validity on the path, the anchor's included.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When the leaf's validity began.
    pub(crate) fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Whether the leaf proves this name.
    pub fn proves(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// All names that the leaf proves: an approval lists them.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// Who issued the leaf: its name in DER, as the leaf has it.
    pub(crate) fn issuer(&self) -> Vec<u8> {
        let leaf = self.chain.first().and_then(|leaf| parse(leaf).ok());
        leaf.map(|leaf| leaf.issuer().as_raw().to_vec()).unwrap_or_default()
    }

    /// What [`CrlPolicy::Warn`](crate::identity::CrlPolicy::Warn) only tells.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }
}

/// The check that sessions make: [`PeerCheck`] for either end of a link, within a link's limits. Without a name every
/// name does, and the caller asks [`VerifiedPeer::proves`] once it knows which the peer claims.
///
/// # Errors
///
/// As [`PeerCheck::verify`].
pub(crate) fn verify_peer(
    trust: &Trust,
    policy: &IdentityPolicy,
    chain: &[CertificateDer<'_>],
    name: Option<&Name>,
    at: Timestamp,
) -> Result<VerifiedPeer, Report> {
    PeerCheck { name, ..PeerCheck::new(trust, at).policy(*policy) }.verify(chain)
}

/// The limits on a presented chain, before anything of it is parsed: a hostile chain of 101 certificates cost 59 to
/// 73 ms of path building.
///
/// # Errors
///
/// [`Code::CertificateMissing`] or [`Code::ChainTooLarge`].
fn check_limits(chain: &[CertificateDer<'_>], limits: ChainLimits) -> Result<(), Error> {
    let (certificates_max, bytes_max, certificate_bytes_max) = limits.numbers();
    let bytes: usize = chain.iter().map(|der| der.len()).sum();
    let largest = chain.iter().map(|der| der.len()).max().unwrap_or(0);
    if chain.len() > certificates_max || bytes > bytes_max || largest > certificate_bytes_max {
        return Err(Error::new(Code::ChainTooLarge)
            .found(format!("{} certificates, {bytes} bytes, the largest {largest}", chain.len()))
            .expected(format!(
                "at most {certificates_max} certificates, {bytes_max} bytes, each at most {certificate_bytes_max}"
            )));
    }
    Ok(())
}
