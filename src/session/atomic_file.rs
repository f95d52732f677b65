//! Files that are put in place whole: whoever looks sees the old one, the new one, or none.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::session::clock;

/// The mode of a file that only its owner reads: keys, secrets.
pub(crate) const OWNER: u32 = 0o600;
/// The mode of a file that everybody may read: certificates, requests, lists.
pub(crate) const ALL: u32 = 0o644;

/// Puts a file in place where there is none yet, durable when this returns. Blocks.
///
/// # Errors
///
/// [`Code::FileUnreadable`]; one that is there already is left as it is.
pub(crate) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    // A link takes no name that is there, whereas a rename would.
    put(path, mode, bytes, |beside| {
        fs::hard_link(beside, path)?;
        fs::remove_file(beside)
    })
}

/// Puts a file in place, over one that may be there; durable when this returns. Blocks.
///
/// # Errors
///
/// [`Code::FileUnreadable`]; then the old file is there, whole.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    put(path, mode, bytes, |beside| fs::rename(beside, path))
}

/// Makes what was renamed or removed in a directory durable. Blocks.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Writes beside the file, for the owner alone until all is there, and lets `commit` give it its name.
fn put(path: &Path, mode: u32, bytes: &[u8], commit: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    let beside = beside(path);
    let outcome = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER).open(&beside)?;
        file.write_all(bytes)?;
        // By the descriptor, so that neither umask nor anybody else decides.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        commit(&beside)?;
        sync_directory_of(path)
    })();
    outcome.map_err(|error| {
        // What is left is of no use; that it cannot be removed adds nothing to the error.
        let _ = fs::remove_file(&beside);
        unwritable(path, &error)
    })
}

/// A hidden name that no reader of the directory takes for a file of its own. It is short, since a file of a long node's
/// name has no room for more, and random: what a crash left must not be in the way of a process with the same number.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".new-{:016x}", clock::random()))
}

/// Whether there was no room to write.
pub(in crate::session) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
    let unwritable = Error::new(code).subject(path.display().to_string()).found(error.to_string());
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            unwritable.expected("no file of this name").remedy("move the old one away first")
        }
        kind if is_full(kind) => unwritable.expected("room for a new file").remedy("make room on the disk"),
        _ => unwritable.expected("a file that this process can write"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let error = unwritable(Path::new("x"), &io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!((error.code(), error.remedy_text()), (Code::FileUnreadable, "make room on the disk"));
    }

    #[test]
    fn a_new_file_never_takes_the_place_of_one_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pc7.key");
        write_new(&path, OWNER, b"first").unwrap();
        let error = write_new(&path, OWNER, b"second").unwrap_err();
        assert_eq!(error.code(), Code::FileUnreadable);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!((mode(&path), names(directory.path())), (OWNER, vec!["pc7.key".to_owned()]));
    }

    #[test]
    fn however_writers_race_a_replaced_file_is_one_of_theirs_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pc7.pem");
        std::thread::scope(|scope| {
            for writer in 1..=8_u8 {
                let path = &path;
                scope.spawn(move || replace(path, ALL, &vec![writer; 1000 * usize::from(writer)]).unwrap());
            }
        });
        let found = fs::read(&path).unwrap();
        assert!(found.len() == 1000 * usize::from(found[0]) && found.iter().all(|byte| *byte == found[0]));
        assert_eq!((mode(&path), names(directory.path())), (ALL, vec!["pc7.pem".to_owned()]));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("below").join("pc7.pem");
        assert_eq!(replace(&missing, ALL, b"x").unwrap_err().code(), Code::FileMissing);
        fs::create_dir(directory.path().join("pc7.pem")).unwrap();
        let error = replace(&directory.path().join("pc7.pem"), ALL, b"x").unwrap_err();
        assert_eq!(error.code(), Code::FileUnreadable);
        assert_eq!(names(directory.path()), ["pc7.pem"]);
    }
}
