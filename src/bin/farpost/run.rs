//! `farpost management-server|gateway|agent run`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use farpost::{Agent, Code, Config, Gateway, IdentityReload, ManagementServer, Role};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
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
    // Before any thread is made: all of them inherit the mask.
    if let Err(error) = signals().thread_block() {
        return Err(Failure::new(Code::Internal, "the signal mask").found(error.to_string()));
    }
    log_to_standard_error();
    leave_no_core();
    raise_open_files();
    Ok(config)
}

/// Runs a node until a signal asks it to stop, or, for an agent that reads standard input, until all is delivered.
///
/// # Errors
///
/// What the start finds; what was not delivered when an agent had to stop.
pub(crate) fn execute(role: Role, arguments: &RunArguments) -> Result<(), Failure> {
    let config = prepare(role, arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Internal, "the runtime").found(error.to_string()))?;
    let result = runtime.block_on(async {
        match role {
            Role::Agent => run_agent(&config).await,
            Role::Gateway => {
                let gateway = Gateway::from_config(&config)?.start().await?;
                tell_address(role, gateway.enrolment_address(), "takes enrolments");
                tell_address(role, gateway.local_address(), "listens");
                until_stopped(|| gateway.reload_identity()).await;
                gateway.close(STOP_WITHIN).await
            }
            Role::ManagementServer => {
                let server = ManagementServer::from_config(&config).await?.start().await?;
                tell_address(role, server.enrolment_address(), "takes enrolments");
                tell_address(role, server.local_address(), "listens");
                until_stopped(|| server.reload_identity()).await;
                server.close(STOP_WITHIN).await
            }
            // No configuration has this role.
            Role::Operator => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result.map_err(Failure::from)
}

async fn run_agent(config: &Config) -> farpost::Result<()> {
    let agent = Agent::from_config(config)?.start().await?;
    let shipping = async {
        match &config.input_path {
            Some(path) => agent.ship_lines(path).await,
            None => std::future::pending().await,
        }
    };
    let receiving = async {
        while let Some(received) = agent.receive().await {
            // One line per message: a supervisor reads them.
            if let Err(error) = std::io::Write::write_fmt(
                &mut std::io::stdout(),
                format_args!("{}\n", String::from_utf8_lossy(received.payload())),
            ) {
                tracing::error!(
                    "standard output: {error}: messages stay unacknowledged, and come again after a restart"
                );
                return std::future::pending().await;
            }
            received.acknowledge()?;
        }
        Ok(())
    };
    let result = tokio::select! {
        result = shipping => result,
        result = receiving => result,
        () = until_stopped(|| agent.reload_identity()) => Ok(()),
    };
    // What is undelivered stays in the queue on disk; without one it is lost, and close says so.
    let within = if config.state_directory.is_some() { Duration::from_secs(1) } else { STOP_WITHIN };
    let closed = agent.close(within).await;
    result?;
    match closed {
        Err(error) if error.code() == Code::TimedOut && config.state_directory.is_some() => Ok(()),
        closed => closed,
    }
}

/// The process has a private key in memory: no core file of it, and no look at it by others of the same user.
fn leave_no_core() {
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!("a core file of this process would hold its private key: {error}");
    }
}

fn tell_address(role: Role, address: Option<SocketAddr>, does: &str) {
    if let Some(address) = address {
        tracing::info!("{role} {does} on {address}");
    }
}

/// Waits for SIGTERM or SIGINT; SIGHUP reloads the identity meanwhile, what comes of it is an event. The library is built
/// without signal handling (a host owns its signals), so the command blocks them before its first thread and takes them
/// with sigwait on a thread of its own.
async fn until_stopped<F>(reload: impl Fn() -> F)
where
    F: Future<Output = farpost::Result<IdentityReload>>,
{
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || while sender.send(signals().wait()).is_ok() {});
    while receiver.recv().await == Some(Ok(Signal::SIGHUP)) {
        match reload().await {
            Ok(reloaded) if !reloaded.replaced => tracing::info!("SIGHUP: the identity is the one in use"),
            // The event says it.
            Ok(_) => {}
            // An event says it too, but only once for as long as the problem lasts.
            Err(error) => tracing::warn!("SIGHUP: the last good identity stays: {error}"),
        }
    }
}

fn signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGHUP);
    signals
}

/// How long a stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Diagnostics to standard error; `FARPOST_LOG` chooses what, in the usual notation (`debug`, `farpost=trace`).
fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("FARPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
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
