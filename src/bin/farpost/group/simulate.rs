//! `farpost failover simulate`: where everybody would go if something failed.

use clap::Args;
use farpost::{Code, FailoverOutlook, Name, Outlook, Timestamp};

use super::age::clock;
use super::table::table;
use super::{StoreArguments, wait};
use crate::failure::{Failure, printable};

/// The arguments of `failover simulate`.
#[derive(Args)]
pub(crate) struct SimulateArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// What fails: a management server or a gateway; may be given again
    #[arg(long, value_name = "NAME", required = true)]
    without: Vec<String>,
    /// Only this gateway, and the agents behind it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["agent", "site"])]
    gateway: Option<String>,
    /// Only this agent; may be given again
    #[arg(long, value_name = "NAME", conflicts_with = "site")]
    agent: Vec<String>,
    /// Only the gateways and agents of this site
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Fails if somebody would have nowhere to go.
pub(crate) fn execute(arguments: SimulateArguments) -> Result<(), Failure> {
    wait(async {
        let SimulateArguments { store, without, gateway, agent, site, json } = arguments;
        let group = store.open().await?;
        let outlooks = match (&gateway, &site) {
            (Some(gateway), _) => group.simulate_failover_of_gateway(gateway, &without).await?,
            (None, Some(site)) => group.simulate_failover_of_site(site, &without).await?,
            (None, None) if agent.is_empty() => group.simulate_failover(&without).await?,
            (None, None) => group.simulate_failover_of(&agent, &without).await?,
        };
        if json {
            let text = serde_json::to_string(&outlooks);
            println!("{}", text.map_err(|error| Failure::new(Code::Internal, "the outlook").found(error))?);
        } else {
            let now = crate::clock::now();
            table(&["NODE", "ROLE", "NOW", "THEN"], outlooks.iter().map(|outlook| row(outlook, now)));
        }
        verdict(&outlooks)
    })
}

fn verdict(outlooks: &[FailoverOutlook]) -> Result<(), Failure> {
    let nowhere: Vec<&str> = outlooks
        .iter()
        .filter(|outlook| outlook.outlook == Outlook::Nowhere)
        .map(|outlook| outlook.node.as_str())
        .collect();
    match nowhere.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(Code::FailoverNowhere, printable(first))
            .found(format!("{} of {} nodes with nowhere to go", nowhere.len(), outlooks.len()))
            .expected("a ready upstream for each")),
    }
}

fn row(outlook: &FailoverOutlook, now: Timestamp) -> Vec<String> {
    let from = outlook.from.as_ref().map_or("-", Name::as_str).to_owned();
    vec![outlook.node.to_string(), outlook.role.to_string(), from, then(outlook, now)]
}

fn then(outlook: &FailoverOutlook, now: Timestamp) -> String {
    let to = outlook.to.as_ref().map_or("-", Name::as_str);
    let reasons = outlook.reasons.join("; ");
    match (outlook.outlook, outlook.proven) {
        (Outlook::Stays, _) => format!("stays at {to}"),
        (Outlook::Moves, Some(proven)) => format!("→ {to} (ready, proven {})", clock(proven, now)),
        (Outlook::Moves, None) => format!("→ {to} (ready)"),
        (Outlook::Nowhere, _) => format!("→ nowhere: {reasons}"),
        _ => format!("unknown ({reasons})"),
    }
}
