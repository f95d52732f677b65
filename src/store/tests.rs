//! What holds on every engine, tested on each: a test is a function of a place where a fresh store can be opened.

mod approvals;
mod audit;
mod cancelling;
pub(super) mod days;
mod down;
mod golden;
mod keys;
mod operators;
mod pace;
mod places;
pub(super) mod presence;
mod refusals;
mod rules;
mod servers;
mod sessions;
mod sites;
pub(super) mod tokens;

use bytes::Bytes;

use crate::code::Code;
use crate::group::{AgentState, GatewayState};
use crate::group::{
    Assignment, CursorOutcome, CursorWrite, Decision, Knock, SessionAnswer, SessionGrant, SessionRequest, UnknownAgents,
};
use crate::identity::KeyHash;
use crate::message::{Epoch, Gap, Numbered, Priority, Sequence};
use crate::name::Name;
use crate::role::Role;
use crate::store::asking::Asking as _;
use crate::store::group_store::GroupStore;
use crate::store::records::Engine;
use crate::store::{DOWN_PAYLOAD_BYTES_MAX, OutputPosition, Store, StoredRun};
use crate::time::Timestamp;
use crate::wire::{Content, Run};
pub(super) use places::{Place, SqlitePlace};
#[cfg(feature = "postgres")]
pub(super) use places::{PostgresPlace, cluster::Cluster};

/// A store of any engine.
pub(super) type AnyStore = Box<dyn Store>;

/// A boxed store, or one whose engine is known.
pub(super) trait AsStore {
    fn as_store(&mut self) -> &mut dyn Store;
}

impl AsStore for AnyStore {
    fn as_store(&mut self) -> &mut dyn Store {
        self.as_mut()
    }
}

impl<E: Engine> AsStore for GroupStore<E> {
    fn as_store(&mut self) -> &mut dyn Store {
        self
    }
}

/// Makes a test of each function on each engine.
macro_rules! on_every_engine {
    ($($test:ident,)*) => {
        mod on_sqlite {
            $(#[test] fn $test() { super::$test(&crate::store::tests::SqlitePlace::new()); })*
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[test] fn $test() {
                if let Some(place) = crate::store::tests::PostgresPlace::new() {
                    super::$test(&place);
                }
            })*
        }
    };
}
use on_every_engine;

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

pub(super) fn knock(role: Role, who: &str, via: Option<&str>, when: i64) -> Knock {
    Knock {
        role,
        name: name(who),
        key: KeyHash([1; 32]),
        issuer: KeyHash([9; 32]),
        is_in: false,
        address: "10.0.0.7:50000".to_owned(),
        server: name("ms1"),
        via: via.map(name),
        software: "farpost".to_owned(),
        at: at(when),
    }
}

pub(super) fn word(decision: &Decision) -> String {
    match decision {
        Decision::Approved(approved) => approved.role().to_string(),
        Decision::Pending(code) => format!("pending {code:?}"),
        Decision::Refused(error) => format!("refused {:?}", error.code()),
    }
}

pub(super) fn ask(store: &mut impl AsStore, knock: &Knock) -> String {
    word(&store.as_store().authorise(std::slice::from_ref(knock)).unwrap()[0])
}

/// A new store of the group CORP with the servers ms1 and ms2.
pub(super) fn store_with_servers(place: &dyn Place) -> AnyStore {
    with_servers(place.open())
}

pub(super) fn with_servers<S: AsStore>(mut store: S) -> S {
    for server in ["ms1", "ms2"] {
        store.as_store().register_server(&name(server), "0.0.0.0:5723", at(1)).unwrap();
    }
    store
}

pub(super) fn request(agent: &str, epoch: u64, boot: u64, connection: u64) -> SessionRequest {
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

pub(super) fn fence(store: &mut impl AsStore, request: &SessionRequest) -> u64 {
    match &store.as_store().open_sessions(std::slice::from_ref(request)).unwrap()[0] {
        SessionAnswer::Granted(SessionGrant { fence, .. }) => *fence,
        answer => panic!("{answer:?}"),
    }
}

pub(super) fn write(agent: &str, epoch: u64, fence: u64, through: u64) -> CursorWrite {
    CursorWrite { agent: name(agent), epoch: Epoch(epoch), fence, through: Sequence(through) }
}

pub(super) fn run(write: usize, agent: &str, epoch: u64, sequences: std::ops::RangeInclusive<u64>) -> StoredRun {
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

pub(super) fn delivered(store: &mut impl AsStore) -> Vec<u64> {
    store.as_store().deliveries(0, usize::MAX).unwrap().iter().map(|delivery| delivery.sequence.0).collect()
}
