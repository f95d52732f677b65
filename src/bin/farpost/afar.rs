//! The group from afar: the options before a command that stand in for --store and --config.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::Args;
use farpost::{Code, Identity, IdentityFiles, ManagementGroup, Name, OperatorConnection, Timestamp, Upstream};

use crate::clock;
use crate::failure::Failure;

/// Options that stand before the command.
#[derive(Args, Clone, Default)]
pub(crate) struct AfarArguments {
    /// Before a command of the management group: ask this management server, as an operator, instead of a store
    #[arg(long, value_name = "NAME[:PORT]", requires = "identity")]
    server: Option<String>,
    /// The directory with the operator's certificate, key and the CA that it trusts
    #[arg(long, value_name = "DIRECTORY", requires = "server")]
    identity: Option<PathBuf>,
    /// The operator's DNS name, where the directory holds certificates of several
    #[arg(long, value_name = "NAME", requires = "server")]
    name: Option<Name>,
    /// The management group that the server must be of; case matters
    #[arg(long, value_name = "GROUP", requires = "server")]
    management_group: Option<String>,
    /// Where the server's name is reached, instead of asking DNS
    #[arg(long, value_name = "IP", requires = "server")]
    address: Vec<IpAddr>,
}

/// What stood before the command of this process.
static GIVEN: OnceLock<AfarArguments> = OnceLock::new();

impl AfarArguments {
    /// Lets the command work from afar, if it can and is asked to.
    ///
    /// # Errors
    ///
    /// A command that is not the management group's.
    pub(crate) fn give(self, is_of_the_group: bool) -> Result<(), Failure> {
        if self.server.is_some() && !is_of_the_group {
            return Err(Failure::new(Code::Usage, "--server")
                .found("a command that does not ask the management group")
                .expected("it before inventory, approve, agent list and the like"));
        }
        // Once per process.
        let _ = GIVEN.set(self);
        Ok(())
    }
}

/// The group from afar, where --server was given; a store that was given as well is one too many.
pub(crate) async fn group(store: Option<&str>) -> Result<Option<ManagementGroup>, Failure> {
    if store.is_some() && GIVEN.get().is_some_and(|given| given.server.is_some()) {
        return Err(Failure::new(Code::Usage, "--server").found("--store as well").expected("one of the two"));
    }
    let Some((connection, until)) = connection()? else { return Ok(None) };
    warn_of_end(until);
    Ok(Some(connection.connect().await?))
}

/// The way to the server that was given, and when the operator's certificate ends.
pub(crate) fn connection() -> Result<Option<(OperatorConnection, Timestamp)>, Failure> {
    let Some(AfarArguments { server: Some(server), identity: Some(directory), name, management_group, address }) =
        GIVEN.get()
    else {
        return Ok(None);
    };
    let mut files = IdentityFiles::default();
    files.directory = Some(directory.clone());
    let name = match name {
        Some(name) => name.clone(),
        None => only_name(&files, directory)?,
    };
    let identity = Identity::from_files(&files, &name)?;
    let until = identity.not_after();
    let mut connection = OperatorConnection::new(identity, server)?;
    if let Some(group) = management_group {
        connection = connection.management_group(group);
    }
    if !address.is_empty() {
        connection = connection.host(Upstream::parse(server)?.name().clone(), address.clone());
    }
    Ok(Some((connection, until)))
}

/// Nobody else renews an operator's certificate, and one that has ended cannot be renewed.
fn warn_of_end(until: Timestamp) {
    let rest = until.unix_seconds() - clock::now().unix_seconds();
    if rest < WARNED_OF_END {
        eprintln!("warning: this operator's certificate ends at {until}: farpost --server M --identity DIR cert renew");
    }
}

/// In seconds: 30 days before its end a certificate is told of.
const WARNED_OF_END: i64 = 30 * 86_400;

/// The name of the certificates in a directory, if it is one.
fn only_name(files: &IdentityFiles, directory: &std::path::Path) -> Result<Name, Failure> {
    let mut names = files.names()?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (found, _) => {
            names.extend(found);
            let names: Vec<String> = names.iter().map(Name::to_string).collect();
            Err(Failure::new(Code::Usage, directory.display())
                .found(if names.is_empty() { "no certificate with a name".to_owned() } else { names.join(", ") })
                .expected("certificates for one name")
                .remedy("say which: --name NAME"))
        }
    }
}
