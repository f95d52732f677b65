//! `farpost management-server|gateway|agent run`: what comes before the session starts.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use farpost::{Code, Config, Role};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use crate::configuration;
use crate::failure::Failure;

/// The arguments of `run`.
#[derive(Args)]
pub(crate) struct RunArguments {
    /// The node's configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Reads the configuration of a node of this role, and prepares the process to run it.
///
/// # Errors
///
/// What is wrong with the configuration; [`Code::RoleWrong`] where it is another role's.
pub(crate) fn prepare(role: Role, arguments: &RunArguments) -> Result<Config, Failure> {
    let config = configuration::load(&arguments.config)?;
    if config.role != role {
        return Err(Failure::new(Code::RoleWrong, arguments.config.display())
            .found(format!("role = \"{}\"", config.role))
            .expected(format!("role = \"{role}\""))
            .remedy(format!("farpost {} run --config {}", config.role, arguments.config.display())));
    }
    log_to_standard_error();
    raise_open_files();
    Ok(config)
}

/// Diagnostics to standard error; `FARPOST_LOG` chooses what, in the usual notation (`debug`, `farpost=trace`).
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("FARPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Already set: then somebody else's subscriber hears it.
    let _ = subscriber.try_init();
}

/// Raises the soft limit of open files to the hard one: a gateway has a socket per agent.
fn raise_open_files() {
    let outcome = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    let code = Code::OpenFilesLow;
    match outcome {
        Ok(hard) if hard >= OPEN_FILES_MIN => {}
        Ok(hard) => tracing::warn!(
            "{code} {}: found {hard}; expected {OPEN_FILES_MIN} at least; remedy: {}",
            code.summary(),
            code.remedy()
        ),
        Err(error) => tracing::warn!("{code} {}: found {error}; remedy: {}", code.summary(), code.remedy()),
    }
}

/// A gateway of 2,000 agents, twice, rounded: fewer make a warning.
const OPEN_FILES_MIN: u64 = 4_096;
