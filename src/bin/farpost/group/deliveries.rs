//! `farpost deliveries keep` and `farpost deliveries show`: how long the store keeps what agents delivered.

use clap::Subcommand;

use crate::failure::Failure;
use crate::group::StoreArguments;

/// The subcommands of `deliveries`.
#[derive(Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// Keep deliveries for so many whole days beside today; what is older is pruned, read or not
    Keep {
        #[command(flatten)]
        store: StoreArguments,
        /// Days such as 30d, or forever
        #[arg(value_parser = keep)]
        time: Keep,
    },
    /// How long deliveries are kept, and the oldest there is
    Show {
        #[command(flatten)]
        store: StoreArguments,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// For so many days, or for ever.
#[derive(Clone, Copy)]
pub(crate) struct Keep(Option<u32>);

fn keep(text: &str) -> Result<Keep, String> {
    if text == "forever" {
        return Ok(Keep(None));
    }
    let days = text.strip_suffix('d').and_then(|digits| digits.parse().ok());
    days.map(|days| Keep(Some(days))).ok_or_else(|| "days such as 30d, or forever".to_owned())
}

fn words(days: Option<u32>) -> String {
    days.map_or("for ever".to_owned(), |days| format!("for {days} days"))
}

pub(super) async fn execute(command: DeliveriesCommand) -> Result<(), Failure> {
    match command {
        DeliveriesCommand::Keep { store, time: Keep(days) } => {
            store.open().await?.keep_deliveries(days).await?;
            println!("deliveries are kept {}", words(days));
        }
        DeliveriesCommand::Show { store, json } => {
            let kept = store.open().await?.deliveries_kept().await?;
            if json {
                println!("{}", serde_json::json!(kept));
            } else {
                let oldest =
                    kept.oldest.map_or("there are none".to_owned(), |oldest| format!("the oldest is of {oldest}"));
                println!("deliveries are kept {}; {oldest}", words(kept.days));
            }
        }
    }
    Ok(())
}
