//! Gateways behind gateways, by hand: who is below, and above, says what the test wants.

use super::*;
use crate::wire::{Hello, Opened, PURPOSE_USE, Refuse, STATUS_PENDING};

/// Whoever is below, by hand: what it is told.
impl Lab {
    /// Connects a node of this name and role, introduced.
    fn join(&mut self, number: u64, name: &str, role: Role) -> LinkId {
        let link = LinkId::accepted(number);
        let root = Certified::root(|_| ());
        let chain = [root.leaf_of(name, |_| ()).der()];
        let trust = root.trust(&[]).unwrap();
        let known = Name::parse(name).unwrap();
        let peer = verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&known), now()).unwrap();
        let shown = Shown { generation: 1, key: KeyHash([1; 32]) };
        let (peer, address) = (Arc::new(peer), "10.0.0.9:4000".to_owned());
        self.gateway.handle(Input::Link(LinkInput::Accepted { link, peer, address, shown }), at());
        let hello = Hello {
            version: PROTOCOL_VERSION,
            role: role as u32,
            purpose: PURPOSE_USE,
            name: name.into(),
            group: "CORP".into(),
            heartbeat_ms: 10_000,
            ..Hello::default()
        };
        self.say(link, 0, &hello);
        link
    }

    /// A node below says this.
    fn say<B: Body>(&mut self, link: LinkId, channel: u32, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, channel, body);
        self.gateway.handle(Input::Link(LinkInput::Received { link, bytes }), at());
        self.turn();
    }

    /// The upstream says this on a channel.
    fn answer_on<B: Body>(&mut self, channel: u32, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, channel, body);
        self.gateway.handle(Input::Link(LinkInput::Received { link: self.link, bytes }), at());
        self.turn();
    }

    fn refusals(&self) -> Vec<(u32, Code)> {
        let told = |frame: &Frame| (frame.channel, read_message::<Refuse>(frame).unwrap().to_error().code());
        self.sent_of(Kind::Refuse).into_iter().map(told).collect()
    }

    fn opened_above(&self) -> Vec<(u32, Open)> {
        let of_server = self.sent_of(Kind::Open);
        of_server.into_iter().map(|frame| (frame.channel, read_message(frame).unwrap())).collect()
    }
}

const INNER: &str = "gw2.site.example";
const AGENT: &str = "pc7.site.example";

fn open_of(name: &str, role: u32, behind: u32) -> Open {
    Open { name: name.into(), role, behind, lowest_held: 1, ..Open::default() }
}

#[test]
fn g1_nothing_is_opened_behind_a_gateway_before_the_group_let_it_in_and_nothing_goes_up() {
    let mut lab = Lab::connected();
    let link = lab.join(1, INNER, Role::Gateway);
    lab.say(link, 1, &open_of(INNER, 2, 0));
    lab.answer_on(1, &Opened { status: STATUS_PENDING, code: 3001, delivered: 0 });
    lab.say(link, 2, &open_of(AGENT, 0, 1));
    assert_eq!(lab.refusals(), [(0, Code::FrameUnexpected)]);
    assert_eq!(lab.opened_above().len(), 1, "only its own channel");
    let link = lab.join(2, INNER, Role::Gateway);
    lab.say(link, 1, &open_of(AGENT, 0, 0));
    assert_eq!(lab.refusals()[1..], [(0, Code::HelloNameMismatch)], "it is no agent's own link");
}

