//! A gateway and certificates, by hand: its upstream says what the test wants.

mod inner;
mod keys;

use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::error::Error;
use crate::group::Assignment;
use crate::identity::testing::{Issued as Certified, now};
use crate::identity::{IdentityPolicy, verify_peer};
use crate::limits::{ENROLMENTS_PER_LINK_MAX, FRAME_BYTES_MAX};
use crate::name::Name;
use crate::node::{PROTOCOL_VERSION, Shown};
use crate::role::Role;
use crate::routing::Timing;
use crate::wire::{
    Body, Frame, Issued, Request, STATUS_ACCEPTED, State, Welcome, next_frame, put_message, read_message,
};

const SERVER: &str = "ms1.corp.example";

/// A gateway on its way to a management server.
struct Lab {
    gateway: Gateway,
    /// Dialled last.
    link: LinkId,
    now: Instant,
    answers: Vec<(u64, Answer)>,
    renewed: Vec<Renewed>,
    sent: Vec<(LinkId, Frame)>,
    closed: Vec<LinkId>,
    events: Vec<Event>,
    upstream_role: Role,
    signs: Vec<u64>,
}

impl Lab {
    fn connected() -> Self {
        Self::connected_to(Role::ManagementServer)
    }

    fn connected_to(role: Role) -> Self {
        let me = Introduction {
            role: Role::Gateway,
            name: Name::parse("gw1.branch.example").unwrap(),
            group: "CORP".into(),
            software: "test".into(),
            heartbeat: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
        };
        let configured = Assignment::primary(SERVER).unwrap();
        let uplink = UplinkConfig { me, timing: Timing::gateway(), configured, held: None, group_key: None, seed: 1 };
        let gateway = Gateway::new(uplink, Instant::default());
        let mut lab = Self {
            gateway,
            link: LinkId::dialled(0),
            now: at(),
            answers: Vec::new(),
            renewed: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            events: Vec::new(),
            upstream_role: role,
            signs: Vec::new(),
        };
        lab.turn();
        lab.connect(1);
        lab
    }

    /// The link dialled last comes about, with the gateway's key of a generation.
    fn connect(&mut self, generation: u8) {
        let dialled = LinkInput::Dialled { link: self.link, result: Ok(peer(SERVER)), shown: shown(generation) };
        self.give(Input::Link(dialled));
        let (version, role, name) = (PROTOCOL_VERSION, self.upstream_role as u32, SERVER.to_owned());
        let group = "CORP".to_owned();
        let status = STATUS_ACCEPTED;
        self.tell(&Welcome { version, status, role, name, group, heartbeat_ms: 10_000, ..Welcome::default() });
        self.tell(&State { available: true, ..State::default() });
    }

    fn tell<B: Body>(&mut self, body: &B) {
        self.tell_on(self.link, 0, body);
    }

    fn tell_on<B: Body>(&mut self, link: LinkId, channel: u32, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, channel, body);
        self.give(Input::Link(LinkInput::Received { link, bytes }));
    }

    fn lose(&mut self) {
        let error = Error::new(Code::LinkDown);
        self.give(Input::Link(LinkInput::Lost { link: self.link, error }));
    }

    fn enrol(&mut self, ticket: u64) {
        let enrol = Enrol { name: "pc9.branch.example".into(), id: 99, ..Enrol::default() };
        self.give(Input::Enrol { ticket, enrol });
    }

    fn give(&mut self, input: Input) {
        self.gateway.handle(input, self.now);
        self.turn();
    }

    /// Ends the turn, and takes what comes out of it.
    fn turn(&mut self) {
        self.gateway.handle_timeout(self.now);
        self.gateway.end_turn(self.now);
        while let Some(effect) = self.gateway.poll_effect() {
            match effect {
                Effect::Link(LinkEffect::Dial { link, .. }) => self.link = link,
                Effect::Link(LinkEffect::Transmit { link, bytes }) => {
                    let mut stream = BytesMut::from(&bytes[..]);
                    while let Some(frame) = next_frame(&mut stream, FRAME_BYTES_MAX).unwrap() {
                        self.sent.push((link, frame));
                    }
                    self.gateway.handle(Input::Link(LinkInput::Written { link }), self.now);
                    self.gateway.end_turn(self.now);
                }
                Effect::Link(LinkEffect::Close { link }) => self.closed.push(link),
                Effect::Enrolled { ticket, answer } => self.answers.push((ticket, answer)),
                Effect::Renewed(renewed) => self.renewed.push(renewed),
                Effect::Event(event) => self.events.push(event),
                Effect::Sign { token, .. } => self.signs.push(token),
                _ => {}
            }
        }
    }

    fn sent_of(&self, kind: Kind) -> Vec<&Frame> {
        self.sent.iter().map(|(_, frame)| frame).filter(|frame| frame.kind == kind).collect()
    }
}

