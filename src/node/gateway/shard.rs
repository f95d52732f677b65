//! The gateway's downstream side: the links of agents and of further gateways, their channels, what they may send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::down::{Down, DownChannel};
use super::reports::Crowd;
use super::{Effect, RelayId, ToControl, ToShard};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::AssignmentKey;
use crate::identity::{KeyHash, VerifiedPeer};
use crate::message::Sequence;
use crate::node::reception::{Caller, LinksOfNames, role_unexpected};
use crate::node::reporting::Attempt;
use crate::node::timers::Timers;
use crate::node::{Introduction, LinkEffect, LinkId, LinkInput, Verdict};
use crate::role::Role;
use crate::time::{Instant, Timestamp};
use crate::wire::{
    Body as _, Challenge, Close, Frame, Hello, Kind, Open, Opened, Refuse, STATUS_ACCEPTED, State, read_message,
    read_number,
};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) me: Introduction,
    group_key: Option<AssignmentKey>,
    /// When the input that is being handled came.
    now: Instant,
    pub(super) downs: BTreeMap<LinkId, Down>,
    names: LinksOfNames,
    timers: Timers<LinkId>,
    touched: Vec<LinkId>,
    pub(super) state: State,
    challenge: Option<Challenge>,
    pub(super) to_control: Vec<ToControl>,
    links: VecDeque<LinkEffect>,
    pub(super) events: Vec<Event>,
}

