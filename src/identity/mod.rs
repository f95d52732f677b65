//! Who a node is, and whether to believe a peer: bytes in, verdicts out.
//!
//! [`PeerCheck::verify`] is the one place where a chain is judged. rustls-webpki finds the path and checks signatures,
//! validity, name constraints and revocation; what it does not know (DESIGN rule I2: key usage, both purposes, key
//! kinds, anchors' validity, common names, wildcards, the newest list) is added by `certificate`, `names`, `path` and
//! `revocation`. Nothing here reads a file, a clock or a socket.

pub(crate) mod attestation;
mod certificate;
mod check;
mod der;
pub(crate) mod expiry;
mod form;
mod hash;
pub(crate) mod import;
mod key_text;
mod list;
mod names;
mod path;
pub(crate) mod pem;
mod policy;
mod refusal;
pub(crate) mod renewal;
mod report;
mod request;
mod revocation;
pub(crate) mod selection;
mod signature;
pub(crate) mod signer;
pub(crate) mod succession;
mod trust;
mod verify;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};

pub(crate) use attestation::{ChallengeSecret, Claim, challenge_of_period};
pub use check::{CertificateCheck, check_certificate, key_of_certificate};
pub use form::CertificateForm;
pub(crate) use hash::{ChainHash, KeyHash};
pub use import::{SourceSummary, read_source};
pub use policy::{ChainLimits, CrlPolicy, IdentityPolicy, NameRule, PeerRole};
pub(crate) use renewal::request_hash;
pub use report::Report;
pub(crate) use request::file_stem;
pub use request::{CertificateRequest, KeyKind};
pub use selection::{CertificateSelector, CertificateSummary};
pub use signer::{SignatureScheme, Signer};
pub use trust::Trust;
pub(crate) use verify::verify_peer;
pub use verify::{PeerCheck, VerifiedPeer};

use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::Error;
use crate::name::Name;
use crate::time::Timestamp;

/// A node's identity: certificate chain, private key, trust anchors, revocation lists and policy as one snapshot,
/// checked when it was made. A reload makes a new one; whoever holds this one keeps it (rule I5).
#[derive(Clone)]
pub struct Identity {
    generation: u64,
    snapshot: Arc<Snapshot>,
    /// Where it was read from, so that it can be read again.
    files: Option<Arc<IdentityFiles>>,
}

struct Snapshot {
    name: Name,
    key: Arc<CertifiedKey>,
    own: VerifiedPeer,
    trust: Arc<Trust>,
    policy: IdentityPolicy,
    /// What the TLS shell made of this snapshot; made once, since it costs more than a handshake's other parts.
    tls: OnceLock<TlsConfigs>,
}

/// The two ends' TLS configurations of one identity.
#[derive(Clone)]
pub(crate) struct TlsConfigs {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Identity {
    /// Makes an identity from files' bytes, PEM or DER: `certificates` is the chain, leaf first; `key` is PKCS#8, SEC1
    /// or PKCS#1, unencrypted; each of `trust` holds CA certificates, each of `crls` revocation lists. `at` is now.
    ///
    /// # Errors
    ///
    /// Everything that is wrong (rule I3): the node's own check is the one its peers will make, so that a bad
    /// certificate is refused here, before anything runs.
    pub fn from_pem(
        name: &Name,
        certificates: &[u8],
        key: &[u8],
        trust: &[&[u8]],
        crls: &[&[u8]],
        policy: IdentityPolicy,
        at: Timestamp,
    ) -> Result<Self, Report> {
        let mut report = Report::default();
        let trust = kept(Trust::from_pem(trust, crls), &mut report);
        let chain = kept(pem::certificates(certificates).map_err(Report::of), &mut report);
        Self::assemble(name, chain, key, trust, policy, at, report)
    }

    /// Makes an identity from what was read already; `key` is in DER.
    ///
    /// # Errors
    ///
    /// As [`Self::from_pem`].
    pub(crate) fn from_parts(
        name: &Name,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        trust: Trust,
        policy: IdentityPolicy,
        at: Timestamp,
    ) -> Result<Self, Report> {
        Self::assemble(name, Some(chain), key, Some(trust), policy, at, Report::default())
    }

