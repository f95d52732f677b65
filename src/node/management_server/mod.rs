//! The management server: authenticates, authorises, hands messages to the application, acknowledges.

mod attesting;
mod certificates;
mod channel;
mod delivery;
mod inner;
mod links;
mod opening;
mod operators;
mod reports;
mod succession;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{
    CursorOutcome, CursorWrite, Decision, GroupKeys, Knock, NodePresence, NodeReport, RefusedAttempt, SessionAnswer,
    SessionRequest, SignedAssignment,
};
use crate::identity::succession::Succession;
use crate::identity::{ChainHash, ChallengeSecret, KeyHash, VerifiedPeer, challenge_of_period};
use crate::limits::CHALLENGE_PERIOD;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::node::reception::LinksOfNames;
use crate::node::timers::Timers;
use crate::node::{IdentityInput, Introduction, LinkEffect, LinkId, LinkInput};
use crate::time::{Instant, Timestamp};
use crate::wire::{Answer, Challenge};
use certificates::Desk;
pub(crate) use certificates::Order;
use channel::{Channel, Stage};
use delivery::Outlet;
pub(crate) use delivery::{Batch, Delivery};
use links::Downlink;
pub(crate) use operators::OperatorAsk;
use operators::Operators;
pub(crate) use succession::NextKey;

/// What a management server starts with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) me: Introduction,
    pub(crate) group_keys: GroupKeys,
    pub(crate) challenge_secret: ChallengeSecret,
    pub(crate) output: Output,
    pub(crate) message_bytes_max: usize,
}

/// Where deliveries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the application; cursors in the group store.
    Application,
    /// To the application, which keeps the cursor itself and is asked for it (rule D5b).
    ApplicationWithCursor,
    /// Into the group store, with the cursor in one transaction (rule D5a).
    Store,
}

/// Whom an answer of the group is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Link(LinkId),
    Channel(u64),
}

/// What the group says of a name now.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) decision: Decision,
    pub(crate) assignment: Option<SignedAssignment>,
}

/// What the shell tells the management server.
#[derive(Debug)]
pub(crate) enum Input {
    Link(LinkInput),
    /// The wall clock; at the start and about once a second.
    Wall(Timestamp),
    Identity(IdentityInput),
    /// The answer to [`Effect::VerifyAgent`]: who it is, and the key hash of the claim that was signed.
    AgentVerified {
        channel: u64,
        result: Result<(Arc<VerifiedPeer>, KeyHash), Error>,
    },
    /// The answer to [`Effect::VerifySuccession`].
    SuccessionVerified {
        subject: Subject,
        chain: ChainHash,
        result: Result<Arc<VerifiedPeer>, Error>,
    },
    /// The answer to [`Effect::Authorise`].
    Authorised {
        subject: Subject,
        result: Result<Standing, Error>,
    },
    /// The answer to [`Effect::OpenSession`].
    SessionOpened {
        channel: u64,
        result: Result<SessionAnswer, Error>,
    },
    /// The answer to [`Effect::AskCursor`].
    CursorAnswered {
        channel: u64,
        result: Result<Option<Sequence>, Error>,
    },
    /// The application took a batch.
    Acknowledged {
        batch: u64,
    },
    /// The answer to [`Effect::Commit`], once it is durable; a store that fails is tried again by the shell.
    Committed(Vec<CursorOutcome>),
    /// Something in the group changed: everybody's standing is asked for again (rule G2).
    GroupChanged,
    /// The group signs with another key now.
    GroupKeys(GroupKeys),
    /// These agents have messages waiting in the store.
    DownWaiting(Vec<Name>),
    /// The answer to [`Effect::FetchDown`].
    DownFetched {
        channel: u64,
        messages: Vec<(u64, Timestamp, Bytes)>,
    },
    /// The answer to [`Effect::Issue`].
    Issued {
        order: u64,
        answer: Answer,
    },
    /// The answer to [`Effect::Perform`], in JSON.
    Performed {
        order: u64,
        result: Result<Bytes, Error>,
    },
    Stop,
}

