//! Which key a name must come with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::identity::KeyHash;
use crate::limits::FORMER_PIN_STANDS;
use crate::text_form::text_form;
use crate::time::Timestamp;

/// Which key a name must come with, as an operator demands it.
///
/// As text it is `any`, `first`, or the key's SHA-256 in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyDemand {
    /// Any key that a trusted CA vouches for.
    #[default]
    Any,
    /// The one that it comes with first, and no other from then on.
    First,
    /// The one whose SubjectPublicKeyInfo has this SHA-256.
    Sha256([u8; 32]),
}

impl fmt::Display for KeyDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::First => f.write_str("first"),
            Self::Sha256(key) => fmt::Display::fmt(&KeyHash(*key), f),
        }
    }
}

impl FromStr for KeyDemand {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "any" => Ok(Self::Any),
            "first" => Ok(Self::First),
            _ => text.parse().map(|KeyHash(key)| Self::Sha256(key)),
        }
    }
}

text_form!(KeyDemand);

/// The key of a name: what is demanded, what a renewal moves it to, and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyPin {
    /// The key that it must come with.
    #[serde(default)]
    pub demand: KeyDemand,
    /// When it last came with another one, and was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<KeyHash>,
    /// The key that the group's authority certified last on a request signed with the pinned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<KeyHash>,
    /// The key before, and until when links that it opened may stand while the node renews them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<(KeyHash, Timestamp)>,
}

impl KeyPin {
    pub(crate) fn of(demand: KeyDemand) -> Self {
        Self { demand, ..Self::default() }
    }

    /// SHA-256 in hexadecimal of the key that was refused last.
    pub fn refused_fingerprint(&self) -> Option<String> {
        self.refused.map(|key| key.to_string())
    }

    /// Whether the name may come with this key now.
    pub(crate) fn allows(&self, key: KeyHash, at: Timestamp) -> bool {
        let is_former = |(former, until): &(KeyHash, Timestamp)| *former == key && at < *until;
        match self.demand {
            KeyDemand::Any | KeyDemand::First => true,
            KeyDemand::Sha256(pinned) => {
                key.0 == pinned || self.next == Some(key) || self.former.as_ref().is_some_and(is_former)
            }
        }
    }

    /// The pin after the name was let in with this key, which was allowed: the first key stays, and a renewed one takes
    /// the place of the one before. `None` if nothing changes.
    pub(crate) fn after(&self, key: KeyHash, at: Timestamp) -> Option<Self> {
        match self.demand {
            KeyDemand::First => Some(Self { demand: KeyDemand::Sha256(key.0), ..self.clone() }),
            KeyDemand::Sha256(pinned) if key.0 != pinned && self.next == Some(key) => {
                let stands = i64::try_from(FORMER_PIN_STANDS.as_millis()).unwrap_or(i64::MAX);
                let until = Timestamp::from_unix_millis(at.unix_millis().saturating_add(stands));
                let (demand, former) = (KeyDemand::Sha256(key.0), Some((KeyHash(pinned), until)));
                Some(Self { demand, next: None, former, ..self.clone() })
            }
            _ => None,
        }
    }

    /// The pin of a node that gets a certificate for this key next, on a request that the pinned one signed. `None` if
    /// no key is pinned.
    pub(crate) fn renewed_by(&self, key: KeyHash) -> Option<Self> {
        match self.demand {
            KeyDemand::Sha256(pinned) if pinned != key.0 => Some(Self { next: Some(key), ..self.clone() }),
            _ => None,
        }
    }

    /// The pin with a note of what was refused.
    pub(crate) fn refusing(&self, key: KeyHash, at: Timestamp) -> Self {
        Self { refused: Some(key), refused_at: Some(at), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: KeyHash = KeyHash([1; 32]);
    const TWO: KeyHash = KeyHash([2; 32]);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn the_first_key_stays_and_another_is_not_allowed() {
        let first = KeyPin::of(KeyDemand::First);
        assert!(first.allows(ONE, at(1)) && first.allows(TWO, at(1)));
        let pinned = first.after(ONE, at(1)).unwrap();
        assert_eq!(pinned.demand, KeyDemand::Sha256(ONE.0));
        assert!(pinned.allows(ONE, at(2)) && !pinned.allows(TWO, at(2)));
        assert_eq!(pinned.after(ONE, at(2)), None);
        let any = KeyPin::default();
        assert!(any.allows(ONE, at(1)) && any.after(ONE, at(1)).is_none() && any.renewed_by(TWO).is_none());
    }

    #[test]
    fn a_renewal_moves_the_pin_once_the_new_key_is_shown_and_the_old_one_goes_an_hour_later() {
        let pinned = KeyPin::of(KeyDemand::Sha256(ONE.0));
        let renewing = pinned.renewed_by(TWO).unwrap();
        assert!(renewing.allows(ONE, at(1)) && renewing.allows(TWO, at(1)));
        assert_eq!(renewing.after(ONE, at(1)), None, "the answer may have been lost on its way");
        let moved = renewing.after(TWO, at(1)).unwrap();
        assert_eq!(moved.demand, KeyDemand::Sha256(TWO.0));
        assert!(moved.allows(ONE, at(3_600)) && !moved.allows(ONE, at(3_601)) && moved.allows(TWO, at(9_999)));
        assert!(!moved.allows(KeyHash([3; 32]), at(2)));
    }

    #[test]
    fn a_demand_is_its_text() {
        for (demand, text) in [
            (KeyDemand::Any, "any".to_owned()),
            (KeyDemand::First, "first".to_owned()),
            (KeyDemand::Sha256([0xa5; 32]), "a5".repeat(32)),
        ] {
            assert_eq!((demand.to_string(), text.parse().unwrap()), (text.clone(), demand));
        }
        "second".parse::<KeyDemand>().unwrap_err();
    }
}
