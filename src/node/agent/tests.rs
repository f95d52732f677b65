//! What the agent lets out, and when, by hand: its upstream says what the test wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::code::Code;
use crate::group::Assignment;
use crate::identity::testing::{Issued, name, now};
use crate::identity::{IdentityPolicy, VerifiedPeer, verify_peer};
use crate::limits::FRAME_BYTES_MAX;
use crate::message::Priority;
use crate::name::Name;
use crate::node::{Introduction, LinkId, PROTOCOL_VERSION};
use crate::role::Role;
use crate::routing::Timing;
use crate::wire::{
    Body, Challenge, Kind, Open, Opened, Refuse, STATUS_ACCEPTED, State, Welcome, next_frame, put_header, put_message,
    read_message,
};

const SERVER: &str = "ms1.corp.example";
const EPOCH: Epoch = Epoch(7);

fn server() -> Arc<VerifiedPeer> {
    let root = Issued::root(|_| ());
    let chain = [root.leaf_of(SERVER, |_| ()).der()];
    let name = Name::parse(SERVER).unwrap();
    let trust = root.trust(&[]).unwrap();
    Arc::new(verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name), now()).unwrap())
}

/// An agent on a link to a management server.
struct Lab {
    agent: Agent,
    link: LinkId,
    channel: u32,
    seen: Vec<Epoch>,
    rekeys: usize,
    events: Vec<Code>,
}

impl Lab {
    /// Of a queue that holds 1 to `durable`, of which `first` and what follows was given since a boot was seen last.
    fn new(first: u64, durable: u64) -> Self {
        let me = Introduction {
            role: Role::Agent,
            name: name(),
            group: "CORP".into(),
            software: "test".into(),
            heartbeat: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
        };
        let configured = Assignment::primary(SERVER).unwrap();
        let uplink = UplinkConfig { me, timing: Timing::agent(), configured, held: None, group_key: None, seed: 1 };
        let held = Held { delivered: Sequence(0), durable: Sequence(durable), down_cursor: 0 };
        let mut agent = Agent::new(uplink, instance(EPOCH, first), held, Instant::default());
        agent.handle_timeout(at());
        agent.end_turn(at());
        let link = std::iter::from_fn(|| agent.poll_effect())
            .find_map(|effect| match effect {
                Effect::Link(LinkEffect::Dial { link, .. }) => Some(link),
                _ => None,
            })
            .expect("an agent dials");
        let mut lab = Self { agent, link, channel: 0, seen: Vec::new(), rekeys: 0, events: Vec::new() };
        let shown = crate::node::Shown { generation: 1, key: server().key_hash() };
        lab.agent.handle(Input::Link(LinkInput::Dialled { link, result: Ok(server()), shown }), at());
        lab.turn();
        lab.welcome();
        lab
    }

    fn welcome(&mut self) {
        self.tell(
            0,
            &Welcome {
                version: PROTOCOL_VERSION,
                status: STATUS_ACCEPTED,
                role: Role::ManagementServer as u32,
                name: SERVER.into(),
                group: "CORP".into(),
                heartbeat_ms: 10_000,
                ..Welcome::default()
            },
        );
        self.tell(0, &Challenge { period: 1, challenge: vec![1; 32].into() });
        self.tell(0, &State { available: true, ..State::default() });
    }

    fn tell<B: Body>(&mut self, channel: u32, body: &B) -> Vec<Kind> {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, channel, body);
        self.receive(bytes)
    }

    fn receive(&mut self, bytes: BytesMut) -> Vec<Kind> {
        self.give(Input::Link(LinkInput::Received { link: self.link, bytes }))
    }

    fn give(&mut self, input: Input) -> Vec<Kind> {
        self.agent.handle(input, at());
        self.turn()
    }

    /// A channel is refused with this code; after how long the next one is opened.
    fn opens_again_after(&mut self, code: Code) -> Duration {
        let mut kinds = self.tell(self.channel, &Refuse::of_error(&Error::new(code)));
        let mut time = Duration::ZERO;
        while !kinds.contains(&Kind::Open) {
            time += Duration::from_millis(250);
            assert!(time < Duration::from_secs(60), "never");
            self.agent.handle_timeout(at() + time);
            kinds = self.turn();
        }
        time
    }

    /// The group opens the channel and lets the agent send much.
    fn accept(&mut self, delivered: u64) -> Vec<Kind> {
        let mut kinds = self.tell(self.channel, &Opened { status: STATUS_ACCEPTED, code: 0, delivered });
        let mut bytes = BytesMut::new();
        put_header(&mut bytes, Kind::Credit, self.channel, 8);
        bytes.extend_from_slice(&(1_u64 << 20).to_be_bytes());
        kinds.extend(self.receive(bytes));
        kinds
    }

    /// Ends the turn, performs what is asked, answers which frames left.
    fn turn(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        self.agent.end_turn(at());
        while let Some(effect) = self.agent.poll_effect() {
            let answer = match effect {
                Effect::Link(LinkEffect::Transmit { bytes, .. }) => {
                    self.read(BytesMut::from(&bytes[..]), &mut kinds);
                    Input::Link(LinkInput::Written { link: self.link })
                }
                Effect::Sign { token, .. } => {
                    Input::Signed { token, result: Ok((0x0807, Bytes::from_static(&[1]), server().chain_hash())) }
                }
                Effect::Read { from, .. } => Input::Read((from.0..=from.0 + 1).map(message).collect()),
                Effect::KeepSeen { epoch } => {
                    self.seen.push(epoch);
                    continue;
                }
                Effect::Rekey => {
                    self.rekeys += 1;
                    continue;
                }
                Effect::Event(event) => {
                    self.events.push(event.code);
                    continue;
                }
                _ => continue,
            };
            self.agent.handle(answer, at());
            self.agent.end_turn(at());
        }
        kinds
    }

    fn read(&mut self, mut bytes: BytesMut, kinds: &mut Vec<Kind>) {
        while let Some(frame) = next_frame(&mut bytes, FRAME_BYTES_MAX).unwrap() {
            if frame.kind == Kind::Open {
                self.channel = frame.channel;
                let open: Open = read_message(&frame).unwrap();
                assert_eq!(open.boot_first, self.agent.instance().first.0);
            }
            kinds.push(frame.kind);
        }
    }
}

