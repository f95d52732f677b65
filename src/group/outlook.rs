//! Where everybody would go if something failed (rule F3), thought through with what the nodes proved last.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::record::words;
use crate::group::standing::{NodeStanding, NodeState};
use crate::limits::OUTLOOK_DEPTH_MAX;
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// What a failure would do to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outlook {
    /// It would stay where it is.
    Stays,
    /// It would move to an upstream that it has proven.
    Moves,
    /// No upstream would take it.
    Nowhere,
    /// It is not connected, or has not reported; or only upstreams are left that nobody knows of whether they would take
    /// it, such as one that was not tried yet.
    Unknown,
}

words!(Outlook { Stays = "stays", Moves = "moves", Nowhere = "nowhere", Unknown = "unknown", });

/// Where a node would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailoverOutlook {
    /// Which node.
    pub node: Name,
    /// What it is.
    pub role: Role,
    /// What would become of it.
    pub outlook: Outlook,
    /// The upstream that it uses now.
    pub from: Option<Name>,
    /// The upstream that it would use.
    pub to: Option<Name>,
    /// When it proved that one last; none for the one it uses.
    pub proven: Option<Timestamp>,
    /// Why each upstream before that one, or all of them, would not do.
    pub reasons: Vec<String>,
}

/// Whom to think about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Affected {
    /// Every gateway and agent.
    #[default]
    Everybody,
    /// A gateway, and the agents behind it.
    Gateway(Name),
    /// These nodes.
    Nodes(Vec<Name>),
}

/// Thinks a failure of all of `without` through.
///
/// # Errors
///
/// [`Code::NameUnknown`] for a node that the group does not know.
pub(crate) fn failover_outlooks(
    standings: &[NodeStanding],
    affected: &Affected,
    without: &[Name],
) -> Result<Vec<FailoverOutlook>> {
    // A server may have the name of a gateway that once asked in vain or was deleted: the server is who leads on.
    let by_role = [Role::Gateway, Role::ManagementServer, Role::Agent].into_iter();
    let by_role = by_role.flat_map(|role| standings.iter().filter(move |node| node.role == role));
    let nodes: HashMap<&Name, &NodeStanding> = by_role.map(|node| (&node.name, node)).collect();
    check_question(&nodes, affected, without)?;
    let is_affected = |node: &&NodeStanding| match affected {
        Affected::Everybody => matches!(
            node.state,
            NodeState::Connected | NodeState::Silent | NodeState::Disconnected | NodeState::Unknown
        ),
        Affected::Gateway(gateway) => node.name == *gateway || node.via.contains(gateway),
        Affected::Nodes(names) => names.contains(&node.name),
    };
    let mut thinker = Thinker { nodes, without: without.iter().collect(), known: HashMap::new() };
    let of_interest = standings.iter().filter(|node| node.role != Role::ManagementServer).filter(is_affected);
    let of_interest = of_interest.filter(|node| !without.contains(&node.name));
    Ok(of_interest.map(|node| thinker.outlook(&node.name, 0)).collect())
}

/// Whether everybody who is named is known and of a role that can fail, or go elsewhere.
fn check_question(nodes: &HashMap<&Name, &NodeStanding>, affected: &Affected, without: &[Name]) -> Result<()> {
    let asked = match affected {
        Affected::Everybody => &[][..],
        Affected::Gateway(gateway) => std::slice::from_ref(gateway),
        Affected::Nodes(names) => names,
    };
    if let Some(unknown) = asked.iter().chain(without).find(|name| !nodes.contains_key(name)) {
        return Err(Error::new(Code::NameUnknown)
            .subject(unknown.as_str())
            .found("nothing of this name")
            .expected("a node of the group"));
    }
    let of_role = |name: &&Name, is_meant: fn(Role) -> bool| nodes.get(name).is_some_and(|node| is_meant(node.role));
    let other = |name: &Name, found: &str, expected: &str| {
        let error = Error::new(Code::ArgumentInvalid).subject(name.as_str());
        Err(error.found(found).expected(expected))
    };
    if let Some(agent) = without.iter().find(|name| of_role(name, |role| role == Role::Agent)) {
        return other(agent, "an agent", "a management server or a gateway that fails");
    }
    if let Some(server) = asked.iter().find(|name| of_role(name, |role| role == Role::ManagementServer)) {
        return other(server, "a management server", "a gateway or an agent that would go elsewhere");
    }
    if let Affected::Gateway(agent) = affected
        && of_role(&agent, |role| role == Role::Agent)
    {
        return other(agent, "an agent", "a gateway");
    }
    Ok(())
}

struct Thinker<'a> {
    nodes: HashMap<&'a Name, &'a NodeStanding>,
    without: HashSet<&'a Name>,
    known: HashMap<&'a Name, FailoverOutlook>,
}

/// An upstream of a node, as the node knows it.
struct Candidate<'a> {
    name: &'a Name,
    is_in_use: bool,
    proven: Option<Timestamp>,
    /// What the node says where it is not ready.
    doubt: Option<Doubt>,
}

/// Why an upstream would not do.
#[derive(Clone)]
enum Doubt {
    /// It would not.
    Refuses(String),
    /// Nobody knows.
    NotKnown(String),
}

