//! An operator's end by hand: the test is the management server, the shell and the clock.

use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::identity::testing::Issued;
use crate::identity::{Identity, IdentityPolicy};
use crate::name::Name;
use crate::node::Shown;
use crate::wire::{AskAssembly, Body, OutgoingAnswer, STATUS_PENDING, put_message};

const SERVER: &str = "ms1.corp.example";

struct Lab {
    operator: Operator,
    server: Identity,
    at: Instant,
    /// What the operator did with links.
    dials: Vec<LinkId>,
    closed: Vec<LinkId>,
    hellos: Vec<Hello>,
    asked: Vec<(u64, Bytes)>,
    answers: Vec<(u64, Result<Bytes>)>,
    requests: Vec<wire::Request>,
    renewed: Vec<Result<wire::Answer>>,
    /// The server's end of the link that stands.
    link: Option<(LinkId, Link)>,
    assembly: AskAssembly,
}

impl Lab {
    fn new(group: &str) -> Self {
        let root = Issued::root(|_| {});
        let server = root.leaf_of(SERVER, |_| {}).identity(&root, &[], IdentityPolicy::default()).unwrap();
        let me = Introduction {
            role: Role::Operator,
            name: Name::parse("ann.corp.example").unwrap(),
            group: group.to_owned(),
            software: String::new(),
            heartbeat: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
        };
        let operator = Operator::new(Config { me, server: Upstream::parse(SERVER).unwrap() });
        Self {
            operator,
            server,
            at: Instant::from_micros(1_000_000),
            dials: Vec::new(),
            closed: Vec::new(),
            hellos: Vec::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            requests: Vec::new(),
            renewed: Vec::new(),
            link: None,
            assembly: AskAssembly::default(),
        }
    }

    fn give(&mut self, input: Input) {
        self.operator.handle(input, self.at);
        self.turn();
    }

    fn turn(&mut self) {
        self.operator.end_turn(self.at);
        while let Some(effect) = self.operator.poll_effect() {
            match effect {
                Effect::Link(LinkEffect::Dial { link, .. }) => self.dials.push(link),
                Effect::Link(LinkEffect::Close { link }) => self.closed.push(link),
                Effect::Link(LinkEffect::Transmit { link, bytes }) => {
                    self.receive(BytesMut::from(&bytes[..]));
                    self.operator.handle(Input::Link(LinkInput::Written { link }), self.at);
                    self.operator.end_turn(self.at);
                }
                Effect::Answered { id, result } => self.answers.push((id, result)),
                Effect::Renewed(result) => self.renewed.push(result),
                Effect::Stopped => {}
            }
        }
    }

    fn receive(&mut self, bytes: BytesMut) {
        let Some((_, link)) = &mut self.link else { return };
        link.handle_bytes(bytes, self.at);
        while let Some(frame) = link.next_frame().unwrap() {
            match frame.kind {
                Kind::Hello => self.hellos.push(read_message(&frame).unwrap()),
                Kind::Request => self.requests.push(read_message(&frame).unwrap()),
                Kind::Ask => self.asked.extend(self.assembly.handle(&read_message(&frame).unwrap()).unwrap()),
                kind => panic!("{kind:?}"),
            }
        }
    }

    fn ask(&mut self, id: u64, is_change: bool) {
        let until = self.at + ANSWER_WITHIN;
        self.give(Input::Ask(Question { id, operation: Bytes::from(format!("{{{id}}}")), is_change, until }));
    }

    /// The last dial ends well.
    fn connect(&mut self) -> LinkId {
        let link = *self.dials.last().unwrap();
        self.link = Some((link, Link::accepted(Duration::from_secs(10), self.at)));
        self.assembly = AskAssembly::default();
        let shown = Shown { generation: 1, key: self.server.key_hash() };
        let peer = Arc::new(self.server.own().clone());
        self.give(Input::Link(LinkInput::Dialled { link, result: Ok(peer), shown }));
        link
    }

    fn tell<B: Body>(&mut self, body: &B) {
        let (link, machine) = self.link.as_mut().unwrap();
        if B::KIND == Kind::Welcome {
            machine.enter(Phase::Asking, Duration::from_secs(10));
        }
        let (link, mut bytes) = (*link, BytesMut::new());
        put_message(&mut bytes, 0, body);
        self.give(Input::Link(LinkInput::Received { link, bytes }));
    }

    fn welcomed(&mut self) -> LinkId {
        let link = self.connect();
        self.tell(&welcome());
        link
    }

