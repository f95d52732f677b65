//! Identities that change while links stand (rule I5): former keys of gateways, and second looks at everybody's chain.

use std::sync::Arc;

use bytes::Bytes;

use super::{Chain, Channel, Effect, ManagementServer, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::Knock;
use crate::identity::succession::Succession;
use crate::identity::{ChainHash, KeyHash, VerifiedPeer};
use crate::limits::{FORMER_KEYS_MAX, NEXT_KEYS_MAX};
use crate::name::Name;
use crate::node::{IdentityInput, LinkId, Verdict};
use crate::role::Role;
use crate::time::Timestamp;
use crate::wire::Succeed;

/// The former keys of one gateway, at the end of a link or behind another one.
#[derive(Debug, Default)]
pub(super) struct FormerKeys {
    /// How many were shown: a link has at most [`FORMER_KEYS_MAX`].
    shown: usize,
    /// How many next keys were announced: at most [`NEXT_KEYS_MAX`].
    announced: usize,
    awaited: usize,
    verified: Vec<Arc<VerifiedPeer>>,
    /// Channels whose attestation waits for what is awaited.
    waiting: Vec<u64>,
    /// What the last good attestation was for: most of a gateway's agents met the same key.
    last: Option<KeyHash>,
}

/// What a gateway says of its next key, with the one that it proves now.
#[derive(Debug)]
pub(crate) struct NextKey {
    pub(crate) knock: Knock,
    pub(crate) peer: Arc<VerifiedPeer>,
    pub(crate) next: KeyHash,
    /// TLS SignatureScheme.
    pub(crate) scheme: u16,
    pub(crate) signature: Bytes,
}

impl FormerKeys {
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited > 0
    }

    /// The keys that an attestation may name, the likeliest first.
    pub(super) fn keys(&self, present: KeyHash, likeliest: Option<KeyHash>) -> Vec<KeyHash> {
        let mut keys = vec![present];
        keys.extend(self.verified.iter().map(|former| former.key_hash()));
        if let Some(at) = likeliest.or(self.last).and_then(|likeliest| keys.iter().position(|key| *key == likeliest)) {
            keys.swap(0, at);
        }
        keys
    }

    pub(super) fn attested_to(&mut self, key: KeyHash) {
        self.last = Some(key);
    }
}

impl ManagementServer {
    /// Everybody whose certificate this node relies on: on links, behind gateways, taught for later.
    pub(crate) fn peers(&self) -> Vec<Arc<VerifiedPeer>> {
        let links = self.links.values();
        let taught = links.clone().flat_map(|down| down.chains.values()).filter_map(|chain| match chain {
            Chain::Verified(peer) => Some(peer),
            Chain::Der(_) => None,
        });
        let former =
            links.clone().map(|down| &down.former).chain(self.channels.values().map(|channel| &channel.former));
        let former = former.flat_map(|former| &former.verified);
        let channels = self.channels.values().filter_map(|channel| channel.peer.as_ref());
        links.map(|down| &down.caller.peer).chain(taught).chain(former).chain(channels).cloned().collect()
    }

    pub(super) fn handle_identity(&mut self, input: IdentityInput) {
        if let IdentityInput::Judged(verdicts) = input {
            verdicts.iter().for_each(|verdict| self.handle_verdict(verdict));
        }
    }

    /// Who is no longer good is cut off: the gateway with its link, the agent behind one with its channel, and nobody
    /// else (rules I5 and D7).
    fn handle_verdict(&mut self, verdict: &Verdict) {
        let is_meant = |peer: &Arc<VerifiedPeer>| peer.chain_hash() == verdict.chain;
        for down in self.links.values_mut() {
            if let Some(chain @ Chain::Verified(_)) = down.chains.get_mut(&verdict.chain) {
                retake(chain, verdict);
            }
        }
        let links = self.links.iter().filter(|(_, down)| is_meant(&down.caller.peer));
        let links: Vec<LinkId> = links.map(|(link, _)| *link).collect();
        let channels = self.channels.iter().filter(|(_, channel)| channel.peer.as_ref().is_some_and(is_meant));
        let channels: Vec<u64> = channels.map(|(id, _)| *id).collect();
        match &verdict.result {
            Err(error) => {
                links.into_iter().for_each(|link| self.refuse_link(link, error));
                channels.into_iter().for_each(|channel| self.refuse_channel(channel, error));
                self.forget_former_keys(error, |former| former.chain_hash() == verdict.chain);
            }
            Ok(again) => {
                for link in links {
                    if let Some(down) = self.links.get_mut(&link) {
                        down.caller.peer = again.clone();
                    }
                }
                for channel in channels {
                    if let Some(channel) = self.channels.get_mut(&channel) {
                        channel.peer = Some(again.clone());
                    }
                }
            }
        }
    }

