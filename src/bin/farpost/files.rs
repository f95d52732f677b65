//! Files as the command reads and writes them.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use farpost::Code;
use pkcs8::LineEnding;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Who may read a file that is written.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// Mode 0644: certificates, lists.
    All,
    /// Mode 0600: keys.
    Owner,
}

/// Reads a whole text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Puts a file in place whole: written beside it, synced, renamed. It never has other readers on the way.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Failure> {
    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let outcome = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        // The new name itself must survive a power cut: a serial that was handed out stays in the index.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(directory)?.sync_all()
    })();
    outcome.map_err(|error: io::Error| {
        // What is left is of no use; that it cannot be removed adds nothing to the error.
        let _ = fs::remove_file(beside);
        unreadable(path, &error)
    })
}

/// One DER object as a PEM section; the text is cleared when it is dropped, since it may be a key.
pub(crate) fn pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, Failure> {
    pkcs8::der::pem::encode_string(label, LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|error| Failure::new(Code::Internal, label).found(error))
}

/// Makes a directory that only its owner reads, with those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unreadable(path, &error))
}

/// The failure of a file that could not be read or written.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
    let unreadable = Failure::new(code, path.display()).found(error);
    match error.kind() {
        io::ErrorKind::NotFound => unreadable.expected("a file of this name"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            unreadable.expected("room for a new file").remedy("make room on the disk")
        }
        _ => unreadable.expected("a file that this process can use"),
    }
}
