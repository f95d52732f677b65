//! `farpost cert`: certificates, from the request over the import to the check.

mod check;
mod import;
mod renew;
mod request;
mod show;
mod verify;
mod words;

use clap::Subcommand;

use crate::failure::Failure;
pub(crate) use request::KeyWord;

/// The subcommands of `farpost cert`.
#[derive(Subcommand)]
pub(crate) enum CertCommand {
    /// Check a certificate as the node and its peers do, and report everything that is wrong
    Check(Box<check::CheckArguments>),
    /// Make a key and a certificate request for a node
    Request(request::RequestArguments),
    /// Find a node's certificate, check everything, and put it into its identity
    Import(Box<import::ImportArguments>),
    /// With --server and --identity before it: renew this operator's own certificate, with a new key
    Renew(renew::RenewArguments),
    /// Verify a peer's chain for a role and a name at a time, with given CAs and revocation lists
    Verify(Box<verify::VerifyArguments>),
}

pub(crate) fn execute(command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::Check(arguments) => check::execute(&arguments),
        CertCommand::Request(arguments) => request::execute(&arguments),
        CertCommand::Import(arguments) => import::execute(&arguments),
        CertCommand::Renew(arguments) => renew::execute(&arguments),
        CertCommand::Verify(arguments) => verify::execute(&arguments),
    }
}
