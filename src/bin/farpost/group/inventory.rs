//! What the group knows of its nodes, as tables and as JSON.

use farpost::{
    AgentRecord, AgentState, AssignmentRecord, GatewayRecord, Inventory, KeyDemand, KeyPin, NamePattern, ServerRecord,
};
use serde_json::{Value, json};

use crate::failure::printable;

/// `farpost inventory`.
pub(super) fn print(inventory: &Inventory, as_json: bool) {
    if as_json {
        println!("{}", document(inventory));
        return;
    }
    println!("management group {}", printable(&inventory.management_group));
    println!();
    table(&["SERVER", "ADDRESS", "FAILOVER", "LAST SEEN"], inventory.servers.iter().map(server_row));
    println!();
    table(GATEWAY_HEAD, inventory.gateways.iter().map(gateway_row));
    println!();
    table(AGENT_HEAD, inventory.agents.iter().map(agent_row));
    println!();
    table(&["ASSIGNED TO", "VERSION", "UPSTREAMS"], inventory.assignments.iter().map(assignment_row));
    println!();
    table(
        &["CURSOR OF", "EPOCH", "DELIVERED"],
        inventory
            .cursors
            .iter()
            .map(|cursor| vec![cursor.agent.to_string(), cursor.epoch.to_string(), cursor.through.to_string()]),
    );
}

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

fn server_row(server: &ServerRecord) -> Vec<String> {
    let failover = if server.excluded { "excluded" } else { "yes" };
    vec![server.name.to_string(), server.address.clone(), failover.to_owned(), server.last_seen.to_string()]
}

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

fn assignment_row(record: &AssignmentRecord) -> Vec<String> {
    vec![record.node.to_string(), record.version.to_string(), upstreams(record).join(", ")]
}

/// Primary, then the failovers.
fn upstreams(record: &AssignmentRecord) -> Vec<String> {
    record.assignment.upstreams().map(ToString::to_string).collect()
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

fn document(inventory: &Inventory) -> Value {
    let cursors = inventory.cursors.iter().map(|cursor| {
        json!({
            "agent": cursor.agent.as_str(),
            "epoch": cursor.epoch.to_string(),
            "through": cursor.through.0,
        })
    });
    json!({
        "management_group": inventory.management_group,
        "change": inventory.change,
        "servers": inventory.servers.iter().map(server_document).collect::<Value>(),
        "gateways": inventory.gateways.iter().map(gateway_document).collect::<Value>(),
        "agents": inventory.agents.iter().map(agent_document).collect::<Value>(),
        "assignments": inventory.assignments.iter().map(assignment_document).collect::<Value>(),
        "cursors": cursors.collect::<Value>(),
    })
}

fn server_document(server: &ServerRecord) -> Value {
    json!({
        "name": server.name.as_str(),
        "address": server.address,
        "excluded": server.excluded,
        "last_seen": server.last_seen.to_string(),
    })
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

fn assignment_document(record: &AssignmentRecord) -> Value {
    json!({ "node": record.node.as_str(), "version": record.version, "upstreams": upstreams(record) })
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
