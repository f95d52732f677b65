//! What is wrong, in sentences.

use farpost::{Name, Overview, Problem, ProblemKind, SiteName, Timestamp};

use crate::failure::printable;
use crate::group::age::{age, count};

/// A line for each.
pub(super) fn print(overview: &Overview) {
    match overview.problems.len() {
        0 => println!("no problems"),
        number => println!("{}:", count(number as u64, "problem")),
    }
    for problem in &overview.problems {
        println!("  {}", printable(&sentence(problem, overview.at)));
    }
}

fn sentence(problem: &Problem, at: Timestamp) -> String {
    let subject = problem.subject.as_ref().map_or("nobody", Name::as_str);
    let since = problem.since.map_or_else(String::new, |since| format!(" for {}", age(since, at)));
    let by = problem.since.map_or_else(String::new, |since| age(since, at));
    let sufferers = sufferers(problem);
    match problem.kind {
        ProblemKind::ServerGone => format!("{subject} is gone{since}{}", behind(problem)),
        ProblemKind::GatewayGone if problem.since.is_none() => {
            format!("{subject} never connected{}", behind(problem))
        }
        ProblemKind::GatewayGone => format!("{subject} is disconnected{since}{}", behind(problem)),
        ProblemKind::GatewaySilent => format!("{subject} is silent{since}"),
        ProblemKind::ParentGone => {
            format!("{subject} {} and is the parent of {sufferers}{}", problem.text, names(problem))
        }
        ProblemKind::UpstreamGone | ProblemKind::UpstreamExcluded => {
            format!("{subject} {} and is assigned to {}", problem.text, assigned_to(problem))
        }
        ProblemKind::StandbyNotReady => {
            format!("{subject} is no ready standby of {sufferers}{}: {}", names(problem), problem.text)
        }
        ProblemKind::IdentityShared => {
            format!("two computers take turns as {subject}, seen {by} ago: {}", problem.text)
        }
        ProblemKind::CertificateEnds => {
            let end = if problem.since.is_some_and(|until| until <= at) { "ended" } else { "ends in" };
            format!("the certificate of {sufferers} {end} {by}{}", names(problem))
        }
        ProblemKind::AssignmentNotHeld => {
            let why = if problem.text.is_empty() { String::new() } else { format!(": {}", problem.text) };
            format!("the assignment of {sufferers} is not taken up{}{why}", names(problem))
        }
        ProblemKind::QueueOld => format!("messages wait{since} at {sufferers} at {subject}{}", names(problem)),
        ProblemKind::AgentsGone => format!("{sufferers} at {subject} disconnected{}", names(problem)),
        ProblemKind::Pending => format!("{sufferers} at {subject} waiting for approval{since}{}", names(problem)),
        _ => format!("{}: {subject} {}", problem.kind, problem.text),
    }
}

fn sufferers(problem: &Problem) -> String {
    let gateways = (problem.gateways > 0).then(|| count(problem.gateways, "gateway"));
    let agents = (problem.agents > 0).then(|| count(problem.agents, "agent"));
    gateways.into_iter().chain(agents).collect::<Vec<_>>().join(" and ")
}

/// Who has an assignment that will not do: nodes by number, sites by name.
fn assigned_to(problem: &Problem) -> String {
    let nodes = sufferers(problem);
    let nodes = (!nodes.is_empty()).then(|| format!("{nodes}{}", names(problem)));
    let sites: Vec<&str> = problem.sites.iter().map(SiteName::as_str).collect();
    let sites = (!sites.is_empty())
        .then(|| format!("the {} {}", if sites.len() == 1 { "site" } else { "sites" }, sites.join(", ")));
    nodes.into_iter().chain(sites).collect::<Vec<_>>().join(" and ")
}

fn behind(problem: &Problem) -> String {
    if problem.gateways + problem.agents == 0 {
        return String::new();
    }
    format!(": {} unknown behind it", sufferers(problem))
}

/// A few of them, in brackets.
fn names(problem: &Problem) -> String {
    let shown: Vec<&str> = problem.nodes.iter().map(Name::as_str).collect();
    let more = problem.gateways + problem.agents > shown.len() as u64;
    if shown.is_empty() { String::new() } else { format!(" ({}{})", shown.join(", "), if more { ", …" } else { "" }) }
}
