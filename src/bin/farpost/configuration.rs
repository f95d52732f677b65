//! `farpost config`: the keys, and whether a file is a configuration.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use farpost::Config;

use crate::failure::Failure;
use crate::files;

/// The subcommands of `farpost config`.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its meaning, value, default and roles
    Reference,
    /// Read a file as a node would, and say what is wrong with it
    Check {
        /// The configuration, TOML
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub(crate) fn execute(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Reference => print!("{}", Config::reference()),
        ConfigCommand::Check { config } => {
            let read = load(&config)?;
            println!("{}: the configuration of this {} can be used", config.display(), read.role);
        }
    }
    Ok(())
}

/// Reads and validates a configuration file.
pub(crate) fn load(file: &Path) -> Result<Config, Failure> {
    let text = files::read_text(file)?;
    let config = Config::from_toml(&text, &file.display().to_string())?;
    config.validate().map_err(|error| {
        let subject = format!("{}: {}", file.display(), error.subject_text());
        Failure::new(error.code(), subject)
            .found(error.found_text())
            .expected(error.expected_text())
            .remedy(error.remedy_text())
    })?;
    Ok(config)
}
