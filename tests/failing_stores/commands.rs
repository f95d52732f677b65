//! Every command of the group on every store that fails: code, found, expected and remedy, a status that is not 0, and
//! nothing half done.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use farpost::ManagementGroup;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::golden;

/// Of each command that reads or changes the store one that works on the golden one.
pub(crate) const COMMANDS: [&str; 16] = [
    "approve --management-server-name ms1 --gateway-name gw9 --action create",
    "approve --gateway-name gw2 --action delete",
    "failover set --gateway gw1 --primary ms1 --failover ms2",
    "failover set --agent pc1 --primary gw1",
    "server set ms2 --excluded true",
    "server delete ms3",
    "agent list",
    "agent list --pending --json",
    "agent approve pc8 pc9",
    "agent reject pc2 pc5",
    "inventory",
    "inventory --json",
    "send --agent pc1 text",
    "token create --name pc9 --role agent --gateway gw1",
    "token list",
    "token delete --name gw6",
];

pub(crate) fn farpost(arguments: &[&str], store: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    command.args(arguments).args(["--store", store]).output().unwrap()
}

/// Runs all commands, a few at a time; each must fail with this code and say all that there is to say.
fn all_are_refused(store: &str, code: &str, about: &str) {
    all_are_refused_by(code, about, |arguments| farpost(arguments, store));
}

fn all_are_refused_by(code: &str, about: &str, run: impl Fn(&[&str]) -> Output + Sync) {
    let refused = |text: &&str| {
        let arguments: Vec<&str> = text.split(' ').collect();
        let output = run(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}: {said}");
        assert!(output.stdout.is_empty(), "{text}: {}", String::from_utf8_lossy(&output.stdout));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 4, "{text}: {said}");
        let first =
            [format!("{code} "), "  found     ".to_owned(), "  expected  ".to_owned(), "  remedy    ".to_owned()];
        for (line, start) in lines.iter().zip(&first) {
            assert!(line.starts_with(start) && line.len() > start.len(), "{text}: {said}");
        }
        assert!(said.contains(about), "{text}: nothing about \"{about}\": {said}");
    };
    std::thread::scope(|scope| {
        for some in COMMANDS.chunks(COMMANDS.len().div_ceil(3)) {
            scope.spawn(move || some.iter().for_each(refused));
        }
    });
    let arguments: Vec<&str> = COMMANDS[0].split(' ').collect();
    println!("{}", String::from_utf8_lossy(&run(&arguments).stderr));
}

/// A golden store in a directory of its own.
struct Store {
    directory: TempDir,
}

impl Store {
    fn new() -> Self {
        let store = Self { directory: tempfile::tempdir().unwrap() };
        store.connection().execute_batch(&golden("sqlite-2.sql")).unwrap();
        open_once(&store.url());
        store
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("group.db")
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    /// Every file of the directory.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap_or_default())
        };
        let mut files: Vec<_> = std::fs::read_dir(self.directory.path()).unwrap().map(read).collect();
        files.sort();
        files
    }

    /// Runs all commands, which change nothing; without `url` on this store.
    fn refuses_all(&self, code: &str, about: &str) {
        let before = self.files();
        all_are_refused(&self.url(), code, about);
        assert!(self.files() == before, "something changed in {}", self.directory.path().display());
    }
}

/// Brings a golden store to this release's version.
fn open_once(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ManagementGroup::open(url)).unwrap();
}

