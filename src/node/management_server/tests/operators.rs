//! An operator's link at a management server: the test is the operator, the shell and the clock.

use super::*;
use crate::group::{Access, OperatorRecord, OperatorState};
use crate::limits::{ANSWER_TAKEN_WITHIN, WRITER_BYTES_MAX};
use crate::wire::{AnswerAssembly, Ask, Phase, Request, Welcome};

const ANN: &str = "ann.corp.example";

/// A server with one operator's link, whose chunks are taken only when the test says so.
struct Site {
    server: ManagementServer,
    link: LinkId,
    at: Instant,
    effects: Vec<Effect>,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new(Group::new());
        let ann = lab.group.node(ANN);
        let link = LinkId::accepted(1);
        let mut site = Self { server: lab.server, link, at: Instant::from_micros(1_000_000_000), effects: Vec::new() };
        let (peer, shown) = (Arc::new(ann.own().clone()), Shown { generation: 1, key: ann.key_hash() });
        site.give(Input::Link(LinkInput::Accepted { link, peer, shown, address: "10.0.0.9:1".into() }));
        site.tell(&Hello {
            version: 1,
            role: Role::Operator as u32,
            purpose: PURPOSE_USE,
            name: ANN.into(),
            heartbeat_ms: 300_000,
            ..Hello::default()
        });
        let knock = site.effects.iter().find_map(|effect| match effect {
            Effect::Authorise { knock, .. } => Some(knock.clone()),
            _ => None,
        });
        site.standing(Some(OperatorState::Approved), &knock.unwrap());
        let welcome = site.frames().into_iter().map(|frame| frame.kind).collect::<Vec<_>>();
        assert_eq!(welcome, [Kind::Welcome], "no challenge, no state");
        site.written();
        site
    }

    /// The group answers about the link.
    fn standing(&mut self, state: Option<OperatorState>, knock: &Knock) {
        let operator = state.map(|state| OperatorRecord {
            name: knock.name.clone(),
            state,
            access: Access::Full,
            since: now(),
            first_seen: None,
            last_seen: None,
            address: String::new(),
            server: None,
            pinned_key: None,
            next_key: None,
        });
        let decision = decide(&Facts { operator, ..Facts::default() }, knock).0;
        let result = Ok(Standing { decision, assignment: None });
        self.give(Input::Authorised { subject: Subject::Link(self.link), result });
    }

    fn give(&mut self, input: Input) {
        self.server.handle(input, self.at);
        self.turn();
    }

    fn turn(&mut self) {
        self.server.end_turn(self.at);
        self.effects.extend(std::iter::from_fn(|| self.server.poll_effect()));
    }

    fn tell<B: Body>(&mut self, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, 0, body);
        self.give(Input::Link(LinkInput::Received { link: self.link, bytes }));
    }

    fn ask(&mut self, id: u64) {
        self.tell(&Ask { id, more: false, operation: Bytes::from_static(b"1") });
    }

    fn written(&mut self) {
        self.give(Input::Link(LinkInput::Written { link: self.link }));
    }

    /// What was put out since the last look, in bytes.
    fn output(&mut self) -> BytesMut {
        let mut output = BytesMut::new();
        self.effects.retain(|effect| match effect {
            Effect::Link(LinkEffect::Transmit { bytes, .. }) => {
                output.extend_from_slice(bytes);
                false
            }
            _ => true,
        });
        output
    }

    fn frames(&mut self) -> Vec<Frame> {
        let mut output = self.output();
        std::iter::from_fn(|| next_frame(&mut output, FRAME_BYTES_MAX).unwrap()).collect()
    }

    fn orders(&self) -> Vec<u64> {
        let order = |effect: &Effect| match effect {
            Effect::Perform(ask) => Some(ask.order),
            _ => None,
        };
        self.effects.iter().filter_map(order).collect()
    }

    fn refused(&mut self) -> Option<Code> {
        let frames = self.frames();
        let refuse = frames.iter().find(|frame| frame.kind == Kind::Refuse)?;
        assert!(self.effects.iter().any(|effect| matches!(effect, Effect::Link(LinkEffect::Close { .. }))));
        Some(read_message::<Refuse>(refuse).unwrap().to_error().code())
    }
}

