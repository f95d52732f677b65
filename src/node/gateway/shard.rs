//! The gateway's downstream side: the agents' links, their channels, what they may send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::reports::Crowd;
use super::{Effect, RelayId, ToControl, ToShard};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::AssignmentKey;
use crate::identity::{KeyHash, VerifiedPeer};
use crate::message::Sequence;
use crate::node::reception::{Caller, LinksOfNames, role_unexpected};
use crate::node::reporting::{Attempt, Pace};
use crate::node::timers::Timers;
use crate::node::{Introduction, LinkEffect, LinkId, LinkInput, Verdict};
use crate::role::Role;
use crate::time::{Instant, Timestamp};
use crate::wire::{
    Challenge, Close, CreditPool, Fragment, Frame, GapFrame, Hello, Issued, Kind, Open, Opened, Order, ReceiveCredit,
    Request, Run, STATUS_ACCEPTED, State, check_request_length, read_message, read_number, read_report,
};

/// One agent's link.
#[derive(Debug)]
struct Down {
    caller: Caller,
    pool: CreditPool,
    channel: Option<DownChannel>,
    last_channel: u32,
    touched: bool,
}

/// The agent's channel on it.
#[derive(Debug)]
struct DownChannel {
    id: u32,
    open: bool,
    credit: ReceiveCredit,
    order: Order,
    acknowledged: Option<Sequence>,
    grant_due: bool,
    /// A request for a certificate went up and was not answered yet: one at a time.
    requested: bool,
    reported: Pace,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Shard {
    me: Introduction,
    group_key: Option<AssignmentKey>,
    /// When the input that is being handled came.
    now: Instant,
    downs: BTreeMap<LinkId, Down>,
    names: LinksOfNames,
    timers: Timers<LinkId>,
    touched: Vec<LinkId>,
    available: bool,
    challenge: Option<Challenge>,
    to_control: Vec<ToControl>,
    links: VecDeque<LinkEffect>,
    events: Vec<Event>,
}

impl Shard {
    pub(super) fn new(me: Introduction, group_key: Option<AssignmentKey>) -> Self {
        Self {
            me,
            group_key,
            now: Instant::default(),
            downs: BTreeMap::new(),
            names: LinksOfNames::default(),
            timers: Timers::new(),
            touched: Vec::new(),
            available: false,
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

    pub(super) fn agents(&self) -> (usize, usize) {
        let open = |down: &&Down| down.channel.as_ref().is_some_and(|channel| channel.open);
        let introduced = self.downs.values().filter(|down| down.caller.introduced.is_some());
        (introduced.count(), self.downs.values().filter(open).count())
    }

    /// How many agents there are, for a report.
    pub(super) fn crowd(&self, now: Instant) -> Crowd {
        let mut crowd = Crowd::default();
        let is_agent = |down: &&Down| down.caller.introduced.as_ref().is_some_and(|introduced| !introduced.is_probe);
        for down in self.downs.values().filter(is_agent) {
            crowd.connected += 1;
            crowd.silent += u32::from(down.caller.link.is_silent(now));
            crowd.pending += u32::from(down.channel.as_ref().is_some_and(|channel| !channel.open));
        }
        crowd
    }

    pub(super) fn handle(&mut self, input: LinkInput, now: Instant) {
        self.now = now;
        match input {
            LinkInput::Accepted { link, peer, address, shown } => {
                let caller = Caller::new(link, peer, address, shown, &self.me, now);
                self.timers.set(caller.link.poll_timeout(), link);
                let down = Down { caller, pool: CreditPool::default(), channel: None, last_channel: 0, touched: false };
                self.downs.insert(link, down);
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

    fn touch(&mut self, link: LinkId) {
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
        let Some(down) = self.downs.remove(&link) else { return };
        self.names.leave(&down.caller);
        if let Some(channel) = &down.channel {
            self.to_control.push(ToControl::Close { relay: RelayId { link, channel: channel.id } });
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
            // Chains are known from TLS here.
            Kind::Chain => return Ok(()),
            Kind::Succeed => {
                return Err(Error::new(Code::SuccessionInvalid).found("a former key of a node that is no gateway"));
            }
            // An agent asks for certificates on its channel, and nobody enrols through it.
            _ if frame.channel == 0 => {
                return Err(
                    Error::new(Code::FrameUnexpected).found(format!("{:?} on channel 0 from an agent", frame.kind))
                );
            }
            _ => {}
        }
        let relay = RelayId { link, channel: frame.channel };
        let Some(channel) = down.channel.as_mut().filter(|channel| channel.id == frame.channel) else {
            if frame.channel > down.last_channel {
                return Err(Error::new(Code::ChannelUnknown).found(format!("channel {}", frame.channel)));
            }
            return Ok(());
        };
        match frame.kind {
            Kind::Data | Kind::Fragment | Kind::Gap => {
                let last = channel.receive(&frame)?;
                self.to_control.push(ToControl::Data { relay, kind: frame.kind, body: frame.body, last });
            }
            Kind::DownAck => {
                read_number(&frame)?;
                self.to_control.push(ToControl::Pass { relay, kind: frame.kind, body: frame.body });
            }
            Kind::Request => {
                channel.request(&frame)?;
                self.to_control.push(ToControl::Pass { relay, kind: frame.kind, body: frame.body });
            }
            Kind::Report => {
                if channel.reports(&frame, self.now)? {
                    self.to_control.push(ToControl::Pass { relay, kind: frame.kind, body: frame.body });
                }
            }
            Kind::Attest => self.to_control.push(ToControl::Pass { relay, kind: frame.kind, body: frame.body }),
            Kind::Close => {
                channel.credit.release(&mut down.pool);
                down.channel = None;
                self.to_control.push(ToControl::Close { relay });
            }
            other => return Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} from an agent"))),
        }
        Ok(())
    }

    fn handle_hello(&mut self, link: LinkId, hello: &Hello) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        let introduced = down.caller.introduce(hello, &self.me)?;
        self.names.enter(&introduced.name)?;
        if introduced.role != Role::Agent {
            let role = introduced.role;
            return Err(role_unexpected(role.as_str(), &self.me));
        }
        let (is_probe, name) = (introduced.is_probe, introduced.name.clone());
        down.caller.welcome(None, &self.me, self.group_key.as_ref());
        if let Some(challenge) = &self.challenge {
            down.caller.link.send(0, challenge);
        }
        down.caller.link.send(0, &state(self.available));
        self.timers.set(down.caller.link.poll_timeout(), link);
        if !is_probe {
            self.events.push(Event::new(Code::AgentConnected, name.to_string(), down.caller.address.clone()));
        }
        Ok(())
    }

    fn handle_open(&mut self, link: LinkId, id: u32, mut open: Open) -> Result<(), Error> {
        let Some(down) = self.downs.get_mut(&link) else { return Ok(()) };
        if id <= down.last_channel {
            return Err(Error::new(Code::ChannelReused).found(format!("channel {id}")));
        }
        let name = down.caller.introduced.as_ref().map(|introduced| introduced.name.as_str());
        if name != Some(open.name.as_str()) {
            // An agent speaks for itself only (SECURITY H3).
            return Err(Error::new(Code::HelloNameMismatch)
                .found(format!("a channel for \"{}\"", open.name))
                .expected(format!("\"{}\"", name.unwrap_or_default())));
        }
        if let Some(old) = down.channel.take() {
            old.credit.release(&mut down.pool);
            self.to_control.push(ToControl::Close { relay: RelayId { link, channel: old.id } });
        }
        down.last_channel = id;
        down.channel = Some(DownChannel {
            id,
            open: false,
            credit: ReceiveCredit::new(),
            order: Order::after(Sequence::NONE),
            acknowledged: None,
            grant_due: false,
            requested: false,
            reported: Pace::default(),
        });
        open.address.clone_from(&down.caller.address);
        let relay = RelayId { link, channel: id };
        self.to_control.push(ToControl::Open { relay, open: Box::new(open), peer: down.caller.peer.clone() });
        Ok(())
    }

    pub(super) fn handle_control(&mut self, message: ToShard) {
        match message {
            ToShard::Available(available) => {
                self.available = available;
                self.tell_everybody(|link, shard| link.send(0, &state(shard.available)));
            }
            ToShard::Challenge(challenge) => {
                if self.challenge.as_ref() != Some(&challenge) {
                    self.challenge = Some(challenge.clone());
                    self.tell_everybody(|link, _| link.send(0, &challenge));
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

    fn tell_everybody(&mut self, tell: impl Fn(&mut crate::wire::Link, &Self)) {
        let links: Vec<LinkId> =
            self.downs.iter().filter(|(_, down)| down.caller.introduced.is_some()).map(|(id, _)| *id).collect();
        for id in links {
            if let Some(mut down) = self.downs.remove(&id) {
                tell(&mut down.caller.link, self);
                self.downs.insert(id, down);
                self.touch(id);
            }
        }
    }

    /// The channel of this relay, if the agent has not left it; its link is looked at when the turn ends.
    fn channel(&mut self, relay: RelayId) -> Option<&mut DownChannel> {
        self.touch(relay.link);
        let down = self.downs.get_mut(&relay.link)?;
        down.channel.as_mut().filter(|channel| channel.id == relay.channel)
    }

    fn handle_opened(&mut self, relay: RelayId, body: Bytes) {
        let frame = Frame { kind: Kind::Opened, channel: relay.channel, body };
        let Ok(opened) = read_message::<Opened>(&frame) else { return };
        if let Some(channel) = self.channel(relay) {
            if opened.status == STATUS_ACCEPTED && !channel.open {
                channel.open = true;
                channel.order = Order::after(Sequence(opened.delivered));
                channel.grant_due = true;
            }
            self.pass(relay, Kind::Opened, &frame.body);
        }
    }

    fn pass(&mut self, relay: RelayId, kind: Kind, body: &Bytes) {
        if matches!(kind, Kind::Close | Kind::Refuse) {
            return self.end(relay, |link| link.send_frame(kind, relay.channel, body));
        }
        if let Some(channel) = self.channel(relay)
            && kind == Kind::Issued
        {
            channel.issued(body);
        }
        if self.channel(relay).is_some()
            && let Some(down) = self.downs.get_mut(&relay.link)
        {
            down.caller.link.send_frame(kind, relay.channel, body);
        }
    }

    fn end(&mut self, relay: RelayId, tell: impl FnOnce(&mut crate::wire::Link)) {
        let Some(down) = self.downs.get_mut(&relay.link) else { return };
        if let Some(channel) = down.channel.take_if(|channel| channel.id == relay.channel) {
            channel.credit.release(&mut down.pool);
            tell(&mut down.caller.link);
            self.touch(relay.link);
        }
    }

    /// Every agent's certificate.
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
            let Down { caller, pool, channel, .. } = down;
            if let Some(channel) = channel.as_mut().filter(|_| caller.link.is_writable()) {
                if let Some(through) = channel.acknowledged.take() {
                    caller.link.send_frame(Kind::Ack, channel.id, &through.0.to_be_bytes());
                }
                if std::mem::take(&mut channel.grant_due)
                    && let Some(limit) = channel.credit.grant(pool)
                {
                    caller.link.send_frame(Kind::Credit, channel.id, &limit.to_be_bytes());
                }
            }
            caller.transmit(now, &mut self.links);
        }
    }

    pub(super) fn stop(&mut self) {
        let error = Error::new(Code::ShuttingDown);
        for (_, mut down) in std::mem::take(&mut self.downs) {
            down.caller.refuse(&error, &mut self.links);
        }
    }
}

impl DownChannel {
    /// Checks a request for a certificate, which the gateway neither reads nor answers.
    fn request(&mut self, frame: &Frame) -> Result<(), Error> {
        check_request_length(&read_message::<Request>(frame)?.request)?;
        if !self.open || std::mem::replace(&mut self.requested, true) {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a request for a certificate before the channel was opened, or before the last was answered")
                .expected("one at a time, on an open channel"));
        }
        Ok(())
    }

    /// Checks a report; answers whether it goes on. Those that come too soon are not looked at (rule D7).
    fn reports(&mut self, frame: &Frame, now: Instant) -> Result<bool, Error> {
        if !self.open {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a report before the channel was opened")
                .expected("one on an open channel"));
        }
        if self.reported.take(now).is_none() {
            return Ok(false);
        }
        read_report(frame).map(|_| true)
    }

    /// A part of the answer passes; with the last part the next request may come.
    fn issued(&mut self, body: &Bytes) {
        let frame = Frame { kind: Kind::Issued, channel: self.id, body: body.clone() };
        self.requested &= read_message::<Issued>(&frame).is_ok_and(|issued| issued.more);
    }

    /// Checks credit and sequence of a data frame; answers the last sequence that is complete with it.
    fn receive(&mut self, frame: &Frame) -> Result<Option<Sequence>, Error> {
        if !self.open {
            return Err(Error::new(Code::FrameUnexpected)
                .found(format!("{:?} before the channel was opened", frame.kind))
                .expected("nothing before OPENED (rule G1)"));
        }
        self.credit.receive(frame.wire_bytes())?;
        match frame.kind {
            Kind::Data => {
                let (first, last) = Run::peek(&frame.body)?;
                self.order.range(first, last)?;
                Ok(Some(last))
            }
            Kind::Gap => {
                let gap: GapFrame = read_message(frame)?;
                self.order.range(Sequence(gap.first), Sequence(gap.last))?;
                Ok(Some(Sequence(gap.last)))
            }
            _ => {
                let fragment = Fragment::parse(frame.body.clone())?;
                Ok(self.order.fragment(&fragment)?.then_some(fragment.sequence))
            }
        }
    }
}

/// What of a refusal the management server is told: it would not hear of it otherwise.
fn refused(down: &Down, error: &Error) -> Option<Attempt> {
    match (&down.channel, &down.caller.introduced) {
        (Some(channel), Some(agent)) => Attempt::of_channel(&agent.name, &down.caller.address, channel.open, error),
        _ => Attempt::of_caller(&down.caller, error),
    }
}

fn state(available: bool) -> State {
    let code = if available { 0 } else { u32::from(Code::UpstreamUnavailable.number()) };
    State { available, code }
}
