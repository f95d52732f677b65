//! Lost connections, restarts, collisions, and what is safe to repeat.

use super::*;
use crate::group::CursorOutcome;
use crate::limits::CHANGE_POLL;
use crate::store::asking::Asking as _;
use crate::store::tests::Cluster;

/// Ends every connection of farpost to a database, as an administrator or a crash of its backend does.
fn cut(place: &PostgresPlace) {
    place.cluster.sql(
        "postgres",
        &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", place.database),
    );
}

#[test]
fn a_call_after_the_connection_was_cut_is_run_on_a_new_one() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = place.open();
    for round in 1..=3 {
        cut(&place);
        store.approve_agent(&name(&format!("pc{round}")), at(round)).unwrap();
        cut(&place);
        assert_eq!(store.agents().unwrap().len() as i64, round);
    }
}

#[test]
fn a_server_that_is_gone_is_unavailable_at_once_and_used_again_when_it_is_back() {
    let Some(cluster) = Cluster::start("") else { return };
    let mut store = PostgresStore::open(&cluster.url(&cluster.database()), Some("CORP")).unwrap();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    cluster.stop("immediate");
    let since = Instant::now();
    for _ in 0..100 {
        assert_eq!(code(store.commit(&[write("pc7", 7, fence, 5)], &[])), Code::StoreUnavailable);
    }
    assert!(since.elapsed() < Duration::from_secs(5), "calls do not queue up behind a dead server");
    cluster.start_again("");
    eventually("the commit is taken", || {
        store.commit(&[write("pc7", 7, fence, 5)], &[run(0, "pc7", 7, 1..=5)]).is_ok()
    });
    assert_eq!(delivered(&mut store), [1, 2, 3, 4, 5]);
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_used_again_when_it_answers() {
    let Some(cluster) = Cluster::start("") else { return };
    // A shorter wait for a new connection than the default, of which this test says nothing.
    let url = format!("{}&connect_timeout=1", cluster.url(&cluster.database()));
    let mut store = PostgresStore::open(&url, Some("CORP")).unwrap();
    let processes = cluster.processes();
    let signal = |signal| {
        for pid in &processes {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal).unwrap();
        }
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    let since = Instant::now();
    let error = store.approve_agent(&name("pc7"), at(1)).unwrap_err();
    let took = since.elapsed();
    signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!((error.code(), error.found_text()), (Code::StoreUnavailable, "no answer in time"));
    assert!(took > Duration::from_secs(10) && took < Duration::from_secs(45), "{took:?}");
    eventually("it is used again", || store.approve_agent(&name("pc7"), at(1)).is_ok());
}

#[test]
fn d5a_a_commit_whose_answer_was_lost_may_be_repeated_and_stores_every_key_once() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    let fence = fence(&mut store, &request("pc7", 7, 1, 1));
    let writes = [write("pc7", 7, fence, 5)];
    let runs = [run(0, "pc7", 7, 1..=5)];
    // The connection dies between a COMMIT that is done and its answer: all that is left to the server is an error.
    place.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER die AFTER INSERT ON deliveries DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION die()",
    );
    let error = store.commit(&writes, &runs).unwrap_err();
    assert_eq!(error.code(), Code::StoreUnavailable, "{error}");
    assert!(error.expected_text().contains("may have been done, or not"), "{error}");
    place.execute("DROP TRIGGER die ON deliveries");
    // Whether it was done or not, the same again is right.
    for _ in 0..3 {
        eventually("the commit is taken", || {
            store.commit(&writes, &runs).is_ok_and(|outcomes| outcomes == [CursorOutcome::Written])
        });
        assert_eq!(delivered(&mut store), [1, 2, 3, 4, 5]);
    }
}

#[test]
fn transactions_in_each_others_way_are_run_again() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    place.execute(
        "CREATE SEQUENCE attempts;
         CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF nextval('farpost.attempts') < 4 THEN
                    RAISE EXCEPTION 'in the way' USING ERRCODE = 'serialization_failure';
                END IF; RETURN NULL; END $$;
         CREATE TRIGGER collide AFTER INSERT ON agents FOR EACH STATEMENT EXECUTE FUNCTION collide()",
    );
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(place.text("SELECT last_value FROM attempts"), "4");
    place.execute("ALTER SEQUENCE attempts RESTART MINVALUE -1000 START -1000; SELECT setval('attempts', -1000)");
    assert_eq!(code(store.approve_agent(&name("pc8"), at(1))), Code::StoreBusy, "but not for ever");
    assert_eq!(store.agents().unwrap().len(), 1);
}

