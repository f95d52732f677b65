//! `farpost`: the reference face of the library.
//!
//! Results go to standard output, errors to standard error with code, found, expected and remedy each on its
//! line. Exit status: 0 success, 1 failure, 2 a command line that cannot be understood. A reader that goes away is no failure.

// First: its macros stand in for those of the standard library in all that follows.
#[macro_use]
mod output;

mod afar;
mod ca;
mod cert;
mod clock;
mod configuration;
mod enroll;
mod failure;
mod files;
mod group;
mod run;
mod secret;
mod status;
mod token;
mod when;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use farpost::Role;

use failure::Failure;

/// Carries agents' data across a trust boundary
#[derive(Parser)]
#[command(name = "farpost", version)]
struct Cli {
    #[command(flatten)]
    afar: afar::AfarArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A certification authority for laboratories and tests
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// What a node and its peers will say about a certificate
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// One-time tokens, with which nodes that have no certificate yet enrol
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// What a configuration may hold, and whether a file is one
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Get a node's first certificate with a one-time token
    Enroll(enroll::EnrollArguments),
    /// What a running node does: upstream, standbys, agents, queue, identity
    Status(status::StatusArguments),
    #[command(flatten)]
    Group(group::GroupCommand),
    /// Run an agent, or look at, approve and reject the group's agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Run a gateway, or look at the group's gateways
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Run a management server
    #[command(subcommand)]
    ManagementServer(RunCommand),
}

#[derive(Subcommand)]
enum AgentCommand {
    /// Run an agent: ship the lines of a file or of standard input
    Run(run::RunArguments),
    #[command(flatten)]
    Group(group::AgentCommand),
}

#[derive(Subcommand)]
enum GatewayCommand {
    /// Run it until SIGTERM or SIGINT
    Run(run::RunArguments),
    #[command(flatten)]
    Group(group::GatewayCommand),
}

#[derive(Subcommand)]
enum RunCommand {
    /// Run it until SIGTERM or SIGINT
    Run(run::RunArguments),
}

fn main() -> ExitCode {
    let outcome = Cli::try_parse().map_err(Failure::of_command_line).and_then(execute);
    match outcome {
        Ok(()) => output::outcome(),
        Err(failure) => failure.report(),
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let is_of_the_group = matches!(
        cli.command,
        Command::Group(_)
            | Command::Cert(cert::CertCommand::Renew(_))
            | Command::Token(_)
            | Command::Agent(AgentCommand::Group(_))
            | Command::Gateway(GatewayCommand::Group(_))
    );
    cli.afar.give(is_of_the_group)?;
    dispatch(cli.command)
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Ca(command) => ca::execute(command),
        Command::Config(command) => configuration::execute(command),
        Command::Cert(command) => cert::execute(command),
        Command::Token(command) => token::execute(command),
        Command::Enroll(arguments) => enroll::execute(&arguments),
        Command::Status(arguments) => status::execute(&arguments),
        Command::Group(command) => group::execute(command),
        Command::Agent(AgentCommand::Run(arguments)) => run::execute(Role::Agent, &arguments),
        Command::Agent(AgentCommand::Group(command)) => group::execute_agent(command),
        Command::Gateway(GatewayCommand::Run(arguments)) => run::execute(Role::Gateway, &arguments),
        Command::Gateway(GatewayCommand::Group(command)) => group::execute_gateway(command),
        Command::ManagementServer(RunCommand::Run(arguments)) => run::execute(Role::ManagementServer, &arguments),
    }
}
