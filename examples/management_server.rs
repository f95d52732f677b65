//! A management server: the end of the chain. Prints what the agents send, and acknowledges it.
//!
//! `cargo run --example management_server -- IDENTITY-DIRECTORY NAME GROUP GROUP-STORE LISTEN`, such as
//! `/etc/farpost/identity ms1.corp.example CORP sqlite:///var/lib/farpost/group.db 0.0.0.0:5723`

use std::error::Error;
use std::process::ExitCode;

use farpost::{Identity, Item, ManagementGroup, ManagementServer};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, name, group, store, listen] = arguments.as_slice() else {
        eprintln!("usage: management_server IDENTITY-DIRECTORY NAME GROUP GROUP-STORE LISTEN");
        return ExitCode::from(2);
    };
    match run(directory, name, group, store, listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(directory: &str, name: &str, group: &str, store: &str, listen: &str) -> Result<(), Box<dyn Error>> {
    let identity = Identity::from_directory(directory, name)?;
    let group = ManagementGroup::open_new(store, group).await?; // makes the store if there is none
    let mut server = ManagementServer::builder(identity, group).listen(listen.parse()?).start().await?;
    let mut events = server.events();
    let mut deliveries = server.deliveries().ok_or("the deliveries go to a built-in output")?;
    loop {
        tokio::select! {
            Some(event) = events.next() => eprintln!("{event}"),
            batch = deliveries.next() => {
                let Some(batch) = batch else { return Ok(()) };
                for item in batch.iter() {
                    match item {
                        Item::Message(message) => {
                            let text = String::from_utf8_lossy(&message.payload);
                            println!("{} {}: {}", message.agent, message.sequence, text.trim_end());
                        }
                        Item::Gap(gap) => println!("{} lost {:?}", gap.agent, gap.gap),
                    }
                }
                // A real one makes them durable first. What is not acknowledged comes again, marked `redelivered`.
                batch.acknowledge();
            }
        }
    }
}