fn at() -> Instant {
    Instant::from_micros(60_000_000)
}

fn instance(epoch: Epoch, first: u64) -> Instance {
    Instance { epoch, boot: 2, nonce: 3, first: Sequence(first) }
}

fn message(sequence: u64) -> Numbered {
    let (sent, payload) = (crate::time::Timestamp::default(), Bytes::from_static(b"text"));
    Numbered { sequence: Sequence(sequence), priority: Priority::Normal, sent, payload }
}

#[test]
fn d1_nothing_of_a_boot_leaves_before_it_is_durable_that_the_group_has_seen_it() {
    let mut lab = Lab::new(1, 2);
    assert_eq!(lab.accept(0), []);
    assert_eq!(lab.give(Input::Durable(vec![message(3)])), []);
    assert_eq!(lab.seen, [EPOCH]);
    assert_eq!(lab.give(Input::SeenKept { epoch: Epoch(6) }), [], "the answer for an earlier epoch");
    assert_eq!(lab.give(Input::SeenKept { epoch: EPOCH }), [Kind::Data]);
    // Once per boot, however often channels are opened.
    let again = lab.tell(lab.channel, &Refuse { code: u32::from(Code::SessionStale.number()), ..Refuse::default() });
    assert!(again.is_empty(), "it waits a moment: {again:?}");
    lab.agent.handle_timeout(at() + Duration::from_secs(1));
    assert!(lab.turn().contains(&Kind::Open));
    assert_eq!(lab.accept(0), [Kind::Data]);
    assert_eq!(lab.seen, [EPOCH]);
}

#[test]
fn d1_a_new_epoch_has_to_be_seen_as_well() {
    let mut lab = Lab::new(1, 2);
    lab.tell(lab.channel, &Refuse { code: u32::from(Code::RolledBack.number()), ..Refuse::default() });
    assert_eq!(lab.rekeys, 1);
    let held = Held { delivered: Sequence(0), durable: Sequence(2), down_cursor: 0 };
    let opening = lab.give(Input::Rekeyed { instance: instance(Epoch(8), 1), held });
    assert_eq!(opening, [Kind::Open]);
    assert_eq!(lab.accept(0), []);
    assert_eq!(lab.seen, [Epoch(8)]);
    assert_eq!(lab.give(Input::SeenKept { epoch: EPOCH }), []);
    assert_eq!(lab.give(Input::SeenKept { epoch: Epoch(8) }), [Kind::Data]);
}

/// Each new epoch costs a sync: whoever answers "rolled back" again and again must not have one per round trip.
#[test]
fn d1_d7_a_second_new_epoch_in_a_row_waits_before_its_channel() {
    let mut lab = Lab::new(1, 2);
    let held = Held { delivered: Sequence(0), durable: Sequence(2), down_cursor: 0 };
    lab.tell(lab.channel, &Refuse { code: u32::from(Code::RolledBack.number()), ..Refuse::default() });
    assert_eq!(lab.give(Input::Rekeyed { instance: instance(Epoch(8), 1), held }), [Kind::Open]);
    lab.tell(lab.channel, &Refuse { code: u32::from(Code::RolledBack.number()), ..Refuse::default() });
    assert_eq!(lab.rekeys, 2);
    assert_eq!(lab.give(Input::Rekeyed { instance: instance(Epoch(9), 1), held }), []);
}

/// The application with a cursor of its own may be ahead of the group's: then only the agent notices.
#[test]
fn d1_an_application_that_has_what_an_unseen_boot_never_sent_makes_a_new_epoch() {
    let mut lab = Lab::new(51, 150);
    assert_eq!(lab.accept(51), [Kind::Close]);
    assert_eq!((lab.rekeys, lab.seen.len()), (1, 0));
    let mut lab = Lab::new(51, 150);
    lab.accept(50);
    assert_eq!((lab.rekeys, lab.seen.len()), (0, 1));
}

#[test]
fn d7_a_store_that_is_away_is_asked_for_less_and_less_often_and_told_of_once() {
    let mut lab = Lab::new(1, 3);
    lab.events.clear();
    let waits: Vec<u128> = (0..8).map(|_| lab.opens_again_after(Code::StoreUnavailable).as_millis()).collect();
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    assert_eq!(lab.events, [Code::StoreUnavailable]);
    lab.accept(0);
    assert_eq!(lab.opens_again_after(Code::StoreUnavailable), Duration::from_millis(250), "another outage");
}
