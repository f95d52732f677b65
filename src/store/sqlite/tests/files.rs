//! The file: made, shared, locked, damaged, foreign.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::store::asking::Asking as _;

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn code(result: Result<SqliteStore, Error>) -> Code {
    result.err().expect("an error").code()
}

#[test]
fn a_new_store_keeps_its_identity_and_only_its_owner_can_read_it() {
    let place = Place::new();
    let mut store = place.open();
    let identity = (store.group().unwrap(), store.assignment_key().unwrap(), store.challenge_secret().unwrap());
    assert_eq!(identity.0, "CORP");
    store.register_server(&name("ms1"), "", at(1)).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mut path = place.path.clone().into_os_string();
        path.push(suffix);
        assert_eq!(mode(path.as_ref()), 0o600, "{suffix}");
    }
    drop(store);
    let mut again = place.try_open(None).unwrap();
    assert_eq!(identity, (again.group().unwrap(), again.assignment_key().unwrap(), again.challenge_secret().unwrap()));
    let names: Vec<_> =
        std::fs::read_dir(place.path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("-new-")), "{names:?}");
}

#[test]
fn d4_every_commit_is_synced() {
    let store = Place::new().open();
    let pragma =
        |name| store.engine.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("journal_mode").unwrap(), "wal".to_owned().into());
    assert_eq!(pragma("synchronous").unwrap(), 2.into(), "2 is FULL");
}

#[test]
fn two_groups_have_different_keys_and_secrets() {
    let places = [Place::new(), Place::new()];
    let [mut one, mut other] = places.each_ref().map(Place::open);
    assert_ne!(one.assignment_key().unwrap(), other.assignment_key().unwrap());
    assert_ne!(one.challenge_secret().unwrap(), other.challenge_secret().unwrap());
}

#[test]
fn permissions_of_others_are_taken_from_an_existing_file() {
    let place = Place::new();
    drop(place.open());
    std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o664)).unwrap();
    drop(place.open());
    assert_eq!(mode(&place.path), 0o600);
}

#[test]
fn another_groups_store_is_refused_whatever_the_case() {
    let place = Place::new();
    drop(place.open());
    let error = place.try_open(Some("corp")).err().unwrap();
    assert_eq!((error.code(), error.found_text(), error.expected_text()), (Code::GroupMismatch, "CORP", "corp"));
    assert!(error.subject_text().ends_with("group.db"));
}

#[test]
fn a_missing_an_empty_and_an_unreachable_store_are_told_apart_from_a_new_one() {
    let place = Place::new();
    assert_eq!(code(place.try_open(None)), Code::StoreUnavailable);
    assert!(!place.path.exists(), "opening makes nothing");
    std::fs::write(&place.path, "").unwrap();
    assert_eq!(code(place.try_open(None)), Code::StoreUnavailable);
    assert!(place.try_open(Some("CORP")).is_ok(), "an empty file becomes a store");
    let nowhere = place.path.join("below").join("group.db");
    assert_eq!(code(SqliteStore::open(&nowhere, Some("CORP"))), Code::StoreUnavailable);
    assert_eq!(code(SqliteStore::open(place.path.parent().unwrap(), Some("CORP"))), Code::StoreUnavailable);
}

#[test]
fn a_group_name_that_no_group_can_have_makes_no_store() {
    for bad in ["", "a\nb", &"x".repeat(256)] {
        assert_eq!(code(Place::new().try_open(Some(bad))), Code::ConfigBadValue, "{bad:?}");
    }
}

#[test]
fn a_damaged_file_is_corrupt() {
    let place = Place::new();
    std::fs::write(&place.path, "this is no database, and longer than a header of one hundred bytes ".repeat(20))
        .unwrap();
    assert_eq!(code(place.try_open(Some("CORP"))), Code::StoreCorrupt);

    let place = Place::new();
    let store = with_servers(place.open());
    store.engine.connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(store);
    let mut bytes = std::fs::read(&place.path).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(&place.path, bytes).unwrap();
    let answer = place.try_open(Some("CORP")).and_then(|mut store| store.servers().map(|_| ()));
    assert_eq!(answer.unwrap_err().code(), Code::StoreCorrupt);
}