impl Shard {
    pub(super) fn new(me: Introduction, group_key: Option<AssignmentKey>) -> Self {
        let state = super::own::state_of(false, &me.name, &[]);
        Self {
            me,
            group_key,
            now: Instant::default(),
            downs: BTreeMap::new(),
            names: LinksOfNames::default(),
            timers: Timers::new(),
            touched: Vec::new(),
            state,
            challenge: None,
            to_control: Vec::new(),
            links: VecDeque::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn take_batch(&mut self) -> Vec<ToControl> {
        std::mem::take(&mut self.to_control)
    }

    pub(super) fn drain_effects(&mut self, effects: &mut VecDeque<Effect>) {
        effects.extend(self.links.drain(..).map(Effect::Link));
        effects.extend(self.events.drain(..).map(Effect::Event));
    }

    /// Nodes of this role, on links of their own or behind a gateway on one; and how many of their channels are open.
    pub(super) fn count(&self, role: Role) -> (usize, usize) {
        let direct = self.downs.values().filter(|down| down.role() == Some(role)).count();
        let channels = || self.downs.values().flat_map(Down::channels).filter(|channel| channel.role == role);
        let behind = channels().filter(|channel| channel.behind != 0).count();
        (direct + behind, channels().filter(|channel| channel.open).count())
    }

    /// How many agents there are at this gateway itself, for a report: a gateway behind it reports its own.
    pub(super) fn crowd(&self, now: Instant) -> Crowd {
        let mut crowd = Crowd::default();
        let is_agent = |down: &&Down| {
            let introduced = down.caller.introduced.as_ref();
            introduced.is_some_and(|introduced| introduced.role == Role::Agent && !introduced.is_probe)
        };
        for down in self.downs.values().filter(is_agent) {
            crowd.connected += 1;
            crowd.silent += u32::from(down.caller.link.is_silent(now));
            crowd.pending += u32::from(down.own_channel().is_some_and(|channel| !channel.open));
        }
        crowd
    }

    pub(super) fn handle(&mut self, input: LinkInput, now: Instant) {
        self.now = now;
        match input {
            LinkInput::Accepted { link, peer, address, shown } => {
                let caller = Caller::new(link, peer, address, shown, &self.me, now);
                self.timers.set(caller.link.poll_timeout(), link);
                self.downs.insert(link, Down::new(caller));
            }
            LinkInput::Received { link, bytes } => {
                if let Some(down) = self.downs.get_mut(&link) {
                    down.caller.link.handle_bytes(bytes, now);
                    self.read_frames(link);
                    self.touch(link);
                }
            }
            LinkInput::Written { link } => {
                if let Some(down) = self.downs.get_mut(&link) {
                    down.caller.link.handle_written();
                    self.touch(link);
                }
            }
            LinkInput::Lost { link, error } => self.forget(link, &error),
            LinkInput::Dialled { .. } => {}
        }
    }

    pub(super) fn touch(&mut self, link: LinkId) {
        if let Some(down) = self.downs.get_mut(&link)
            && !std::mem::replace(&mut down.touched, true)
        {
            self.touched.push(link);
        }
    }

    fn read_frames(&mut self, link: LinkId) {
        loop {
            let Some(down) = self.downs.get_mut(&link) else { return };
            let result = match down.caller.link.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.handle_frame(link, frame),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return self.refuse(link, &error);
            }
        }
    }

    /// The peer broke a rule: it hears why, its channel ends, the others notice nothing (rule D7).
    fn refuse(&mut self, link: LinkId, error: &Error) {
        if let Some(down) = self.downs.get_mut(&link) {
            self.to_control.extend(refused(down, error).map(ToControl::Refused));
            down.caller.refuse(error, &mut self.links);
        }
        self.forget(link, error);
    }

    fn forget(&mut self, link: LinkId, error: &Error) {
        let Some(mut down) = self.downs.remove(&link) else { return };
        self.names.leave(&down.caller);
        for channel in down.end_all() {
            self.to_control.push(ToControl::Close { relay: RelayId { link, channel } });
        }
        let is_probe = down.caller.introduced.as_ref().is_some_and(|introduced| introduced.is_probe);
        if is_probe {
            return;
        }
        let takes_its_place = |other: &Down| other.caller.takes_the_place_of(&down.caller);
        let may_be_replaced = error.code() == Code::LinkDown && self.names.has_others(&down.caller);
        self.events.push(if may_be_replaced && self.downs.values().any(takes_its_place) {
            Event::new(Code::LinkClosed, down.caller.subject(), "a newer one stands")
        } else {
            Event::of_error(down.caller.subject(), error)
        });
    }

    fn handle_frame(&mut self, link: LinkId, frame: Frame) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        match frame.kind {
            Kind::Hello => return self.handle_hello(link, &read_message(&frame)?),
            Kind::Open => return self.handle_open(link, frame.channel, read_message(&frame)?),
            Kind::Chain if down.role() == Some(Role::Gateway) => {
                return self.handle_chain(link, &read_message(&frame)?);
            }
            // An agent's chain is known from TLS here.
            Kind::Chain => return Ok(()),
            Kind::Succeed if down.role() != Some(Role::Gateway) => {
                return Err(Error::new(Code::SuccessionInvalid).found("a former key of a node that is no gateway"));
            }
            // Who is behind this gateway asks for certificates, and passes enrolments on, on its channel.
            _ if frame.channel == 0 => {
                return Err(Error::new(Code::FrameUnexpected)
                    .found(format!("{:?} on channel 0 of a node behind a gateway", frame.kind)));
            }
            _ => {}
        }
        let relay = RelayId { link, channel: frame.channel };
        let (last, is_gateways) = (down.last_channel, down.role() == Some(Role::Gateway));
        let Some(channel) = down.channel(frame.channel) else {
            if frame.channel > last {
                return Err(Error::new(Code::ChannelUnknown).found(format!("channel {}", frame.channel)));
            }
            return Ok(());
        };
        match Self::take(channel, relay, frame, self.now) {
            Ok(Some(ToControl::Close { .. })) => self.end_below(relay),
            Ok(message) => self.to_control.extend(message),
            // What one agent of a gateway does costs the others behind it nothing (rule D7).
            Err(error) if is_gateways => self.refuse_channel(relay, &error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A frame of a channel, as it goes on, if it does.
    fn take(channel: &mut DownChannel, relay: RelayId, frame: Frame, now: Instant) -> Result<Option<ToControl>, Error> {
        let pass = |frame: Frame| Some(ToControl::Pass { relay, kind: frame.kind, body: frame.body });
        let is_gateways = channel.role == Role::Gateway;
        match frame.kind {
            Kind::Data | Kind::Fragment | Kind::Gap if !is_gateways => {
                let last = channel.receive(&frame)?;
                Ok(Some(ToControl::Data { relay, kind: frame.kind, body: frame.body, last }))
            }
            Kind::DownAck if !is_gateways => {
                read_number(&frame)?;
                Ok(pass(frame))
            }
            Kind::Request => {
                channel.request(&frame)?;
                Ok(pass(frame))
            }
            Kind::Enrol if is_gateways => {
                channel.enrol(&frame)?;
                Ok(pass(frame))
            }
            Kind::Report => Ok(if channel.reports(&frame, now)? { pass(frame) } else { None }),
            Kind::Attest => Ok(pass(frame)),
            Kind::Succeed if is_gateways => Ok(pass(frame)),
            Kind::Close => Ok(Some(ToControl::Close { relay })),
            other => {
                Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} on the channel of a {}", channel.role)))
            }
        }
    }

    fn handle_hello(&mut self, link: LinkId, hello: &Hello) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        let introduced = down.caller.introduce(hello, &self.me)?;
        self.names.enter(&introduced.name)?;
        let (is_probe, name, role) = (introduced.is_probe, introduced.name.clone(), introduced.role);
        if !matches!(role, Role::Agent | Role::Gateway) {
            return Err(role_unexpected(role.as_str(), &self.me));
        }
        if self.state.path.iter().any(|gateway| gateway == name.as_str()) {
            // It would be behind itself.
            return Err(Error::new(Code::GatewayLoop)
                .found(format!("{name} behind {}", self.state.path.join(", ")))
                .expected("each gateway once on the way to the management server"));
        }
        down.caller.welcome(None, &self.me, self.group_key.as_ref());
        if let Some(challenge) = &self.challenge {
            down.caller.link.send(0, challenge);
        }
        if role == Role::Agent {
            down.caller.link.send(0, &for_agents(&self.state));
        } else {
            down.caller.link.send(0, &self.state);
        }
        self.timers.set(down.caller.link.poll_timeout(), link);
        if !is_probe {
            let code = if role == Role::Agent { Code::AgentConnected } else { Code::GatewayConnected };
            self.events.push(Event::new(code, name.to_string(), down.caller.address.clone()));
        }
        Ok(())
    }

    fn handle_open(&mut self, link: LinkId, id: u32, mut open: Open) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        if id <= down.last_channel {
            return Err(Error::new(Code::ChannelReused).found(format!("channel {id}")));
        }
        down.last_channel = id;
        if open.behind != 0 && down.role() == Some(Role::Gateway) {
            return self.open_behind(link, id, open);
        }
        let introduced = down.caller.introduced.as_ref().map(|introduced| (introduced.name.as_str(), introduced.role));
        let wanted = if open.is_of_gateway() { Role::Gateway } else { Role::Agent };
        if introduced != Some((open.name.as_str(), wanted)) || open.behind != 0 {
            // A node speaks for itself only (SECURITY H3), and as what it introduced itself.
            let (name, role) = introduced.unwrap_or(("", Role::Agent));
            return Err(Error::new(Code::HelloNameMismatch)
                .found(format!("a channel for the {wanted} \"{}\" behind {}", open.name, open.behind))
                .expected(format!("one for the {role} \"{name}\" itself")));
        }
        open.address.clone_from(&down.caller.address);
        check_length(&open)?;
        for old in down.end_all() {
            self.to_control.push(ToControl::Close { relay: RelayId { link, channel: old } });
        }
        down.add(DownChannel::new(id, &open));
        let (relay, peer) = (RelayId { link, channel: id }, Some(down.caller.peer.clone()));
        self.to_control.push(ToControl::Open { relay, open: Box::new(open), peer, behind: None });
        Ok(())
    }

