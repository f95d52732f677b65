//! The agents and gateways that the group knows, as tables and as JSON.

use std::net::SocketAddr;

use clap::Args;
use farpost::{AgentRecord, AgentState, GatewayRecord, GatewayState, KeyDemand, KeyPin, NamePattern, Timestamp};
use serde_json::{Value, json};

use super::StoreArguments;
use super::age::short_age;
use super::table::{ANY, NOTHING, brief_table};
use crate::clock;
use crate::failure::Failure;

/// Which of them, and how.
#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Only those that wait for approval
    #[arg(long)]
    pending: bool,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// `farpost agent list`.
pub(super) async fn agents(arguments: ListArguments) -> Result<(), Failure> {
    let agents = arguments.store.open().await?.agents().await?;
    let chosen = agents.iter().filter(|agent| !arguments.pending || agent.state == AgentState::Pending);
    if arguments.json {
        println!("{}", chosen.map(agent_document).collect::<Value>());
    } else {
        let now = clock::now();
        brief_table(AGENT_HEAD, chosen.map(|agent| agent_row(agent, now)).collect());
    }
    Ok(())
}

/// `farpost gateway list`.
pub(super) async fn gateways(arguments: ListArguments) -> Result<(), Failure> {
    let gateways = arguments.store.open().await?.gateways().await?;
    let chosen = gateways.iter().filter(|gateway| !arguments.pending || gateway.state == GatewayState::Pending);
    if arguments.json {
        println!("{}", chosen.map(gateway_document).collect::<Value>());
    } else {
        let now = clock::now();
        brief_table(GATEWAY_HEAD, chosen.map(|gateway| gateway_row(gateway, now)).collect());
    }
    Ok(())
}

const AGENT_HEAD: &[&str] = &["AGENT", "STATE", "BY", "THROUGH", "ADDRESS", "FIRST", "LAST", "FORGOTTEN", "KEY", "PIN"];
const GATEWAY_HEAD: &[&str] =
    &["GATEWAY", "STATE", "APPROVED FOR", "AGENTS", "THROUGH", "ADDRESS", "FIRST", "LAST", "FORGOTTEN", "KEY", "PIN"];

fn gateway_row(gateway: &GatewayRecord, now: Timestamp) -> Vec<String> {
    vec![
        gateway.name.to_string(),
        gateway.state.to_string(),
        text(&gateway.parent),
        if gateway.agents.is_empty() { ANY.to_owned() } else { patterns(gateway).join(" ") },
        // Of most it is what they are approved for.
        text(
            &gateway
                .via
                .as_ref()
                .or(gateway.server.as_ref())
                .filter(|through| gateway.parent.as_ref() != Some(through)),
        ),
        without_port(&gateway.address),
        ago(gateway.first_seen, gateway.key_fingerprint().is_some(), now),
        ago(gateway.last_seen, gateway.key_fingerprint().is_some(), now),
        gateway.expires().map_or(NOTHING.to_owned(), |at| format!("in {}", short_age(at, now))),
        short(gateway.key_fingerprint()),
        pin(&gateway.pin),
    ]
}

fn agent_row(agent: &AgentRecord, now: Timestamp) -> Vec<String> {
    vec![
        agent.name.to_string(),
        agent.state.to_string(),
        agent.rule.as_ref().map_or_else(|| NOTHING.to_owned(), |rule| format!("rule {rule}")),
        text(&agent.via.as_ref().or(agent.server.as_ref())),
        without_port(&agent.address),
        ago(agent.first_seen, agent.key_fingerprint().is_some(), now),
        ago(agent.last_seen, agent.key_fingerprint().is_some(), now),
        agent.expires().map_or(NOTHING.to_owned(), |at| format!("in {}", short_age(at, now))),
        short(agent.key_fingerprint()),
        pin(&agent.pin),
    ]
}

/// How long ago. Who was approved and never came was not seen at that time.
fn ago(time: Timestamp, came: bool, now: Timestamp) -> String {
    if came { short_age(time, now) } else { "never".to_owned() }
}

/// The port that a node dials from says nothing to people; `show` and JSON have it.
fn without_port(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) if address.is_empty() => NOTHING.to_owned(),
        Err(_) => address.to_owned(),
    }
}

/// The beginning of a fingerprint: enough to tell keys apart by eye. `show` and JSON have the whole.
fn short(fingerprint: Option<String>) -> String {
    fingerprint.map_or(NOTHING.to_owned(), |key| key.chars().take(8).collect())
}

/// What is demanded of a key, and that another one was refused.
fn pin(pin: &KeyPin) -> String {
    let demand = match pin.demand {
        KeyDemand::Any => None,
        KeyDemand::First => Some("first".to_owned()),
        demand => Some(short(Some(demand.to_string()))),
    };
    let refused = pin.refused_fingerprint().map(|key| format!("REFUSED {}", short(Some(key))));
    let all: Vec<String> = demand.into_iter().chain(refused).collect();
    if all.is_empty() { NOTHING.to_owned() } else { all.join(" ") }
}

pub(super) fn patterns(gateway: &GatewayRecord) -> Vec<&str> {
    gateway.agents.iter().map(NamePattern::as_str).collect()
}

fn pin_document(pin: &KeyPin) -> Value {
    json!({
        "demand": pin.demand.to_string(),
        "refused_key": pin.refused_fingerprint(),
        "refused_at": pin.refused_at.map(|at| at.to_string()),
    })
}

fn text(value: &Option<impl ToString>) -> String {
    value.as_ref().map_or(NOTHING.to_owned(), ToString::to_string)
}

pub(super) fn gateway_document(gateway: &GatewayRecord) -> Value {
    json!({
        "name": gateway.name.as_str(),
        "state": gateway.state.as_str(),
        "approved_for": gateway.parent.as_ref().map(|name| name.as_str()),
        "via": gateway.via.as_ref().map(|name| name.as_str()),
        "server": gateway.server.as_ref().map(|name| name.as_str()),
        "address": gateway.address,
        "software": gateway.software,
        "key": gateway.key_fingerprint(),
        "pin": pin_document(&gateway.pin),
        "agents": patterns(gateway),
        "expires": gateway.expires().map(|at| at.to_string()),
        "first_seen": gateway.first_seen.to_string(),
        "last_seen": gateway.last_seen.to_string(),
    })
}

pub(super) fn agent_document(agent: &AgentRecord) -> Value {
    json!({
        "name": agent.name.as_str(),
        "state": agent.state.as_str(),
        "via": agent.via.as_ref().map(|name| name.as_str()),
        "server": agent.server.as_ref().map(|name| name.as_str()),
        "address": agent.address,
        "software": agent.software,
        "key": agent.key_fingerprint(),
        "pin": pin_document(&agent.pin),
        "rule": agent.rule.as_ref().map(|rule| rule.as_str()),
        "expires": agent.expires().map(|at| at.to_string()),
        "first_seen": agent.first_seen.to_string(),
        "last_seen": agent.last_seen.to_string(),
    })
}
