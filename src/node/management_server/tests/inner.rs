//! Gateways behind gateways (rules G1 and I6): who is believed for whom, and what ends with what.

use super::attestations::FIRST;
use super::*;
use crate::wire::{Answer, Enrol, Report, Succeed};

const OUTER: &str = "gw1.corp.example";
const INNER: &str = "gw2.branch.example";
const AGENT: &str = "pc7.branch.example";

/// A server with a gateway on a link; one behind it, and an agent, whose chains it taught.
fn lab() -> (Lab, LinkId, [Identity; 3]) {
    let group = Group::new();
    let nodes = [OUTER, INNER, AGENT].map(|name| group.node(name));
    let mut lab = Lab::new(group);
    let link = lab.gateway(&nodes[0]);
    nodes[1..].iter().for_each(|node| lab.teach(link, node));
    (lab, link, nodes)
}

/// What a gateway opens for itself at another one.
fn own(gateway: &Identity, at: &Identity, period: u64, session: Session) -> Open {
    let mut claimed = attest_as(Role::Gateway, GROUP, gateway, at, period, session);
    claimed.gateway_key = Bytes::copy_from_slice(&at.key_hash().0);
    Open { role: Role::Gateway as u32, ..opening(gateway, claimed, session) }
}

fn behind(number: u32, open: Open) -> Open {
    Open { behind: number, ..open }
}

fn agents(agent: &Identity, gateway: &Identity, period: u64) -> Open {
    opening(agent, attest(agent, gateway, period, FIRST), FIRST)
}

fn via_of(lab: &Lab, link: LinkId, number: u32) -> Vec<String> {
    let id = lab.server.links[&link].channels[&number];
    lab.server.channels[&id].via.iter().map(ToString::to_string).collect()
}

#[test]
fn g1_i6_an_agent_behind_two_gateways_is_let_in_once_its_own_gateway_is_and_both_are_known() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    // Before its gateway has a channel, and while that is being looked at, nothing is behind it.
    lab.tell(link, 1, &behind(7, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::ChannelUnknown)));
    lab.holds_checks = true;
    lab.tell(link, 2, &own(&inner, &outer, now, FIRST));
    lab.tell(link, 3, &behind(2, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 3), Some(Err(Code::FrameUnexpected)));
    lab.holds_checks = false;
    let check = lab.checks.remove(0);
    let answer = lab.check(check);
    lab.give(answer);
    assert_eq!(lab.outcome(link, 2), Some(Ok(())));
    lab.tell(link, 4, &behind(2, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 4), Some(Ok(())));
    assert_eq!((via_of(&lab, link, 2), via_of(&lab, link, 4)), (vec![OUTER.into()], vec![INNER.into(), OUTER.into()]));
    assert_eq!(lab.server.connected(), (2, 1, 0));
    // Both are in the inventory with the whole path, and what the gateway says of itself is its own.
    lab.tell(link, 2, &Report { agents_connected: 3, ..Report::default() });
    let presences = lab.server.presences();
    let presence = |name: &str| presences.iter().find(|one| one.name.as_str() == name).unwrap();
    assert_eq!((presence(INNER).role, presence(INNER).via.len()), (Role::Gateway, 1));
    assert_eq!((presence(AGENT).role, presence(AGENT).via.len()), (Role::Agent, 2));
    let reported = lab.told.iter().find_map(|told| match told {
        Effect::Reported(report) => Some((report.name.as_str(), report.role, report.agents_connected, report.session)),
        _ => None,
    });
    assert_eq!(reported, Some((INNER, Role::Gateway, 3, presence(INNER).session)));
    // The link, and whoever else is on it, noticed nothing.
    let other = lab.group.node("pc8.branch.example");
    lab.teach(link, &other);
    lab.tell(link, 5, &agents(&other, &outer, now));
    assert_eq!((lab.outcome(link, 5), via_of(&lab, link, 5)), (Some(Ok(())), vec![OUTER.to_owned()]));
}