    fn answer(&mut self, id: u64, result: Result<Bytes>) {
        let mut answer = OutgoingAnswer::new(id, result);
        while let Some(part) = answer.next_part() {
            self.tell(&part);
        }
    }

    fn codes(&self) -> Vec<(u64, Option<Code>)> {
        self.answers.iter().map(|(id, result)| (*id, result.as_ref().err().map(Error::code))).collect()
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: PROTOCOL_VERSION,
        status: STATUS_ACCEPTED,
        role: Role::ManagementServer as u32,
        name: SERVER.to_owned(),
        group: "CORP".to_owned(),
        heartbeat_ms: 10_000,
        ..Welcome::default()
    }
}

#[test]
fn a_question_dials_introduces_itself_as_an_operator_and_is_answered_once() {
    let mut lab = Lab::new("");
    lab.ask(1, false);
    assert_eq!(lab.asked, [], "nothing before WELCOME");
    lab.welcomed();
    assert_eq!((lab.hellos[0].role, lab.hellos[0].group.as_str()), (Role::Operator as u32, ""));
    assert_eq!(lab.asked, [(1, Bytes::from_static(b"{1}"))]);
    lab.answer(1, Ok(Bytes::from(vec![7; 100_000])));
    assert_eq!(lab.answers, [(1, Ok(Bytes::from(vec![7; 100_000])))]);
    lab.ask(2, true);
    lab.answer(2, Err(Error::new(Code::ServerUnknown).subject("ms9")));
    lab.answer(2, Ok(Bytes::from_static(b"again")));
    assert_eq!(lab.codes(), [(1, None), (2, Some(Code::ServerUnknown))]);
    assert_eq!(lab.dials.len(), 1, "one link for all");
}

#[test]
fn a_change_without_its_answer_is_told_as_unknown_and_is_never_made_again() {
    let mut lab = Lab::new("CORP");
    for id in 1..=6 {
        lab.ask(id, id % 2 == 0);
    }
    let link = lab.welcomed();
    assert_eq!(lab.asked.len(), ASKS_IN_FLIGHT_MAX, "the others wait until these are answered");
    lab.answer(1, Ok(Bytes::from_static(b"1")));
    lab.answers.clear();
    lab.give(Input::Link(LinkInput::Lost { link, error: Error::new(Code::LinkDown).found("reset") }));
    let expected =
        [(2, Code::ChangeUnconfirmed), (3, Code::LinkDown), (4, Code::ChangeUnconfirmed), (5, Code::LinkDown)];
    let expected: Vec<_> = expected.into_iter().map(|(id, code)| (id, Some(code))).collect();
    assert_eq!(lab.codes()[..4], expected, "5 was sent when 1 was answered");
    assert_eq!(lab.codes()[4], (6, Some(Code::LinkDown)), "it was never sent: nothing was done");
    assert!(lab.answers[0].1.as_ref().unwrap_err().found_text().contains("reset"));
    lab.asked.clear();
    lab.ask(7, true);
    assert_eq!(lab.dials.len(), 2);
    lab.welcomed();
    assert_eq!(lab.asked, [(7, Bytes::from_static(b"{7}"))]);
}

#[test]
fn g5_a_refusal_is_every_questions_answer_with_its_code() {
    let refuse = |code: Code| Refuse::of_error(&Error::new(code).found("it"));
    for code in [Code::OperatorUnknown, Code::RoleNotApproved, Code::OperatorKeyMismatch] {
        let mut lab = Lab::new("CORP");
        lab.ask(1, true);
        lab.ask(2, false);
        let link = lab.connect();
        lab.tell(&refuse(code));
        assert_eq!(lab.codes(), [(1, Some(code)), (2, Some(code))], "nothing was asked, so nothing was done");
        assert_eq!((lab.asked.len(), lab.closed.as_slice()), (0, [link].as_slice()));
    }
}

#[test]
fn i1_whoever_is_not_the_management_server_that_was_meant_is_asked_nothing() {
    let right = welcome();
    for (wrong, code) in [
        (Welcome { name: "ms2.corp.example".into(), ..right.clone() }, Code::HelloNameMismatch),
        (Welcome { group: "corp".into(), ..right.clone() }, Code::GroupMismatch),
        (Welcome { role: Role::Gateway as u32, ..right.clone() }, Code::RoleUnexpected),
        (Welcome { version: 2, ..right.clone() }, Code::VersionUnsupported),
        (Welcome { status: STATUS_PENDING, code: 3001, ..right }, Code::GatewayPending),
    ] {
        let mut lab = Lab::new("CORP");
        lab.ask(1, true);
        lab.connect();
        lab.tell(&wrong);
        assert_eq!((lab.codes(), lab.asked.len()), (vec![(1, Some(code))], 0));
    }
}

