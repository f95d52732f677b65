//! What a node demands of certificates: the options of rule I2.

/// Where a certificate's name is read (rule I2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NameRule {
    /// An exact dNSName; a common name, if there is one, must be among them.
    #[default]
    San,
    /// What the replaced product demands and the alternative name as well: exactly one common name, which is also a
    /// dNSName; the certificate proves the common name only.
    CnAndSan,
    /// For old certificates without an alternative name: the one common name. With an alternative name as [`Self::CnAndSan`].
    Cn,
}

/// What missing or stale revocation lists mean (rule I2). A certificate that a list revokes is refused in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CrlPolicy {
    /// Where lists are given, an issuer without one, or with a stale one, is refused.
    #[default]
    IfGiven,
    /// Every issuer of a path needs a current list.
    Require,
    /// A missing, stale or unusable list is only told.
    Warn,
}

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