    pub(super) fn handle_control(&mut self, message: ToShard) {
        match message {
            ToShard::State(state) => {
                let is_news = self.state.available != state.available;
                self.state = state;
                self.tell_everybody(|down, shard| match down.role() {
                    Some(Role::Gateway) => down.caller.link.send(0, &shard.state),
                    _ if is_news => down.caller.link.send(0, &for_agents(&shard.state)),
                    _ => {}
                });
            }
            ToShard::Challenge(challenge) => {
                if self.challenge.as_ref() != Some(&challenge) {
                    self.challenge = Some(challenge.clone());
                    self.tell_everybody(|down, _| down.caller.link.send(0, &challenge));
                }
            }
            ToShard::GroupKey(key) => self.group_key = Some(key),
            ToShard::SpeaksFor(keys) => self.end_links_of_other_keys(&keys),
            ToShard::Opened { relay, body } => self.handle_opened(relay, body),
            ToShard::Pass { relay, kind, body } => self.pass(relay, kind, &body),
            ToShard::Ack { relay, through } => {
                if let Some(channel) = self.channel(relay) {
                    channel.acknowledged = Some(through);
                }
            }
            ToShard::Consumed { relay, bytes } => {
                if let Some(channel) = self.channel(relay) {
                    channel.credit.consume(bytes);
                    channel.grant_due = true;
                }
            }
            ToShard::Ended { relay, code, forwarded } => {
                let code = u32::from(code.number());
                let close = Close { code, text: String::new(), forwarded: Some(forwarded.0) };
                self.end(relay, |link| link.send(relay.channel, &close));
            }
        }
    }

