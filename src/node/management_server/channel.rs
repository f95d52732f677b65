//! A channel at the management server, an agent's or that of a gateway behind another one: its frames, its watermarks,
//! its end.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::attesting::Checking;
use super::links::Downlink;
use super::reports::Reporting;
use super::succession::FormerKeys;
use super::{Delivery, Effect, ManagementServer, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::identity::{KeyHash, VerifiedPeer};
use crate::limits::{CHALLENGE_PERIODS_VALID, DOWN_IN_FLIGHT_MAX, JOIN_BYTES_MAX};
use crate::message::{Epoch, Gap, Numbered, Sequence};
use crate::name::Name;
use crate::node::LinkId;
use crate::role::Role;
use crate::time::Timestamp;
use crate::wire::{
    Content, CreditPool, Down, Fragment, Frame, GapFrame, Kind, Link, Open, Order, ReceiveCredit, Refuse, Run, code_of,
    read_message, read_number,
};

/// How far a channel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Verifying,
    Authorising,
    /// The group has not approved the agent.
    Pending,
    /// The group opens the session.
    Opening,
    /// The application is asked for its cursor.
    Asking,
    Open,
}

/// Where in the group a channel belongs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) name: Name,
    pub(super) via: Arc<[Name]>,
    pub(super) behind: Option<u64>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) link: LinkId,
    /// Its number on the link.
    pub(super) number: u32,
    pub(super) role: Role,
    /// Whose it is: an agent's name, or a gateway's.
    pub(super) agent: Name,
    /// The gateways on the way, its own first; none where it is the link's own node.
    pub(super) via: Arc<[Name]>,
    /// The channel of its own gateway, where that is not the one at the link's end.
    pub(super) behind: Option<u64>,
    /// A gateway's former keys that it still speaks for (rule I5).
    pub(super) former: FormerKeys,
    pub(super) open: Open,
    pub(super) stage: Stage,
    pub(super) peer: Option<Arc<VerifiedPeer>>,
    pub(super) attested_period: u64,
    pub(super) checking: Option<Checking>,
    /// The gateway's key that the agent signed for: its present one, or a former one (rule I5).
    pub(super) attested_key: Option<KeyHash>,
    pub(super) fence: u64,
    pub(super) store_cursor: Sequence,
    order: Order,
    credit: ReceiveCredit,
    join: Option<Join>,
    /// Frames that wait for room to join a large message; bounded by the channel's credit.
    waiting: VecDeque<Frame>,
    acknowledged: Option<Sequence>,
    grant_due: bool,
    is_due: bool,
    down_sent: u64,
    down_taken: u64,
    down_fetching: bool,
    /// More was announced while a fetch was out, which may have looked before it was there.
    down_announced: bool,
    pub(super) reporting: Reporting,
}

/// A large message that is being put together.
#[derive(Debug)]
struct Join {
    total: usize,
    bytes: BytesMut,
    /// When its last part came.
    fed: Timestamp,
}

impl Channel {
    pub(super) fn new(link: LinkId, number: u32, place: Place, open: Open) -> Self {
        let Place { role, name: agent, via, behind } = place;
        let down_taken = open.down_cursor;
        Self {
            link,
            number,
            role,
            agent,
            via,
            behind,
            former: FormerKeys::default(),
            open,
            stage: Stage::Verifying,
            peer: None,
            attested_period: 0,
            checking: None,
            attested_key: None,
            fence: 0,
            store_cursor: Sequence::NONE,
            order: Order::after(Sequence::NONE),
            credit: ReceiveCredit::new(),
            join: None,
            waiting: VecDeque::new(),
            acknowledged: None,
            grant_due: false,
            is_due: false,
            down_sent: down_taken,
            down_taken,
            down_fetching: false,
            down_announced: false,
            reporting: Reporting::default(),
        }
    }

    pub(super) fn begin(&mut self, known: Sequence) {
        self.stage = Stage::Open;
        self.order = Order::after(known);
        self.grant_due = true;
        self.is_due = true;
    }

    /// For people: how the node reaches this server.
    pub(super) fn path(&self) -> String {
        if self.via.is_empty() {
            return "directly".to_owned();
        }
        let mut path = crate::error::printable(&self.open.address);
        for gateway in &*self.via {
            path.push_str(" via ");
            path.push_str(gateway.as_str());
        }
        path
    }

