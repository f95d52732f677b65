//! An agent: sends the computer's load every ten seconds, and prints what the management server sends down.
//!
//! `cargo run --example agent -- agent.toml [SAMPLES]`

use std::process::ExitCode;
use std::time::Duration;

use farpost::{Agent, Config, Message, Priority};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        eprintln!("usage: agent agent.toml [SAMPLES]");
        return ExitCode::from(2);
    };
    let samples = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    match run(&path, samples).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(path: &str, samples: u64) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::from_toml(&std::fs::read_to_string(path)?, path)?;
    let agent = Agent::from_config(&config)?.start().await?;
    let mut events = agent.events();
    let mut clock = tokio::time::interval(Duration::from_secs(10));
    let mut sent = 0;
    while sent < samples {
        tokio::select! {
            _ = clock.tick() => {
                let load = std::fs::read_to_string("/proc/loadavg")?;
                // Waits while the queue is full: back-pressure, not loss. The receipt tells when it is stored and
                // delivered; dropping it changes nothing.
                agent.send(Message::new(load).priority(Priority::Normal)).await?;
                sent += 1;
            }
            Some(event) = events.next() => eprintln!("{event}"),
            received = agent.receive() => {
                let Some(received) = received else { break };
                println!("{}", String::from_utf8_lossy(received.payload()));
                received.acknowledge()?; // until then it comes again after a restart
            }
        }
    }
    agent.close(Duration::from_secs(30)).await?; // waits until all is delivered; the rest stays on disk
    Ok(())
}