    fn tell_everybody(&mut self, tell: impl Fn(&mut Down, &Self)) {
        let links: Vec<LinkId> =
            self.downs.iter().filter(|(_, down)| down.caller.introduced.is_some()).map(|(id, _)| *id).collect();
        for id in links {
            if let Some(mut down) = self.downs.remove(&id) {
                tell(&mut down, self);
                self.downs.insert(id, down);
                self.touch(id);
            }
        }
    }

    /// The channel of this relay, if the agent has not left it; its link is looked at when the turn ends.
    fn channel(&mut self, relay: RelayId) -> Option<&mut DownChannel> {
        self.touch(relay.link);
        let down = self.downs.get_mut(&relay.link)?;
        down.tell_soon(relay.channel);
        down.channel(relay.channel)
    }

    fn handle_opened(&mut self, relay: RelayId, body: Bytes) {
        let frame = Frame { kind: Kind::Opened, channel: relay.channel, body };
        let Ok(opened) = read_message::<Opened>(&frame) else { return };
        if let Some(channel) = self.channel(relay) {
            if opened.status == STATUS_ACCEPTED && !channel.open {
                channel.begin(Sequence(opened.delivered));
            }
            self.pass(relay, Kind::Opened, &frame.body);
        }
    }

    fn pass(&mut self, relay: RelayId, kind: Kind, body: &Bytes) {
        if matches!(kind, Kind::Close | Kind::Refuse) {
            return self.end(relay, |link| link.send_frame(kind, relay.channel, body));
        }
        match (self.channel(relay), kind) {
            (Some(channel), Kind::Issued) => channel.issued(body),
            (Some(channel), Kind::Enrolled) => channel.enrolled(body),
            _ => {}
        }
        if self.channel(relay).is_some()
            && let Some(down) = self.downs.get_mut(&relay.link)
        {
            down.caller.link.send_frame(kind, relay.channel, body);
        }
    }

    /// The channel ended above, with those behind it: what the node hears of it says so of all.
    fn end(&mut self, relay: RelayId, tell: impl FnOnce(&mut crate::wire::Link)) {
        let Some(down) = self.downs.get_mut(&relay.link) else { return };
        if !down.end(relay.channel).is_empty() {
            tell(&mut down.caller.link);
            self.touch(relay.link);
        }
    }

    /// The channel ended below, or here, with those behind it.
    fn end_below(&mut self, relay: RelayId) {
        let Some(down) = self.downs.get_mut(&relay.link) else { return };
        for channel in down.end(relay.channel) {
            self.to_control.push(ToControl::Close { relay: RelayId { channel, ..relay } });
        }
    }

    /// Ends one channel of a gateway behind this one, with its reason (rules D7 and G5).
    pub(super) fn refuse_channel(&mut self, relay: RelayId, error: &Error) {
        self.end_below(relay);
        let Some(down) = self.downs.get_mut(&relay.link) else { return };
        down.caller.link.send(relay.channel, &Refuse::of_error(error));
        if down.tells_refusal() {
            self.events.push(Event::of_error(format!("channel {} of {}", relay.channel, down.caller.subject()), error));
        }
        self.touch(relay.link);
    }

