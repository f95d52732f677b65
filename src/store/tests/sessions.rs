//! Sessions, cursors, deliveries and messages to agents.

use super::presence::overview;
use super::*;
use crate::group::ProblemKind;
use crate::limits::DOWN_MESSAGES_MAX;
use crate::store::asking::Asking as _;

on_every_engine! {
    d5_two_servers_on_one_store_never_both_move_an_agents_cursor,
    f5_no_fence_is_given_twice_however_many_processes_ask_at_once,
    f5_the_same_connection_may_be_shown_again_and_gets_a_new_fence,
    f5_two_computers_that_take_turns_at_two_servers_are_a_problem_of_the_inventory,
    d1_a_restored_disk_is_told_how_far_the_group_has_seen,
    d9_the_ninth_epoch_replaces_the_oldest,
    d5a_every_key_is_stored_once_however_runs_overlap,
    d5a_what_was_delivered_and_then_deleted_by_its_owner_does_not_come_back,
    d5a_nothing_is_stored_beyond_the_cursor_that_covers_it,
    d5a_a_fenced_write_among_others_loses_only_its_own_deliveries,
    a_delivery_is_read_as_it_was_sent_page_by_page,
    d6_a_gap_is_stored_once_with_its_reason_and_only_what_is_new_of_it,
    d8_messages_to_an_agent_are_numbered_and_given_to_its_newest_session_only,
    d8_messages_to_an_agent_are_bounded_in_size_and_number,
}

fn d5_two_servers_on_one_store_never_both_move_an_agents_cursor(place: &dyn Place) {
    let (mut one, mut other) = (place.open(), place.open());
    let first = fence(&mut one, &request("pc7", 7, 1, 1));
    assert_eq!(one.commit(&[write("pc7", 7, first, 5)], &[]).unwrap(), [CursorOutcome::Written]);
    let second = fence(&mut other, &request("pc7", 7, 1, 2));
    assert!(second > first);
    let answer = one.commit(&[write("pc7", 7, first, 9)], &[run(0, "pc7", 7, 6..=9)]).unwrap();
    assert_eq!(answer, [CursorOutcome::Fenced]);
    assert_eq!((delivered(&mut one), one.cursors().unwrap()), (vec![], vec![(name("pc7"), Epoch(7), Sequence(5))]));
    assert_eq!(one.open_sessions(&[request("pc7", 7, 1, 1)]).unwrap(), [SessionAnswer::Stale]);
    assert_eq!(other.commit(&[write("pc7", 7, second, 9)], &[]).unwrap(), [CursorOutcome::Written]);
}

fn f5_no_fence_is_given_twice_however_many_processes_ask_at_once(place: &dyn Place) {
    drop(place.open());
    let ask = || {
        let mut store = place.open();
        (0..50).map(|_| fence(&mut store, &request("pc7", 7, 1, 1))).collect::<Vec<_>>()
    };
    let mut fences: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    fences.sort_unstable();
    assert_eq!(fences, (1..=200).collect::<Vec<_>>());
}

fn f5_the_same_connection_may_be_shown_again_and_gets_a_new_fence(place: &dyn Place) {
    let mut store = place.open();
    let first = fence(&mut store, &request("pc7", 7, 1, 1));
    drop(store);
    let mut store = place.open();
    assert_eq!(fence(&mut store, &request("pc7", 7, 1, 1)), first + 1);
}

