//! Sites, what their nodes have from them, and chains of gateways.

use super::*;
use crate::group::{
    Answer, AssignmentRecord, AssignmentTarget, AssignmentsOperation, InventoryOperation, NodeChoice, SiteChange,
    SiteName, SiteRecord,
};
use crate::store::asking::Asking as _;

on_every_engine! {
    g6_a_site_gives_its_nodes_what_it_has_and_their_own_goes_first,
    g6_a_node_is_in_one_site_and_leaves_it_with_the_group,
    g6_a_pattern_puts_all_that_fit_into_a_site_and_takes_them_out,
    g6_a_pattern_that_meets_what_may_not_be_changes_nothing_and_a_rehearsal_neither,
    g6_a_swap_changes_places_and_raises_the_version,
    f3_a_failure_is_thought_through_for_the_nodes_of_a_site,
    g3_a_site_takes_no_upstream_that_a_node_may_not_have,
    g3_gateways_are_approved_behind_others_without_a_loop_and_four_deep,
    g3_whom_an_excluded_server_fails_is_told,
    g6_ten_thousand_nodes_of_a_site_change_in_one_transaction,
}

fn site(text: &str) -> SiteName {
    SiteName::parse(text).unwrap()
}

fn upstreams(primary: &str, failover: &[&str]) -> Assignment {
    failover.iter().fold(Assignment::primary(primary).unwrap(), |all, next| all.failover(next).unwrap())
}

fn ask_for(store: &mut AnyStore, operation: AssignmentsOperation) -> Result<Answer, Code> {
    store.operate(operation, at(1)).map_err(|error| error.code())
}

fn add(store: &mut AnyStore, to: &str, nodes: &[&str]) -> Result<Answer, Code> {
    let nodes = nodes.iter().map(|node| name(node)).collect();
    ask_for(store, AssignmentsOperation::AddToSite { site: site(to), nodes })
}

fn assign_site(store: &mut AnyStore, to: &str, assignment: Assignment) -> Result<Answer, Code> {
    ask_for(store, AssignmentsOperation::AssignSite { site: site(to), assignment })
}

fn withdraw(store: &mut AnyStore, node: &str) -> Result<Answer, Code> {
    ask_for(store, AssignmentsOperation::Withdraw { target: AssignmentTarget::Node(name(node)) })
}

/// What a node has: the version, the upstreams and the site; and that the signed bytes say the same.
fn held(store: &mut AnyStore, node: &str) -> (u64, Option<String>, Option<SiteName>) {
    let key = store.assignment_key().unwrap();
    let Some(signed) = store.signed_assignments(&[name(node)]).unwrap().remove(0) else { return (0, None, None) };
    let (version, assignment) = key.verify("CORP", &name(node), &signed).unwrap();
    let Answer::Assignments(records) =
        ask_for(store, AssignmentsOperation::Assignments { node: Some(name(node)) }).unwrap()
    else {
        panic!("no assignments")
    };
    let record: Option<&AssignmentRecord> = records.first();
    assert_eq!(record.map(|record| &record.assignment), assignment.as_ref());
    let text = assignment.map(|all| all.upstreams().map(|one| one.name().to_string()).collect::<Vec<_>>().join(" "));
    (version, text, record.and_then(|record| record.site.clone()))
}

fn has(version: u64, text: &str, of: Option<&str>) -> (u64, Option<String>, Option<SiteName>) {
    (version, (!text.is_empty()).then(|| text.to_owned()), of.map(site))
}

/// A store with the site `branch` and the agents pc1, pc2 and pc3, none of them in it.
fn store_with_site(place: &dyn Place) -> AnyStore {
    let mut store = store_with_servers(place);
    ["pc1", "pc2", "pc3"].iter().for_each(|agent| store.approve_agent(&name(agent), at(1)).unwrap());
    ask_for(&mut store, AssignmentsOperation::CreateSite { site: site("branch") }).unwrap();
    store
}

