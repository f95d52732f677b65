use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::code::Code;
use crate::error::Error;
use crate::group::{AgentState, GatewayState, SessionGrant};
use crate::identity::KeyHash;
use crate::message::{Gap, Numbered, Priority};
use crate::role::Role;
use crate::store::{DOWN_PAYLOAD_BYTES_MAX, OutputPosition};
use crate::wire::Content;
use crate::wire::Run;

mod approvals;
mod crash;
mod files;
mod migrations;
mod sessions;
mod tokens;

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

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn knock(role: Role, who: &str, via: Option<&str>, when: i64) -> Knock {
    Knock {
        role,
        name: name(who),
        key: KeyHash([1; 32]),
        address: "10.0.0.7:50000".to_owned(),
        server: name("ms1"),
        via: via.map(name),
        software: "farpost".to_owned(),
        at: at(when),
    }
}

fn word(decision: &Decision) -> String {
    match decision {
        Decision::Approved(approved) => approved.role().to_string(),
        Decision::Pending(code) => format!("pending {code:?}"),
        Decision::Refused(error) => format!("refused {:?}", error.code()),
    }
}

fn ask(store: &mut SqliteStore, knock: &Knock) -> String {
    word(&store.authorise(std::slice::from_ref(knock)).unwrap()[0])
}

/// A new store of the group CORP with the servers ms1 and ms2.
fn store_with_servers(place: &Place) -> SqliteStore {
    let mut store = place.open();
    for server in ["ms1", "ms2"] {
        store.register_server(&name(server), "0.0.0.0:5723", at(1)).unwrap();
    }
    store
}

fn request(agent: &str, epoch: u64, boot: u64, connection: u64) -> SessionRequest {
    SessionRequest {
        agent: name(agent),
        epoch: Epoch(epoch),
        boot,
        nonce: boot * 10,
        connection,
        boot_first: Sequence(1),
        via: Some(name("gw1")),
        server: name("ms1"),
        at: at(1),
    }
}

fn fence(store: &mut SqliteStore, request: &SessionRequest) -> u64 {
    match &store.open_sessions(std::slice::from_ref(request)).unwrap()[0] {
        SessionAnswer::Granted(SessionGrant { fence, .. }) => *fence,
        answer => panic!("{answer:?}"),
    }
}

fn write(agent: &str, epoch: u64, fence: u64, through: u64) -> CursorWrite {
    CursorWrite { agent: name(agent), epoch: Epoch(epoch), fence, through: Sequence(through) }
}

fn run(write: usize, agent: &str, epoch: u64, sequences: std::ops::RangeInclusive<u64>) -> StoredRun {
    let message = |sequence| Numbered {
        sequence: Sequence(sequence),
        priority: Priority::Critical,
        sent: at(sequence as i64),
        payload: Bytes::from(format!("{agent} {sequence}")),
    };
    let messages: Vec<_> = sequences.map(message).collect();
    StoredRun {
        write,
        agent: name(agent),
        via: vec![name("gw1"), name("gw2")],
        epoch: Epoch(epoch),
        content: Content::Run(Run::of(&messages)),
    }
}

fn delivered(store: &mut SqliteStore) -> Vec<u64> {
    store.deliveries(0, usize::MAX).unwrap().iter().map(|delivery| delivery.sequence.0).collect()
}
