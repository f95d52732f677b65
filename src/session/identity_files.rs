//! From files to an identity.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::identity::{Identity, IdentityPolicy};
use crate::name::Name;
use crate::session::clock;

impl Identity {
    /// The identity of a configuration: a directory, or files by name.
    ///
    /// Blocks while it reads files.
    ///
    /// # Errors
    ///
    /// [`Code::FileMissing`], [`Code::FileUnreadable`], [`Code::KeyExposed`], [`Code::IdentityMissing`], and all that the
    /// node's own check finds, the first as the error (`farpost cert check` lists all).
    pub fn from_files(files: &IdentityFiles, name: &Name) -> Result<Self> {
        let found = files.find(name)?;
        let policy = IdentityPolicy {
            name_rule: files.name_rule,
            crl_policy: files.crl_policy,
            accept_server_auth_alone: files.accept_server_auth_alone,
        };
        let key = read_key(&found.key)?;
        let trust = read_all(&found.trust)?;
        let crls = read_all(&found.crls)?;
        Self::from_pem(name, &read(&found.certificate)?, &key, &slices(&trust), &slices(&crls), policy, clock::wall())
            .map_err(|report| {
                let error = Error::from(report);
                let of_key = matches!(error.code(), Code::KeyMismatch | Code::KeyUnreadable);
                let file = if of_key { &found.key } else { &found.certificate };
                error.subject(file.display().to_string())
            })
    }

    /// The identity in a directory: `NAME.pem` (leaf and intermediates), `NAME.key`, every other `*.pem` and `*.crt` as
    /// a trust anchor, every `*.crl` as a revocation list.
    ///
    /// # Errors
    ///
    /// As [`Self::from_files`].
    pub fn from_directory(directory: impl AsRef<Path>, name: &str) -> Result<Self> {
        let files = IdentityFiles { directory: Some(directory.as_ref().to_owned()), ..IdentityFiles::default() };
        Self::from_files(&files, &Name::parse(name)?)
    }
}

impl IdentityFiles {
    /// The same files by name: what a directory holds for a node of this name stands in `certificate`, `key`, `trust`
    /// and `crls`, and `directory` is empty.
    ///
    /// # Errors
    ///
    /// [`Code::IdentityMissing`], [`Code::FileUnreadable`] for the directory; [`Code::ConfigMissingKey`].
    pub fn resolve(&self, name: &Name) -> Result<Self> {
        let found = self.find(name)?;
        let (certificate, key) = (Some(found.certificate), Some(found.key));
        Ok(Self { directory: None, certificate, key, trust: found.trust, crls: found.crls, ..self.clone() })
    }

    fn find(&self, name: &Name) -> Result<Found> {
        match &self.directory {
            Some(directory) => Found::in_directory(directory, name, self),
            None => Found::named(self),
        }
    }
}

/// Which files make the identity.
struct Found {
    certificate: PathBuf,
    key: PathBuf,
    trust: Vec<PathBuf>,
    crls: Vec<PathBuf>,
}

impl Found {
    fn named(files: &IdentityFiles) -> Result<Self> {
        let missing = |key: &str| Error::new(Code::ConfigMissingKey).subject(format!("identity.{key}"));
        Ok(Self {
            certificate: files.certificate.clone().ok_or_else(|| missing("certificate"))?,
            key: files.key.clone().ok_or_else(|| missing("key"))?,
            trust: files.trust.clone(),
            crls: files.crls.clone(),
        })
    }