    /// Where its node is, as the node that it is connected to sees it.
    pub(super) fn address<'a>(&'a self, down: &'a Downlink) -> &'a str {
        if self.via.is_empty() { &down.caller.address } else { &self.open.address }
    }

    pub(super) fn is_open_gateway(&self) -> bool {
        self.role == Role::Gateway && self.stage == Stage::Open
    }

    /// Why the channel must end now: its attestation was not renewed, its certificate expired, or it began a large
    /// message and sends no more of it.
    pub(super) fn lapsed(&self, period: u64, wall: Timestamp) -> Option<Code> {
        let peer = self.peer.as_ref()?;
        if peer.not_after() < wall {
            return Some(Code::CertificateExpired);
        }
        // An unfinished message holds room that others wait for.
        let starved = |join: &Join| wall.unix_seconds() - join.fed.unix_seconds() > JOIN_STARVED_SECONDS;
        if self.join.as_ref().is_some_and(starved) {
            return Some(Code::TimedOut);
        }
        (self.attested_period.saturating_add(CHALLENGE_PERIODS_VALID) <= period).then_some(Code::AttestationStale)
    }

    pub(super) fn deliver(&self, id: u64, content: Content, credit: u64) -> Delivery {
        Delivery {
            channel: id,
            agent: self.agent.clone(),
            via: self.via.clone(),
            epoch: Epoch(self.open.epoch),
            redelivered_through: Sequence(self.open.sent_through),
            content,
            credit,
        }
    }

    /// Tells acknowledgement and credit, as absolute totals: what came since the last time rides in one frame.
    pub(super) fn tell_watermarks(&mut self, link: &mut Link, pool: &mut CreditPool) {
        self.is_due = false;
        if let Some(through) = self.acknowledged.take() {
            link.send_frame(Kind::Ack, self.number, &through.0.to_be_bytes());
        }
        if std::mem::take(&mut self.grant_due)
            && let Some(limit) = self.credit.grant(pool)
        {
            link.send_frame(Kind::Credit, self.number, &limit.to_be_bytes());
        }
    }
}

impl ManagementServer {
    /// A frame of a channel. What the peer does wrong inside a channel ends that channel only: the gateway's other
    /// agents lose nothing (rule D7).
    pub(super) fn handle_channel_frame(&mut self, link: LinkId, frame: Frame) -> Result<(), Error> {
        if frame.kind == Kind::Open {
            return self.handle_open(link, frame.channel, read_message(&frame)?);
        }
        let Some(down) = self.links.get(&link) else { return Ok(()) };
        let Some(id) = down.channels.get(&frame.channel).copied() else {
            if frame.channel > down.last_channel {
                return Err(Error::new(Code::ChannelUnknown).found(format!("channel {}", frame.channel)));
            }
            return Ok(());
        };
        if let Err(error) = self.handle_frame_of(id, frame) {
            self.refuse_channel(id, &error);
        }
        Ok(())
    }