#[test]
fn i6_an_outer_gateway_speaks_for_no_agent_of_an_inner_one_and_the_inner_one_for_none_of_its() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.tell(link, 1, &own(&inner, &outer, now, FIRST));
    for (number, open) in [
        // Made for the inner one, shown as if the agent were at the outer one.
        (2, agents(&agent, &inner, now)),
        // Made for the outer one, shown behind the inner one.
        (3, behind(1, agents(&agent, &outer, now))),
    ] {
        lab.tell(link, number, &open);
        assert_eq!(lab.outcome(link, number), Some(Err(Code::AttestationElsewhere)), "{number}");
    }
    // Nor is one taken for another kind: an agent's word is no gateway's, and a gateway's no agent's.
    let as_gateway = Open { role: Role::Gateway as u32, ..agents(&inner, &outer, now) };
    let as_agent = Open { role: 0, ..own(&inner, &outer, now, FIRST) };
    for (number, open) in [(4, as_gateway), (5, as_agent)] {
        lab.tell(link, number, &open);
        assert_eq!(lab.outcome(link, number), Some(Err(Code::AttestationInvalid)), "{number}");
    }
    assert_eq!(lab.outcome(link, 1), Some(Ok(())), "nothing of that touched the gateway");
}

#[test]
fn i6_with_the_gateways_attestation_lapses_what_is_behind_it_and_an_older_connection_brings_nothing_back() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let first = own(&inner, &outer, lab.period(), FIRST);
    lab.tell(link, 1, &first);
    lab.tell(link, 2, &behind(1, agents(&agent, &inner, lab.period())));
    lab.periods_pass(1);
    // The agent renews, its gateway does not: it may have left long ago.
    lab.tell(link, 2, &attest(&agent, &inner, lab.period(), FIRST));
    assert_eq!((lab.outcome(link, 1), lab.outcome(link, 2)), (Some(Ok(())), Some(Ok(()))));
    lab.periods_pass(1);
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::AttestationStale)));
    assert_eq!(lab.server.connected(), (1, 0, 0));
    assert!(lab.server.channels.is_empty() && lab.server.links[&link].channels.is_empty());

    // It comes again, elsewhere: what the first one kept is fenced.
    let other = lab.group.node("gw9.corp.example");
    let elsewhere = lab.gateway(&other);
    lab.teach(elsewhere, &inner);
    let later = Session { connection: 2, ..FIRST };
    lab.tell(elsewhere, 1, &own(&inner, &other, lab.period(), later));
    assert_eq!(lab.outcome(elsewhere, 1), Some(Ok(())));
    lab.tell(link, 3, &own(&inner, &outer, lab.period(), FIRST));
    assert_eq!((lab.outcome(link, 3), lab.outcome(elsewhere, 1)), (Some(Err(Code::SessionStale)), Some(Ok(()))));
}

#[test]
fn g1_the_end_of_a_gateways_channel_ends_those_behind_it_and_a_newer_one_takes_its_place() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.tell(link, 1, &own(&inner, &outer, now, FIRST));
    lab.tell(link, 2, &behind(1, agents(&agent, &inner, now)));
    let later = Session { connection: 2, ..FIRST };
    lab.tell(link, 3, &own(&inner, &outer, now, later));
    assert_eq!((lab.outcome(link, 1), lab.outcome(link, 3)), (Some(Err(Code::SessionFenced)), Some(Ok(()))));
    assert_eq!(lab.server.connected(), (2, 0, 0));
    lab.tell(link, 4, &behind(1, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 4), Some(Err(Code::UpstreamUnavailable)), "its gateway's channel has ended");
    lab.tell(link, 5, &behind(3, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 5), Some(Ok(())));
    lab.tell(link, 3, &crate::wire::Close { code: 0, text: String::new(), forwarded: None });
    assert_eq!(lab.server.connected(), (1, 0, 0));
    let gone = lab.events.iter().filter(|event| event.code == Code::GatewayGone).count();
    assert_eq!(gone, 1, "the one that was replaced is not gone");
}