fn g6_a_site_gives_its_nodes_what_it_has_and_their_own_goes_first(place: &dyn Place) {
    let store = &mut store_with_site(place);
    store.assign(&name("pc2"), &upstreams("ms2", &[])).unwrap();
    assert_eq!(add(store, "branch", &["pc1", "pc2"]), Ok(Answer::Number(2)));
    assert_eq!(held(store, "pc1"), has(0, "", None));
    assign_site(store, "branch", upstreams("ms1", &["ms2"])).unwrap();
    assert_eq!(held(store, "pc1"), has(1, "ms1 ms2", Some("branch")));
    assert_eq!(held(store, "pc2"), has(1, "ms2", None), "its own goes first");
    assert_eq!(add(store, "branch", &["pc3", "pc1"]), Ok(Answer::Number(1)));
    assert_eq!(held(store, "pc3"), has(1, "ms1 ms2", Some("branch")), "a new node inherits");
    assert_eq!(held(store, "pc1"), has(1, "ms1 ms2", Some("branch")), "nothing new for who was there");
    withdraw(store, "pc2").unwrap();
    assert_eq!(held(store, "pc2"), has(2, "ms1 ms2", Some("branch")), "it falls back to its site");
    store.assign(&name("pc3"), &upstreams("ms2", &[])).unwrap();
    let remove = AssignmentsOperation::RemoveFromSite { site: site("branch"), nodes: vec![name("pc2"), name("pc3")] };
    assert_eq!(ask_for(store, remove.clone()), Ok(Answer::Number(2)));
    assert_eq!(held(store, "pc2"), has(3, "", None), "the withdrawal is signed, so that the node learns of it");
    assert_eq!(held(store, "pc3"), has(2, "ms2", None));
    assert_eq!(ask_for(store, remove), Err(Code::NameUnknown));
    let before = store.change().unwrap();
    withdraw(store, "pc2").unwrap();
    assert_eq!(store.change().unwrap(), before, "nothing to take away");
    ask_for(store, AssignmentsOperation::DeleteSite { site: site("branch") }).unwrap();
    assert_eq!(held(store, "pc1"), has(2, "", None));
    assert_eq!(ask_for(store, AssignmentsOperation::Sites), Ok(Answer::Sites(Vec::new())));
}

fn g6_a_node_is_in_one_site_and_leaves_it_with_the_group(place: &dyn Place) {
    let store = &mut store_with_site(place);
    let create = |text: &str| AssignmentsOperation::CreateSite { site: site(text) };
    assert_eq!(ask_for(store, create("branch")), Err(Code::SiteTaken));
    ask_for(store, create("plant")).unwrap();
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    add(store, "branch", &["gw1", "pc1"]).unwrap();
    assert_eq!(add(store, "plant", &["pc2", "pc1"]), Err(Code::SiteTaken));
    assert_eq!(add(store, "plant", &["pc2", "pc9"]), Err(Code::NameUnknown));
    assert_eq!(add(store, "nowhere", &["pc2"]), Err(Code::SiteUnknown));
    store.delete_gateway(&name("gw1")).unwrap();
    let nodes = vec![name("pc1")];
    let expected = [("branch", nodes), ("plant", Vec::new())].map(|(text, nodes)| SiteRecord {
        name: site(text),
        assignment: None,
        nodes,
    });
    assert_eq!(ask_for(store, AssignmentsOperation::Sites), Ok(Answer::Sites(expected.to_vec())));
}

