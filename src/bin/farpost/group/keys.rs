//! `farpost group key`: the key that signs the group's assignments.

use std::path::PathBuf;

use clap::Subcommand;
use farpost::GroupKeyRecord;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::group::StoreArguments;

/// The subcommands of `group`.
#[derive(Subcommand)]
pub(crate) enum OfGroupCommand {
    /// The key that signs the group's assignments
    #[command(subcommand)]
    Key(KeyCommand),
}

/// The subcommands of `group key`.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// The key, and those before it
    Show {
        #[command(flatten)]
        store: StoreArguments,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a file that brings the key into another store; beside the store only
    Backup {
        #[command(flatten)]
        store: StoreArguments,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A file with the password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Bring the key of a backup into a new store, before anything is assigned; beside the store only
    Restore {
        #[command(flatten)]
        store: StoreArguments,
        /// The backup
        #[arg(long, value_name = "FILE")]
        r#in: PathBuf,
        /// A file with the password on its first line
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Put a new key in its place; nodes follow
    Rotate {
        #[command(flatten)]
        store: StoreArguments,
        /// The version of the key to replace [default: the one that is the group's when the command begins]
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
        /// Print what was done as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn execute(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Show { store, json } => {
            let key = store.open().await?.group_key().await?;
            if json { println!("{}", document(&key)) } else { print(&key) }
        }
        KeyCommand::Backup { store, out, password_file } => {
            let key = store.open().await?.back_up_group_key(&out, &password_file).await?;
            println!("The group's key, version {}, is in {}.", key.version, out.display());
            println!("Keep file and password apart from each other: who has both can assign upstreams to every node.");
        }
        KeyCommand::Restore { store, r#in, password_file } => {
            let key = store.open().await?.restore_group_key(&r#in, &password_file).await?;
            println!("The group's key is {}, version {}.", key.public_key, key.version);
            println!("Assignments are made anew, with versions above {}: nodes take them.", key.versions_from);
        }
        KeyCommand::Rotate { store, version, json } => {
            let group = store.open().await?;
            let version = match version {
                Some(version) => version,
                None => group.group_key().await?.version,
            };
            let rotation = group.rotate_group_key(version).await?;
            if json {
                println!("{}", json!({"key": document(&rotation.key), "signed": rotation.signed}));
            } else {
                println!("The group's key is {}, version {}.", rotation.key.public_key, rotation.key.version);
                println!("Assignments signed anew: {}. Make a new backup: farpost group key backup", rotation.signed);
            }
        }
    }
    Ok(())
}

fn print(key: &GroupKeyRecord) {
    println!("public key   {}", key.public_key);
    println!("fingerprint  {}", key.fingerprint);
    println!("version      {}", key.version);
    println!("since        {}", key.since.map_or("the group was made".to_owned(), |since| since.to_string()));
    if key.versions_from > 0 {
        println!("restored     assignments have versions above {}", key.versions_from);
    }
    for former in &key.former {
        println!("before       {former}");
    }
}

fn document(key: &GroupKeyRecord) -> Value {
    json!({
        "public_key": key.public_key,
        "fingerprint": key.fingerprint,
        "version": key.version,
        "since": key.since.map(|since| since.to_string()),
        "versions_from": key.versions_from,
        "former": key.former,
    })
}
