//! `farpost operator`: who may work on the group from afar.

use clap::Subcommand;
use farpost::{Access, OperatorRecord};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::group::table::table;
use crate::group::{StoreArguments, wait};

/// The subcommands of `operator`.
#[derive(Subcommand)]
pub(crate) enum OperatorCommand {
    /// Let an operator in, or change what it may
    Approve {
        #[command(flatten)]
        store: StoreArguments,
        /// The name that its certificate proves
        name: String,
        /// It may look at the group and change nothing
        #[arg(long)]
        read_only: bool,
        /// The only key that it may come with: SHA-256 of the public key [default: any that a CA vouches for]
        #[arg(long, value_name = "HASH")]
        key: Option<String>,
    },
    /// Keep a name out as operator until it is approved
    Reject {
        #[command(flatten)]
        store: StoreArguments,
        /// The operator
        name: String,
    },
    /// Forget an operator
    Delete {
        #[command(flatten)]
        store: StoreArguments,
        /// The operator
        name: String,
    },
    /// The operators that the group knows
    List {
        #[command(flatten)]
        store: StoreArguments,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn execute(command: OperatorCommand) -> Result<(), Failure> {
    match command {
        OperatorCommand::Approve { store, name, read_only, key } => wait(async {
            let access = if read_only { Access::ReadOnly } else { Access::Full };
            store.open().await?.approve_operator(&name, access, key.as_deref()).await?;
            println!("The operator {name} is approved; its access is {access}.");
            Ok(())
        }),
        OperatorCommand::Reject { store, name } => wait(async {
            store.open().await?.reject_operator(&name).await?;
            println!("The operator {name} is rejected.");
            Ok(())
        }),
        OperatorCommand::Delete { store, name } => wait(async {
            store.open().await?.delete_operator(&name).await?;
            println!("The operator {name} is deleted.");
            Ok(())
        }),
        OperatorCommand::List { store, json } => wait(async {
            let operators = store.open().await?.operators().await?;
            if json {
                println!("{}", operators.iter().map(document).collect::<Value>());
            } else {
                table(&["OPERATOR", "STATE", "ACCESS", "KEY", "AT", "ADDRESS", "LAST SEEN"], operators.iter().map(row));
            }
            Ok(())
        }),
    }
}

fn row(operator: &OperatorRecord) -> Vec<String> {
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    vec![
        operator.name.to_string(),
        operator.state.to_string(),
        operator.access.to_string(),
        operator.pinned_key_fingerprint().unwrap_or_else(|| "any".to_owned()),
        or_dash(operator.server.as_ref().map(ToString::to_string)),
        or_dash(Some(operator.address.clone())),
        or_dash(operator.last_seen.map(|at| at.to_string())),
    ]
}

fn document(operator: &OperatorRecord) -> Value {
    json!({
        "name": operator.name.as_str(),
        "state": operator.state.as_str(),
        "access": operator.access.as_str(),
        "key": operator.pinned_key_fingerprint(),
        "server": operator.server.as_ref().map(ToString::to_string),
        "address": operator.address,
        "since": operator.since.to_string(),
        "first_seen": operator.first_seen.map(|at| at.to_string()),
        "last_seen": operator.last_seen.map(|at| at.to_string()),
    })
}
