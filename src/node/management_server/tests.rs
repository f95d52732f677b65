//! A management server by hand: the test is its peers, its shell, the group and the clock.

mod attestations;
mod inner;
mod leaving;
mod operators;
mod reports;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::group::{
    Facts, GatewayRecord, GatewayState, GroupKey, GroupKeys, SessionRecord, UnknownAgents, decide, open,
};
use crate::identity::testing::{Issued, now};
use crate::identity::{Claim, Identity, IdentityPolicy, attestation, verify_peer};
use crate::limits::FRAME_BYTES_MAX;
use crate::node::Shown;
use crate::role::Role;
use crate::wire::{
    Attestation, Body, Chain as ChainFrame, Frame, Hello, Kind, Open, Opened, PURPOSE_USE, Refuse, STATUS_ACCEPTED,
    next_frame, put_message, read_message,
};

const GROUP: &str = "CORP";
const SECRET: [u8; 32] = [7; 32];
const SERVER: &str = "ms1.corp.example";

/// The nodes' certificates, and what the group keeps of sessions; servers may share it.
struct Group {
    root: Issued,
    sessions: BTreeMap<Name, SessionRecord>,
}

impl Group {
    fn new() -> Self {
        Self { root: Issued::root(|_| {}), sessions: BTreeMap::new() }
    }

    fn node(&self, name: &str) -> Identity {
        self.root.leaf_of(name, |_| {}).identity(&self.root, &[], IdentityPolicy::default()).unwrap()
    }

    /// Every agent is approved, and every gateway here.
    fn decision(knock: &Knock) -> Decision {
        let parent = Some(knock.server.clone());
        let gateway = GatewayRecord { parent, ..GatewayRecord::new(knock.name.clone(), GatewayState::Approved, now()) };
        let gateway = (knock.role == Role::Gateway).then_some(gateway);
        let unknown_agents = UnknownAgents::Approve;
        decide(&Facts { gateway, via_approved: true, unknown_agents, ..Facts::default() }, knock).0
    }
}

/// One server.
struct Lab {
    group: Group,
    server: ManagementServer,
    periods: u64,
    links: u64,
    frames: Vec<(LinkId, Frame)>,
    events: Vec<Event>,
    /// Reports, refusals, who is connected.
    told: Vec<Effect>,
    /// Checks that the shell has not begun, in the order in which they were asked for.
    checks: Vec<Effect>,
    holds_checks: bool,
    checked: usize,
    store_is_silent: bool,
}

impl Lab {
    fn new(group: Group) -> Self {
        let me = Introduction {
            role: Role::ManagementServer,
            name: Name::parse(SERVER).unwrap(),
            group: GROUP.into(),
            software: "test".into(),
            heartbeat: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(10),
        };
        let config = Config {
            me,
            group_keys: GroupKeys {
                version: 1,
                key: GroupKey::from_pkcs8(&ed25519()).unwrap().public(),
                successions: Vec::new(),
            },
            challenge_secret: SECRET.into(),
            output: Output::Application,
            message_bytes_max: 1 << 20,
        };
        let server = ManagementServer::new(config, now());
        let (frames, events, told, checks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            group,
            server,
            periods: 0,
            links: 0,
            frames,
            events,
            told,
            checks,
            holds_checks: false,
            checked: 0,
            store_is_silent: false,
        }
    }

    /// A gateway that is connected, approved and welcomed.
    fn gateway(&mut self, gateway: &Identity) -> LinkId {
        let link = self.knocks(gateway);
        assert!(
            self.frames.iter().any(|(to, frame)| *to == link && frame.kind == Kind::Challenge),
            "{:?}",
            self.events
        );
        link
    }

