//! Files as an identity is read from: bounded, and private where they hold a secret (SECURITY H13).

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::limits::PASSWORD_BYTES_MAX;
use crate::session::atomic_file::is_full;

/// A file's bytes, cleared when they are dropped, and whether others could have read them.
pub(super) struct Content {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// What is wrong with the file's owner or mode, if it were to hold a secret.
    pub(super) exposure: Option<Exposure>,
}

/// Why a file is no place for a secret.
pub(super) struct Exposure {
    found: String,
    expected: String,
}

impl Exposure {
    fn error(self, code: Code, path: &Path) -> Error {
        Error::new(code).subject(path.display().to_string()).found(self.found).expected(self.expected)
    }
}

/// Reads a file of certificates or lists.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Content> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    read_opened(path, OpenOptions::new().read(true).custom_flags(flags).open(path), bytes_max)
}

/// Reads a file that holds a private key.
///
/// # Errors
///
/// [`Code::KeyExposed`] if others than its owner can read it, or it is neither this process's user's nor root's;
/// [`Code::DirectoryExposed`] if others can put another file in its place.
pub(super) fn read_key(path: &Path, bytes_max: usize) -> Result<Zeroizing<Vec<u8>>> {
    read_private(path, bytes_max, Code::KeyExposed)
}

/// Reads a password: the first line of a file that only its owner can read.
///
/// # Errors
///
/// [`Code::PasswordExposed`], [`Code::DirectoryExposed`], [`Code::NotUtf8`].
pub(crate) fn read_password(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = read_private(path, PASSWORD_BYTES_MAX, Code::PasswordExposed)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line)
        .map_err(|_| Error::new(Code::NotUtf8).subject(path.display().to_string()).found("bytes that are no text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Whoever may put files into these directories could put another one in this one's place: the link's and the real one.
/// The file itself is looked at through its descriptor.
fn read_private(path: &Path, bytes_max: usize, code: Code) -> Result<Zeroizing<Vec<u8>>> {
    let real = path.canonicalize().map_err(|error| unreadable(path, &error))?;
    check_directory(&parent_of(path))?;
    check_directory(&parent_of(&real))?;
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC | nix::libc::O_NOFOLLOW;
    let content = read_opened(path, OpenOptions::new().read(true).custom_flags(flags).open(&real), bytes_max)?;
    match content.exposure {
        Some(exposure) => Err(exposure.error(code, path)),
        None => Ok(content.bytes),
    }
}

/// Refuses a directory that others than its owner can change, or that a stranger owns.
///
/// # Errors
///
/// [`Code::DirectoryExposed`].
pub(super) fn check_directory(directory: &Path) -> Result<()> {
    let metadata = fs::metadata(directory).map_err(|error| unreadable(directory, &error))?;
    let exposed = |found: String, expected: String| {
        Err(Error::new(Code::DirectoryExposed).subject(directory.display().to_string()).found(found).expected(expected))
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return exposed(
            format!("mode {mode:04o}"),
            "a directory that only its owner can write, such as 0755 or 0700".into(),
        );
    }
    let (owner, user) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if user != 0 && owner != user && owner != 0 {
        return exposed(format!("owned by user {owner}"), format!("user {user}, who runs this, or root"));
    }
    Ok(())
}

/// The directory that a file is in.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Reads what was opened; what is no file is refused, since a FIFO or a device would never end.
fn read_opened(path: &Path, file: io::Result<fs::File>, bytes_max: usize) -> Result<Content> {
    let found = file.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = found.map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(unreadable(path, &io::Error::other("not a file")));
    }
    let too_long = |length: u64| {
        Error::new(Code::FileUnreadable)
            .subject(path.display().to_string())
            .found(format!("{length} bytes"))
            .expected(format!("at most {bytes_max}"))
            .remedy("give a file that holds only what it is for")
    };
    let length = usize::try_from(metadata.len()).ok().filter(|length| *length <= bytes_max);
    let length = length.ok_or_else(|| too_long(metadata.len()))?;
    // Made large enough at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    let most = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > length {
        return Err(unreadable(path, &io::Error::other("it grew while it was read")));
    }
    Ok(Content { bytes, exposure: exposure_of(&metadata, path) })
}

