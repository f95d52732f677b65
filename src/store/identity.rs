//! What a store is made with: the group's name, its signing key (rule G6), its challenge secret (rule I6).

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::Ed25519KeyPair;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::group::GroupKey;
use crate::store::records::corrupt;

/// A group's name, in bytes: it travels in HELLO and under signatures.
const GROUP_BYTES_MAX: usize = 255;

/// What was made with the store and never changes. The key does, where an operator rotates it.
pub(crate) struct GroupIdentity {
    pub(super) group: String,
    pub(super) challenge_secret: [u8; 32],
}

/// The row of a new group, as it is stored.
pub(super) struct NewGroup {
    pub(super) name: String,
    /// PKCS#8.
    pub(super) signing_key: Zeroizing<Vec<u8>>,
    pub(super) challenge_secret: Zeroizing<[u8; 32]>,
}

impl NewGroup {
    /// Makes a group's keys; `None` is somebody who wants to use a store and found an empty one.
    ///
    /// # Errors
    ///
    /// [`Code::StoreUnavailable`] without a name; [`Code::ConfigBadValue`] for one that no group can have.
    pub(super) fn make(group: Option<&str>, found: &str) -> Result<Self> {
        let Some(group) = group else {
            return Err(Error::new(Code::StoreUnavailable)
                .found(found)
                .expected("the store of a group; a management server makes it when it starts"));
        };
        if !is_group_name(group) {
            return Err(Error::new(Code::ConfigBadValue)
                .subject("management_group")
                .found(format!("\"{}\"", printable(group)))
                .expected(format!("1 to {GROUP_BYTES_MAX} bytes without control characters")));
        }
        let mut challenge_secret = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut challenge_secret[..]).map_err(no_random)?;
        Ok(Self { name: group.to_owned(), signing_key: new_signing_key()?, challenge_secret })
    }
}

/// A new Ed25519 key, PKCS#8.
pub(super) fn new_signing_key() -> Result<Zeroizing<Vec<u8>>> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(no_random)?;
    Ok(Zeroizing::new(key.as_ref().to_vec()))
}

fn no_random(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::new(Code::Internal).found("no random numbers from the system")
}

impl GroupIdentity {
    /// Whether both are of one group, and not of two that have the same name.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.group == other.group && self.challenge_secret == other.challenge_secret
    }

    /// Of the row that a store holds; `wanted` is the group that its opener expects, if any.
    ///
    /// # Errors
    ///
    /// [`Code::StoreCorrupt`]; [`Code::GroupMismatch`] if it is another group's.
    pub(super) fn read(
        name: String,
        signing_key: &[u8],
        challenge_secret: [u8; 32],
        wanted: Option<&str>,
    ) -> Result<Self> {
        if !is_group_name(&name) {
            return Err(corrupt("a group's name that no group can have"));
        }
        GroupKey::from_pkcs8(signing_key)?;
        match wanted {
            Some(wanted) if wanted != name => Err(Error::new(Code::GroupMismatch)
                .found(printable(&name))
                .expected(printable(wanted))
                .remedy("correct management_group (case matters) or the store's URL")),
            _ => Ok(Self { group: name, challenge_secret }),
        }
    }
}

fn is_group_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= GROUP_BYTES_MAX && !text.chars().any(char::is_control)
}

/// The version of a store's tables, of which this release knows `known`.
///
/// # Errors
///
/// [`Code::StoreNewer`], [`Code::StoreCorrupt`].
pub(super) fn check_version(version: i64, known: usize) -> Result<usize> {
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(version),
        Ok(_) => Err(Error::new(Code::StoreNewer)
            .found(format!("version {version}"))
            .expected(format!("version {known} or less"))),
        Err(_) => Err(corrupt("a version below 0")),
    }
}

/// Adds the store to an error of its own; a rule's refusal has its own subject.
pub(super) fn named(error: Error, store: &str) -> Error {
    if error.subject_text().is_empty() { error.subject(store) } else { error }
}
