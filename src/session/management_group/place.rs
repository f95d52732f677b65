//! Where a group's store is.

use std::path::PathBuf;

#[cfg(feature = "postgres")]
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::{Error, Result, printable};
#[cfg(feature = "postgres")]
use crate::store::PostgresStore;
use crate::store::{SqliteStore, Store};

/// Where a store is.
pub(super) enum Place {
    File(PathBuf),
    /// The whole connection string, which may hold a password.
    #[cfg(feature = "postgres")]
    Database(Zeroizing<String>),
}

impl Place {
    pub(super) fn of(url: &str) -> Result<Self> {
        let bad = |found: &str| {
            let expected = "sqlite:///path/to/group.db, or postgres://user@host/database";
            Error::new(Code::ConfigBadValue).subject("store.url").found(found).expected(expected)
        };
        match url.split_once("://") {
            Some(("sqlite", "")) => Err(bad("an empty path")),
            Some(("sqlite", path)) if path.contains('\0') => Err(bad("a path with a NUL")),
            Some(("sqlite", path)) => Ok(Self::File(PathBuf::from(path))),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Database(Zeroizing::new(url.to_owned()))),
            // Such a URL may hold a password: it is not repeated.
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                Err(bad("a PostgreSQL store, in a build without the feature postgres"))
            }
            Some((scheme, _)) => Err(bad(&format!("\"{}\"", printable(scheme)))),
            None => Err(bad("\"no scheme\"")),
        }
    }

    pub(super) fn open(&self, management_group: Option<&str>) -> Result<Box<dyn Store>> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteStore::open(path, management_group)?)),
            #[cfg(feature = "postgres")]
            Self::Database(url) => Ok(Box::new(PostgresStore::open(url, management_group)?)),
        }
    }
}