/// What the management server asks of the shell.
#[derive(Debug)]
pub(crate) enum Effect {
    Link(LinkEffect),
    /// Verify a chain and an attestation's signature by its leaf, an agent's or that of a gateway behind another one.
    /// `link` is who asks: each link has its turn.
    VerifyAgent {
        link: LinkId,
        channel: u64,
        agent: Name,
        chain: Chain,
        /// What may have been signed, the likeliest first: for each key that the gateway speaks for, the claim.
        claims: Vec<(KeyHash, Vec<u8>)>,
        scheme: u16,
        signature: Bytes,
    },
    /// Verify that a gateway's former key vouches for the one of its link, or of its channel (rule I5).
    VerifySuccession {
        link: LinkId,
        subject: Subject,
        name: Name,
        group: String,
        shown: Succession,
    },
    Authorise {
        subject: Subject,
        knock: Knock,
    },
    OpenSession {
        channel: u64,
        request: SessionRequest,
    },
    /// Ask the application for its own cursor (rule D5b).
    AskCursor {
        channel: u64,
        agent: Name,
        epoch: Epoch,
    },
    HandOver(Batch),
    Commit {
        writes: Vec<CursorWrite>,
        deliveries: Vec<Delivery>,
        /// The cursors cover the application's batches up to this one.
        batch: u64,
    },
    FetchDown {
        channel: u64,
        agent: Name,
        fence: u64,
        above: u64,
    },
    DownDelivered {
        agent: Name,
        fence: u64,
        through: u64,
    },
    /// Check a request for a certificate and have it answered.
    Issue {
        order: u64,
        what: Box<Order>,
    },
    /// Check what a gateway says of its next key, and let a pin follow; nobody is answered.
    NextKey(Box<NextKey>),
    /// A node said how it stands.
    Reported(Box<NodeReport>),
    /// This server, or a gateway behind which it happened, refused an attempt to connect.
    Refused(Box<RefusedAttempt>),
    /// A gateway's link was let in, or an agent's channel is open.
    Entered(Box<NodePresence>),
    /// It is gone.
    Left {
        session: u64,
        at: Timestamp,
    },
    /// Ask the group's store what an operator asks.
    Perform(OperatorAsk),
    Event(Event),
    Stopped,
}

/// A chain to verify; whether one that was verified still holds depends on trust and time (SECURITY 21).
#[derive(Clone, Debug)]
pub(crate) enum Chain {
    Der(Vec<Bytes>),
    Verified(Arc<VerifiedPeer>),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ManagementServer {
    config: Config,
    wall: Timestamp,
    /// When the input that is being handled came.
    now: Instant,
    challenge: Option<Challenge>,
    links: BTreeMap<LinkId, Downlink>,
    names: LinksOfNames,
    channels: BTreeMap<u64, Channel>,
    by_agent: BTreeMap<Name, u64>,
    /// The gateways that are connected through others.
    by_gateway: BTreeMap<Name, u64>,
    channel_count: u64,
    timers: Timers<LinkId>,
    touched: Vec<LinkId>,
    pending: BTreeSet<Subject>,
    /// Whose standing the store could not tell; asked again with the next tick of the wall clock.
    unanswered: BTreeSet<Subject>,
    outlet: Outlet,
    join_bytes: usize,
    stalled: VecDeque<u64>,
    desk: Desk,
    operators: Operators,
    output: VecDeque<LinkEffect>,
    effects: VecDeque<Effect>,
    /// While what the application has acknowledged is being committed before the links close.
    stop_by: Option<Instant>,
    stopped: bool,
}

impl ManagementServer {
    pub(crate) fn new(config: Config, wall: Timestamp) -> Self {
        let mut server = Self {
            config,
            wall,
            now: Instant::default(),
            challenge: None,
            links: BTreeMap::new(),
            names: LinksOfNames::default(),
            channels: BTreeMap::new(),
            by_agent: BTreeMap::new(),
            by_gateway: BTreeMap::new(),
            channel_count: 0,
            timers: Timers::new(),
            touched: Vec::new(),
            pending: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            outlet: Outlet::default(),
            join_bytes: 0,
            stalled: VecDeque::new(),
            desk: Desk::default(),
            operators: Operators::default(),
            output: VecDeque::new(),
            effects: VecDeque::new(),
            stop_by: None,
            stopped: false,
        };
        server.handle_wall(wall);
        server
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        self.now = now;
        if self.stop_by.is_some() {
            return self.handle_while_stopping(input, now);
        }
        match input {
            Input::Link(input) => self.handle_link(input, now),
            Input::Wall(wall) => self.handle_wall(wall),
            Input::Identity(input) => self.handle_identity(input),
            Input::SuccessionVerified { subject, chain, result } => {
                self.handle_succession_verified(subject, chain, result);
            }
            Input::AgentVerified { channel, result } => self.handle_agent_verified(channel, result),
            Input::Authorised { subject, result } => self.handle_authorised(subject, result, now),
            Input::SessionOpened { channel, result } => self.handle_session_opened(channel, result),
            Input::CursorAnswered { channel, result } => self.handle_cursor_answered(channel, result),
            Input::Acknowledged { batch } => self.outlet.handle_acknowledged(batch),
            Input::Committed(outcomes) => self.handle_committed(outcomes),
            Input::GroupChanged => self.ask_for_everybodys_standing(),
            Input::GroupKeys(keys) if keys.version >= self.config.group_keys.version => self.config.group_keys = keys,
            Input::GroupKeys(_) => {}
            Input::DownWaiting(agents) => {
                for agent in agents {
                    if let Some(channel) = self.by_agent.get(&agent).copied() {
                        self.fetch_down(channel);
                    }
                }
            }
            Input::DownFetched { channel, messages } => self.handle_down_fetched(channel, messages),
            Input::Issued { order, answer } => self.handle_issued(order, &answer),
            Input::Performed { order, result } => self.handle_performed(order, result, now),
            Input::Stop => self.stop_by = Some(now + COMMIT_WITHIN),
        }
    }

