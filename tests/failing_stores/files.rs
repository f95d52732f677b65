//! A server whose SQLite file is locked, damaged, gone, exchanged, or on a full disk.

use std::path::Path;
use std::time::{Duration, Instant};

use farpost::Code;
use rusqlite::Connection;

use crate::Scene;
use crate::chain::{AGENT, Chain};
use crate::events::within;

/// Long enough for several attempts to commit.
const WAITS: Duration = Duration::from_millis(1500);

fn file(chain: &Chain) -> std::path::PathBuf {
    chain.directory.path().join("group.db")
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_while_another_process_keeps_the_file_locked_nothing_is_acknowledged_and_then_it_goes_on() {
    let chain = Chain::new().await;
    let scene = Scene::start(&chain, chain.server().await).await;
    let other = Connection::open(file(&chain)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Longer than a call waits for its turn.
    let receipt = scene.fails(Code::StoreBusy, Duration::from_secs(6)).await;
    other.execute_batch("ROLLBACK").unwrap();
    scene.goes_on(receipt).await;
    scene.ends(&url(&file(&chain)), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_into_a_damaged_file_nothing_is_acknowledged() {
    let chain = Chain::new().await;
    let path = file(&chain);
    let scene = Scene::start(&chain, chain.server().await).await;
    let other = Connection::open(&path).unwrap();
    let checkpointed: i64 = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(checkpointed, 0);
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[4096..].fill(0xa5);
    overwrite(&path, &damaged);
    // Something is written, so that the server looks at the file and not at what it remembers of it.
    let version: i64 = other.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    other.pragma_update(None, "user_version", version).unwrap();
    let receipt = scene.fails(Code::StoreCorrupt, WAITS).await;
    drop(other);
    scene.agent.close(Duration::ZERO).await.unwrap_err();
    drop(receipt);
    scene.server.close(Duration::from_secs(10)).await.unwrap();
}

/// Writes a file in place: it stays the one that others have open.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_what_is_written_to_a_file_that_was_taken_away_is_not_acknowledged() {
    let chain = Chain::new().await;
    let path = file(&chain);
    let scene = Scene::start(&chain, chain.server().await).await;
    let away = chain.directory.path().join("away");
    std::fs::create_dir(&away).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("group.db{suffix}");
        std::fs::rename(chain.directory.path().join(&name), away.join(&name)).unwrap();
    }
    let receipt = scene.fails(Code::StoreUnavailable, WAITS).await;
    assert!(!path.exists(), "nobody makes a new group where one was lost");
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("group.db{suffix}");
        std::fs::rename(away.join(&name), chain.directory.path().join(&name)).unwrap();
    }
    scene.goes_on(receipt).await;
    scene.ends(&url(&path), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d4_a_file_that_was_exchanged_for_its_copy_is_used_from_then_on_and_another_groups_is_not() {
    let chain = Chain::new().await;
    let path = file(&chain);
    let scene = Scene::start(&chain, chain.server().await).await;
    let copy = chain.directory.path().join("copy.db");
    Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let remove = || {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(chain.directory.path().join(format!("group.db{suffix}")));
        }
    };
    remove();
    let other = chain.directory.path().join("other.db");
    drop(farpost::ManagementGroup::open_new(&url(&other), "CORP").await.unwrap());
    std::fs::rename(&other, &path).unwrap();
    let receipt = scene.fails(Code::StoreUnavailable, WAITS).await;
    remove();
    std::fs::rename(&copy, &path).unwrap();
    scene.goes_on(receipt).await;
    scene.ends(&url(&path), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_a_message_to_an_agent_that_is_acknowledged_while_the_store_fails_is_delivered_when_it_works_again() {
    let chain = Chain::new().await;
    let scene = Scene::start(&chain, chain.server().await).await;
    chain.group.send(AGENT, "an order").await.unwrap();
    let received = within("the order", scene.agent.receive()).await.unwrap();
    let other = Connection::open(file(&chain)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    received.acknowledge().unwrap();
    // Longer than a call waits for its turn.
    let receipt = scene.fails(Code::StoreBusy, Duration::from_secs(6)).await;
    other.execute_batch("ROLLBACK").unwrap();
    scene.goes_on(receipt).await;
    let since = Instant::now();
    let waits = || {
        other.query_row("SELECT count(*) FROM down_messages WHERE state = 0", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    while waits() > 0 {
        assert!(since.elapsed() < Duration::from_secs(10), "it still waits for an agent that has it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(other);
    scene.ends(&url(&file(&chain)), 2).await;
}
