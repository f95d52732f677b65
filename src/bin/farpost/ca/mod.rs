//! `farpost ca`: a certification authority for laboratories and tests.
//!
//! Its directory holds `ca.pem`, `ca.key` (mode 0600), `index.json` (issued serials, revocations, the CRL's
//! number) and, once made, `ca.crl`. Certificates have P-256 keys, both enhanced key usages, digitalSignature,
//! the name as CN and as dNSName, and random serials.

mod authority;
mod index;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use farpost::{Code, Name};

use crate::failure::Failure;
use crate::files::{self, Readers};

use authority::{Authority, Bundle};

/// The subcommands of `farpost ca`.
#[derive(Subcommand)]
pub(crate) enum CaCommand {
    /// Make a certification authority
    Init(InitArguments),
    /// Issue a certificate and its key for a node
    Sign(SignArguments),
    /// Revoke a certificate, or write the revocation list anew
    Crl(CrlArguments),
}

/// The arguments of `ca init`.
#[derive(Args)]
pub(crate) struct InitArguments {
    /// Where the authority is kept
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The authority's common name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// How long its certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// The arguments of `ca sign`.
#[derive(Args)]
pub(crate) struct SignArguments {
    /// Where the authority is kept
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The node's DNS name
    #[arg(long, value_name = "HOST")]
    name: Name,
    /// A further dNSName
    #[arg(long, value_name = "HOST")]
    alternative_name: Vec<Name>,
    /// Where HOST.pem, HOST.key and ca.pem are written
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
    /// How long the certificate is valid, at most as long as the authority's
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// The arguments of `ca crl`.
#[derive(Args)]
pub(crate) struct CrlArguments {
    /// Where the authority is kept
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Revoke the certificate in this file
    #[arg(long, value_name = "FILE")]
    revoke: Option<PathBuf>,
    /// Revoke the certificate of this serial number, hexadecimal
    #[arg(long, value_name = "SERIAL", conflicts_with = "revoke")]
    serial: Option<String>,
    /// How long the list is current
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
}

pub(crate) fn execute(command: CaCommand) -> Result<(), Failure> {
    match command {
        CaCommand::Init(arguments) => init(&arguments),
        CaCommand::Sign(arguments) => sign(&arguments),
        CaCommand::Crl(arguments) => crl(&arguments),
    }
}

fn init(arguments: &InitArguments) -> Result<(), Failure> {
    Authority::make(&arguments.directory, &arguments.name, arguments.days)?;
    println!("{}", arguments.directory.join(authority::CERTIFICATE).display());
    Ok(())
}

fn sign(arguments: &SignArguments) -> Result<(), Failure> {
    [&arguments.name].into_iter().chain(&arguments.alternative_name).try_for_each(refuse_address)?;
    let mut authority = Authority::open(&arguments.directory)?;
    let issued = authority.issue(&arguments.name, &arguments.alternative_name, arguments.days)?;
    let written = write_identity(arguments, &authority, &issued)?;
    if arguments.json {
        let [certificate, key, trust] = written.map(|path| path.display().to_string());
        let document = serde_json::json!({
            "name": arguments.name.as_str(), "serial": issued.serial, "until": issued.until.to_string(),
            "certificate": certificate, "key": key, "trust": trust,
        });
        println!("{document}");
    } else {
        println!("{} until {}", written[0].display(), issued.until);
    }
    Ok(())
}

/// A dNSName that looks like an address is matched by nobody.
fn refuse_address(name: &Name) -> Result<(), Failure> {
    if name.as_str().parse::<std::net::IpAddr>().is_err() {
        return Ok(());
    }
    Err(Failure::new(Code::NameUnreadable, name)
        .found("an address")
        .expected("a DNS name")
        .remedy("give the computer a name, and its address in [hosts] of those that connect to it"))
}

/// Writes certificate, key and trust anchor of a node; answers their paths in this order.
fn write_identity(arguments: &SignArguments, authority: &Authority, issued: &Bundle) -> Result<[PathBuf; 3], Failure> {
    files::make_directory(&arguments.out)?;
    let path = |extension: &str| arguments.out.join(format!("{}.{extension}", arguments.name));
    let (certificate, key, trust) = (path("pem"), path("key"), arguments.out.join(authority::CERTIFICATE));
    files::write(&key, issued.key.as_bytes(), Readers::Owner)?;
    files::write(&certificate, issued.certificate.as_bytes(), Readers::All)?;
    if !same_directory(&arguments.out, &arguments.directory) {
        files::write(&trust, authority.certificate().as_bytes(), Readers::All)?;
    }
    Ok([certificate, key, trust])
}

fn crl(arguments: &CrlArguments) -> Result<(), Failure> {
    let mut authority = Authority::open(&arguments.directory)?;
    let serial = match (&arguments.revoke, &arguments.serial) {
        (Some(file), _) => Some(authority::serial_of(file)?),
        (None, Some(serial)) => Some(serial.replace(':', "").to_ascii_lowercase()),
        (None, None) => None,
    };
    if let Some(serial) = &serial {
        authority.revoke(serial)?;
    }
    let number = authority.write_crl(arguments.days)?;
    println!("{} number {number}", arguments.directory.join(authority::CRL).display());
    Ok(())
}

fn same_directory(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
