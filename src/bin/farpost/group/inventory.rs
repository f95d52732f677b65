//! The agents and gateways that the group knows, as tables and as JSON; the table of other lists.

use farpost::{AgentRecord, AgentState, GatewayRecord, KeyDemand, KeyPin, NamePattern};
use serde_json::{Value, json};

use crate::failure::printable;

/// `farpost agent list`.
pub(super) fn print_agents(agents: &[AgentRecord], pending: bool, as_json: bool) {
    let chosen = agents.iter().filter(|agent| !pending || agent.state == AgentState::Pending);
    if as_json {
        println!("{}", chosen.map(agent_document).collect::<Value>());
    } else {
        table(AGENT_HEAD, chosen.map(agent_row));
    }
}

/// `farpost gateway list`.
pub(super) fn print_gateways<'g>(gateways: impl Iterator<Item = &'g GatewayRecord>, as_json: bool) {
    if as_json {
        println!("{}", gateways.map(gateway_document).collect::<Value>());
    } else {
        table(GATEWAY_HEAD, gateways.map(gateway_row));
    }
}

const AGENT_HEAD: &[&str] =
    &["AGENT", "STATE", "BY", "VIA", "AT", "ADDRESS", "FIRST SEEN", "LAST SEEN", "FORGOTTEN", "KEY", "PIN"];
const GATEWAY_HEAD: &[&str] = &[
    "GATEWAY",
    "STATE",
    "APPROVED FOR",
    "AGENTS",
    "VIA",
    "AT",
    "ADDRESS",
    "FIRST SEEN",
    "LAST SEEN",
    "FORGOTTEN",
    "KEY",
    "PIN",
];

fn gateway_row(gateway: &GatewayRecord) -> Vec<String> {
    vec![
        gateway.name.to_string(),
        gateway.state.to_string(),
        text(&gateway.parent),
        if gateway.agents.is_empty() { "any".to_owned() } else { patterns(gateway).join(" ") },
        text(&gateway.via),
        text(&gateway.server),
        gateway.address.clone(),
        gateway.first_seen.to_string(),
        gateway.last_seen.to_string(),
        text(&gateway.expires()),
        text(&gateway.key_fingerprint()),
        pin(&gateway.pin),
    ]
}

fn agent_row(agent: &AgentRecord) -> Vec<String> {
    vec![
        agent.name.to_string(),
        agent.state.to_string(),
        agent.rule.as_ref().map_or_else(|| "-".to_owned(), |rule| format!("rule {rule}")),
        text(&agent.via),
        text(&agent.server),
        agent.address.clone(),
        agent.first_seen.to_string(),
        agent.last_seen.to_string(),
        text(&agent.expires()),
        text(&agent.key_fingerprint()),
        pin(&agent.pin),
    ]
}

/// What is demanded of a key, and that another one was refused.
fn pin(pin: &KeyPin) -> String {
    let demand = match pin.demand {
        KeyDemand::Any => "-".to_owned(),
        KeyDemand::First => "first".to_owned(),
        demand => format!("{:.16}…", demand.to_string()),
    };
    match (pin.refused_at, pin.refused_fingerprint()) {
        (Some(at), Some(key)) => format!("{demand} REFUSED {key} at {at}"),
        _ => demand,
    }
}

fn patterns(gateway: &GatewayRecord) -> Vec<&str> {
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
    value.as_ref().map_or("-".to_owned(), ToString::to_string)
}

/// Columns as wide as their widest cell.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let width = |column: usize| {
        [&head].into_iter().chain(&rows).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    for row in [&head].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column).unwrap_or(0)));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn gateway_document(gateway: &GatewayRecord) -> Value {
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

fn agent_document(agent: &AgentRecord) -> Value {
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