#[test]
fn d7_an_answer_goes_out_as_the_link_takes_it_and_the_next_ask_begins_after_it() {
    let mut site = Site::new();
    site.ask(5);
    site.ask(6);
    assert_eq!(site.orders(), [1], "one after the other");
    let answer: Bytes = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    site.give(Input::Performed { order: 1, result: Ok(answer.clone()) });
    let (mut assembly, mut whole) = (AnswerAssembly::default(), None);
    while whole.is_none() {
        let mut output = site.output();
        assert!(!output.is_empty() && output.len() <= WRITER_BYTES_MAX, "{}", output.len());
        while let Some(frame) = next_frame(&mut output, FRAME_BYTES_MAX).unwrap() {
            whole = assembly.handle(&read_message(&frame).unwrap()).unwrap();
        }
        assert_eq!(site.orders(), [1], "not before the first was taken");
        site.written();
    }
    assert_eq!(whole, Some((5, Ok(answer))));
    assert_eq!(site.orders(), [1, 2]);
}

#[test]
fn d7_an_operator_that_does_not_take_its_answer_is_cut_off_and_one_that_takes_it_slowly_is_not() {
    let mut site = Site::new();
    site.ask(1);
    site.give(Input::Performed { order: 1, result: Ok(Bytes::from(vec![1; 10_000_000])) });
    for _ in 0..5 {
        site.at = site.at + (ANSWER_TAKEN_WITHIN - Duration::from_secs(1));
        site.server.handle_timeout(site.at);
        site.written();
        assert_eq!(site.refused(), None);
    }
    site.at = site.at + ANSWER_TAKEN_WITHIN;
    assert!(site.server.poll_timeout().unwrap() <= site.at);
    site.server.handle_timeout(site.at);
    site.turn();
    assert_eq!(site.refused(), Some(Code::PeerDoesNotRead));
}

#[test]
fn g2_an_operator_whose_approval_went_is_cut_off_and_its_last_answer_goes_nowhere() {
    let mut site = Site::new();
    let knock = site.effects.iter().find_map(|effect| match effect {
        Effect::Authorise { knock, .. } => Some(knock.clone()),
        _ => None,
    });
    site.ask(1);
    for (state, code) in [(Some(OperatorState::Approved), None), (None, Some(Code::OperatorUnknown))] {
        site.standing(state, knock.as_ref().unwrap());
        assert_eq!(site.refused(), code);
    }
    site.give(Input::Performed { order: 1, result: Ok(Bytes::from_static(b"1")) });
    assert!(site.output().is_empty());
}

#[test]
fn g1_an_operators_link_takes_asks_alone_and_a_probe_is_none() {
    let mut site = Site::new();
    assert_eq!(site.server.links[&site.link].caller.link.phase(), Phase::Asking);
    site.tell(&ChainFrame { certificates: vec![], more: false });
    assert_eq!(site.refused(), Some(Code::FrameUnexpected));
    let mut site = Site::new();
    site.tell(&Welcome::default());
    assert_eq!(site.refused(), Some(Code::FrameUnexpected));
}

#[test]
fn i5_an_operator_asks_for_its_own_certificate_one_at_a_time_as_what_it_proved() {
    let mut site = Site::new();
    let request = |byte: u8| Request { request: vec![byte; 100].into(), ..Request::default() };
    site.tell(&request(1));
    let asked: Vec<_> = site
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Issue { order, what } => match what.as_ref() {
                Order::Renewal { knock, request, .. } => {
                    Some((*order, knock.role, knock.name.clone(), request.clone()))
                }
                Order::Enrolment { .. } => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(1, Role::Operator, Name::parse(ANN).unwrap(), request(1))]);
    let chain = crate::wire::Answer::Issued(vec![Bytes::from_static(&[0x30])]);
    site.give(Input::Issued { order: 1, answer: chain });
    let kinds: Vec<_> = site.frames().into_iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Issued]);
    site.written();
    // Another one at once is answered without the authority; a second one before its answer ends the link.
    site.tell(&request(2));
    let issued: crate::wire::Issued = read_message(&site.frames()[0]).unwrap();
    assert_eq!(issued.code, u32::from(Code::RenewalTooOften.number()));
    let mut site = Site::new();
    site.tell(&request(1));
    site.tell(&request(2));
    assert_eq!(site.refused(), Some(Code::FrameUnexpected));
}
