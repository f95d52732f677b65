//! The group as a tree: servers, the gateways at them, the agents behind those.

use std::collections::BTreeMap;

use farpost::{Name, NodeStanding, NodeState, Overview, Role, Timestamp};

use super::{assigned, path, queue, standbys, state};
use crate::failure::printable;
use crate::group::age::{age, count};

/// Agents in one state at one place that are listed one by one; more are one line.
const LISTED_MAX: usize = 50;
/// Deeper than gateways may be chained.
const DEPTH_MAX: usize = 12;

/// What hangs on what.
struct Tree<'o> {
    children: BTreeMap<Option<&'o Name>, Vec<&'o NodeStanding>>,
    at: Timestamp,
    is_full: bool,
}

pub(super) fn print(overview: &Overview, is_full: bool) {
    let mut children: BTreeMap<Option<&Name>, Vec<&NodeStanding>> = BTreeMap::new();
    for node in overview.nodes.iter().filter(|node| node.role != Role::ManagementServer) {
        children.entry(node.via.first().or(node.server.as_ref())).or_default().push(node);
    }
    let mut tree = Tree { children, at: overview.at, is_full };
    for server in overview.nodes.iter().filter(|node| node.role == Role::ManagementServer) {
        println!("{}", printable(&tree.line(server)));
        tree.print_below(&server.name, "", 0);
    }
    // What is left hangs on somebody who is not in the list: gateways before those who hang on them.
    while let Some(place) = tree.next_place() {
        println!("{}", place.map_or("(nowhere yet)", Name::as_str));
        let nodes = tree.children.remove(&place).unwrap_or_default();
        tree.print_nodes(nodes, "", 0);
    }
}

impl<'o> Tree<'o> {
    /// A place that is not itself one of the nodes that are left; any one, if all are.
    fn next_place(&self) -> Option<Option<&'o Name>> {
        let is_left = |place: &&Option<&'o Name>| {
            place.is_some_and(|name| self.children.values().flatten().any(|node| node.name == *name))
        };
        let mut places = self.children.keys();
        places.clone().find(|place| !is_left(place)).or(places.next()).copied()
    }

    fn print_below(&mut self, name: &'o Name, indent: &str, depth: usize) {
        if let Some(nodes) = self.children.remove(&Some(name)).filter(|_| depth < DEPTH_MAX) {
            self.print_nodes(nodes, indent, depth);
        }
    }

    fn print_nodes(&mut self, nodes: Vec<&'o NodeStanding>, indent: &str, depth: usize) {
        let mut of_state: BTreeMap<NodeState, usize> = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.role == Role::Agent) {
            *of_state.entry(node.state).or_default() += 1;
        }
        of_state.retain(|_, number| *number > LISTED_MAX && !self.is_full);
        let is_summed = |node: &NodeStanding| node.role == Role::Agent && of_state.contains_key(&node.state);
        let listed: Vec<&NodeStanding> = nodes.into_iter().filter(|node| !is_summed(node)).collect();
        let mut left = listed.len() + of_state.len();
        let mut branch = || {
            left -= 1;
            if left == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") }
        };
        let branches: Vec<_> = listed.iter().map(|node| (*node, branch())).collect();
        for (node, (mark, below)) in branches {
            println!("{indent}{mark}{}", printable(&self.line(node)));
            self.print_below(&node.name, &format!("{indent}{below}"), depth + 1);
        }
        for (state, number) in of_state {
            println!("{indent}{}{} {state}", branch().0, count(number as u64, "agent"));
        }
    }

    fn line(&self, node: &NodeStanding) -> String {
        let mut line = format!("{}  {}", node.name, state(node));
        let since = if node.is_connected() { node.connected_since } else { node.left };
        line.extend(since.map(|since| format!(" for {}", age(since, self.at))));
        if node.upstream_code != 0 {
            line.push_str(&format!("  {}", path(node)));
        }
        if !node.standbys.is_empty() {
            line.push_str(&format!("  standby {}", standbys(node)));
        }
        if node.queue_messages > 0 {
            line.push_str(&format!("  queue {}", queue(node, self.at)));
        }
        if node.assignment != node.assignment_held && node.reported.is_some() {
            line.push_str(&format!("  assignment {}", assigned(node)));
        }
        line
    }
}
