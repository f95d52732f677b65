//! The gateway: concentrates its agents' channels on one link upstream, end to end acknowledged.
//!
//! [`Shard`] owns the links of agents and of further gateways, [`Control`] the link upstream; they exchange [`ToControl`]
//! and [`ToShard`] only. A gateway whose upstream is another gateway proves itself on a channel of its own ([`Own`])
//! before it opens any for its agents.

mod certificates;
mod control;
mod down;
mod inner;
mod own;
mod reports;
mod rotation;
mod shard;
mod teaching;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{AssignmentKey, SignedAssignment};
use crate::identity::{ChainHash, KeyHash, VerifiedPeer};
use crate::message::Sequence;
use crate::node::renewal::{Ask, Renewed};
use crate::node::reporting::{Attempt, Figures};
use crate::node::uplink::{Uplink, UplinkConfig};
use crate::node::{IdentityInput, Introduction, LinkEffect, LinkId, LinkInput};
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Answer, Challenge, Enrol, Kind, Open, State};
use control::Control;
use shard::Shard;

/// One channel, an agent's or that of a gateway behind this one, as the two halves name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RelayId {
    link: LinkId,
    channel: u32,
}

/// From an agent's side to the upstream side.
#[derive(Debug)]
enum ToControl {
    Open {
        relay: RelayId,
        open: Box<Open>,
        /// Who proved itself to this gateway by TLS; none where it is behind another one.
        peer: Option<Arc<VerifiedPeer>>,
        /// The channel of the gateway that it is behind.
        behind: Option<RelayId>,
    },
    /// A gateway behind this one teaches a chain.
    Chain(Vec<Bytes>),
    /// DATA, FRAGMENT or GAP, in order and counted in credit; `last` is what is complete with it.
    Data { relay: RelayId, kind: Kind, body: Bytes, last: Option<Sequence> },
    /// A frame that is not data: goes at once.
    Pass { relay: RelayId, kind: Kind, body: Bytes },
    /// The channel ended here.
    Close { relay: RelayId },
    /// Somebody who proved a certificate was refused here.
    Refused(Attempt),
}

/// From the upstream side to an agent's side.
#[derive(Debug)]
enum ToShard {
    /// OPENED came with this cursor.
    Opened {
        relay: RelayId,
        body: Bytes,
    },
    Pass {
        relay: RelayId,
        kind: Kind,
        body: Bytes,
    },
    Ack {
        relay: RelayId,
        through: Sequence,
    },
    /// These bytes were handed on: the agent may send more.
    Consumed {
        relay: RelayId,
        bytes: u64,
    },
    /// The channel ended there; nothing above `forwarded` was sent on.
    Ended {
        relay: RelayId,
        code: Code,
        forwarded: Sequence,
    },
    /// What those who are connected to this gateway must know of its way up.
    State(State),
    Challenge(Challenge),
    GroupKey(AssignmentKey),
    /// The keys of this gateway that the server takes attestations for.
    SpeaksFor(Vec<KeyHash>),
}

/// What the shell tells the gateway.
#[derive(Debug)]
pub(crate) enum Input {
    Link(LinkInput),
    /// Ask the group for a new certificate for this gateway itself.
    Renew(Ask),
    /// A node without a certificate came to the enrolment port: pass its request on. `ticket` is never used again.
    Enrol {
        ticket: u64,
        enrol: Enrol,
    },
    Identity(IdentityInput),
    /// The answer to [`Effect::Sign`].
    Signed {
        token: u64,
        result: Result<(u16, Bytes, ChainHash), Error>,
    },
    /// The answer to [`Effect::AskFigures`].
    Figures(Figures),
    /// Somebody did not come through TLS.
    Refused(Attempt),
    Stop,
}

