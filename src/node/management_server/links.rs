//! The links of a management server: introduction, approval, output.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::attesting::Told;
use super::reports::Reporting;
use super::succession::FormerKeys;
use super::{Chain, Effect, ManagementServer, Standing, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{Approved, Decision, Knock, SignedAssignment};
use crate::identity::ChainHash;
use crate::limits::{CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, CHAINS_PER_LINK_MAX, LEAVES_WITHIN, PENDING_LINKS_MAX};
use crate::node::reception::{Caller, Introduced, role_unexpected};
use crate::node::{LinkId, LinkInput};
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Assign, Challenge, CreditPool, Frame, Hello, KeySuccession, Kind, Phase, State, read_message};

/// A link to an agent or a gateway.
#[derive(Debug)]
pub(super) struct Downlink {
    pub(super) caller: Caller,
    pub(super) pool: CreditPool,
    /// The channels by their numbers on this link.
    pub(super) channels: BTreeMap<u32, u64>,
    pub(super) last_channel: u32,
    /// Chains that the peer taught, by their hash (rule I6).
    pub(super) chains: BTreeMap<ChainHash, Chain>,
    chain_begun: Vec<Bytes>,
    /// The former keys that this gateway still speaks for (rule I5).
    pub(super) former: FormerKeys,
    /// Channels that have an acknowledgement or credit to tell.
    pub(super) due: Vec<u64>,
    assignment_told: u64,
    /// Until when this gateway may stay, and what is said to it then: it was told that it belongs elsewhere.
    leaves_by: Option<(Instant, Error)>,
    pub(super) refusals: Told,
    pub(super) reporting: Reporting,
    pub(super) touched: bool,
}

impl Downlink {
    pub(super) fn is_open_gateway(&self) -> bool {
        self.caller.link.phase() == Phase::Open && self.role() == Some(Role::Gateway)
    }

    pub(super) fn role(&self) -> Option<Role> {
        self.caller.introduced.as_ref().map(|introduced| introduced.role)
    }
}

impl ManagementServer {
    pub(super) fn handle_link(&mut self, input: LinkInput, now: Instant) {
        match input {
            LinkInput::Accepted { link, peer, address, shown } => {
                let caller = Caller::new(link, peer, address, shown, &self.config.me, now);
                self.timers.set(caller.link.poll_timeout(), link);
                self.links.insert(
                    link,
                    Downlink {
                        caller,
                        pool: CreditPool::default(),
                        channels: BTreeMap::new(),
                        last_channel: 0,
                        chains: BTreeMap::new(),
                        chain_begun: Vec::new(),
                        former: FormerKeys::default(),
                        due: Vec::new(),
                        assignment_told: 0,
                        leaves_by: None,
                        refusals: Told::default(),
                        reporting: Reporting::default(),
                        touched: false,
                    },
                );
            }
            LinkInput::Received { link, bytes } => {
                if let Some(down) = self.links.get_mut(&link) {
                    down.caller.link.handle_bytes(bytes, now);
                    self.read_frames(link);
                    self.touch(link);
                }
            }
            LinkInput::Written { link } => {
                if let Some(down) = self.links.get_mut(&link) {
                    down.caller.link.handle_written();
                    self.operators.handle_written(link, now);
                    self.touch(link);
                }
            }
            LinkInput::Lost { link, error } => self.forget_link(link, &error),
            LinkInput::Dialled { .. } => {}
        }
    }

    pub(super) fn touch(&mut self, link: LinkId) {
        if let Some(down) = self.links.get_mut(&link)
            && !std::mem::replace(&mut down.touched, true)
        {
            self.touched.push(link);
        }
    }

