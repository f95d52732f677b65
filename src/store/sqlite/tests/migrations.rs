//! The tables of every version that is out there, and how an old store becomes a new one.

use super::*;
use crate::group::{AgentState, SessionRequest};
use crate::message::Epoch;
use crate::store::asking::Asking as _;

/// The checksum of what an empty store's tables are after each migration.
const TABLES: [u32; 2] = [2_777_078_597, 2_893_737_125];

/// A store as the release of this version made it, with a row in each table that a newer one must keep.
fn old_store(place: &Place, version: usize) {
    let newest = place.open();
    let key: Vec<u8> =
        newest.engine.connection.query_row("SELECT signing_key FROM management_group", [], |row| row.get(0)).unwrap();
    drop(newest);
    for suffix in ["", "-wal", "-shm"] {
        let mut path = place.path.clone().into_os_string();
        path.push(suffix);
        let _ = std::fs::remove_file(path);
    }
    let old = Connection::open(&place.path).unwrap();
    for text in &schema::MIGRATIONS[..version] {
        old.execute_batch(text).unwrap();
    }
    old.pragma_update(None, "application_id", 0x4650_4753).unwrap();
    old.pragma_update(None, "user_version", version as i64).unwrap();
    old.execute(
        "INSERT INTO management_group (id, name, signing_key, challenge_secret, change) VALUES (1, 'CORP', ?1, ?2, 7)",
        (&key, &[9_u8; 32][..]),
    )
    .unwrap();
    old.execute_batch(
        "INSERT INTO servers VALUES ('ms1', '0.0.0.0:5723', 1, 5);
         INSERT INTO gateways (name, state, parent, first_seen, last_seen) VALUES ('gw1', 'approved', 'ms1', 1, 2);
         INSERT INTO agents (name, state, first_seen, last_seen) VALUES ('pc7', 'approved', 3, 4);
         INSERT INTO sessions (agent, fence, epoch, server, via, opened) VALUES ('pc7', 6, 7, 'ms1', NULL, 8);
         INSERT INTO epochs VALUES ('pc7', 7, 1, 1, 1, 40, 6);",
    )
    .unwrap();
}

#[test]
fn the_tables_of_a_released_version_never_change() {
    // Whoever changes a version's tables breaks every store that is out there: a new migration is the way.
    for (version, expected) in (1..).zip(TABLES) {
        let place = Place::new();
        old_store(&place, version);
        let sql: String = Connection::open(&place.path)
            .unwrap()
            .query_row(
                "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(crc32c::crc32c(sql.as_bytes()), expected, "the schema of version {version} changed");
    }
}

#[test]
fn a_store_of_every_older_version_opens_with_all_that_was_in_it() {
    for version in 1..=schema::MIGRATIONS.len() {
        let place = Place::new();
        old_store(&place, version);
        let mut store = place.try_open(Some("CORP")).unwrap();
        let reached: i64 = store.engine.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(reached, schema::MIGRATIONS.len() as i64);
        assert_eq!((store.change().unwrap(), store.challenge_secret().unwrap()), (7, [9; 32]));
        assert!(store.servers().unwrap()[0].excluded);
        assert_eq!(store.gateways().unwrap()[0].parent, Some(name("ms1")));
        assert_eq!(store.agents().unwrap()[0].state, AgentState::Approved);
        assert_eq!(store.cursors().unwrap(), [(name("pc7"), Epoch(7), Sequence(40))]);
        assert_eq!(store.tokens().unwrap(), [], "what came later is there and empty");
        let next = SessionRequest { boot_first: Sequence(41), ..request("pc7", 7, 2, 1) };
        assert_eq!(fence(&mut store, &next), 7, "fences go on where they were");
    }
}

#[test]
fn processes_that_migrate_one_store_at_once_migrate_it_once() {
    let place = Place::new();
    old_store(&place, 1);
    let changes: Vec<u64> = std::thread::scope(|scope| {
        let open = || SqliteStore::open(&place.path, None).unwrap().change().unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(changes, [7; 4]);
}
