//! The group's signing keys, one after the other (rule G6).
//!
//! A key that is replaced names the one that takes its place, so that nodes which trust it follow without anybody touching
//! them. What is signed (Ed25519, RFC 8032) by the former key; numbers are big-endian, a text is `length u16 · bytes`:
//! `context · group · former key (32) · new key (32) · version u64 · made u64 (Unix ms)`. The group's first key has version 1,
//! and each statement the version of its new key.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::group::assignment::{AssignmentKey, GroupKey, put_text, take_text};
use crate::identity::KeyHash;
use crate::limits::KEY_SUCCESSIONS_MAX;
use crate::time::Timestamp;

/// What no other signature of farpost begins with.
const CONTEXT: &str = "farpost group key 1";

/// The group's signing key, for people (rule G6).
#[cfg(feature = "management-server")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupKeyRecord {
    /// The Ed25519 public key (RFC 8032 section 5.1.5), 32 bytes in hexadecimal digits.
    pub public_key: String,
    /// SHA-256 of the public key as RFC 8410 writes it (SubjectPublicKeyInfo), in hexadecimal digits.
    pub fingerprint: String,
    /// 1 for the key that the group was made with; each rotation adds one.
    pub version: u64,
    /// When it became the group's; none for the key that the group was made with.
    pub since: Option<Timestamp>,
    /// The keys before it from which nodes follow, the oldest first.
    pub former: Vec<String>,
    /// What every assignment's version is above, since the store was restored; 0 where it never was.
    pub versions_from: u64,
}

/// What a rotation of the group's key did.
#[cfg(feature = "management-server")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyRotation {
    /// The key that is the group's now.
    pub key: GroupKeyRecord,
    /// How many assignments it has signed anew.
    pub signed: u64,
}

/// A statement by which a key of the group names the next one: exactly the bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySuccession {
    pub(crate) body: Bytes,
    pub(crate) signature: Bytes,
}

/// What a [`KeySuccession`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) group: String,
    pub(crate) former: AssignmentKey,
    pub(crate) new: AssignmentKey,
    /// The new key's.
    pub(crate) version: u64,
    pub(crate) made: Timestamp,
}

/// The key that the group signs with, and how nodes get to it from former ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupKeys {
    /// Of the key; 1 for the first one.
    pub(crate) version: u64,
    pub(crate) key: AssignmentKey,
    /// The oldest first; the last one names the key. At most [`KEY_SUCCESSIONS_MAX`].
    pub(crate) successions: Vec<KeySuccession>,
}

impl GroupKey {
    /// States that a key takes the place of this one.
    pub(crate) fn succeeded_by(&self, group: &str, new: AssignmentKey, version: u64, made: Timestamp) -> KeySuccession {
        let former = self.public();
        let body = Statement { group: group.to_owned(), former, new, version, made }.encode();
        let signature = self.sign_bytes(&body);
        KeySuccession { body, signature }
    }
}

impl AssignmentKey {
    /// The key at the end of the statements, for a node that trusts this one: those before the one that this key made are
    /// passed over, then each must have been made by the key that the one before it names, for this group, under the next
    /// version.
    ///
    /// # Errors
    ///
    /// [`Code::GroupKeyMismatch`] for too many statements, none of this key, or one that does not follow.
    pub(crate) fn followed(self, group: &str, successions: &[KeySuccession]) -> Result<Self, Error> {
        if successions.len() > KEY_SUCCESSIONS_MAX {
            return Err(mismatch(format!("{} statements", successions.len()))
                .expected(format!("at most {KEY_SUCCESSIONS_MAX}")));
        }
        let mut reached: Option<Statement> = None;
        for succession in successions {
            let statement = Statement::decode(&succession.body)
                .ok_or_else(|| mismatch("a statement about the group's next key that cannot be read".to_owned()))?;
            match &reached {
                None if statement.former != self => continue,
                None => {}
                Some(before) => before.check_next(&statement)?,
            }
            succession.verify(group, &statement)?;
            reached = Some(statement);
        }
        reached.map(|statement| statement.new).ok_or_else(|| {
            mismatch("no statement of the trusted key about the one that takes its place".to_owned())
                .expected(format!("the key {self}, or one that it names"))
        })
    }

    /// SHA-256 of the key as RFC 8410 writes it: what `openssl pkey -pubout -outform DER | sha256sum` says.
    pub(crate) fn fingerprint(&self) -> KeyHash {
        let mut der = SPKI_PREFIX.to_vec();
        der.extend_from_slice(self.as_bytes());
        KeyHash::of(&der)
    }
}

/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 section 10.1).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl std::fmt::Display for AssignmentKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl KeySuccession {
    /// What it says, unchecked: for one of the group's own store.
    pub(crate) fn statement(&self) -> Option<Statement> {
        Statement::decode(&self.body)
    }

    fn verify(&self, group: &str, statement: &Statement) -> Result<(), Error> {
        if statement.group != group {
            return Err(mismatch(format!("a statement of the group {}", printable(&statement.group))).expected(group));
        }
        UnparsedPublicKey::new(&ED25519, statement.former.as_bytes()).verify(&self.body, &self.signature).map_err(
            |_| mismatch("a statement about the group's next key that the key before it did not sign".to_owned()),
        )
    }
}

impl Statement {
    /// Whether another one is by the key that this one names, under the next version: so none comes twice.
    fn check_next(&self, next: &Self) -> Result<(), Error> {
        if next.former == self.new && self.version.checked_add(1) == Some(next.version) {
            return Ok(());
        }
        Err(mismatch(format!("a statement of the key {} about version {}", next.former, next.version))
            .expected(format!("one of the key {} about version {}", self.new, self.version.saturating_add(1))))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        put_text(&mut out, CONTEXT);
        put_text(&mut out, &self.group);
        out.put_slice(self.former.as_bytes());
        out.put_slice(self.new.as_bytes());
        out.put_u64(self.version);
        out.put_i64(self.made.unix_millis());
        out.freeze()
    }

    /// `None` for anything that [`Statement::encode`] did not make.
    fn decode(mut rest: &[u8]) -> Option<Self> {
        if take_text(&mut rest)? != CONTEXT {
            return None;
        }
        let group = take_text(&mut rest)?.to_owned();
        let (former, new) = (take_key(&mut rest)?, take_key(&mut rest)?);
        let version = rest.try_get_u64().ok()?;
        let made = Timestamp::from_unix_millis(rest.try_get_i64().ok()?);
        rest.is_empty().then_some(Self { group, former, new, version, made })
    }
}

fn take_key(rest: &mut &[u8]) -> Option<AssignmentKey> {
    let (key, after) = rest.split_first_chunk::<32>()?;
    *rest = after;
    Some(AssignmentKey(*key))
}

fn mismatch(found: String) -> Error {
    Error::new(Code::GroupKeyMismatch).found(found)
}

#[cfg(test)]
mod tests;
