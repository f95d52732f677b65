//! Where a test opens its store: a place per engine, fresh and its own.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::store::SqliteStore;
use crate::store::tests::AnyStore;

#[cfg(feature = "postgres")]
pub(in crate::store) use postgres::PostgresPlace;

/// Somewhere for one store, which may be opened several times.
pub(in crate::store) trait Place: Sync {
    /// Opens the store of the group CORP there.
    fn open(&self) -> AnyStore;
    /// Runs a statement on the store's tables, past farpost.
    fn execute(&self, sql: &str);
    /// The text that a query answers.
    fn text(&self, sql: &str) -> String;
}

/// A file in a directory of its own.
pub(in crate::store) struct SqlitePlace {
    _directory: TempDir,
    path: PathBuf,
}

impl SqlitePlace {
    pub(in crate::store) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("group.db");
        Self { _directory: directory, path }
    }
}

impl Place for SqlitePlace {
    fn open(&self) -> AnyStore {
        Box::new(SqliteStore::open(&self.path, Some("CORP")).unwrap())
    }

    fn execute(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    fn text(&self, sql: &str) -> String {
        rusqlite::Connection::open(&self.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

#[cfg(feature = "postgres")]
#[path = "../../../tests/common/postgres.rs"]
pub(in crate::store) mod cluster;

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::OnceLock;

    use super::Place;
    use super::cluster::Cluster;
    use crate::store::PostgresStore;
    use crate::store::tests::AnyStore;

    /// A database of its own in the cluster that this process shares.
    pub(in crate::store) struct PostgresPlace {
        pub(in crate::store) cluster: &'static Cluster,
        pub(in crate::store) database: String,
    }

    impl PostgresPlace {
        /// `None` where PostgreSQL is not installed.
        pub(in crate::store) fn new() -> Option<Self> {
            static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
            let cluster = SHARED.get_or_init(|| Cluster::start("")).as_ref()?;
            Some(Self { cluster, database: cluster.database() })
        }

        pub(in crate::store) fn url(&self) -> String {
            self.cluster.url(&self.database)
        }
    }

    impl Place for PostgresPlace {
        fn open(&self) -> AnyStore {
            Box::new(PostgresStore::open(&self.url(), Some("CORP")).unwrap())
        }

        fn execute(&self, sql: &str) {
            self.cluster.sql(&self.database, sql);
        }

        fn text(&self, sql: &str) -> String {
            self.cluster.sql(&self.database, sql)
        }
    }
}
