//! The gateway's upstream side: one channel per agent, and per gateway behind it, on one link; fair turns, credit, moves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::certificates::Certificates;
use super::own::{Own, UNAVAILABLE_AFTER};
use super::reports::Reports;
use super::rotation::Rotation;
use super::teaching::{announce, send_chain, succeed};
use super::{Effect, RelayId, ToControl, ToShard};
use crate::code::Code;
use crate::error::Error;
use crate::identity::{ChainHash, VerifiedPeer};
use crate::limits::{CHANNELS_PER_LINK_MAX, FRAME_BYTES_MAX};
use crate::message::Sequence;
use crate::node::uplink::{Uplink, UplinkConfig, UplinkOutput};
use crate::node::{CertificateChange, IdentityInput, LinkInput};
use crate::time::Instant;
use crate::wire::{
    CHUNK_BYTES, Close, Frame, HEADER_BYTES, Kind, Open, Opened, STATUS_ACCEPTED, SendCredit, State, put_header,
    read_message, read_number,
};

/// One channel on the link upstream, an agent's or that of a gateway behind this one.
#[derive(Debug)]
struct UpChannel {
    relay: RelayId,
    is_gateways: bool,
    /// The number of the gateway channel that it is behind; 0 where this gateway is at its server.
    behind: u32,
    open: bool,
    credit: SendCredit,
    queue: VecDeque<Queued>,
    in_turn: bool,
    /// The last sequence that was sent on whole, and the last that was acknowledged.
    forwarded: Sequence,
    acknowledged: Sequence,
}

#[derive(Debug)]
struct Queued {
    kind: Kind,
    body: Bytes,
    last: Option<Sequence>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) uplink: Uplink,
    channels: BTreeMap<u32, UpChannel>,
    by_relay: BTreeMap<RelayId, u32>,
    /// Who has data and credit, in turn (rule D7).
    turns: VecDeque<u32>,
    pub(super) last_channel: u32,
    pub(super) chains_sent: BTreeSet<ChainHash>,
    /// Of these, what gateways behind this one taught.
    pub(super) inner_chains: usize,
    pub(super) own: Own,
    /// Channels whose link is gone: their agents are told when it is known what comes next.
    suspended: Vec<(RelayId, Sequence)>,
    pub(super) told_available: bool,
    pub(super) told_state: Option<State>,
    pub(super) tell_unavailable_at: Option<Instant>,
    quiet_by: Option<Instant>,
    pub(super) certificates: Certificates,
    pub(super) software: String,
    pub(super) reports: Reports,
    pub(super) rotation: Rotation,
    pub(super) to_shard: Vec<ToShard>,
    pub(super) effects: VecDeque<Effect>,
}

impl Control {
    pub(super) fn new(uplink: UplinkConfig, now: Instant) -> Self {
        let own = Own::new(uplink.seed);
        let software = uplink.me.software.clone();
        let mut control = Self {
            uplink: Uplink::new(uplink, now),
            channels: BTreeMap::new(),
            by_relay: BTreeMap::new(),
            turns: VecDeque::new(),
            last_channel: 0,
            chains_sent: BTreeSet::new(),
            inner_chains: 0,
            own,
            suspended: Vec::new(),
            told_available: false,
            told_state: None,
            tell_unavailable_at: None,
            quiet_by: None,
            certificates: Certificates::default(),
            software,
            reports: Reports::default(),
            rotation: Rotation::default(),
            to_shard: Vec::new(),
            effects: VecDeque::new(),
        };
        control.drain_uplink(now);
        control
    }

    pub(super) fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    pub(super) fn take_batch(&mut self) -> Vec<ToShard> {
        std::mem::take(&mut self.to_shard)
    }

    pub(super) fn drain_effects(&mut self, effects: &mut VecDeque<Effect>) {
        effects.append(&mut self.effects);
    }

