//! Messages to agents: to sets, with an expiry, and what became of them (rule D8).

use std::time::Duration;

use super::*;
use crate::group::{
    Answer, AuditOperation, DownstreamOperation, MessageFilter, MessageRecord, MessageState, MessagesSent, Recipients,
};
use crate::limits::{DOWN_BYTES_MAX, DOWN_SEND_BYTES_MAX, FORGET_BATCH};
use crate::store::asking::Asking as _;

on_every_engine! {
    d8_a_message_to_a_set_is_one_transaction_with_a_number_per_agent_and_one_audit_entry,
    d8_a_set_is_by_pattern_by_gateway_or_everybody_who_is_approved,
    d8_a_full_agent_is_left_out_of_a_set_and_refused_alone,
    d8_nothing_is_sent_where_one_of_the_named_agents_is_unknown_or_all_copies_are_too_large,
    d8_an_expired_message_is_not_sent_and_shown_as_expired_although_a_later_number_is_acknowledged,
    d8_a_message_that_was_sent_before_it_expired_is_delivered_when_its_number_is_acknowledged,
    d8_an_expired_message_whose_very_number_is_acknowledged_is_delivered,
    d8_what_ended_is_shown_for_seven_days_and_a_thousand_of_an_agent,
    d8_one_server_in_each_period_is_told_to_forget,
    d8_messages_are_listed_in_pages_by_agent_and_number,
    d8_a_message_to_ten_thousand_agents_is_sent_at_once,
}

pub(super) const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn ask_group(store: &mut AnyStore, operation: DownstreamOperation, when: i64) -> crate::error::Result<Answer> {
    store.operate(operation, at(when))
}

pub(super) fn send_to(
    store: &mut AnyStore,
    recipients: Recipients,
    valid_for: i64,
    payload: &[u8],
    when: i64,
) -> crate::error::Result<MessagesSent> {
    let (valid_for_ms, payload) = (valid_for.unsigned_abs(), payload.to_vec());
    match ask_group(store, DownstreamOperation::SendTo { recipients, valid_for_ms, payload }, when)? {
        Answer::Sent(sent) => Ok(sent),
        other => panic!("{other:?}"),
    }
}

pub(super) fn listed(store: &mut AnyStore, filter: MessageFilter, limit: u64, when: i64) -> Vec<MessageRecord> {
    match ask_group(store, DownstreamOperation::Messages { filter, limit }, when).unwrap() {
        Answer::Messages(messages) => messages,
        other => panic!("{other:?}"),
    }
}

/// All messages as `agent number state`.
pub(super) fn states(store: &mut AnyStore, when: i64) -> Vec<String> {
    let all = listed(store, MessageFilter::default(), u64::MAX, when);
    all.iter().map(|one| format!("{} {} {}", one.agent, one.number, one.state)).collect()
}

pub(super) fn named(names: &[&str]) -> Recipients {
    Recipients::Agents(names.iter().map(|one| name(one)).collect())
}

/// Agents pc1, pc2 approved, pc3 pending, pc4 rejected; pc1 and pc3 behind gw1.
pub(super) fn place_with_agents(place: &dyn Place) -> AnyStore {
    let mut store = store_with_servers(place);
    store.approve_gateway(&name("gw1"), &name("ms1"), at(1)).unwrap();
    store.approve_agent(&name("pc1"), at(1)).unwrap();
    store.approve_agent(&name("pc2"), at(1)).unwrap();
    store.reject_agent(&name("pc4"), at(1)).unwrap();
    for (agent, via) in [("pc1", Some("gw1")), ("pc2", None), ("pc3", Some("gw1"))] {
        ask(&mut store, &knock(Role::Agent, agent, via, 2));
    }
    store
}

pub(super) fn fetched(store: &mut AnyStore, agent: &str, fence: u64, above: u64, when: i64) -> Vec<u64> {
    let found = store.down_messages(&name(agent), fence, (above, 9), at(when)).unwrap();
    found.iter().map(|message| message.number).collect()
}

