//! A node's end towards the management servers: dials, introduces itself, keeps standbys proven, moves.
//!
//! Agent and gateway share it. It owns the links that the node dialled; the owner of the uplink owns the channels on
//! the link in use.

mod assignment;
#[cfg(test)]
mod assignment_tests;
mod greeting;
mod path;
mod refusal;
mod renewal;
#[cfg(test)]
mod renewal_tests;
mod report;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::refusal::{is_refusal, of_this_node};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{Assignment, AssignmentKey, SignedAssignment, Upstream};
use crate::identity::{KeyHash, VerifiedPeer};
use crate::name::Name;
use crate::node::{Introduction, LinkEffect, LinkId, LinkInput, PROTOCOL_VERSION, Shown};
use crate::role::Role;
use crate::routing::{Action, Failover, Failure, Purpose, Situation, Standby, Timing};
use crate::time::Instant;
use crate::wire::{Challenge, Frame, Hello, Kind, Link, PURPOSE_PROBE, PURPOSE_USE, Refuse, State, read_message};
use assignment::Pending;
use renewal::Renewal;
use report::{Trouble, Troubles};

/// What the uplink tells its owner, in order.
#[derive(Debug)]
pub(crate) enum UplinkOutput {
    Link(LinkEffect),
    /// A link is in use now: open channels on it. Whatever stood on another one is gone.
    Ready,
    /// The link in use died.
    Gone,
    /// A better link stands beside the one in use: quiesce, then call [`Uplink::complete_move`].
    MoveReady,
    /// A frame of the link in use that is the owner's.
    Frame(Frame),
    /// The challenge of the link in use changed.
    Challenge,
    /// Whether the link in use leads to a management server.
    Available(bool),
    /// A verified assignment to keep on disk, with the key that is pinned with it.
    Save(SignedAssignment, AssignmentKey),
    Event(Event),
}

/// A link that this node dialled.
#[derive(Debug)]
struct Dialled {
    id: LinkId,
    upstream: Upstream,
    purpose: Purpose,
    /// None until TLS is done.
    link: Option<(Link, Arc<VerifiedPeer>)>,
    /// As whom; none until TLS is done.
    shown: Option<Shown>,
    /// It is to take the place of the link in use, to the same upstream (rule I5).
    renews: bool,
    challenge: Option<Challenge>,
    available: Option<bool>,
    /// What the node at the other end is; none until WELCOME.
    role: Option<Role>,
    /// The gateways on its way to a management server, it first; none where it is one.
    path: Vec<Name>,
    /// The group has not approved this node: since when, and the code that says so.
    waits: Option<(Code, Instant)>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Uplink {
    me: Introduction,
    routing: Failover,
    upstreams: Vec<Upstream>,
    /// What the node's own configuration says: the last resort after an assignment.
    configured: Vec<Upstream>,
    dialled: Vec<Dialled>,
    current: Option<LinkId>,
    moving_to: Option<LinkId>,
    dials: u64,
    group_key: Option<AssignmentKey>,
    assignment_version: u64,
    /// An assignment of which no upstream was reached yet.
    pending: Option<Pending>,
    /// The upstreams of the assignment that is applied, and those that are configured.
    last_good: Vec<Upstream>,
    troubles: Troubles,
    /// Why the primary was not used when the upstream in use was chosen.
    left_primary: Option<(Upstream, Trouble)>,
    renewal: Renewal,
    output: VecDeque<UplinkOutput>,
}

/// What an uplink starts with.
#[derive(Clone, Debug)]
pub(crate) struct UplinkConfig {
    pub(crate) me: Introduction,
    pub(crate) timing: Timing,
    pub(crate) configured: Assignment,
    /// The last good assignment from disk, already verified against the pinned key.
    pub(crate) held: Option<(u64, Option<Assignment>)>,
    /// The group's key, pinned by configuration or with the assignment.
    pub(crate) group_key: Option<AssignmentKey>,
    pub(crate) seed: u64,
}

impl Uplink {
    pub(crate) fn new(config: UplinkConfig, now: Instant) -> Self {
        let configured: Vec<Upstream> = config.configured.upstreams().cloned().collect();
        let (assignment_version, upstreams) = match &config.held {
            Some((version, held)) => (*version, with_last_resort(held.as_ref(), &configured)),
            None => (0, configured.clone()),
        };
        let mut routing = Failover::new(upstreams.len(), config.timing, config.seed);
        routing.start(now);
        let mut uplink = Self {
            me: config.me,
            routing,
            last_good: upstreams.clone(),
            upstreams,
            configured,
            dialled: Vec::new(),
            current: None,
            moving_to: None,
            dials: 0,
            group_key: config.group_key,
            assignment_version,
            pending: None,
            troubles: Troubles::default(),
            left_primary: None,
            renewal: Renewal::new(config.seed),
            output: VecDeque::new(),
        };
        uplink.act(now);
        uplink
    }

