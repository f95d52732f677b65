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
    /// The engine, as golden files are named after it.
    fn engine(&self) -> &'static str;
    /// Where the store is, for another process.
    fn url(&self) -> String;
    /// Another place on the same engine, empty.
    fn another(&self) -> Box<dyn Place>;
    /// The schema and all rows, as statements that make the same store elsewhere.
    fn dump(&self) -> String;
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

    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self::new())
    }

    fn dump(&self) -> String {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut select = connection.prepare(sql).unwrap();
            let rows = select.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let pragma =
            |name| format!("PRAGMA {name} = {};\n", texts(&format!("SELECT {name} || '' FROM pragma_{name}"))[0]);
        let mut out = pragma("application_id") + &pragma("user_version");
        for sql in texts("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'") {
            out += &format!("{sql};\n");
        }
        for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
            let columns = texts(&format!("SELECT '\"' || name || '\"' FROM pragma_table_info('{table}')"));
            let quoted: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
            let (all, order) = (quoted.join(" || ', ' || "), columns.join(", "));
            for row in texts(&format!("SELECT {all} FROM {table} ORDER BY {order}")) {
                out += &format!("INSERT INTO {table} VALUES ({row});\n");
            }
        }
        out
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
            // What is measured is measured on the disk.
            let options = if std::env::var_os("FARPOST_MEASURE").is_some() { "-c fsync=on" } else { "" };
            static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
            let cluster = SHARED.get_or_init(|| Cluster::start(options)).as_ref()?;
            Some(Self::in_cluster(cluster))
        }

        pub(in crate::store) fn in_cluster(cluster: &'static Cluster) -> Self {
            Self { cluster, database: cluster.database() }
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

        fn engine(&self) -> &'static str {
            "postgres"
        }

        fn url(&self) -> String {
            self.cluster.url(&self.database)
        }

        fn another(&self) -> Box<dyn Place> {
            Box::new(Self::new().unwrap())
        }

        fn dump(&self) -> String {
            let arguments = ["--schema=farpost", "--inserts", "--no-owner", "--no-privileges"];
            let text = self.cluster.tool("pg_dump", &self.database, &arguments);
            // What is left out is about the session that runs it, or about pg_dump itself.
            let is_left_out = |line: &&str| ["--", "SET ", "\\"].iter().any(|start| line.starts_with(start));
            let lines = text.lines().filter(|line| !line.is_empty() && !is_left_out(line));
            lines.map(|line| format!("{line}\n")).collect()
        }
    }
}