    fn assemble(
        name: &Name,
        chain: Option<Vec<CertificateDer<'static>>>,
        key: &[u8],
        trust: Option<Trust>,
        policy: IdentityPolicy,
        at: Timestamp,
        mut report: Report,
    ) -> Result<Self, Report> {
        let chain = chain.map(|chain| without_anchors(chain, trust.as_ref()));
        if let (Some(trust), Some(chain)) = (&trust, &chain) {
            trust.prove_lists_with(chain);
        }
        let key = kept(signing_key(chain.as_deref().unwrap_or_default(), key).map_err(Report::of), &mut report);
        let own = match (&trust, &chain) {
            (Some(trust), Some(chain)) => kept(verify_peer(trust, &policy, chain, Some(name), at), &mut report),
            _ => None,
        };
        match (trust, key, own) {
            (Some(trust), Some(key), Some(own)) if report.is_clean() => {
                let (name, trust, tls) = (name.clone(), Arc::new(trust), OnceLock::new());
                let snapshot = Arc::new(Snapshot { name, key: Arc::new(key), own, trust, policy, tls });
                Ok(Self { generation: 1, snapshot, files: None })
            }
            _ => Err(report),
        }
    }

    /// The same snapshot under the number that the shell gave to this reload.
    #[must_use]
    pub(crate) fn with_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// The same identity, which remembers where it was read from.
    #[must_use]
    pub(crate) fn loaded_from(self, files: IdentityFiles) -> Self {
        Self { files: Some(Arc::new(files)), ..self }
    }

    /// Where it was read from, if it was read from files.
    pub(crate) fn files(&self) -> Option<&Arc<IdentityFiles>> {
        self.files.as_ref()
    }

    /// This certificate and key with the trust, the lists and the policy of a newer identity: what a gateway shows to
    /// those who connect until its upstream link stands with the new key (rule I5).
    #[must_use]
    pub(crate) fn judging_as(&self, newer: &Self) -> Self {
        let own = &self.snapshot;
        let snapshot = Arc::new(Snapshot {
            name: own.name.clone(),
            key: own.key.clone(),
            own: own.own.clone(),
            trust: newer.trust().clone(),
            policy: *newer.policy(),
            tls: OnceLock::new(),
        });
        Self { generation: newer.generation, snapshot, files: self.files.clone() }
    }

    /// Whether the other one has the same chain and key.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        (self.chain_hash(), self.key_hash()) == (other.chain_hash(), other.key_hash())
    }

    /// Whether the other one judges peers by the same anchors, lists and policy.
    pub(crate) fn judges_the_same(&self, other: &Self) -> bool {
        self.policy() == other.policy() && self.trust().digest() == other.trust().digest()
    }

    /// Which load of the identity this is: rises with each reload.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The node's name, which the leaf proves.
    pub fn name(&self) -> &Name {
        &self.snapshot.name
    }

    /// When the first certificate of the own path ends.
    pub fn not_after(&self) -> Timestamp {
        self.snapshot.own.not_after()
    }

    /// The name of the own key.
    pub(crate) fn key_hash(&self) -> KeyHash {
        self.snapshot.own.key_hash()
    }

    /// The name of the own chain.
    pub(crate) fn chain_hash(&self) -> ChainHash {
        self.snapshot.own.chain_hash()
    }

    /// The own chain as it is presented, leaf first.
    pub(crate) fn chain(&self) -> &Arc<[CertificateDer<'static>]> {
        self.snapshot.own.chain()
    }

    /// The life of the own certificate: what its renewal is planned by.
    pub(crate) fn life(&self) -> renewal::Life {
        let leaf = self.chain().first().and_then(|leaf| certificate::parse(leaf).ok());
        let not_before =
            leaf.map_or(self.not_after(), |leaf| Timestamp::from_unix_seconds(leaf.validity().not_before.timestamp()));
        renewal::Life { not_before, not_after: self.not_after() }
    }

    /// The kind of key that a new one has to be like the own one.
    pub(crate) fn key_kind(&self) -> KeyKind {
        let leaf = self.chain().first().and_then(|leaf| certificate::parse(leaf).ok());
        let kind = leaf.and_then(|leaf| certificate::key_kind(leaf.public_key()).ok());
        KeyKind::like(kind.as_deref().unwrap_or_default())
    }

    /// The same node with a new certificate and its key (PKCS#8, DER), checked with the trust and by the policy that are
    /// in force: nothing that comes with a certificate changes those.
    ///
    /// # Errors
    ///
    /// Everything that is wrong (rule I3).
    pub(crate) fn renewed(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &[u8],
        at: Timestamp,
    ) -> Result<Self, Report> {
        let mut report = Report::default();
        let chain = without_anchors(chain, Some(self.trust()));
        let key = kept(signing_key(&chain, key).map_err(Report::of), &mut report);
        let own = kept(self.verify(&chain, Some(self.name()), at), &mut report);
        match (key, own) {
            (Some(key), Some(own)) if report.is_clean() => {
                let (name, trust, policy) = (self.name().clone(), self.trust().clone(), *self.policy());
                let snapshot = Snapshot { name, key: Arc::new(key), own, trust, policy, tls: OnceLock::new() };
                Ok(Self { generation: self.generation + 1, snapshot: Arc::new(snapshot), files: self.files.clone() })
            }
            _ => Err(report),
        }
    }

