//! Assignments in two phases and what a report says of upstreams, by hand: the test is the network and the group.

#![cfg(feature = "management-server")]

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::group::GroupKey;
use crate::identity::testing::{Issued, now as wall};
use crate::identity::{IdentityPolicy, verify_peer};
use crate::name::Name;
use crate::role::Role;
use crate::wire::{self, Assign, Body, Report, STATUS_ACCEPTED, Welcome, put_message};

const ME: &str = "gw1.branch.example";

pub(super) struct Lab {
    pub(super) uplink: Uplink,
    root: Issued,
    pub(super) now: Instant,
    pub(super) reachable: BTreeSet<&'static str>,
    /// The identity that dials show.
    pub(super) generation: u64,
    /// Nothing is on its way, so that a move can be made at once.
    pub(super) is_quiet: bool,
    saved: Vec<u64>,
    pub(super) events: Vec<Code>,
    links_lost: usize,
}

impl Lab {
    /// A gateway that is configured with one server, and is connected to it.
    pub(super) fn on(server: &'static str, reachable: &[&'static str]) -> Self {
        let me = Introduction {
            role: Role::Gateway,
            name: Name::parse(ME).unwrap(),
            group: "CORP".into(),
            software: "test".into(),
            heartbeat: Duration::from_secs(300),
            hello_timeout: Duration::from_secs(10),
        };
        let configured = assignment(&[server]);
        let config = UplinkConfig { me, timing: Timing::gateway(), configured, held: None, group_key: None, seed: 1 };
        let now = Instant::from_micros(1_000_000);
        let (root, reachable) = (Issued::root(|_| ()), reachable.iter().copied().collect());
        let uplink = Uplink::new(config, now);
        let (generation, is_quiet, saved, events) = (1, true, Vec::new(), Vec::new());
        let mut lab = Self { uplink, root, now, reachable, generation, is_quiet, saved, events, links_lost: 0 };
        lab.pass(1);
        assert_eq!(lab.used(), server);
        lab
    }

    /// Lets time pass; dials and moves are answered at once.
    pub(super) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now = self.now + Duration::from_millis(100);
            self.uplink.handle_timeout(self.now);
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        while let Some(output) = self.uplink.poll_output() {
            match output {
                UplinkOutput::Link(LinkEffect::Dial { link, upstream }) => self.answer(link, upstream.name().as_str()),
                UplinkOutput::MoveReady if self.is_quiet => self.uplink.complete_move(self.now),
                UplinkOutput::Gone => self.links_lost += 1,
                UplinkOutput::Save(signed, _) => self.saved.push(signed.version()),
                UplinkOutput::Event(event) => self.events.push(event.code),
                _ => {}
            }
        }
    }

    fn answer(&mut self, link: LinkId, server: &str) {
        let peer = self.peer(server);
        let shown = Shown { generation: self.generation, key: peer.key_hash() };
        let is_there = self.reachable.contains(server);
        let result = if is_there { Ok(peer) } else { Err(Error::new(Code::ConnectFailed).found("no route")) };
        self.uplink.handle(LinkInput::Dialled { link, result, shown }, self.now);
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            status: STATUS_ACCEPTED,
            role: Role::ManagementServer as u32,
            name: server.into(),
            group: "CORP".into(),
            heartbeat_ms: 300_000,
            ..Welcome::default()
        };
        self.tell(link, &welcome);
        self.tell(link, &State { available: true, ..State::default() });
    }

    fn peer(&self, server: &str) -> Arc<VerifiedPeer> {
        let (name, trust) = (Name::parse(server).unwrap(), self.root.trust(&[]).unwrap());
        let chain = [self.root.leaf_of(server, |_| ()).der()];
        Arc::new(verify_peer(&trust, &IdentityPolicy::default(), &chain, Some(&name), wall()).unwrap())
    }

    fn tell<B: Body>(&mut self, link: LinkId, body: &B) {
        let mut bytes = BytesMut::new();
        put_message(&mut bytes, 0, body);
        self.uplink.handle(LinkInput::Received { link, bytes }, self.now);
    }

    pub(super) fn assign(&mut self, version: u64, servers: &[&str]) {
        let key = GroupKey::from_pkcs8(&ed25519()).unwrap();
        let signed = key.sign("CORP", &Name::parse(ME).unwrap(), version, Some(&assignment(servers)));
        let key = Bytes::copy_from_slice(key.public().as_bytes());
        let assign = Assign { body: signed.body, signature: signed.signature, key, successions: Vec::new() };
        self.uplink.handle_assign(&assign, self.now).unwrap();
        self.settle();
    }

    pub(super) fn lose(&mut self) {
        let link = self.uplink.link().map(|(id, _)| id).unwrap();
        self.uplink.handle(LinkInput::Lost { link, error: Error::new(Code::LinkSilent).found("nothing") }, self.now);
        self.settle();
    }

    pub(super) fn used(&self) -> &str {
        self.uplink.upstream().map(|upstream| upstream.name().as_str()).unwrap_or_default()
    }

    /// What is held, what is pending, what was written to disk.
    fn phases(&self) -> (u64, Option<u64>, &[u64]) {
        (self.uplink.assignment_version(), self.uplink.assignment_pending(), &self.saved)
    }

    fn report(&self) -> Report {
        let mut report = Report::default();
        self.uplink.describe(&mut report, self.now);
        report
    }
}