#[test]
fn every_command_works_on_the_store_that_is_damaged_for_the_others() {
    let store = Store::new();
    for text in COMMANDS {
        let output = farpost(&text.split(' ').collect::<Vec<_>>(), &store.url());
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let store = Store { directory: tempfile::tempdir().unwrap() };
    store.refuses_all("FP3016", "group.db");
    let below = store.path().join("below").join("group.db");
    all_are_refused(&format!("sqlite://{}", below.display()), "FP3016", "group.db");
    all_are_refused(&format!("sqlite://{}", store.directory.path().display()), "FP3016", "no file");
    std::fs::write(store.path(), "").unwrap();
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    all_are_refused(&store.url(), "FP3016", "an empty file");
}

#[test]
fn a_file_that_is_no_store_of_this_group_or_no_store_at_all_is_left_alone() {
    let store = Store { directory: tempfile::tempdir().unwrap() };
    std::fs::write(store.path(), "this is no database, and longer than a header of one hundred bytes ".repeat(20))
        .unwrap();
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    store.refuses_all("FP3018", "not a database");
    std::fs::remove_file(store.path()).unwrap();
    store.connection().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE mine (x)").unwrap();
    std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    store.refuses_all("FP3016", "another program");
}

#[test]
fn a_newer_and_a_damaged_store_are_left_as_they_are() {
    let store = Store::new();
    store.connection().execute_batch("PRAGMA user_version = 99").unwrap();
    store.refuses_all("FP3017", "version 99");
    let store = Store::new();
    let mut bytes = std::fs::read(store.path()).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(store.path(), bytes).unwrap();
    store.refuses_all("FP3018", "malformed");
}

#[test]
fn a_store_that_another_process_keeps_locked_is_waited_for_and_then_told() {
    let store = Store::new();
    let holder = store.connection();
    holder.execute_batch("BEGIN IMMEDIATE; UPDATE management_group SET change = 77").unwrap();
    let changing = |text: &&&str| !["list", "inventory"].iter().any(|word| text.contains(word));
    let refused = |text: &&str| {
        let output = farpost(&text.split(' ').collect::<Vec<_>>(), &store.url());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.starts_with("FP3019 "), "{text}: {said}");
        assert!(["found", "expected", "remedy"].iter().all(|part| said.contains(part)), "{text}: {said}");
    };
    std::thread::scope(|scope| {
        // All at once: each waits for its turn, then gives up.
        for text in COMMANDS.iter().filter(changing) {
            scope.spawn(move || refused(text));
        }
    });
    for text in COMMANDS.iter().filter(|text| !changing(text)) {
        let output = farpost(&text.split(' ').collect::<Vec<_>>(), &store.url());
        assert!(output.status.success(), "reading goes on: {text}: {}", String::from_utf8_lossy(&output.stderr));
    }
    holder.execute_batch("ROLLBACK").unwrap();
    let changed: i64 = holder.query_row("SELECT change FROM management_group", [], |row| row.get(0)).unwrap();
    assert_eq!(changed, 25, "the golden store's");
}

/// Runs a command in a name space of its own, after a shell command there that gets the directory as `$0`.
fn in_mounts(setup: &str, directory: &Path, arguments: &[&str], store: &str) -> Output {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("-r");
    }
    command.args(["-m", "sh", "-c", &format!("{setup} && exec \"$@\"")]).arg(directory);
    command.arg(env!("CARGO_BIN_EXE_farpost")).args(arguments).args(["--store", store]).output().unwrap()
}

#[test]
fn a_read_only_file_system_is_told_as_that() {
    const READ_ONLY: &str = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let store = Store::new();
    let probe = in_mounts(READ_ONLY, store.directory.path(), &["--version"], &store.url());
    if String::from_utf8_lossy(&probe.stderr).contains("mount") {
        println!("skipped: nothing can be mounted here: {}", String::from_utf8_lossy(&probe.stderr));
        return;
    }
    let before = store.files();
    all_are_refused_by("FP3016", "group.db", |arguments| {
        in_mounts(READ_ONLY, store.directory.path(), arguments, &store.url())
    });
    assert!(store.files() == before);
}

/// A golden store in a database of a cluster.
fn database(cluster: &Cluster) -> String {
    let database = cluster.database();
    cluster.sql(&database, &golden("postgres-1.sql"));
    open_once(&cluster.url(&database));
    database
}

#[test]
fn a_database_that_cannot_be_reached_or_does_not_exist_is_told() {
    let Some(cluster) = Cluster::start("") else { return };
    let database = database(&cluster);
    for text in COMMANDS {
        let output = farpost(&text.split(' ').collect::<Vec<_>>(), &cluster.url(&database));
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    }
    all_are_refused(&cluster.url("nowhere"), "FP3016", "nowhere");
    let empty = cluster.database();
    all_are_refused(&cluster.url(&empty), "FP3016", "without a group store");
    assert_eq!(cluster.sql(&empty, "SELECT count(*) FROM pg_namespace WHERE nspname = 'farpost'"), "0");
    cluster.stop("immediate");
    all_are_refused(&format!("postgres://farpost@127.0.0.1:{}/{database}", cluster.port), "FP3016", "refused");
}

