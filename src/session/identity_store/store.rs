//! Changing the files of a store so that a failure at any moment leaves them whole.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::file::{check_directory, parent_of, unreadable};
use crate::error::Result;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Mode 0644: certificates, lists, requests.
    All,
    /// Mode 0600: keys.
    Owner,
}

/// What is about to be done to the disk: where a test makes it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncDirectory,
    Remove,
}

/// Asked before each step; an error is the disk's answer.
pub(super) type Steps<'a> = &'a dyn Fn(Step) -> io::Result<()>;

/// A directory that this process alone changes, as long as this lives.
pub(super) struct Store<'a> {
    directory: PathBuf,
    /// Locked; the lock ends when it is closed.
    _lock: File,
    /// Whose files these are: a service account's, where root looks after its directory.
    owner: Option<(u32, u32)>,
    steps: Steps<'a>,
}

impl Store<'static> {
    /// Opens a store for changes; the directory is made if it is not there, for its owner only.
    ///
    /// # Errors
    ///
    /// [`Code::DirectoryExposed`](crate::code::Code::DirectoryExposed),
    /// [`Code::FileUnreadable`](crate::code::Code::FileUnreadable).
    pub(super) fn open(directory: &Path) -> Result<Self> {
        Store::open_with(directory, &|_| Ok(()))
    }
}

impl<'a> Store<'a> {
    pub(super) fn open_with(directory: &Path, steps: Steps<'a>) -> Result<Self> {
        let failed = |error: io::Error| unreadable(directory, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        check_directory(directory)?;
        let lock = File::open(directory).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let metadata = lock.metadata().map_err(failed)?;
        let is_served = nix::unistd::geteuid().is_root() && metadata.uid() != 0;
        let owner = is_served.then_some((metadata.uid(), metadata.gid()));
        let store = Self { directory: directory.to_owned(), _lock: lock, owner, steps };
        store.sweep();
        Ok(store)
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Writes a file beside its place, durable, and not yet in it.
    pub(super) fn stage(&self, path: &Path, bytes: &[u8], access: Access) -> Result<Staged<'a>> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = parent_of(path).join(format!(".{file}.{}{TEMPORARY}", std::process::id()));
        let staged = Staged { temporary, path: path.to_owned(), is_placed: false, steps: self.steps };
        staged.write(bytes, access, self.owner).map_err(|error| unreadable(path, &error))?;
        Ok(staged)
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let renamed = (self.steps)(Step::Rename).and_then(|()| fs::rename(from, to));
        renamed.map_err(|error| unreadable(from, &error))
    }

    /// Removes a file that may not be there.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        match (self.steps)(Step::Remove).and_then(|()| fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes the names in the store durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.sync_directory(&self.directory)
    }

    pub(super) fn sync_directory(&self, directory: &Path) -> Result<()> {
        let synced = (self.steps)(Step::SyncDirectory).and_then(|()| File::open(directory)?.sync_all());
        synced.map_err(|error| unreadable(directory, &error))
    }

    /// Removes what processes that were killed left unfinished. It is never read, so that failing costs only space.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && name.ends_with(TEMPORARY) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A file beside its place; removed unless it is put there.
pub(super) struct Staged<'a> {
    temporary: PathBuf,
    path: PathBuf,
    is_placed: bool,
    steps: Steps<'a>,
}

impl Staged<'_> {
    fn write(&self, bytes: &[u8], access: Access, owner: Option<(u32, u32)>) -> io::Result<()> {
        let mode = match access {
            Access::All => 0o644,
            Access::Owner => 0o600,
        };
        (self.steps)(Step::Create)?;
        // Of an earlier process with this number.
        let _ = fs::remove_file(&self.temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&self.temporary)?;
        // Whatever the umask took away.
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some((user, group)) = owner {
            fchown(&file, Some(user), Some(group))?;
        }
        (self.steps)(Step::Write)?;
        file.write_all(bytes)?;
        (self.steps)(Step::Sync)?;
        file.sync_all()
    }

    /// Puts it into its place; durable when the directory is synced.
    pub(super) fn place(mut self) -> Result<()> {
        let placed = (self.steps)(Step::Rename).and_then(|()| fs::rename(&self.temporary, &self.path));
        placed.map_err(|error| unreadable(&self.path, &error))?;
        self.is_placed = true;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.is_placed && (self.steps)(Step::Remove).is_ok() {
            // Nobody reads it, and the next store that is opened removes it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// How unfinished files end; hidden ones are not read.
const TEMPORARY: &str = ".farpost-new";
