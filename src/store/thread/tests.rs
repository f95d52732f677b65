use std::sync::{Arc, Mutex};

use super::*;
use crate::store::SqliteStore;
use crate::store::asking::Asking as _;

async fn start(directory: &tempfile::TempDir) -> StoreThread {
    let path = directory.path().join("group.db");
    StoreThread::start(move || Ok(Box::new(SqliteStore::open(&path, Some("CORP"))?) as Box<dyn Store>)).await.unwrap()
}

#[tokio::test]
async fn jobs_are_done_in_the_order_of_submission_and_all_before_the_drop_returns() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(&directory).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    for number in 0..100 {
        let done = Arc::clone(&done);
        store.submit(Box::new(move |_| done.lock().unwrap().push(number)));
    }
    drop(store);
    assert_eq!(*done.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_comes_first_is_done_before_what_waits_in_its_own_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(&directory).await;
    let (held, hold) = std::sync::mpsc::channel::<()>();
    store.submit(Box::new(move |_| {
        let _ = hold.recv();
    }));
    let done = Arc::new(Mutex::new(Vec::new()));
    for number in 0..10 {
        let (done, first) = (Arc::clone(&done), Arc::clone(&done));
        store.submit(Box::new(move |_| done.lock().unwrap().push(100 + number)));
        drop(store.call_first(move |_| {
            first.lock().unwrap().push(number);
            Ok(())
        }));
    }
    drop(held);
    drop(store);
    assert_eq!(*done.lock().unwrap(), (0..10).chain(100..110).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_is_queued_at_once_and_not_when_it_is_awaited() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(&directory).await;
    let first = store.call(|store| store.set_unknown_agents(crate::group::UnknownAgents::Reject));
    let second = store.call(|store| store.unknown_agents());
    assert_eq!(second.await.unwrap(), crate::group::UnknownAgents::Reject);
    first.await.unwrap();
}

#[tokio::test]
async fn a_job_that_panics_costs_only_its_own_answer() {
    let directory = tempfile::tempdir().unwrap();
    let store = start(&directory).await;
    let answer = store.call(|_| -> Result<()> { panic!("on purpose") }).await;
    assert_eq!(answer.unwrap_err().code(), Code::Internal);
    assert_eq!(store.call(|store| store.group()).await.unwrap(), "CORP");
}

#[tokio::test]
async fn a_store_that_does_not_open_gives_its_error() {
    let open = || Err(Error::new(Code::StoreNewer));
    assert_eq!(StoreThread::start(open).await.err().unwrap().code(), Code::StoreNewer);
}

#[tokio::test]
async fn the_last_owner_may_be_a_job() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(start(&directory).await);
    let (owner, (done, wait)) = (Arc::clone(&store), oneshot::channel());
    let (held, hold) = std::sync::mpsc::channel::<()>();
    store.submit(Box::new(move |_| {
        let _ = hold.recv();
        drop(owner);
        let _ = done.send(());
    }));
    drop(store);
    drop(held);
    wait.await.unwrap();
}
