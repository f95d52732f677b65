//! Names that would be more than names if they were pasted into SQL, a path or a pattern; on both engines.

use farpost::{ApprovedFor, Code, Error, ManagementGroup, Role};

use crate::cluster::Cluster;
use crate::commands::farpost;
use crate::golden;

const HOSTILE: [&str; 18] = [
    "pc1'; DROP TABLE agents; --",
    "pc1' OR '1'='1",
    "pc1\"",
    "pc1;",
    "pc1--",
    "pc1/*",
    "pc%",
    "pc_",
    "*",
    "pc1\0",
    "pc1\n",
    " pc1",
    "../pc1",
    "pc1\\",
    "$1",
    "пк1",
    "pc\u{ff11}",
    "",
];

/// Hostile names, and one that is too long.
fn hostile() -> impl Iterator<Item = String> {
    HOSTILE.into_iter().map(str::to_owned).chain(["a".repeat(300), "a.".repeat(150)])
}

/// All that the group says of itself, as text.
async fn everything(group: &ManagementGroup) -> String {
    let tokens = group.tokens().await.unwrap();
    format!("{:?} {tokens:?} {:?}", group.inventory().await.unwrap(), group.deliveries(0, 100).await.unwrap())
}

/// Gives the name to every call that takes one, in every place where it takes one.
async fn refuses_everywhere(group: &ManagementGroup, name: &str) {
    let server = ApprovedFor::ManagementServer("ms1");
    let none: [&str; 0] = [];
    let valid_for = std::time::Duration::from_secs(60);
    let answers: Vec<(&str, Result<(), Error>)> = vec![
        ("approve_gateway", group.approve_gateway(name, server).await),
        ("approve_gateway's server", group.approve_gateway("gw1", ApprovedFor::ManagementServer(name)).await),
        ("delete_gateway", group.delete_gateway(name).await),
        ("approve_agent", group.approve_agent(name).await),
        ("reject_agent", group.reject_agent(name).await),
        ("set_server_excluded", group.set_server_excluded(name, true).await.map(drop)),
        ("delete_server", group.delete_server(name).await.map(drop)),
        ("set_failover", group.set_failover(name, "ms1", &none).await),
        ("set_failover's primary", group.set_failover("gw1", name, &none).await),
        ("set_failover's failover", group.set_failover("gw1", "ms1", &[name]).await),
        ("set_failover's port", group.set_failover("gw1", &format!("ms1:{name}"), &none).await),
        ("send", group.send(name, "text").await.map(|_| ())),
        ("create_token", group.create_token(name, Role::Agent, None, valid_for).await.map(|_| ())),
        ("create_token's gateway", group.create_token("pc9", Role::Agent, Some(name), valid_for).await.map(|_| ())),
        ("delete_token", group.delete_token(name).await.map(|_| ())),
    ];
    for (call, answer) in answers {
        let error = answer.err().unwrap_or_else(|| panic!("{call} took {name:?}"));
        assert!(matches!(error.code(), Code::NameUnreadable | Code::ConfigBadValue), "{call} of {name:?}: {error}");
        let said = [error.found_text(), error.expected_text(), error.remedy_text()];
        assert!(said.iter().all(|text| !text.is_empty()), "{call} of {name:?}: {error:?}");
        assert!(!error.to_string().contains(['\0', '\n']), "{call} of {name:?}: {error:?}");
    }
}

async fn no_name_is_more_than_a_name(url: &str) {
    let group = ManagementGroup::open(url).await.unwrap();
    let before = everything(&group).await;
    for name in hostile() {
        refuses_everywhere(&group, &name).await;
    }
    assert_eq!(everything(&group).await, before);
    // What comes after the refusals still works.
    group.approve_agent("pc9").await.unwrap();
}