    fn handle_frame_of(&mut self, id: u64, frame: Frame) -> Result<(), Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        match frame.kind {
            Kind::Close => {
                self.close_channel(id);
                return Ok(());
            }
            Kind::Attest => {
                self.handle_attest(id, read_message(&frame)?);
                return Ok(());
            }
            Kind::Request => return self.handle_channel_request(id, &frame),
            _ if channel.stage != Stage::Open => {
                return Err(Error::new(Code::FrameUnexpected)
                    .found(format!("{:?} before the channel was opened", frame.kind))
                    .expected("nothing before OPENED (rule G1)"));
            }
            Kind::Report => return self.handle_channel_report(id, &frame),
            Kind::Succeed => return self.handle_channel_succeed(id, &read_message(&frame)?),
            Kind::Enrol if channel.role == Role::Gateway => {
                return self.handle_channel_enrol(id, read_message(&frame)?);
            }
            Kind::Enrol => {
                let error = Error::new(Code::FrameUnexpected).found("ENROL on an agent's channel");
                return Err(error.expected("it from a gateway"));
            }
            _ if channel.role == Role::Gateway => {
                return Err(Error::new(Code::FrameUnexpected).found(format!("{:?} on a gateway's channel", frame.kind)));
            }
            Kind::DownAck => {
                let through = read_number(&frame)?;
                self.handle_down_taken(id, through);
                return Ok(());
            }
            _ => {}
        }
        channel.credit.receive(frame.wire_bytes())?;
        if channel.waiting.is_empty() {
            self.take_data(id, frame)
        } else {
            channel.waiting.push_back(frame);
            Ok(())
        }
    }

    fn take_data(&mut self, id: u64, frame: Frame) -> Result<(), Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let credit = frame.wire_bytes();
        let content = match frame.kind {
            Kind::Data => {
                let run = Run::parse(frame.body)?;
                channel.order.range(run.first(), run.last())?;
                Content::Run(run)
            }
            Kind::Gap => {
                let gap: GapFrame = read_message(&frame)?;
                let (first, last) = (Sequence(gap.first), Sequence(gap.last));
                channel.order.range(first, last)?;
                Content::Gap(Gap { first, last, reason: code_of(gap.reason).code() })
            }
            _ => {
                let fragment = Fragment::parse(frame.body.clone())?;
                return self.take_fragment(id, frame, &fragment);
            }
        };
        let delivery = channel.deliver(id, content, credit);
        self.outlet.push(delivery);
        Ok(())
    }

    /// Joins a large message. Its first part takes room in the join budget, or waits for it with what follows.
    fn take_fragment(&mut self, id: u64, frame: Frame, fragment: &Fragment) -> Result<(), Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let (total, wall) = (fragment.total as usize, self.wall);
        if total > self.config.message_bytes_max {
            return Err(Error::new(Code::MessageTooLarge)
                .found(format!("a message of {total} bytes"))
                .expected(format!("at most {}", self.config.message_bytes_max)));
        }
        if fragment.offset == 0 && channel.join.is_none() {
            let taken = self.join_bytes + self.outlet.large_bytes();
            if taken > 0 && taken + total > JOIN_BYTES_MAX {
                channel.waiting.push_back(frame);
                self.stalled.push_back(id);
                return Ok(());
            }
            self.join_bytes += total;
            channel.join = Some(Join { total, bytes: BytesMut::new(), fed: wall });
        }
        let complete = channel.order.fragment(fragment)?;
        let Some(join) = channel.join.as_mut().filter(|join| join.total == total) else {
            return Err(Error::new(Code::FrameMalformed)
                .subject("FRAGMENT")
                .found("another total than its first part"));
        };
        join.bytes.extend_from_slice(&fragment.bytes);
        join.fed = wall;
        self.consume(id, frame.wire_bytes());
        if complete {
            self.finish_join(id, fragment);
        }
        Ok(())
    }

    fn finish_join(&mut self, id: u64, last: &Fragment) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(join) = channel.join.take() else { return };
        self.join_bytes -= join.total;
        let message = Numbered {
            sequence: last.sequence,
            priority: last.priority,
            sent: last.sent,
            payload: join.bytes.freeze(),
        };
        let delivery = channel.deliver(id, Content::Large(message), 0);
        self.outlet.push(delivery);
        self.resume_stalled();
    }

    pub(super) fn resume_stalled(&mut self) {
        for id in std::mem::take(&mut self.stalled) {
            while let Some(frame) = self.channels.get_mut(&id).and_then(|channel| channel.waiting.pop_front()) {
                let stalled = self.stalled.len();
                if let Err(error) = self.take_data(id, frame) {
                    self.refuse_channel(id, &error);
                } else if self.stalled.len() > stalled {
                    // It found no room again; the frame is the last of the queue now and must be the first.
                    if let Some(channel) = self.channels.get_mut(&id) {
                        channel.waiting.rotate_right(1);
                    }
                    break;
                }
            }
        }
    }

    /// These bytes of a channel were handed on: its sender may send more.
    pub(super) fn consume(&mut self, id: u64, bytes: u64) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.credit.consume(bytes);
            channel.grant_due = true;
        }
        self.tell_soon(id);
    }

    /// The cursor is durable: the acknowledgement travels back.
    pub(super) fn acknowledge(&mut self, id: u64, through: Sequence) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.acknowledged = Some(through);
        }
        self.tell_soon(id);
    }

    fn tell_soon(&mut self, id: u64) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let link = channel.link;
        if !std::mem::replace(&mut channel.is_due, true)
            && let Some(down) = self.links.get_mut(&link)
        {
            down.due.push(id);
        }
        self.touch(link);
    }

    /// Ends a channel with a reason that its agent and this side's operator hear (rule G5).
    pub(super) fn refuse_channel(&mut self, id: u64, error: &Error) {
        self.note_refused_channel(id, error);
        let Some(channel) = self.channels.get(&id) else { return };
        let (link, number) = (channel.link, channel.number);
        let mut event = Event::of_error(format!("{} {}", channel.agent, channel.path()), error);
        // What is wrong with the store is told of the store, once.
        let told = match self.links.get_mut(&link) {
            _ if error.code().is_of_the_store() => None,
            Some(down) => down.refusals.tell(error.code(), self.wall),
            None => Some(0),
        };
        if let Some(untold) = told {
            if untold > 0 {
                event.text.push_str(&format!("; {untold} more of this link were refused and not told"));
            }
            self.effects.push_back(Effect::Event(event));
        }
        if let Some(down) = self.links.get_mut(&link) {
            down.caller.link.send(number, &Refuse::of_error(error));
        }
        self.touch(link);
        self.close_channel(id);
    }

    pub(super) fn close_channel(&mut self, id: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let (link, number) = (channel.link, channel.number);
        if let Some(down) = self.links.get_mut(&link) {
            down.channels.remove(&number);
            if let Some(channel) = self.channels.get(&id) {
                channel.credit.release(&mut down.pool);
            }
        }
        self.forget_channel(id);
    }

    pub(super) fn forget_channel(&mut self, id: u64) {
        let Some(channel) = self.channels.remove(&id) else { return };
        self.pending.remove(&Subject::Channel(id));
        self.leave_channel(id, &channel.reporting);
        if channel.role == Role::Gateway {
            return self.forget_gateway(id, &channel);
        }
        if self.by_agent.get(&channel.agent) == Some(&id) {
            self.by_agent.remove(&channel.agent);
            let event = Event::new(Code::AgentGone, channel.agent.to_string(), channel.path());
            self.effects.push_back(Effect::Event(event));
        }
        if let Some(join) = channel.join {
            self.join_bytes -= join.total;
            self.resume_stalled();
        }
    }

    /// Fetches the messages that wait for an agent, a few at a time (rule D8).
    pub(super) fn fetch_down(&mut self, id: u64) {
        let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.stage == Stage::Open) else { return };
        let in_flight = channel.down_sent.saturating_sub(channel.down_taken);
        channel.down_announced |= channel.down_fetching;
        if channel.down_fetching || in_flight >= DOWN_IN_FLIGHT_MAX {
            return;
        }
        channel.down_fetching = true;
        let (agent, fence, above) = (channel.agent.clone(), channel.fence, channel.down_sent);
        self.effects.push_back(Effect::FetchDown { channel: id, agent, fence, above });
    }

    pub(super) fn handle_down_fetched(&mut self, id: u64, messages: Vec<(u64, Timestamp, Bytes)>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.down_fetching = false;
        let link = channel.link;
        if let Some(down) = self.links.get_mut(&link) {
            for (number, sent, payload) in messages {
                let body = Down { number, sent_unix_ms: sent.unix_millis(), payload };
                down.caller.link.send(channel.number, &body);
                channel.down_sent = channel.down_sent.max(number);
            }
        }
        let again = std::mem::take(&mut channel.down_announced);
        self.touch(link);
        if again {
            self.fetch_down(id);
        }
    }

    fn handle_down_taken(&mut self, id: u64, through: u64) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let through = through.min(channel.down_sent);
        if through > channel.down_taken {
            channel.down_taken = through;
            let (agent, fence) = (channel.agent.clone(), channel.fence);
            self.effects.push_back(Effect::DownDelivered { agent, fence, through });
            self.fetch_down(id);
        }
    }
}

/// How long a large message may stand still before its channel is ended: as long as a silent gateway's link.
const JOIN_STARVED_SECONDS: i64 = 30;
