//! The gateway's own channel, where its upstream is another gateway (rules G1 and I6): the proof that it is connected there
//! now, and the group's word that it may be. Nothing of its agents goes up before that, and nothing without it.

use std::time::Duration;

use bytes::Bytes;

use super::control::Control;
use super::{Effect, ToShard};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::identity::{ChainHash, Claim, KeyHash};
use crate::message::Epoch;
use crate::name::Name;
use crate::node::is_passing;
use crate::node::reopening::Reopening;
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{
    Attestation, Frame, Kind, Open, Opened, Refuse, STATUS_ACCEPTED, State as PathState, code_of, read_message,
};

/// See the module's text.
#[derive(Debug)]
pub(super) struct Own {
    /// Of this start of the gateway; the group orders its connections by it, as it does an agent's (rule F5).
    epoch: u64,
    connection: u64,
    channel: Option<Channel>,
    attested: Option<Attested>,
    signing: Option<u64>,
    tokens: u64,
    not_before: Option<Instant>,
    reopening: Reopening,
}

#[derive(Debug)]
struct Channel {
    id: u32,
    opened_at: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    /// The group has not approved this gateway: since when, and the code that says so.
    Pending(Code, Instant),
    Open,
}

/// A signature that is good for one connection and one period.
#[derive(Debug)]
struct Attested {
    connection: u64,
    gateway_key: KeyHash,
    period: u64,
    attestation: Attestation,
}

impl Own {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            epoch: seed,
            connection: 0,
            channel: None,
            attested: None,
            signing: None,
            tokens: 0,
            not_before: None,
            reopening: Reopening::default(),
        }
    }

    /// Its number on the link in use, once the group let this gateway in.
    pub(super) fn open_id(&self) -> Option<u32> {
        self.channel.as_ref().filter(|channel| channel.state == State::Open).map(|channel| channel.id)
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.channel.as_ref().map(|channel| channel.id)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether the time has come to try again.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.not_before.take_if(|at| now >= *at).is_some()
    }

    pub(super) fn waiting(&self) -> Option<(Code, Instant)> {
        match self.channel.as_ref()?.state {
            State::Pending(code, since) => Some((code, since)),
            State::Opening | State::Open => None,
        }
    }

    /// Another link is in use: a new connection.
    pub(super) fn begin_link(&mut self) {
        self.connection += 1;
        self.end();
        self.not_before = None;
    }

    pub(super) fn end(&mut self) -> Option<u32> {
        self.channel.take().map(|channel| channel.id)
    }

    /// The next opening shows a new connection of this gateway.
    fn renew_connection(&mut self) {
        self.connection += 1;
        self.attested = None;
    }
}

impl Control {
    /// Whether channels of agents can be opened now.
    pub(super) fn is_available(&self) -> bool {
        self.uplink.is_available() && (!self.uplink.is_behind_gateway() || self.own.open_id().is_some())
    }

    /// Opens this gateway's channel as soon as everything that it takes is there.
    pub(super) fn open_own(&mut self, now: Instant) {
        let waits = self.own.channel.is_some() || self.own.not_before.is_some_and(|at| now < at);
        if waits || !self.uplink.is_behind_gateway() || !self.uplink.is_available() || self.uplink.is_moving() {
            return;
        }
        self.own.not_before = None;
        let Some(attestation) = self.attestation() else { return };
        let (assignment_version, me) = (self.uplink.assignment_version(), self.uplink.me().clone());
        let open = Open {
            name: me.name.as_str().to_owned(),
            epoch: self.own.epoch,
            boot: 1,
            nonce: self.own.epoch,
            connection: self.own.connection,
            boot_first: 1,
            lowest_held: 1,
            attestation: Some(attestation),
            software: me.software,
            assignment_version,
            role: Role::Gateway as u32,
            ..Open::default()
        };
        self.last_channel += 1;
        let id = self.last_channel;
        if let Some((_, link)) = self.uplink.link() {
            link.send(id, &open);
            self.own.channel = Some(Channel { id, opened_at: now, state: State::Opening });
        }
    }

    /// The attestation for the link in use and the period's challenge; asks for a signature if there is none yet.
    fn attestation(&mut self) -> Option<Attestation> {
        let challenge = self.uplink.challenge()?.clone();
        let gateway_key = self.uplink.peer_key()?;
        let link = self.uplink.link().map(|(link, _)| link)?;
        if self.own.signing.is_some() {
            return None;
        }
        if let Some(attested) = &self.own.attested {
            let same = (attested.connection, attested.period) == (self.own.connection, challenge.period);
            if same && attested.gateway_key == gateway_key {
                return Some(attested.attestation.clone());
            }
        }
        let me = self.uplink.me();
        let claim = Claim {
            role: Role::Gateway,
            group: &me.group,
            challenge: &challenge.challenge,
            gateway_key,
            name: &me.name,
            epoch: Epoch(self.own.epoch),
            boot: 1,
            nonce: self.own.epoch,
            connection: self.own.connection,
        };
        let bytes = claim.to_be_signed();
        let period = challenge.period;
        // Filled by the signature; while that is awaited it is not shown.
        let attestation =
            Attestation { period, gateway_key: Bytes::copy_from_slice(&gateway_key.0), ..Attestation::default() };
        self.own.attested = Some(Attested { connection: self.own.connection, gateway_key, period, attestation });
        self.own.tokens += 1;
        self.own.signing = Some(self.own.tokens);
        self.effects.push_back(Effect::Sign { token: self.own.tokens, link, bytes });
        None
    }