    /// The own chain as it was verified when the identity was made.
    pub(crate) fn own(&self) -> &VerifiedPeer {
        &self.snapshot.own
    }

    /// Whether this identity may take the place of another one: a reload never steps back behind a revocation list that
    /// is in use, since an old file would bring revoked peers back (H9).
    ///
    /// # Errors
    ///
    /// [`Code::CrlUnusable`] for each such list.
    pub(crate) fn check_succession(&self, previous: &Self) -> Result<(), Report> {
        let mut report = Report::default();
        self.trust().lists().check_succession(previous.trust().lists(), &mut report);
        if report.is_clean() { Ok(()) } else { Err(report) }
    }

    /// What peers are judged with.
    pub(crate) fn trust(&self) -> &Arc<Trust> {
        &self.snapshot.trust
    }

    /// What peers are judged by.
    pub(crate) fn policy(&self) -> &IdentityPolicy {
        &self.snapshot.policy
    }

    /// Verifies a peer's chain with this identity's trust and policy.
    ///
    /// # Errors
    ///
    /// As [`verify_peer`].
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&Name>,
        at: Timestamp,
    ) -> Result<VerifiedPeer, Report> {
        verify_peer(self.trust(), self.policy(), chain, name, at)
    }

    /// What the node's check of its own certificate says now: what a refused node tells (rule G5).
    pub(crate) fn check_own(&self, at: Timestamp) -> Report {
        self.verify(self.chain(), Some(self.name()), at).err().unwrap_or_default()
    }

    /// Chain and key as rustls takes them.
    pub(crate) fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.snapshot.key
    }

    /// The TLS configurations of this snapshot; `make` runs for the first who asks.
    ///
    /// # Errors
    ///
    /// What `make` returns; it is asked again the next time.
    pub(crate) fn tls_configs(
        &self,
        make: impl FnOnce(&Self) -> Result<TlsConfigs, Error>,
    ) -> Result<&TlsConfigs, Error> {
        if let Some(made) = self.snapshot.tls.get() {
            return Ok(made);
        }
        let made = make(self)?;
        Ok(self.snapshot.tls.get_or_init(|| made))
    }
}

impl fmt::Debug for Identity {
    /// Name and generation; never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, generation {}, key {})", self.name(), self.generation, self.key_hash())
    }
}

/// The value, or its findings in the report.
fn kept<T>(result: Result<T, Report>, report: &mut Report) -> Option<T> {
    result.map_err(|findings| report.merge(findings)).ok()
}

/// A peer has the anchor already; presenting it only makes the chain longer. The leaf stays in any case.
fn without_anchors(mut chain: Vec<CertificateDer<'static>>, trust: Option<&Trust>) -> Vec<CertificateDer<'static>> {
    if let Some(trust) = trust {
        let mut index = 0;
        chain.retain(|der| {
            index += 1;
            index == 1 || !trust.holds(der)
        });
    }
    chain
}

/// Loads the private key and compares it with the leaf's; a key that cannot be compared does not match.
fn signing_key(chain: &[CertificateDer<'static>], key: &[u8]) -> Result<CertifiedKey, Error> {
    let der = pem::private_key(key)?;
    // By reference: the provider's own `load_private_key` takes a copy that nobody clears (H14).
    let parsed =
        PrivateKeyDer::try_from(der.as_slice()).map_err(|found| Error::new(Code::KeyUnreadable).found(found))?;
    let loaded = any_supported_type(&parsed).map_err(|error| {
        Error::new(Code::KeyUnreadable)
            .found(error.to_string())
            .expected("RSA 2048 to 4096, ECDSA P-256, P-384 or P-521, or Ed25519")
    })?;
    let key = CertifiedKey::new(chain.to_vec(), loaded);
    if chain.is_empty() {
        return Ok(key);
    }
    key.keys_match().map_err(|_| {
        Error::new(Code::KeyMismatch)
            .found("another key than the certificate's")
            .expected("the key that the certificate was requested with")
    })?;
    Ok(key)
}
