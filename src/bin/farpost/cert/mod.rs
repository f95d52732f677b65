//! `farpost cert`: certificates, from the request to the check.

mod check;
mod request;

use clap::{Subcommand, ValueEnum};
use farpost::NameRule;

use crate::failure::Failure;

/// The subcommands of `farpost cert`.
#[derive(Subcommand)]
pub(crate) enum CertCommand {
    /// Check a certificate as the node and its peers do, and report everything that is wrong
    Check(check::CheckArguments),
    /// Make a key and a certificate request for a node
    Request(request::RequestArguments),
}

/// The words of `--name-rule`.
#[derive(Clone, Copy, ValueEnum)]
enum NameWord {
    San,
    CnAndSan,
    Cn,
}

impl NameWord {
    fn rule(self) -> NameRule {
        match self {
            Self::San => NameRule::San,
            Self::CnAndSan => NameRule::CnAndSan,
            Self::Cn => NameRule::Cn,
        }
    }
}

pub(crate) fn execute(command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::Check(arguments) => check::execute(&arguments),
        CertCommand::Request(arguments) => request::execute(&arguments),
    }
}
