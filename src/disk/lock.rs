//! The state directory and its lock: one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::code::Code;
use crate::disk::files::make_private_directory;
use crate::error::Error;

/// A state directory that this process owns until the value is dropped. The operating system gives the lock back when
/// its owner dies, however it dies.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory (mode 0700), if it is not there, and locks it.
    ///
    /// # Errors
    ///
    /// [`Code::StateDirectoryInUse`] names the process that has it; [`Code::FileUnreadable`] what the system said.
    pub(crate) fn lock(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| unusable(parent, &error))?;
            }
            make_private_directory(path).map_err(|error| unusable(path, &error))?;
        }
        let lock_path = path.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|error| unusable(&lock_path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(path, &mut file)),
            Err(error) => return Err(unusable(&lock_path, &error.into())),
        }
        write_owner(&mut file).map_err(|error| unusable(&lock_path, &error))?;
        Ok(Self { path: path.to_path_buf(), _lock: file })
    }

    /// Where the segments are.
    pub(crate) fn queue_directory(&self) -> PathBuf {
        self.path.join("queue")
    }
}

fn write_owner(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(path: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // What cannot be read is shown as unknown: the refusal stands either way.
    let _ = file.take(32).read_to_string(&mut text);
    let owner =
        text.trim().parse::<u32>().map_or_else(|_| "another process".to_owned(), |pid| format!("process {pid}"));
    Error::new(Code::StateDirectoryInUse).subject(path.display().to_string()).found(owner).expected("no other owner")
}

/// The error of a path that the system does not let us use.
pub(crate) fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::FileUnreadable).subject(path.display().to_string()).found(error.to_string())
}