impl<'a> Thinker<'a> {
    fn outlook(&mut self, name: &'a Name, depth: usize) -> FailoverOutlook {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let outlook = self.think(name, depth);
        self.known.insert(name, outlook.clone());
        outlook
    }

    fn think(&mut self, name: &'a Name, depth: usize) -> FailoverOutlook {
        let mut outlook = FailoverOutlook {
            node: name.clone(),
            role: Role::Gateway,
            outlook: Outlook::Unknown,
            from: None,
            to: None,
            proven: None,
            reasons: Vec::new(),
        };
        let Some(node) = self.nodes.get(name).copied() else {
            outlook.reasons.push("it is no node of the group".to_owned());
            return outlook;
        };
        outlook.role = node.role;
        outlook.from.clone_from(&node.upstream);
        if !node.is_connected() || node.reported.is_none() {
            let why = if node.is_connected() { "no report".to_owned() } else { format!("it is {}", node.state) };
            outlook.reasons.push(why);
            return outlook;
        }
        outlook.outlook = Outlook::Nowhere;
        let candidates = candidates(node);
        if candidates.is_empty() {
            outlook.reasons.push("it reports no upstream".to_owned());
        }
        // Who need not move stays: nothing is given back before its time (rule F4).
        let mut is_known = true;
        let (in_use, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.is_in_use);
        for candidate in in_use.into_iter().chain(others) {
            match self.doubt_of(&candidate, depth) {
                Some(doubt) => {
                    is_known &= matches!(doubt, Doubt::Refuses(_));
                    let (Doubt::Refuses(why) | Doubt::NotKnown(why)) = doubt;
                    outlook.reasons.push(format!("{} {why}", candidate.name));
                }
                None => {
                    outlook.outlook = if candidate.is_in_use { Outlook::Stays } else { Outlook::Moves };
                    outlook.proven = candidate.proven;
                    outlook.to = Some(candidate.name.clone());
                    break;
                }
            }
        }
        if outlook.outlook == Outlook::Nowhere && !is_known {
            outlook.outlook = Outlook::Unknown;
        }
        outlook
    }

    /// Why an upstream would not do; none of one that would.
    fn doubt_of(&mut self, candidate: &Candidate<'a>, depth: usize) -> Option<Doubt> {
        let refuses = |why: &str| Some(Doubt::Refuses(why.to_owned()));
        if self.without.contains(candidate.name) {
            return refuses("fails");
        }
        if let Some(doubt @ Doubt::Refuses(_)) = &candidate.doubt {
            return Some(doubt.clone());
        }
        let beyond = self.nodes.get(candidate.name).copied().and_then(|upstream| match upstream.role {
            Role::ManagementServer if upstream.excluded => refuses("is excluded from failover"),
            Role::ManagementServer if upstream.state == NodeState::Disconnected => refuses("does not run"),
            Role::Gateway if depth >= OUTLOOK_DEPTH_MAX => refuses("is in a loop of gateways"),
            Role::Gateway => self.doubt_of_gateway(upstream, depth),
            _ => None,
        });
        match beyond {
            Some(doubt @ Doubt::Refuses(_)) => Some(doubt),
            beyond => candidate.doubt.clone().or(beyond),
        }
    }

    /// A gateway takes somebody if it has somewhere to go itself.
    fn doubt_of_gateway(&mut self, gateway: &'a NodeStanding, depth: usize) -> Option<Doubt> {
        let beyond = self.outlook(&gateway.name, depth + 1);
        match beyond.outlook {
            Outlook::Stays | Outlook::Moves => None,
            Outlook::Nowhere => Some(Doubt::Refuses("would have nowhere to go itself".to_owned())),
            Outlook::Unknown if gateway.is_connected() && gateway.reported.is_some() => {
                Some(Doubt::NotKnown("may have nowhere to go itself".to_owned()))
            }
            Outlook::Unknown => {
                let why = format!("is a gateway of which nothing is known: {}", beyond.reasons.join(", "));
                Some(if gateway.is_connected() { Doubt::NotKnown(why) } else { Doubt::Refuses(why) })
            }
        }
    }
}

/// A node's upstreams in the order in which it tries them: as assigned, else as it reports them.
fn candidates(node: &NodeStanding) -> Vec<Candidate<'_>> {
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let in_use = node.upstream.iter();
    candidates.extend(in_use.map(|name| Candidate { name, is_in_use: true, proven: None, doubt: None }));
    candidates.extend(node.standbys.iter().filter(|standby| node.upstream.as_ref() != Some(&standby.name)).map(
        |standby| {
            let doubt = (!standby.ready).then(|| match (standby.proven, standby.code) {
                (None, _) => Doubt::NotKnown("was not tried yet".to_owned()),
                (Some(_), code) => {
                    Doubt::Refuses(format!("is not ready (FP{code:04} {})", standby.text).replace(" )", ")"))
                }
            });
            Candidate { name: &standby.name, is_in_use: false, proven: standby.proven, doubt }
        },
    ));
    let place = |candidate: &Candidate<'_>| {
        node.assigned.iter().position(|upstream| upstream.name() == candidate.name).unwrap_or(usize::MAX)
    };
    // A stable sort: who is not assigned stays in the order of the report, behind those who are.
    candidates.sort_by_key(place);
    candidates
}

#[cfg(test)]
mod tests;
