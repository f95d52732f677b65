//! The rotated files beside a followed one, and in which order they were written.

use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// A file of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
    /// Bytes.
    pub(super) length: u64,
    /// The last write, in nanoseconds since 1970.
    pub(super) modified: i128,
    /// What follows the followed file's name: `1`, `20261122`, `2026-11-22T12`.
    suffix: String,
}

/// The file that was written after the one of `inode`, whose last write was `modified`: the next one of the
/// rotation, or the live file itself. `None` while there is no live file, or while a rotation is going on.
pub(super) fn successor(live: &Path, inode: u64, modified: i128) -> Option<Sibling> {
    let chain = chain(live)?;
    match chain.iter().position(|sibling| sibling.inode == inode) {
        Some(at) => chain.into_iter().nth(at + 1),
        // It was removed: what was written later is what it was not.
        None => {
            let last = chain.len() - 1;
            let at = chain.iter().position(|sibling| sibling.modified > modified).unwrap_or(last);
            chain.into_iter().nth(at)
        }
    }
}

/// The rotated files, oldest first, and the live one. While files are renamed a directory may show one twice or
/// not at all, so only what was seen the same twice counts.
fn chain(live: &Path) -> Option<Vec<Sibling>> {
    let look = || {
        let newest = sibling(live.to_owned(), String::new())?;
        let mut others = rotated(live);
        others.sort_by(|a, b| a.path.cmp(&b.path));
        Some((others, newest))
    };
    let (first, first_newest) = look()?;
    let (mut others, newest) = look()?;
    let names = |list: &[Sibling]| list.iter().map(|other| (other.path.clone(), other.inode)).collect::<Vec<_>>();
    if names(&first) != names(&others) || first_newest.inode != newest.inode {
        return None;
    }
    order(&mut others);
    others.push(newest);
    Some(others)
}

/// Any file in the live file's directory that has this inode: a rotation may choose any name.
pub(super) fn with_inode(live: &Path, inode: u64) -> Vec<PathBuf> {
    entries(live).filter(|entry| entry.ino() == inode).map(|entry| entry.path()).collect()
}

/// Files whose names are the live one's and a number or a date. What else there is (`.lock`, `.gz`) is not read.
fn rotated(live: &Path) -> Vec<Sibling> {
    let Some(name) = live.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let suffix_of = |entry: &fs::DirEntry| {
        let entry = entry.file_name();
        let rest = entry.to_str()?.strip_prefix(name)?;
        let suffix = rest.strip_prefix(['.', '-', '_'])?;
        let dated = suffix.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '.' | '_' | ':' | 'T' | 'Z' | '+'));
        (dated && suffix.chars().any(|c| c.is_ascii_digit())).then(|| suffix.to_owned())
    };
    entries(live).filter_map(|entry| sibling(entry.path(), suffix_of(&entry)?)).collect()
}

/// Oldest first. Small numbers count backwards (`.1` is the newest); dates and the rest go by the last write.
fn order(chain: &mut [Sibling]) {
    let numbers: Option<Vec<u64>> = chain.iter().map(rotation_number).collect();
    if numbers.is_some() {
        chain.sort_by_key(|sibling| std::cmp::Reverse(rotation_number(sibling)));
    } else {
        chain.sort_by(|a, b| (a.modified, &a.suffix).cmp(&(b.modified, &b.suffix)));
    }
}

fn rotation_number(sibling: &Sibling) -> Option<u64> {
    sibling.suffix.parse().ok().filter(|number| *number < ROTATION_NUMBER_END)
}

fn sibling(path: PathBuf, suffix: String) -> Option<Sibling> {
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    Some(Sibling { path, inode: metadata.ino(), length: metadata.len(), modified: modified(&metadata), suffix })
}

/// The last write, in nanoseconds since 1970.
pub(super) fn modified(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

fn entries(live: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let directory = live.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::read_dir(directory).into_iter().flatten().flatten().take(ENTRIES_MAX)
}

/// Directory entries that are looked at: a log directory has tens.
const ENTRIES_MAX: usize = 10_000;
/// From here on a suffix is a date, not a count of rotations.
const ROTATION_NUMBER_END: u64 = 10_000;