    pub(super) fn handle(&mut self, input: LinkInput, now: Instant) {
        self.uplink.handle(input, now);
        self.drain_uplink(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.uplink.handle_timeout(now);
        if self.quiet_by.is_some_and(|at| now >= at) {
            self.quiet_by = None;
            self.uplink.abandon_move(now);
            self.all_turns();
        }
        if self.tell_unavailable_at.is_some_and(|at| now >= at) {
            self.tell_availability(false);
        }
        if self.own.take_due(now) {
            self.show_attestation(now);
        }
        self.drain_uplink(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let own = self.own.due().filter(|_| self.uplink.is_available() && !self.uplink.is_moving());
        let own = own.into_iter().chain(self.poll_report());
        self.uplink.poll_timeout().into_iter().chain(self.quiet_by).chain(self.tell_unavailable_at).chain(own).min()
    }

    pub(super) fn stop(&mut self) {
        self.close_all(Code::ChannelClosed);
        self.channels.clear();
        self.uplink.stop();
        while let Some(output) = self.uplink.poll_output() {
            if let UplinkOutput::Link(effect) = output {
                self.effects.push_back(Effect::Link(effect));
            }
        }
    }

    pub(super) fn end_turn(&mut self, now: Instant) {
        self.move_if_quiet(now);
        if self.is_available() && !self.uplink.is_moving() {
            // A move that came to nothing: who knocked meanwhile knocks again.
            self.end_suspended(Code::LinkClosed);
        }
        self.open_own(now);
        self.ask_for_certificates();
        self.look_at_reports(now);
        self.uplink.end_turn(now);
        self.drain_uplink(now);
        self.show_when_it_stands();
        self.transmit(now);
    }

    pub(super) fn handle_identity(&mut self, input: IdentityInput, now: Instant) {
        match input {
            IdentityInput::Changed(change) => {
                self.uplink.handle_change(&change, now);
                if let Some(certificate) = change.certificate {
                    self.announce_next_key(&certificate);
                    self.rotation.begin(change.generation, certificate);
                    self.vouch_for_the_key();
                }
            }
            IdentityInput::Judged(verdicts) => {
                verdicts.iter().for_each(|verdict| self.uplink.handle_verdict(verdict, now));
            }
            IdentityInput::Wall(wall) => {
                self.rotation.handle_wall(wall);
                self.uplink.handle_wall(wall, now);
            }
        }
        self.drain_uplink(now);
    }

    /// The key that was proven on the link in use says which one comes next, while it stands: a server that pinned it would
    /// refuse the new link.
    fn announce_next_key(&mut self, change: &CertificateChange) {
        let channel = if self.uplink.is_behind_gateway() { self.own.open_id() } else { Some(0) };
        let (Some(shown), Some(channel)) = (self.uplink.shown(), channel) else { return };
        if let Some(says) = self.rotation.announcement(change, shown.key)
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(channel, &announce(&says));
        }
    }

    /// The former keys vouch for the one that was shown on the link in use, before the first channel is opened on it.
    pub(super) fn vouch_for_the_key(&mut self) {
        // Behind another gateway it is said on this gateway's own channel, once that is open.
        let channel = if self.uplink.is_behind_gateway() { self.own.open_id() } else { Some(0) };
        let (Some(shown), Some(channel)) = (self.uplink.shown(), channel) else { return };
        let statements = self.rotation.statements_for(shown.key);
        self.to_shard.push(ToShard::SpeaksFor(self.rotation.keys_with(shown.key)));
        let Some((_, link)) = self.uplink.link() else { return };
        for succession in statements {
            if self.chains_sent.insert(ChainHash::of(&succession.chain)) {
                send_chain(link, succession.chain.clone());
            }
            link.send(channel, &succeed(&succession));
        }
    }

    /// Rule I5: a new key is shown to agents once the link upstream stands with it.
    fn show_when_it_stands(&mut self) {
        let shown = self.uplink.shown().map(|shown| shown.generation);
        if let Some(generation) = self.rotation.next_to_show(shown) {
            self.effects.push_back(Effect::Show { generation });
        }
    }

    fn drain_uplink(&mut self, now: Instant) {
        while let Some(output) = self.uplink.poll_output() {
            match output {
                UplinkOutput::Link(effect) => self.effects.push_back(Effect::Link(effect)),
                UplinkOutput::Ready => self.handle_ready(now),
                UplinkOutput::Gone => self.handle_gone(now),
                UplinkOutput::MoveReady => self.quiet_by = Some(now + QUIET_WITHIN),
                UplinkOutput::Frame(frame) => {
                    if let Err(error) = self.handle_frame(frame, now) {
                        self.uplink.refused(error, now);
                    }
                }
                UplinkOutput::Challenge => {
                    self.tell_challenge();
                    if self.uplink.is_behind_gateway() {
                        self.show_attestation(now);
                    }
                }
                UplinkOutput::Available(available) => self.handle_available(available, now),
                UplinkOutput::Save(signed, key) => {
                    self.to_shard.push(ToShard::GroupKey(key));
                    self.effects.push_back(Effect::SaveAssignment(signed, key));
                }
                UplinkOutput::Event(event) => self.effects.push_back(Effect::Event(event)),
            }
        }
    }

    fn handle_ready(&mut self, now: Instant) {
        self.suspend_all();
        self.last_channel = 0;
        self.chains_sent.clear();
        self.quiet_by = None;
        self.tell_unavailable_at = None;
        self.inner_chains = 0;
        self.rotation.begin_link();
        self.own.begin_link();
        if !self.uplink.is_behind_gateway() {
            // First what was sent on and what was not: an agent that must connect anew does not doubt the rest (rule D5).
            self.end_suspended(Code::LinkClosed);
        }
        self.vouch_for_the_key();
        self.tell_challenge();
        if !self.uplink.is_available() {
            self.tell_unavailable_at = Some(now);
        } else if self.uplink.is_behind_gateway() {
            self.tell_unavailable_at = Some(now + UNAVAILABLE_AFTER);
            self.open_own(now);
        } else {
            self.tell_availability(true);
        }
        self.tell_state();
    }

    /// The upstream has a way to a management server now, or none, or another one.
    fn handle_available(&mut self, available: bool, now: Instant) {
        if !available {
            self.own.end();
            self.tell_availability(false);
        } else if self.uplink.is_behind_gateway() {
            self.open_own(now);
        } else {
            self.tell_availability(true);
        }
        self.tell_state();
    }

    /// The link died. Its agents are told once a new one stands, or when that takes longer than a moment: a failover
    /// that succeeds at once must not send them all to another gateway.
    fn handle_gone(&mut self, now: Instant) {
        self.own.end();
        self.suspend_all();
        self.quiet_by = None;
        self.tell_unavailable_at = Some(now + UNAVAILABLE_AFTER);
    }

    pub(super) fn suspend_all(&mut self) {
        // Those behind others have the higher numbers, and are told first: each hears how far it came.
        for (_, channel) in std::mem::take(&mut self.channels).into_iter().rev() {
            self.suspended.push((channel.relay, channel.forwarded));
        }
        self.by_relay.clear();
        self.turns.clear();
    }

    pub(super) fn end_suspended(&mut self, code: Code) {
        for (relay, forwarded) in std::mem::take(&mut self.suspended) {
            self.to_shard.push(ToShard::Ended { relay, code, forwarded });
        }
    }

    pub(super) fn tell_availability(&mut self, available: bool) {
        self.tell_unavailable_at = None;
        if !available {
            self.suspend_all();
            self.end_suspended(Code::UpstreamUnavailable);
        }
        self.told_available = available;
        self.tell_state();
    }

    fn tell_challenge(&mut self) {
        if let Some(challenge) = self.uplink.challenge() {
            self.to_shard.push(ToShard::Challenge(challenge.clone()));
        }
    }

    pub(super) fn handle_shard(&mut self, message: ToControl, now: Instant) {
        match message {
            ToControl::Open { relay, open, peer, behind } => self.open(relay, *open, peer.as_deref(), behind),
            ToControl::Chain(certificates) => self.teach_for_inner(certificates),
            ToControl::Data { relay, kind, body, last } => self.enqueue(relay, kind, body, last),
            ToControl::Pass { relay, kind, body } => {
                if let (Some(id), Some((_, link))) = (self.by_relay.get(&relay), self.uplink.link()) {
                    link.send_frame(kind, *id, &body);
                }
            }
            ToControl::Close { relay } => self.close(relay),
            ToControl::Refused(attempt) => self.note_refused(attempt, now),
        }
        self.drain_uplink(now);
    }

    fn open(&mut self, relay: RelayId, mut open: Open, peer: Option<&VerifiedPeer>, behind: Option<RelayId>) {
        let available = self.is_available() && !self.uplink.is_moving();
        let forwarded = Sequence(open.lowest_held.saturating_sub(1));
        let number = match behind {
            Some(gateway) => self.by_relay.get(&gateway).copied(),
            None => Some(self.own.open_id().unwrap_or(0)),
        };
        let Some((_, link)) = self.uplink.link().filter(|_| available) else {
            if self.uplink.is_moving() || self.tell_unavailable_at.is_some() {
                // It is told as soon as it is known where to.
                self.suspended.push((relay, forwarded));
            } else {
                self.to_shard.push(ToShard::Ended { relay, code: Code::UpstreamUnavailable, forwarded });
            }
            return;
        };
        let Some(behind) = number else {
            // The gateway in between has left meanwhile.
            return self.to_shard.push(ToShard::Ended { relay, code: Code::LinkClosed, forwarded });
        };
        if self.channels.len() >= CHANNELS_PER_LINK_MAX - 1 {
            return self.to_shard.push(ToShard::Ended { relay, code: Code::TooManyConnections, forwarded });
        }
        if let Some(peer) = peer
            && self.chains_sent.insert(peer.chain_hash())
        {
            let certificates = peer.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect();
            send_chain(link, certificates);
        }
        self.last_channel += 1;
        let id = self.last_channel;
        open.behind = behind;
        link.send(id, &open);
        self.by_relay.insert(relay, id);
        self.channels.insert(id, UpChannel::new(relay, &open));
    }

    fn enqueue(&mut self, relay: RelayId, kind: Kind, body: Bytes, last: Option<Sequence>) {
        let Some(id) = self.by_relay.get(&relay).copied() else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.queue.push_back(Queued { kind, body, last });
        take_turn(&mut self.turns, id, channel);
    }

    fn close(&mut self, relay: RelayId) {
        self.suspended.retain(|(suspended, _)| *suspended != relay);
        let Some(id) = self.by_relay.remove(&relay) else { return };
        self.channels.remove(&id);
        if let Some((_, link)) = self.uplink.link() {
            link.send(id, &close(Code::ChannelClosed));
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Instant) -> Result<(), Error> {
        if frame.channel == 0 {
            return self.handle_certificates(&frame);
        }
        if self.own.id() == Some(frame.channel) {
            return self.handle_own_frame(&frame, now);
        }
        let Some(channel) = self.channels.get_mut(&frame.channel) else {
            if frame.channel > self.last_channel {
                return Err(Error::new(Code::ChannelUnknown).found(format!("channel {}", frame.channel)));
            }
            return Ok(());
        };
        let relay = channel.relay;
        match frame.kind {
            Kind::Ack => {
                let through = Sequence(read_number(&frame)?);
                self.reports.delivered += through.0.saturating_sub(channel.acknowledged.0);
                channel.acknowledged = channel.acknowledged.max(through);
                self.to_shard.push(ToShard::Ack { relay, through });
            }
            Kind::Credit => {
                channel.credit.raise(read_number(&frame)?);
                take_turn(&mut self.turns, frame.channel, channel);
            }
            Kind::Opened => {
                let opened: Opened = read_message(&frame)?;
                if opened.status == STATUS_ACCEPTED {
                    channel.open = true;
                    channel.acknowledged = channel.acknowledged.max(Sequence(opened.delivered));
                    channel.forwarded = channel.forwarded.max(Sequence(opened.delivered));
                }
                self.to_shard.push(ToShard::Opened { relay, body: frame.body });
            }
            Kind::Close | Kind::Refuse => {
                self.forget(frame.channel);
                self.to_shard.push(ToShard::Pass { relay, kind: frame.kind, body: frame.body });
            }
            Kind::Enrolled if !channel.is_gateways => {
                return Err(Error::new(Code::FrameUnexpected).found("ENROLLED on the channel of an agent"));
            }
            Kind::Assign | Kind::Down | Kind::Issued | Kind::Enrolled => {
                self.to_shard.push(ToShard::Pass { relay, kind: frame.kind, body: frame.body });
            }
            other => return Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} at a gateway"))),
        }
        Ok(())
    }

    /// Forgets a channel, and those behind it where it is a gateway's.
    fn forget(&mut self, id: u32) {
        let Some(channel) = self.channels.remove(&id) else { return };
        self.by_relay.remove(&channel.relay);
        if channel.is_gateways {
            let behind = self.channels.iter().filter(|(_, one)| one.behind == id);
            let behind: Vec<u32> = behind.map(|(id, _)| *id).collect();
            behind.into_iter().for_each(|one| self.forget(one));
        }
    }

    /// Closes every channel upstream; those behind others first, this gateway's own last.
    fn close_all(&mut self, code: Code) {
        let own = self.own.end();
        if let Some((_, link)) = self.uplink.link() {
            self.channels.keys().rev().copied().chain(own).for_each(|id| link.send(id, &close(code)));
        }
    }

    /// Messages and bytes that wait here for their turn on the link.
    pub(super) fn queued(&self) -> (u64, u64) {
        let of = |channel: &UpChannel| {
            let last = channel.queue.iter().rev().find_map(|queued| queued.last).unwrap_or(channel.forwarded);
            let bytes: usize = channel.queue.iter().map(|queued| queued.body.len()).sum();
            (last.0.saturating_sub(channel.forwarded.0), bytes as u64)
        };
        let waiting = self.channels.values().filter(|channel| !channel.queue.is_empty()).map(of);
        waiting.fold((0, 0), |sum, channel| (sum.0 + channel.0, sum.1 + channel.1))
    }

    /// A planned move: nothing more is sent; once nothing is out, the channels change the link (rule D5).
    fn move_if_quiet(&mut self, now: Instant) {
        let quiet = |channel: &UpChannel| channel.acknowledged >= channel.forwarded;
        if !self.uplink.is_moving() || !self.channels.values().all(quiet) {
            return;
        }
        self.close_all(Code::LinkClosed);
        self.uplink.complete_move(now);
        self.drain_uplink(now);
    }

    fn all_turns(&mut self) {
        for (id, channel) in &mut self.channels {
            take_turn(&mut self.turns, *id, channel);
        }
    }

    fn transmit(&mut self, now: Instant) {
        let moving = self.uplink.is_moving();
        loop {
            let Some((id, link)) = self.uplink.link() else { return };
            if !link.is_writable() {
                return;
            }
            let mut chunk = link.begin_chunk();
            if !moving {
                fill(&mut chunk, &mut self.turns, &mut self.channels, &mut self.to_shard);
            }
            if chunk.is_empty() {
                return;
            }
            link.sent(now);
            let bytes = chunk.freeze();
            self.effects.push_back(Effect::Link(crate::node::LinkEffect::Transmit { link: id, bytes }));
        }
    }
}

impl UpChannel {
    fn new(relay: RelayId, open: &Open) -> Self {
        let delivered = Sequence(open.lowest_held.saturating_sub(1));
        Self {
            relay,
            is_gateways: open.is_of_gateway(),
            behind: open.behind,
            open: false,
            credit: SendCredit::default(),
            queue: VecDeque::new(),
            in_turn: false,
            forwarded: delivered,
            acknowledged: delivered,
        }
    }

