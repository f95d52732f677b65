//! What is wrong in a group: each cause once, with how many nodes suffer of it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::group::assignment::Assignment;
use crate::group::record::words;
use crate::group::session::is_recent_return;
use crate::group::site::SiteName;
use crate::group::standing::{NodeStanding, NodeState};
use crate::limits::{EXPIRY_WARNINGS_DAYS, PROBLEM_NAMES_MAX, QUEUE_OLD};
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// Of which kind a problem is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A management server does not renew its lease.
    ServerGone,
    /// A gateway is not connected.
    GatewayGone,
    /// A gateway is connected and overdue with a sign of life.
    GatewaySilent,
    /// A gateway's parent was deleted.
    ParentGone,
    /// What is assigned to nodes or to a site was deleted.
    UpstreamGone,
    /// A management server that is assigned to nodes or to a site is excluded from failover (rule G3).
    UpstreamExcluded,
    /// Two computers take turns with one identity (rule F5).
    IdentityShared,
    /// A certificate is near its end, or past it.
    CertificateEnds,
    /// An upstream that is not in use would not take the node.
    StandbyNotReady,
    /// A node does not hold the assignment that the group has for it.
    AssignmentNotHeld,
    /// A message waits for long at a node that is connected.
    QueueOld,
    /// Agents are not connected, though their gateway or server is there.
    AgentsGone,
    /// Nodes wait for approval.
    Pending,
}

words!(ProblemKind {
    ServerGone = "server-gone",
    GatewayGone = "gateway-gone",
    GatewaySilent = "gateway-silent",
    ParentGone = "parent-gone",
    UpstreamGone = "upstream-gone",
    UpstreamExcluded = "upstream-excluded",
    IdentityShared = "identity-shared",
    CertificateEnds = "certificate-ends",
    StandbyNotReady = "standby-not-ready",
    AssignmentNotHeld = "assignment-not-held",
    QueueOld = "queue-old",
    AgentsGone = "agents-gone",
    Pending = "pending",
});

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// Of which kind.
    pub kind: ProblemKind,
    /// What is to blame: a server, a gateway, a standby; of what nodes have each by themselves, where they are.
    pub subject: Option<Name>,
    /// Since when; of a certificate, when it ends; of a queue, how old its oldest message is.
    pub since: Option<Timestamp>,
    /// Gateways that suffer of it.
    pub gateways: u64,
    /// Agents that suffer of it.
    pub agents: u64,
    /// Some of those, by name.
    pub nodes: Vec<Name>,
    /// Some of the sites that suffer of it, with nodes or without.
    #[serde(default)]
    pub sites: Vec<SiteName>,
    /// More of it for people, such as why a standby is not ready; empty where there is no more to say.
    pub text: String,
}

/// Finds what is wrong, the worst first. `sites` are those that have an assignment, with it.
pub(crate) fn problems(
    standings: &[NodeStanding],
    sites: &[(SiteName, Option<Assignment>)],
    at: Timestamp,
) -> Vec<Problem> {
    let known: HashMap<&Name, &NodeStanding> = standings.iter().map(|node| (&node.name, node)).collect();
    let mut found = Found::default();
    let dead: Vec<&Name> = standings
        .iter()
        .filter(|node| node.role != Role::Agent && matches!(node.state, NodeState::Disconnected | NodeState::Unknown))
        .map(|node| &node.name)
        .collect();
    for node in standings {
        found.state(node, &known);
        found.references(node, &known);
        found.clones(node, at);
        if node.is_connected() {
            found.standbys(node, &dead);
            found.assignment(node);
            found.queue(node, at);
            found.certificate(node, at);
        }
    }
    for (site, assignment) in sites {
        for upstream in assignment.iter().flat_map(Assignment::upstreams) {
            found.upstream_of_site(site, upstream.name(), &known);
        }
    }
    let mut problems: Vec<Problem> = found.0.into_values().collect();
    problems.sort_by(|a, b| {
        let sufferers = |problem: &Problem| problem.gateways + problem.agents;
        let key = |problem: &Problem| (problem.kind, std::cmp::Reverse(sufferers(problem)));
        key(a).cmp(&key(b))
    });
    problems
}