#[test]
fn what_is_not_answered_in_time_is_given_up_and_keeps_its_place_until_the_server_answers() {
    let mut lab = Lab::new("CORP");
    lab.ask(1, true);
    lab.welcomed();
    for id in 2..=5 {
        lab.ask(id, false);
    }
    lab.at = lab.at + ANSWER_WITHIN;
    assert!(lab.operator.poll_timeout().unwrap() <= lab.at);
    lab.operator.handle_timeout(lab.at);
    lab.turn();
    let mut codes = lab.codes();
    codes.sort_unstable_by_key(|(id, _)| *id);
    let late = (2..=5).map(|id| (id, Some(Code::TimedOut)));
    assert_eq!(codes, std::iter::once((1, Some(Code::ChangeUnconfirmed))).chain(late).collect::<Vec<_>>());
    lab.answers.clear();
    lab.ask(6, false);
    assert_eq!(lab.asked.len(), 4, "the server still works on four");
    lab.answer(1, Ok(Bytes::from_static(b"late")));
    assert_eq!((lab.codes(), lab.asked.len()), (vec![], 5), "what was given up is not answered twice");
    lab.answer(6, Ok(Bytes::from_static(b"6")));
    assert_eq!(lab.codes(), [(6, None)]);
}

/// How long the shell of these tests waits: less than a link may be silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn d7_what_is_longer_than_a_server_takes_is_not_sent() {
    let mut lab = Lab::new("CORP");
    let operation = Bytes::from(vec![0; ASK_BYTES_MAX + 1]);
    let until = lab.at + ANSWER_WITHIN;
    lab.give(Input::Ask(Question { id: 1, operation, is_change: true, until }));
    assert_eq!((lab.codes(), lab.dials.len()), (vec![(1, Some(Code::MessageTooLarge))], 0));
}

fn request(byte: u8) -> renewal::Ask {
    renewal::Ask { hash: [byte; 32], request: wire::Request { request: vec![byte].into(), ..Default::default() } }
}

fn issued(byte: u8, more: bool) -> wire::Issued {
    let certificates = vec![Bytes::from_static(&[0x30])];
    wire::Issued { certificates, more, request: vec![byte; 32].into(), ..Default::default() }
}

#[test]
fn i5_a_request_for_a_certificate_goes_out_once_the_link_stands_and_is_answered_once() {
    let mut lab = Lab::new("CORP");
    lab.give(Input::Renew(request(1), lab.at + ANSWER_WITHIN));
    assert_eq!(lab.requests, [], "nothing before WELCOME");
    lab.welcomed();
    assert_eq!(lab.requests, [request(1).request]);
    lab.tell(&issued(2, false));
    assert_eq!(lab.renewed, [], "nobody asked for that");
    lab.tell(&issued(1, true));
    assert_eq!(lab.renewed, [], "more comes");
    lab.tell(&issued(1, false));
    let whole = Ok(wire::Answer::Issued(vec![Bytes::from_static(&[0x30]); 2]));
    assert_eq!(lab.renewed, [whole]);
    lab.tell(&issued(1, false));
    assert_eq!((lab.renewed.len(), lab.requests.len(), lab.dials.len()), (1, 1, 1));
}

#[test]
fn i5_a_request_for_a_certificate_ends_with_its_link_or_its_time_and_is_not_sent_again() {
    let codes =
        |lab: &Lab| -> Vec<_> { lab.renewed.iter().map(|result| result.as_ref().unwrap_err().code()).collect() };
    let mut lab = Lab::new("CORP");
    lab.give(Input::Renew(request(1), lab.at + ANSWER_WITHIN));
    let link = lab.welcomed();
    lab.give(Input::Link(LinkInput::Lost { link, error: Error::new(Code::LinkDown) }));
    assert_eq!(codes(&lab), [Code::LinkDown]);
    lab.ask(1, false);
    lab.welcomed();
    assert_eq!(lab.requests.len(), 1);
    lab.give(Input::Renew(request(2), lab.at + ANSWER_WITHIN));
    lab.at = lab.operator.poll_timeout().unwrap().max(lab.at + ANSWER_WITHIN);
    lab.operator.handle_timeout(lab.at);
    lab.turn();
    assert_eq!(codes(&lab), [Code::LinkDown, Code::TimedOut]);
    lab.tell(&issued(2, false));
    assert_eq!(lab.renewed.len(), 2, "what comes too late is not looked at");
}
