//! `farpost cert verify`: the library's verify function, the one that sessions use, on files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use farpost::{CertificateCheck, CertificateForm, ChainLimits, Name, PeerCheck, PeerRole, Timestamp, Trust};

use crate::cert::show::{PolicyArguments, conclude, read, read_all, slices};
use crate::clock::now;
use crate::failure::Failure;

/// The arguments of `cert verify`.
#[derive(Args)]
pub(crate) struct VerifyArguments {
    /// The peer's certificate, then its intermediates: PEM, or one certificate in DER
    #[arg(value_name = "CHAIN")]
    chain: PathBuf,
    /// The CAs that are trusted
    #[arg(long, value_name = "FILE", required = true)]
    trust: Vec<PathBuf>,
    /// Revocation lists
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Which end of TLS the peer is; any: either, as every link demands
    #[arg(long, value_enum, default_value_t = RoleWord::Any)]
    role: RoleWord,
    /// The name that the peer must prove; without it the names that it proves are told
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The time of the verification: 2026-11-22T12:04:11Z, a date, or seconds since 1970; now unless given
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Demand the form of RFC 5280 too: key identifiers, which extensions are critical
    #[arg(long)]
    strict: bool,
    /// Look at chains of up to 64 certificates; a peer may present 8
    #[arg(long)]
    large: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The words of `--role`.
#[derive(Clone, Copy, ValueEnum)]
enum RoleWord {
    Any,
    Server,
    Client,
}

pub(super) fn execute(arguments: &VerifyArguments) -> Result<(), Failure> {
    let (anchors, lists) = (read_all(&arguments.trust)?, read_all(&arguments.crl)?);
    let chain = read(&arguments.chain)?;
    let check = match Trust::from_pem(&slices(&anchors), &slices(&lists)) {
        Ok(trust) => peer_check(&trust, arguments).examine_pem(&chain),
        Err(report) => {
            let mut check = CertificateCheck::default();
            check.report = report;
            check
        }
    };
    conclude(&check, Vec::new(), arguments.json)
}

fn peer_check<'a>(trust: &'a Trust, arguments: &'a VerifyArguments) -> PeerCheck<'a> {
    let role = match arguments.role {
        RoleWord::Any => PeerRole::Any,
        RoleWord::Server => PeerRole::Server,
        RoleWord::Client => PeerRole::Client,
    };
    let mut check =
        PeerCheck::new(trust, arguments.at.unwrap_or_else(now)).policy(arguments.policy.policy()).role(role);
    if let Some(name) = &arguments.name {
        check = check.name(name);
    }
    if arguments.strict {
        check = check.form(CertificateForm::Strict);
    }
    if arguments.large {
        check = check.limits(ChainLimits::Offline);
    }
    check
}
