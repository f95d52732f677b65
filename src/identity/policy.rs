//! What a node demands of certificates: the options of rule I2.

pub use crate::config::{CrlPolicy, NameRule};

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