fn assignment(servers: &[&str]) -> Assignment {
    servers[1..].iter().fold(Assignment::primary(servers[0]).unwrap(), |all, one| all.failover(one).unwrap())
}

/// An Ed25519 key (PKCS#8, RFC 8410).
fn ed25519() -> Vec<u8> {
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(&[5; 32]);
    der
}

#[test]
fn i4_g6_an_assignment_is_applied_only_when_one_of_its_upstreams_was_reached_and_the_last_good_one_stays_till_then() {
    let mut lab = Lab::on("ms1.example", &["ms1.example"]);
    lab.assign(7, &["ms2.example", "ms3.example"]);
    lab.pass(120);
    assert_eq!((lab.used(), lab.links_lost), ("ms1.example", 0), "what works stays");
    assert_eq!(lab.phases(), (0, Some(7), &[][..]));
    assert!(lab.events.contains(&Code::AssignmentPending) && !lab.events.contains(&Code::AssignmentChanged));
    assert_eq!((lab.report().assignment_version, lab.report().assignment_pending), (0, 7));
    lab.assign(7, &["ms2.example", "ms3.example"]);
    lab.assign(6, &["ms1.example"]);
    assert_eq!(lab.phases(), (0, Some(7), &[][..]), "known, and old");

    lab.lose();
    lab.pass(30);
    assert_eq!(lab.used(), "ms1.example", "the last good one is a way back");
    assert_eq!(lab.phases(), (0, Some(7), &[][..]));

    lab.reachable.insert("ms3.example");
    lab.pass(400);
    assert_eq!(lab.used(), "ms3.example", "a probe reached it");
    assert_eq!(lab.phases(), (7, None, &[7][..]));
    assert!(lab.events.contains(&Code::AssignmentChanged));
    assert_eq!((lab.report().assignment_version, lab.report().assignment_pending), (7, 0));
}

#[test]
fn i4_g6_an_assignment_that_can_be_reached_is_applied_at_once_and_without_losing_a_link() {
    let mut lab = Lab::on("ms1.example", &["ms1.example", "ms2.example"]);
    lab.assign(7, &["ms2.example"]);
    lab.pass(2);
    assert_eq!((lab.used(), lab.links_lost, lab.phases()), ("ms2.example", 0, (7, None, &[7][..])));
    // One that names the upstream in use waits for nobody: that it can be reached is known.
    lab.assign(8, &["ms9.example", "ms2.example"]);
    assert_eq!((lab.used(), lab.phases()), ("ms2.example", (8, None, &[7, 8][..])));
}

#[test]
fn i4_g6_of_two_pending_assignments_the_newer_one_counts_and_an_older_one_is_never_applied() {
    let mut lab = Lab::on("ms1.example", &["ms1.example", "ms3.example"]);
    lab.assign(7, &["ms2.example"]);
    lab.pass(20);
    lab.assign(8, &["ms3.example"]);
    lab.pass(5);
    lab.reachable.insert("ms2.example");
    lab.pass(400);
    assert_eq!((lab.used(), lab.phases()), ("ms3.example", (8, None, &[8][..])));
}

