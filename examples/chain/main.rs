//! The whole story on one computer: `cargo run --release --example chain`.
//!
//! On loopback, with free ports and a temporary directory, it makes a CA and certificates and starts itself again as
//! child processes: three management servers on one group store (one of them excluded from failover), two gateways,
//! and the agents. They ship the lines of a real file while the primary management server and then the first gateway
//! are killed with SIGKILL and started again. The parent process is the application with the one database: it sees
//! every message, so it can say whether anything was lost, out of order or stored twice.
//!
//! `--json` prints the result as one JSON object on standard output; the narration goes to standard error then.

mod application;
mod client;
mod laboratory;
mod ledger;
mod lines;
mod nodes;
mod processes;
mod report;
mod screen;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What anything here can fail with.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Agents, two gateways and three management servers on this computer: data flows while processes are killed
#[derive(Parser)]
#[command(name = "chain", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    story: story::Options,
    #[command(subcommand)]
    node: Option<Node>,
}

/// What the example starts itself as.
#[derive(Subcommand)]
pub(crate) enum Node {
    #[command(hide = true)]
    ManagementServer {
        #[arg(long)]
        config: PathBuf,
        /// The socket of the application
        #[arg(long)]
        application: PathBuf,
    },
    #[command(hide = true)]
    Gateway {
        #[arg(long)]
        config: PathBuf,
    },
    #[command(hide = true)]
    Agents {
        /// The configurations of the agents, one each
        #[arg(long)]
        config: Vec<PathBuf>,
        /// The file whose lines they send
        #[arg(long)]
        lines: PathBuf,
        /// Of all agents together
        #[arg(long)]
        messages: u64,
        /// The time that they take for them
        #[arg(long)]
        seconds: f64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.node {
        Some(node) => nodes::run(node),
        None => story::run(&arguments.story),
    }
}
