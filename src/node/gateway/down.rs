//! A link towards the agents, of an agent or of a further gateway, and the channels on it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::code::Code;
use crate::error::Error;
use crate::limits::{ENROLMENTS_PER_LINK_MAX, REFUSALS_TOLD_MAX};
use crate::message::Sequence;
use crate::node::reception::Caller;
use crate::node::reporting::Pace;
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{
    CreditPool, Enrol, Enrolled, Fragment, Frame, GapFrame, Issued, Kind, Link, Open, Order, ReceiveCredit, Request,
    Run, check_request_length, read_message, read_report,
};

/// The link of an agent, or of a gateway behind this one.
#[derive(Debug)]
pub(super) struct Down {
    pub(super) caller: Caller,
    pool: CreditPool,
    /// An agent has one at most. Boxed: a map's room is for eleven, and idle agents are many.
    channels: BTreeMap<u32, Box<DownChannel>>,
    pub(super) last_channel: u32,
    /// Channels that have an acknowledgement or credit to tell.
    due: Vec<u32>,
    /// The parts that came of a chain.
    pub(super) chain_begun: Vec<Bytes>,
    /// Refused channels that were told as events.
    refusals_told: u32,
    pub(super) touched: bool,
}

/// One channel on it.
#[derive(Debug)]
pub(super) struct DownChannel {
    pub(super) id: u32,
    pub(super) role: Role,
    /// The number of the gateway channel that it is behind; 0: it is the link's own node's.
    pub(super) behind: u32,
    pub(super) open: bool,
    pub(super) credit: ReceiveCredit,
    order: Order,
    pub(super) acknowledged: Option<Sequence>,
    pub(super) grant_due: bool,
    is_due: bool,
    /// A request for a certificate went up and was not answered yet: one at a time.
    requested: bool,
    /// Of a gateway: enrolments that went up and were not answered yet.
    enrolments: usize,
    reported: Pace,
}

impl Down {
    pub(super) fn new(caller: Caller) -> Self {
        Self {
            caller,
            pool: CreditPool::default(),
            channels: BTreeMap::new(),
            last_channel: 0,
            due: Vec::new(),
            chain_begun: Vec::new(),
            refusals_told: 0,
            touched: false,
        }
    }

    pub(super) fn role(&self) -> Option<Role> {
        self.caller.introduced.as_ref().map(|introduced| introduced.role)
    }

    /// The channel of the node at the link's other end.
    pub(super) fn own_channel(&self) -> Option<&DownChannel> {
        self.channels().find(|channel| channel.behind == 0)
    }

    pub(super) fn channel(&mut self, id: u32) -> Option<&mut DownChannel> {
        self.channels.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &DownChannel> {
        self.channels.values().map(Box::as_ref)
    }

    pub(super) fn add(&mut self, channel: DownChannel) {
        self.last_channel = channel.id;
        self.channels.insert(channel.id, Box::new(channel));
    }

    /// Whether one more refused channel becomes an event: a gateway gone bad must not fill the log (SECURITY H17).
    pub(super) fn tells_refusal(&mut self) -> bool {
        self.refusals_told = self.refusals_told.saturating_add(1);
        self.refusals_told <= REFUSALS_TOLD_MAX
    }

    /// Ends a channel and those behind it; answers them all, those that are behind others first.
    pub(super) fn end(&mut self, id: u32) -> Vec<u32> {
        let mut ended = Vec::new();
        let Some(channel) = self.channels.remove(&id) else { return ended };
        channel.credit.release(&mut self.pool);
        if channel.role == Role::Gateway {
            let behind: Vec<u32> = self.channels().filter(|one| one.behind == id).map(|one| one.id).collect();
            for one in behind {
                ended.extend(self.end(one));
            }
        }
        ended.push(id);
        ended
    }

    /// Ends all; those that are behind others first.
    pub(super) fn end_all(&mut self) -> Vec<u32> {
        let own: Vec<u32> = self.channels().filter(|channel| channel.behind == 0).map(|channel| channel.id).collect();
        own.into_iter().flat_map(|id| self.end(id)).collect()
    }

    /// A channel has something to tell at the end of the turn.
    pub(super) fn tell_soon(&mut self, id: u32) {
        if let Some(channel) = self.channels.get_mut(&id)
            && !std::mem::replace(&mut channel.is_due, true)
        {
            self.due.push(id);
        }
    }

    pub(super) fn tell_watermarks(&mut self) {
        if !self.caller.link.is_writable() {
            return;
        }
        for id in self.due.drain(..) {
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.tell_watermarks(&mut self.caller.link, &mut self.pool);
            }
        }
    }
}

