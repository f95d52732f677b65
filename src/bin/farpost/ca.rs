//! `farpost ca`: a certification authority for laboratories and tests.
//!
//! Its directory holds `ca.pem`, `ca.key` (mode 0600), `index.json` (issued serials, revocations, the CRL's
//! number) and, once made, `ca.crl`: what the library's `LocalAuthority` keeps, so that a management server with
//! `authority.kind = "local"` may use the same one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use farpost::{CertificateRequest, Code, KeyKind, LocalAuthority, LocalCertificate, Name};
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files::{self, Readers};

/// The subcommands of `farpost ca`.
#[derive(Subcommand)]
pub(crate) enum CaCommand {
    /// Make a certification authority
    Init(InitArguments),
    /// Issue a certificate for a node: with a new key, or for its request
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
    /// The node's DNS name; it gets a new key as well
    #[arg(long, value_name = "HOST", required_unless_present = "request")]
    name: Option<Name>,
    /// The node's certificate request; its key stays where it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "alternative_name"])]
    request: Option<PathBuf>,
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
    let authority = LocalAuthority::make(&arguments.directory, &arguments.name, days(arguments.days))?;
    println!("{}", authority.certificate_file().display());
    Ok(())
}

fn sign(arguments: &SignArguments) -> Result<(), Failure> {
    arguments.name.iter().chain(&arguments.alternative_name).try_for_each(refuse_address)?;
    let authority = LocalAuthority::open(&arguments.directory, days(arguments.days))?;
    let (request, key) = match (&arguments.request, &arguments.name) {
        (Some(file), _) => (read_request(file)?, None),
        (None, Some(name)) => {
            let (request, key) = CertificateRequest::make(name, KeyKind::P256, false)?;
            (request, Some(key))
        }
        (None, None) => return Err(Failure::new(Code::Usage, "--name").expected("--name HOST or --request FILE")),
    };
    let issued = authority.sign(&request, &arguments.alternative_name)?;
    let written = write_identity(arguments, &authority, request.name(), &issued, key)?;
    if arguments.json {
        let path = |path: &PathBuf| path.display().to_string();
        let document = serde_json::json!({
            "name": request.name().as_str(), "serial": issued.serial, "until": issued.not_after.to_string(),
            "certificate": path(&written.certificate), "key": written.key.as_ref().map(path),
            "trust": path(&written.trust),
        });
        println!("{document}");
    } else {
        println!("{} until {}", written.certificate.display(), issued.not_after);
    }
    Ok(())
}

fn read_request(file: &Path) -> Result<CertificateRequest, Failure> {
    let bytes = std::fs::read(file).map_err(|error| files::unreadable(file, &error))?;
    CertificateRequest::from_pem(&bytes).map_err(|error| {
        Failure::new(error.code(), file.display())
            .found(error.found_text())
            .expected(error.expected_text())
            .remedy(error.remedy_text())
    })
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 86_400)
}

/// A dNSName that looks like an address is matched by nobody.
pub(crate) fn refuse_address(name: &Name) -> Result<(), Failure> {
    if name.as_str().parse::<std::net::IpAddr>().is_err() {
        return Ok(());
    }
    Err(Failure::new(Code::NameUnreadable, name)
        .found("an address")
        .expected("a DNS name")
        .remedy("give the computer a name, and its address in [hosts] of those that connect to it"))
}

/// What was written for a node.
struct Written {
    certificate: PathBuf,
    key: Option<PathBuf>,
    trust: PathBuf,
}

/// Writes certificate, new key and trust anchor of a node.
fn write_identity(
    arguments: &SignArguments,
    authority: &LocalAuthority,
    name: &Name,
    issued: &LocalCertificate,
    key: Option<Zeroizing<Vec<u8>>>,
) -> Result<Written, Failure> {
    files::make_directory(&arguments.out)?;
    let path = |extension: &str| arguments.out.join(format!("{name}.{extension}"));
    let (certificate, trust) = (path("pem"), arguments.out.join("ca.pem"));
    let key = match key {
        Some(key) => {
            files::write(&path("key"), files::pem("PRIVATE KEY", &key)?.as_bytes(), Readers::Owner)?;
            Some(path("key"))
        }
        None => None,
    };
    files::write(&certificate, issued.to_pem().as_bytes(), Readers::All)?;
    if !same_directory(&arguments.out, &arguments.directory) {
        let anchor = files::read_text(&authority.certificate_file())?;
        files::write(&trust, anchor.as_bytes(), Readers::All)?;
    }
    Ok(Written { certificate, key, trust })
}

fn crl(arguments: &CrlArguments) -> Result<(), Failure> {
    let authority = LocalAuthority::open(&arguments.directory, days(arguments.days))?;
    let serial = match (&arguments.revoke, &arguments.serial) {
        (Some(file), _) => Some(serial_of(file)?),
        (None, Some(serial)) => Some(serial.replace(':', "").to_ascii_lowercase()),
        (None, None) => None,
    };
    if let Some(serial) = &serial {
        authority.revoke(serial)?;
    }
    let number = authority.write_crl(days(arguments.days))?;
    println!("{} number {number}", authority.crl_file().display());
    Ok(())
}

/// The serial number of the first certificate in a file.
fn serial_of(file: &Path) -> Result<String, Failure> {
    let text = files::read_text(file)?;
    let unreadable = |found: String| Failure::new(Code::CertificateUnreadable, file.display()).found(found);
    let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    let certificate = pem.parse_x509().map_err(|error| unreadable(error.to_string()))?;
    Ok(certificate.tbs_certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn same_directory(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
