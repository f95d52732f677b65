//! What bad input gets: each kind of it against running nodes, over real sockets. Whoever does wrong is refused with
//! the permanent code of what was wrong, in the refuser's events and, once TLS stands, to its face (rule G5); and it
//! costs the others nothing (rule D7).

#[path = "../common/authority.rs"]
#[expect(dead_code, reason = "shared with the tests whose authority answers wrongly")]
mod authority;
#[path = "../common/events.rs"]
mod events;
#[path = "../common/pki.rs"]
mod pki;

mod lab;
mod openssl;
mod peer;
mod wire;

mod approvals;
mod attestations;
mod certificates;
mod channels;
mod configurations;
mod crowds;
mod frames;
mod group;
mod inner;
mod introductions;
mod operators;
mod renewals;
mod successions;
