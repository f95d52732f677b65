//! A gateway: accepts agents and forwards them on one connection; prints what happens.
//!
//! `cargo run --example gateway -- gateway.toml`

use std::process::ExitCode;

use farpost::{Config, Gateway};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: gateway gateway.toml");
        return ExitCode::from(2);
    };
    match run(&path).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_toml(&std::fs::read_to_string(path)?, path)?;
    let gateway = Gateway::from_config(&config)?.start().await?;
    if let Some(address) = gateway.local_address() {
        println!("listening on {address}");
    }
    let mut events = gateway.events();
    while let Some(event) = events.next().await {
        println!("{event}"); // agents that come and go, failovers, refusals with their codes
    }
    Ok(())
}
