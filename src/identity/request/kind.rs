//! The kinds of keys that farpost makes.

use std::fmt;

use rcgen::{
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};

use crate::code::Code;
use crate::error::{Error, Result, printable};

/// The kinds of keys that farpost makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// Ed25519. Many enterprise CAs do not issue for it.
    Ed25519,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    /// The word for command lines and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The kind that comes nearest to a key as people call it.
    pub(crate) fn like(kind: &str) -> Self {
        match kind.split_once(' ') {
            Some(("ECDSA", "P-384" | "P-521")) => Self::P384,
            Some(("RSA", bits)) => match bits.parse() {
                Ok(0..=2048) => Self::Rsa2048,
                Ok(2049..=3072) => Self::Rsa3072,
                _ => Self::Rsa4096,
            },
            None if kind == "Ed25519" => Self::Ed25519,
            _ => Self::P256,
        }
    }

    /// The kind of a word that [`Self::as_str`] gave.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigBadValue`] lists the words.
    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            Error::new(Code::ConfigBadValue)
                .found(format!("\"{}\"", printable(word)))
                .expected(Self::ALL.map(Self::as_str).join(", "))
        })
    }

    /// How requests are signed with such a key.
    pub(super) fn signs_with(self) -> &'static SignatureAlgorithm {
        match self {
            Self::P256 => &PKCS_ECDSA_P256_SHA256,
            Self::P384 => &PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &PKCS_RSA_SHA256,
            Self::Ed25519 => &PKCS_ED25519,
        }
    }

    /// The replaced product's templates ask keyEncipherment of RSA keys as well.
    pub(super) fn usages(self) -> Vec<KeyUsagePurpose> {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]
            }
            Self::P256 | Self::P384 | Self::Ed25519 => vec![KeyUsagePurpose::DigitalSignature],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
