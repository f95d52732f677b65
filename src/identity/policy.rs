//! What a node demands of certificates: the options of rule I2.

use x509_parser::extensions::ExtendedKeyUsage;

pub use crate::config::{CrlPolicy, NameRule};
use crate::limits::{
    CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, OFFLINE_CERTIFICATE_BYTES_MAX,
    OFFLINE_CHAIN_BYTES_MAX, OFFLINE_CHAIN_CERTIFICATES_MAX,
};

/// What a node demands of its own certificate and of its peers' (rule I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct IdentityPolicy {
    /// Where the name is read.
    pub name_rule: NameRule,
    /// What missing or stale revocation lists mean.
    pub crl_policy: CrlPolicy,
    /// Accepts a certificate with serverAuth alone, since public CAs stop issuing clientAuth.
    pub accept_server_auth_alone: bool,
}

/// Which end of TLS a certificate must be good for. It says nothing of a node's role in the group, which only the
/// group's approval gives (rule I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PeerRole {
    /// Either end, as every link of farpost demands: both serverAuth and clientAuth.
    #[default]
    Any,
    /// The peer answers: serverAuth.
    Server,
    /// The peer dials: clientAuth.
    Client,
}

/// How large a presented chain may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChainLimits {
    /// What a peer may present before it is known: 8 certificates, 16 KiB, each at most 8 KiB.
    #[default]
    Link,
    /// For files at hand, never for peers: 64 certificates, 256 KiB, each at most 64 KiB. Finding a path among them may
    /// cost tens of milliseconds.
    Offline,
}

impl ChainLimits {
    /// Certificates, bytes of all, bytes of one.
    pub(super) fn numbers(self) -> (usize, usize, usize) {
        match self {
            Self::Link => (CHAIN_CERTIFICATES_MAX, CHAIN_BYTES_MAX, CERTIFICATE_BYTES_MAX),
            Self::Offline => (OFFLINE_CHAIN_CERTIFICATES_MAX, OFFLINE_CHAIN_BYTES_MAX, OFFLINE_CERTIFICATE_BYTES_MAX),
        }
    }
}

/// What an enhanced key usage must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purposes {
    pub(super) role: PeerRole,
    pub(super) server_auth_alone: bool,
}

impl Purposes {
    /// Whether the usage holds what is demanded; anyExtendedKeyUsage stands in for nothing.
    pub(super) fn are_in(self, usage: &ExtendedKeyUsage<'_>) -> bool {
        match self.role {
            PeerRole::Any => usage.server_auth && (usage.client_auth || self.server_auth_alone),
            PeerRole::Server => usage.server_auth,
            PeerRole::Client => usage.client_auth || (usage.server_auth && self.server_auth_alone),
        }
    }

    /// What is demanded, in words.
    pub(super) fn text(self) -> &'static str {
        match (self.role, self.server_auth_alone) {
            (PeerRole::Any, false) => "serverAuth and clientAuth",
            (PeerRole::Client, false) => "clientAuth",
            (PeerRole::Client, true) => "clientAuth or serverAuth",
            (PeerRole::Any, true) | (PeerRole::Server, _) => "serverAuth",
        }
    }
}