fn d8_a_message_to_a_set_is_one_transaction_with_a_number_per_agent_and_one_audit_entry(place: &dyn Place) {
    let mut store = place_with_agents(place);
    store.send_down(&name("pc1"), b"first", at(5)).unwrap();
    let (change, entries) = (store.change().unwrap(), audited(&mut store).len());
    let sent = send_to(&mut store, named(&["pc2", "pc1", "pc2"]), HOUR, b"both", 10).unwrap();
    assert_eq!(sent, MessagesSent { agents: 2, number: None, left_out: 0, first_left_out: None });
    assert_eq!(store.change().unwrap(), change + 1);
    let audited = audited(&mut store);
    assert_eq!(audited.len(), entries + 1);
    let last = audited.last().unwrap();
    assert_eq!((last.action.as_str(), last.subject.as_str()), ("send", "3 agents"));
    assert!(last.after.as_ref().unwrap().contains(r#""agents":2,"named":["pc1","pc2"]"#), "{last:?}");
    let one = listed(&mut store, MessageFilter::default(), 9, 11).pop().unwrap();
    let (expires, state) = (Some(at(10 + HOUR)), MessageState::Pending);
    let by = "tester (here)".to_owned();
    let wanted =
        MessageRecord { agent: name("pc2"), number: 1, sent: at(10), by, expires, state, ended: None, bytes: 4 };
    assert_eq!(one, wanted);
    assert_eq!(states(&mut store, 11), ["pc1 1 pending", "pc1 2 pending", "pc2 1 pending"]);
    assert_eq!(store.down_waiting().unwrap().len(), 2);
}

pub(super) fn audited(store: &mut AnyStore) -> Vec<crate::group::AuditRecord> {
    let all = AuditOperation::Entries { since: at(i64::MIN), above: 0, limit: u64::MAX };
    match store.operate(all, at(1)).unwrap() {
        Answer::Audit(entries) => entries,
        other => panic!("{other:?}"),
    }
}

fn d8_a_set_is_by_pattern_by_gateway_or_everybody_who_is_approved(place: &dyn Place) {
    let mut store = place_with_agents(place);
    let mut agents = |recipients| send_to(&mut store, recipients, HOUR, b"x", 10).map(|sent| sent.agents);
    assert_eq!(agents(Recipients::All).unwrap(), 2);
    assert_eq!(agents(Recipients::Gateway(name("gw1"))).unwrap(), 1, "pc3 is not approved");
    assert_eq!(agents(Recipients::Pattern(crate::group::NamePattern::parse("PC*").unwrap())).unwrap(), 2);
    assert_eq!(agents(Recipients::Pattern(crate::group::NamePattern::parse("*2").unwrap())).unwrap(), 1);
    for nobody in [
        Recipients::Pattern(crate::group::NamePattern::parse("*.branch").unwrap()),
        Recipients::Gateway(name("gw2")),
        named(&[]),
    ] {
        assert_eq!(agents(nobody).unwrap_err().code(), Code::NameUnknown);
    }
    let of = |agent: &str, states: &[String]| states.iter().filter(|one| one.starts_with(agent)).count();
    let states = states(&mut store, 11);
    assert_eq!((of("pc1", &states), of("pc2", &states), states.len()), (3, 3, 6));
}

fn d8_a_full_agent_is_left_out_of_a_set_and_refused_alone(place: &dyn Place) {
    let mut store = place_with_agents(place);
    store.send_down(&name("pc1"), b"x", at(5)).unwrap();
    place.execute(&format!("UPDATE down_messages SET bytes = {}", DOWN_BYTES_MAX - 3));
    let sent = send_to(&mut store, Recipients::All, HOUR, b"four", 10).unwrap();
    assert_eq!((sent.agents, sent.left_out, sent.first_left_out), (1, 1, Some(name("pc1"))));
    let error = send_to(&mut store, named(&["pc1"]), HOUR, b"four", 10).unwrap_err();
    assert_eq!((error.code(), error.subject_text()), (Code::DownQueueFull, "pc1"));
    assert_eq!(send_to(&mut store, named(&["pc1"]), HOUR, b"333", 10).unwrap().number, Some(2));
}

fn d8_nothing_is_sent_where_one_of_the_named_agents_is_unknown_or_all_copies_are_too_large(place: &dyn Place) {
    let mut store = place_with_agents(place);
    let mut code = |names: &[&str], valid_for, bytes| {
        send_to(&mut store, named(names), valid_for, &vec![0; bytes], 10).unwrap_err().code()
    };
    assert_eq!(code(&["pc1", "pc9"], HOUR, 1), Code::NameUnknown);
    assert_eq!(code(&["pc1", "pc3"], HOUR, 1), Code::AgentPending);
    assert_eq!(code(&["pc1", "pc4"], HOUR, 1), Code::NameRejected);
    assert_eq!(code(&["pc1", "pc2"], HOUR, DOWN_PAYLOAD_BYTES_MAX + 1), Code::MessageTooLarge);
    assert_eq!(code(&["pc1"], 999, 1), Code::ArgumentInvalid);
    assert_eq!(code(&["pc1"], 31 * DAY, 1), Code::ArgumentInvalid);
    assert!(states(&mut store, 11).is_empty());
}

fn d8_an_expired_message_is_not_sent_and_shown_as_expired_although_a_later_number_is_acknowledged(place: &dyn Place) {
    let mut store = place_with_agents(place);
    for (number, valid_for) in [(1, HOUR), (2, DAY), (3, HOUR), (4, DAY)] {
        assert_eq!(send_to(&mut store, named(&["pc1"]), valid_for, b"x", 10).unwrap().number, Some(number));
    }
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    assert_eq!(fetched(&mut store, "pc1", fence, 0, 9 + HOUR), [1, 2, 3, 4]);
    assert_eq!(fetched(&mut store, "pc1", fence, 0, 10 + HOUR), [2, 4]);
    assert_eq!(fetched(&mut store, "pc1", fence, 2, 11 + HOUR), [4]);
    store.down_delivered(&name("pc1"), fence, 2, at(12 + HOUR)).unwrap();
    let shown = ["pc1 1 expired", "pc1 2 delivered", "pc1 3 expired", "pc1 4 pending"];
    assert_eq!(states(&mut store, 12 + HOUR), shown);
    store.down_delivered(&name("pc1"), fence, 4, at(13 + HOUR)).unwrap();
    let all = listed(&mut store, MessageFilter::default(), 9, 14 + HOUR);
    let ended: Vec<_> = all.iter().map(|one| (one.state.as_str(), one.ended.unwrap().unix_millis() - HOUR)).collect();
    assert_eq!(ended, [("expired", 10), ("delivered", 12), ("expired", 10), ("delivered", 13)]);
    assert!(store.down_waiting().unwrap().is_empty());
    let kept = if place.engine() == "sqlite" { "sum(length(payload))" } else { "sum(octet_length(payload))" };
    let sql = format!("SELECT {kept} || '' FROM {}down_messages", schema(place));
    assert_eq!(place.text(&sql), "0", "the bytes of what ended are gone");
}

pub(super) fn schema(place: &dyn Place) -> &'static str {
    if place.engine() == "sqlite" { "" } else { "farpost." }
}

fn d8_a_message_that_was_sent_before_it_expired_is_delivered_when_its_number_is_acknowledged(place: &dyn Place) {
    let mut store = place_with_agents(place);
    for valid_for in [HOUR, HOUR, DAY] {
        send_to(&mut store, named(&["pc1"]), valid_for, b"x", 10).unwrap();
    }
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    assert_eq!(fetched(&mut store, "pc1", fence, 0, 11), [1, 2, 3]);
    assert_eq!(states(&mut store, 20 + HOUR), ["pc1 1 expired", "pc1 2 expired", "pc1 3 pending"]);
    // The server looks for more, above what it sent: that ends nothing of what is under way.
    assert!(fetched(&mut store, "pc1", fence, 3, 20 + HOUR).is_empty());
    store.forget_some(at(20 + HOUR)).unwrap();
    store.down_delivered(&name("pc1"), fence, 3, at(21 + HOUR)).unwrap();
    assert_eq!(states(&mut store, 22 + HOUR), ["pc1 1 delivered", "pc1 2 delivered", "pc1 3 delivered"]);
}

fn d8_an_expired_message_whose_very_number_is_acknowledged_is_delivered(place: &dyn Place) {
    let mut store = place_with_agents(place);
    for _ in 0..2 {
        send_to(&mut store, named(&["pc1"]), HOUR, b"x", 10).unwrap();
    }
    let old = fence(&mut store, &request("pc1", 7, 1, 1));
    assert_eq!(fetched(&mut store, "pc1", old, 0, 11), [1, 2]);
    let new = fence(&mut store, &request("pc1", 7, 1, 2));
    assert!(fetched(&mut store, "pc1", new, 0, 10 + HOUR).is_empty(), "both ended now");
    // The agent says when it connects that its application has taken 2.
    store.down_delivered(&name("pc1"), new, 2, at(11 + HOUR)).unwrap();
    assert_eq!(states(&mut store, 12 + HOUR), ["pc1 1 expired", "pc1 2 delivered"]);
}

fn d8_what_ended_is_shown_for_seven_days_and_a_thousand_of_an_agent(place: &dyn Place) {
    let mut store = place_with_agents(place);
    for valid_for in [HOUR, 30 * DAY] {
        send_to(&mut store, Recipients::All, valid_for, b"x", 0).unwrap();
    }
    assert!(!store.forget_some(at(2 * HOUR - 1)).unwrap());
    assert_eq!(store.down_waiting().unwrap().len(), 2);
    store.forget_some(at(2 * HOUR)).unwrap();
    store.forget_some(at(7 * DAY + HOUR - 1)).unwrap();
    assert_eq!(states(&mut store, 7 * DAY).len(), 4);
    store.forget_some(at(7 * DAY + HOUR)).unwrap();
    assert_eq!(states(&mut store, 7 * DAY + HOUR), ["pc1 2 pending", "pc2 2 pending"]);
    let more = FORGET_BATCH as i64 * 2 + 250;
    for _ in 0..more {
        store.send_down(&name("pc1"), b"x", at(8 * DAY)).unwrap();
    }
    let fence = fence(&mut store, &request("pc1", 7, 1, 1));
    store.down_delivered(&name("pc1"), fence, u64::MAX, at(8 * DAY)).unwrap();
    assert_eq!(states(&mut store, 8 * DAY).len(), 1 + 1_000);
    assert!(store.forget_some(at(15 * DAY)).unwrap(), "there is more");
    assert!(store.forget_some(at(15 * DAY)).unwrap());
    assert!(!store.forget_some(at(15 * DAY)).unwrap());
    assert_eq!(states(&mut store, 15 * DAY), ["pc2 2 pending"]);
}

fn d8_one_server_in_each_period_is_told_to_forget(place: &dyn Place) {
    let (mut one, mut other) = (place.open(), place.open());
    assert!(one.is_time_to_forget(at(1_000_000)).unwrap());
    assert!(!other.is_time_to_forget(at(1_000_001)).unwrap());
    assert!(!one.is_time_to_forget(at(1_059_999)).unwrap());
    assert!(other.is_time_to_forget(at(1_060_000)).unwrap());
    assert!(!one.is_time_to_forget(at(1_060_001)).unwrap());
    assert!(one.is_time_to_forget(at(5)).unwrap(), "a clock that was set back stops nothing");
}

fn d8_messages_are_listed_in_pages_by_agent_and_number(place: &dyn Place) {
    let mut store = place_with_agents(place);
    for when in [10, 20, 30] {
        send_to(&mut store, Recipients::All, HOUR, b"x", when).unwrap();
    }
    let mut numbers = |filter, limit| -> Vec<(String, u64)> {
        listed(&mut store, filter, limit, 40).iter().map(|one| (one.agent.to_string(), one.number)).collect()
    };
    let pc = |agent: &str, number| (agent.to_owned(), number);
    let all = MessageFilter::default();
    assert_eq!(numbers(all.clone(), 2), [pc("pc1", 1), pc("pc1", 2)]);
    let after = MessageFilter { after: Some((name("pc1"), 2)), ..all.clone() };
    assert_eq!(numbers(after, 2), [pc("pc1", 3), pc("pc2", 1)]);
    let of_pc2 = MessageFilter { agent: Some(name("pc2")), ..all.clone() };
    assert_eq!(numbers(of_pc2.clone(), 9), [pc("pc2", 1), pc("pc2", 2), pc("pc2", 3)]);
    let next = MessageFilter { after: Some((name("pc2"), 1)), since: Some(at(30)), ..of_pc2 };
    assert_eq!(numbers(next, 9), [pc("pc2", 3)]);
    let of_pc1 = MessageFilter { agent: Some(name("pc1")), after: Some((name("pc1"), 9)), ..all.clone() };
    assert!(numbers(of_pc1, 9).is_empty());
    let expired = MessageFilter { state: Some(MessageState::Expired), ..all.clone() };
    assert!(numbers(expired.clone(), 9).is_empty());
    assert_eq!(listed(&mut store, expired, 9, 10 + HOUR).len(), 2);
    let pending = MessageFilter { state: Some(MessageState::Pending), ..all };
    assert_eq!(listed(&mut store, pending, 9, 10 + HOUR).len(), 4);
}

fn d8_a_message_to_ten_thousand_agents_is_sent_at_once(place: &dyn Place) {
    let mut store = place_with_agents(place);
    place.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
         INSERT INTO agents (name, state, address, software, first_seen, last_seen)
         SELECT 'x' || i || '.branch.example', 'approved', '', '', 0, 0 FROM n",
    );
    let begun = std::time::Instant::now();
    let sent = send_to(&mut store, Recipients::All, HOUR, &[7; 1_000], 10).unwrap();
    let took = begun.elapsed();
    println!("{}: 10,000 agents in {took:?}", place.engine());
    assert_eq!((sent.agents, sent.left_out), (10_000, 0));
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(store.down_waiting().unwrap().len(), 10_000);
    let bytes = usize::try_from(DOWN_SEND_BYTES_MAX / 10_000).unwrap() + 1;
    let error = send_to(&mut store, Recipients::All, HOUR, &vec![7; bytes], 10).unwrap_err();
    assert_eq!(error.code(), Code::MessageTooLarge);
}
