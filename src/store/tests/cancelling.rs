//! Messages to agents that are withdrawn before they are taken (rule D8).

use super::down::{HOUR, audited, fetched, listed, named, place_with_agents, schema, send_to, states};
use super::*;
use crate::error::{Error, Result};
use crate::group::{
    Access, Answer, Author, By, DownstreamOperation, MessageChoice, MessageFilter, MessageState, MessagesCancelled,
    NamePattern, Operation, OperatorsOperation, Recipients,
};
use crate::limits::DOWN_CANCELLED_MAX;
use crate::store::asking::Asking as _;

on_every_engine! {
    d8_a_cancelled_message_is_not_sent_and_is_shown_as_cancelled_with_one_audit_entry,
    d8_a_message_that_does_not_wait_any_more_is_not_cancelled_and_nothing_else_is,
    d8_a_cancelled_message_whose_very_number_is_acknowledged_is_delivered,
    d8_all_that_is_pending_is_cancelled_by_agent_by_pattern_or_altogether,
    d8_a_rehearsal_of_cancelling_changes_nothing,
    d8_only_who_may_change_the_group_cancels,
    d8_more_messages_than_one_transaction_takes_are_not_cancelled_at_once,
}

fn cancel(store: &mut AnyStore, choice: MessageChoice, rehearsal: bool, when: i64) -> Result<MessagesCancelled> {
    match store.operate(DownstreamOperation::Cancel { choice, rehearsal }, at(when))? {
        Answer::Cancelled(cancelled) => Ok(cancelled),
        other => panic!("{other:?}"),
    }
}

fn numbers(agent: &str, numbers: &[u64]) -> MessageChoice {
    MessageChoice::Numbers { agent: name(agent), numbers: numbers.to_vec() }
}

fn pattern(text: &str) -> MessageChoice {
    MessageChoice::Pattern(NamePattern::parse(text).unwrap())
}

fn counts(cancelled: Result<MessagesCancelled>) -> (u64, u64) {
    cancelled.map(|cancelled| (cancelled.messages, cancelled.agents)).unwrap()
}

fn refusal(error: &Error) -> (Code, &str, &str, &str) {
    (error.code(), error.subject_text(), error.found_text(), error.expected_text())
}

/// Three messages to pc1 and to pc2, sent at 10.
fn store_with_messages(place: &dyn Place) -> AnyStore {
    let mut store = place_with_agents(place);
    for _ in 0..3 {
        send_to(&mut store, named(&["pc1", "pc2"]), HOUR, b"four", 10).unwrap();
    }
    store
}

