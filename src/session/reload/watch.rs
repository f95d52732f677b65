//! Whether the files of an identity changed, and whether they stand still.
//!
//! By looking: it works on every file system, over renames, and where links are swapped (Kubernetes mounts).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::IdentityFiles;
use crate::limits::{IDENTITY_FILES_MAX, IDENTITY_LOOKS_MAX};

/// How the files are at a moment: all that a change of content or place leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look(BTreeMap<PathBuf, Option<Seen>>);

/// One file: the entry itself, and what it leads to.
type Seen = [Trace; 2];

/// Device, inode, length, and the times of the last change of content and of the inode, in nanoseconds.
type Trace = (u64, u64, u64, (i64, i64), (i64, i64));

impl Look {
    /// Looks at the files, and at every certificate, key and list of the directory. Blocks.
    pub(super) fn at(files: &IdentityFiles) -> Self {
        let mut paths: Vec<PathBuf> = files.certificate.iter().chain(&files.key).cloned().collect();
        paths.extend(files.key.as_deref().map(next_of));
        paths.extend(files.trust.iter().chain(&files.crls).cloned());
        if let Some(directory) = &files.directory {
            // A directory that cannot be read is a change too: the reload says why.
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
            paths.extend(entries.filter(|path| is_part(path)).take(IDENTITY_FILES_MAX));
            paths.push(directory.clone());
        }
        Self(paths.into_iter().map(|path| (path.clone(), trace(&path))).collect())
    }
}

/// Where an import by name puts the key before the certificate is in its place.
fn next_of(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

fn is_part(path: &Path) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn trace(path: &Path) -> Option<Seen> {
    let of = |metadata: std::fs::Metadata| {
        let length = if metadata.is_dir() { 0 } else { metadata.len() };
        let times = ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
        // What else lies in a directory is nobody's business: its own times do not count.
        let times = if metadata.is_dir() { Default::default() } else { times };
        (metadata.dev(), metadata.ino(), length, times.0, times.1)
    };
    let entry = std::fs::symlink_metadata(path).ok().map(of)?;
    let target = std::fs::metadata(path).ok().map(of).unwrap_or_default();
    Some([entry, target])
}

/// What was seen before.
#[derive(Debug, Default)]
pub(super) struct Watch {
    read: Option<Look>,
    last: Option<Look>,
    restless: u32,
}

impl Watch {
    /// Takes a look; true if the files are to be read now: they are others than those that were read last, and have
    /// been the same for two looks, so that key and certificate are read together, or they never stand still.
    pub(super) fn see(&mut self, look: Look) -> bool {
        if self.read.as_ref() == Some(&look) {
            (self.last, self.restless) = (Some(look), 0);
            return false;
        }
        self.restless += 1;
        let stands_still = self.last.as_ref() == Some(&look);
        self.last = Some(look);
        if !stands_still && self.restless < IDENTITY_LOOKS_MAX {
            return false;
        }
        (self.read, self.restless) = (self.last.clone(), 0);
        true
    }
}

/// What an identity directory is read for.
const EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "der", "key", "crl"];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn look(number: u64) -> Look {
        Look(BTreeMap::from([(PathBuf::from("a"), Some([(1, number, 0, (0, 0), (0, 0)); 2]))]))
    }

    #[test]
    fn i5_files_are_read_once_when_they_stand_still_and_at_last_where_they_never_do() {
        let mut watch = Watch::default();
        let read = |watch: &mut Watch, looks: &[u64]| looks.iter().map(|one| watch.see(look(*one))).collect::<Vec<_>>();
        assert_eq!(read(&mut watch, &[1, 1, 1, 1]), [false, true, false, false]);
        assert_eq!(read(&mut watch, &[2, 3, 3, 3]), [false, false, true, false], "the key, then the certificate");
        assert_eq!(read(&mut watch, &[4, 5, 6, 7, 8, 9]), [false, false, true, false, false, true]);
        assert_eq!(read(&mut watch, &[9, 10, 9, 9]), [false; 4], "there and back within a moment");
    }

    #[test]
    fn i5_every_way_to_change_a_file_is_seen_and_what_is_none_of_the_identity_is_not() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("identity");
        fs::create_dir(&directory).unwrap();
        let file = directory.join("node.pem");
        fs::write(&file, "one").unwrap();
        let files = IdentityFiles { directory: Some(directory.clone()), ..IdentityFiles::default() };
        let mut before = Look::at(&files);
        let mut changed = |what: &str, is_change: bool| {
            let now = Look::at(&files);
            assert_eq!(now != before, is_change, "{what}");
            before = now;
        };
        changed("nothing", false);
        fs::write(directory.join("notes.txt"), "").unwrap();
        changed("another file", false);
        fs::write(directory.join(".node.pem.tmp"), "two").unwrap();
        changed("a file on its way", false);
        fs::rename(directory.join(".node.pem.tmp"), &file).unwrap();
        changed("a rename over it, of the same length", true);
        fs::write(directory.join("ca.crl"), "list").unwrap();
        changed("a new file", true);
        fs::remove_file(directory.join("ca.crl")).unwrap();
        changed("a file less", true);
        // As Kubernetes does: the entry is a link through a link that is swapped.
        for version in ["v1", "v2"] {
            fs::create_dir(home.path().join(version)).unwrap();
            fs::write(home.path().join(version).join("tls.pem"), "same").unwrap();
        }
        let data = home.path().join("data");
        std::os::unix::fs::symlink("v1", &data).unwrap();
        std::os::unix::fs::symlink(data.join("tls.pem"), directory.join("tls.pem")).unwrap();
        changed("a link", true);
        std::os::unix::fs::symlink("v2", home.path().join("data.next")).unwrap();
        fs::rename(home.path().join("data.next"), &data).unwrap();
        changed("a link in the middle", true);
    }
}
