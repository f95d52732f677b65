//! The group's signing key: shown, replaced, backed up, brought back (rule G6).

use serde::Serialize;
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::group::{Answer, By, GroupKey, GroupKeyRecord, GroupKeys, KeyRotation, KeySuccession, KeysOperation};
use crate::limits::KEY_SUCCESSIONS_MAX;
use crate::store::identity::new_signing_key;
use crate::store::operations::{Context, audit};
use crate::store::records::{Records, StoredAssignment, StoredKey, Which, corrupt};
use crate::time::Timestamp;

/// Everything that brings a group's key into another store.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyBackup {
    pub(crate) group: String,
    /// PKCS#8.
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    pub(crate) version: u64,
    pub(crate) since: Option<Timestamp>,
    /// No assignment of the group had a higher version when the backup was made.
    pub(crate) versions_to: u64,
    /// How nodes get from former keys to this one.
    pub(crate) successions: Vec<KeySuccession>,
    /// The secret of the group's challenges (rule I6).
    pub(crate) challenge_secret: Zeroizing<[u8; 32]>,
}

pub(super) fn perform(records: &mut dyn Records, context: &Context<'_>, operation: &KeysOperation) -> Result<Answer> {
    match operation {
        KeysOperation::Key => shown(records).map(Answer::Key),
        KeysOperation::Rotate { version } => rotate(records, context, *version).map(Answer::KeyRotation),
    }
}

/// The key that servers hand out assignments with.
pub(in crate::store) fn in_force(records: &mut dyn Records) -> Result<GroupKeys> {
    let stored = records.signing_key()?;
    let key = GroupKey::from_pkcs8(&stored.pkcs8)?.public();
    Ok(GroupKeys { version: stored.version, key, successions: records.successions(stored.version)? })
}

fn shown(records: &mut dyn Records) -> Result<GroupKeyRecord> {
    let stored = records.signing_key()?;
    let successions = records.successions(stored.version)?;
    record_of(&stored, &successions)
}

fn record_of(stored: &StoredKey, successions: &[KeySuccession]) -> Result<GroupKeyRecord> {
    let key = GroupKey::from_pkcs8(&stored.pkcs8)?.public();
    let former = |succession: &KeySuccession| {
        let statement = succession.statement().ok_or_else(|| corrupt("a statement about a key that cannot be read"))?;
        Ok(statement.former.to_string())
    };
    Ok(GroupKeyRecord {
        public_key: key.to_string(),
        fingerprint: key.fingerprint().to_string(),
        version: stored.version,
        since: stored.since,
        former: successions.iter().map(former).collect::<Result<_>>()?,
        versions_from: stored.versions_from,
    })
}

/// Puts a new key in the place of the one of this version, which says so and is gone then; all assignments are signed anew.
///
/// # Errors
///
/// [`Code::GroupKeyRotated`] if another key is in force.
fn rotate(records: &mut dyn Records, context: &Context<'_>, version: u64) -> Result<KeyRotation> {
    records.lock_group()?;
    let stored = records.signing_key()?;
    if stored.version != version {
        return Err(Error::new(Code::GroupKeyRotated)
            .found(format!("version {}", stored.version))
            .expected(format!("version {version}")));
    }
    let before = shown(records)?;
    let pkcs8 = new_signing_key()?;
    let (former, new) = (GroupKey::from_pkcs8(&stored.pkcs8)?, GroupKey::from_pkcs8(&pkcs8)?);
    let next = version.saturating_add(1);
    records.put_succession(next, &former.succeeded_by(context.group, new.public(), next, context.by.at))?;
    // The statement about version 2 is the first one.
    records.forget_successions(next.saturating_sub(KEY_SUCCESSIONS_MAX as u64 - 1))?;
    let since = Some(context.by.at);
    records.put_signing_key(&StoredKey { pkcs8, version: next, since, ..stored })?;
    let signed = sign_anew(records, context.group, &new, 0)?;
    let key = shown(records)?;
    audit(records, context.by, ("rotate group key", context.group), Some(&before), Some(&key))?;
    records.changed()?;
    Ok(KeyRotation { key, signed })
}