    /// A gateway has connected and sent its HELLO.
    fn knocks(&mut self, gateway: &Identity) -> LinkId {
        self.links += 1;
        let link = LinkId::accepted(self.links);
        let peer = Arc::new(gateway.own().clone());
        let shown = Shown { generation: 1, key: self.group.node(SERVER).key_hash() };
        self.give(Input::Link(LinkInput::Accepted { link, peer, shown, address: "10.0.0.1:1".into() }));
        let hello = Hello {
            version: 1,
            role: Role::Gateway as u32,
            purpose: PURPOSE_USE,
            name: gateway.name().to_string(),
            group: GROUP.into(),
            heartbeat_ms: 300_000,
            ..Hello::default()
        };
        self.tell(link, 0, &hello);
        link
    }

    fn teach(&mut self, link: LinkId, agent: &Identity) {
        let certificates = agent.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect();
        self.tell(link, 0, &ChainFrame { certificates, more: false });
    }

    fn tell<B: Body>(&mut self, link: LinkId, channel: u32, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, channel, body);
        self.give(Input::Link(LinkInput::Received { link, bytes }));
    }

    fn give(&mut self, input: Input) {
        self.server.handle(input, self.at());
        self.turn();
    }

    fn turn(&mut self) {
        self.server.end_turn(self.at());
        while let Some(effect) = self.server.poll_effect() {
            if let Some(answer) = self.perform(effect) {
                self.server.handle(answer, self.at());
                self.server.end_turn(self.at());
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Link(LinkEffect::Transmit { link, bytes }) => {
                let mut bytes = BytesMut::from(&bytes[..]);
                while let Some(frame) = next_frame(&mut bytes, FRAME_BYTES_MAX).unwrap() {
                    self.frames.push((link, frame));
                }
                Some(Input::Link(LinkInput::Written { link }))
            }
            Effect::VerifyAgent { .. } if self.holds_checks => {
                self.checks.push(effect);
                None
            }
            Effect::VerifyAgent { .. } => Some(self.check(effect)),
            Effect::VerifySuccession { subject, name, group, shown, .. } => {
                let server = self.group.node(SERVER);
                let result = crate::identity::succession::verify(&server, &shown, &name, &group, now()).map(Arc::new);
                Some(Input::SuccessionVerified { subject, chain: ChainHash::of(&shown.chain), result })
            }
            Effect::Authorise { .. } if self.store_is_silent => None,
            Effect::Authorise { subject, knock } => {
                let standing = Standing { decision: Group::decision(&knock), assignment: None };
                Some(Input::Authorised { subject, result: Ok(standing) })
            }
            Effect::OpenSession { channel, request } => {
                let (answer, record) = open(self.group.sessions.get(&request.agent), &request);
                self.group.sessions.extend(record.map(|record| (request.agent.clone(), record)));
                Some(Input::SessionOpened { channel, result: Ok(answer) })
            }
            Effect::Event(event) => {
                self.events.push(event);
                None
            }
            Effect::Reported(_)
            | Effect::Refused(_)
            | Effect::Entered(_)
            | Effect::Left { .. }
            | Effect::NextKey(_)
            | Effect::Issue { .. } => {
                self.told.push(effect);
                None
            }
            _ => None,
        }
    }

    /// What the shell's threads do.
    fn check(&mut self, effect: Effect) -> Input {
        let Effect::VerifyAgent { channel, agent, chain, claims, scheme, signature, .. } = effect else {
            panic!("{effect:?}")
        };
        self.checked += 1;
        let peer = match chain {
            Chain::Verified(peer) => Ok(peer),
            Chain::Der(chain) => {
                let chain: Vec<_> = chain.iter().map(|der| der.as_ref().into()).collect();
                let trust = self.group.root.trust(&[]).unwrap();
                verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&agent), now())
                    .map(Arc::new)
                    .map_err(Error::from)
            }
        };
        let result = peer.and_then(|peer| {
            if !peer.proves(&agent) {
                return Err(Error::new(Code::NameMismatch));
            }
            let mut result = Err(Error::new(Code::AttestationInvalid));
            for (key, claim) in &claims {
                result = result.or_else(|_| attestation::verify(&peer, scheme, claim, &signature).map(|()| *key));
            }
            result.map(|key| (peer, key))
        });
        Input::AgentVerified { channel, result }
    }

    /// Periods pass, one second at a time around each border; links live.
    fn periods_pass(&mut self, count: u64) {
        self.periods += count;
        let wall = Timestamp::from_unix_seconds(now().unix_seconds() + i64::try_from(self.periods * 600).unwrap());
        self.give(Input::Wall(wall));
    }

    fn at(&self) -> Instant {
        // Heartbeats are not what is tested: the monotonic clock stands.
        Instant::from_micros(1_000_000)
    }

    /// The period of the group's challenge now.
    fn period(&self) -> u64 {
        u64::try_from(now().unix_seconds()).unwrap() / 600 + self.periods
    }

    /// What the server said about a channel, the last word first: `Ok` if it is open.
    fn outcome(&self, link: LinkId, channel: u32) -> Option<Result<(), Code>> {
        let about = |(to, frame): &&(LinkId, Frame)| *to == link && frame.channel == channel;
        self.frames.iter().filter(about).rev().find_map(|(_, frame)| match frame.kind {
            Kind::Opened => {
                let opened: Opened = read_message(frame).unwrap();
                Some(if opened.status == STATUS_ACCEPTED { Ok(()) } else { Err(Code::AgentPending) })
            }
            Kind::Refuse => Some(Err(read_message::<Refuse>(frame).unwrap().to_error().code())),
            _ => None,
        })
    }
}

