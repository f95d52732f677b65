//! `farpost agent show` and `farpost gateway show`: all that the group remembers of one node, with whole fingerprints.

use clap::Args;
use farpost::{Code, KeyPin, Name, Timestamp};
use serde_json::Value;

use super::age::age;
use super::{StoreArguments, lists};
use crate::clock;
use crate::failure::{Failure, printable};

/// Which one.
#[derive(Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Its name
    name: Name,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// `farpost agent show`.
pub(super) async fn agent(arguments: ShowArguments) -> Result<(), Failure> {
    let agents = arguments.store.open().await?.agents().await?;
    let Some(agent) = agents.iter().find(|agent| agent.name == arguments.name) else {
        return Err(unknown(&arguments.name, "an agent", "farpost agent list"));
    };
    let rows = [
        ("agent", Some(agent.name.to_string())),
        ("state", Some(agent.state.to_string())),
        ("by", agent.rule.as_ref().map(|rule| format!("rule {rule}"))),
        ("via", agent.via.as_ref().map(ToString::to_string)),
        ("server", agent.server.as_ref().map(ToString::to_string)),
        ("address", Some(agent.address.clone())),
        ("software", Some(agent.software.clone())),
        ("first seen", agent.key_fingerprint().map(|_| before(agent.first_seen))),
        ("last seen", Some(agent.key_fingerprint().map_or("never".to_owned(), |_| before(agent.last_seen)))),
        ("forgotten", agent.expires().map(after)),
        ("key", agent.key_fingerprint()),
    ];
    arguments.print(&lists::agent_document(agent), rows.into_iter().chain(pinned(&agent.pin)));
    Ok(())
}

/// `farpost gateway show`.
pub(super) async fn gateway(arguments: ShowArguments) -> Result<(), Failure> {
    let gateways = arguments.store.open().await?.gateways().await?;
    let Some(gateway) = gateways.iter().find(|gateway| gateway.name == arguments.name) else {
        return Err(unknown(&arguments.name, "a gateway", "farpost gateway list"));
    };
    let agents = if gateway.agents.is_empty() { "any".to_owned() } else { lists::patterns(gateway).join(" ") };
    let rows = [
        ("gateway", Some(gateway.name.to_string())),
        ("state", Some(gateway.state.to_string())),
        ("approved for", gateway.parent.as_ref().map(ToString::to_string)),
        ("agents", Some(agents)),
        ("via", gateway.via.as_ref().map(ToString::to_string)),
        ("server", gateway.server.as_ref().map(ToString::to_string)),
        ("address", Some(gateway.address.clone())),
        ("software", Some(gateway.software.clone())),
        ("first seen", gateway.key_fingerprint().map(|_| before(gateway.first_seen))),
        ("last seen", Some(gateway.key_fingerprint().map_or("never".to_owned(), |_| before(gateway.last_seen)))),
        ("forgotten", gateway.expires().map(after)),
        ("key", gateway.key_fingerprint()),
    ];
    arguments.print(&lists::gateway_document(gateway), rows.into_iter().chain(pinned(&gateway.pin)));
    Ok(())
}

impl ShowArguments {
    /// What nothing is known of is left out.
    fn print(&self, document: &Value, rows: impl Iterator<Item = (&'static str, Option<String>)>) {
        if self.json {
            println!("{document}");
            return;
        }
        for (label, value) in rows {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                println!("{label:<12}  {}", printable(&value));
            }
        }
    }
}

fn unknown(name: &Name, what: &str, list: &str) -> Failure {
    let error = Failure::new(Code::NameUnknown, name).found(format!("no name that is {what}'s"));
    error.expected(format!("{what} of the group")).remedy(format!("look at {list}"))
}

fn pinned(pin: &KeyPin) -> [(&'static str, Option<String>); 2] {
    let at = pin.refused_at.map_or_else(String::new, |at| format!(" at {at}"));
    [("pin", Some(pin.demand.to_string())), ("refused key", pin.refused_fingerprint().map(|key| format!("{key}{at}")))]
}

fn before(time: Timestamp) -> String {
    format!("{time} ({} ago)", age(time, clock::now()))
}

fn after(time: Timestamp) -> String {
    format!("{time} (in {})", age(time, clock::now()))
}