#[test]
fn g1_a_gateways_channel_carries_no_data_and_nothing_is_behind_an_agents() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.tell(link, 1, &agents(&agent, &outer, now));
    lab.tell(link, 2, &behind(1, agents(&agent, &outer, now)));
    assert_eq!((lab.outcome(link, 1), lab.outcome(link, 2)), (Some(Ok(())), Some(Err(Code::FrameUnexpected))));
    lab.tell(link, 3, &own(&inner, &outer, now, FIRST));
    lab.tell(link, 3, &crate::wire::GapFrame { first: 1, last: 2, reason: 0 });
    assert_eq!(lab.outcome(link, 3), Some(Err(Code::FrameUnexpected)));
    for (number, role) in [(4, 3), (5, 77)] {
        lab.tell(link, number, &Open { role, ..own(&inner, &outer, now, FIRST) });
        assert_eq!(lab.outcome(link, number), Some(Err(Code::FrameMalformed)), "{role}");
    }
    assert_eq!(lab.outcome(link, 1), Some(Ok(())), "D7: the others notice nothing");
}

#[test]
fn a_path_that_holds_a_name_twice_and_one_of_five_gateways_are_refused() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.teach(link, &outer);
    lab.tell(link, 1, &own(&outer, &outer, now, FIRST));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::GatewayLoop)));
    lab.tell(link, 2, &own(&inner, &outer, now, FIRST));
    let (mut last, mut number) = (inner, 2);
    for (at, expected) in [(3, Ok(())), (4, Ok(())), (5, Err(Code::PathTooLong))] {
        let next = lab.group.node(&format!("gw{at}.site.example"));
        lab.teach(link, &next);
        lab.tell(link, number + 1, &behind(number, own(&next, &last, now, FIRST)));
        assert_eq!(lab.outcome(link, number + 1), Some(expected), "{at}");
        if expected.is_ok() {
            (last, number) = (next, number + 1);
        }
    }
    lab.tell(link, 10, &behind(number, own(&outer, &last, now, FIRST)));
    assert_eq!(lab.outcome(link, 10), Some(Err(Code::GatewayLoop)));
    lab.tell(link, 11, &behind(number, agents(&agent, &last, now)));
    assert_eq!((lab.outcome(link, 11), via_of(&lab, link, 11).len()), (Some(Ok(())), 4));
}

#[test]
fn i5_what_attested_to_the_former_key_of_an_inner_gateway_stays_when_that_vouches_for_the_new_one() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let (now, newer) = (lab.period(), lab.group.node(INNER));
    lab.teach(link, &newer);
    lab.tell(link, 1, &own(&newer, &outer, now, FIRST));
    lab.tell(link, 2, &behind(1, agents(&agent, &inner, now)));
    assert_eq!(lab.outcome(link, 2), Some(Err(Code::AttestationElsewhere)), "nobody has vouched yet");
    let shown = crate::identity::succession::vouch(&inner, &newer, GROUP).unwrap();
    let succeed = Succeed {
        chain: Bytes::copy_from_slice(&inner.chain_hash().0),
        scheme: u32::from(shown.scheme),
        signature: shown.signature,
        ..Succeed::default()
    };
    lab.tell(link, 1, &succeed);
    let again = Session { connection: 2, ..FIRST };
    lab.tell(link, 3, &behind(1, opening(&agent, attest(&agent, &inner, now, again), again)));
    assert_eq!(lab.outcome(link, 3), Some(Ok(())));
    // Not for the agents of the gateway in front of it.
    lab.tell(link, 4, &agents(&agent, &inner, now));
    assert_eq!(lab.outcome(link, 4), Some(Err(Code::AttestationElsewhere)));
    // A second key on a channel that stands is nobody's.
    lab.tell(link, 1, &attest_as(Role::Gateway, GROUP, &inner, &outer, now, FIRST));
    lab.tell(link, 1, &attest_as(Role::Gateway, GROUP, &inner, &outer, now + 1, FIRST));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::AttestationInvalid)));
}