/// Signs what every node has, or had withdrawn, under its next version that is above this one.
fn sign_anew(records: &mut dyn Records, group: &str, key: &GroupKey, above: u64) -> Result<u64> {
    let mut anew = Vec::new();
    for stored in records.stored_assignments(Which::All)? {
        let StoredAssignment { node, version, site, signed: Some(signed) } = stored else { continue };
        let content = signed.content().ok_or_else(|| corrupt("an assignment that cannot be read"))?;
        let version = version.max(above).saturating_add(1);
        let signed = Some(key.sign(group, &node, version, content.as_ref()));
        anew.push(StoredAssignment { node, version, site, signed });
    }
    records.put_assignments(&anew)?;
    Ok(anew.len() as u64)
}

/// What a change of who has the key leaves in the audit log.
#[derive(Serialize)]
struct BackedUp {
    key: GroupKeyRecord,
    versions_to: u64,
}

/// Everything that a backup holds; that it was made is in the audit log.
pub(in crate::store) fn back_up(records: &mut dyn Records, group: &str, by: &By) -> Result<KeyBackup> {
    records.lock_group()?;
    let StoredKey { pkcs8, version, since, versions_from, challenge_secret } = records.signing_key()?;
    let successions = records.successions(version)?;
    let versions = records.stored_assignments(Which::All)?.into_iter().map(|stored| stored.version);
    let versions_to = versions.max().unwrap_or(0).max(versions_from);
    let entry = BackedUp { key: shown(records)?, versions_to };
    audit(records, by, ("back up group key", group), None, Some(&entry))?;
    Ok(KeyBackup { group: group.to_owned(), pkcs8, version, since, versions_to, successions, challenge_secret })
}

/// A server reads the secret of the challenges once: two with different ones would refuse each other's agents.
fn check_nobody_runs(records: &mut dyn Records) -> Result<()> {
    let clock = records.clock()?;
    let running = records.leases()?.into_iter().filter(|lease| lease.until > clock);
    let running: Vec<String> = running.map(|lease| lease.server.to_string()).collect();
    if running.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::GroupKeyInUse)
        .found(format!("management servers that run on it: {}", running.join(", ")))
        .expected("none")
        .remedy("stop them, or wait half a minute if they were killed; start them after the key is back"))
}

/// Brings a group's key into a store that has signed nothing yet. The versions of its assignments begin above the backup's
/// and above the time in seconds, so that nodes take them, whatever they were assigned since the backup was made. A store
/// that has the key already may be an old copy, whose versions nodes would not take: it signs all anew above them.
///
/// # Errors
///
/// [`Code::GroupMismatch`]; [`Code::GroupKeyInUse`] if the store has signed anything with a key of its own, or a management server runs on it.
pub(in crate::store) fn restore(
    records: &mut dyn Records,
    group: &str,
    backup: &KeyBackup,
    by: &By,
) -> Result<GroupKeyRecord> {
    if backup.group != group {
        return Err(Error::new(Code::GroupMismatch)
            .subject("the backup")
            .found(printable(&backup.group))
            .expected(printable(group))
            .remedy("use the backup of this group's key"));
    }
    records.lock_group()?;
    check_nobody_runs(records)?;
    let before = shown(records)?;
    let key = GroupKey::from_pkcs8(&backup.pkcs8)?;
    let versions_from = backup.versions_to.max(u64::try_from(by.at.unix_seconds()).unwrap_or(0));
    if before.public_key == key.public().to_string() {
        let stored = records.signing_key()?;
        let versions_from = versions_from.max(stored.versions_from);
        records.put_signing_key(&StoredKey { versions_from, ..stored })?;
        sign_anew(records, group, &key, versions_from)?;
        return restored(records, group, &before, by);
    }
    let signed = records.stored_assignments(Which::All)?.len();
    if signed > 0 || before.version > 1 {
        return Err(Error::new(Code::GroupKeyInUse)
            .subject(before.public_key)
            .found(format!("a key that has signed already: version {}, assignments of {signed} nodes", before.version))
            .expected(format!("a store that has signed nothing yet, or has the key {} already", key.public())));
    }
    let KeyBackup { pkcs8, version, since, challenge_secret, .. } = backup.clone();
    records.put_signing_key(&StoredKey { pkcs8, version, since, versions_from, challenge_secret })?;
    for (succession, version) in backup.successions.iter().rev().zip((0..=backup.version).rev()) {
        records.put_succession(version, succession)?;
    }
    restored(records, group, &before, by)
}

fn restored(records: &mut dyn Records, group: &str, before: &GroupKeyRecord, by: &By) -> Result<GroupKeyRecord> {
    let after = shown(records)?;
    audit(records, by, ("restore group key", group), Some(before), Some(&after))?;
    records.changed()?;
    Ok(after)
}
