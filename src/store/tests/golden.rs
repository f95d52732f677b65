//! Stores as earlier releases wrote them: `tests/golden/store/ENGINE-VERSION.sql`, a file per version of the tables,
//! all with the rows of `rows.txt`. A release that changes the tables adds a file and never touches those that are
//! there: `FARPOST_WRITE_GOLDENS=1 cargo test --lib golden` writes what is missing. The keys in them were made for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::group::{TokenAnswer, TokenHash, TokenRecord, TokenUse};
use crate::store::PostgresStore;
use crate::store::SqliteStore;
#[cfg(feature = "postgres")]
use crate::store::asking::Asking as _;

on_every_engine! {
    a_store_of_every_release_opens_with_every_row_that_it_had,
    a_store_of_every_release_goes_on_where_it_was,
    a_store_newer_than_this_release_is_refused_and_left_as_it_is,
    of_processes_that_open_an_old_store_at_once_one_migrates_it_and_all_work,
    the_golden_of_this_release_is_written_where_it_is_missing,
}

/// When the stores were written, in 2026; all times in them count from here.
const WRITTEN: i64 = 1_795_000_000_000;
/// The fence of pc1's newest session in them.
const FENCE: u64 = 2;
/// A free text that would end a pasted statement.
const SOFTWARE: &str = "farpost 0.1 \"O'Brien\"; DROP TABLE agents; --";

/// One golden file.
struct Golden {
    version: u32,
    sql: String,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store")
}

/// All of an engine, the oldest first.
fn goldens(engine: &str) -> Vec<Golden> {
    let golden = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let version = path.file_stem()?.to_str()?.strip_prefix(engine)?.strip_prefix('-')?.parse().unwrap();
        Some(Golden { version, sql: std::fs::read_to_string(path).unwrap() })
    };
    let mut goldens: Vec<_> = std::fs::read_dir(directory()).unwrap().filter_map(golden).collect();
    goldens.sort_by_key(|golden| golden.version);
    assert!(!goldens.is_empty(), "no golden store for {engine}");
    goldens
}

/// Places with a golden store each.
fn loaded(place: &dyn Place) -> impl Iterator<Item = (Golden, Box<dyn Place>)> {
    goldens(place.engine()).into_iter().map(|golden| {
        let place = place.another();
        place.execute(&golden.sql);
        assert_eq!(version(&*place), golden.version);
        (golden, place)
    })
}

/// The version of a store's tables.
fn version(place: &dyn Place) -> u32 {
    let sql = if place.engine() == "sqlite" {
        "SELECT user_version || '' FROM pragma_user_version"
    } else {
        "SELECT max(version) FROM farpost.versions"
    };
    place.text(sql).parse().unwrap()
}

fn newest_version(place: &dyn Place) -> u32 {
    let place = place.another();
    drop(place.open());
    version(&*place)
}

fn then(millis: i64) -> Timestamp {
    at(WRITTEN + millis)
}

fn knocking(role: Role, who: &str, via: Option<&str>, key: u8, when: i64) -> Knock {
    Knock { key: KeyHash([key; 32]), software: SOFTWARE.to_owned(), ..knock(role, who, via, WRITTEN + when) }
}