/// By kind, what is to blame, and a number of what tells causes of one kind apart.
#[derive(Default)]
struct Found(BTreeMap<(ProblemKind, Option<Name>, u16), Problem>);

impl Found {
    fn cause(&mut self, kind: ProblemKind, subject: Option<&Name>, number: u16) -> &mut Problem {
        self.0.entry((kind, subject.cloned(), number)).or_insert_with(|| Problem {
            kind,
            subject: subject.cloned(),
            since: None,
            gateways: 0,
            agents: 0,
            nodes: Vec::new(),
            sites: Vec::new(),
            text: String::new(),
        })
    }

    fn state(&mut self, node: &NodeStanding, known: &HashMap<&Name, &NodeStanding>) {
        let place = node.via.first().or(node.server.as_ref());
        match (node.role, node.state) {
            (Role::ManagementServer, NodeState::Disconnected) => {
                self.cause(ProblemKind::ServerGone, Some(&node.name), 0).since = node.left;
            }
            (Role::Gateway, NodeState::Disconnected) => {
                let problem = self.cause(ProblemKind::GatewayGone, Some(&node.name), 0);
                problem.since = node.left.or(node.last_heard);
            }
            (Role::Gateway, NodeState::Silent) => {
                self.cause(ProblemKind::GatewaySilent, Some(&node.name), 0).since = node.last_heard;
            }
            (Role::Gateway | Role::Agent, NodeState::Unknown) => {
                // Whoever is to blame is told itself, by its own state.
                let kind = if node.via.iter().any(|gateway| Some(gateway) == node.behind.as_ref()) {
                    ProblemKind::GatewayGone
                } else {
                    ProblemKind::ServerGone
                };
                let gone = node.behind.as_ref().and_then(|behind| known.get(behind));
                let problem = self.cause(kind, node.behind.as_ref(), 0);
                problem.suffers(node);
                // One that was deleted says nothing itself, and was connected all the same.
                problem.since = problem.since.or(gone.and_then(|gone| gone.left.or(gone.last_heard)));
            }
            // Who never came has no connection to miss.
            (Role::Agent, NodeState::Disconnected) if node.left.is_some() => {
                self.cause(ProblemKind::AgentsGone, place, 0).suffers(node);
            }
            (Role::Gateway | Role::Agent, NodeState::Pending) => {
                let problem = self.cause(ProblemKind::Pending, place, 0);
                problem.suffers(node);
                // Who was connected waits since the group took that back.
                problem.since = earlier(problem.since, node.first_seen.max(node.left));
            }
            _ => {}
        }
    }

    /// What a node depends on by the group's own word and will never have.
    fn references(&mut self, node: &NodeStanding, known: &HashMap<&Name, &NodeStanding>) {
        if matches!(node.state, NodeState::Deleted | NodeState::Rejected) {
            return;
        }
        if let Some(parent) = &node.approved_for
            && let Some((ProblemKind::UpstreamGone, text)) = unusable(parent, known)
        {
            let problem = self.cause(ProblemKind::ParentGone, Some(parent), 0);
            problem.suffers(node);
            text.clone_into(&mut problem.text);
        }
        for upstream in &node.assigned {
            if let Some((kind, text)) = unusable(upstream.name(), known) {
                let problem = self.cause(kind, Some(upstream.name()), 0);
                problem.suffers(node);
                text.clone_into(&mut problem.text);
            }
        }
    }

