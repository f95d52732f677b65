use super::*;
use crate::group::GatewayState;
use crate::group::standing::Facts;
use crate::group::standing::testing::*;

fn outlooks(facts: Facts, affected: &Affected, without: &[&str]) -> Vec<String> {
    let without: Vec<Name> = without.iter().map(|text| name(text)).collect();
    let outlooks = failover_outlooks(&facts.standings(), affected, &without).unwrap();
    let brief = |outlook: FailoverOutlook| {
        let to = outlook.to.map_or_else(|| outlook.reasons.join("; "), |name| name.to_string());
        format!("{} {} {to}", outlook.node, outlook.outlook)
    };
    outlooks.into_iter().map(brief).collect()
}

#[test]
fn without_its_server_a_gateway_goes_to_its_proven_standby_and_its_agents_stay() {
    let expected = ["gw1 moves ms2", "gw2 moves ms2", "pc1 stays gw1", "pc2 stays gw1", "pc3 stays gw2"];
    assert_eq!(outlooks(facts(), &Affected::Everybody, &["ms1"]), expected);
    let of_gateway = Affected::Gateway(name("gw1"));
    let expected = ["gw1 moves ms2", "pc1 stays gw1", "pc2 stays gw1"];
    assert_eq!(outlooks(facts(), &of_gateway, &["ms1"]), expected);
    assert_eq!(outlooks(facts(), &Affected::Nodes(vec![name("pc3")]), &["ms2"]), ["pc3 stays gw2"]);
}

#[test]
fn without_their_gateway_agents_go_to_the_other_one_in_the_order_of_their_assignment() {
    let expected = ["gw2 stays ms1", "pc1 moves gw2", "pc2 moves gw2", "pc3 stays gw2"];
    assert_eq!(outlooks(facts(), &Affected::Everybody, &["gw1"]), expected);
    let mut facts = facts();
    facts.assign("pc1", 1, "gw1", &["ms2", "gw2"]);
    let mut direct = facts.report("pc1").standbys[0].clone();
    direct.name = name("ms2");
    facts.report("pc1").standbys.push(direct);
    assert_eq!(outlooks(facts, &Affected::Nodes(vec![name("pc1")]), &["gw1"]), ["pc1 moves ms2"]);
}

#[test]
fn who_has_no_ready_upstream_left_has_nowhere_to_go_and_so_have_those_behind_it() {
    let mut facts = facts();
    let standby = &mut facts.report("gw1").standbys[0];
    (standby.ready, standby.code, standby.text) = (false, 2103, "refused".to_owned());
    let standby = &mut facts.report("gw2").standbys[0];
    (standby.ready, standby.code) = (false, 2101);
    let expected = [
        "gw1 nowhere ms1 fails; ms2 is not ready (FP2103 refused)",
        "gw2 nowhere ms1 fails; ms2 is not ready (FP2101)",
        "pc1 nowhere gw1 would have nowhere to go itself; gw2 would have nowhere to go itself",
    ];
    assert_eq!(outlooks(facts, &Affected::Everybody, &["ms1"])[..3], expected);
    let both = outlooks(super::super::standing::testing::facts(), &Affected::Everybody, &["ms1", "ms2"]);
    assert!(both.iter().all(|line| line.contains(" nowhere ")), "{both:?}");
}

#[test]
fn f3_who_has_only_standbys_left_that_were_not_tried_yet_is_unknown_and_so_are_those_behind_it() {
    let mut facts = facts();
    for gateway in ["gw1", "gw2"] {
        let standby = &mut facts.report(gateway).standbys[0];
        (standby.ready, standby.proven) = (false, None);
    }
    let standby = &mut facts.report("gw1").standbys[0];
    (standby.ready, standby.code, standby.proven) = (false, 2103, Some(at(NOW - 60)));
    let expected = [
        "gw1 nowhere ms1 fails; ms2 is not ready (FP2103)",
        "gw2 unknown ms1 fails; ms2 was not tried yet",
        "pc1 unknown gw1 would have nowhere to go itself; gw2 may have nowhere to go itself",
    ];
    assert_eq!(outlooks(facts, &Affected::Everybody, &["ms1"])[..3], expected);
    // What is known of an upstream that was not tried counts; and one that was proven goes before nobody's guess.
    let untried = || {
        let mut facts = super::super::standing::testing::facts();
        let standby = &mut facts.report("gw1").standbys[0];
        (standby.ready, standby.proven) = (false, None);
        facts
    };
    let gw1 = Affected::Nodes(vec![name("gw1")]);
    let (mut excluded, mut proven) = (untried(), untried());
    excluded.servers[1].excluded = true;
    assert_eq!(outlooks(excluded, &gw1, &["ms1"]), ["gw1 nowhere ms1 fails; ms2 is excluded from failover"]);
    let mut ready = super::super::standing::testing::facts().report("gw2").standbys[0].clone();
    ready.name = name("gw2");
    proven.report("gw1").standbys.push(ready);
    assert_eq!(outlooks(proven, &gw1, &["ms1"]), ["gw1 moves gw2"]);
}