    /// Nothing new is taken; what was acknowledged is brought to its end.
    fn handle_while_stopping(&mut self, input: Input, now: Instant) {
        match input {
            Input::Acknowledged { batch } => self.outlet.handle_acknowledged(batch),
            Input::Committed(outcomes) => self.handle_committed(outcomes),
            Input::Link(LinkInput::Accepted { link, .. }) => self.output.push_back(LinkEffect::Close { link }),
            Input::Link(input @ (LinkInput::Written { .. } | LinkInput::Lost { .. })) => self.handle_link(input, now),
            _ => {}
        }
    }

    /// A new period has a new challenge; attestations lapse and certificates expire (rules I5 and I6).
    fn handle_wall(&mut self, wall: Timestamp) {
        self.wall = wall;
        let period = u64::try_from(wall.unix_seconds()).unwrap_or(0) / CHALLENGE_PERIOD.as_secs();
        if self.challenge.as_ref().is_none_or(|challenge| challenge.period < period) {
            let bytes = challenge_of_period(self.config.challenge_secret.as_bytes(), &self.config.me.group, period);
            let challenge = Challenge { period, challenge: Bytes::copy_from_slice(&bytes) };
            self.challenge = Some(challenge.clone());
            self.tell_challenge(&challenge);
            self.ask_standing_of_waiting();
        }
        self.end_lapsed(period);
        self.ask_unanswered();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match self.stop_by {
            // The store does not take it: it comes again, marked.
            Some(stop_by) if now >= stop_by => self.stop(),
            Some(_) => {}
            None => {
                self.end_stalled_answers(now);
                self.handle_link_timeouts(now);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.stop_by {
            Some(stop_by) => Some(stop_by).filter(|_| !self.stopped),
            None => self.timers.next().into_iter().chain(self.operators.deadline()).min(),
        }
    }

    /// The end of a turn: hand-overs, commits, acknowledgements, credit, output.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        if self.stop_by.is_none() {
            self.deliver();
            self.begin_asks(now);
        }
        if self.config.output != Output::Store
            && let Some((writes, batch)) = self.outlet.next_commit()
        {
            self.effects.push_back(Effect::Commit { writes, deliveries: Vec::new(), batch });
        }
        self.transmit(now);
        if self.stop_by.is_some() && !self.outlet.is_committing() {
            self.stop();
        }
        self.effects.extend(self.output.drain(..).map(Effect::Link));
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Hands on what is ready; the room that large messages leave goes to those that wait to be joined.
    fn deliver(&mut self) {
        loop {
            let before = self.outlet.large_bytes();
            match self.config.output {
                Output::Store => self.commit_deliveries(),
                Output::Application | Output::ApplicationWithCursor => self.hand_over(),
            }
            if self.stalled.is_empty() || self.outlet.large_bytes() >= before {
                return;
            }
            self.resume_stalled();
        }
    }

    fn hand_over(&mut self) {
        while self.outlet.is_waiting() {
            let channels = &self.channels;
            let fence_of = |delivery: &Delivery| channels.get(&delivery.channel).map(|channel| channel.fence);
            let Some(batch) = self.outlet.next_batch(fence_of) else { return };
            for delivery in &batch.deliveries {
                self.consume(delivery.channel, delivery.credit);
            }
            self.effects.push_back(Effect::HandOver(batch));
        }
    }

    fn commit_deliveries(&mut self) {
        let channels = &self.channels;
        let fence_of = |delivery: &Delivery| channels.get(&delivery.channel).map(|channel| channel.fence);
        let Some((writes, deliveries)) = self.outlet.next_stored(fence_of) else { return };
        for delivery in &deliveries {
            self.consume(delivery.channel, delivery.credit);
        }
        self.effects.push_back(Effect::Commit { writes, deliveries, batch: 0 });
    }

    /// Only here an acknowledgement begins: after the commit is durable (rule D4).
    fn handle_committed(&mut self, outcomes: Vec<CursorOutcome>) {
        for (mark, outcome) in self.outlet.handle_committed().into_iter().zip(outcomes) {
            match outcome {
                CursorOutcome::Written => self.acknowledge(mark.channel, mark.write.through),
                CursorOutcome::Fenced => self.refuse_channel(mark.channel, &Error::new(Code::CursorFenced)),
            }
        }
    }

    /// Closes the links, after the acknowledgements that they still had to carry.
    fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        let error = Error::new(Code::ShuttingDown);
        for (_, mut link) in std::mem::take(&mut self.links) {
            link.caller.refuse(&error, &mut self.output);
        }
        self.channels.clear();
        self.by_agent.clear();
        self.by_gateway.clear();
        self.effects.extend(self.output.drain(..).map(Effect::Link));
        self.effects.push_back(Effect::Stopped);
    }

    /// Agents and gateways connected, for status: (gateways, agents, pending).
    pub(crate) fn connected(&self) -> (usize, usize, usize) {
        let gateways = self.links.values().filter(|link| link.is_open_gateway()).count();
        (gateways + self.by_gateway.len(), self.by_agent.len(), self.pending.len())
    }
}

/// How long a stop waits for the store to take what was acknowledged.
const COMMIT_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
