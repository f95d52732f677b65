//! The words of the options that say what is demanded of certificates.

use clap::ValueEnum;
use farpost::{CrlPolicy, NameRule};

/// The words of `--crl-policy`.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum CrlWord {
    IfGiven,
    Require,
    Warn,
}

impl CrlWord {
    pub(super) fn policy(self) -> CrlPolicy {
        match self {
            Self::IfGiven => CrlPolicy::IfGiven,
            Self::Require => CrlPolicy::Require,
            Self::Warn => CrlPolicy::Warn,
        }
    }
}

/// The words of `--name-rule`.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum NameWord {
    San,
    CnAndSan,
    Cn,
}

impl NameWord {
    pub(super) fn rule(self) -> NameRule {
        match self {
            Self::San => NameRule::San,
            Self::CnAndSan => NameRule::CnAndSan,
            Self::Cn => NameRule::Cn,
        }
    }
}