/// Writes what a golden store has; only ever run by the release that adds one.
fn populate(place: &dyn Place) {
    let mut store = place.open();
    for (server, address) in [("ms1", "0.0.0.0:5723"), ("ms2", "[::]:5723"), ("ms3", "10.0.0.3:5723 \"O'Brien\"")] {
        store.register_server(&name(server), address, then(1)).unwrap();
    }
    store.set_server_excluded(&name("ms3"), true).unwrap();
    let knocks = [
        knocking(Role::Gateway, "gw1", None, 1, 10),
        knocking(Role::Gateway, "gw3", None, 3, 11),
        knocking(Role::Gateway, "gw4", None, 4, 12),
    ];
    store.authorise(&knocks).unwrap();
    for (gateway, server) in [("gw1", "ms1"), ("gw2", "ms2"), ("gw4", "ms1")] {
        store.approve_gateway(&name(gateway), &name(server), then(20)).unwrap();
    }
    let assigned = |primary: &str, failover: &str| Assignment::primary(primary).unwrap().failover(failover).unwrap();
    store.assign(&name("gw1"), &assigned("ms1:5723", "ms2:5724")).unwrap();
    store.assign(&name("gw1"), &assigned("ms2:5724", "ms1:5723")).unwrap();
    store.assign(&name("gw4"), &assigned("ms1", "ms2")).unwrap();
    store.delete_gateway(&name("gw4")).unwrap();
    let agents = [("pc1", Some("gw1")), ("pc3", Some("gw1")), ("pc4", None), ("pc5", Some("gw1"))];
    for (number, (agent, via)) in (1..).zip(agents) {
        store.authorise(&[knocking(Role::Agent, agent, via, 10 + number, 30)]).unwrap();
    }
    for agent in ["pc1", "pc2", "pc4"] {
        store.approve_agent(&name(agent), then(40)).unwrap();
    }
    store.reject_agent(&name("pc5"), then(41)).unwrap();
    store.authorise(&[knocking(Role::Agent, "pc1", Some("gw1"), 99, 42)]).unwrap();
    store.assign(&name("pc1"), &assigned("gw1", "gw2")).unwrap();
    store.set_unknown_agents(UnknownAgents::Reject).unwrap();
    deliver(&mut store);
    tokens_and_down(&mut store);
}

/// Two epochs of pc1, one of pc4; messages and a gap of both.
fn deliver(store: &mut AnyStore) {
    let opened = |agent: &str, epoch| SessionRequest { at: then(50), ..request(agent, epoch, 1, 1) };
    let (large, direct) = (u64::MAX - 1, SessionRequest { via: None, ..opened("pc4", 8) });
    let old = fence(store, &opened("pc1", 7));
    store.commit(&[write("pc1", 7, old, 3)], &[run(0, "pc1", 7, 1..=3)]).unwrap();
    assert_eq!(fence(store, &opened("pc1", large)), FENCE);
    let of_pc4 = fence(store, &direct);
    let gap = Gap { first: Sequence(3), last: Sequence(9), reason: Code::QueueDropped };
    let runs = [
        run(0, "pc1", large, 1..=2),
        StoredRun { via: Vec::new(), ..run(1, "pc4", 8, 1..=2) },
        StoredRun { content: Content::Gap(gap), ..run(0, "pc1", large, 1..=1) },
    ];
    store.commit(&[write("pc1", large, FENCE, 9), write("pc4", 8, of_pc4, 2)], &runs).unwrap();
    let output = OutputPosition { server: name("ms1"), path: "/var/lib/O'Brien.jsonl".to_owned(), length: 1 << 40 };
    store.commit_with_output(&[write("pc4", 8, of_pc4, 5)], &output).unwrap();
}

fn tokens_and_down(store: &mut AnyStore) {
    for (number, payload) in (1..).zip([&b"one"[..], &[0, 0xff, b'\''], b"three"]) {
        assert_eq!(store.send_down(&name("pc1"), payload, then(60)).unwrap(), number);
    }
    store.down_delivered(&name("pc1"), FENCE, 1, then(120)).unwrap();
    let token = |hash: u8, who: &str| TokenRecord {
        name: name(who),
        role: Role::Agent,
        via: Some(name("gw1")),
        created: then(70),
        expires: then(3_600_070),
        used: None,
        hash: TokenHash([hash; 32]),
        request: None,
    };
    store.create_token(&token(1, "pc6")).unwrap();
    store.create_token(&TokenRecord { via: None, role: Role::Gateway, ..token(2, "gw6") }).unwrap();
    store.use_token(&use_of(1)).unwrap();
}

