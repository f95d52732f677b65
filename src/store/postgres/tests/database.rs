//! The database: made, shared, refused, foreign; its TLS.

use std::process::Command;

use super::*;
use crate::store::asking::Asking as _;
use crate::store::tests::Cluster;

#[test]
fn a_new_store_keeps_its_identity_and_belongs_to_one_group() {
    let Some(place) = PostgresPlace::new() else { return };
    assert_eq!(code(try_open(&place, None)), Code::StoreUnavailable);
    assert_eq!(code(try_open(&place, Some("a\nb"))), Code::ConfigBadValue);
    assert_eq!(place.text("SELECT count(*) FROM pg_namespace WHERE nspname = 'farpost'"), "0", "undone as a whole");
    let mut store = try_open(&place, Some("CORP")).unwrap();
    let identity = (store.group().unwrap(), store.assignment_key().unwrap(), store.challenge_secret().unwrap());
    assert_eq!(identity.0, "CORP");
    let mut again = try_open(&place, None).unwrap();
    assert_eq!(identity, (again.group().unwrap(), again.assignment_key().unwrap(), again.challenge_secret().unwrap()));
    let error = try_open(&place, Some("corp")).err().unwrap();
    assert_eq!((error.code(), error.found_text(), error.expected_text()), (Code::GroupMismatch, "CORP", "corp"));
    assert!(error.subject_text().starts_with("postgres://farpost@/"), "{error}");
}

