//! A gateway's change of keys in two phases (rule I5): upstream first, then towards the agents.

use crate::identity::KeyHash;
use crate::identity::succession::Succession;
use crate::limits::{FORMER_KEYS_MAX, NEXT_KEYS_MAX};
use crate::node::CertificateChange;
use crate::time::Timestamp;

/// Where the change stands.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// The generation that waits to be shown, and when the certificate before it ends.
    waiting: Option<(u64, Timestamp)>,
    /// What former keys say of the newest one; then of the one before, with which a link may just be made.
    successions: Vec<Succession>,
    /// What was said on the link in use: the server believes it for as long as the link lives, whatever keys come later.
    told: Vec<Succession>,
    /// How many next keys were announced on it.
    announced: usize,
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
        self.announced = 0;
    }

    /// What the key that was proven on the link in use says of the newest one, before that is shown: a server that pinned
    /// the one lets the other in. None where it may say no more, or where that key is not known any more.
    pub(super) fn announcement(&mut self, change: &CertificateChange, proven: KeyHash) -> Option<Succession> {
        let says = change.successions.iter().find(|one| one.former_key == Some(proven))?;
        let may_say = self.announced < NEXT_KEYS_MAX;
        self.announced += usize::from(may_say);
        may_say.then(|| says.clone())
    }

    /// The statements for a link on which this key was proven; each is given once for a link, and no more of them than
    /// the server takes.
    pub(super) fn statements_for(&mut self, key: KeyHash) -> Vec<Succession> {
        let is_told = |one: &Succession| self.told.iter().any(|told| told.signature == one.signature);
        let fits = |one: &&Succession| one.new_key == key && self.wall <= one.not_after && !is_told(one);
        let room = FORMER_KEYS_MAX.saturating_sub(self.told.len());
        let fit: Vec<Succession> = self.successions.iter().filter(fits).take(room).cloned().collect();
        self.told.extend(fit.iter().cloned());
        fit
    }

    /// The keys that attestations may name on the link in use, on which this one was proven.
    pub(super) fn keys_with(&self, key: KeyHash) -> Vec<KeyHash> {
        let former = self.told.iter().filter(|one| self.wall <= one.not_after).filter_map(|one| one.former_key);
        std::iter::once(key).chain(former).collect()
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(generation: u8) -> KeyHash {
        KeyHash([generation; 32])
    }

    fn says(former: u8, new: u8) -> Succession {
        Succession {
            chain: Vec::new(),
            not_after: Timestamp::from_unix_seconds(100),
            former_key: Some(key(former)),
            new_key: key(new),
            scheme: 0x0807,
            signature: Bytes::from(vec![former, new]),
        }
    }

    /// The third and every later key are vouched for by the two before them.
    fn rotated_to(newest: u8) -> Rotation {
        let mut rotation = Rotation::default();
        (2..=newest).for_each(|new| begin(&mut rotation, new));
        rotation
    }

    fn begin(rotation: &mut Rotation, new: u8) {
        let successions = (1..new).rev().take(FORMER_KEYS_MAX).map(|former| says(former, new)).collect();
        let former_not_after = Timestamp::from_unix_seconds(100);
        rotation.begin(u64::from(new), CertificateChange { former_not_after, successions });
    }

    #[test]
    fn i5_what_a_link_was_told_holds_for_its_life_whatever_keys_come_later() {
        let mut rotation = rotated_to(2);
        assert_eq!(rotation.statements_for(key(2)), [says(1, 2)]);
        (3..=6).for_each(|new| begin(&mut rotation, new));
        assert_eq!(rotation.statements_for(key(2)), []);
        assert_eq!(rotation.keys_with(key(2)), [key(2), key(1)]);
        rotation.handle_wall(Timestamp::from_unix_seconds(101));
        assert_eq!(rotation.keys_with(key(2)), [key(2)], "until the former certificate ends");
    }

    #[test]
    fn i5_another_link_is_told_of_the_last_keys_before_its_own_and_of_no_more() {
        let mut rotation = rotated_to(4);
        rotation.statements_for(key(4));
        rotation.begin_link();
        assert_eq!(rotation.keys_with(key(4)), [key(4)], "the server was told nothing yet");
        assert_eq!(rotation.statements_for(key(4)), [says(3, 4), says(2, 4)]);
        assert_eq!(rotation.keys_with(key(4)), [key(4), key(3), key(2)]);
    }

    #[test]
    fn g1_i5_the_proven_key_announces_the_next_one_and_what_is_told_of_former_ones_stays_as_it_was() {
        let mut rotation = rotated_to(2);
        rotation.statements_for(key(2));
        let not_after = Timestamp::from_unix_seconds(100);
        let change =
            |new: u8| CertificateChange { former_not_after: not_after, successions: vec![says(2, new), says(1, new)] };
        assert_eq!(rotation.announcement(&change(3), key(2)), Some(says(2, 3)));
        assert_eq!(rotation.announcement(&change(3), key(7)), None, "of that nothing is known");
        assert_eq!(rotation.keys_with(key(2)), [key(2), key(1)]);
        let more = (4..=20).filter(|new| rotation.announcement(&change(*new), key(2)).is_some()).count();
        assert_eq!(more, NEXT_KEYS_MAX - 1);
        rotation.begin_link();
        assert!(rotation.announcement(&change(21), key(2)).is_some());
    }

    #[test]
    fn i5_no_link_hears_of_more_former_keys_than_a_server_takes() {
        let mut rotation = rotated_to(4);
        rotation.statements_for(key(4));
        // The same key again, after others.
        let former_not_after = Timestamp::from_unix_seconds(100);
        rotation.begin(5, CertificateChange { former_not_after, successions: vec![says(7, 4), says(6, 4)] });
        assert_eq!(rotation.statements_for(key(4)), []);
        assert_eq!(rotation.keys_with(key(4)), [key(4), key(3), key(2)]);
    }
}
