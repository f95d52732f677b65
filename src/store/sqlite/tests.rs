//! The file itself; what is the same on every engine is tested in `store/tests.rs`.

use std::path::PathBuf;

mod crash;
mod days;
mod files;
mod migrations;
mod tokens;

use tempfile::TempDir;

use super::*;
use crate::code::Code;
use crate::error::Error;
use crate::message::Sequence;
use crate::store::Store as _;
use crate::store::tests::{at, delivered, fence, name, request, run, with_servers, write};

/// A store's file in a directory of its own.
struct Place {
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("group.db");
        Self { _directory: directory, path }
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path, Some("CORP")).unwrap()
    }

    fn try_open(&self, group: Option<&str>) -> Result<SqliteStore, Error> {
        SqliteStore::open_waiting(&self.path, group, Duration::from_millis(50))
    }
}
