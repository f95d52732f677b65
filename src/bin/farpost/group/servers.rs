//! `farpost server`: the management servers of the group.

use clap::Subcommand;
use farpost::{ServerRecord, ServerUse};
use serde_json::json;

use crate::failure::Failure;
use crate::group::StoreArguments;

/// The subcommands of `server`.
#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// Exclude a management server from failover, or take it back
    Set {
        #[command(flatten)]
        store: StoreArguments,
        /// The management server
        name: String,
        /// Never use it for failover
        #[arg(long, value_name = "BOOLEAN", action = clap::ArgAction::Set)]
        excluded: bool,
    },
    /// Remove a management server that was taken out of service; its name may become a gateway's or an agent's
    ///
    /// It must have stopped: one that was killed counts as running for 30 s. Nobody may have it as primary or failover,
    /// and no gateway be approved for it. If it starts again on the group's store it registers as a new one, which is
    /// not excluded from failover: whether it was is told now, and stays in the audit log.
    Delete {
        #[command(flatten)]
        store: StoreArguments,
        /// The management server
        name: String,
        /// Print what it was as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `farpost server`.
pub(super) async fn execute(command: ServerCommand) -> Result<(), Failure> {
    match command {
        ServerCommand::Set { store, name, excluded } => {
            let named = store.open().await?.set_server_excluded(&name, excluded).await?;
            let outcome = if excluded { "is never used for failover" } else { "may be used for failover" };
            println!("{name} {outcome}");
            if excluded {
                warn_of_use(&name, &named);
            }
        }
        ServerCommand::Delete { store, name, json } => {
            let deleted = store.open().await?.delete_server(&name).await?;
            print_deleted(&deleted, json);
        }
    }
    Ok(())
}

fn print_deleted(server: &ServerRecord, as_json: bool) {
    let name = &server.name;
    if as_json {
        let document = json!({
            "outcome": "deleted",
            "name": name.as_str(),
            "address": server.address,
            "excluded": server.excluded,
            "last_seen": server.last_seen.to_string(),
        });
        println!("{document}");
    } else {
        println!("The management server {name} is deleted.");
    }
    if server.excluded {
        eprintln!(
            "warning: {name} was excluded from failover; if it comes back it is not: farpost server set {name} --excluded true"
        );
    }
}

/// Who names a server that was just excluded: for people, as warnings.
fn warn_of_use(server: &str, named: &ServerUse) {
    for gateway in &named.gateways {
        eprintln!("warning: the gateway {gateway} is approved for {server}");
    }
    for node in &named.assigned {
        eprintln!("warning: {server} is assigned to {node}");
    }
    for site in &named.sites {
        eprintln!("warning: {server} is assigned to the site {site}");
    }
}
