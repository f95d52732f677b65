use super::*;
use crate::group::standing::Facts;
use crate::group::standing::testing::*;
use crate::group::{AgentState, GatewayState};

/// Kind, subject, gateways, agents.
fn found(facts: Facts) -> Vec<(ProblemKind, String, u64, u64)> {
    let at = facts.at;
    let brief = |problem: Problem| {
        let subject = problem.subject.map_or_else(String::new, |name| name.to_string());
        (problem.kind, subject, problem.gateways, problem.agents)
    };
    problems(&facts.standings(), &[], at).into_iter().map(brief).collect()
}

#[test]
fn a_group_in_which_all_is_well_has_no_problems() {
    assert_eq!(found(facts()), []);
}

#[test]
fn a_dead_gateway_is_one_problem_however_many_agents_are_behind_it() {
    let mut facts = facts();
    for number in 10..422 {
        let agent = format!("pc{number}");
        facts.agents.push(agent_record(&agent, AgentState::Approved));
        facts.presences.push(present(&agent, Role::Agent, &["gw1"], "ms1"));
    }
    facts.kill_gateway("gw1");
    // pc3 has the dead one as its standby, which is known already.
    let standby = &mut facts.report("pc3").standbys[0];
    (standby.ready, standby.code) = (false, 2101);
    let at = facts.at;
    let problems = problems(&facts.standings(), &[], at);
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    assert_eq!((problem.kind, problem.subject.as_ref()), (ProblemKind::GatewayGone, Some(&name("gw1"))));
    assert_eq!((problem.gateways, problem.agents), (0, 414));
    assert_eq!(problem.since, Some(super::super::standing::testing::at(NOW - 20)));
    assert_eq!(problem.nodes.len(), PROBLEM_NAMES_MAX);
}

#[test]
fn a_deleted_gateway_that_knocks_again_was_connected_and_waits_since_it_was_deleted() {
    let mut facts = facts();
    facts.gateways[0].state = GatewayState::Pending;
    facts.kill_gateway("gw1");
    let at_deletion = Some(at(NOW - 20));
    let brief = |problem: &Problem| (problem.kind, problem.subject.clone(), problem.since, problem.agents);
    let moment = facts.at;
    let problems = problems(&facts.standings(), &[], moment);
    let expected = [
        (ProblemKind::GatewayGone, Some(name("gw1")), at_deletion, 2),
        (ProblemKind::Pending, Some(name("ms1")), at_deletion, 0),
    ];
    assert_eq!(problems.iter().map(brief).collect::<Vec<_>>(), expected);
}

#[test]
fn a_dead_server_is_one_problem_with_all_behind_it() {
    let mut facts = facts();
    facts.kill_server("ms1");
    assert_eq!(found(facts), [(ProblemKind::ServerGone, "ms1".to_owned(), 2, 3)]);
}

#[test]
fn a_standby_that_is_not_ready_is_one_problem_by_its_cause() {
    let mut facts = facts();
    for (node, code) in [("gw1", 2103), ("gw2", 2103), ("pc1", 1202), ("pc2", 1202), ("pc3", 2104)] {
        let standby = &mut facts.report(node).standbys[0];
        (standby.ready, standby.code, standby.text) = (false, code, "why".to_owned());
    }
    // Not tried yet is no problem.
    facts.report("pc3").standbys[0].proven = None;
    let expected = [
        (ProblemKind::StandbyNotReady, "gw2".to_owned(), 0, 2),
        (ProblemKind::StandbyNotReady, "ms2".to_owned(), 2, 0),
    ];
    assert_eq!(found(facts), expected);
}

