//! Two management servers on one PostgreSQL that is cut, killed and restarted while lines flow.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::installation::{AGENTS, Installation, SERVERS};
use crate::killing::{Writers, kill_and_restart};
use crate::{eventually, every_line_is_stored_once};

#[test]
fn d5_every_line_arrives_in_postgresql_once_and_in_order_whatever_happens_to_the_database() {
    let Some(cluster) = Cluster::start("") else { return };
    let database = cluster.database();
    let mut installation = Installation::on(cluster.url(&database), "store = true");
    let writers = Writers::start(installation.path());
    for agent in AGENTS {
        installation.start(agent);
    }
    let count = || cluster.sql(&database, "SELECT count(*) FROM deliveries").parse::<u64>().unwrap();
    let more = |what: &str| {
        let before = count();
        eventually(what, || if count() > before + 100 { Ok(()) } else { Err("nothing more arrives".to_owned()) });
    };
    more("lines flow");
    for round in 0..3 {
        cluster.sql("postgres", &format!("SELECT pg_terminate_backend(pid) {}", of(&database)));
        more("after a cut");
        kill_a_backend(&cluster, &database);
        std::thread::sleep(Duration::from_secs(1));
        more("after kill -9 of a backend");
        installation.node_named(SERVERS[round % 2]).kill();
        cluster.stop("immediate");
        std::thread::sleep(Duration::from_millis(500));
        cluster.start_again("");
        installation.start(SERVERS[round % 2]);
        more("after a crash of the cluster and of a server");
    }
    kill_and_restart(&mut installation);
    let (since, before) = (Instant::now(), committed(&cluster, &database));
    std::thread::sleep(Duration::from_secs(5));
    let rate = (committed(&cluster, &database) - before) as f64 / since.elapsed().as_secs_f64();
    println!("{rate:.1} transactions/s");
    assert!(rate < 50.0, "{rate} transactions/s");
    let written = writers.stop();
    println!("written {written:?}");
    every_line_is_stored_once(&installation, written);
    for server in SERVERS {
        let said = installation.node_named(server).said();
        // What a refused gateway is told with the same code has the gateway as its subject.
        let count =
            |code: &str| said.lines().filter(|line| line.contains(code) && line.contains(": postgres://")).count();
        let (failed, back) = (count("FP3016"), count("FP3030"));
        println!("{server}: {failed} times failed, {back} times back");
        // Nine outages, most told once; a server that was killed meanwhile does not tell the end.
        assert!(failed <= 12 && back <= failed, "{said}");
    }
}

fn of(database: &str) -> String {
    format!("FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()")
}

/// SIGKILL: the database server drops all connections and recovers.
fn kill_a_backend(cluster: &Cluster, database: &str) {
    let pid: i32 = cluster.sql("postgres", &format!("SELECT pid {} LIMIT 1", of(database))).parse().unwrap();
    assert!(cluster.processes().contains(&pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn committed(cluster: &Cluster, database: &str) -> i64 {
    let sql = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'");
    cluster.sql("postgres", &sql).parse().unwrap()
}