/// The places of the command line where a name stands, as NAME.
const PLACES: [&str; 16] = [
    "approve --management-server-name NAME --gateway-name gw1 --action create",
    "approve --management-server-name ms1 --gateway-name NAME --action create",
    "approve --gateway-name NAME --action delete",
    "failover set --gateway NAME --primary ms1",
    "failover set --gateway gw1 --primary NAME",
    "failover set --gateway gw1 --primary ms1 --failover NAME",
    "failover set --agent NAME --primary gw1",
    "server set NAME --excluded true",
    "server delete NAME",
    "agent approve pc9 NAME",
    "agent reject pc1 NAME",
    "send --agent NAME text",
    "token create --name NAME --role agent",
    "token create --name pc9 --role agent --gateway NAME",
    "token delete --name NAME",
    "agent approve NAME",
];

fn no_argument_is_more_than_a_name(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = runtime.block_on(ManagementGroup::open(url)).unwrap();
    let before = runtime.block_on(everything(&group));
    for text in PLACES {
        for name in ["pc1'; DROP TABLE agents; --", "pc%", "пк1", "pc1\n", "", &"a".repeat(300)] {
            let arguments: Vec<&str> = text.split(' ').map(|word| if word == "NAME" { name } else { word }).collect();
            let output = farpost(&arguments, url);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {said}");
            let known = ["FP1305 ", "FP5002 ", "FP5009 "].iter().any(|code| said.starts_with(code));
            let parts = ["  found     ", "  expected  ", "  remedy    "].iter().all(|part| said.contains(part));
            assert!(known && parts && output.stdout.is_empty(), "{arguments:?}: {said}");
            assert_eq!(runtime.block_on(everything(&group)), before, "half done: {arguments:?}");
        }
    }
}

#[tokio::test]
async fn on_sqlite_no_name_is_more_than_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("group.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(&golden("sqlite-2.sql")).unwrap();
    let url = format!("sqlite://{}", path.display());
    no_name_is_more_than_a_name(&url).await;
    tokio::task::spawn_blocking(move || no_argument_is_more_than_a_name(&url)).await.unwrap();
}

#[tokio::test]
async fn on_postgresql_no_name_is_more_than_a_name() {
    let Some(cluster) = Cluster::start("") else { return };
    let database = cluster.database();
    cluster.sql(&database, &golden("postgres-1.sql"));
    let url = cluster.url(&database);
    no_name_is_more_than_a_name(&url).await;
    tokio::task::spawn_blocking(move || no_argument_is_more_than_a_name(&url)).await.unwrap();
}

/// A group's name is free text, and stays what it is.
async fn a_groups_name_is_kept_as_it_is(url: &str) {
    const NAME: &str = "O'Brien's \"group\"; DROP TABLE management_group; -- ключ";
    let made = ManagementGroup::open_new(url, NAME).await.unwrap();
    assert_eq!(made.name().await.unwrap(), NAME);
    drop(made);
    let again = ManagementGroup::open(url).await.unwrap();
    assert_eq!(again.inventory().await.unwrap().management_group, NAME);
    let error = ManagementGroup::open_new(url, "O'Brien").await.unwrap_err();
    assert_eq!((error.code(), error.found_text()), (Code::GroupMismatch, NAME));
}

#[tokio::test]
async fn a_groups_name_with_quotes_is_kept_as_it_is_on_both_engines() {
    let directory = tempfile::tempdir().unwrap();
    a_groups_name_is_kept_as_it_is(&format!("sqlite://{}/group.db", directory.path().display())).await;
    let Some(cluster) = Cluster::start("") else { return };
    a_groups_name_is_kept_as_it_is(&cluster.url(&cluster.database())).await;
}

/// A message to an agent is bytes: nothing of it is read by an engine.
#[tokio::test]
async fn a_message_is_any_bytes_on_both_engines() {
    let payload: Vec<u8> = b"'; DROP TABLE down_messages; --\0\xff\\x00".to_vec();
    let directory = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite://{}/group.db", directory.path().display())];
    let cluster = Cluster::start("");
    urls.extend(cluster.as_ref().map(|cluster| cluster.url(&cluster.database())));
    for url in urls {
        let group = ManagementGroup::open_new(&url, "CORP").await.unwrap();
        group.approve_agent("pc1").await.unwrap();
        assert_eq!(group.send("pc1", payload.clone()).await.unwrap(), 1);
        assert_eq!(group.send("pc1", payload.clone()).await.unwrap(), 2);
    }
}
