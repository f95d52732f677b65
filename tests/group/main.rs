//! The commands of the management group as processes, on a store of their own.

mod audit;
mod deliveries;
mod errors;
mod inventory;
mod messages;
mod servers;
mod sites;

use std::process::{Command, Output};

use farpost::ManagementGroup;
use tempfile::TempDir;

/// A group's store in a directory of its own.
struct Group {
    directory: TempDir,
}

impl Group {
    fn new() -> Self {
        let group = Self { directory: tempfile::tempdir().unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { drop(ManagementGroup::open_new(&group.url(), "CORP").await.unwrap()) });
        group
    }

    fn url(&self) -> String {
        format!("sqlite://{}/group.db", self.directory.path().display())
    }

    /// As a management server does when it starts.
    fn register_server(&self, server: &str) {
        let store = rusqlite::Connection::open(self.directory.path().join("group.db")).unwrap();
        let sql = "INSERT INTO servers (name, address, excluded, last_seen) VALUES (?1, '0.0.0.0:5723', 0, 0)";
        store.execute(sql, [server]).unwrap();
    }

    /// As a management server does while it runs: it says so for so many milliseconds from now.
    fn renew_lease(&self, server: &str, for_ms: i64) {
        let store = rusqlite::Connection::open(self.directory.path().join("group.db")).unwrap();
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let sql = "INSERT OR REPLACE INTO leases (server, start, started, software, renewed, until)
             VALUES (?1, 7, ?2, 'farpost', ?2, ?3)";
        store.execute(sql, (server, now, now + for_ms)).unwrap();
    }

    /// Runs a command on the store.
    fn run(&self, command: &[&str]) -> Output {
        let mut farpost = Command::new(env!("CARGO_BIN_EXE_farpost"));
        farpost.args(command).args(["--store", &self.url()]).env_remove("SUDO_USER").output().unwrap()
    }

    /// Standard output of a command that succeeds.
    fn done(&self, command: &[&str]) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that must fail with status 1.
    fn refused(&self, command: &[&str]) -> String {
        let output = self.run(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}
