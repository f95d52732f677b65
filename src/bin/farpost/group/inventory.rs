//! What the group knows of its nodes, as tables and as JSON.

use farpost::{AgentRecord, AgentState, AssignmentRecord, GatewayRecord, Inventory, ServerRecord};
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
    table(
        &["GATEWAY", "STATE", "APPROVED FOR", "AT", "ADDRESS", "LAST SEEN"],
        inventory.gateways.iter().map(gateway_row),
    );
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

const AGENT_HEAD: &[&str] = &["AGENT", "STATE", "VIA", "AT", "ADDRESS", "LAST SEEN"];

fn server_row(server: &ServerRecord) -> Vec<String> {
    let failover = if server.excluded { "excluded" } else { "yes" };
    vec![server.name.to_string(), server.address.clone(), failover.to_owned(), server.last_seen.to_string()]
}

fn gateway_row(gateway: &GatewayRecord) -> Vec<String> {
    vec![
        gateway.name.to_string(),
        gateway.state.to_string(),
        text(&gateway.parent),
        text(&gateway.server),
        gateway.address.clone(),
        gateway.last_seen.to_string(),
    ]
}

fn agent_row(agent: &AgentRecord) -> Vec<String> {
    vec![
        agent.name.to_string(),
        agent.state.to_string(),
        text(&agent.via),
        text(&agent.server),
        agent.address.clone(),
        agent.last_seen.to_string(),
    ]
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
        "first_seen": agent.first_seen.to_string(),
        "last_seen": agent.last_seen.to_string(),
    })
}