#[test]
fn a_newer_a_damaged_and_a_forbidden_database_are_left_as_they_are() {
    let Some(cluster) = Cluster::start("") else { return };
    let spoil = [
        ("INSERT INTO versions VALUES (99, now())", "FP3017", "version 99"),
        ("UPDATE management_group SET signing_key = '\\x00'", "FP3018", ""),
    ];
    for (sql, code, about) in spoil {
        let database = database(&cluster);
        cluster.sql(&database, sql);
        let dump = || {
            let text = cluster.tool("pg_dump", &database, &["--schema=farpost", "--inserts"]);
            text.lines().filter(|line| !line.starts_with('\\')).collect::<String>()
        };
        let before = dump();
        all_are_refused(&cluster.url(&database), code, about);
        assert_eq!(dump(), before);
    }
    let database = database(&cluster);
    cluster.sql(&database, "CREATE USER stranger");
    let url = cluster.url(&database).replace("user=farpost", "user=stranger");
    all_are_refused(&url, "FP3032", "permission denied");
}

#[test]
fn a_wrong_password_and_a_certificate_that_does_not_match_are_told() {
    let Some(cluster) = Cluster::start("") else { return };
    let database = database(&cluster);
    cluster.stop("fast");
    let authority = crate::pki::Certified::authority("CA");
    let server = authority.issue("localhost");
    let stranger = crate::pki::Certified::authority("Stranger");
    for (file, text) in
        [("pg.pem", server.pem()), ("pg.key", server.key_pem()), ("ca.pem", authority.pem()), ("o.pem", stranger.pem())]
    {
        std::fs::write(cluster.path(file), text).unwrap();
    }
    std::fs::set_permissions(cluster.path("pg.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::geteuid().is_root() {
        assert!(Command::new("chown").arg("postgres").arg(cluster.path("pg.key")).status().unwrap().success());
    }
    let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(cluster.path("data/pg_hba.conf"), access).unwrap();
    let (certificate, key) = (cluster.path("pg.pem"), cluster.path("pg.key"));
    cluster.start_again(&format!("-c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key}"));
    cluster.sql("postgres", "SET password_encryption = 'scram-sha-256'; ALTER USER farpost PASSWORD 'hunter2'");
    let url = |host: &str, anchors: &str, password: &str| {
        let file = cluster.path(&format!("password-{password}"));
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (port, anchors) = (cluster.port, cluster.path(anchors));
        format!(
            "postgres://farpost@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={anchors}&password_file={file}"
        )
    };
    let output = farpost(&["agent", "list"], &url("localhost", "ca.pem", "hunter2"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    all_are_refused(&url("localhost", "ca.pem", "hunter3"), "FP3031", "farpost");
    all_are_refused(&url("127.0.0.1", "ca.pem", "hunter2"), "FP3033", "127.0.0.1");
    all_are_refused(&url("localhost", "o.pem", "hunter2"), "FP3033", "localhost");
    let plain = format!("postgres://farpost@127.0.0.1:{}/{database}?sslmode=disable", cluster.port);
    all_are_refused(&plain, "FP3031", "no encryption");
}

#[test]
fn a_management_server_does_not_start_on_a_store_that_it_cannot_use_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let authority = crate::pki::Certified::authority("CA");
    let refuses = |url: &str, code: &str, about: &str| {
        crate::full::configure(directory.path(), &authority, url);
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let output =
            command.args(["management-server", "run", "--config"]).arg(directory.path().join("server.toml")).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let error = said.lines().position(|line| line.starts_with(code)).unwrap_or_else(|| panic!("{url}: {said}"));
        let parts: Vec<&str> = said.lines().skip(error + 1).collect();
        assert_eq!(output.status.code(), Some(1), "{url}: {said}");
        assert!(parts.len() == 3 && said.contains(about), "{url}: {said}");
        for (line, start) in parts.iter().zip(["  found ", "  expected ", "  remedy "]) {
            assert!(line.starts_with(start), "{url}: {said}");
        }
    };
    let spoilt = |sql: &str| {
        let store = Store::new();
        store.connection().execute_batch(sql).unwrap();
        store
    };
    let (newer, other) = (spoilt("PRAGMA user_version = 99"), spoilt("UPDATE management_group SET name = 'OTHER'"));
    refuses(&newer.url(), "FP3017", "version 99");
    refuses(&other.url(), "FP2015", "OTHER");
    refuses("sqlite:///nowhere/at/all/group.db", "FP3016", "/nowhere/at/all/group.db");
    refuses("sqlite:///proc/group.db", "FP3016", "/proc/group.db");
    refuses("postgres://farpost@127.0.0.1:1/group", "FP3016", "refused");
    let Some(cluster) = Cluster::start("") else { return };
    let database = database(&cluster);
    cluster.sql(&database, "INSERT INTO versions VALUES (99, now())");
    refuses(&cluster.url(&database), "FP3017", "version 99");
    refuses(&cluster.url("nowhere"), "FP3016", "nowhere");
}