fn use_of(hash: u8) -> TokenUse {
    let (role, via) = if hash == 1 { (Role::Agent, Some(name("gw1"))) } else { (Role::Gateway, None) };
    let who = name(if hash == 1 { "pc6" } else { "gw6" });
    TokenUse { hash: TokenHash([hash; 32]), name: who, role, via, request: [9; 32], at: then(80) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// Milliseconds since the store was written.
fn since(time: Timestamp) -> i64 {
    time.unix_millis() - WRITTEN
}

/// All that a store of that time can be asked for, a line each; signatures are verified on the way (rule G6).
fn rows(store: &mut AnyStore) -> String {
    let mut out = String::new();
    let (group, key) = (store.group().unwrap(), store.assignment_key().unwrap());
    let (secret, unknown) = (hex(&store.challenge_secret().unwrap()), store.unknown_agents().unwrap());
    let _ = writeln!(out, "group {group} change {} secret {secret} unknown {unknown:?}", store.change().unwrap());
    for one in store.servers().unwrap() {
        let _ = writeln!(out, "server {} {} {} {}", one.name, one.address, one.excluded, since(one.last_seen));
    }
    macro_rules! node {
        ($word:literal, $one:ident, $parent:expr) => {
            let _ = writeln!(
                out,
                concat!($word, " {} {:?} parent {} via {} at {} from {} by {} seen {} to {} key {} changed {}"),
                $one.name,
                $one.state,
                $parent,
                or_none($one.via),
                or_none($one.server),
                $one.address,
                $one.software,
                since($one.first_seen),
                since($one.last_seen),
                $one.key.map_or("-".to_owned(), |key| hex(&key.0[..2])),
                or_none($one.key_changed.map(since)),
            );
        };
    }
    for one in store.gateways().unwrap() {
        node!("gateway", one, or_none(one.parent));
    }
    for one in store.agents().unwrap() {
        node!("agent", one, "-");
    }
    for record in store.assignments().unwrap() {
        let upstreams: Vec<_> = record.assignment.upstreams().map(ToString::to_string).collect();
        let signed = store.signed_assignments(std::slice::from_ref(&record.node)).unwrap().pop().unwrap().unwrap();
        let (version, assignment) = key.verify(&group, &record.node, &signed).unwrap();
        assert_eq!((version, assignment), (record.version, Some(record.assignment.clone())));
        let _ = writeln!(out, "assignment {} {version} {}", record.node, upstreams.join(" "));
    }
    for (agent, epoch, through) in store.cursors().unwrap() {
        let _ = writeln!(out, "cursor {agent} {epoch} {through}");
    }
    out + &output_rows(store)
}

/// What was delivered up and is to be delivered down.
fn output_rows(store: &mut AnyStore) -> String {
    let mut out = String::new();
    for one in store.deliveries(0, 100).unwrap() {
        let via: Vec<_> = one.via.iter().map(Name::as_str).collect();
        let (sent, payload) = (one.sent.unix_millis(), String::from_utf8_lossy(&one.payload));
        let (number, received, via) = (one.number, since(one.received), via.join(","));
        let _ = writeln!(
            out,
            "delivery {number} {} via {via} {} {} {:?} sent {sent} received {received}: {payload}",
            one.agent, one.epoch, one.sequence, one.priority,
        );
    }
    for one in store.gaps(0, 100).unwrap() {
        let gap = one.gap;
        let (of, received) = (format!("{} {}", one.number, one.agent), since(one.received));
        let _ = writeln!(
            out,
            "gap {of} {} {}-{} {} received {received}",
            one.epoch,
            gap.first,
            gap.last,
            gap.reason.number()
        );
    }
    for agent in store.down_waiting().unwrap() {
        for one in store.down_messages(&agent, FENCE, (0, 100), then(120)).unwrap() {
            let _ = writeln!(out, "down {agent} {} sent {} {}", one.number, since(one.sent), hex(&one.payload));
        }
    }
    let position = store.output_position(&name("ms1"), "/var/lib/O'Brien.jsonl").unwrap();
    let _ = writeln!(out, "output {}", or_none(position));
    for one in store.tokens().unwrap() {
        let _ = writeln!(
            out,
            "token {} {} via {} created {} expires {} used {} hash {} request {}",
            one.name,
            one.role,
            or_none(one.via),
            since(one.created),
            since(one.expires),
            or_none(one.used.map(since)),
            hex(&one.hash.0[..2]),
            one.request.map_or("-".to_owned(), |request| hex(&request[..2])),
        );
    }
    out
}

/// The lines of `rows.txt` that a store of this version has.
fn expected(place: &dyn Place, version: u32) -> String {
    let text = std::fs::read_to_string(directory().join("rows.txt")).unwrap();
    let had_tokens = place.engine() != "sqlite" || version > 1;
    text.lines().filter(|line| had_tokens || !line.starts_with("token ")).map(|line| format!("{line}\n")).collect()
}

fn a_store_of_every_release_opens_with_every_row_that_it_had(place: &dyn Place) {
    let newest = newest_version(place);
    for (golden, place) in loaded(place) {
        let found = rows(&mut place.open());
        let wanted = expected(&*place, golden.version);
        for (found, wanted) in found.lines().zip(wanted.lines()) {
            assert_eq!(found, wanted, "version {}", golden.version);
        }
        assert_eq!(found.lines().count(), wanted.lines().count(), "version {}: {found}", golden.version);
        assert_eq!(version(&*place), newest, "version {}", golden.version);
        assert_eq!(rows(&mut place.open()), wanted, "and once more, with nothing to migrate");
    }
}

fn a_store_of_every_release_goes_on_where_it_was(place: &dyn Place) {
    for (golden, place) in loaded(place) {
        let mut store = place.open();
        let change = store.change().unwrap();
        assert_eq!(ask(&mut store, &knocking(Role::Agent, "pc1", Some("gw1"), 99, 100)), "agent");
        assert_eq!(ask(&mut store, &knocking(Role::Agent, "pc5", Some("gw1"), 14, 100)), "refused NameRejected");
        assert_eq!(ask(&mut store, &knocking(Role::Agent, "pc9", Some("gw1"), 1, 100)), "refused NameRejected");
        assert_eq!(ask(&mut store, &knocking(Role::Gateway, "gw3", None, 3, 100)), "pending GatewayPending");
        for agent in ["pc3", "pc5", "pc9"] {
            store.approve_agent(&name(agent), then(101)).unwrap();
            assert_eq!(ask(&mut store, &knocking(Role::Agent, agent, Some("gw1"), 1, 102)), "agent");
        }
        store.approve_gateway(&name("gw3"), &name("ms1"), then(103)).unwrap();
        store.approve_gateway(&name("gw4"), &name("ms1"), then(103)).unwrap();
        assert!(store.change().unwrap() > change, "version {}", golden.version);
        let excluded = Assignment::primary("ms1").unwrap().failover("ms3").unwrap();
        assert_eq!(store.assign(&name("gw1"), &excluded).unwrap_err().code(), Code::ServerExcluded);
        let primary = Assignment::primary("ms1").unwrap();
        for (gateway, version) in [("gw1", 3), ("gw4", 2)] {
            store.assign(&name(gateway), &primary).unwrap();
            let signed = store.signed_assignments(&[name(gateway)]).unwrap().pop().unwrap().unwrap();
            let of_group = store.assignment_key().unwrap().verify("CORP", &name(gateway), &signed).unwrap();
            assert_eq!(of_group, (version, Some(primary.clone())), "a withdrawn version counts as well");
        }
        goes_on_delivering(&mut store);
    }
}

/// Rules D1, D5, D8 and F5 hold across the releases.
fn goes_on_delivering(store: &mut AnyStore) {
    let epoch = u64::MAX - 1;
    // The session that was open while the release changed still holds its fence, and what it repeats is there already.
    let repeated = [run(0, "pc1", epoch, 1..=11)];
    let outcomes = store.commit(&[write("pc1", epoch, FENCE, 11)], &repeated).unwrap();
    assert_eq!(outcomes, [CursorOutcome::Written]);
    let next = SessionRequest { boot_first: Sequence(12), ..request("pc1", epoch, 2, 1) };
    assert_eq!(fence(store, &next), FENCE + 1);
    let writes = |fence| [write("pc1", epoch, fence, 12)];
    assert_eq!(store.commit(&writes(FENCE), &[]).unwrap(), [CursorOutcome::Fenced]);
    store.commit(&writes(FENCE + 1), &[run(0, "pc1", epoch, 12..=12)]).unwrap();
    let stored: Vec<_> = store.deliveries(7, 100).unwrap().iter().map(|one| (one.number, one.sequence.0)).collect();
    assert_eq!(stored, [(8, 10), (9, 11), (10, 12)]);
    let old = SessionRequest { boot_first: Sequence(2), ..request("pc1", 7, 2, 1) };
    let answer = store.open_sessions(&[old]).unwrap();
    assert!(matches!(answer[0], SessionAnswer::RolledBack { .. }), "{answer:?}");
    assert_eq!(store.send_down(&name("pc1"), b"four", then(110)).unwrap(), 4);
    store.down_delivered(&name("pc1"), FENCE + 1, 3, then(120)).unwrap();
    let down = store.down_messages(&name("pc1"), FENCE + 1, (0, 9), then(120)).unwrap();
    assert_eq!(down.iter().map(|one| one.number).collect::<Vec<_>>(), [4]);
    if store.tokens().unwrap().is_empty() {
        return;
    }
    assert_eq!(store.use_token(&use_of(1)).unwrap(), TokenAnswer::Again);
    assert_eq!(store.use_token(&TokenUse { request: [8; 32], ..use_of(1) }).unwrap_err().code(), Code::TokenUsed);
    assert_eq!(store.use_token(&use_of(2)).unwrap(), TokenAnswer::First);
}

/// Opens a store as another process would.
fn open_url(url: &str) -> crate::error::Result<AnyStore> {
    match url.strip_prefix("sqlite://") {
        Some(path) => Ok(Box::new(SqliteStore::open(path.as_ref(), None)?)),
        #[cfg(feature = "postgres")]
        None => Ok(Box::new(PostgresStore::open(url, None)?)),
        #[cfg(not(feature = "postgres"))]
        None => unreachable!("{url}"),
    }
}

fn a_store_newer_than_this_release_is_refused_and_left_as_it_is(place: &dyn Place) {
    let newer = newest_version(place) + 1;
    for (golden, place) in loaded(place) {
        place.execute(&if place.engine() == "sqlite" {
            format!("PRAGMA user_version = {newer}")
        } else {
            format!("INSERT INTO farpost.versions VALUES ({newer}, now())")
        });
        let before = place.dump();
        let error = open_url(&place.url()).err().unwrap();
        let said = (error.code(), error.found_text(), error.expected_text());
        let (found, expected) = (format!("version {newer}"), format!("version {} or less", newer - 1));
        assert_eq!(said, (Code::StoreNewer, found.as_str(), expected.as_str()), "version {}", golden.version);
        assert!(!error.subject_text().is_empty() && !error.remedy_text().is_empty(), "{error:?}");
        assert_eq!(place.dump(), before, "version {}", golden.version);
    }
}

pub(super) const URL: &str = "FARPOST_TEST_GOLDEN_STORE";

#[test]
fn child_that_opens_a_golden_store_and_approves() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut store = open_url(&url).unwrap();
    store.approve_agent(&name(&format!("child{}", std::process::id())), then(200)).unwrap();
    println!("approved {}", store.agents().unwrap().len());
}

fn of_processes_that_open_an_old_store_at_once_one_migrates_it_and_all_work(place: &dyn Place) {
    let newest = newest_version(place);
    for (golden, place) in loaded(place) {
        let start = |_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["child_that_opens_a_golden_store_and_approves", "--nocapture"]).env(URL, place.url());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..4).map(start).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && text.contains("approved "), "version {}: {text}", golden.version);
        }
        assert_eq!(version(&*place), newest);
        let mut store = place.open();
        assert_eq!(store.agents().unwrap().len(), 5 + 4);
        assert_eq!(delivered(&mut store), [1, 2, 3, 1, 2, 1, 2]);
    }
}

fn the_golden_of_this_release_is_written_where_it_is_missing(place: &dyn Place) {
    if std::env::var_os("FARPOST_WRITE_GOLDENS").is_none() {
        return;
    }
    populate(place);
    let bytes = if place.engine() == "sqlite" {
        format!("x'{}'", "09".repeat(32))
    } else {
        format!("'\\x{}'", "09".repeat(32))
    };
    place.execute(&format!("UPDATE management_group SET challenge_secret = {bytes}"));
    for table in ["deliveries", "gaps"] {
        place.execute(&format!("UPDATE {table} SET received = {}", WRITTEN + 55));
    }
    std::fs::create_dir_all(directory()).unwrap();
    let write = |name: String, text: String| {
        let path = directory().join(name);
        if !path.exists() {
            std::fs::write(path, text).unwrap();
        }
    };
    write(format!("{}-{}.sql", place.engine(), version(place)), place.dump());
    write("rows.txt".to_owned(), rows(&mut place.open()));
}