#[test]
fn everything_else_that_is_wrong_is_told_once_by_its_place() {
    let mut facts = facts();
    facts.assign("pc1", 3, "gw1", &[]);
    facts.assign("pc2", 3, "gw1", &[]);
    facts.report("pc2").assignment_version = 3;
    let report = facts.report("gw2");
    (report.queue_messages, report.oldest) = (9, Some(at(NOW - 601)));
    report.certificate_until = Some(at(NOW + 6 * 86_400));
    facts.report("gw1").certificate_until = Some(at(NOW - 1));
    let report = facts.report("pc3");
    (report.queue_messages, report.oldest) = (9, Some(at(NOW - 599)));
    for (number, via) in [(10, "gw1"), (11, "gw1"), (12, "gw2")] {
        let mut agent = agent_record(&format!("pc{number}"), AgentState::Pending);
        agent.via = Some(name(via));
        facts.agents.push(agent);
    }
    facts.gateways.push(gateway_record("gw3", GatewayState::Pending));
    facts.row("pc3").left = Some(at(NOW - 500));
    facts.row("gw1").silent = Some(at(NOW - 40));
    let expected = [
        (ProblemKind::GatewaySilent, "gw1".to_owned(), 0, 0),
        (ProblemKind::CertificateEnds, String::new(), 2, 0),
        (ProblemKind::AssignmentNotHeld, String::new(), 0, 1),
        (ProblemKind::QueueOld, "ms1".to_owned(), 1, 0),
        (ProblemKind::AgentsGone, "gw2".to_owned(), 0, 1),
        (ProblemKind::Pending, "gw1".to_owned(), 0, 2),
        (ProblemKind::Pending, "gw2".to_owned(), 0, 1),
        (ProblemKind::Pending, "ms1".to_owned(), 1, 0),
    ];
    assert_eq!(found(facts), expected);
}

#[test]
fn g3_a_deleted_parent_and_upstreams_that_are_deleted_or_excluded_are_told_once_each() {
    let mut facts = facts();
    // gw3 and gw4 are behind the deleted gw2; gw5 was deleted too, and misses nothing.
    facts.gateways[1].state = GatewayState::Deleted;
    for (gateway, state) in
        [("gw3", GatewayState::Approved), ("gw4", GatewayState::Approved), ("gw5", GatewayState::Deleted)]
    {
        let mut record = gateway_record(gateway, state);
        record.parent = Some(name("gw2"));
        facts.gateways.push(record);
        facts.presences.push(present(gateway, Role::Gateway, &["gw1"], "ms1"));
    }
    facts.servers[1].excluded = true;
    facts.assign("pc1", 1, "gw1", &["ms2"]);
    facts.assign("pc2", 1, "gw1", &["gw2", "ms2"]);
    facts.assign("gw1", 1, "ms1", &["ms2"]);
    facts.agents[2].state = AgentState::Rejected;
    facts.assign("pc3", 1, "ms2", &[]);
    for record in &mut facts.presences {
        record.report = None;
    }
    let at = facts.at;
    let site = |text: &str| SiteName::parse(text).unwrap();
    let upstreams = |primary, failover| Some(Assignment::primary(primary).unwrap().failover(failover).unwrap());
    let sites = [
        (site("empty"), upstreams("gw9", "ms2")),
        (site("without"), None),
        (site("well"), upstreams("ms1", "gw1")),
        (site("old"), upstreams("ms1", "gw2")),
    ];
    let problems = problems(&facts.standings(), &sites, at);
    let told: Vec<_> = problems
        .iter()
        .map(|problem| {
            let names = |all: Vec<&str>| all.join(" ");
            let nodes = names(problem.nodes.iter().map(Name::as_str).collect());
            let sites = names(problem.sites.iter().map(SiteName::as_str).collect());
            let subject = problem.subject.as_ref().map_or("", Name::as_str);
            format!("{} {subject} {}: {nodes}; {sites}", problem.kind, problem.text)
        })
        .collect();
    let expected = [
        "parent-gone gw2 was deleted: gw3 gw4; ",
        "upstream-gone gw2 was deleted: pc2; old",
        "upstream-gone gw9 is not in the group: ; empty",
        "upstream-excluded ms2 is excluded from failover: gw1 pc1 pc2; empty",
    ];
    assert_eq!(told, expected);
}

#[test]
fn f5_two_computers_that_took_turns_are_told_for_ten_minutes() {
    for (ago, expected) in [(0, true), (599, true), (600, false)] {
        let mut facts = facts();
        facts.clones = vec![(name("pc1"), at(NOW - ago))];
        let told = expected.then(|| (ProblemKind::IdentityShared, "pc1".to_owned(), 0, 1));
        assert_eq!(found(facts), told.into_iter().collect::<Vec<_>>(), "{ago} s ago");
    }
}