    pub(crate) fn poll_output(&mut self) -> Option<UplinkOutput> {
        self.output.pop_front()
    }

    /// The link in use.
    pub(crate) fn link(&mut self) -> Option<(LinkId, &mut Link)> {
        let id = self.current?;
        let dialled = self.dialled.iter_mut().find(|dialled| dialled.id == id)?;
        dialled.link.as_mut().map(|(link, _)| (id, link))
    }

    fn in_use(&self) -> Option<&Dialled> {
        let id = self.current?;
        self.dialled.iter().find(|dialled| dialled.id == id)
    }

    /// Whether the link in use leads to a management server.
    pub(crate) fn is_available(&self) -> bool {
        self.in_use().is_some_and(|dialled| dialled.available == Some(true))
    }

    /// The challenge that attestations on the link in use must sign.
    pub(crate) fn challenge(&self) -> Option<&Challenge> {
        self.in_use()?.challenge.as_ref()
    }

    /// The key of the node at the other end of the link in use.
    pub(crate) fn peer_key(&self) -> Option<KeyHash> {
        self.in_use()?.link.as_ref().map(|(_, peer)| peer.key_hash())
    }

    /// The upstream in use.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.in_use().map(|dialled| &dialled.upstream)
    }

    /// The upstream whose link waits for the group's approval of this node, why, and since when (rule G5).
    pub(crate) fn waiting(&self) -> Option<(&Upstream, Code, Instant)> {
        self.dialled.iter().find_map(|dialled| dialled.waits.map(|(code, since)| (&dialled.upstream, code, since)))
    }

    pub(crate) fn assignment_version(&self) -> u64 {
        self.assignment_version
    }

    /// Why the node is where it is, and since when.
    pub(crate) fn situation(&self) -> Situation {
        self.routing.why()
    }

    /// How an upstream that is not in use stands (rule F3).
    pub(crate) fn standby(&self, index: usize) -> Option<Standby> {
        self.routing.standby(index)
    }

    /// When the node moves back to its primary, if that stays healthy.
    pub(crate) fn failback_at(&self) -> Option<Instant> {
        self.routing.failback_at()
    }

    /// Every upstream in order, for status.
    pub(crate) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    pub(crate) fn handle(&mut self, input: LinkInput, now: Instant) {
        match input {
            LinkInput::Dialled { link, result, shown } => self.handle_dialled(link, result, shown, now),
            LinkInput::Received { link, bytes } => {
                if let Some((machine, _)) = self.find(link).and_then(|dialled| dialled.link.as_mut()) {
                    machine.handle_bytes(bytes, now);
                    self.read_frames(link, now);
                }
            }
            LinkInput::Written { link } => {
                if let Some((machine, _)) = self.find(link).and_then(|dialled| dialled.link.as_mut()) {
                    machine.handle_written();
                }
            }
            LinkInput::Lost { link, error } => self.lose(link, error, false, now),
            LinkInput::Accepted { .. } => {}
        }
        self.act(now);
    }

    fn find(&mut self, id: LinkId) -> Option<&mut Dialled> {
        self.dialled.iter_mut().find(|dialled| dialled.id == id)
    }

