//! Who is connected where, as the group's servers write it down.
//!
//! Presence is a lease: what a server says of its nodes counts while that server renews its lease, so that a server
//! that dies takes its claims with it. Each server writes rows of its own; of a node that several servers claim, the
//! newer session is the right one.

use crate::group::{NodePresence, NodeReport};
use crate::name::Name;
use crate::time::Timestamp;

/// A management server's word that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    /// Whose.
    pub(crate) server: Name,
    /// Drawn at random when the server started: what an earlier run of it claimed does not count any more.
    pub(crate) start: u64,
    /// When it started, by its own clock.
    pub(crate) started: Timestamp,
    /// Its release.
    pub(crate) software: String,
    /// When it was renewed last, by the store's clock.
    pub(crate) renewed: Timestamp,
    /// When it runs out, by the store's clock.
    pub(crate) until: Timestamp,
}

/// What a management server wrote of a node that is or was connected to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PresenceRecord {
    /// Which server.
    pub(crate) server: Name,
    /// Which run of it, as in [`LeaseRecord::start`].
    pub(crate) start: u64,
    /// The connection.
    pub(crate) presence: NodePresence,
    /// Since when nothing was heard of it, if it is overdue with a sign of life.
    pub(crate) silent: Option<Timestamp>,
    /// When the connection ended.
    pub(crate) left: Option<Timestamp>,
    /// What the node said last on it.
    pub(crate) report: Option<NodeReport>,
}

/// A server's run, as it renews its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) server: Name,
    /// Where it listens; empty if it does not.
    pub(crate) address: String,
    pub(crate) start: u64,
    pub(crate) started: Timestamp,
    pub(crate) software: String,
}

/// What a server does with its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It is not due.
    None,
    /// The server goes on.
    Renew,
    /// The server stops.
    End,
}

/// Since when a node is silent; none if it is heard again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) name: Name,
    pub(crate) session: u64,
    pub(crate) since: Option<Timestamp>,
}

/// What a server writes of its nodes in one transaction: in this order.
#[derive(Clone, Debug)]
pub(crate) struct PresenceBatch {
    pub(crate) holder: Holder,
    pub(crate) renewal: Renewal,
    /// `opened` is everybody who is connected: whoever else this server claimed has left, at this time.
    pub(crate) complete: Option<Timestamp>,
    /// Each node once.
    pub(crate) opened: Vec<(NodePresence, Option<NodeReport>)>,
    pub(crate) reports: Vec<NodeReport>,
    pub(crate) silences: Vec<Silence>,
    /// Connections that ended, at their `last_heard`.
    pub(crate) gone: Vec<NodePresence>,
    /// Who left before this time is forgotten.
    pub(crate) forget: Option<Timestamp>,
}

impl PresenceBatch {
    /// A batch with nothing in it.
    pub(crate) fn of(holder: Holder) -> Self {
        Self {
            holder,
            renewal: Renewal::None,
            complete: None,
            opened: Vec::new(),
            reports: Vec::new(),
            silences: Vec::new(),
            gone: Vec::new(),
            forget: None,
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.renewal == Renewal::None
            && self.complete.is_none()
            && self.opened.is_empty()
            && self.reports.is_empty()
            && self.silences.is_empty()
            && self.gone.is_empty()
            && self.forget.is_none()
    }

    /// Of a node that connected twice the later connection stays; all in the order of their names, so that no two
    /// writers wait for each other.
    pub(crate) fn tidy(mut self) -> Self {
        self.opened.sort_by(|(a, _), (b, _)| (&a.name, b.session).cmp(&(&b.name, a.session)));
        self.opened.dedup_by(|(later, _), (kept, _)| later.name == kept.name);
        self
    }
}

impl LeaseRecord {
    /// Whether its server runs, as far as the group can tell.
    pub(crate) fn is_valid(&self, at: Timestamp) -> bool {
        at < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn of_a_node_that_connected_twice_the_later_connection_is_written() {
        let presence = |name: &str, session| NodePresence {
            name: Name::parse(name).unwrap(),
            role: Role::Agent,
            via: Vec::new(),
            address: String::new(),
            since: Timestamp::default(),
            last_heard: Timestamp::default(),
            session,
        };
        let server = Name::parse("ms1").unwrap();
        let address = String::new();
        let holder = Holder { server, address, start: 1, started: Timestamp::default(), software: String::new() };
        let mut batch = PresenceBatch::of(holder);
        assert!(batch.is_empty());
        batch.opened = [("pc2", 4), ("pc1", 6), ("pc2", 8), ("pc2", 2)].map(|(n, s)| (presence(n, s), None)).into();
        assert!(!batch.is_empty());
        let sessions: Vec<_> = batch.tidy().opened.iter().map(|(presence, _)| presence.session).collect();
        assert_eq!(sessions, [6, 8]);
    }
}
