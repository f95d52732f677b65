//! The records of the group's signing key (rule G6).

use zeroize::Zeroizing;

use crate::error::Result;
use crate::group::KeySuccession;
use crate::time::Timestamp;

/// The key as it is stored.
pub(in crate::store) struct StoredKey {
    /// PKCS#8.
    pub(in crate::store) pkcs8: Zeroizing<Vec<u8>>,
    /// 1 for the group's first key; each rotation adds one.
    pub(in crate::store) version: u64,
    /// Since when it is the group's; none for the first.
    pub(in crate::store) since: Option<Timestamp>,
    /// The versions of assignments are above this one.
    pub(in crate::store) versions_from: u64,
    /// The secret of the group's challenges (rule I6), which goes where the key goes: what agents have attested stays good.
    pub(in crate::store) challenge_secret: Zeroizing<[u8; 32]>,
}

/// The group's key, and the statements of the keys before it.
pub(in crate::store) trait KeyRecords {
    fn signing_key(&mut self) -> Result<StoredKey>;
    /// Replaces it.
    fn put_signing_key(&mut self, key: &StoredKey) -> Result<()>;
    /// The statements about keys up to this version, the oldest first.
    fn successions(&mut self, through: u64) -> Result<Vec<KeySuccession>>;
    /// Adds the statement about the key of this version.
    fn put_succession(&mut self, version: u64, succession: &KeySuccession) -> Result<()>;
    /// Forgets the statements about keys before this version.
    fn forget_successions(&mut self, before: u64) -> Result<()>;
}