#[test]
fn a_standby_is_no_store_and_what_became_one_is_left() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = place.open();
    place.cluster.sql("postgres", &format!("ALTER DATABASE {} SET default_transaction_read_only = on", place.database));
    cut(&place);
    let error = store.approve_agent(&name("pc7"), at(1)).unwrap_err();
    assert_eq!(error.code(), Code::StoreUnavailable, "{error}");
    place.cluster.sql("postgres", &format!("ALTER DATABASE {} RESET default_transaction_read_only", place.database));
    eventually("it is written again", || store.approve_agent(&name("pc7"), at(1)).is_ok());
}

/// A store on the first of two clusters, with its copy on the second: the standby as it would be by replication.
fn with_standby() -> Option<(PostgresStore, Cluster, Cluster, String)> {
    let (first, second) = (Cluster::start("")?, Cluster::start("")?);
    let (database, other) = (first.database(), second.database());
    second.sql("postgres", &format!("ALTER DATABASE {other} RENAME TO {database}"));
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
    let url = format!("postgres://farpost@{hosts}/{database}?connect_timeout=1");
    let mut store = PostgresStore::open(&url, Some("CORP")).unwrap();
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    let dump = first.path("dump.sql");
    std::fs::write(&dump, first.tool("pg_dump", &database, &[])).unwrap();
    second.tool("psql", &database, &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &dump]);
    Some((store, first, second, database))
}

#[test]
fn after_a_failover_the_other_address_of_the_connection_string_is_used() {
    let Some((mut store, first, second, database)) = with_standby() else { return };
    first.stop("immediate");
    eventually("the other one is used", || store.approve_agent(&name("pc8"), at(2)).is_ok());
    assert_eq!(second.sql(&database, "SELECT string_agg(name, ',' ORDER BY name) FROM agents"), "pc7,pc8");
}

#[test]
fn a_primary_that_hangs_does_not_hide_the_other_address() {
    let Some((mut store, first, second, database)) = with_standby() else { return };
    let processes = first.processes();
    let signal = |signal| {
        for pid in &processes {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal).unwrap();
        }
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    let answer = store.approve_agent(&name("pc8"), at(2));
    signal(nix::sys::signal::Signal::SIGCONT);
    answer.unwrap();
    assert_eq!(second.sql(&database, "SELECT string_agg(name, ',' ORDER BY name) FROM agents"), "pc7,pc8");
}

#[test]
fn a_panic_in_a_call_leaves_no_transaction_open() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = try_open(&place, Some("CORP")).unwrap();
    let broken = std::panic::AssertUnwindSafe(|| {
        store.engine.write(|records| -> Result<()> {
            records.lock_group()?;
            panic!("on purpose")
        })
    });
    assert!(std::panic::catch_unwind(broken).is_err());
    let mut other = place.open();
    other.approve_agent(&name("pc7"), at(1)).unwrap();
    assert_eq!(store.agents().unwrap().len(), 1);
}

/// Waits as those who follow the group do.
fn wait(changes: &mut Changes) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(changes.wait());
}

#[test]
fn g2_a_change_is_heard_at_once_and_again_after_the_listener_was_cut() {
    let Some(place) = PostgresPlace::new() else { return };
    let (mut store, mut other) = (place.open(), place.open());
    let mut changes = other.changes();
    for round in 1..=2 {
        // From when it hears itself on; until then the counter is looked at.
        eventually("a notice is heard", || {
            wait(&mut changes);
            matches!(&changes, Changes::Told(heard) if heard.borrow().is_listening)
        });
        store.approve_agent(&name(&format!("pc{round}")), at(round)).unwrap();
        let since = Instant::now();
        wait(&mut changes);
        assert!(since.elapsed() < CHANGE_POLL, "{:?} is no better than looking", since.elapsed());
        cut(&place);
        // The loss is told too, since notices may have been lost with the connection.
        wait(&mut changes);
    }
}

#[test]
fn g2_without_notices_the_change_counter_is_looked_at() {
    let Some(place) = PostgresPlace::new() else { return };
    let mut store = PostgresStore::open(&format!("{}&notify=off", place.url()), Some("CORP")).unwrap();
    let mut changes = store.changes();
    assert!(matches!(changes, Changes::Polled));
    let before = store.change().unwrap();
    store.approve_agent(&name("pc7"), at(1)).unwrap();
    wait(&mut changes);
    assert!(store.change().unwrap() > before);
}