    fn read_frames(&mut self, link: LinkId) {
        loop {
            let Some(down) = self.links.get_mut(&link) else { return };
            let result = match down.caller.link.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.handle_frame(link, frame),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return self.refuse_link(link, &error);
            }
        }
    }

    fn handle_frame(&mut self, link: LinkId, frame: Frame) -> Result<(), Error> {
        match frame.kind {
            Kind::Hello => self.handle_hello(link, &read_message(&frame)?),
            Kind::Chain => self.handle_chain(link, &read_message(&frame)?),
            Kind::Request if frame.channel == 0 => self.handle_link_request(link, &frame),
            Kind::Report if frame.channel == 0 => self.handle_link_report(link, &frame),
            Kind::Enrol if frame.channel == 0 => self.handle_enrol(link, read_message(&frame)?),
            Kind::Succeed if frame.channel == 0 => self.handle_succeed(link, &read_message(&frame)?),
            Kind::Ask => self.handle_ask(link, &read_message(&frame)?),
            _ => self.handle_channel_frame(link, frame),
        }
    }

    fn handle_hello(&mut self, link: LinkId, hello: &Hello) -> Result<(), Error> {
        let Some(down) = self.links.get_mut(&link) else { return Ok(()) };
        let introduced = down.caller.introduce(hello, &self.config.me)?;
        self.names.enter(&introduced.name)?;
        if introduced.role == Role::ManagementServer {
            return Err(role_unexpected(Role::ManagementServer.as_str(), &self.config.me));
        }
        let (is_operator, is_probe) = (introduced.role == Role::Operator, introduced.is_probe);
        down.assignment_told = introduced.assignment_version;
        if is_operator {
            if is_probe {
                return Err(Error::new(Code::FrameMalformed).subject("HELLO").found("a probe by an operator"));
            }
            self.check_operator_links()?;
        }
        // In time for the peer to be told why not, whose own patience is as long.
        let answer_by = self.now + self.config.me.hello_timeout * 3 / 4;
        if let Some(down) = self.links.get_mut(&link) {
            down.caller.link.answered_by(answer_by);
            self.timers.set(down.caller.link.poll_timeout(), link);
        }
        self.ask_standing_of_link(link);
        Ok(())
    }

    fn ask_standing_of_link(&mut self, link: LinkId) {
        let Some(down) = self.links.get(&link) else { return };
        let Some(introduced) = &down.caller.introduced else { return };
        let knock = Knock {
            role: introduced.role,
            name: introduced.name.clone(),
            key: down.caller.peer.key_hash(),
            issuer: down.caller.peer.issuer_key_hash(),
            is_in: down.caller.link.phase() == Phase::Open,
            address: down.caller.address.clone(),
            server: self.config.me.name.clone(),
            via: None,
            software: introduced.software.clone(),
            at: self.wall,
        };
        self.effects.push_back(Effect::Authorise { subject: Subject::Link(link), knock });
    }

    pub(super) fn ask_for_everybodys_standing(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.ask_standing_of_link(link);
        }
        let channels: Vec<u64> = self.channels.keys().copied().collect();
        for channel in channels {
            self.ask_standing_of_channel(channel);
        }
    }

    /// Who waits with an open link is still there: its record must not be forgotten as one that was not seen for days.
    pub(super) fn ask_standing_of_waiting(&mut self) {
        for subject in self.pending.clone() {
            match subject {
                Subject::Link(link) => self.ask_standing_of_link(link),
                Subject::Channel(channel) => self.ask_standing_of_channel(channel),
            }
        }
    }

    /// Whose standing the store could not tell is asked for again: a withdrawn approval must not outlast an outage
    /// (rule G2).
    pub(super) fn ask_unanswered(&mut self) {
        for subject in std::mem::take(&mut self.unanswered) {
            match subject {
                Subject::Link(link) => self.ask_standing_of_link(link),
                Subject::Channel(channel) => self.ask_standing_of_channel(channel),
            }
        }
    }

    pub(super) fn handle_authorised(&mut self, subject: Subject, result: Result<Standing, Error>, now: Instant) {
        match subject {
            Subject::Link(link) => self.handle_link_standing(link, result, now),
            Subject::Channel(channel) => self.handle_channel_standing(channel, result),
        }
    }

    fn handle_link_standing(&mut self, link: LinkId, result: Result<Standing, Error>, now: Instant) {
        let Some(down) = self.links.get(&link) else { return };
        let phase = down.caller.link.phase();
        let is_probe = down.caller.introduced.as_ref().is_some_and(|introduced| introduced.is_probe);
        let standing = match result {
            Ok(standing) => standing,
            // The store does not answer: who is in stays in until it does, who knocks must come again.
            Err(_) if matches!(phase, Phase::Open | Phase::Asking) => {
                self.unanswered.insert(Subject::Link(link));
                return;
            }
            Err(error) => return self.refuse_link(link, &error),
        };
        match (standing.decision, phase) {
            (Decision::Approved(_), Phase::Open | Phase::Asking) => self.may_stay(link),
            (Decision::Approved(approved), _) => self.welcome(link, &approved, now),
            (Decision::Pending(_), Phase::Open | Phase::Asking) => {
                return self.refuse_link(link, &Error::new(Code::ApprovalWithdrawn));
            }
            (Decision::Pending(code), _) if is_probe => return self.refuse_link(link, &Error::new(code)),
            (Decision::Pending(code), _) => return self.keep_waiting(link, code),
            (Decision::Refused(error), phase) => {
                // It may come with where the node belongs, which it would hear nowhere else; before WELCOME it cannot.
                let assignment = standing.assignment.filter(|_| phase == Phase::Open);
                let is_news = assignment.is_some_and(|assignment| self.tell_assignment(link, 0, &assignment));
                return self.refuse_in_time(link, error, is_news, now);
            }
        }
        if let Some(assignment) = standing.assignment {
            self.tell_assignment(link, 0, &assignment);
        }
    }

    fn may_stay(&mut self, link: LinkId) {
        if let Some(down) = self.links.get_mut(&link) {
            down.leaves_by = None;
        }
    }

    /// Refuses a link; but a gateway that has just been told that it belongs elsewhere may move there first, as in any planned
    /// move (rule D5): nothing that it sent comes twice.
    fn refuse_in_time(&mut self, link: LinkId, error: Error, is_news: bool, now: Instant) {
        let Some(down) = self.links.get_mut(&link) else { return };
        let is_elsewhere = down.is_open_gateway() && error.code() == Code::ParentNotApproved;
        match &down.leaves_by {
            // Looked at with the link's own deadlines, of which there is one within a heartbeat.
            None if is_elsewhere && is_news => down.leaves_by = Some((now + LEAVES_WITHIN, error)),
            Some(_) if is_elsewhere => {}
            _ => self.refuse_link(link, &error),
        }
    }

    /// Rule G1: the proof is the group's, for this very name and role.
    fn welcome(&mut self, link: LinkId, approved: &Approved, now: Instant) {
        let Some(down) = self.links.get_mut(&link) else { return };
        let is_for =
            |introduced: &Introduced| (approved.name(), approved.role()) == (&introduced.name, introduced.role);
        if !down.caller.introduced.as_ref().is_some_and(is_for) {
            return self.refuse_link(link, &Error::new(Code::RoleNotApproved));
        }
        self.pending.remove(&Subject::Link(link));
        down.caller.welcome(None, &self.config.me, Some(&self.config.group_keys.key));
        if down.role() == Some(Role::Operator) {
            self.timers.set(down.caller.link.poll_timeout(), link);
            self.admit_operator(link, now);
            return self.touch(link);
        }
        if let Some(challenge) = &self.challenge {
            down.caller.link.send(0, challenge);
        }
        down.caller.link.send(0, &State { available: true, ..State::default() });
        self.timers.set(down.caller.link.poll_timeout(), link);
        let is_probe = down.caller.introduced.as_ref().is_some_and(|introduced| introduced.is_probe);
        if down.role() == Some(Role::Gateway) && !is_probe {
            let event = Event::new(Code::GatewayConnected, down.caller.subject(), "");
            self.effects.push_back(Effect::Event(event));
            self.enter_link(link);
        }
        self.touch(link);
    }

    /// Rule G5: the link stays open, so that an approval works within two seconds; the number of such links is bounded.
    fn keep_waiting(&mut self, link: LinkId, code: Code) {
        let subject = Subject::Link(link);
        if !self.pending.contains(&subject) && self.pending.len() >= PENDING_LINKS_MAX {
            return self.refuse_link(link, &Error::new(Code::PendingFull));
        }
        let Some(down) = self.links.get_mut(&link) else { return };
        if self.pending.insert(subject) {
            down.caller.welcome(Some(code), &self.config.me, Some(&self.config.group_keys.key));
            self.timers.set(down.caller.link.poll_timeout(), link);
            self.effects.push_back(Effect::Event(Event::new(code, down.caller.subject(), "")));
            self.touch(link);
        }
    }

    /// Pushes an assignment that is newer than the one the node holds (rule G6), and answers whether it did; the node checks
    /// the signature.
    ///
    /// One that another key than the one this server knows has signed waits: the key, or the assignment as the newer key
    /// signed it, is on its way from the store, and with it everybody's standing.
    pub(super) fn tell_assignment(&mut self, link: LinkId, channel: u32, assignment: &SignedAssignment) -> bool {
        let keys = &self.config.group_keys;
        let Some(down) = self.links.get_mut(&link).filter(|_| assignment.key_version == keys.version) else {
            return false;
        };
        let version = assignment.version();
        if channel == 0 {
            if version <= down.assignment_told {
                return false;
            }
            down.assignment_told = version;
        }
        let successions = keys.successions.iter();
        let successions =
            successions.map(|one| KeySuccession { body: one.body.clone(), signature: one.signature.clone() }).collect();
        let key = Bytes::copy_from_slice(keys.key.as_bytes());
        let (body, signature) = (assignment.body.clone(), assignment.signature.clone());
        down.caller.link.send(channel, &Assign { body, signature, key, successions });
        self.touch(link);
        true
    }

    fn handle_chain(&mut self, link: LinkId, chain: &crate::wire::Chain) -> Result<(), Error> {
        let Some(down) = self.links.get_mut(&link) else { return Ok(()) };
        down.chain_begun.extend(chain.certificates.iter().cloned());
        let bytes: usize = down.chain_begun.iter().map(Bytes::len).sum();
        if down.chain_begun.len() > CHAIN_CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
            return Err(Error::new(Code::ChainTooLarge)
                .found(format!("{} certificates, {bytes} bytes", down.chain_begun.len())));
        }
        if chain.more {
            return Ok(());
        }
        let whole = std::mem::take(&mut down.chain_begun);
        if down.chains.len() >= CHAINS_PER_LINK_MAX {
            return Err(Error::new(Code::ChainTooLarge).found(format!("{} chains", down.chains.len())));
        }
        down.chains.entry(ChainHash::of(&whole)).or_insert(Chain::Der(whole));
        Ok(())
    }

    /// Tells the peer why, and closes the link with its channels; the others notice nothing (rules D7 and G5).
    pub(super) fn refuse_link(&mut self, link: LinkId, error: &Error) {
        self.note_refused_link(link, error);
        if let Some(down) = self.links.get_mut(&link) {
            down.caller.refuse(error, &mut self.output);
        }
        self.forget_link(link, error);
    }

    fn forget_link(&mut self, link: LinkId, error: &Error) {
        let Some(down) = self.links.remove(&link) else { return };
        self.names.leave(&down.caller);
        self.leave_link(link, &down);
        self.operators.forget(link);
        self.pending.remove(&Subject::Link(link));
        for id in down.channels.values() {
            self.forget_channel(*id);
        }
        let is_probe = down.caller.introduced.as_ref().is_some_and(|introduced| introduced.is_probe);
        if is_probe && error.code() == Code::LinkDown {
            return;
        }
        let subject = down.caller.subject();
        if error.code() == Code::LinkDown && self.is_replaced(&down) {
            return self.effects.push_back(Effect::Event(Event::new(Code::LinkClosed, subject, "a newer one stands")));
        }
        if error.code() == Code::LinkDown && down.role() == Some(Role::Operator) {
            // It has asked what it wanted.
            return self.effects.push_back(Effect::Event(Event::new(Code::LinkClosed, subject, "an operator's")));
        }
        self.effects.push_back(Effect::Event(Event::of_error(subject.clone(), error)));
        if down.is_open_gateway() && !is_probe {
            let text = format!("{} agents behind it", down.channels.len());
            self.effects.push_back(Effect::Event(Event::new(Code::GatewayGone, subject, text)));
        }
    }

    fn is_replaced(&self, down: &Downlink) -> bool {
        let takes_its_place = |other: &Downlink| other.caller.takes_the_place_of(&down.caller);
        self.names.has_others(&down.caller) && self.links.values().any(takes_its_place)
    }

    pub(super) fn tell_challenge(&mut self, challenge: &Challenge) {
        let open: Vec<LinkId> =
            self.links.iter().filter(|(_, down)| down.caller.link.phase() == Phase::Open).map(|(id, _)| *id).collect();
        for link in open {
            if let Some(down) = self.links.get_mut(&link) {
                down.caller.link.send(0, challenge);
            }
            self.touch(link);
        }
    }

    /// A peer whose certificate has expired is disconnected, and a channel whose attestation lapsed is closed.
    pub(super) fn end_lapsed(&mut self, period: u64) {
        let wall = self.wall;
        let expired: Vec<LinkId> =
            self.links.iter().filter(|(_, down)| down.caller.peer.not_after() < wall).map(|(link, _)| *link).collect();
        for link in expired {
            self.refuse_link(link, &Error::new(Code::CertificateExpired));
        }
        let lapsed: Vec<(u64, Code)> =
            self.channels.iter().filter_map(|(id, channel)| Some((*id, channel.lapsed(period, wall)?))).collect();
        for (channel, code) in lapsed {
            self.refuse_channel(channel, &Error::new(code));
        }
        self.end_expired_former_keys();
    }

    pub(super) fn handle_link_timeouts(&mut self, now: Instant) {
        while let Some(link) = self.timers.pop_due(now) {
            let Some(down) = self.links.get_mut(&link) else { continue };
            if let Some((_, error)) = down.leaves_by.take_if(|(by, _)| *by <= now) {
                self.refuse_link(link, &error);
                continue;
            }
            if down.caller.link.poll_timeout() <= now
                && let Err(error) = down.caller.link.handle_timeout(now)
            {
                let error = if down.caller.introduced.is_some() { not_the_peers(error) } else { error };
                self.refuse_link(link, &error);
                continue;
            }
            let leaves_by = down.leaves_by.as_ref().map(|(by, _)| *by);
            let next = leaves_by.into_iter().chain([down.caller.link.poll_timeout()]).min().unwrap_or(now);
            let next = next.max(now + crate::node::TIMER_STEP);
            self.timers.set(next, link);
            self.touch(link);
        }
    }

    /// Makes the output of the links that had something happen: acknowledgements and credit ride in one chunk.
    pub(super) fn transmit(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.touched) {
            let Some(down) = self.links.get_mut(&id) else { continue };
            down.touched = false;
            let Downlink { caller, pool, due, .. } = down;
            if caller.link.is_writable() {
                for channel in due.drain(..) {
                    if let Some(channel) = self.channels.get_mut(&channel) {
                        channel.tell_watermarks(&mut caller.link, pool);
                    }
                }
            }
            self.operators.fill(caller);
            caller.transmit(now, &mut self.output);
        }
    }
}

/// Of a peer that has introduced itself it is the group store that did not answer in time.
fn not_the_peers(error: Error) -> Error {
    if error.code() != Code::HelloTimeout {
        return error;
    }
    Error::new(Code::StoreUnavailable).found("no answer to whether this peer is approved")
}