    fn handle_dialled(&mut self, id: LinkId, result: Result<Arc<VerifiedPeer>, Error>, shown: Shown, now: Instant) {
        let hello = |dialled: &Dialled, version| Hello {
            version: PROTOCOL_VERSION,
            role: self.me.role as u32,
            purpose: if dialled.purpose == Purpose::Probe { PURPOSE_PROBE } else { PURPOSE_USE },
            name: self.me.name.as_str().to_owned(),
            group: self.me.group.clone(),
            software: self.me.software.clone(),
            heartbeat_ms: millis(self.me.heartbeat),
            features: 0,
            assignment_version: version,
        };
        let Some(at) = self.dialled.iter().position(|dialled| dialled.id == id) else {
            // Nobody waits for it any more.
            if result.is_ok() {
                self.output.push_back(UplinkOutput::Link(LinkEffect::Close { link: id }));
            }
            return;
        };
        match result {
            Ok(peer) if self.brings_nothing_new(at, &peer) => self.put_renewal_off(id, now),
            Ok(peer) => {
                let hello = hello(&self.dialled[at], self.assignment_version);
                let link = Link::dialled(&hello, self.me.heartbeat, now);
                self.dialled[at].link = Some((link.introduced_within(self.me.hello_timeout, now), peer));
                self.dialled[at].shown = Some(shown);
            }
            Err(error) => {
                let dialled = self.dialled.remove(at);
                self.handle_failed(&dialled, &error, now);
            }
        }
    }

    /// A link that is not in use came to nothing.
    fn handle_failed(&mut self, dialled: &Dialled, error: &Error, now: Instant) {
        if dialled.renews {
            return self.handle_renewal_failed(dialled, error, now);
        }
        self.troubles.note(&dialled.upstream, error);
        self.report_failure(dialled, error);
        self.tell_routing_failed(dialled, error, now);
        self.renew_after_all(now);
    }

