//! The agent's channel: attestation, opening, its frames, its end.

use std::time::Duration;

use bytes::Bytes;

use super::{Agent, Effect, Held, Instance, Seen};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::identity::{ChainHash, Claim, KeyHash};
use crate::message::{Epoch, Sequence};
use crate::node::is_passing;
use crate::role::Role;
use crate::time::{Instant, Timestamp};
use crate::wire::{
    Attestation, Close, Down, Frame, Issued, Kind, Open, Opened, Refuse, STATUS_ACCEPTED, SendCredit, code_of,
    read_message, read_number,
};

/// The agent's channel on the link in use.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: u32,
    state: State,
    pub(super) credit: SendCredit,
    opened_at: Instant,
    /// What may have reached the application before this channel: no quiet end of this one takes that back.
    pub(super) sent_before: Sequence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Pending,
    Open,
}

impl Channel {
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

/// A signature that is good for one connection and one period; it may be shown again (rule I6).
#[derive(Debug)]
pub(super) struct Attested {
    connection: u64,
    gateway_key: KeyHash,
    period: u64,
    attestation: Attestation,
}

impl Agent {
    /// A link is in use: a new connection of this boot.
    pub(super) fn handle_ready(&mut self, now: Instant) {
        self.connection += 1;
        self.channel = None;
        self.last_channel = 0;
        self.not_before = None;
        self.open_channel(now);
    }

    /// Opens a channel as soon as everything that it takes is there.
    pub(super) fn open_channel(&mut self, now: Instant) {
        let waits = self.channel.is_some() || self.rekeying || self.stopping || self.not_before.is_some();
        if waits || !self.uplink.is_available() {
            return;
        }
        let Some(attestation) = self.attestation() else { return };
        self.last_channel += 1;
        let open = Open {
            name: self.name.as_str().to_owned(),
            epoch: self.instance.epoch.0,
            boot: self.instance.boot,
            nonce: self.instance.nonce,
            connection: self.connection,
            boot_first: self.instance.first.0,
            lowest_held: self.window.lowest_held().0,
            sent_through: self.maybe_sent.0,
            attestation: Some(attestation),
            address: String::new(),
            software: self.software.clone(),
            assignment_version: self.uplink.assignment_version(),
            down_cursor: self.down_cursor,
            ..Open::default()
        };
        let id = self.last_channel;
        if let Some((_, link)) = self.uplink.link() {
            link.send(id, &open);
            let (credit, sent_before) = (SendCredit::default(), self.maybe_sent);
            self.channel = Some(Channel { id, state: State::Opening, credit, opened_at: now, sent_before });
        }
    }

    /// The attestation for the link in use and the period's challenge; asks for a signature if there is none yet.
    fn attestation(&mut self) -> Option<Attestation> {
        let challenge = self.uplink.challenge()?.clone();
        let gateway_key = self.uplink.peer_key()?;
        let link = self.uplink.link().map(|(link, _)| link)?;
        if self.signing.is_none()
            && let Some(attested) = &self.attested
        {
            let same = (attested.connection, attested.period) == (self.connection, challenge.period);
            if same && attested.gateway_key == gateway_key {
                return Some(attested.attestation.clone());
            }
        }
        if self.signing.is_none() {
            self.tokens += 1;
            self.signing = Some(self.tokens);
            let claim = Claim {
                role: Role::Agent,
                group: &self.group,
                challenge: &challenge.challenge,
                gateway_key,
                name: &self.name,
                epoch: self.instance.epoch,
                boot: self.instance.boot,
                nonce: self.instance.nonce,
                connection: self.connection,
            };
            self.attested = Some(Attested {
                connection: self.connection,
                gateway_key,
                period: challenge.period,
                // Filled by the signature; while that is awaited it is not shown.
                attestation: Attestation {
                    period: challenge.period,
                    gateway_key: Bytes::copy_from_slice(&gateway_key.0),
                    ..Attestation::default()
                },
            });
            self.effects.push_back(Effect::Sign { token: self.tokens, link, bytes: claim.to_be_signed() });
        }
        None
    }

    pub(super) fn handle_signed(&mut self, token: u64, result: Result<(u16, Bytes, ChainHash), Error>, now: Instant) {
        if self.signing != Some(token) {
            return;
        }
        self.signing = None;
        let Some(attested) = self.attested.as_mut() else { return };
        match result {
            Ok((scheme, signature, chain)) => {
                attested.attestation.scheme = u32::from(scheme);
                attested.attestation.signature = signature;
                attested.attestation.chain = Bytes::copy_from_slice(&chain.0);
            }
            Err(error) => {
                self.attested = None;
                self.effects.push_back(Effect::Event(Event::of_error(self.name.to_string(), &error)));
                self.not_before = Some(now + SIGN_AGAIN_AFTER);
                return;
            }
        }
        self.show_attestation(now);
    }