    fn clones(&mut self, node: &NodeStanding, at: Timestamp) {
        if let Some(seen) = node.clones_seen.filter(|seen| is_recent_return(*seen, at)) {
            let problem = self.cause(ProblemKind::IdentityShared, Some(&node.name), 0);
            problem.suffers(node);
            problem.since = Some(seen);
            format!("FP{:04}", Code::IdentityShared.number()).clone_into(&mut problem.text);
        }
    }

    fn upstream_of_site(&mut self, site: &SiteName, upstream: &Name, known: &HashMap<&Name, &NodeStanding>) {
        let Some((kind, text)) = unusable(upstream, known) else { return };
        let problem = self.cause(kind, Some(upstream), 0);
        text.clone_into(&mut problem.text);
        if problem.sites.len() < PROBLEM_NAMES_MAX {
            problem.sites.push(site.clone());
        }
    }

    /// A standby that is dead is told as what it is, once.
    fn standbys(&mut self, node: &NodeStanding, dead: &[&Name]) {
        for standby in node.standbys.iter().filter(|standby| !standby.ready && standby.proven.is_some()) {
            if dead.contains(&&standby.name) {
                continue;
            }
            let problem = self.cause(ProblemKind::StandbyNotReady, Some(&standby.name), standby.code);
            problem.suffers(node);
            problem.since = earlier(problem.since, standby.proven);
            if problem.text.is_empty() {
                problem.text = format!("FP{:04} {}", standby.code, standby.text).trim_end().to_owned();
            }
        }
    }

    fn assignment(&mut self, node: &NodeStanding) {
        if node.reported.is_some() && node.assignment > node.assignment_held {
            let problem = self.cause(ProblemKind::AssignmentNotHeld, None, u16::from(node.assignment_pending > 0));
            problem.suffers(node);
            if node.assignment_pending > 0 {
                "none of its upstreams was reached yet; the last good one is kept".clone_into(&mut problem.text);
            }
        }
    }

    fn queue(&mut self, node: &NodeStanding, at: Timestamp) {
        let old = i64::try_from(QUEUE_OLD.as_millis()).unwrap_or(i64::MAX);
        if node.oldest.is_some_and(|oldest| at.unix_millis().saturating_sub(oldest.unix_millis()) >= old) {
            let problem = self.cause(ProblemKind::QueueOld, node.via.first().or(node.server.as_ref()), 0);
            problem.suffers(node);
            problem.since = earlier(problem.since, node.oldest);
        }
    }

    fn certificate(&mut self, node: &NodeStanding, at: Timestamp) {
        let Some(until) = node.certificate_until else { return };
        let days = (until.unix_seconds() - at.unix_seconds()).div_euclid(86_400);
        // A week: renewal by itself has been tried for long by then.
        if days < EXPIRY_WARNINGS_DAYS.into_iter().find(|days| *days >= 7).unwrap_or(7) {
            let problem = self.cause(ProblemKind::CertificateEnds, None, 0);
            problem.suffers(node);
            problem.since = earlier(problem.since, Some(until));
        }
    }
}

/// Whether an upstream can never serve as what it is assigned or approved for, and why.
fn unusable(upstream: &Name, known: &HashMap<&Name, &NodeStanding>) -> Option<(ProblemKind, &'static str)> {
    match known.get(upstream) {
        None => Some((ProblemKind::UpstreamGone, "is not in the group")),
        Some(node) if node.role == Role::Gateway && node.state == NodeState::Deleted => {
            Some((ProblemKind::UpstreamGone, "was deleted"))
        }
        Some(node) if node.role == Role::ManagementServer && node.excluded => {
            Some((ProblemKind::UpstreamExcluded, "is excluded from failover"))
        }
        Some(_) => None,
    }
}

impl Problem {
    fn suffers(&mut self, node: &NodeStanding) {
        let count = if node.role == Role::Agent { &mut self.agents } else { &mut self.gateways };
        *count += 1;
        if self.nodes.len() < PROBLEM_NAMES_MAX {
            self.nodes.push(node.name.clone());
        }
    }
}

fn earlier(known: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    known.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