impl DownChannel {
    pub(super) fn new(id: u32, open: &Open) -> Self {
        Self {
            id,
            role: if open.is_of_gateway() { Role::Gateway } else { Role::Agent },
            behind: open.behind,
            open: false,
            credit: ReceiveCredit::new(),
            order: Order::after(Sequence::NONE),
            acknowledged: None,
            grant_due: false,
            is_due: false,
            requested: false,
            enrolments: 0,
            reported: Pace::default(),
        }
    }

    /// The group let it in.
    pub(super) fn begin(&mut self, delivered: Sequence) {
        self.open = true;
        self.order = Order::after(delivered);
        // A gateway's channel carries no data.
        self.grant_due = self.role == Role::Agent;
    }

    /// Tells acknowledgement and credit, as absolute totals.
    fn tell_watermarks(&mut self, link: &mut Link, pool: &mut CreditPool) {
        self.is_due = false;
        if let Some(through) = self.acknowledged.take() {
            link.send_frame(Kind::Ack, self.id, &through.0.to_be_bytes());
        }
        if std::mem::take(&mut self.grant_due)
            && let Some(limit) = self.credit.grant(pool)
        {
            link.send_frame(Kind::Credit, self.id, &limit.to_be_bytes());
        }
    }

    /// Checks a request for a certificate, which the gateway neither reads nor answers.
    pub(super) fn request(&mut self, frame: &Frame) -> Result<(), Error> {
        check_request_length(&read_message::<Request>(frame)?.request)?;
        if !self.open || std::mem::replace(&mut self.requested, true) {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a request for a certificate before the channel was opened, or before the last was answered")
                .expected("one at a time, on an open channel"));
        }
        Ok(())
    }

    /// Checks an enrolment that a gateway behind this one passes on, which this one neither reads nor answers.
    pub(super) fn enrol(&mut self, frame: &Frame) -> Result<(), Error> {
        check_request_length(&read_message::<Enrol>(frame)?.request)?;
        if !self.open || self.enrolments >= ENROLMENTS_PER_LINK_MAX {
            return Err(Error::new(Code::FrameUnexpected)
                .found("ENROL before the channel was opened, or beyond what may be unanswered")
                .expected(format!("at most {ENROLMENTS_PER_LINK_MAX}, on an open channel")));
        }
        self.enrolments += 1;
        Ok(())
    }

    /// A part of an answer passes; with the last part one enrolment less is unanswered.
    pub(super) fn enrolled(&mut self, body: &Bytes) {
        let frame = Frame { kind: Kind::Enrolled, channel: self.id, body: body.clone() };
        let is_last = read_message::<Enrolled>(&frame).is_ok_and(|enrolled| !enrolled.more);
        self.enrolments = self.enrolments.saturating_sub(usize::from(is_last));
    }

    /// Checks a report; answers whether it goes on. Those that come too soon are not looked at (rule D7).
    pub(super) fn reports(&mut self, frame: &Frame, now: Instant) -> Result<bool, Error> {
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
    pub(super) fn issued(&mut self, body: &Bytes) {
        let frame = Frame { kind: Kind::Issued, channel: self.id, body: body.clone() };
        self.requested &= read_message::<Issued>(&frame).is_ok_and(|issued| issued.more);
    }

    /// Checks credit and sequence of a data frame; answers the last sequence that is complete with it.
    pub(super) fn receive(&mut self, frame: &Frame) -> Result<Option<Sequence>, Error> {
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
