//! What becomes of the file while days come and go.

use super::*;
use crate::store::asking::Asking as _;
use crate::store::tests::days::{commit_on, prune};

#[test]
fn i4_the_file_does_not_grow_while_days_come_and_go() {
    let place = Place::new();
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    store.keep_deliveries(Some(1)).unwrap();
    let mut pages = Vec::new();
    for round in 0..8 {
        // Yesterday's rows stay and are then made as old as those that go, as time would.
        store
            .engine
            .connection
            .execute_batch(
                "UPDATE deliveries SET received = received - 172800000;
             UPDATE delivery_days SET day = day - 2",
            )
            .unwrap();
        for part in 0..4 {
            let first = round * 2_000 + part * 500 + 1;
            commit_on(&mut store, 0, &write("pc7", 7, fence, first + 499), &[run(0, "pc7", 7, first..=first + 499)]);
        }
        prune(&mut store);
        assert_eq!(store.delivery_count().unwrap(), 2_000, "one day is there");
        let count: i64 = store.engine.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        pages.push(count);
    }
    assert!(pages[7] <= pages[2] + pages[2] / 10, "{pages:?}");
}