#[test]
fn processes_that_make_one_store_at_once_make_one_group() {
    let Some(place) = PostgresPlace::new() else { return };
    let keys: Vec<_> = std::thread::scope(|scope| {
        let open = || try_open(&place, Some("CORP")).unwrap().assignment_key().unwrap();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(place.text("SELECT count(*) FROM versions"), schema::MIGRATIONS.len().to_string());
}

#[test]
fn the_tables_of_a_released_version_never_change() {
    // Whoever changes a version's text breaks every store that is out there: a new migration is the way.
    let sums: Vec<u32> = schema::MIGRATIONS.iter().take(1).map(|text| crc32c::crc32c(text.as_bytes())).collect();
    assert_eq!(sums, [1_500_790_353]);
}

#[test]
fn a_newer_releases_store_another_programs_schema_and_a_missing_database_are_left_alone() {
    let Some(place) = PostgresPlace::new() else { return };
    drop(place.open());
    place.execute("INSERT INTO versions VALUES (99, now())");
    let error = try_open(&place, Some("CORP")).err().unwrap();
    assert_eq!((error.code(), error.found_text()), (Code::StoreNewer, "version 99"));
    let Some(place) = PostgresPlace::new() else { return };
    place.execute("CREATE SCHEMA farpost; CREATE TABLE farpost.mine (x int)");
    assert_eq!(code(try_open(&place, Some("CORP"))), Code::StoreUnavailable);
    assert_eq!(place.text("SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'farpost'"), "mine");
    let missing = PostgresStore::open(&place.cluster.url("nowhere"), Some("CORP")).err().unwrap();
    assert_eq!(missing.code(), Code::StoreUnavailable);
    assert!(missing.found_text().contains("nowhere"), "{missing}");
}

#[test]
fn a_value_that_farpost_did_not_write_is_corrupt() {
    for damage in ["name = '../x'", "state = 'king'", "key_hash = '\\x00'"] {
        let Some(place) = PostgresPlace::new() else { return };
        let mut store = place.open();
        store.approve_agent(&name("pc7"), at(1)).unwrap();
        place.execute(&format!("UPDATE agents SET {damage}"));
        assert_eq!(code(store.agents()), Code::StoreCorrupt, "{damage}");
    }
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = place.open();
    place.execute("DROP TABLE agents");
    assert_eq!(code(store.agents()), Code::StoreCorrupt);
    for damage in ["signing_key = '\\x00'", "challenge_secret = '\\x00'", "name = repeat('x', 999)"] {
        place.execute(&format!("UPDATE management_group SET {damage}"));
        assert_eq!(code(try_open(&place, None)), Code::StoreCorrupt, "{damage}");
    }
}

#[test]
fn a_user_without_privileges_is_told_so_and_one_that_owns_the_schema_needs_no_more() {
    let Some(place) = PostgresPlace::new() else { return };
    let user = format!("plain_{}", place.database);
    place.execute(&format!("CREATE USER {user}"));
    let url = place.url().replace("user=farpost", &format!("user={user}"));
    assert_eq!(code(PostgresStore::open(&url, Some("CORP"))), Code::StoreForbidden);
    place.execute(&format!("CREATE SCHEMA farpost AUTHORIZATION {user}"));
    let mut store = PostgresStore::open(&url, Some("CORP")).unwrap();
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    place.execute(&format!("REVOKE UPDATE, INSERT ON agents FROM {user}"));
    assert_eq!(code(store.approve_agent(&name("pc8"), at(1))), Code::StoreForbidden);
    assert_eq!(store.agents().unwrap().len(), 1, "the connection goes on after a refusal");
}

#[test]
fn d4_what_is_acknowledged_is_on_disk_whatever_the_databases_default_is() {
    let Some(place) = PostgresPlace::new() else { return };
    place.execute(&format!(
        "ALTER DATABASE {} SET synchronous_commit = off; ALTER DATABASE {0} SET default_transaction_isolation = serializable",
        place.database
    ));
    let mut store = try_open(&place, Some("CORP")).unwrap();
    let of_transaction = |records: &mut Transaction<'_>, sql: &'static str| -> Result<String> {
        let row = connection::only(records.query(sql, &[])?)?;
        records.get(&row, 0)
    };
    let Postgres { connector, target, .. } = &mut store.engine;
    let level = connector
        .write(target, |records| of_transaction(records, "SELECT current_setting('transaction_isolation')"))
        .unwrap();
    let commit = connector
        .read(target, |records| of_transaction(records, "SELECT current_setting('synchronous_commit')"))
        .unwrap();
    assert_eq!((level.as_str(), commit.as_str()), ("read committed", "on"));
}

/// A cluster with a certificate for `localhost` that the CA in `ca.pem` signed, and a password for TCP.
fn encrypted() -> Option<Cluster> {
    let cluster = Cluster::start("")?;
    cluster.stop("fast");
    let openssl = |arguments: &str| {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = Command::new("openssl").current_dir(cluster.path("")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=CA \
         -addext basicConstraints=critical,CA:TRUE",
    );
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout pg.key -out pg.csr -subj /CN=localhost");
    std::fs::write(cluster.path("extensions"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl("x509 -req -in pg.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out pg.pem");
    let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(cluster.path("data/pg_hba.conf"), access).unwrap();
    if nix::unistd::geteuid().is_root() {
        assert!(Command::new("chown").arg("postgres").arg(cluster.path("pg.key")).status().unwrap().success());
    }
    cluster.start_again(&format!(
        "-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}",
        cluster.path("pg.pem"),
        cluster.path("pg.key")
    ));
    cluster.sql("postgres", "SET password_encryption = 'scram-sha-256'; ALTER USER farpost PASSWORD 'hunter2'");
    Some(cluster)
}

#[test]
fn the_databases_certificate_and_name_are_verified_and_a_wrong_password_is_told() {
    let Some(cluster) = encrypted() else { return };
    let secret = |text: &str| {
        let path = cluster.path(&format!("password-{}", text.len()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let open = |host: &str, anchors: &str, password: &str| {
        let (port, database, file) = (cluster.port, cluster.database(), secret(password));
        let query = format!(
            "sslmode=verify-full&channel_binding=require&sslrootcert={}&password_file={file}",
            cluster.path(anchors)
        );
        PostgresStore::open(&format!("postgres://farpost@{host}:{port}/{database}?{query}"), Some("CORP"))
    };
    let mut store = open("localhost", "ca.pem", "hunter2").unwrap();
    let Postgres { connector, target, .. } = &mut store.engine;
    let encrypted = connector.read(target, |records| {
        let sql = "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl AND version = 'TLSv1.3'";
        let row = connection::only(records.query(sql, &[])?)?;
        records.get::<i64>(&row, 0)
    });
    assert_eq!(encrypted.unwrap(), 1);
    let wrong_name = open("127.0.0.1", "ca.pem", "hunter2").err().unwrap();
    assert_eq!(wrong_name.code(), Code::StoreUntrusted, "{wrong_name}");
    // The certificate itself is no anchor that leads to a CA of another name.
    let other = Command::new("openssl")
        .current_dir(cluster.path(""))
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout o.key -out o.pem -days 2 -subj /CN=O"
                .split(' '),
        )
        .output()
        .unwrap();
    assert!(other.status.success());
    assert_eq!(code(open("localhost", "o.pem", "hunter2")), Code::StoreUntrusted);
    let wrong_password = open("localhost", "ca.pem", "wrong").err().unwrap();
    assert_eq!(wrong_password.code(), Code::StoreLoginFailed, "{wrong_password}");
    assert!(!wrong_password.to_string().contains("wrong\""), "{wrong_password}");
    // A password that changed is read from its file when the connection is made again.
    let mut store = open("localhost", "ca.pem", "hunter2").unwrap();
    cluster.sql("postgres", "ALTER USER farpost PASSWORD 'hunter3'");
    let cut =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'farpost' AND pid <> pg_backend_pid()";
    cluster.sql("postgres", cut);
    assert_eq!(code(store.change()), Code::StoreLoginFailed);
    std::fs::write(cluster.path("password-7"), "hunter3").unwrap();
    eventually("the new password is used", || store.change().is_ok());
    let plain = format!("postgres://farpost@localhost:{}/postgres?sslmode=disable", cluster.port);
    assert_eq!(code(PostgresStore::open(&plain, Some("CORP"))), Code::StoreLoginFailed);
}