/// What the gateway asks of the shell.
#[derive(Debug)]
pub(crate) enum Effect {
    Link(LinkEffect),
    SaveAssignment(SignedAssignment, AssignmentKey),
    /// The answer to [`Input::Renew`].
    Renewed(Renewed),
    /// The answer to [`Input::Enrol`].
    Enrolled {
        ticket: u64,
        answer: Answer,
    },
    /// Sign an attestation of this gateway with the key that it showed on the link (rule I6).
    Sign {
        token: u64,
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// The link upstream stands with the identity of this generation: show it to those who connect (rule I5).
    Show {
        generation: u64,
    },
    /// How does the node stand? Asked about once a minute, for its report.
    AskFigures,
    Event(Event),
    Stopped,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Gateway {
    control: Control,
    shard: Shard,
    effects: VecDeque<Effect>,
}

impl Gateway {
    pub(crate) fn new(uplink: UplinkConfig, now: Instant) -> Self {
        let me: Introduction = uplink.me.clone();
        let key = uplink.group_key;
        let mut gateway =
            Self { control: Control::new(uplink, now), shard: Shard::new(me, key), effects: VecDeque::new() };
        gateway.exchange(now);
        gateway
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Link(input) if link_of(&input).is_dialled() => self.control.handle(input, now),
            Input::Link(input) => self.shard.handle(input, now),
            Input::Renew(ask) => self.control.renew(ask),
            Input::Enrol { ticket, enrol } => self.control.enrol(ticket, enrol),
            Input::Signed { token, result } => self.control.handle_signed(token, result, now),
            Input::Identity(input) => {
                if let IdentityInput::Judged(verdicts) = &input {
                    verdicts.iter().for_each(|verdict| self.shard.handle_verdict(verdict));
                }
                if let IdentityInput::Wall(wall) = &input {
                    self.shard.end_expired(*wall);
                }
                self.control.handle_identity(input, now);
            }
            Input::Figures(figures) => {
                let crowd = self.shard.crowd(now);
                self.control.report(&figures, crowd, now);
            }
            Input::Refused(attempt) => self.control.note_refused(attempt, now),
            Input::Stop => {
                self.shard.stop();
                self.control.stop();
                self.exchange(now);
                self.effects.push_back(Effect::Stopped);
            }
        }
        self.exchange(now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.control.handle_timeout(now);
        self.shard.handle_timeout(now);
        self.exchange(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.control.poll_timeout().into_iter().chain(self.shard.poll_timeout()).min()
    }

    pub(crate) fn end_turn(&mut self, now: Instant) {
        self.control.end_turn(now);
        self.exchange(now);
        self.shard.end_turn(now);
        self.exchange(now);
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Carries the batches between the halves until both are quiet.
    fn exchange(&mut self, now: Instant) {
        loop {
            let to_control = self.shard.take_batch();
            let to_shard = self.control.take_batch();
            if to_control.is_empty() && to_shard.is_empty() {
                break;
            }
            for message in to_control {
                self.control.handle_shard(message, now);
            }
            for message in to_shard {
                self.shard.handle_control(message);
            }
        }
        self.control.drain_effects(&mut self.effects);
        self.shard.drain_effects(&mut self.effects);
    }

    pub(crate) fn uplink(&self) -> &Uplink {
        self.control.uplink()
    }

    /// Everybody whose certificate this node relies on.
    pub(crate) fn peers(&self) -> Vec<Arc<VerifiedPeer>> {
        self.control.uplink().peers().chain(self.shard.peers()).cloned().collect()
    }

    /// Agents connected, behind further gateways too, and how many of them have an open channel.
    pub(crate) fn agents(&self) -> (usize, usize) {
        self.shard.count(Role::Agent)
    }

    /// Further gateways connected through this one, and how many of them the group let in.
    pub(crate) fn gateways(&self) -> (usize, usize) {
        self.shard.count(Role::Gateway)
    }

    /// Why this gateway's own channel at another gateway waits, and since when (rule G5).
    pub(crate) fn waiting(&self) -> Option<(Code, Instant)> {
        self.control.own.waiting()
    }
}

fn link_of(input: &LinkInput) -> LinkId {
    match input {
        LinkInput::Accepted { link, .. }
        | LinkInput::Dialled { link, .. }
        | LinkInput::Received { link, .. }
        | LinkInput::Written { link }
        | LinkInput::Lost { link, .. } => *link,
    }
}
