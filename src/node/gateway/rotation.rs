//! A gateway's change of keys in two phases (rule I5): upstream first, then towards the agents.

use bytes::Bytes;

use crate::identity::KeyHash;
use crate::identity::succession::Succession;
use crate::limits::FORMER_KEYS_MAX;
use crate::node::CertificateChange;
use crate::time::Timestamp;

/// Where the change stands.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// The generation that waits to be shown, and when the certificate before it ends.
    waiting: Option<(u64, Timestamp)>,
    /// What former keys say of the newest one; then of the one before, with which a link may just be made.
    successions: Vec<Succession>,
    /// What was shown on the link in use, by its signature.
    told: Vec<Bytes>,
    wall: Timestamp,
}

impl Rotation {
    /// There is a new certificate.
    pub(super) fn begin(&mut self, generation: u64, change: CertificateChange) {
        self.waiting = Some((generation, change.former_not_after));
        let before = std::mem::replace(&mut self.successions, change.successions);
        self.successions.extend(before);
        self.successions.truncate(2 * FORMER_KEYS_MAX);
    }

    pub(super) fn handle_wall(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// Another link is in use.
    pub(super) fn begin_link(&mut self) {
        self.told.clear();
    }

    /// The statements for a link on which this key was proven; each is given once for a link.
    pub(super) fn statements_for(&mut self, key: KeyHash) -> Vec<Succession> {
        let told = &self.told;
        let fits =
            |one: &&Succession| one.new_key == key && self.wall <= one.not_after && !told.contains(&one.signature);
        let fit: Vec<Succession> = self.successions.iter().filter(fits).take(FORMER_KEYS_MAX).cloned().collect();
        self.told.extend(fit.iter().map(|one| one.signature.clone()));
        fit
    }

    /// The keys that attestations may name on a link on which this one was proven.
    pub(super) fn keys_with(&self, key: KeyHash) -> Vec<KeyHash> {
        let fits = |one: &&Succession| one.new_key == key && self.wall <= one.not_after;
        let former = self.successions.iter().filter(fits).filter_map(|one| one.former_key);
        std::iter::once(key).chain(former.take(FORMER_KEYS_MAX)).collect()
    }

    /// The generation to show from now on, where `stands` is the one that was shown on the link in use: at once where
    /// there is no link, since nobody's attestation names a key there, or where the old certificate has ended.
    pub(super) fn next_to_show(&mut self, stands: Option<u64>) -> Option<u64> {
        let wall = self.wall;
        let may = |(generation, not_after): &mut (u64, Timestamp)| {
            stands.is_none_or(|stands| stands >= *generation) || wall > *not_after
        };
        self.waiting.take_if(may).map(|(generation, _)| generation)
    }
}