fn f5_two_computers_that_take_turns_at_two_servers_are_a_problem_of_the_inventory(place: &dyn Place) {
    let (mut one, mut other) = (place.open(), place.open());
    one.approve_agent(&name("pc7"), at(1)).unwrap();
    let now = overview(&mut one).at;
    let mut open = |epoch, connection| {
        let request = SessionRequest { at: now, ..request("pc7", epoch, 1, connection) };
        let store = if epoch == 7 { &mut one } else { &mut other };
        match &store.open_sessions(&[request]).unwrap()[..] {
            [SessionAnswer::Granted(grant)] => grant.returns,
            answers => panic!("{answers:?}"),
        }
    };
    let problem = |store: &mut AnyStore| {
        let problems = overview(store).problems;
        let shared = problems.into_iter().find(|problem| problem.kind == ProblemKind::IdentityShared);
        shared.map(|problem| (problem.subject, problem.since, problem.agents))
    };
    assert_eq!((open(7, 1), open(8, 1), open(7, 2), open(8, 2), open(7, 3)), (0, 0, 1, 2, 3));
    assert_eq!(problem(&mut place.open()), None, "an opening that was on its way does this");
    assert_eq!(open(8, 3), 4);
    assert_eq!(problem(&mut place.open()), Some((Some(name("pc7")), Some(now), 1)));
}

fn d1_a_restored_disk_is_told_how_far_the_group_has_seen(place: &dyn Place) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", u64::MAX, 2, 1));
    store.commit(&[write("pc7", u64::MAX, fence, 100)], &[]).unwrap();
    let rolled_back = [SessionAnswer::RolledBack { highest: Sequence(100) }];
    let restored = SessionRequest { boot_first: Sequence(100), ..request("pc7", u64::MAX, 3, 1) };
    assert_eq!(store.open_sessions(std::slice::from_ref(&restored)).unwrap(), rolled_back);
    assert_eq!(store.open_sessions(&[request("pc7", u64::MAX, 1, 9)]).unwrap(), rolled_back);
    assert_eq!(store.commit(&[write("pc7", u64::MAX, fence, 101)], &[]).unwrap(), [CursorOutcome::Written]);
    let honest = SessionRequest { boot_first: Sequence(102), ..restored };
    assert!(matches!(store.open_sessions(&[honest]).unwrap()[0], SessionAnswer::Granted(_)));
}

fn d9_the_ninth_epoch_replaces_the_oldest(place: &dyn Place) {
    let mut store = place.open();
    for epoch in 1..=10 {
        fence(&mut store, &request("pc7", epoch, 1, 1));
    }
    fence(&mut store, &request("pc8", 1, 1, 1));
    let kept: Vec<_> = store.cursors().unwrap().iter().map(|(agent, epoch, _)| (agent.to_string(), epoch.0)).collect();
    let expected: Vec<_> = (3..=10).map(|epoch| ("pc7".to_owned(), epoch)).chain([("pc8".to_owned(), 1)]).collect();
    assert_eq!(kept, expected);
}

fn d5a_every_key_is_stored_once_however_runs_overlap(place: &dyn Place) {
    for overlap in 0..=5_u64 {
        let mut store = place.open();
        let fence = fence(&mut store, &request("pc7", 7, 1, 1));
        store.commit(&[write("pc7", 7, fence, 5)], &[run(0, "pc7", 7, 1..=5)]).unwrap();
        let again = run(0, "pc7", 7, 6 - overlap..=10);
        store.commit(&[write("pc7", 7, fence, 10)], std::slice::from_ref(&again)).unwrap();
        store.commit(&[write("pc7", 7, fence, 10)], &[again]).unwrap();
        assert_eq!(delivered(&mut store), (1..=10).collect::<Vec<_>>(), "overlap {overlap}");
    }
}

fn d5a_what_was_delivered_and_then_deleted_by_its_owner_does_not_come_back(place: &dyn Place) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    store.commit(&[write("pc7", 7, fence, 5)], &[run(0, "pc7", 7, 1..=5)]).unwrap();
    place.execute("DELETE FROM deliveries");
    store.commit(&[write("pc7", 7, fence, 7)], &[run(0, "pc7", 7, 1..=7)]).unwrap();
    assert_eq!(delivered(&mut store), [6, 7]);
    assert_eq!(store.deliveries(0, 1).unwrap()[0].number, 6, "nor is its number used again");
}