/// An agent's session, from which it opens channels.
#[derive(Clone, Copy)]
struct Session {
    boot: u64,
    connection: u64,
}

/// What an agent signs for a gateway in a period.
fn attest(agent: &Identity, gateway: &Identity, period: u64, session: Session) -> Attestation {
    attest_for_group(GROUP, agent, gateway, period, session)
}

fn attest_for_group(group: &str, agent: &Identity, gateway: &Identity, period: u64, session: Session) -> Attestation {
    attest_as(Role::Agent, group, agent, gateway, period, session)
}

fn attest_as(
    role: Role,
    group: &str,
    agent: &Identity,
    gateway: &Identity,
    period: u64,
    session: Session,
) -> Attestation {
    let claim = Claim {
        role,
        group,
        challenge: &challenge_of_period(&SECRET, group, period),
        gateway_key: gateway.key_hash(),
        name: agent.name(),
        epoch: Epoch(1),
        boot: session.boot,
        nonce: 3,
        connection: session.connection,
    };
    let (scheme, signature) = attestation::sign(agent, &claim.to_be_signed()).unwrap();
    Attestation {
        period,
        scheme: scheme.into(),
        signature,
        chain: Bytes::copy_from_slice(&agent.chain_hash().0),
        gateway_key: Bytes::copy_from_slice(&gateway.key_hash().0),
    }
}

/// An OPEN that shows it.
fn opening(agent: &Identity, attestation: Attestation, session: Session) -> Open {
    Open {
        name: agent.name().to_string(),
        epoch: 1,
        boot: session.boot,
        nonce: 3,
        connection: session.connection,
        boot_first: 1,
        lowest_held: 1,
        attestation: Some(attestation),
        ..Open::default()
    }
}

#[test]
fn h14_a_server_shows_neither_the_groups_secret_nor_its_challenges_before_their_time() {
    let lab = Lab::new(Group::new());
    let shown = format!("{:?}", lab.server);
    let next = challenge_of_period(&SECRET, GROUP, lab.period() + 1);
    for secret in [format!("{SECRET:?}"), format!("{next:?}")] {
        assert!(!shown.contains(&secret), "{secret}");
    }
    assert!(shown.contains("challenge_secret: ChallengeSecret"), "{shown}");
}

/// An Ed25519 key (PKCS#8, RFC 8410).
fn ed25519() -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(&[5; 32]);
    der
}
