//! Keys of the gateway that come while an agent's link stands (rules I5 and D5).

use super::*;
use crate::identity::succession::Succession;
use crate::identity::testing::NAME;
use crate::limits::FORMER_KEYS_MAX;
use crate::message::{Numbered, Priority};
use crate::node::{CertificateChange, IdentityChange};
use crate::time::Timestamp;
use crate::wire::{Close, Hello, Opened, PURPOSE_USE, Refuse, Succeed, put_data, put_header};

/// An agent's link, on which the gateway showed its first key.
const AGENT: LinkId = LinkId(1);

impl Lab {
    /// With an agent that met the gateway's first key, and whose channel is open.
    fn with_an_agent() -> Self {
        let mut lab = Self::connected();
        let accepted = LinkInput::Accepted { link: AGENT, peer: peer(NAME), address: String::new(), shown: shown(1) };
        lab.give(Input::Link(accepted));
        let (version, role, purpose) = (PROTOCOL_VERSION, Role::Agent as u32, PURPOSE_USE);
        let (name, group, heartbeat_ms) = (NAME.to_owned(), "CORP".to_owned(), 10_000);
        lab.tell_on(AGENT, 0, &Hello { version, role, purpose, name, group, heartbeat_ms, ..Hello::default() });
        lab.open(1, 0);
        lab
    }

    /// The agent opens a channel, the first one on the link upstream; the server takes it.
    fn open(&mut self, channel: u32, delivered: u64) {
        self.tell_on(AGENT, channel, &Open { name: NAME.to_owned(), lowest_held: delivered + 1, ..Open::default() });
        self.tell_on(self.link, 1, &Opened { status: STATUS_ACCEPTED, code: 0, delivered });
        self.number(self.link, Kind::Credit, 1 << 20);
    }

    /// A number on the first channel of the link upstream.
    fn number(&mut self, link: LinkId, kind: Kind, number: u64) {
        let mut bytes = BytesMut::new();
        put_header(&mut bytes, kind, 1, 8);
        bytes.extend_from_slice(&number.to_be_bytes());
        self.give(Input::Link(LinkInput::Received { link, bytes }));
    }

    fn send(&mut self, channel: u32, sequence: u64) {
        let (sent, payload) = (Timestamp::default(), Bytes::from_static(b"text"));
        let message = Numbered { sequence: Sequence(sequence), priority: Priority::Normal, sent, payload };
        let mut bytes = BytesMut::new();
        put_data(&mut bytes, channel, [&message].into_iter(), FRAME_BYTES_MAX);
        self.give(Input::Link(LinkInput::Received { link: AGENT, bytes }));
    }

    fn change_key(&mut self, generation: u8) {
        let not_after = Timestamp::from_unix_seconds(4_000_000_000);
        let says = |former: u8| Succession {
            chain: vec![Bytes::from(vec![former])],
            not_after,
            former_key: Some(KeyHash([former; 32])),
            new_key: KeyHash([generation; 32]),
            scheme: 0x0807,
            signature: Bytes::from(vec![former, generation]),
        };
        let successions = (1..generation).rev().take(FORMER_KEYS_MAX).map(says).collect();
        let certificate = Some(CertificateChange { former_not_after: not_after, successions });
        let change = IdentityChange { generation: generation.into(), certificate };
        self.give(Input::Identity(IdentityInput::Changed(change)));
    }

    /// The gateway gets a key, and a link upstream stands with it: it moves there once it is quiet.
    fn rotate(&mut self, generation: u8) {
        self.change_key(generation);
        let before = self.link;
        self.now = self.now + crate::limits::RENEW_WITHIN;
        self.turn();
        assert_ne!(self.link, before, "it dials with the new key");
        self.connect(generation);
    }

    fn told_the_agent(&self) -> Vec<&Frame> {
        self.sent.iter().filter(|(link, _)| *link == AGENT).map(|(_, frame)| frame).collect()
    }
}

#[test]
fn d5_i5_an_agent_of_a_forgotten_key_is_cut_off_when_nothing_is_out_and_knows_what_went_no_further() {
    let mut lab = Lab::with_an_agent();
    for generation in 2..=3 {
        lab.rotate(generation);
        lab.open(generation.into(), 0);
    }
    let former = lab.link;
    lab.send(3, 1);
    lab.rotate(4);
    lab.send(3, 2);
    assert!(!lab.closed.contains(&AGENT), "the first message is out");
    lab.sent.clear();
    lab.number(former, Kind::Ack, 1);
    assert!(lab.closed.contains(&former) && lab.closed.contains(&AGENT));
    let told = lab.told_the_agent();
    let kinds: Vec<Kind> = told.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [Kind::Close, Kind::Refuse]);
    assert_eq!(read_message::<Close>(told[0]).unwrap().forwarded, Some(1));
    let refuse: Refuse = read_message(told[1]).unwrap();
    assert_eq!(refuse.to_error().code(), Code::LinkClosed);
}

#[test]
fn d5_i5_a_gateway_that_cannot_move_for_want_of_a_quiet_moment_keeps_its_agents_whatever_keys_come() {
    let mut lab = Lab::with_an_agent();
    lab.rotate(2);
    lab.open(2, 0);
    let former = lab.link;
    lab.send(2, 1);
    lab.rotate(3);
    (4..=6).for_each(|generation| lab.change_key(generation));
    assert!(!lab.closed.contains(&AGENT) && !lab.closed.contains(&former), "{:?}", lab.closed);
}

#[test]
fn g1_i5_the_next_key_is_announced_on_the_link_in_use_before_a_link_is_dialled_with_it() {
    let mut lab = Lab::connected();
    let before = lab.link;
    lab.change_key(2);
    let said: Vec<_> =
        lab.sent_of(Kind::Succeed).into_iter().map(|frame| read_message::<Succeed>(frame).unwrap()).collect();
    assert_eq!((said.len(), lab.link), (1, before), "and nothing is dialled yet");
    assert_eq!((&said[0].next[..], &said[0].chain[..], &said[0].signature[..]), (&[2; 32][..], &[][..], &[1, 2][..]));
    lab.sent.clear();
    lab.now = lab.now + crate::limits::RENEW_WITHIN;
    lab.turn();
    lab.connect(2);
    let said: Vec<_> =
        lab.sent_of(Kind::Succeed).into_iter().map(|frame| read_message::<Succeed>(frame).unwrap()).collect();
    assert_eq!(said.len(), 1, "the former key vouches on the new one");
    assert!(said[0].next.is_empty() && said[0].chain.len() == 32);
    // Without a link there is nobody to tell, and nothing comes of it.
    let mut lab = Lab::connected();
    lab.lose();
    lab.sent.clear();
    lab.change_key(2);
    assert_eq!(lab.sent_of(Kind::Succeed).len(), 0);
}
