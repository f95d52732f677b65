//! How a channel is opened: attestation, the group's approval, the session with its fence, the cursor.

use super::attesting::{Checking, claimed_keys};
use super::channel::{Channel, Stage};
use super::succession::FormerKeys;
use super::{Chain, Effect, ManagementServer, Output, Standing, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{Approved, Decision, Knock, SessionAnswer, SessionRequest, SignedAssignment};
use crate::identity::{ChainHash, Claim, KeyHash, VerifiedPeer, challenge_of_period};
use crate::limits::{CHALLENGE_PERIODS_VALID, CHANNELS_PER_LINK_MAX, CLONE_RETURNS_MIN, PENDING_LINKS_MAX};
use crate::message::{Epoch, Gap, Sequence};
use crate::node::LinkId;
use crate::role::Role;
use crate::wire::{Content, Open, Opened, STATUS_ACCEPTED, STATUS_PENDING};

impl ManagementServer {
    pub(super) fn handle_open(&mut self, link: LinkId, number: u32, open: Open) -> Result<(), Error> {
        let Some(down) = self.links.get_mut(&link) else { return Ok(()) };
        if number <= down.last_channel {
            return Err(Error::new(Code::ChannelReused).found(format!("channel {number}")));
        }
        if down.channels.len() >= CHANNELS_PER_LINK_MAX {
            return Err(Error::new(Code::TooManyConnections).found(format!("{} channels", down.channels.len())));
        }
        down.last_channel = number;
        let is_gateways = down.role() == Some(Role::Gateway);
        let place = match self.place_of(link, number, &open) {
            Ok(place) => place,
            // What is wrong behind a gateway costs the others that are behind it nothing (rule D7).
            Err(error) if is_gateways => {
                self.refuse_opening(link, number, &open, &error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.channel_count += 1;
        let id = self.channel_count;
        if let Some(down) = self.links.get_mut(&link) {
            down.channels.insert(number, id);
        }
        self.channels.insert(id, Channel::new(link, number, place, open));
        if let Err(error) = self.verify_attestation(id) {
            self.refuse_channel(id, &error);
        }
        Ok(())
    }

    /// Asks for the check of the attestation that the channel shows (rule I6): right gateway, right group, a challenge
    /// that has not lapsed, a chain that is known.
    pub(super) fn verify_attestation(&mut self, id: u64) -> Result<(), Error> {
        let Some(channel) = self.channels.get(&id) else { return Ok(()) };
        let Some(down) = self.links.get(&channel.link) else { return Ok(()) };
        let missing = || Error::new(Code::AttestationInvalid).found("no attestation");
        let attestation = channel.open.attestation.as_ref().ok_or_else(missing)?;
        let challenge = self.challenge_of(attestation.period)?;
        if self.former_of_gateway(channel).is_some_and(FormerKeys::is_awaited) {
            // Which keys the gateway speaks for is being found out (rule I5).
            self.wait_for_succession(id);
            return Ok(());
        }
        let keys = self.keys_spoken_for(channel, channel.attested_key)?;
        let (keys, elsewhere) = claimed_keys(attestation, keys);
        let chain = if channel.via.is_empty() {
            Chain::Verified(down.caller.peer.clone())
        } else {
            let hash = <[u8; 32]>::try_from(&attestation.chain[..]).map(ChainHash).ok();
            hash.and_then(|hash| down.chains.get(&hash)).cloned().ok_or_else(|| Error::new(Code::ChainUnknown))?
        };
        let scheme = u16::try_from(attestation.scheme)
            .map_err(|_| Error::new(Code::AttestationInvalid).found(format!("scheme {}", attestation.scheme)))?;
        let claims = keys.into_iter().map(|key| (key, self.claim(channel, &challenge, key))).collect();
        let (link, period) = (channel.link, attestation.period);
        let (agent, signature) = (channel.agent.clone(), attestation.signature.clone());
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.checking = Some(Checking { period, elsewhere, again: false });
        }
        self.effects.push_back(Effect::VerifyAgent { link, channel: id, agent, chain, claims, scheme, signature });
        Ok(())
    }

    fn claim(&self, channel: &Channel, challenge: &[u8], gateway_key: KeyHash) -> Vec<u8> {
        Claim {
            role: channel.role,
            group: &self.config.me.group,
            challenge,
            gateway_key,
            name: &channel.agent,
            epoch: Epoch(channel.open.epoch),
            boot: channel.open.boot,
            nonce: channel.open.nonce,
            connection: channel.open.connection,
        }
        .to_be_signed()
    }

    /// A period's challenge, if attestations of that period still stand. One period ahead is another server's clock.
    fn challenge_of(&self, period: u64) -> Result<[u8; 32], Error> {
        let now = self.challenge.as_ref().map_or(0, |challenge| challenge.period);
        if period.saturating_add(CHALLENGE_PERIODS_VALID) <= now || period > now + 1 {
            return Err(Error::new(Code::AttestationStale)
                .found(format!("period {period}"))
                .expected(format!("period {now} or the one before")));
        }
        Ok(challenge_of_period(self.config.challenge_secret.as_bytes(), &self.config.me.group, period))
    }

    pub(super) fn ask_standing_of_channel(&mut self, id: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let Some(peer) = &channel.peer else { return };
        let Some(knock) = self.knock_of(channel, peer) else { return };
        self.effects.push_back(Effect::Authorise { subject: Subject::Channel(id), knock });
    }

    /// The node of a channel, as the group is asked about it.
    pub(super) fn knock_of(&self, channel: &Channel, peer: &VerifiedPeer) -> Option<Knock> {
        let down = self.links.get(&channel.link)?;
        Some(Knock {
            role: channel.role,
            name: channel.agent.clone(),
            key: peer.key_hash(),
            issuer: peer.issuer_key_hash(),
            is_in: matches!(channel.stage, Stage::Opening | Stage::Asking | Stage::Open),
            address: crate::error::printable(channel.address(down)),
            server: self.config.me.name.clone(),
            via: channel.via.first().cloned(),
            software: crate::error::printable(&channel.open.software),
            at: self.wall,
        })
    }

    pub(super) fn handle_channel_standing(&mut self, id: u64, result: Result<Standing, Error>) {
        let Some(channel) = self.channels.get(&id) else { return };
        let stage = channel.stage;
        let stands = matches!(stage, Stage::Opening | Stage::Asking | Stage::Open);
        let standing = match result {
            Ok(standing) => standing,
            Err(_) if stands => {
                self.unanswered.insert(Subject::Channel(id));
                return;
            }
            Err(error) => return self.refuse_channel(id, &error),
        };
        match standing.decision {
            Decision::Approved(_) if stands => {}
            Decision::Approved(approved) => self.open_session(id, &approved),
            Decision::Pending(_) if stands => return self.refuse_channel(id, &Error::new(Code::ApprovalWithdrawn)),
            Decision::Pending(code) => return self.keep_channel_waiting(id, code),
            Decision::Refused(error) => {
                // It may come with where the agent belongs, which it would hear nowhere else.
                self.tell_channel_assignment(id, standing.assignment);
                return self.refuse_channel(id, &error);
            }
        }
        self.tell_channel_assignment(id, standing.assignment);
    }

    fn tell_channel_assignment(&mut self, id: u64, assignment: Option<SignedAssignment>) {
        if let Some(assignment) = assignment
            && let Some(channel) = self.channels.get_mut(&id)
            && assignment.version() > channel.open.assignment_version
        {
            let (link, number) = (channel.link, channel.number);
            if self.tell_assignment(link, number, &assignment)
                && let Some(channel) = self.channels.get_mut(&id)
            {
                channel.open.assignment_version = assignment.version();
            }
        }
    }

    fn keep_channel_waiting(&mut self, id: u64, code: Code) {
        let subject = Subject::Channel(id);
        if !self.pending.contains(&subject) && self.pending.len() >= PENDING_LINKS_MAX {
            return self.refuse_channel(id, &Error::new(Code::PendingFull));
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.stage = Stage::Pending;
        if self.pending.insert(subject) {
            let event = Event::new(code, channel.agent.to_string(), channel.path());
            self.effects.push_back(Effect::Event(event));
            let (link, number) = (channel.link, channel.number);
            if let Some(down) = self.links.get_mut(&link) {
                let opened = Opened { status: STATUS_PENDING, code: u32::from(code.number()), delivered: 0 };
                down.caller.link.send(number, &opened);
            }
            self.touch(link);
        }
    }

    /// Rule G1: the proof is the group's, for this very name and role.
    fn open_session(&mut self, id: u64, approved: &Approved) {
        self.pending.remove(&Subject::Channel(id));
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if (approved.name(), approved.role()) != (&channel.agent, channel.role) {
            return self.refuse_channel(id, &Error::new(Code::RoleNotApproved));
        }
        channel.stage = Stage::Opening;
        let request = SessionRequest {
            agent: channel.agent.clone(),
            epoch: Epoch(channel.open.epoch),
            boot: channel.open.boot,
            nonce: channel.open.nonce,
            connection: channel.open.connection,
            boot_first: Sequence(channel.open.boot_first),
            via: channel.via.first().cloned(),
            server: self.config.me.name.clone(),
            at: self.wall,
        };
        self.effects.push_back(Effect::OpenSession { channel: id, request });
    }

    pub(super) fn handle_session_opened(&mut self, id: u64, result: Result<SessionAnswer, Error>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let grant = match result {
            Ok(SessionAnswer::Granted(grant)) => grant,
            Ok(SessionAnswer::Stale) => return self.refuse_channel(id, &Error::new(Code::SessionStale)),
            Ok(SessionAnswer::RolledBack { highest }) => {
                let error = Error::new(Code::RolledBack)
                    .found(format!("a boot that begins at sequence {}", channel.open.boot_first))
                    .expected(format!("a boot after the last one, above sequence {highest}"));
                return self.refuse_channel(id, &error);
            }
            Err(error) => return self.refuse_channel(id, &error),
        };
        channel.fence = grant.fence;
        channel.store_cursor = grant.cursor;
        self.tell_of_clones(id, grant.returns);
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.role == Role::Gateway {
            self.begin_gateway(id);
        } else if self.config.output == Output::ApplicationWithCursor {
            channel.stage = Stage::Asking;
            let (agent, epoch) = (channel.agent.clone(), Epoch(channel.open.epoch));
            self.effects.push_back(Effect::AskCursor { channel: id, agent, epoch });
        } else {
            self.begin(id, grant.cursor);
        }
    }

    /// Rule F5: so often the group has seen an instance come back that another one had replaced. Told seldom enough for a
    /// log, however long it lasts.
    fn tell_of_clones(&mut self, id: u64, returns: u32) {
        let Some(channel) = self.channels.get(&id) else { return };
        if returns < CLONE_RETURNS_MIN || !returns.is_power_of_two() {
            return;
        }
        let other = self.by_agent.get(&channel.agent).and_then(|other| self.channels.get(other));
        let other = other.map_or_else(|| "at another server".to_owned(), Channel::path);
        let text = format!("one is {}, the other was {other}", channel.path());
        self.effects.push_back(Effect::Event(Event::new(Code::IdentityShared, channel.agent.to_string(), text)));
    }

    pub(super) fn handle_cursor_answered(&mut self, id: u64, result: Result<Option<Sequence>, Error>) {
        let Some(channel) = self.channels.get(&id).filter(|channel| channel.stage == Stage::Asking) else { return };
        match result {
            Ok(cursor) => self.begin(id, cursor.unwrap_or(channel.store_cursor)),
            Err(error) => self.refuse_channel(id, &error),
        }
    }

    /// Everything is known: the channel begins after `cursor`, a hole that nobody can fill becomes a gap (rule D9).
    fn begin(&mut self, id: u64, cursor: Sequence) {
        let Some(channel) = self.channels.get(&id) else { return };
        let other = self.by_agent.get(&channel.agent).and_then(|other| self.channels.get(other));
        if other.is_some_and(|other| other.fence > channel.fence) {
            // Cursors are answered in any order: this is the older session, and the newer one stands already.
            return self.refuse_channel(id, &Error::new(Code::SessionFenced));
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let lowest_held = Sequence(channel.open.lowest_held.max(1));
        let known = cursor.max(Sequence(lowest_held.0 - 1));
        channel.begin(known);
        let (agent, link, number) = (channel.agent.clone(), channel.link, channel.number);
        let agent_has_taken = channel.open.down_cursor;
        if known > cursor {
            let gap = Gap { first: cursor.next(), last: known, reason: Code::NotHeld };
            let delivery = channel.deliver(id, Content::Gap(gap), 0);
            self.outlet.push(delivery);
        }
        let path = channel.path();
        let fence = channel.fence;
        if let Some(down) = self.links.get_mut(&link) {
            down.caller.link.send(number, &Opened { status: STATUS_ACCEPTED, code: 0, delivered: known.0 });
            down.due.push(id);
        }
        self.touch(link);
        self.effects.push_back(Effect::Event(Event::new(Code::AgentConnected, agent.to_string(), path)));
        self.enter_channel(id);
        // The newer session of an agent ends its older one on this server; on others the fence does (rule F5).
        if let Some(old) = self.by_agent.insert(agent.clone(), id).filter(|old| *old != id) {
            self.refuse_channel(old, &Error::new(Code::SessionFenced));
            self.by_agent.insert(agent.clone(), id);
        }
        if agent_has_taken > 0 {
            self.effects.push_back(Effect::DownDelivered { agent, fence, through: agent_has_taken });
        }
        self.fetch_down(id);
    }
}