/// What the gateway proves with its key of a generation.
fn shown(generation: u8) -> Shown {
    Shown { generation: generation.into(), key: KeyHash([generation; 32]) }
}

fn peer(name: &str) -> Arc<VerifiedPeer> {
    let root = Certified::root(|_| ());
    let chain = [root.leaf_of(name, |_| ()).der()];
    let name = Name::parse(name).unwrap();
    let trust = root.trust(&[]).unwrap();
    Arc::new(verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name), now()).unwrap())
}

fn at() -> Instant {
    Instant::from_micros(1_000_000)
}

fn code_of(answer: &Answer) -> Option<Code> {
    match answer {
        Answer::Refused(error, _) => Some(error.code()),
        _ => None,
    }
}

#[test]
fn an_enrolment_goes_up_under_the_gateways_number_and_its_answer_comes_back_to_it() {
    let mut lab = Lab::connected();
    lab.enrol(5);
    let enrol: Enrol = read_message(lab.sent_of(Kind::Enrol)[0]).unwrap();
    assert_eq!(enrol.id, 5, "not what the node said");
    for enrolled in Answer::Issued(vec![Bytes::from_static(b"leaf"), Bytes::from_static(b"ca")]).to_enrolled(4) {
        lab.tell(&enrolled);
    }
    assert_eq!(lab.answers, [], "of another number");
    for enrolled in Answer::Pending(Duration::from_secs(9)).to_enrolled(5) {
        lab.tell(&enrolled);
        lab.tell(&enrolled);
    }
    assert_eq!(lab.answers, [(5, Answer::Pending(Duration::from_secs(9)))], "once");
}

#[test]
fn enrolments_are_bounded_and_end_with_the_link_that_they_went_on() {
    let mut lab = Lab::connected();
    let most = u64::try_from(ENROLMENTS_PER_LINK_MAX).unwrap();
    (1..=most + 1).for_each(|ticket| lab.enrol(ticket));
    assert_eq!(lab.sent_of(Kind::Enrol).len(), ENROLMENTS_PER_LINK_MAX);
    assert_eq!(lab.answers.len(), 1);
    assert_eq!(code_of(&lab.answers[0].1), Some(Code::RenewalTooOften));
    lab.lose();
    assert_eq!(lab.answers.len(), ENROLMENTS_PER_LINK_MAX + 1, "whoever waits hears it");
    lab.enrol(most + 2);
    let refused = lab.answers.iter().skip(1).all(|(_, answer)| code_of(answer) == Some(Code::UpstreamUnavailable));
    assert!(refused && lab.answers.len() == ENROLMENTS_PER_LINK_MAX + 2, "{:?}", lab.answers.last());
}

#[test]
fn its_own_renewal_is_asked_on_channel_0_and_again_on_the_next_link() {
    let mut lab = Lab::connected();
    let request = Request { request: Bytes::from_static(b"request"), ..Request::default() };
    lab.give(Input::Renew(Ask { hash: [7; 32], request: request.clone() }));
    let asked = lab.sent_of(Kind::Request);
    assert_eq!((asked.len(), asked[0].channel), (1, 0));
    assert_eq!(read_message::<Request>(asked[0]), Ok(request));
    let issued = Issued { request: vec![7; 32].into(), code: 1803, ..Issued::default() };
    lab.tell(&issued);
    assert_eq!(lab.renewed.len(), 1);
    assert_eq!(code_of(&lab.renewed[0].answer), Some(Code::RequestRefused));
    lab.tell(&issued);
    assert_eq!(lab.renewed.len(), 1, "an answer to nothing");
}
