//! The table that fits a terminal: what an operator looks for first, and of the rest what there is room for.

use farpost::{NodeStanding, Overview, Role, Timestamp};

use super::{assigned, certificate, dash, path, queue, standbys, text_or_dash};
use crate::group::age::short_age;
use crate::group::table::fitting_table;

pub(super) fn print(overview: &Overview) {
    fitting_table(HEAD, ALWAYS, overview.nodes.iter().map(|node| row(node, overview.at)));
}

/// What is looked for first in front: a column is shown if there is room behind those before it.
const HEAD: &[&str] = &[
    "NAME",
    "ROLE",
    "STATE",
    "FOR",
    "UPSTREAM",
    "QUEUE",
    "STANDBYS",
    "HEARD",
    "CERTIFICATE",
    "ASSIGNED",
    "DELIVERED",
    "VERSION",
    "ADDRESS",
    "PATH",
];
/// Columns that are there however narrow the terminal is: 100 characters with names of 30.
const ALWAYS: usize = 5;

fn row(node: &NodeStanding, at: Timestamp) -> Vec<String> {
    let since = if node.is_connected() { node.connected_since } else { node.left };
    vec![
        node.name.to_string(),
        role(node.role),
        node.state.to_string(),
        since.map_or_else(dash, |since| short_age(since, at)),
        upstream(node),
        queue(node, at),
        standbys(node),
        node.last_heard.map_or_else(dash, |heard| format!("{} ago", short_age(heard, at))),
        certificate(node, at),
        assigned(node),
        node.cursor.map_or_else(dash, |cursor| cursor.through.to_string()),
        text_or_dash(&node.software),
        text_or_dash(&node.address),
        path(node),
    ]
}

/// In one short word.
fn role(role: Role) -> String {
    if role == Role::ManagementServer { "server".to_owned() } else { role.to_string() }
}

/// What it is connected to, or was at last, and the code that says why not to its primary. Of a server, which has no
/// upstream, whether it is kept from being one.
fn upstream(node: &NodeStanding) -> String {
    if node.excluded {
        return "excluded".to_owned();
    }
    let name = node.upstream.as_ref().or(node.via.first()).or(node.server.as_ref());
    match (name, node.upstream_code) {
        (None, _) => dash(),
        (Some(name), 0) => name.to_string(),
        (Some(name), code) => format!("{name} FP{code:04}"),
    }
}
