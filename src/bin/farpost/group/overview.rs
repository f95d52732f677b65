//! `farpost inventory`: how every node stands, as a table, as a tree and as JSON.

mod brief;
mod problems;
mod tree;

use clap::Args;
use farpost::{Code, Name, NamePattern, NodeFilter, NodeStanding, NodeState, Overview, Role, Timestamp};

use super::age::{age, count};
use super::table::table;
use super::{StoreArguments, wait};
use crate::failure::{Failure, printable};

/// The arguments of `inventory`.
#[derive(Args)]
pub(crate) struct InventoryArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Show it as a tree: servers, gateways, agents
    #[arg(long)]
    tree: bool,
    /// In the tree, list every agent of a large gateway too
    #[arg(long, requires = "tree")]
    all: bool,
    /// Only what is wrong
    #[arg(long)]
    problems: bool,
    /// Only nodes of this role: management-server, gateway, agent
    #[arg(long, value_name = "ROLE")]
    role: Vec<Role>,
    /// Only nodes in this state: connected, silent, disconnected, pending, rejected, deleted, unknown
    #[arg(long, value_name = "STATE")]
    state: Vec<NodeState>,
    /// Only this gateway and who is or was behind it
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Only this management server and who is or was at it
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only nodes whose names match, such as '*.branch.example', or '**.example' for any depth
    #[arg(long, value_name = "PATTERN")]
    name: Option<NamePattern>,
    /// All columns of the table, however wide they are
    #[arg(long, conflicts_with_all = ["tree", "problems", "json"])]
    wide: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// `farpost inventory`.
pub(crate) fn execute(arguments: InventoryArguments) -> Result<(), Failure> {
    wait(async {
        let overview = arguments.store.open().await?.overview(arguments.filter()?).await?;
        arguments.print(&overview)
    })
}

impl InventoryArguments {
    fn filter(&self) -> Result<NodeFilter, Failure> {
        let name = |text: &Option<String>| text.as_deref().map(Name::parse).transpose();
        let mut filter = NodeFilter::default();
        (filter.roles, filter.states) = (self.role.clone(), self.state.clone());
        (filter.gateway, filter.server) = (name(&self.gateway)?, name(&self.server)?);
        filter.name.clone_from(&self.name);
        Ok(filter)
    }

    /// Whether not all nodes are shown.
    fn is_filtered(&self) -> bool {
        let places = [&self.gateway, &self.server];
        !self.role.is_empty() || !self.state.is_empty() || self.name.is_some() || places.iter().any(|one| one.is_some())
    }

    fn print(&self, overview: &Overview) -> Result<(), Failure> {
        if self.json {
            let text =
                if self.problems { serde_json::to_string(&overview.problems) } else { serde_json::to_string(overview) };
            println!("{}", text.map_err(|error| Failure::new(Code::Internal, "the inventory").found(error))?);
            return Ok(());
        }
        if self.problems {
            problems::print(overview);
            return Ok(());
        }
        println!("{}", summary(overview, self.is_filtered()));
        if !overview.problems.is_empty() {
            println!();
            problems::print(overview);
        }
        println!();
        if self.tree {
            tree::print(overview, self.all);
        } else if self.wide {
            table(HEAD, overview.nodes.iter().map(|node| row(node, overview.at)));
        } else {
            brief::print(overview);
        }
        Ok(())
    }
}

/// Of the wide table.
const HEAD: &[&str] = &[
    "NAME",
    "ROLE",
    "STATE",
    "FOR",
    "HEARD",
    "PATH",
    "STANDBYS",
    "QUEUE",
    "DELIVERED",
    "CERTIFICATE",
    "ASSIGNED",
    "VERSION",
    "ADDRESS",
];

/// The group in one line.
fn summary(overview: &Overview, is_filtered: bool) -> String {
    let of_role = |role: Role, what: &str| {
        let all = overview.nodes.iter().filter(|node| node.role == role);
        let connected = all.clone().filter(|node| node.is_connected()).count();
        format!(
            "{} ({connected} {})",
            count(all.count() as u64, what),
            if role == Role::ManagementServer { "run" } else { "connected" }
        )
    };
    format!(
        "management group {}{}: {}, {}, {}",
        printable(&overview.management_group),
        if is_filtered { ", of what was asked for" } else { "" },
        of_role(Role::ManagementServer, "server"),
        of_role(Role::Gateway, "gateway"),
        of_role(Role::Agent, "agent")
    )
}

fn row(node: &NodeStanding, at: Timestamp) -> Vec<String> {
    let since = if node.is_connected() { node.connected_since } else { node.left };
    vec![
        node.name.to_string(),
        node.role.to_string(),
        state(node),
        since.map_or_else(dash, |since| age(since, at)),
        node.last_heard.map_or_else(dash, |heard| format!("{} ago", age(heard, at))),
        path(node),
        standbys(node),
        queue(node, at),
        node.cursor.map_or_else(dash, |cursor| cursor.through.to_string()),
        certificate(node, at),
        assigned(node),
        text_or_dash(&node.software),
        text_or_dash(&node.address),
    ]
}

fn state(node: &NodeStanding) -> String {
    if node.excluded { format!("{}, excluded", node.state) } else { node.state.to_string() }
}

/// The way to its server, and why it is not the one to its primary.
fn path(node: &NodeStanding) -> String {
    let names: Vec<String> = node.via.iter().chain(&node.server).map(ToString::to_string).collect();
    let path = if names.is_empty() { dash() } else { names.join(" > ") };
    match node.upstream_code {
        0 => path,
        code => format!("{path} (failover, FP{code:04})"),
    }
}

fn standbys(node: &NodeStanding) -> String {
    let one = |standby: &farpost::StandbyStanding| match (standby.ready, standby.proven) {
        (true, _) => format!("{} ready", standby.name),
        (false, None) => format!("{} not proven yet", standby.name),
        (false, Some(_)) => format!("{} NOT READY FP{:04}", standby.name, standby.code),
    };
    let all: Vec<String> = node.standbys.iter().map(one).collect();
    if all.is_empty() { dash() } else { all.join(", ") }
}

fn queue(node: &NodeStanding, at: Timestamp) -> String {
    match (node.reported, node.queue_messages, node.oldest) {
        (None, _, _) => dash(),
        (_, 0, _) => "empty".to_owned(),
        (_, messages, None) => messages.to_string(),
        (_, messages, Some(oldest)) => format!("{messages}, oldest {}", age(oldest, at)),
    }
}

fn certificate(node: &NodeStanding, at: Timestamp) -> String {
    match node.certificate_until {
        None => dash(),
        Some(until) if until <= at => format!("ended {} ago", age(until, at)),
        Some(until) => age(until, at),
    }
}

/// The version of its assignment, as it holds it and as the group has it.
fn assigned(node: &NodeStanding) -> String {
    match (node.assignment, node.assignment_held) {
        (0, 0) => dash(),
        (version, _) if node.reported.is_none() => version.to_string(),
        (version, held) if version == held => version.to_string(),
        (version, held) if node.assignment_pending > 0 => format!("{held} of {version}, pending"),
        (version, held) => format!("{held} of {version}"),
    }
}

fn text_or_dash(text: &str) -> String {
    if text.is_empty() { dash() } else { text.to_owned() }
}

fn dash() -> String {
    "-".to_owned()
}