fn d5a_nothing_is_stored_beyond_the_cursor_that_covers_it(place: &dyn Place) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    store.commit(&[write("pc7", 7, fence, 3)], &[run(0, "pc7", 7, 1..=5)]).unwrap();
    assert_eq!(delivered(&mut store), [1, 2, 3]);
    store.commit(&[write("pc7", 7, fence, 5)], &[run(0, "pc7", 7, 1..=5)]).unwrap();
    assert_eq!(delivered(&mut store), [1, 2, 3, 4, 5]);
}

fn d5a_a_fenced_write_among_others_loses_only_its_own_deliveries(place: &dyn Place) {
    let mut store = place.open();
    let fences: Vec<_> = ["a", "b", "c"].iter().map(|agent| fence(&mut store, &request(agent, 7, 1, 1))).collect();
    fence(&mut store, &request("b", 7, 1, 2));
    let writes: Vec<_> = ["a", "b", "c"].iter().zip(&fences).map(|(agent, fence)| write(agent, 7, *fence, 2)).collect();
    let runs = [run(2, "c", 7, 1..=2), run(1, "b", 7, 1..=2), run(0, "a", 7, 1..=2)];
    let outcomes = store.commit(&writes, &runs).unwrap();
    assert_eq!(outcomes, [CursorOutcome::Written, CursorOutcome::Fenced, CursorOutcome::Written]);
    let stored = store.deliveries(0, 10).unwrap();
    let agents: Vec<_> = stored.iter().map(|delivery| delivery.agent.to_string()).collect();
    assert_eq!(agents, ["c", "c", "a", "a"]);
    assert_eq!(store.commit(&[write("nobody", 7, 0, 1)], &[]).unwrap(), [CursorOutcome::Fenced]);
}

fn a_delivery_is_read_as_it_was_sent_page_by_page(place: &dyn Place) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", u64::MAX - 1, 1, 1));
    let large = Numbered {
        sequence: Sequence(4),
        priority: Priority::Bulk,
        sent: at(4),
        payload: Bytes::from(vec![0xff; 100_000]),
    };
    let whole =
        StoredRun { content: Content::Large(large.clone()), via: Vec::new(), ..run(0, "pc7", u64::MAX - 1, 1..=1) };
    let runs = [run(0, "pc7", u64::MAX - 1, 1..=3), whole];
    store.commit(&[write("pc7", u64::MAX - 1, fence, 4)], &runs).unwrap();
    let page = store.deliveries(0, 3).unwrap();
    let first = &page[0];
    assert_eq!((first.epoch, first.priority, first.sent), (Epoch(u64::MAX - 1), Priority::Critical, at(1)));
    assert_eq!((&first.payload[..], &first.via), (&b"pc7 1"[..], &vec![name("gw1"), name("gw2")]));
    let rest = store.deliveries(page[2].number, 3).unwrap();
    assert_eq!((rest.len(), &rest[0].payload, rest[0].via.len()), (1, &large.payload, 0));
    assert_eq!(store.deliveries(u64::MAX, 3).unwrap(), []);
    assert_eq!(store.delivery_count().unwrap(), 4);
    let shown = place.text("SELECT epoch || ' ' || via FROM delivered ORDER BY id LIMIT 1");
    assert_eq!(shown, "fffffffffffffffe gw1,gw2");
}

fn d6_a_gap_is_stored_once_with_its_reason_and_only_what_is_new_of_it(place: &dyn Place) {
    let mut store = place.open();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    store.commit(&[write("pc7", 7, fence, 3)], &[]).unwrap();
    let gap = Gap { first: Sequence(2), last: Sequence(9), reason: Code::QueueDropped };
    let lost = StoredRun { content: Content::Gap(gap), ..run(0, "pc7", 7, 1..=1) };
    for _ in 0..2 {
        store.commit(&[write("pc7", 7, fence, 9)], std::slice::from_ref(&lost)).unwrap();
    }
    let stored = store.gaps(0, 10).unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].gap, Gap { first: Sequence(4), ..gap });
    assert_eq!(store.delivery_count().unwrap(), 0);
}

