//! The last good assignment on disk, with the group's key that was pinned with it (rules F1 and G6).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Assignment, AssignmentKey, SignedAssignment};
use crate::name::Name;

/// `assignment` in a node's state directory: the key's 32 bytes, the signature's 64, the signed body.
///
/// Clones write one after the other, and the newest assignment stays.
#[derive(Clone, Debug)]
pub(crate) struct AssignmentFile {
    path: PathBuf,
    /// What waits to be written; the newest alone.
    newest: Arc<Mutex<Option<(SignedAssignment, AssignmentKey)>>>,
    writing: Arc<Mutex<()>>,
}

/// What a node pinned.
pub(crate) struct Pinned {
    pub(crate) key: AssignmentKey,
    pub(crate) version: u64,
    /// None where the group withdrew it: the node follows its own configuration.
    pub(crate) assignment: Option<Assignment>,
}

impl AssignmentFile {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join("assignment"), newest: Arc::default(), writing: Arc::default() }
    }

    /// What the file holds; none if there is no file.
    ///
    /// # Errors
    ///
    /// [`Code::AssignmentForged`] if its signature is not the pinned key's: the file was changed.
    pub(crate) fn load(&self, group: &str, node: &Name) -> Result<Option<Pinned>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(&error)),
        };
        let forged = || {
            Error::new(Code::AssignmentForged)
                .subject(self.path.display().to_string())
                .remedy("remove the file: the node takes its assignment from its upstream again")
        };
        let (key, rest) = bytes.split_at_checked(32).ok_or_else(forged)?;
        let (signature, body) = rest.split_at_checked(64).ok_or_else(forged)?;
        let key = AssignmentKey::from_bytes(key)?;
        let signed = SignedAssignment {
            body: Bytes::copy_from_slice(body),
            signature: Bytes::copy_from_slice(signature),
            key_version: 0,
        };
        let (version, assignment) = key.verify(group, node, &signed).map_err(|_| forged())?;
        Ok(Some(Pinned { key, version, assignment }))
    }

    /// Says what is to be written; never waits. In the order in which the node took the assignments.
    pub(crate) fn put(&self, signed: SignedAssignment, key: AssignmentKey) {
        *lock(&self.newest) = Some((signed, key));
    }

    /// Writes what was put last, unless another call did. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::FileUnreadable`] with what the system said.
    pub(crate) fn write(&self) -> Result<()> {
        let _writing = lock(&self.writing);
        let newest = lock(&self.newest).take();
        newest.map_or(Ok(()), |(signed, key)| self.replace(&signed, &key).map_err(|error| self.unusable(&error)))
    }

    /// A crash leaves the old or the new file, whole.
    fn replace(&self, signed: &SignedAssignment, key: &AssignmentKey) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(key.as_bytes())?;
        file.write_all(&signed.signature)?;
        file.write_all(&signed.body)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        match self.path.parent() {
            Some(directory) => fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    fn unusable(&self, error: &std::io::Error) -> Error {
        Error::new(Code::FileUnreadable).subject(self.path.display().to_string()).found(error.to_string())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_however_writers_race_the_newest_assignment_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = AssignmentFile::in_directory(directory.path());
        let key = AssignmentKey::from_bytes(&[7; 32]).unwrap();
        let signed = |version: u8| SignedAssignment {
            body: Bytes::from(vec![version; 100 * usize::from(version)]),
            signature: Bytes::from(vec![version; 64]),
            key_version: 0,
        };
        for last in 2..50 {
            std::thread::scope(|scope| {
                for version in [last - 1, last] {
                    file.put(signed(version), key);
                    scope.spawn(|| file.write().unwrap());
                }
            });
            let found = fs::read(&file.path).unwrap();
            assert_eq!(found[32..], [signed(last).signature, signed(last).body].concat(), "version {last}");
        }
    }
}