    pub(super) fn handle_succeed(&mut self, link: LinkId, succeed: &Succeed) -> Result<(), Error> {
        let Some(down) = self.links.get(&link) else { return Ok(()) };
        let Some(introduced) = down.caller.introduced.as_ref().filter(|caller| caller.role == Role::Gateway) else {
            return Err(Error::new(Code::SuccessionInvalid).found("a former key of a node that is no gateway"));
        };
        if !succeed.next.is_empty() {
            let (peer, knock) = (down.caller.peer.clone(), self.knock_of_link(down, introduced));
            return self.take_next_key(Subject::Link(link), knock, peer, succeed);
        }
        let (name, key) = (introduced.name.clone(), down.caller.peer.key_hash());
        self.take_succession(link, Subject::Link(link), (name, key), succeed)
    }

    /// The same of a gateway behind the one at the link's end, on its own channel.
    pub(super) fn handle_channel_succeed(&mut self, id: u64, succeed: &Succeed) -> Result<(), Error> {
        let Some(channel) = self.channels.get(&id) else { return Ok(()) };
        let Some(peer) = channel.peer.as_ref().filter(|_| channel.role == Role::Gateway) else {
            return Err(Error::new(Code::SuccessionInvalid).found("a former key of a node that is no gateway"));
        };
        if !succeed.next.is_empty() {
            let Some(knock) = self.knock_of(channel, peer) else { return Ok(()) };
            return self.take_next_key(Subject::Channel(id), knock, peer.clone(), succeed);
        }
        let who = (channel.agent.clone(), peer.key_hash());
        self.take_succession(channel.link, Subject::Channel(id), who, succeed)
    }

    /// A gateway says which key it comes with next: the shell checks that, and lets a pin follow. Nobody is answered: without
    /// it a pinned name is refused, and the gateway stays on the link that it has.
    fn take_next_key(
        &mut self,
        subject: Subject,
        knock: Knock,
        peer: Arc<VerifiedPeer>,
        succeed: &Succeed,
    ) -> Result<(), Error> {
        let invalid = |found: String| Error::new(Code::SuccessionInvalid).found(found);
        let next = <[u8; 32]>::try_from(&succeed.next[..])
            .map_err(|_| invalid(format!("a next key's hash of {} bytes", succeed.next.len())).expected("32"))?;
        let scheme = u16::try_from(succeed.scheme).map_err(|_| invalid(format!("scheme {}", succeed.scheme)))?;
        let Some(former) = self.former_mut(subject) else { return Ok(()) };
        if former.announced >= NEXT_KEYS_MAX {
            return Err(invalid("one more next key".to_owned()).expected(format!("at most {NEXT_KEYS_MAX}")));
        }
        former.announced += 1;
        let signature = succeed.signature.clone();
        let said = NextKey { knock, peer, next: KeyHash(next), scheme, signature };
        self.effects.push_back(Effect::NextKey(Box::new(said)));
        Ok(())
    }

    /// The former keys that a link's or a channel's gateway speaks for.
    pub(super) fn former_mut(&mut self, subject: Subject) -> Option<&mut FormerKeys> {
        match subject {
            Subject::Link(link) => self.links.get_mut(&link).map(|down| &mut down.former),
            Subject::Channel(id) => self.channels.get_mut(&id).map(|channel| &mut channel.former),
        }
    }

    fn take_succession(
        &mut self,
        link: LinkId,
        subject: Subject,
        (name, new_key): (Name, KeyHash),
        succeed: &Succeed,
    ) -> Result<(), Error> {
        let invalid = |found: String| Error::new(Code::SuccessionInvalid).found(found);
        let Some(former) = self.former_mut(subject) else { return Ok(()) };
        if former.shown >= FORMER_KEYS_MAX {
            return Err(invalid("one more former key".to_owned()).expected(format!("at most {FORMER_KEYS_MAX}")));
        }
        let Some(down) = self.links.get(&link) else { return Ok(()) };
        let scheme = u16::try_from(succeed.scheme).map_err(|_| invalid(format!("scheme {}", succeed.scheme)))?;
        let hash = <[u8; 32]>::try_from(&succeed.chain[..]).map(ChainHash).ok();
        let chain = hash.and_then(|hash| down.chains.get(&hash)).ok_or_else(|| Error::new(Code::ChainUnknown))?;
        let chain: Vec<Bytes> = match chain {
            Chain::Der(chain) => chain.clone(),
            Chain::Verified(peer) => peer.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect(),
        };
        let shown = Succession {
            chain,
            not_after: Timestamp::default(),
            former_key: None,
            new_key,
            scheme,
            signature: succeed.signature.clone(),
        };
        if let Some(former) = self.former_mut(subject) {
            former.shown += 1;
            former.awaited += 1;
        }
        let group = self.config.me.group.clone();
        self.effects.push_back(Effect::VerifySuccession { link, subject, name, group, shown });
        Ok(())
    }