    fn in_directory(directory: &Path, name: &Name, files: &IdentityFiles) -> Result<Self> {
        let mut paths: Vec<PathBuf> = fs::read_dir(directory)
            .map_err(|error| unreadable(directory, &error))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        paths.sort();
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        if !paths.contains(&certificate) {
            let seen: Vec<String> =
                paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
            return Err(Error::new(Code::IdentityMissing)
                .subject(directory.display().to_string())
                .found(if seen.is_empty() { "no file".to_owned() } else { seen.join(", ") })
                .expected(format!("{name}.pem and {name}.key")));
        }
        let with = |extensions: &[&str]| {
            let is = |path: &&PathBuf| {
                path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
            };
            paths.iter().filter(is).filter(|path| **path != certificate).cloned().collect::<Vec<_>>()
        };
        let others = with(&["pem", "crt"]).into_iter().filter(|path| !path.with_extension("key").exists());
        let trust = files.trust.iter().cloned().chain(others).collect();
        let crls = files.crls.iter().cloned().chain(with(&["crl"])).collect();
        Ok(Self { certificate, key, trust, crls })
    }
}

fn slices(files: &[Vec<u8>]) -> Vec<&[u8]> {
    files.iter().map(Vec::as_slice).collect()
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|path| read(path)).collect()
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    let mut bytes = Vec::new();
    read_into(&mut bytes, file, &metadata, path)?;
    Ok(bytes)
}

/// Reads a key that only its owner can read, and that nobody but root or this process's user owns (SECURITY H13):
/// looked at through the open file, not through its path. The bytes are cleared when they are dropped (H14).
pub(super) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let (file, metadata) = open(path)?;
    let exposed = |found: String, expected: &str| {
        Error::new(Code::KeyExposed).subject(path.display().to_string()).found(found).expected(expected)
    };
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(exposed(format!("mode {mode:04o}"), "0600: nothing for the group and for others"));
    }
    let (owner, user) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(exposed(format!("owned by user {owner}"), &format!("user {user}, who runs this, or root")));
    }
    // Made large enough at once: growing would leave copies behind.
    let length = usize::try_from(metadata.len()).unwrap_or(0).min(FILE_BYTES_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    read_into(&mut bytes, file, &metadata, path)?;
    Ok(bytes)
}

/// Opens a file; what is none is refused, since a FIFO or a device would never end.
fn open(path: &Path) -> Result<(fs::File, fs::Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let found = file.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = found.map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(unreadable(path, &std::io::Error::other("not a file")));
    }
    Ok((file, metadata))
}

fn read_into(bytes: &mut Vec<u8>, file: fs::File, metadata: &fs::Metadata, path: &Path) -> Result<()> {
    let too_long = |length: u64| {
        Error::new(Code::FileUnreadable)
            .subject(path.display().to_string())
            .found(format!("{length} bytes"))
            .expected(format!("at most {FILE_BYTES_MAX}"))
    };
    let most = FILE_BYTES_MAX as u64;
    if metadata.len() > most {
        return Err(too_long(metadata.len()));
    }
    let read = file.take(most + 1).read_to_end(bytes).map_err(|error| unreadable(path, &error))?;
    if read > FILE_BYTES_MAX { Err(too_long(read as u64)) } else { Ok(()) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
    Error::new(code)
        .subject(path.display().to_string())
        .found(error.to_string())
        .expected("a file that this process can read")
}

/// A certificate, key or list file; a CRL of 500,000 entries takes about 20 MiB.
const FILE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn h13_a_key_that_others_can_read_own_or_feed_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("node.key");
        fs::write(&key, b"key").unwrap();
        for (mode, code) in
            [(0o600, None), (0o400, None), (0o640, Some(Code::KeyExposed)), (0o604, Some(Code::KeyExposed))]
        {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_key(&key).err().map(|error| error.code()), code, "mode {mode:04o}");
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        // Only root may give a file away.
        if std::os::unix::fs::chown(&key, Some(65_534), None).is_ok() && nix::unistd::geteuid().is_root() {
            assert_eq!(read_key(&key).unwrap_err().code(), Code::KeyExposed);
        }
        let fifo = directory.path().join("fifo.key");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read_key(&fifo).unwrap_err().code(), Code::FileUnreadable);
        assert_eq!(read(directory.path()).unwrap_err().code(), Code::FileUnreadable);
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().code(), Code::FileUnreadable);
    }
}