fn d8_messages_to_an_agent_are_numbered_and_given_to_its_newest_session_only(place: &dyn Place) {
    let mut store = place.open();
    let pc7 = name("pc7");
    assert_eq!(store.send_down(&pc7, b"x", at(1)).unwrap_err().code(), Code::NameUnknown);
    store.approve_agent(&pc7, at(1)).unwrap();
    store.approve_agent(&name("pc8"), at(1)).unwrap();
    for number in 1..=3 {
        assert_eq!(store.send_down(&pc7, format!("{number}").as_bytes(), at(number as i64)).unwrap(), number);
    }
    assert_eq!(store.send_down(&name("pc8"), b"other", at(1)).unwrap(), 1);
    assert_eq!(store.down_messages(&pc7, 0, (0, 9), at(9)).unwrap_err().code(), Code::CursorFenced, "no session");
    let old = fence(&mut store, &request("pc7", 7, 1, 1));
    let new = fence(&mut store, &request("pc7", 7, 1, 2));
    assert_eq!(store.down_messages(&pc7, old, (0, 9), at(9)).unwrap_err().code(), Code::CursorFenced);
    assert_eq!(store.down_delivered(&pc7, old, 3, at(9)).unwrap_err().code(), Code::CursorFenced);
    let numbers = |store: &mut AnyStore, above, count| -> Vec<u64> {
        store.down_messages(&pc7, new, (above, count), at(9)).unwrap().iter().map(|message| message.number).collect()
    };
    assert_eq!(numbers(&mut store, 0, 2), [1, 2]);
    assert_eq!(numbers(&mut store, 2, 2), [3]);
    store.down_delivered(&pc7, new, 2, at(9)).unwrap();
    assert_eq!(numbers(&mut store, 0, 9), [3]);
    store.down_delivered(&pc7, new, u64::MAX, at(9)).unwrap();
    assert_eq!(store.send_down(&pc7, b"4", at(4)).unwrap(), 4, "a number is never used again");
    store.reject_agent(&pc7, at(5)).unwrap();
    assert_eq!(store.send_down(&pc7, b"x", at(6)).unwrap_err().code(), Code::NameRejected);
}

fn d8_messages_to_an_agent_are_bounded_in_size_and_number(place: &dyn Place) {
    let mut store = place.open();
    let pc7 = name("pc7");
    store.approve_agent(&pc7, at(1)).unwrap();
    let too_long = vec![0; DOWN_PAYLOAD_BYTES_MAX + 1];
    assert_eq!(store.send_down(&pc7, &too_long, at(1)).unwrap_err().code(), Code::MessageTooLarge);
    store.send_down(&pc7, b"x", at(1)).unwrap();
    store.send_down(&pc7, &too_long[1..], at(1)).unwrap();
    place.execute(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < {DOWN_MESSAGES_MAX})
         INSERT INTO down_messages (agent, number, sent, payload)
         SELECT 'pc7', i, 0, (SELECT payload FROM down_messages WHERE number = 1) FROM n"
    ));
    assert_eq!(store.send_down(&pc7, b"x", at(1)).unwrap_err().code(), Code::DownQueueFull);
}

#[test]
fn d8_a_message_of_the_largest_size_travels_in_one_frame() {
    let mut out = bytes::BytesMut::new();
    let payload = Bytes::from(vec![1; DOWN_PAYLOAD_BYTES_MAX]);
    let down = crate::wire::Down { number: u64::MAX, sent_unix_ms: i64::MIN, payload };
    crate::wire::put_message(&mut out, u32::MAX, &down);
    assert!(out.len() <= crate::limits::FRAME_BYTES_MAX, "{}", out.len());
}