    /// The attestation is looked at once it is known which keys its gateway speaks for.
    pub(super) fn wait_for_succession(&mut self, id: u64) {
        let Some(channel) = self.channels.get(&id) else { return };
        let subject = channel.behind.map_or(Subject::Link(channel.link), Subject::Channel);
        if let Some(former) = self.former_mut(subject)
            && !former.waiting.contains(&id)
        {
            former.waiting.push(id);
        }
    }

    pub(super) fn handle_succession_verified(
        &mut self,
        subject: Subject,
        chain: ChainHash,
        result: Result<Arc<VerifiedPeer>, Error>,
    ) {
        let who = match subject {
            Subject::Link(link) => self.links.get(&link).map(|down| down.caller.subject()),
            Subject::Channel(id) => self.channels.get(&id).map(|one| format!("{} {}", one.agent, one.path())),
        };
        let Some(former) = self.former_mut(subject) else { return };
        former.awaited = former.awaited.saturating_sub(1);
        let mut told = None;
        match result {
            Ok(peer) => {
                // What its agents attested to is the likeliest: they met the new key last.
                former.last = Some(peer.key_hash());
                former.verified.push(peer);
            }
            Err(error) => {
                let subject = format!("{}, former certificate {chain}", who.unwrap_or_default());
                told = Some(Event::of_error(subject, &error));
            }
        }
        let done = former.awaited == 0;
        let waiting = if done { std::mem::take(&mut former.waiting) } else { Vec::new() };
        self.effects.extend(told.map(Effect::Event));
        for id in waiting {
            if let Err(error) = self.verify_attestation(id) {
                self.refuse_channel(id, &error);
            }
        }
    }

    /// A former certificate that has ended vouches for nobody any more.
    pub(super) fn end_expired_former_keys(&mut self) {
        let wall = self.wall;
        self.forget_former_keys(&Error::new(Code::CertificateExpired), |former| former.not_after() < wall);
    }

    /// Forgets former keys, and ends the channels whose attestation names one of them.
    fn forget_former_keys(&mut self, error: &Error, is_over: impl Fn(&VerifiedPeer) -> bool) {
        let mut over: Vec<(Subject, KeyHash)> = Vec::new();
        let of_links = self.links.iter_mut().map(|(link, down)| (Subject::Link(*link), &mut down.former));
        let of_channels = self.channels.iter_mut().map(|(id, channel)| (Subject::Channel(*id), &mut channel.former));
        for (gateway, former) in of_links.chain(of_channels) {
            former.verified.retain(|former| {
                if is_over(former) {
                    over.push((gateway, former.key_hash()));
                }
                !is_over(former)
            });
        }
        if over.is_empty() {
            return;
        }
        let names_one = |channel: &Channel| {
            let gateway = channel.behind.map_or(Subject::Link(channel.link), Subject::Channel);
            channel.attested_key.is_some_and(|key| over.contains(&(gateway, key)))
        };
        let channels = self.channels.iter().filter(|(_, channel)| names_one(channel));
        let channels: Vec<u64> = channels.map(|(id, _)| *id).collect();
        // Not the agent's own certificate: it opens again, through the gateway's new one.
        let error = Error::new(Code::AttestationStale).found(format!("for a former key of the gateway: {error}"));
        for channel in channels {
            self.refuse_channel(channel, &error);
        }
    }
}

/// A chain that was verified before is so again, or must be when it is used next.
fn retake(chain: &mut Chain, verdict: &Verdict) {
    if let Chain::Verified(peer) = chain {
        *chain = match &verdict.result {
            Ok(again) => Chain::Verified(again.clone()),
            Err(_) => Chain::Der(peer.chain().iter().map(|der| Bytes::copy_from_slice(der)).collect()),
        };
    }
}
