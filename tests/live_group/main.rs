//! What a group does to nodes that run: assignments that are withdrawn (rule G6), pinned keys (rule G1), standbys (rule
//! F3), clones (rule F5), messages to agents (rule D8).

mod clones;
#[path = "../common/postgres.rs"]
#[expect(dead_code, reason = "shared with the tests that stop the database")]
mod cluster;
#[path = "../common/events.rs"]
mod events;
mod lab;
mod messages;
mod pins;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;
mod standbys;
mod withdrawal;