    fn read_frames(&mut self, id: LinkId, now: Instant) {
        loop {
            let Some((machine, _)) = self.find(id).and_then(|dialled| dialled.link.as_mut()) else { return };
            let result = match machine.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.handle_frame(id, frame, now),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.lose(id, error, true, now);
                return;
            }
        }
    }

    fn handle_frame(&mut self, id: LinkId, frame: Frame, now: Instant) -> Result<(), Error> {
        match frame.kind {
            Kind::Welcome => self.handle_welcome(id, &read_message(&frame)?, now),
            Kind::Refuse if frame.channel == 0 => {
                let refuse: Refuse = read_message(&frame)?;
                self.lose(id, of_this_node(refuse.to_error()), true, now);
                Ok(())
            }
            Kind::State => {
                let state: State = read_message(&frame)?;
                self.handle_state(id, &state, now)
            }
            Kind::Challenge => {
                let challenge: Challenge = read_message(&frame)?;
                if let Some(dialled) = self.find(id) {
                    dialled.challenge = Some(challenge);
                }
                if self.current == Some(id) {
                    self.output.push_back(UplinkOutput::Challenge);
                }
                Ok(())
            }
            Kind::Assign if frame.channel == 0 => self.handle_assign(&read_message(&frame)?, now),
            _ if self.current == Some(id) => {
                self.output.push_back(UplinkOutput::Frame(frame));
                Ok(())
            }
            _ => Err(Error::new(Code::FrameUnexpected).found(format!("{:?} on a link without channels", frame.kind))),
        }
    }

    fn use_link(&mut self, id: LinkId, now: Instant) {
        let Some(dialled) = self.dialled.iter().find(|dialled| dialled.id == id) else { return };
        let (upstream, purpose, renews) = (dialled.upstream.clone(), dialled.purpose, dialled.renews);
        let available = dialled.available == Some(true);
        self.current = Some(id);
        self.end_renewal(now);
        if renews {
            // The same upstream as before: for routing nothing has changed.
            self.output.push_back(UplinkOutput::Event(Event::new(Code::LinkRenewed, upstream.to_string(), "")));
            return self.output.push_back(UplinkOutput::Ready);
        }
        let index = self.index_of(&upstream);
        self.left_primary =
            self.upstreams.first().and_then(|primary| Some((primary.clone(), self.troubles.of(primary)?.clone())));
        let code = match index {
            Some(0) if purpose == Purpose::Failback => Code::FailedBack,
            Some(0) | None => Code::LinkUp,
            Some(_) => Code::FailedOver,
        };
        self.output.push_back(UplinkOutput::Event(Event::new(code, upstream.to_string(), "")));
        self.output.push_back(UplinkOutput::Ready);
        if let Some(index) = index {
            self.routing.handle_accepted(index, purpose, now);
            if !available {
                self.routing.handle_unavailable(now);
            }
        }
        if available {
            self.note_reached(&upstream, now);
        }
    }

    /// The owner is quiet: everything that was sent is acknowledged. Leaves the old link for the better one.
    pub(crate) fn complete_move(&mut self, now: Instant) {
        let Some(next) = self.moving_to.take() else { return };
        if let Some(old) = self.current.take() {
            self.forget(old);
        }
        if self.find(next).is_some() {
            self.use_link(next, now);
        }
        self.act(now);
    }

    /// The owner could not become quiet in time: stays where it is.
    pub(crate) fn abandon_move(&mut self, now: Instant) {
        if let Some(next) = self.moving_to.take() {
            self.lose(next, Error::new(Code::TimedOut).expected("a quiet moment to move in"), true, now);
        }
        self.act(now);
    }

    pub(crate) fn is_moving(&self) -> bool {
        self.moving_to.is_some()
    }

    /// The node at the end of the chain refused the owner's channel for good: try another upstream, slowly.
    pub(crate) fn refused(&mut self, error: Error, now: Instant) {
        if let Some(id) = self.current {
            self.lose(id, error, true, now);
        }
        self.act(now);
    }

    /// Closes every link, without looking for another.
    pub(crate) fn stop(&mut self) {
        while let Some(dialled) = self.dialled.first() {
            let id = dialled.id;
            self.forget(id);
        }
        self.current = None;
    }

    /// Ends a link: flushes what it still had to say, then closes it.
    fn forget(&mut self, id: LinkId) {
        let Some(at) = self.dialled.iter().position(|dialled| dialled.id == id) else { return };
        let mut dialled = self.dialled.remove(at);
        if let Some((link, _)) = dialled.link.as_mut() {
            let rest = link.begin_chunk();
            if !rest.is_empty() {
                let bytes = rest.freeze();
                self.output.push_back(UplinkOutput::Link(LinkEffect::Transmit { link: id, bytes }));
            }
        }
        self.output.push_back(UplinkOutput::Link(LinkEffect::Close { link: id }));
    }

    fn lose(&mut self, id: LinkId, error: Error, close: bool, now: Instant) {
        let Some(at) = self.dialled.iter().position(|dialled| dialled.id == id) else { return };
        if close {
            self.output.push_back(UplinkOutput::Link(LinkEffect::Close { link: id }));
        }
        let dialled = self.dialled.remove(at);
        if self.moving_to == Some(id) {
            self.moving_to = None;
        }
        if self.current != Some(id) {
            return self.handle_failed(&dialled, &error, now);
        }
        self.report_failure(&dialled, &error);
        self.troubles.note(&dialled.upstream, &error);
        self.current = None;
        self.output.push_back(UplinkOutput::Gone);
        if let Some(next) = self.moving_to.take_if(|next| self.renewal.is_link(*next)) {
            return self.use_link(next, now);
        }
        self.give_renewal_up();
        if is_refusal(error.code()) {
            self.routing.handle_refused(now);
        } else {
            self.routing.handle_lost(now);
        }
        // A link that was proven to be better needs no dial.
        match self.moving_to.take() {
            Some(next) => self.use_link(next, now),
            None => self.widen_pending(now),
        }
    }

    fn report_failure(&mut self, dialled: &Dialled, error: &Error) {
        if dialled.purpose == Purpose::Probe && !is_refusal(error.code()) {
            // A standby that is down is told once by routing, not by every probe.
            return;
        }
        self.output.push_back(UplinkOutput::Event(Event::of_error(dialled.upstream.to_string(), error)));
    }

    fn tell_routing_failed(&mut self, dialled: &Dialled, error: &Error, now: Instant) {
        let failure = match error.code() {
            Code::UpstreamUnavailable => Failure::Unavailable,
            code if is_refusal(code) => Failure::Refused,
            _ => Failure::Unreachable,
        };
        if let Some(index) = self.index_of(&dialled.upstream) {
            self.routing.handle_failed(index, dialled.purpose, failure, now);
        }
    }

    fn index_of(&self, upstream: &Upstream) -> Option<usize> {
        self.upstreams.iter().position(|known| known == upstream)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<LinkId> = self.dialled.iter().map(|dialled| dialled.id).collect();
        for id in due {
            let Some((link, _)) = self.find(id).and_then(|dialled| dialled.link.as_mut()) else { continue };
            if let Err(error) = link.handle_timeout(now) {
                self.lose(id, error, true, now);
            }
        }
        self.renew_if_due(now);
        self.routing.handle_timeout(now);
        self.act(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let links =
            self.dialled.iter().filter_map(|dialled| dialled.link.as_ref()).map(|(link, _)| link.poll_timeout());
        links.chain(self.routing.poll_timeout()).chain(self.renewal.due()).min()
    }

    /// Does what routing decided.
    fn act(&mut self, now: Instant) {
        while let Some(action) = self.routing.poll_action() {
            match action {
                Action::Dial { index, purpose } => self.dial(index, purpose),
                Action::Drop { index } => self.drop_link_to(index, now),
                Action::Move { .. } => {}
            }
        }
    }

    fn dial(&mut self, index: usize, purpose: Purpose) {
        if let Some(upstream) = self.upstreams.get(index).cloned() {
            self.dial_to(upstream, purpose, false);
        }
    }

    fn dial_to(&mut self, upstream: Upstream, purpose: Purpose, renews: bool) -> LinkId {
        self.dials += 1;
        let id = LinkId::dialled(self.dials);
        let dialled = Dialled {
            id,
            upstream: upstream.clone(),
            purpose,
            link: None,
            shown: None,
            renews,
            challenge: None,
            available: None,
            role: None,
            path: Vec::new(),
            waits: None,
        };
        self.dialled.push(dialled);
        self.output.push_back(UplinkOutput::Link(LinkEffect::Dial { link: id, upstream }));
        id
    }

    fn drop_link_to(&mut self, index: usize, now: Instant) {
        let Some(upstream) = self.upstreams.get(index).cloned() else { return };
        let ids: Vec<LinkId> = self
            .dialled
            .iter()
            .filter(|dialled| dialled.upstream == upstream && Some(dialled.id) != self.current)
            .map(|dialled| dialled.id)
            .collect();
        for id in ids {
            self.lose(id, Error::new(Code::LinkClosed), true, now);
        }
    }

    /// Makes the output of the links that are not in use; the owner fills the one in use.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        for dialled in &mut self.dialled {
            if Some(dialled.id) == self.current {
                continue;
            }
            let Some((link, _)) = dialled.link.as_mut() else { continue };
            if link.has_control() && link.is_writable() {
                let bytes = link.begin_chunk().freeze();
                link.sent(now);
                self.output.push_back(UplinkOutput::Link(LinkEffect::Transmit { link: dialled.id, bytes }));
            }
        }
    }
}

/// The assignment first; what is configured stays the last resort (DESIGN section 11).
fn with_last_resort(assignment: Option<&Assignment>, configured: &[Upstream]) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = assignment.iter().flat_map(|held| held.upstreams()).cloned().collect();
    for upstream in configured {
        if !upstreams.contains(upstream) {
            upstreams.push(upstream.clone());
        }
    }
    upstreams
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
