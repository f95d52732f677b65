//! The attestations of a channel (rule I6): which one is checked, which one stands.

use std::sync::Arc;

use super::{Chain, ManagementServer, Stage, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::identity::{KeyHash, VerifiedPeer};
use crate::limits::REFUSALS_TOLD_MAX;
use crate::role::Role;
use crate::time::Timestamp;
use crate::wire::Attestation;

/// What is being checked of a channel: one attestation at a time, so that answers cannot be taken for one another, and
/// so that a gateway that shows them without end has one check per channel under way.
#[derive(Debug)]
pub(super) struct Checking {
    pub(super) period: u64,
    /// The attestation says that it was made for this other gateway: the check can only tell whether that is true.
    pub(super) elsewhere: Option<KeyHash>,
    /// Another one came meanwhile: it is checked next.
    pub(super) again: bool,
}

/// How many refused attestations, or operations of an operator, of one link were told as events in this minute: a gateway gone bad must not fill the log,
/// nor push other events out of their stream (SECURITY H17). Each is refused to its face in any case.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Unix seconds.
    since: i64,
    told: u32,
    untold: u64,
}

impl Told {
    /// Whether a refusal is told now; then how many were not since the last one that was.
    pub(super) fn tell(&mut self, code: Code, wall: Timestamp) -> Option<u64> {
        if !matches!(code.number(), 1501..=1505 | 2137 | 3040..=3043) && code != Code::NameMismatch {
            return Some(0);
        }
        let now = wall.unix_seconds();
        if now.saturating_sub(self.since) >= 60 {
            (self.since, self.told) = (now, 0);
        }
        if self.told >= REFUSALS_TOLD_MAX {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// The keys that an attestation's signature is checked for, of those that its link speaks for; or the one that the agent
/// named, where it is none of them: a signature that holds for it shows a replay, and never opens anything.
pub(super) fn claimed_keys(attestation: &Attestation, spoken_for: Vec<KeyHash>) -> (Vec<KeyHash>, Option<KeyHash>) {
    match <[u8; 32]>::try_from(&attestation.gateway_key[..]).map(KeyHash) {
        Ok(said) if spoken_for.contains(&said) => (vec![said], None),
        Ok(said) => (vec![said], Some(said)),
        Err(_) => (spoken_for, None),
    }
}

impl ManagementServer {
    /// ATTEST: a renewed attestation for a channel that stands, or waits.
    pub(super) fn handle_attest(&mut self, id: u64, attestation: Attestation) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let reached = channel.checking.as_ref().map_or(channel.attested_period, |checking| checking.period);
        let known = channel.open.attestation.as_ref() == Some(&attestation);
        // An older one cannot take back what a newer one gave, and the same again gives nothing.
        if known || attestation.period < reached {
            return;
        }
        channel.open.attestation = Some(attestation);
        if let Some(checking) = &mut channel.checking {
            checking.again = true;
        } else if let Err(error) = self.verify_attestation(id) {
            self.refuse_channel(id, &error);
        }
    }

    pub(super) fn handle_agent_verified(&mut self, id: u64, result: Result<(Arc<VerifiedPeer>, KeyHash), Error>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let Some(checking) = channel.checking.take() else { return };
        let (peer, gateway_key) = match (result, checking.elsewhere) {
            (Ok(verified), None) => verified,
            (Ok(_), Some(other)) => {
                let shown_by = channel.via.first().map_or_else(|| "a link of its own".to_owned(), ToString::to_string);
                let error = Error::new(Code::AttestationElsewhere)
                    .found(format!("one that was made for the gateway with the key {other}"))
                    .expected(format!("one for the key of {shown_by}"));
                return self.refuse_channel(id, &error);
            }
            (Err(error), _) => return self.refuse_channel(id, &error),
        };
        let Some(channel) = self.channels.get(&id) else { return };
        match self.keys_spoken_for(channel, None) {
            Ok(keys) if keys.contains(&gateway_key) => {}
            Ok(_) => {
                // A former key that was forgotten while the signature was being checked.
                let error = Error::new(Code::AttestationStale).found("for a former key of the gateway");
                return self.refuse_channel(id, &error);
            }
            Err(error) => return self.refuse_channel(id, &error),
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let before = channel.peer.as_ref().map(|peer| peer.key_hash());
        if channel.role == Role::Gateway && before.is_some_and(|before| before != peer.key_hash()) {
            // What is behind it attested to the first one; a gateway's new key comes with a new link (rule I5).
            let error = Error::new(Code::AttestationInvalid).found("another key of the gateway on the same channel");
            return self.refuse_channel(id, &error);
        }
        channel.attested_period = channel.attested_period.max(checking.period);
        channel.attested_key = Some(gateway_key);
        let (link, behind, is_behind_any) = (channel.link, channel.behind, !channel.via.is_empty());
        // The next channel of this chain names it; what is kept is its bytes, whether it still holds is asked each time.
        if let Some(down) = self.links.get_mut(&link).filter(|_| is_behind_any) {
            down.chains.insert(peer.chain_hash(), Chain::Verified(peer.clone()));
        }
        if let Some(former) = self.former_mut(behind.map_or(Subject::Link(link), Subject::Channel)) {
            former.attested_to(gateway_key);
        }
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let key = peer.key_hash();
        channel.peer = Some(peer);
        if channel.stage == Stage::Verifying {
            channel.stage = Stage::Authorising;
        }
        if before != Some(key) {
            // The first one; or the agent has a new key, which the group may not have approved (H10).
            self.ask_standing_of_channel(id);
        }
        if checking.again
            && let Err(error) = self.verify_attestation(id)
        {
            self.refuse_channel(id, &error);
        }
    }
}
