//! `farpost`: the reference face of the library.
//!
//! Results go to standard output, errors to standard error with code, found, expected and remedy each on its
//! line. Exit status: 0 success, 1 failure, 2 a command line that cannot be understood.

mod ca;
mod configuration;
mod failure;
mod files;
#[expect(dead_code, reason = "used when the sessions are there")]
mod run;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Carries agents' data across a trust boundary
#[derive(Parser)]
#[command(name = "farpost", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A certification authority for laboratories and tests
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// What a configuration may hold, and whether a file is one
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// What a running node does: upstream, standbys, agents, queue, identity
    Status(status::StatusArguments),
}

fn main() -> ExitCode {
    let outcome = Cli::try_parse().map_err(Failure::of_command_line).and_then(|cli| dispatch(cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Ca(command) => ca::execute(command),
        Command::Config(command) => configuration::execute(command),
        Command::Status(arguments) => status::execute(&arguments),
    }
}