#[test]
fn a_value_that_farpost_did_not_write_is_corrupt() {
    for damage in
        ["UPDATE agents SET name = '../x'", "UPDATE agents SET state = 'king'", "UPDATE agents SET key_hash = x'00'"]
    {
        let place = Place::new();
        let mut store = place.open();
        store.approve_agent(&name("pc7"), at(1)).unwrap();
        store.engine.connection.execute(damage, []).unwrap();
        assert_eq!(store.agents().unwrap_err().code(), Code::StoreCorrupt, "{damage}");
    }
    for damage in ["signing_key = x'00'", "challenge_secret = x'00'", "name = printf('%999d', 1)"] {
        let place = Place::new();
        let store = place.open();
        store.engine.connection.execute(&format!("UPDATE management_group SET {damage}"), []).unwrap();
        drop(store);
        assert_eq!(code(place.try_open(None)), Code::StoreCorrupt, "{damage}");
    }
}

#[test]
fn a_newer_releases_store_is_left_alone() {
    let place = Place::new();
    let store = place.open();
    let newer = schema::MIGRATIONS.len() as i64 + 1;
    store.engine.connection.pragma_update(None, "user_version", newer).unwrap();
    drop(store);
    let error = place.try_open(Some("CORP")).err().unwrap();
    assert_eq!((error.code(), error.found_text()), (Code::StoreNewer, format!("version {newer}").as_str()));
}

#[test]
fn another_programs_database_is_left_alone() {
    let place = Place::new();
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(other);
    assert_eq!(code(place.try_open(Some("CORP"))), Code::StoreUnavailable);
    let other = Connection::open(&place.path).unwrap();
    let tables: i64 = other.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_store_that_another_process_keeps_locked_is_busy_and_usable_again_afterwards() {
    let place = Place::new();
    let holder = place.open();
    let mut store = place.try_open(None).unwrap();
    holder.engine.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.approve_agent(&name("pc7"), at(1)).unwrap_err();
    assert_eq!(error.code(), Code::StoreBusy);
    assert!(error.is_retriable());
    assert_eq!(store.agents().unwrap(), [], "reading goes on");
    holder.engine.connection.execute_batch("ROLLBACK").unwrap();
    store.approve_agent(&name("pc7"), at(1)).unwrap();
}

#[test]
fn what_cannot_be_written_is_unavailable() {
    let place = Place::new();
    let mut store = place.open();
    store.engine.connection.pragma_update(None, "query_only", true).unwrap();
    assert_eq!(store.approve_agent(&name("pc7"), at(1)).unwrap_err().code(), Code::StoreUnavailable);
    drop(store);
    std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o400)).unwrap();
    // The superuser writes whatever the mode says.
    if std::fs::OpenOptions::new().write(true).open(&place.path).is_err() {
        assert_eq!(code(place.try_open(Some("CORP"))), Code::StoreUnavailable);
    }
}

#[test]
fn processes_that_make_one_store_at_once_make_one_group() {
    let place = Place::new();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || SqliteStore::open(&place.path, Some("CORP")).unwrap().assignment_key().unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_failed_call_leaves_nothing_behind() {
    let place = Place::new();
    let mut store = with_servers(place.open());
    let (change, fence) = (store.change().unwrap(), fence(&mut store, &request("pc7", 7, 1, 1)));
    let foreign = run(0, "pc8", 7, 1..=2);
    let error = store.commit(&[write("pc7", 7, fence, 2)], &[run(0, "pc7", 7, 1..=2), foreign]).unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!((store.delivery_count().unwrap(), store.change().unwrap()), (0, change));
    assert_eq!(store.cursors().unwrap()[0].2, Sequence::NONE);
}

#[test]
fn g6_a_key_that_was_replaced_is_in_no_file_of_the_store_any_more() {
    let place = Place::new();
    let mut store = place.open();
    let by = crate::group::By { author: crate::group::Author::local_user("tester", "here"), at: at(1) };
    let former = store.back_up_key(&by).unwrap();
    let holds = |seed: &[u8]| {
        let files = std::fs::read_dir(place.path.parent().unwrap()).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(seed.len()).any(|window| window == seed))
    };
    assert!(holds(&former.pkcs8[16..48]), "the test looks where the key is");
    store.perform(&crate::group::KeysOperation::Rotate { version: 1 }.into(), &by).unwrap();
    assert!(!holds(&former.pkcs8[16..48]));
    let new = store.back_up_key(&by).unwrap();
    assert!(holds(&new.pkcs8[16..48]));
}