#[test]
fn an_inner_gateways_channels_go_up_behind_its_own_under_new_numbers_and_end_with_it() {
    let mut lab = Lab::connected();
    let agent = lab.join(1, "pc1.branch.example", Role::Agent);
    lab.say(agent, 1, &open_of("pc1.branch.example", 0, 0));
    let link = lab.join(2, INNER, Role::Gateway);
    lab.say(link, 7, &open_of(INNER, 2, 0));
    lab.answer_on(2, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    lab.say(link, 8, &Open { address: "192.168.0.1:1".into(), ..open_of(AGENT, 0, 7) });
    let above: Vec<_> = lab.opened_above().into_iter().map(|(id, open)| (id, open.name, open.behind)).collect();
    let expected = [(1, "pc1.branch.example", 0), (2, INNER, 0), (3, AGENT, 2)];
    assert_eq!(above, expected.map(|(id, name, behind)| (id, name.to_owned(), behind)));
    let addresses: Vec<String> = lab.opened_above().into_iter().map(|(_, open)| open.address).collect();
    assert_eq!(addresses, ["10.0.0.9:4000", "10.0.0.9:4000", "192.168.0.1:1"]);
    assert_eq!((lab.gateway.agents().0, lab.gateway.gateways()), (2, (1, 1)));
    lab.sent.clear();
    lab.answer_on(2, &Refuse { code: 3007, ..Refuse::default() });
    assert_eq!(lab.refusals(), [(7, Code::ApprovalWithdrawn)]);
    assert_eq!(lab.gateway.agents().0, 1, "what was behind it went with it");
    lab.say(link, 9, &open_of(AGENT, 0, 7));
    assert_eq!(lab.sent_of(Kind::Close).len(), 1, "behind what has just ended");
    // D7: the agent of its own noticed nothing, and its link stands.
    assert_eq!(lab.opened_above().len(), 0);
    lab.say(link, 10, &open_of(INNER, 2, 0));
    assert_eq!(lab.opened_above().len(), 1);
}

#[test]
fn f2_a_gateway_without_an_upstream_says_so_with_its_path_and_ends_what_is_behind_an_inner_one() {
    let mut lab = Lab::connected();
    let link = lab.join(1, INNER, Role::Gateway);
    lab.say(link, 1, &open_of(INNER, 2, 0));
    lab.answer_on(1, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    lab.say(link, 2, &open_of(AGENT, 0, 1));
    lab.sent.clear();
    lab.tell(&State { available: false, code: 2110, path: Vec::new() });
    let states: Vec<State> = lab.sent_of(Kind::State).into_iter().map(|frame| read_message(frame).unwrap()).collect();
    assert_eq!(
        (states.len(), states[0].available, &states[0].path[..]),
        (1, false, &["gw1.branch.example".to_owned()][..])
    );
    let closed: Vec<u32> = lab.sent_of(Kind::Close).into_iter().map(|frame| frame.channel).collect();
    assert_eq!(closed, [2, 1], "those behind it first");
}

#[test]
fn a_way_that_leads_back_or_is_too_long_is_left_and_a_node_of_the_own_path_is_refused() {
    let gateways = |count: usize| (1..=count).map(|at| format!("up{at}.corp.example")).collect::<Vec<_>>();
    let back = vec!["up1.corp.example".to_owned(), "gw1.branch.example".to_owned()];
    for (path, code) in [(back, Code::GatewayLoop), (gateways(4), Code::PathTooLong)] {
        let mut lab = Lab::connected();
        let before = lab.link;
        lab.tell(&State { available: true, path, ..State::default() });
        assert!(lab.link != before || lab.gateway.uplink().upstream().is_none(), "{code}");
        assert!(lab.events.iter().any(|event| event.code == code), "{code}: {:?}", lab.events);
    }
    let mut lab = Lab::connected();
    lab.tell(&State { available: true, path: gateways(3), ..State::default() });
    assert_eq!(lab.gateway.uplink().path().len(), 3);
    lab.join(1, "up2.corp.example", Role::Gateway);
    assert_eq!(lab.refusals(), [(0, Code::GatewayLoop)]);
    lab.join(2, "gw1.branch.example", Role::Gateway);
    assert_eq!(lab.refusals()[1..], [(0, Code::GatewayLoop)], "itself");
}

/// The longest OPEN that an agent may send, with the address that the gateway writes, would be too long for the server,
/// which would end the gateway's link for it.
#[test]
fn d7_an_opening_that_the_address_makes_too_long_costs_the_agent_its_link_and_nobody_else() {
    let mut lab = Lab::connected();
    let agent = lab.join(1, AGENT, Role::Agent);
    let fixed = prost::Message::encoded_len(&Open { software: "x".repeat(1_000), ..open_of(AGENT, 0, 0) }) - 1_000;
    lab.say(agent, 1, &Open { software: "x".repeat(Open::BYTES_MAX - fixed), ..open_of(AGENT, 0, 0) });
    assert_eq!(lab.refusals(), [(0, Code::FrameTooLong)]);
    assert_eq!(lab.opened_above().len(), 0);
}

#[test]
fn i6_a_gateway_behind_another_opens_its_own_channel_first_and_its_agents_behind_that() {
    let mut lab = Lab::connected_to(Role::Gateway);
    let agent = lab.join(1, AGENT, Role::Agent);
    lab.say(agent, 1, &open_of(AGENT, 0, 0));
    assert!(lab.signs.is_empty(), "there is no challenge yet");
    lab.tell(&Challenge { period: 7, challenge: Bytes::from_static(&[9; 32]) });
    let signed = || Ok((0x0807, Bytes::from_static(b"signed"), ChainHash([5; 32])));
    let answer = |lab: &mut Lab, result| {
        let token = *lab.signs.last().unwrap();
        lab.gateway.handle(Input::Signed { token, result }, at());
        lab.turn();
    };
    // A key service that fails is asked again, not at once and not for ever in one instant.
    answer(&mut lab, Err(Error::new(Code::SignerFailed)));
    assert_eq!(lab.signs.len(), 1);
    let due = lab.gateway.poll_timeout().unwrap();
    assert!(due > at());
    lab.gateway.handle_timeout(at() + Duration::from_secs(5));
    lab.turn();
    assert_eq!(lab.signs.len(), 2);
    answer(&mut lab, signed());
    let opened = lab.opened_above();
    assert_eq!((opened.len(), opened[0].1.role, opened[0].1.behind), (1, 2, 0));
    assert_eq!(opened[0].1.attestation.as_ref().unwrap().period, 7);
    lab.answer_on(1, &Opened { status: STATUS_PENDING, code: 3001, delivered: 0 });
    assert_eq!(lab.gateway.waiting().map(|(code, _)| code), Some(Code::GatewayPending));
    lab.answer_on(1, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    assert_eq!(lab.gateway.waiting(), None);
    lab.say(agent, 2, &open_of(AGENT, 0, 0));
    let opened = lab.opened_above();
    assert_eq!((opened.len(), &opened[1].1.name[..], opened[1].1.behind), (2, AGENT, 1));
    // A new period is attested on the same channel; a signer that fails then is asked again as well.
    lab.tell(&Challenge { period: 8, challenge: Bytes::from_static(&[8; 32]) });
    answer(&mut lab, Err(Error::new(Code::SignerFailed)));
    lab.gateway.handle_timeout(at() + Duration::from_secs(5));
    lab.turn();
    answer(&mut lab, signed());
    assert_eq!(lab.sent_of(Kind::Attest).len(), 1);
    assert!(lab.gateway.poll_timeout().unwrap() > at(), "nothing is looked at again and again");
    // What of the own channel is data ends the link.
    lab.answer_on(1, &Opened::default());
    let before = lab.link;
    let mut bytes = BytesMut::new();
    crate::wire::put_header(&mut bytes, Kind::Ack, 1, 8);
    bytes.extend_from_slice(&[0; 8]);
    lab.gateway.handle(Input::Link(LinkInput::Received { link: before, bytes }), at());
    lab.turn();
    assert!(lab.events.iter().any(|event| event.code == Code::FrameUnexpected), "{:?}", lab.events);
}

fn enrolment(id: u64) -> Enrol {
    Enrol { name: "pc9.site.example".into(), request: Bytes::from_static(b"request"), id, ..Enrol::default() }
}

#[test]
fn d7_enrolments_of_an_inner_gateway_pass_on_its_channel_as_they_came_and_are_bounded() {
    let mut lab = Lab::connected();
    let agent = lab.join(1, "pc1.branch.example", Role::Agent);
    lab.say(agent, 1, &open_of("pc1.branch.example", 0, 0));
    lab.answer_on(1, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    let link = lab.join(2, INNER, Role::Gateway);
    lab.say(link, 7, &open_of(INNER, 2, 0));
    lab.answer_on(2, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    lab.say(link, 7, &enrolment(5));
    let passed = lab.sent_of(Kind::Enrol);
    assert_eq!((passed.len(), passed[0].channel), (1, 2));
    assert_eq!(read_message::<Enrol>(passed[0]).unwrap(), enrolment(5), "its number is the inner gateway's");
    for enrolled in Answer::Issued(vec![Bytes::from_static(b"leaf"), Bytes::from_static(b"ca")]).to_enrolled(5) {
        lab.answer_on(2, &enrolled);
    }
    let back: Vec<u32> = lab.sent_of(Kind::Enrolled).into_iter().map(|frame| frame.channel).collect();
    assert_eq!((back, lab.answers.len()), (vec![7, 7], 0), "and they are not this gateway's");
    // The answered one has left its place; one more than there are places costs the inner gateway its channel alone.
    let most = u64::try_from(ENROLMENTS_PER_LINK_MAX).unwrap();
    (0..most).for_each(|id| lab.say(link, 7, &enrolment(id)));
    assert_eq!(lab.refusals(), []);
    lab.say(link, 7, &enrolment(most));
    assert_eq!(lab.refusals(), [(7, Code::FrameUnexpected)]);
    assert_eq!(lab.sent_of(Kind::Enrol).len(), ENROLMENTS_PER_LINK_MAX + 1);
    // An agent passes none on, and gets none.
    lab.say(agent, 1, &enrolment(1));
    assert_eq!(lab.refusals()[1..], [(0, Code::FrameUnexpected)]);
    assert_eq!(lab.sent_of(Kind::Enrol).len(), ENROLMENTS_PER_LINK_MAX + 1);
}

#[test]
fn g1_an_inner_gateway_passes_no_enrolment_on_before_the_group_let_it_in() {
    let mut lab = Lab::connected();
    let link = lab.join(1, INNER, Role::Gateway);
    lab.say(link, 1, &open_of(INNER, 2, 0));
    lab.say(link, 1, &enrolment(1));
    assert_eq!((lab.refusals(), lab.sent_of(Kind::Enrol).len()), (vec![(1, Code::FrameUnexpected)], 0));
    lab.say(link, 0, &enrolment(1));
    assert_eq!(lab.refusals()[1..], [(0, Code::FrameUnexpected)], "nor on channel 0");
}

#[test]
fn a_gateway_behind_another_passes_enrolments_on_on_its_own_channel_and_they_end_with_that() {
    let mut lab = Lab::connected_to(Role::Gateway);
    lab.enrol(1);
    assert_eq!(lab.answers.len(), 1);
    assert_eq!(code_of(&lab.answers[0].1), Some(Code::UpstreamUnavailable), "the group has not let it in yet");
    lab.tell(&Challenge { period: 7, challenge: Bytes::from_static(&[9; 32]) });
    let token = *lab.signs.last().unwrap();
    let result = Ok((0x0807, Bytes::from_static(b"signed"), ChainHash([5; 32])));
    lab.give(Input::Signed { token, result });
    lab.answer_on(1, &Opened { status: STATUS_ACCEPTED, ..Opened::default() });
    lab.enrol(2);
    lab.enrol(3);
    let sent: Vec<_> = lab.sent_of(Kind::Enrol).into_iter().map(|frame| frame.channel).collect();
    assert_eq!(sent, [1, 1]);
    lab.answer_on(1, &Answer::Pending(Duration::from_secs(9)).to_enrolled(2)[0]);
    assert_eq!(lab.answers[1..], [(2, Answer::Pending(Duration::from_secs(9)))]);
    lab.answer_on(1, &Refuse { code: 3007, ..Refuse::default() });
    assert_eq!(lab.answers.len(), 3, "who waits hears it");
    assert_eq!((lab.answers[2].0, code_of(&lab.answers[2].1)), (3, Some(Code::UpstreamUnavailable)));
}