    fn may_send(&self) -> bool {
        self.open && !self.queue.is_empty() && self.credit.may_send()
    }
}

fn take_turn(turns: &mut VecDeque<u32>, id: u32, channel: &mut UpChannel) {
    if channel.may_send() && !channel.in_turn {
        channel.in_turn = true;
        turns.push_back(id);
    }
}

/// Fair turns: one frame per channel and turn.
fn fill(
    chunk: &mut BytesMut,
    turns: &mut VecDeque<u32>,
    channels: &mut BTreeMap<u32, UpChannel>,
    to_shard: &mut Vec<ToShard>,
) {
    while chunk.len() < CHUNK_BYTES {
        let Some(id) = turns.pop_front() else { return };
        let Some(channel) = channels.get_mut(&id) else { continue };
        channel.in_turn = false;
        if !channel.may_send() {
            continue;
        }
        let Some(queued) = channel.queue.pop_front() else { continue };
        if chunk.capacity() - chunk.len() < FRAME_BYTES_MAX {
            chunk.reserve(CHUNK_BYTES + FRAME_BYTES_MAX - chunk.len());
        }
        put_header(chunk, queued.kind, id, queued.body.len());
        chunk.extend_from_slice(&queued.body);
        let bytes = (HEADER_BYTES + queued.body.len()) as u64;
        channel.credit.sent(bytes);
        if let Some(last) = queued.last {
            channel.forwarded = channel.forwarded.max(last);
        }
        to_shard.push(ToShard::Consumed { relay: channel.relay, bytes });
        take_turn(turns, id, channel);
    }
}

fn close(code: Code) -> Close {
    Close { code: u32::from(code.number()), text: String::new(), forwarded: None }
}

/// How long a planned move waits for what is out to be acknowledged before it stays where it is.
const QUIET_WITHIN: Duration = Duration::from_secs(10);