    fn show_attestation(&mut self, now: Instant) {
        let Some(id) = self.channel.as_ref().map(|channel| channel.id) else {
            return self.open_channel(now);
        };
        if let Some(attestation) = self.attestation()
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(id, &attestation);
        }
    }

    /// A new period began, or the link told its first challenge.
    pub(super) fn handle_challenge(&mut self, now: Instant) {
        self.show_attestation(now);
    }

    pub(super) fn handle_frame(&mut self, frame: &Frame, now: Instant) -> Result<(), Error> {
        if frame.kind == Kind::Assign {
            return self.uplink.handle_assign(&read_message(frame)?, now);
        }
        let Some(channel) = self.channel.as_mut().filter(|channel| channel.id == frame.channel) else {
            if frame.channel > self.last_channel {
                return Err(Error::new(Code::ChannelUnknown).found(format!("channel {}", frame.channel)));
            }
            return Ok(());
        };
        match frame.kind {
            Kind::Ack => {
                let through = Sequence(read_number(frame)?);
                self.handle_delivered(through)
            }
            Kind::Credit => {
                channel.credit.raise(read_number(frame)?);
                Ok(())
            }
            Kind::Opened => self.handle_opened(&read_message(frame)?),
            Kind::Down => self.handle_down(&read_message(frame)?),
            Kind::Issued => self.handle_issued(read_message(frame)?),
            Kind::Close => {
                self.handle_close(&read_message(frame)?, now);
                Ok(())
            }
            Kind::Refuse => {
                self.handle_refuse(&read_message::<Refuse>(frame)?.to_error(), now);
                Ok(())
            }
            other => Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} at an agent"))),
        }
    }

    fn handle_delivered(&mut self, through: Sequence) -> Result<(), Error> {
        let sent = self.window.sent_through().max(self.maybe_sent);
        if through > sent {
            return Err(Error::new(Code::SequenceBroken)
                .found(format!("an acknowledgement of {through}"))
                .expected(format!("at most {sent}, the last one sent")));
        }
        if through > self.window.delivered() {
            self.window.handle_delivered(through);
            self.delivered_dirty = true;
        }
        Ok(())
    }

    fn handle_opened(&mut self, opened: &Opened) -> Result<(), Error> {
        let Some(channel) = self.channel.as_mut() else { return Ok(()) };
        self.reopening.answered();
        if opened.status != STATUS_ACCEPTED {
            if channel.state == State::Opening {
                channel.state = State::Pending;
                let code = code_of(opened.code).code();
                self.effects.push_back(Effect::Event(Event::new(code, self.name.to_string(), "the channel waits")));
            }
            return Ok(());
        }
        if channel.state == State::Open {
            return Err(Error::new(Code::FrameUnexpected).found("OPENED on an open channel"));
        }
        let delivered = Sequence(opened.delivered);
        let beyond_sent = delivered > self.window.sent_through().max(self.maybe_sent);
        // Of an unseen boot nothing was sent; the group may not have noticed, where the application has the cursor.
        if beyond_sent || (self.seen == Seen::Never && delivered >= self.instance.first) {
            // The application has sequences that this disk never sent: it is an old one (rule D1).
            self.close_channel();
            self.rekey();
            return Ok(());
        }
        channel.state = State::Open;
        self.handle_delivered(delivered)?;
        self.window.rewind();
        if self.seen == Seen::Never {
            self.seen = Seen::Keeping;
            self.effects.push_back(Effect::KeepSeen { epoch: self.instance.epoch });
        }
        let upstream = self.uplink.upstream().map(ToString::to_string).unwrap_or_default();
        self.effects.push_back(Effect::Event(Event::new(Code::LinkUp, upstream, "the channel is open")));
        Ok(())
    }

    pub(super) fn handle_seen_kept(&mut self, epoch: Epoch) {
        if self.seen == Seen::Keeping && epoch == self.instance.epoch {
            self.seen = Seen::Kept;
        }
    }

    fn handle_close(&mut self, close: &Close, now: Instant) {
        let Some(channel) = self.channel.take() else { return };
        if let Some(forwarded) = close.forwarded {
            // A planned move of the gateway: nothing above this left it, so it is not redelivered (rule D5).
            self.only_reached(Sequence(forwarded), channel.sent_before);
        }
        self.open_again(channel.opened_at, now);
    }

    /// Of what this channel sent, nothing above `reached` went further; what was sent before it stays doubtful.
    pub(super) fn only_reached(&mut self, reached: Sequence, sent_before: Sequence) {
        let doubtful = reached.max(sent_before).max(self.window.delivered());
        self.maybe_sent = self.maybe_sent.min(doubtful);
    }

    /// Opens again, as soon as it may.
    fn open_again(&mut self, opened_at: Instant, now: Instant) {
        self.not_before = self.reopening.not_before(opened_at, now).or(self.not_before);
        self.open_channel(now);
    }

    fn handle_refuse(&mut self, error: &Error, now: Instant) {
        let Some(channel) = self.channel.take() else { return };
        if self.reopening.refused(error.code()) {
            self.effects.push_back(Effect::Event(Event::of_error(self.name.to_string(), error)));
        }
        match error.code() {
            Code::RolledBack => self.rekey(),
            Code::AttestationStale | Code::SessionStale => {
                // A newer connection of this boot, or a newer period, was seen: sign for a new connection.
                self.connection += 1;
                self.attested = None;
                self.open_again(channel.opened_at, now);
            }
            code if is_passing(code) => self.open_again(channel.opened_at, now),
            _ => self.uplink.refused(error.clone(), now),
        }
    }

    fn rekey(&mut self) {
        self.rekeying = true;
        self.effects.push_back(Effect::Rekey);
    }

    pub(super) fn handle_rekeyed(&mut self, instance: Instance, held: Held, now: Instant) {
        self.rekeying = false;
        self.instance = instance;
        self.seen = Seen::Never;
        self.attested = None;
        self.signing = None;
        self.window = self.window.rekeyed(held.delivered, held.durable);
        self.maybe_sent = held.delivered;
        // Twice in a row is no restored disk but an application or a group that answers nonsense.
        let again = self.rekeyed_at.replace(now).is_some_and(|before| now.since(before) < REKEY_AGAIN_AFTER);
        if again {
            self.not_before = Some(now + REKEY_AGAIN_AFTER);
        }
        self.open_channel(now);
    }

    fn handle_down(&mut self, down: &Down) -> Result<(), Error> {
        if down.number <= self.down_cursor {
            self.acknowledge_down();
        } else if down.number > self.down_handed {
            self.down_handed = down.number;
            let sent = Timestamp::from_unix_millis(down.sent_unix_ms);
            self.effects.push_back(Effect::Down { number: down.number, sent, payload: down.payload.clone() });
        }
        Ok(())
    }

    /// A new certificate is asked for on the open channel, and on each new one until there is an answer.
    pub(super) fn ask_renewal(&mut self) {
        let open = self.channel.as_ref().filter(|channel| channel.is_open() && !self.uplink.is_moving());
        let Some(id) = open.map(|channel| channel.id) else { return };
        if let Some(request) = self.renewal.next((self.connection, id))
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(id, &request);
        }
    }

    fn handle_issued(&mut self, issued: Issued) -> Result<(), Error> {
        if let Some(renewed) = self.renewal.handle_issued(issued)? {
            self.effects.push_back(Effect::Renewed(renewed));
        }
        Ok(())
    }

    pub(super) fn handle_down_cursor_kept(&mut self, number: u64) {
        self.down_cursor = self.down_cursor.max(number);
        self.acknowledge_down();
    }

    fn acknowledge_down(&mut self) {
        let Some(channel) = self.channel.as_ref().filter(|channel| channel.is_open()) else { return };
        let (id, body) = (channel.id, self.down_cursor.to_be_bytes());
        if let Some((_, link)) = self.uplink.link() {
            link.send_frame(Kind::DownAck, id, &body);
        }
    }

    pub(super) fn close_channel(&mut self) {
        let Some(channel) = self.channel.take() else { return };
        if let Some((_, link)) = self.uplink.link() {
            let code = u32::from(Code::ChannelClosed.number());
            link.send(channel.id, &Close { code, text: String::new(), forwarded: None });
        }
    }
}

/// How long an agent waits with its next channel after a second new epoch in a row: each costs a sync.
const REKEY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A key service that did not answer is asked again after this.
const SIGN_AGAIN_AFTER: Duration = Duration::from_secs(5);