#[test]
fn a_server_leads_on_whatever_gateway_once_had_its_name() {
    for state in [GatewayState::Deleted, GatewayState::Pending] {
        let mut facts = facts();
        facts.gateways.push(gateway_record("ms2", state));
        let expected = ["gw1 moves ms2", "pc1 stays gw1", "pc2 stays gw1"];
        assert_eq!(outlooks(facts, &Affected::Gateway(name("gw1")), &["ms1"]), expected, "{state}");
    }
}

#[test]
fn who_does_not_report_or_is_not_connected_is_unknown() {
    let mut facts = facts();
    facts.row("gw1").report = None;
    facts.row("pc3").left = Some(at(NOW - 500));
    let expected =
        ["gw1 unknown no report", "gw2 stays ms1", "pc1 moves gw2", "pc2 moves gw2", "pc3 unknown it is disconnected"];
    assert_eq!(outlooks(facts, &Affected::Everybody, &[]), expected);
}

#[test]
fn excluded_and_dead_servers_take_nobody_and_loops_of_gateways_end() {
    let mut excluded = facts();
    excluded.servers[1].excluded = true;
    assert_eq!(
        outlooks(excluded, &Affected::Nodes(vec![name("gw1")]), &["ms1"]),
        ["gw1 nowhere ms1 fails; ms2 is excluded from failover"]
    );
    let mut dead = facts();
    dead.kill_server("ms2");
    assert_eq!(
        outlooks(dead, &Affected::Nodes(vec![name("gw1")]), &["ms1"]),
        ["gw1 nowhere ms1 fails; ms2 does not run"]
    );
    let mut looped = facts();
    for (gateway, upstream) in [("gw1", "gw2"), ("gw2", "gw1")] {
        looped.report(gateway).upstream = Some(name(upstream));
        looped.report(gateway).standbys.clear();
    }
    assert!(outlooks(looped, &Affected::Everybody, &["ms1"])[0].starts_with("gw1 nowhere "));
}

#[test]
fn a_node_that_the_group_does_not_know_is_refused() {
    let standings = facts().standings();
    for (affected, without) in [
        (Affected::Everybody, vec![name("ms9")]),
        (Affected::Gateway(name("gw9")), Vec::new()),
        (Affected::Nodes(vec![name("pc1"), name("pc9")]), Vec::new()),
    ] {
        let error = failover_outlooks(&standings, &affected, &without).unwrap_err();
        assert_eq!(error.code(), Code::NameUnknown, "{affected:?}");
    }
}

#[test]
fn f3_only_servers_and_gateways_fail_and_only_gateways_and_agents_go_elsewhere() {
    let standings = facts().standings();
    for (affected, without, subject) in [
        (Affected::Everybody, vec![name("ms1"), name("pc1")], "pc1"),
        (Affected::Nodes(vec![name("pc1"), name("ms2")]), vec![name("ms1")], "ms2"),
        (Affected::Gateway(name("pc1")), vec![name("ms1")], "pc1"),
        (Affected::Gateway(name("ms1")), vec![name("ms1")], "ms1"),
    ] {
        let error = failover_outlooks(&standings, &affected, &without).unwrap_err();
        assert_eq!((error.code(), error.subject_text()), (Code::ArgumentInvalid, subject), "{affected:?}");
    }
}