fn exposure_of(metadata: &fs::Metadata, path: &Path) -> Option<Exposure> {
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let expected = "0600: nothing for the group and for others".to_owned();
        return Some(Exposure { found: format!("mode {mode:04o}"), expected });
    }
    let (owner, user) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    // Root administers directories of service accounts: what is there is theirs.
    let of_directory = fs::metadata(parent_of(path)).map(|directory| directory.uid());
    let is_served = user == 0 && of_directory.is_ok_and(|directory| directory == owner);
    if owner != user && owner != 0 && !is_served {
        let expected = format!("user {user}, who runs this, or root");
        return Some(Exposure { found: format!("owned by user {owner}"), expected });
    }
    None
}

/// Refuses a key in the clear that others could have read.
pub(super) fn check_plain_key(content: &mut Content, path: &Path) -> Result<()> {
    content.exposure.take().map_or(Ok(()), |exposure| Err(exposure.error(Code::KeyExposed, path)))
}

/// The error of a file that could not be read or written.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
    let unreadable = Error::new(code).subject(path.display().to_string()).found(error.to_string());
    if is_full(error.kind()) {
        return unreadable.expected("room for the new files").remedy("make room on the disk");
    }
    unreadable.expected("a file that this process can read, or write where it is made")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn code(path: &Path) -> Option<Code> {
        read_key(path, 1000).err().map(|error| error.code())
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn h13_a_key_that_others_can_read_own_or_feed_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("node.key");
        fs::write(&key, b"key").unwrap();
        for (mode, expected) in
            [(0o600, None), (0o400, None), (0o640, Some(Code::KeyExposed)), (0o604, Some(Code::KeyExposed))]
        {
            set_mode(&key, mode);
            assert_eq!(code(&key), expected, "mode {mode:04o}");
        }
        set_mode(&key, 0o600);
        // Only root may give a file away.
        if nix::unistd::geteuid().is_root() && chown(&key, Some(65_534), None).is_ok() {
            assert_eq!(code(&key), Some(Code::KeyExposed));
            chown(directory.path(), Some(65_534), None).unwrap();
            assert_eq!(code(&key), None, "root looks after a service account's directory");
        }
        let fifo = directory.path().join("fifo.key");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(code(&fifo), Some(Code::FileUnreadable));
        assert_eq!(code(Path::new("/dev/zero")), Some(Code::FileUnreadable));
        assert_eq!(read(directory.path(), 1000).err().map(|error| error.code()), Some(Code::FileUnreadable));
        fs::write(&key, [0; 1001]).unwrap();
        assert_eq!(code(&key), Some(Code::FileUnreadable), "longer than the bound");
    }

    #[test]
    fn h13_a_directory_that_others_can_write_is_refused_through_a_link_as_well() {
        let safe = tempfile::tempdir().unwrap();
        let open = tempfile::tempdir().unwrap();
        for directory in [&safe, &open] {
            fs::write(directory.path().join("node.key"), b"key").unwrap();
            set_mode(&directory.path().join("node.key"), 0o600);
        }
        symlink(open.path().join("node.key"), safe.path().join("out.key")).unwrap();
        symlink(safe.path().join("node.key"), open.path().join("in.key")).unwrap();
        assert_eq!(code(&safe.path().join("out.key")), None);
        for mode in [0o777, 0o770, 0o702, 0o1777] {
            set_mode(open.path(), mode);
            for path in [open.path().join("node.key"), safe.path().join("out.key"), open.path().join("in.key")] {
                assert_eq!(code(&path), Some(Code::DirectoryExposed), "{} in a directory of {mode:o}", path.display());
            }
        }
        assert_eq!(code(&safe.path().join("node.key")), None);
    }

    #[test]
    fn h13_a_password_is_the_first_line_of_a_private_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        for (content, expected) in
            [("secret\n", "secret"), ("se cret\r\nmore", "se cret"), ("pässwörd€", "pässwörd€"), ("", "")]
        {
            fs::write(&file, content).unwrap();
            set_mode(&file, 0o600);
            assert_eq!(*read_password(&file).unwrap(), expected);
        }
        set_mode(&file, 0o644);
        assert_eq!(read_password(&file).unwrap_err().code(), Code::PasswordExposed);
    }
}