#[test]
fn i4_a_report_says_why_a_failover_is_in_use_and_why_a_standby_is_not_ready() {
    let mut lab = Lab::on("ms1.example", &["ms1.example", "ms2.example"]);
    lab.assign(7, &["ms1.example", "ms2.example", "ms3.example"]);
    let primary = lab.report();
    assert_eq!((primary.upstream.as_str(), primary.upstream_code, primary.standbys.len()), ("ms1.example", 0, 2));
    assert!(primary.standbys.iter().all(|standby| !standby.ready && standby.code == 0), "not tried yet");
    let standing = lab.uplink.standing();
    lab.pass(200);
    assert_ne!(standing, lab.uplink.standing(), "they were tried");
    let standing = lab.uplink.standing();
    lab.pass(600);
    assert_eq!(standing, lab.uplink.standing(), "they were tried again, which is nothing new");

    lab.reachable.remove("ms1.example");
    lab.lose();
    lab.pass(1);
    assert_ne!(standing, lab.uplink.standing());
    let report = lab.report();
    assert_eq!((report.upstream.as_str(), report.upstream_code), ("ms2.example", 2103));
    assert_eq!(report.upstream_text, "ms1.example:5723: found nothing");
    lab.pass(100);
    let report = lab.report();
    let told: Vec<_> = report.standbys.iter().map(|one| (one.name.as_str(), one.ready, one.code)).collect();
    assert_eq!(told, [("ms1.example", false, 2104), ("ms3.example", false, 2104)]);
    assert_eq!(report.standbys[0].text, "found no route");
    assert!(report.standbys[0].proven_ms <= 25_000 && report.since_ms >= 100_000, "{report:?}");
}

/// The group's keys by their seeds, each of which names the next one.
fn rotated(seeds: &[u8]) -> (GroupKey, Vec<wire::KeySuccession>) {
    let key = |seed: u8| {
        let pkcs8 = [&ed25519()[..16], &[seed; 32]].concat();
        GroupKey::from_pkcs8(&pkcs8).unwrap()
    };
    let successions = seeds.windows(2).zip(2..).map(|(pair, version)| {
        let stated = key(pair[0]).succeeded_by("CORP", key(pair[1]).public(), version, wall());
        wire::KeySuccession { body: stated.body, signature: stated.signature }
    });
    (key(*seeds.last().unwrap()), successions.collect())
}

#[test]
fn g6_a_node_that_missed_two_rotations_follows_and_one_that_is_lied_to_keeps_what_it_has() {
    let mut lab = Lab::on("ms1.example", &["ms1.example", "ms2.example", "ms3.example"]);
    let assign = |version: u64, server: &str, seeds: &[u8]| {
        let (key, successions) = rotated(seeds);
        let signed = key.sign("CORP", &Name::parse(ME).unwrap(), version, Some(&assignment(&[server])));
        let key = Bytes::copy_from_slice(key.public().as_bytes());
        Assign { body: signed.body, signature: signed.signature, key, successions }
    };
    // What is in use and held then, and whether the key was refused.
    let mut told = |assign: Assign| {
        lab.events.clear();
        let told = lab.uplink.handle_assign(&assign, lab.now).map_err(|error| error.code());
        lab.settle();
        lab.pass(2);
        let refused = lab.events.contains(&Code::GroupKeyMismatch);
        told.map(|()| (lab.used().to_owned(), lab.uplink.assignment_version(), refused))
    };
    let at = |server: &str, version: u64| Ok((server.to_owned(), version, false));
    let kept = |server: &str, version: u64| Ok((server.to_owned(), version, true));
    assert_eq!(told(assign(7, "ms2.example", &[5])), at("ms2.example", 7), "the first key is pinned");
    assert_eq!(told(assign(8, "ms3.example", &[6])), kept("ms2.example", 7), "another group's key");
    assert_eq!(told(assign(8, "ms3.example", &[9, 6])), kept("ms2.example", 7), "named by a stranger");
    let hijacked = Assign { successions: rotated(&[5, 6]).1, ..assign(8, "ms3.example", &[9]) };
    assert_eq!(told(hijacked), kept("ms2.example", 7), "the statement names another key");
    let unsigned = Assign { key: assign(8, "x.example", &[5, 6]).key, ..assign(8, "ms3.example", &[5]) };
    let unsigned = Assign { successions: rotated(&[5, 6]).1, ..unsigned };
    assert_eq!(told(unsigned), Err(Code::AssignmentForged), "by the former key, under the new one's name");

    assert_eq!(told(assign(8, "ms3.example", &[4, 5, 6, 7])), at("ms3.example", 8), "two rotations at once");
    assert_eq!(told(assign(9, "ms1.example", &[4, 5])), kept("ms3.example", 8), "the former key is not believed again");
    assert_eq!(told(assign(9, "ms1.example", &[7])), at("ms1.example", 9));
}