#[test]
fn an_enrolment_of_an_inner_gateway_is_for_that_one_and_is_answered_on_its_channel() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.tell(link, 1, &own(&inner, &outer, now, FIRST));
    lab.tell(link, 2, &behind(1, agents(&agent, &inner, now)));
    let enrolment = |id| Enrol { request: Bytes::from_static(b"request"), id, ..Enrol::default() };
    for (channel, id) in [(1, 5), (0, 5)] {
        lab.tell(link, channel, &enrolment(id));
    }
    assert_eq!(enrolments(&lab), [(1, INNER.to_owned()), (2, OUTER.to_owned())], "each gateway has its own numbers");
    lab.give(Input::Issued { order: 1, answer: Answer::Pending(std::time::Duration::from_secs(9)) });
    assert_eq!(enrolled(&lab), [1]);
    lab.give(Input::Issued { order: 2, answer: Answer::Pending(std::time::Duration::from_secs(9)) });
    assert_eq!(enrolled(&lab), [1, 0]);
    // An agent passes none on; what has left its place with its channel is not answered.
    lab.tell(link, 2, &enrolment(6));
    assert_eq!(lab.outcome(link, 2), Some(Err(Code::FrameUnexpected)));
    lab.tell(link, 1, &enrolment(7));
    lab.tell(link, 1, &crate::wire::Close::default());
    lab.give(Input::Issued { order: 3, answer: Answer::Pending(std::time::Duration::from_secs(9)) });
    assert_eq!((enrolments(&lab).len(), enrolled(&lab).len()), (3, 2));
}

#[test]
fn g1_i5_a_next_key_is_taken_from_a_link_and_from_a_channel_eight_times_and_changes_nothing_there() {
    let (mut lab, link, [outer, inner, agent]) = lab();
    let now = lab.period();
    lab.tell(link, 1, &own(&inner, &outer, now, FIRST));
    lab.tell(link, 2, &behind(1, agents(&agent, &inner, now)));
    let says = |next: usize| Succeed { next: vec![7; next].into(), scheme: 0x0403, ..Succeed::default() };
    for (channel, name) in [(1, INNER), (0, OUTER)] {
        lab.told.clear();
        (0..8).for_each(|_| lab.tell(link, channel, &says(32)));
        let told: Vec<_> = lab.told.iter().filter_map(next_key).collect();
        assert_eq!(told, vec![(name.to_owned(), KeyHash([7; 32])); 8]);
    }
    assert_eq!(lab.outcome(link, 2), Some(Ok(())), "what was attested stands");
    lab.tell(link, 1, &says(32));
    assert_eq!(lab.outcome(link, 1), Some(Err(Code::SuccessionInvalid)));
    lab.tell(link, 0, &says(31));
    assert_eq!(lab.outcome(link, 0), Some(Err(Code::SuccessionInvalid)));
    assert_eq!(lab.told.iter().filter_map(next_key).count(), 8);
}

/// Who says so, and which.
fn next_key(effect: &Effect) -> Option<(String, KeyHash)> {
    match effect {
        Effect::NextKey(said) => Some((said.knock.name.to_string(), said.next)),
        _ => None,
    }
}

/// The enrolments that the shell was asked to answer, and the gateway that each is for.
fn enrolments(lab: &Lab) -> Vec<(u64, String)> {
    let of = |effect: &Effect| match effect {
        Effect::Issue { order, what } => match what.as_ref() {
            Order::Enrolment { via, .. } => Some((*order, via.to_string())),
            Order::Renewal { .. } => None,
        },
        _ => None,
    };
    lab.told.iter().filter_map(of).collect()
}

/// The channels on which enrolments were answered.
fn enrolled(lab: &Lab) -> Vec<u32> {
    let of = |(_, frame): &(LinkId, Frame)| (frame.kind == Kind::Enrolled).then_some(frame.channel);
    lab.frames.iter().filter_map(of).collect()
}
