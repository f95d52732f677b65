//! The store's file: made for its owner alone, since it holds the group's signing key.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::code::Code;
use crate::error::{Error, Result};
use crate::store::sqlite::failure;

/// Which file a path names: a file that was taken away and one that stands in its place are not the one that was
/// opened, and what is written to that one is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    number: u64,
}

impl FileIdentity {
    /// Of what is at the path now.
    ///
    /// # Errors
    ///
    /// `StoreUnavailable` if nothing is.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| {
            Error::new(Code::StoreUnavailable)
                .found(error.to_string())
                .expected("the file of the group's store, which was there before")
                .remedy("put it back, or a backup of it: it is used again without a restart")
        })?;
        Ok(Self { device: metadata.dev(), number: metadata.ino() })
    }
}

/// Opens the file for reading and writing, made first if `create`.
pub(super) fn open(path: &Path, create: bool, busy: Duration) -> Result<Connection> {
    // A whole path: SQLite gives names like ":memory:" a meaning of their own.
    let path =
        &std::path::absolute(path).map_err(|error| Error::new(Code::StoreUnavailable).found(error.to_string()))?;
    prepare(path, create)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failure::of)?;
    if connection.is_readonly("main").map_err(failure::of)? {
        return Err(Error::new(Code::StoreUnavailable)
            .found("a file that cannot be written")
            .expected("write permission"));
    }
    connection.busy_timeout(busy).map_err(failure::of)?;
    connection.set_prepared_statement_cache_capacity(64);
    write_ahead_log(&connection, busy)?;
    for (pragma, value) in [("synchronous", "FULL"), ("foreign_keys", "ON"), ("trusted_schema", "OFF")] {
        connection.pragma_update(None, pragma, value).map_err(failure::of)?;
    }
    // What is deleted from a page that is written anyway is wiped: a key that was replaced.
    connection.query_row("PRAGMA secure_delete = FAST", [], |_| Ok(())).map_err(failure::of)?;
    Ok(connection)
}

/// Makes the file with mode 0600, or takes everybody else's permissions from one that is there. The files that
/// SQLite puts beside it get the same mode.
///
/// An existing file is only touched by its path: to close a descriptor of it would drop the locks that another
/// connection of this process holds on it (SQLite, "How To Corrupt", section 2.2).
fn prepare(path: &Path, create: bool) -> Result<()> {
    let unusable = |error: std::io::Error| {
        let error = Error::new(Code::StoreUnavailable).found(error.to_string());
        if create {
            error.expected("a file, or a directory in which one can be made")
        } else {
            error
                .expected("the store of a group; a management server makes it when it starts")
                .remedy("correct the store's URL, or start a management server on it")
        }
    };
    if create && !path.exists() {
        make(path).map_err(unusable)?;
    }
    let metadata = std::fs::metadata(path).map_err(unusable)?;
    if !metadata.is_file() {
        return Err(Error::new(Code::StoreUnavailable).found("something that is no file").expected("a file"));
    }
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|error| {
            Error::new(Code::KeyExposed)
                .found(format!("mode {:o}, which cannot be changed: {error}", mode & 0o777))
                .expected("mode 600: the file holds the group's signing key")
        })?;
    }
    Ok(())
}

/// Makes an empty file that gets its name only once its descriptor is closed; one that another process made
/// meanwhile is as good.
fn make(path: &Path) -> std::io::Result<()> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let mut unnamed = path.as_os_str().to_owned();
    unnamed.push(format!("-new-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
    drop(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?);
    let linked = std::fs::hard_link(&unnamed, path);
    std::fs::remove_file(&unnamed)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Switches to the write-ahead log. Two processes that do so at once make SQLite answer busy without waiting.
fn write_ahead_log(connection: &Connection, busy: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let switched = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match switched {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Error::new(Code::StoreUnavailable)
                    .found(format!("journal mode {mode}"))
                    .expected("a file system with shared memory: a local one"));
            }
            Err(error) if is_busy(&error) && start.elapsed() < busy => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(failure::of(error)),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}
