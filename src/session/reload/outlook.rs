//! The ends of certificates and lists that a node relies on: told in time, and shown by status.

use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::identity::expiry::{Ending, Kind, Warnings, nearest};
use crate::identity::{Identity, VerifiedPeer};
use crate::session::json::Object;
use crate::time::Timestamp;

/// What was told of the ends that a node's certificates and its peers' have.
#[derive(Default)]
pub(super) struct Outlook(Mutex<Warnings>);

impl Outlook {
    /// Looks at everything that ends; answers what is to be told.
    pub(super) fn look(&self, identity: &Identity, peers: &[Arc<VerifiedPeer>], now: Timestamp) -> Vec<Event> {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.check(&endings(identity, peers), now)
    }
}

/// The first end of each kind, for status.
pub(crate) fn describe(identity: &Identity, peers: &[Arc<VerifiedPeer>], now: Timestamp) -> Object {
    let endings = endings(identity, peers);
    let mut object = Object::new();
    for (key, kind) in [("peer", Kind::Peer), ("authority", Kind::Authority), ("list", Kind::List)] {
        let Some(ending) = nearest(&endings, kind) else { continue };
        let mut first = Object::new();
        first.text("subject", &ending.subject);
        first.text("until", &ending.until.to_string());
        first.signed("until_unix_seconds", ending.until.unix_seconds());
        first.signed("days", ending.days(now));
        let count = endings.iter().filter(|other| other.kind == kind).count();
        first.number("count", count as u64);
        object.object(key, first);
    }
    object
}

fn endings(identity: &Identity, peers: &[Arc<VerifiedPeer>]) -> Vec<Ending> {
    let ending = |kind, subject: &str, since, until| Ending { kind, subject: subject.to_owned(), since, until };
    let own = identity.own();
    let own = ending(Kind::Own, identity.name().as_str(), Some(own.not_before()), own.not_after());
    let peers = peers.iter().map(|peer| {
        let name = peer.names().first().map(ToString::to_string).unwrap_or_default();
        ending(Kind::Peer, &name, Some(peer.not_before()), peer.not_after())
    });
    let (anchors, lists) = (identity.trust().anchors_until(), identity.trust().lists_until());
    let anchors = anchors.map(|(subject, until)| ending(Kind::Authority, subject, None, until));
    let lists = lists.map(|(issuer, since, until)| ending(Kind::List, issuer, Some(since), until));
    std::iter::once(own).chain(peers).chain(anchors).chain(lists).collect()
}
