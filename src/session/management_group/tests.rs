use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::group::{AgentState, EnrolmentClaim, EnrolmentToken, GatewayState, TokenAnswer, TokenUse, UnknownAgents};
use crate::name::Name;
use crate::role::Role;
use crate::session::clock::wall as now;

/// A group in a directory of its own.
async fn group() -> (tempfile::TempDir, String, ManagementGroup) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/group.db", directory.path().display());
    let group = ManagementGroup::open_new(&url, "CORP").await.unwrap();
    for server in ["ms1.corp.example", "ms2.corp.example"] {
        let server = Name::parse(server).unwrap();
        group.store().unwrap().call(move |store| store.register_server(&server, "0.0.0.0:5723", now())).await.unwrap();
    }
    (directory, url, group)
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("an error").code()
}

fn file_of(url: &str) -> Result<PathBuf> {
    match Place::of(url)? {
        Place::File(path) => Ok(path),
        #[cfg(feature = "postgres")]
        Place::Database(_) => panic!("{url} is a database"),
    }
}

#[test]
fn a_url_names_an_absolute_or_a_relative_file_or_a_database() {
    assert_eq!(file_of("sqlite:///var/lib/farpost/group.db").unwrap(), PathBuf::from("/var/lib/farpost/group.db"));
    assert_eq!(file_of("sqlite://group.db").unwrap(), PathBuf::from("group.db"));
    for bad in ["", "group.db", "/group.db", "sqlite:group.db", "sqlite://", "sqlite://a\0b", "mysql://host/db"] {
        assert_eq!(file_of(bad).unwrap_err().code(), Code::ConfigBadValue, "{bad:?}");
    }
    assert!(!file_of("mysql://u:hunter2@db").unwrap_err().to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_databases_password_is_in_no_error() {
    for url in ["postgres://farpost:hunter2@db/group", "postgresql://farpost:hunter2@db/group?sslmode=hunter"] {
        let error = ManagementGroup::open(url).await.err().unwrap();
        assert_eq!(error.code(), Code::ConfigBadValue);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_group_is_opened_by_its_name_or_without_and_not_by_another_name() {
    let (_directory, url, group) = group().await;
    assert_eq!(group.name().await.unwrap(), "CORP");
    assert!(ManagementGroup::open(&url).await.is_ok());
    assert!(ManagementGroup::open_new(&url, "CORP").await.is_ok());
    assert_eq!(code(ManagementGroup::open_new(&url, "OTHER").await), Code::GroupMismatch);
    assert_eq!(code(ManagementGroup::open("sqlite:///nowhere/group.db").await), Code::StoreUnavailable);
}

#[tokio::test]
async fn an_operator_approves_assigns_and_removes_a_gateway() {
    let (_directory, _, group) = group().await;
    let ms1 = ApprovedFor::ManagementServer("MS1.corp.example.");
    group.approve_gateway("gw1.branch.example", ms1).await.unwrap();
    group.set_failover("gw1.branch.example", "ms1.corp.example", &["ms2.corp.example:5723"]).await.unwrap();
    let twice = group.set_failover("gw1.branch.example", "ms1.corp.example", &["ms1.corp.example"]).await;
    assert_eq!(code(twice), Code::PrimaryIsFailover);
    let unknown = group.approve_gateway("gw1.branch.example", ApprovedFor::ManagementServer("ms9")).await;
    assert_eq!(code(unknown), Code::ServerUnknown);
    assert_eq!(code(group.approve_gateway("gw1/..", ms1).await), Code::NameUnreadable);
    let record = group.gateways().await.unwrap().remove(0);
    assert_eq!((record.state, record.parent.unwrap().to_string()), (GatewayState::Approved, "ms1.corp.example".into()));
    group.set_server_excluded("ms2.corp.example", true).await.unwrap();
    assert!(group.servers().await.unwrap()[1].excluded);
    group.delete_gateway("gw1.branch.example").await.unwrap();
    assert_eq!(group.gateways().await.unwrap()[0].state, GatewayState::Deleted);
    assert_eq!(code(group.delete_gateway("gw2.branch.example").await), Code::NameUnknown);
}

#[tokio::test]
async fn an_operator_approves_writes_to_and_rejects_an_agent() {
    let (_directory, _, group) = group().await;
    assert_eq!(code(group.send("pc7", "hello").await), Code::NameUnknown);
    group.approve_agent("pc7").await.unwrap();
    assert_eq!(group.send("pc7", "hello").await.unwrap(), 1);
    assert_eq!(group.send("pc7", vec![0xff]).await.unwrap(), 2);
    group.reject_agent("pc7").await.unwrap();
    assert_eq!(group.agents().await.unwrap()[0].state, AgentState::Rejected);
    assert_eq!(group.unknown_agents().await.unwrap(), UnknownAgents::Pending);
    group.set_unknown_agents(UnknownAgents::Approve).await.unwrap();
    assert_eq!(group.unknown_agents().await.unwrap(), UnknownAgents::Approve);
}

#[tokio::test]
async fn the_inventory_holds_all_and_the_number_of_its_last_change() {
    let (_directory, url, group) = group().await;
    group.approve_agent("pc7").await.unwrap();
    group.approve_gateway("gw1", ApprovedFor::ManagementServer("ms1.corp.example")).await.unwrap();
    group.set_failover("pc7", "gw1:5724", &["ms1.corp.example"]).await.unwrap();
    let inventory = ManagementGroup::open(&url).await.unwrap().inventory().await.unwrap();
    assert_eq!(inventory.change, group.change().await.unwrap());
    let counts = (inventory.servers.len(), inventory.gateways.len(), inventory.agents.len(), inventory.cursors.len());
    let assigned = &inventory.assignments[0];
    let upstreams: Vec<_> = assigned.assignment.upstreams().map(ToString::to_string).collect();
    assert_eq!((assigned.node.as_str(), assigned.version), ("pc7", 1));
    assert_eq!(upstreams, ["gw1:5724", "ms1.corp.example:5723"]);
    assert_eq!((inventory.management_group.as_str(), counts), ("CORP", (2, 1, 1, 0)));
    assert_eq!((group.deliveries(0, 9).await.unwrap(), group.delivery_count().await.unwrap()), (vec![], 0));
    assert_eq!((group.gaps(0, 9).await.unwrap(), group.cursors().await.unwrap()), (vec![], vec![]));
}

#[tokio::test]
async fn calls_do_not_hold_up_the_tasks_of_a_runtime_with_one_thread() {
    let (_directory, _, group) = group().await;
    let (approved, inventory) = tokio::join!(group.approve_agent("pc7"), group.inventory());
    approved.unwrap();
    assert_eq!(inventory.unwrap().agents.len(), 1, "calls are done in their order");
}

#[tokio::test]
async fn a_token_that_was_shown_once_lets_its_node_in_and_the_store_cannot_tell_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("group.db");
    let group = ManagementGroup::open_new(&format!("sqlite://{}", path.display()), "CORP").await.unwrap();
    let (agent, gateway) = ("pc7.branch.example", "gw1.branch.example");
    let token = group.create_token(agent, Role::Agent, Some(gateway), EnrolmentToken::VALIDITY).await.unwrap();
    let record = group.tokens().await.unwrap().remove(0);
    assert_eq!(
        (record.name.as_str(), record.role, record.via.as_ref().unwrap().as_str()),
        (agent, Role::Agent, gateway)
    );
    assert_eq!(record.expires.unix_millis() - record.created.unix_millis(), 3_600_000);
    assert!(record.is_open(now()));

    // What the node does with the text that it was given, and what a server does with what it shows.
    let held = EnrolmentToken::parse(&token.text()).unwrap();
    let (name, via) = (Name::parse(agent).unwrap(), Name::parse(gateway).unwrap());
    let claim = EnrolmentClaim { group: "CORP", name: &name, role: Role::Agent, gateway: Some(&via), request: b"csr" };
    let (key, proof) = (held.public_key().unwrap(), held.prove(claim).unwrap());
    let hash = EnrolmentToken::verify_proof(&key, claim, &proof).unwrap();
    let ask = TokenUse { hash, name: name.clone(), role: Role::Agent, via: Some(via), request: [1; 32], at: now() };
    assert_eq!(group.store().unwrap().call(move |store| store.use_token(&ask)).await.unwrap(), TokenAnswer::First);
    assert!(group.tokens().await.unwrap()[0].used.is_some());

    let text = token.text();
    let digits = text.replace('-', "");
    let parts: [&[u8]; 4] = [text.as_bytes(), digits.as_bytes(), &key, &text.as_bytes()[5..12]];
    for suffix in ["", "-wal"] {
        let stored = std::fs::read(format!("{}{suffix}", path.display())).unwrap();
        let holds = |part: &[u8]| stored.windows(part.len()).any(|window| window == part);
        assert!(parts.iter().all(|part| !holds(part)), "{suffix}");
    }
    let shown = format!("{token:?} {:?} {group:?}", group.tokens().await.unwrap());
    assert!(!shown.contains(&text[5..12]), "{shown}");

    assert_eq!(group.delete_token(agent).await.unwrap(), 1);
    assert_eq!(group.delete_token(agent).await.unwrap_err().code(), Code::TokenUnknown);
    let bad = group.create_token("ms1", Role::ManagementServer, None, EnrolmentToken::VALIDITY).await;
    assert_eq!(bad.unwrap_err().code(), Code::ArgumentInvalid);
    let bad = group.create_token(agent, Role::Agent, Some("../gw"), EnrolmentToken::VALIDITY).await;
    assert_eq!(bad.unwrap_err().code(), Code::NameUnreadable);
    let bad = group.create_token(agent, Role::Agent, None, Duration::MAX).await;
    assert_eq!(bad.unwrap_err().code(), Code::ArgumentInvalid);
}