    /// Every certificate that was proven to this gateway.
    pub(super) fn peers(&self) -> impl Iterator<Item = &Arc<VerifiedPeer>> {
        self.downs.values().map(|down| &down.caller.peer)
    }

    /// An agent that is no longer good is cut off, and no other (rule I5).
    pub(super) fn handle_verdict(&mut self, verdict: &Verdict) {
        let is_meant = |down: &Down| down.caller.peer.chain_hash() == verdict.chain;
        let meant: Vec<LinkId> = self.downs.iter().filter(|(_, down)| is_meant(down)).map(|(id, _)| *id).collect();
        for id in meant {
            match &verdict.result {
                Err(error) => self.refuse(id, error),
                Ok(again) => {
                    if let Some(down) = self.downs.get_mut(&id) {
                        down.caller.peer = again.clone();
                    }
                }
            }
        }
    }

    /// An agent that met a key which nobody takes attestations for any more connects anew and meets the present one. It
    /// takes three keys within the life of one link to come to this, and it comes when the gateway moves: its channel has
    /// ended before, with nothing out (rule D5).
    fn end_links_of_other_keys(&mut self, keys: &[KeyHash]) {
        let is_other = |down: &Down| !keys.contains(&down.caller.shown.key);
        let other: Vec<LinkId> = self.downs.iter().filter(|(_, down)| is_other(down)).map(|(id, _)| *id).collect();
        for id in other {
            self.refuse(id, &Error::new(Code::LinkClosed).found("a link from before the gateway's last keys"));
        }
    }

    pub(super) fn end_expired(&mut self, wall: Timestamp) {
        let ended = |down: &Down| down.caller.peer.not_after() < wall;
        let ended: Vec<LinkId> = self.downs.iter().filter(|(_, down)| ended(down)).map(|(id, _)| *id).collect();
        for id in ended {
            self.refuse(id, &Error::new(Code::CertificateExpired));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(link) = self.timers.pop_due(now) {
            let Some(down) = self.downs.get_mut(&link) else { continue };
            if down.caller.link.poll_timeout() <= now
                && let Err(error) = down.caller.link.handle_timeout(now)
            {
                self.refuse(link, &error);
                continue;
            }
            let next = down.caller.link.poll_timeout().max(now + crate::node::TIMER_STEP);
            self.timers.set(next, link);
            self.touch(link);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Makes acknowledgements, credit and output of the links that had something happen.
    pub(super) fn end_turn(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.touched) {
            let Some(down) = self.downs.get_mut(&id) else { continue };
            down.touched = false;
            down.tell_watermarks();
            down.caller.transmit(now, &mut self.links);
        }
    }

    pub(super) fn stop(&mut self) {
        let error = Error::new(Code::ShuttingDown);
        for (_, mut down) in std::mem::take(&mut self.downs) {
            down.caller.refuse(&error, &mut self.links);
        }
    }
}

/// What of a refusal the management server is told: it would not hear of it otherwise.
fn refused(down: &Down, error: &Error) -> Option<Attempt> {
    match (down.own_channel(), &down.caller.introduced) {
        (Some(channel), Some(node)) => {
            Attempt::of_channel((&node.name, node.role), &down.caller.address, channel.open, error)
        }
        _ => Attempt::of_caller(&down.caller, error),
    }
}

/// What an agent is told: it takes any way.
fn for_agents(state: &State) -> State {
    State { path: Vec::new(), ..*state }
}

/// The next node reads no longer one, with the address that was written into it.
///
/// # Errors
///
/// [`Code::FrameTooLong`].
pub(super) fn check_length(open: &Open) -> Result<(), Error> {
    let bytes = prost::Message::encoded_len(open);
    if bytes <= Open::BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(Code::FrameTooLong)
        .subject("OPEN")
        .found(format!("a body of {bytes} bytes with the address that the gateway adds"))
        .expected(format!("at most {}", Open::BYTES_MAX)))
}