    pub(super) fn handle_signed(&mut self, token: u64, result: Result<(u16, Bytes, ChainHash), Error>, now: Instant) {
        if self.own.signing != Some(token) {
            return;
        }
        self.own.signing = None;
        let Some(attested) = self.own.attested.as_mut() else { return self.open_own(now) };
        match result {
            Ok((scheme, signature, chain)) => {
                attested.attestation.scheme = u32::from(scheme);
                attested.attestation.signature = signature;
                attested.attestation.chain = Bytes::copy_from_slice(&chain.0);
                self.show_attestation(now);
            }
            Err(error) => {
                self.own.attested = None;
                let subject = self.uplink.me().name.to_string();
                self.effects.push_back(Effect::Event(Event::of_error(subject, &error)));
                self.own.not_before = Some(now + SIGN_AGAIN_AFTER);
            }
        }
    }

    /// Opens the channel, or renews its attestation: a new period began, or a signature came.
    pub(super) fn show_attestation(&mut self, now: Instant) {
        let Some(id) = self.own.id() else { return self.open_own(now) };
        if let Some(attestation) = self.attestation()
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(id, &attestation);
        }
    }

    /// A frame of this gateway's own channel.
    pub(super) fn handle_own_frame(&mut self, frame: &Frame, now: Instant) -> Result<(), Error> {
        match frame.kind {
            Kind::Opened => self.handle_own_opened(&read_message(frame)?, now),
            Kind::Close => self.own_ended(now),
            Kind::Refuse => self.own_refused(read_message::<Refuse>(frame)?.to_error(), now),
            Kind::Assign => return self.uplink.handle_assign(&read_message(frame)?, now),
            Kind::Issued | Kind::Enrolled => return self.handle_certificates(frame),
            other => {
                return Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} on a gateway's own channel")));
            }
        }
        Ok(())
    }

    fn handle_own_opened(&mut self, opened: &Opened, now: Instant) {
        let upstream = self.uplink.upstream().map(ToString::to_string).unwrap_or_default();
        let Some(channel) = self.own.channel.as_mut() else { return };
        self.own.reopening.answered();
        if opened.status != STATUS_ACCEPTED {
            let code = code_of(opened.code).code();
            if channel.state == State::Opening {
                channel.state = State::Pending(code, now);
                let text = "the link stays open and is used as soon as the group approves this node";
                self.effects.push_back(Effect::Event(Event::new(code, upstream, text)));
                self.tell_availability(false);
            }
            return;
        }
        if std::mem::replace(&mut channel.state, State::Open) == State::Open {
            return;
        }
        self.effects.push_back(Effect::Event(Event::new(Code::LinkUp, upstream, "the gateway's channel is open")));
        // What was taught for the channel before may be forgotten.
        self.chains_sent.clear();
        self.rotation.begin_link();
        // First what was sent on and what was not: an agent that must connect anew does not doubt the rest (rule D5).
        self.end_suspended(Code::LinkClosed);
        self.vouch_for_the_key();
        self.tell_availability(true);
    }

    /// The channel ended, and with it those behind it: their agents are told when it is known what comes next.
    pub(super) fn own_ended(&mut self, now: Instant) {
        let Some(channel) = self.own.channel.take() else { return };
        self.suspend_all();
        self.tell_unavailable_at.get_or_insert(now + UNAVAILABLE_AFTER);
        self.own.not_before = self.own.reopening.not_before(channel.opened_at, now).or(self.own.not_before);
        self.open_own(now);
    }

    fn own_refused(&mut self, error: Error, now: Instant) {
        let code = error.code();
        if self.own.reopening.refused(code) {
            let subject = self.uplink.upstream().map(ToString::to_string).unwrap_or_default();
            self.effects.push_back(Effect::Event(Event::of_error(subject, &error)));
        }
        match code {
            Code::AttestationStale | Code::SessionStale => {
                self.own.renew_connection();
                self.own_ended(now);
            }
            code if is_passing(code) => self.own_ended(now),
            _ => {
                self.own.end();
                self.uplink.refused(error, now);
            }
        }
    }

    /// Tells those below whether there is a way up, and which.
    pub(super) fn tell_state(&mut self) {
        let state = state_of(self.told_available, &self.uplink.me().name, self.uplink.path());
        if self.told_state.as_ref() != Some(&state) {
            self.told_state = Some(state.clone());
            self.to_shard.push(ToShard::State(state));
        }
    }
}

/// STATE of a gateway whose upstreams are these.
pub(super) fn state_of(available: bool, me: &Name, path: &[Name]) -> PathState {
    let code = if available { 0 } else { u32::from(Code::UpstreamUnavailable.number()) };
    let path = std::iter::once(me).chain(path).map(|name| name.as_str().to_owned()).collect();
    PathState { available, code, path }
}

/// How long a gateway looks for another upstream before it tells its agents to look for another gateway.
pub(super) const UNAVAILABLE_AFTER: Duration = Duration::from_secs(3);
/// A key service that did not answer is asked again after this.
const SIGN_AGAIN_AFTER: Duration = Duration::from_secs(5);