fn d8_a_cancelled_message_is_not_sent_and_is_shown_as_cancelled_with_one_audit_entry(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let (change, entries) = (store.change().unwrap(), audited(&mut store).len());
    assert_eq!(counts(cancel(&mut store, numbers("pc1", &[3, 1, 3]), false, 20)), (2, 1));
    assert_eq!(store.change().unwrap(), change + 1);
    let audited = audited(&mut store);
    assert_eq!(audited.len(), entries + 1);
    let last = audited.last().unwrap();
    assert_eq!((last.action.as_str(), last.subject.as_str()), ("cancel messages", "pc1"));
    assert_eq!(last.after.as_deref(), Some(r#"{"messages":2,"agents":1,"numbers":[1,3]}"#));
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    assert_eq!(fetched(&mut store, "pc1", fence, 0, 21), [2]);
    assert_eq!(states(&mut store, 21)[..3], ["pc1 1 cancelled", "pc1 2 pending", "pc1 3 cancelled"]);
    let only = MessageFilter { state: Some(MessageState::Cancelled), ..MessageFilter::default() };
    let ended: Vec<_> = listed(&mut store, only, 9, 2 * HOUR).iter().map(|one| (one.number, one.ended)).collect();
    assert_eq!(ended, [(1, Some(at(20))), (3, Some(at(20)))], "their expiry comes and goes");
    let kept = if place.engine() == "sqlite" { "length(payload)" } else { "octet_length(payload)" };
    let sql = format!("SELECT sum({kept}) || '' FROM {}down_messages WHERE agent = 'pc1'", schema(place));
    assert_eq!(place.text(&sql), "4", "the bytes of what was cancelled are gone");
    assert_eq!(store.send_down(&name("pc1"), b"x", at(30)).unwrap(), 4, "a number is used once");
    store.forget_some(at(20 + 7 * 24 * HOUR)).unwrap();
    assert!(!states(&mut store, 40).iter().any(|one| one.ends_with("cancelled")));
}

fn d8_a_message_that_does_not_wait_any_more_is_not_cancelled_and_nothing_else_is(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    store.down_delivered(&name("pc1"), fence, 1, at(30)).unwrap();
    cancel(&mut store, numbers("pc1", &[2]), false, 40).unwrap();
    let before = (store.change().unwrap(), audited(&mut store).len(), states(&mut store, 50));
    let mut refused =
        |agent: &str, all: &[u64], when| cancel(&mut store, numbers(agent, all), false, when).unwrap_err();
    let pending = "a message that is pending";
    let delivered = format!("delivered at {}", at(30));
    let error = refused("pc1", &[1, 3], 50);
    assert_eq!(refusal(&error), (Code::MessageEnded, "message 1 to pc1", &*delivered, pending));
    let error = refused("pc1", &[3, 2], 50);
    assert_eq!(
        refusal(&error),
        (Code::MessageEnded, "message 2 to pc1", &*format!("cancelled at {}", at(40)), pending)
    );
    let error = refused("pc2", &[3], 10 + HOUR);
    assert_eq!(
        refusal(&error),
        (Code::MessageEnded, "message 3 to pc2", &*format!("expired at {}", at(10 + HOUR)), pending)
    );
    let none = "no message of this number, or one that ended long ago";
    let error = refused("pc1", &[3, 9], 50);
    assert_eq!(refusal(&error), (Code::MessageUnknown, "message 9 to pc1", none, "the one that is pending: 3"));
    let error = refused("pc2", &[0], 50);
    let expected = "one that is pending: 3 of them from 1 to 3";
    assert_eq!(refusal(&error), (Code::MessageUnknown, "message 0 to pc2", none, expected));
    assert_eq!(refused("pc3", &[u64::MAX], 50).expected_text(), "one that is pending; there is none");
    assert_eq!(refused("pc9", &[1], 50).code(), Code::NameUnknown);
    assert_eq!(refused("pc1", &[], 50).code(), Code::ArgumentInvalid);
    let unknown = MessageChoice::Agents(vec![name("pc1"), name("pc9")]);
    let error = cancel(&mut store, unknown, false, 50).unwrap_err();
    assert_eq!((error.code(), error.subject_text()), (Code::NameUnknown, "pc9"));
    assert_eq!((store.change().unwrap(), audited(&mut store).len(), states(&mut store, 50)), before);
}

fn d8_a_cancelled_message_whose_very_number_is_acknowledged_is_delivered(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    assert_eq!(fetched(&mut store, "pc1", fence, 0, 11), [1, 2, 3], "all were sent");
    cancel(&mut store, numbers("pc1", &[1, 2]), false, 20).unwrap();
    store.down_delivered(&name("pc1"), fence, 2, at(30)).unwrap();
    assert_eq!(states(&mut store, 40)[..3], ["pc1 1 cancelled", "pc1 2 delivered", "pc1 3 pending"]);
    store.down_delivered(&name("pc1"), fence, 3, at(50)).unwrap();
    assert_eq!(states(&mut store, 60)[..3], ["pc1 1 cancelled", "pc1 2 delivered", "pc1 3 delivered"]);
}

fn d8_all_that_is_pending_is_cancelled_by_agent_by_pattern_or_altogether(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let pc2 = MessageChoice::Agents(vec![name("pc2"), name("pc3"), name("pc2")]);
    assert_eq!(counts(cancel(&mut store, pc2.clone(), false, 20)), (3, 1));
    let change = store.change().unwrap();
    assert_eq!(counts(cancel(&mut store, pc2, false, 20)), (0, 0), "there is nothing left of it");
    assert_eq!(store.change().unwrap(), change);
    send_to(&mut store, named(&["pc2"]), 2 * HOUR, b"x", 30).unwrap();
    store.reject_agent(&name("pc2"), at(31)).unwrap();
    assert_eq!(counts(cancel(&mut store, pattern("*.branch"), false, 40)), (0, 0));
    assert_eq!(counts(cancel(&mut store, pattern("PC*"), false, 10 + HOUR)), (1, 1), "what expired is not cancelled");
    let last = audited(&mut store).pop().unwrap();
    assert_eq!((last.action.as_str(), last.subject.as_str()), ("cancel messages", "pc*"));
    assert_eq!(last.after.as_deref(), Some(r#"{"messages":1,"agents":1,"named":["pc2"]}"#));
    assert_eq!(states(&mut store, 10 + HOUR).iter().filter(|one| one.ends_with("expired")).count(), 3);
    send_to(&mut store, Recipients::All, HOUR, b"x", 2 * HOUR).unwrap();
    assert_eq!(counts(cancel(&mut store, MessageChoice::All, false, 2 * HOUR)), (1, 1));
    store.forget_some(at(4 * HOUR)).unwrap();
    assert!(store.down_waiting().unwrap().is_empty());
}

fn d8_a_rehearsal_of_cancelling_changes_nothing(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let before = (store.change().unwrap(), audited(&mut store).len(), states(&mut store, 20));
    assert_eq!(counts(cancel(&mut store, MessageChoice::All, true, 20)), (6, 2));
    assert_eq!(counts(cancel(&mut store, numbers("pc1", &[2]), true, 20)), (1, 1));
    assert_eq!(cancel(&mut store, numbers("pc1", &[4]), true, 20).unwrap_err().code(), Code::MessageUnknown);
    assert_eq!((store.change().unwrap(), audited(&mut store).len(), states(&mut store, 20)), before);
}

fn d8_only_who_may_change_the_group_cancels(place: &dyn Place) {
    let mut store = store_with_messages(place);
    let operator = |who: &str, access| OperatorsOperation::ApproveOperator { operator: name(who), access, key: None };
    store.change_group(operator("ann", Access::Full), at(1)).unwrap();
    store.change_group(operator("bob", Access::ReadOnly), at(1)).unwrap();
    let mut as_one = |who: &str, rehearsal| {
        let operation = Operation::from(DownstreamOperation::Cancel { choice: numbers("pc1", &[1]), rehearsal });
        let by = By { author: Author::operator(who, "10.0.0.9:50000 at ms1"), at: at(20) };
        store.perform(&operation, &by).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(as_one("bob", false), Err(Code::OperatorReadOnly));
    assert_eq!(as_one("bob", true), Ok(()));
    assert_eq!(as_one("ann", false), Ok(()));
    assert_eq!(as_one("ann", false), Err(Code::MessageEnded));
}

fn d8_more_messages_than_one_transaction_takes_are_not_cancelled_at_once(place: &dyn Place) {
    let mut store = place_with_agents(place);
    let empty = if place.engine() == "sqlite" { "x''" } else { "''" };
    place.execute(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {DOWN_CANCELLED_MAX})
         INSERT INTO down_messages (agent, number, sent, payload) SELECT 'pc' || (i % 3), i, 0, {empty} FROM n"
    ));
    let error = cancel(&mut store, MessageChoice::All, false, 20).unwrap_err();
    assert_eq!(error.code(), Code::ArgumentInvalid);
    assert_eq!(error.found_text(), format!("{} that are pending", DOWN_CANCELLED_MAX + 1));
    let begun = std::time::Instant::now();
    let (messages, agents) = counts(cancel(&mut store, pattern("pc*1"), false, 20));
    println!("{}: {messages} messages in {:?}", place.engine(), begun.elapsed());
    assert_eq!((messages, agents), (DOWN_CANCELLED_MAX / 3 + 1, 1));
}
