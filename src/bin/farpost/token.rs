//! `farpost token`: one-time tokens, with which nodes that have no certificate yet enrol.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use farpost::{EnrolmentToken, Name, Role, Timestamp, TokenRecord};

use crate::clock;
use crate::failure::{Failure, printable};
use crate::group::{StoreArguments, wait};
use crate::when::duration;

/// The subcommands of `farpost token`.
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for one node; its text is shown this once
    Create {
        #[command(flatten)]
        store: StoreArguments,
        /// The node that enrols with it
        #[arg(long, value_name = "NAME")]
        name: Name,
        /// What the node will be
        #[arg(long, value_enum)]
        role: RoleWord,
        /// The gateway that it enrols through; without it, at a management server
        #[arg(long, value_name = "NAME")]
        gateway: Option<Name>,
        /// How long it can be used, at most 7d
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
        valid: Duration,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Whose tokens there are, and which were used
    List {
        #[command(flatten)]
        store: StoreArguments,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete the tokens of a node
    Delete {
        #[command(flatten)]
        store: StoreArguments,
        /// The node
        #[arg(long, value_name = "NAME")]
        name: Name,
    },
}

/// The words of `--role`: who enrols.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RoleWord {
    Agent,
    Gateway,
}

impl RoleWord {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Agent => Role::Agent,
            Self::Gateway => Role::Gateway,
        }
    }
}

pub(crate) fn execute(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { store, name, role, gateway, valid, json } => wait(async {
            let role = role.role();
            let gateway = gateway.as_ref().map(Name::as_str);
            let group = store.open().await?;
            let token = group.create_token(name.as_str(), role, gateway, valid).await?;
            let called = group.name().await?;
            print_new(&token, &called, &name, role, gateway, valid, json);
            Ok(())
        }),
        TokenCommand::List { store, json } => wait(async {
            print_all(&store.open().await?.tokens().await?, json);
            Ok(())
        }),
        TokenCommand::Delete { store, name } => wait(async {
            let count = store.open().await?.delete_token(name.as_str()).await?;
            println!("{count} of {name} deleted");
            Ok(())
        }),
    }
}

/// The token alone goes to standard output, so that it can be piped; what to do with it, to standard error.
fn print_new(
    token: &EnrolmentToken,
    group: &str,
    name: &Name,
    role: Role,
    gateway: Option<&str>,
    valid: Duration,
    json: bool,
) {
    let text = token.text();
    if json {
        let document = serde_json::json!({
            "token": text.as_str(), "management_group": group, "name": name.as_str(), "role": role.as_str(), "gateway": gateway,
            "valid_seconds": valid.as_secs(),
        });
        println!("{document}");
        return;
    }
    println!("{}", text.as_str());
    let through = gateway.map_or_else(|| "at a management server".to_owned(), |name| format!("through {name}"));
    eprintln!("for the {role} {name}, once, {through}, until {}", later(valid));
    let place = gateway.map_or_else(|| "--server SERVER".to_owned(), |gateway| format!("--gateway {gateway}"));
    eprintln!("it is not shown again; on {name}, with the token in a file that only you read:");
    eprintln!("  farpost enroll --token FILE --subject-name {name} --role {role} {place} \\");
    eprintln!("    --management-group {} --trust CA.pem", printable(group));
}

fn later(valid: Duration) -> Timestamp {
    let millis = i64::try_from(valid.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(clock::now().unix_millis().saturating_add(millis))
}

fn print_all(tokens: &[TokenRecord], json: bool) {
    let at = clock::now();
    let via = |token: &TokenRecord| token.via.as_ref().map(Name::to_string);
    if json {
        let rows: Vec<_> = tokens
            .iter()
            .map(|token| {
                serde_json::json!({
                    "name": token.name.as_str(), "role": token.role.as_str(), "gateway": via(token),
                    "created": token.created.to_string(), "expires": token.expires.to_string(),
                    "used": token.used.map(|at| at.to_string()), "open": token.is_open(at),
                })
            })
            .collect();
        println!("{}", serde_json::Value::from(rows));
        return;
    }
    for token in tokens {
        let state = match token.used {
            Some(at) => format!("used {at}"),
            None if token.is_open(at) => format!("open until {}", token.expires),
            None => format!("expired {}", token.expires),
        };
        let through = via(token).unwrap_or_else(|| "-".to_owned());
        println!("{:<40} {:<8} {:<40} {state}", token.name, token.role.as_str(), through);
    }
}