fn by_pattern(
    store: &mut AnyStore,
    (change, text, role): (SiteChange, &str, Option<Role>),
    rehearsal: bool,
) -> Result<String, Code> {
    let nodes = NodeChoice::fitting(text, role).unwrap();
    let operation = AssignmentsOperation::ChangeSite { site: site("branch"), nodes, change, rehearsal };
    match ask_for(store, operation)? {
        Answer::Names(names) => Ok(names.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")),
        other => panic!("{other:?}"),
    }
}

fn members(store: &mut AnyStore, of: &str) -> String {
    let Answer::Sites(sites) = ask_for(store, AssignmentsOperation::Sites).unwrap() else { panic!("no sites") };
    let site = sites.iter().find(|record| record.name == site(of)).unwrap();
    site.nodes.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

/// Beside the agents of [`store_with_site`] the gateways gw.lab and old.lab, which was deleted, and agents in lab of whom
/// one waits, one is rejected.
fn store_with_lab(place: &dyn Place) -> AnyStore {
    let mut store = store_with_site(place);
    for gateway in ["gw.lab", "old.lab"] {
        store.approve_gateway(&name(gateway), &name("ms1"), at(1)).unwrap();
    }
    store.delete_gateway(&name("old.lab")).unwrap();
    store.approve_agent(&name("a.lab"), at(1)).unwrap();
    ask(&mut store, &knock(Role::Agent, "b.lab", None, 2));
    store.reject_agent(&name("c.lab"), at(1)).unwrap();
    store
}

fn g6_a_pattern_puts_all_that_fit_into_a_site_and_takes_them_out(place: &dyn Place) {
    let store = &mut store_with_lab(place);
    assign_site(store, "branch", upstreams("ms1", &["ms2"])).unwrap();
    let lab = (SiteChange::Add, "*.lab", None);
    let before = store.change().unwrap();
    assert_eq!(by_pattern(store, lab, true), Ok("a.lab b.lab gw.lab".to_owned()));
    assert_eq!((members(store, "branch").as_str(), store.change().unwrap()), ("", before));
    assert_eq!(by_pattern(store, lab, false), Ok("a.lab b.lab gw.lab".to_owned()));
    assert_eq!((members(store, "branch").as_str(), store.change().unwrap()), ("a.lab b.lab gw.lab", before + 1));
    assert_eq!(held(store, "a.lab"), has(1, "ms1 ms2", Some("branch")));
    assert_eq!(by_pattern(store, lab, false), Ok(String::new()), "they are in it");
    assert_eq!(by_pattern(store, (SiteChange::Add, "nobody.*", None), false), Ok(String::new()));
    assert_eq!(store.change().unwrap(), before + 1, "who changes nothing writes nothing");
    assert_eq!(add(store, "branch", &["pc1", "a.lab"]), Ok(Answer::Number(1)));
    let agents = (SiteChange::Remove, "**", Some(Role::Agent));
    assert_eq!(by_pattern(store, agents, true), Ok("a.lab b.lab pc1".to_owned()));
    assert_eq!(by_pattern(store, (SiteChange::Remove, "*.lab", Some(Role::Gateway)), false), Ok("gw.lab".to_owned()));
    assert_eq!(by_pattern(store, agents, false), Ok("a.lab b.lab pc1".to_owned()));
    assert_eq!((members(store, "branch").as_str(), held(store, "a.lab")), ("", has(2, "", None)));
    assert_eq!(NodeChoice::fitting("**", Some(Role::ManagementServer)).unwrap_err().code(), Code::ArgumentInvalid);
}

fn g6_a_pattern_that_meets_what_may_not_be_changes_nothing_and_a_rehearsal_neither(place: &dyn Place) {
    let store = &mut store_with_lab(place);
    ask_for(store, AssignmentsOperation::CreateSite { site: site("plant") }).unwrap();
    add(store, "plant", &["b.lab"]).unwrap();
    let before = store.change().unwrap();
    for rehearsal in [true, false] {
        assert_eq!(by_pattern(store, (SiteChange::Add, "*.lab", None), rehearsal), Err(Code::SiteTaken));
    }
    let remove = AssignmentsOperation::RemoveFromSite { site: site("plant"), nodes: vec![name("b.lab")] };
    ask_for(store, remove).unwrap();
    assign_site(store, "branch", upstreams("gw.lab", &["ms1"])).unwrap();
    for rehearsal in [true, false] {
        let gateway_too = by_pattern(store, (SiteChange::Add, "*.lab", None), rehearsal);
        assert_eq!(gateway_too, Err(Code::ChainLoop), "a gateway is no upstream of its own");
    }
    assert_eq!((members(store, "branch").as_str(), store.change().unwrap()), ("", before + 2));
    let agents = (SiteChange::Add, "*.lab", Some(Role::Agent));
    assert_eq!(by_pattern(store, agents, false), Ok("a.lab b.lab".to_owned()));
    assert_eq!(held(store, "b.lab"), has(1, "gw.lab ms1", Some("branch")));
}

fn f3_a_failure_is_thought_through_for_the_nodes_of_a_site(place: &dyn Place) {
    let store = &mut store_with_lab(place);
    add(store, "branch", &["gw.lab", "a.lab"]).unwrap();
    let mut simulate = |text: &str, without: &str| {
        let without = vec![name(without)];
        let operation = InventoryOperation::SimulateFailoverOfSite { site: site(text), without };
        store.operate(operation, at(1)).map_err(|error| error.code()).map(|answer| match answer {
            Answer::FailoverOutlooks(outlooks) => outlooks.iter().map(|one| one.node.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(simulate("branch", "ms1"), Ok(vec!["gw.lab".to_owned(), "a.lab".to_owned()]));
    assert_eq!(simulate("nowhere", "ms1"), Err(Code::SiteUnknown));
    assert_eq!(simulate("branch", "ms9"), Err(Code::NameUnknown));
    ask_for(store, AssignmentsOperation::CreateSite { site: site("empty") }).unwrap();
    let empty = InventoryOperation::SimulateFailoverOfSite { site: site("empty"), without: vec![name("ms1")] };
    assert_eq!(store.operate(empty, at(1)).unwrap(), Answer::FailoverOutlooks(Vec::new()));
}

fn g6_a_swap_changes_places_and_raises_the_version(place: &dyn Place) {
    let store = &mut store_with_site(place);
    let swap = |target: AssignmentTarget| AssignmentsOperation::Swap { target, with: None };
    let (pc1, branch) = (AssignmentTarget::Node(name("pc1")), AssignmentTarget::Site(site("branch")));
    assert_eq!(ask_for(store, swap(pc1.clone())), Err(Code::NotFailover));
    assert_eq!(ask_for(store, swap(branch.clone())), Err(Code::NotFailover));
    store.assign(&name("pc1"), &upstreams("ms1", &["ms2"])).unwrap();
    assert_eq!(ask_for(store, swap(pc1)), Ok(Answer::Assignment(upstreams("ms2", &["ms1"]))));
    assert_eq!(held(store, "pc1"), has(2, "ms2 ms1", None));
    add(store, "branch", &["pc2"]).unwrap();
    assign_site(store, "branch", upstreams("ms1", &["ms2"])).unwrap();
    assert_eq!(
        ask_for(store, swap(AssignmentTarget::Node(name("pc2")))),
        Err(Code::NotFailover),
        "the site's, not its own"
    );
    ask_for(store, swap(branch)).unwrap();
    assert_eq!(held(store, "pc2"), has(2, "ms2 ms1", Some("branch")));
}

fn g3_a_site_takes_no_upstream_that_a_node_may_not_have(place: &dyn Place) {
    let store = &mut store_with_site(place);
    assert_eq!(assign_site(store, "branch", upstreams("ms9", &[])), Err(Code::ServerUnknown), "even while it is empty");
    store.set_server_excluded(&name("ms2"), true).unwrap();
    assert_eq!(assign_site(store, "branch", upstreams("ms1", &["ms2"])), Err(Code::ServerExcluded));
    for gateway in ["gw1", "gw2"] {
        store.approve_gateway(&name(gateway), &name("ms1"), at(1)).unwrap();
    }
    add(store, "branch", &["gw1", "pc1"]).unwrap();
    assert_eq!(assign_site(store, "branch", upstreams("gw1", &[])), Err(Code::ChainLoop), "one node above itself");
    store.assign(&name("gw2"), &upstreams("gw1", &["ms1"])).unwrap();
    assert_eq!(assign_site(store, "branch", upstreams("gw2", &[])), Err(Code::ChainLoop));
    assert_eq!(held(store, "pc1"), has(0, "", None), "nothing is half done");
}

fn g3_gateways_are_approved_behind_others_without_a_loop_and_four_deep(place: &dyn Place) {
    let store = &mut store_with_servers(place);
    let approve = |store: &mut AnyStore, gateway: &str, parent: &str| {
        store.approve_gateway(&name(gateway), &name(parent), at(1)).map_err(|error| error.code())
    };
    assert_eq!(approve(store, "b", "a"), Err(Code::ServerUnknown));
    assert_eq!(ask(store, &knock(Role::Gateway, "a", None, 1)), "pending GatewayPending");
    assert_eq!(approve(store, "b", "a"), Err(Code::RoleNotApproved), "a parent that waits itself");
    approve(store, "a", "ms1").unwrap();
    approve(store, "b", "a").unwrap();
    assert_eq!(ask(store, &knock(Role::Gateway, "b", Some("a"), 2)), "gateway");
    assert_eq!(ask(store, &knock(Role::Gateway, "b", None, 2)), "refused ParentNotApproved");
    assert_eq!(approve(store, "a", "b"), Err(Code::ChainLoop));
    assert_eq!(store.assign(&name("a"), &upstreams("b", &["ms1"])).unwrap_err().found_text(), "a → b → a");
    approve(store, "c", "b").unwrap();
    approve(store, "d", "c").unwrap();
    assert_eq!(approve(store, "e", "d"), Err(Code::ChainTooLong));
    // Its old parent counts no longer where it gets another.
    approve(store, "b", "ms1").unwrap();
    approve(store, "a", "d").unwrap();
}

fn g3_whom_an_excluded_server_fails_is_told(place: &dyn Place) {
    let store = &mut store_with_site(place);
    store.approve_gateway(&name("gw1"), &name("ms2"), at(1)).unwrap();
    store.assign(&name("pc1"), &upstreams("ms1", &["ms2"])).unwrap();
    add(store, "branch", &["pc2"]).unwrap();
    assign_site(store, "branch", upstreams("ms2", &[])).unwrap();
    let exclude = AssignmentsOperation::SetServerExcluded { server: name("ms2"), excluded: true };
    let Ok(Answer::ServerUse(named)) = ask_for(store, exclude) else { panic!("no answer") };
    assert_eq!(
        (named.gateways, named.assigned, named.sites),
        (vec![name("gw1")], vec![name("pc1")], vec![site("branch")])
    );
}

fn g6_ten_thousand_nodes_of_a_site_change_in_one_transaction(place: &dyn Place) {
    const COUNT: usize = 10_000;
    let store = &mut store_with_site(place);
    store.set_unknown_agents(UnknownAgents::Approve).unwrap();
    let nodes: Vec<Name> = (0..COUNT).map(|number| name(&format!("n{number}"))).collect();
    let knocks: Vec<Knock> = nodes.iter().map(|node| knock(Role::Agent, node.as_str(), None, 1)).collect();
    store.authorise(&knocks).unwrap();
    let all = AssignmentsOperation::AddToSite { site: site("branch"), nodes: nodes.clone() };
    assert_eq!(ask_for(store, all), Ok(Answer::Number(COUNT as u64)));
    let change = store.change().unwrap();
    let start = std::time::Instant::now();
    assign_site(store, "branch", upstreams("ms1", &["ms2"])).unwrap();
    println!("{COUNT} nodes of a site signed and written in {:?}", start.elapsed());
    assert_eq!(store.change().unwrap(), change + 1);
    let signed = store.signed_assignments(&nodes).unwrap();
    assert!(signed.iter().all(|signed| signed.as_ref().is_some_and(|signed| signed.version() == 1)));
}
