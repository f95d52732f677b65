//! The one verify function: links on both sides, attestations, a node's own certificate and reloads all call it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::code::Code;
use crate::error::Error;
use crate::identity::certificate::{check_leaf, parse};
use crate::identity::path::Search;
use crate::identity::policy::IdentityPolicy;
use crate::identity::report::Report;
use crate::identity::trust::Trust;
use crate::identity::{ChainHash, KeyHash, names};
use crate::limits::{CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX};
use crate::name::Name;
use crate::time::Timestamp;

/// A chain that was found good: the proof that a node's name is what it says (rule I1). Only [`verify_peer`] makes one.
///
/// It holds for the trust and the time that it was made with: after a reload, and at [`Self::not_after`], the chain is
/// verified again (rule I5).
#[derive(Clone, Debug)]
pub(crate) struct VerifiedPeer {
    chain: Arc<[CertificateDer<'static>]>,
    chain_hash: ChainHash,
    key_hash: KeyHash,
    not_after: Timestamp,
    names: Arc<[Name]>,
    warnings: Arc<[Error]>,
}

impl VerifiedPeer {
    /// The chain as it was presented, leaf first.
    pub(crate) fn chain(&self) -> &Arc<[CertificateDer<'static>]> {
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

    /// The first end of a validity on the path, the anchor's included.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether the leaf proves this name.
    pub(crate) fn proves(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// All names that the leaf proves: an approval lists them.
    pub(crate) fn names(&self) -> &[Name] {
        &self.names
    }

    /// What [`CrlPolicy::Warn`](crate::identity::CrlPolicy::Warn) only tells.
    pub(crate) fn warnings(&self) -> &[Error] {
        &self.warnings
    }
}

/// Verifies a chain, leaf first, at a time (rules I1 and I2). `name` is the name that the leaf must prove; without one
/// every name does, and the caller asks [`VerifiedPeer::proves`] once it knows which the peer claims.
///
/// # Errors
///
/// All that is wrong (rule I3). A chain beyond the limits, or a leaf that cannot be read, is not looked into further.
pub(crate) fn verify_peer(
    trust: &Trust,
    policy: &IdentityPolicy,
    chain: &[CertificateDer<'_>],
    name: Option<&Name>,
    at: Timestamp,
) -> Result<VerifiedPeer, Report> {
    check_limits(chain).map_err(Report::of)?;
    verify_of_any_size(trust, policy, chain, name, at)
}

/// [`verify_peer`] after the limits; only tests of path building call it with more.
pub(super) fn verify_of_any_size(
    trust: &Trust,
    policy: &IdentityPolicy,
    chain: &[CertificateDer<'_>],
    name: Option<&Name>,
    at: Timestamp,
) -> Result<VerifiedPeer, Report> {
    let leaf = parse(&chain[0]).map_err(Report::of)?;
    let mut report = Report::default();
    check_leaf(&leaf, policy, at, &mut report);
    let names = names::check(&leaf, policy.name_rule, name, &mut report);
    let path = Search { trust, policy, chain, leaf: &leaf, at }.run(&mut report);
    match path {
        Some(path) if report.is_clean() => Ok(VerifiedPeer {
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            chain_hash: ChainHash::of(chain),
            key_hash: KeyHash::of(leaf.public_key().raw),
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

/// The limits on a presented chain, before anything of it is parsed: a hostile chain of 101 certificates cost 59 to
/// 73 ms of path building.
///
/// # Errors
///
/// [`Code::CertificateMissing`] or [`Code::ChainTooLarge`].
pub(super) fn check_limits(chain: &[CertificateDer<'_>]) -> Result<(), Error> {
    let bytes: usize = chain.iter().map(|der| der.len()).sum();
    let largest = chain.iter().map(|der| der.len()).max();
    let Some(largest) = largest else { return Err(Error::new(Code::CertificateMissing).found("an empty chain")) };
    if chain.len() > CHAIN_CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX || largest > CERTIFICATE_BYTES_MAX {
        return Err(Error::new(Code::ChainTooLarge)
            .found(format!("{} certificates, {bytes} bytes, the largest {largest}", chain.len()))
            .expected(format!(
                "at most {CHAIN_CERTIFICATES_MAX} certificates, {CHAIN_BYTES_MAX} bytes, each at most {CERTIFICATE_BYTES_MAX}"
            )));
    }
    Ok(())
}
