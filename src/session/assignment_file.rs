//! The last good assignment on disk, with the group's key that was pinned with it (rules F1 and G6).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Assignment, AssignmentKey, SignedAssignment};
use crate::name::Name;

/// `assignment` in a node's state directory: the key's 32 bytes, the signature's 64, the signed body.
#[derive(Clone, Debug)]
pub(crate) struct AssignmentFile(PathBuf);

/// What a node pinned.
pub(crate) struct Pinned {
    pub(crate) key: AssignmentKey,
    pub(crate) version: u64,
    pub(crate) assignment: Assignment,
}

impl AssignmentFile {
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self(directory.join("assignment"))
    }

    /// What the file holds; none if there is no file.
    ///
    /// # Errors
    ///
    /// [`Code::AssignmentForged`] if its signature is not the pinned key's: the file was changed.
    pub(crate) fn load(&self, group: &str, node: &Name) -> Result<Option<Pinned>> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(&error)),
        };
        let forged = || {
            Error::new(Code::AssignmentForged)
                .subject(self.0.display().to_string())
                .remedy("remove the file: the node takes its assignment from its upstream again")
        };
        let (key, rest) = bytes.split_at_checked(32).ok_or_else(forged)?;
        let (signature, body) = rest.split_at_checked(64).ok_or_else(forged)?;
        let key = AssignmentKey::from_bytes(key)?;
        let signed =
            SignedAssignment { body: Bytes::copy_from_slice(body), signature: Bytes::copy_from_slice(signature) };
        let (version, assignment) = key.verify(group, node, &signed).map_err(|_| forged())?;
        Ok(Some(Pinned { key, version, assignment }))
    }

    /// Replaces the file: a crash leaves the old or the new one, whole.
    pub(crate) fn save(&self, signed: &SignedAssignment, key: &AssignmentKey) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let new = self.0.with_extension("new");
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(key.as_bytes())?;
            file.write_all(&signed.signature)?;
            file.write_all(&signed.body)?;
            file.sync_all()?;
            fs::rename(&new, &self.0)?;
            match self.0.parent() {
                Some(directory) => fs::File::open(directory)?.sync_all(),
                None => Ok(()),
            }
        };
        write().map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &std::io::Error) -> Error {
        Error::new(Code::FileUnreadable).subject(self.0.display().to_string()).found(error.to_string())
    }
}
