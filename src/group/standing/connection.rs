//! Which of the servers' rows about a node is the right one, and what it says.

use std::collections::HashMap;

use crate::group::standing::{NodeStanding, NodeState};
use crate::group::{LeaseRecord, PresenceRecord};
use crate::limits::PRESENCE_LEASE;
use crate::name::Name;
use crate::time::Timestamp;

/// What servers wrote, by node: taken by and by.
pub(super) struct Connections {
    rows: HashMap<Name, Vec<PresenceRecord>>,
    leases: HashMap<Name, LeaseRecord>,
    at: Timestamp,
    /// Gateways that are not connected, and since when.
    gone: HashMap<Name, Timestamp>,
}

/// A node's connection, or its last one.
pub(super) struct Connection {
    pub(super) record: PresenceRecord,
    pub(super) state: NodeState,
    pub(super) behind: Option<Name>,
    pub(super) left: Option<Timestamp>,
    pub(super) heard: Timestamp,
}

impl Connections {
    pub(super) fn new(leases: &[LeaseRecord], presences: Vec<PresenceRecord>, at: Timestamp) -> Self {
        let mut rows: HashMap<Name, Vec<PresenceRecord>> = HashMap::new();
        for record in presences {
            rows.entry(record.presence.name.clone()).or_default().push(record);
        }
        let leases = leases.iter().map(|lease| (lease.server.clone(), lease.clone())).collect();
        Self { rows, leases, at, gone: HashMap::new() }
    }

    /// The agents behind a gateway that is gone went with it.
    pub(super) fn note_gateway(&mut self, gateway: &NodeStanding) {
        if !gateway.is_connected() {
            let since = gateway.left.or(gateway.last_heard).unwrap_or_default();
            self.gone.insert(gateway.name.clone(), since);
        }
    }

    /// The newest session that counts; if none does, the one that was heard last.
    pub(super) fn take(&mut self, node: &Name) -> Option<Connection> {
        let rows = self.rows.remove(node)?;
        let all = rows.into_iter().map(|record| self.judged(record));
        all.max_by_key(|one| {
            let counts = matches!(one.state, NodeState::Connected | NodeState::Silent);
            (counts, if counts { one.record.presence.since } else { one.heard })
        })
    }

    fn judged(&self, record: PresenceRecord) -> Connection {
        let lease = self.leases.get(&record.server);
        let of_this_run = lease.filter(|lease| lease.start == record.start);
        let presence = &record.presence;
        let (state, behind, left, heard) = match (record.left, of_this_run) {
            (None, Some(lease)) if lease.is_valid(self.at) => match record.silent {
                Some(silent) => (NodeState::Silent, None, None, silent),
                None => (NodeState::Connected, None, None, lease.renewed.max(presence.last_heard)),
            },
            // Its server is gone, and nobody says that it is elsewhere.
            (None, Some(lease)) => {
                (NodeState::Unknown, Some(record.server.clone()), None, lease.renewed.max(presence.last_heard))
            }
            // Its server started again without it.
            (None, None) => {
                let left = lease.map_or(presence.last_heard, |lease| lease.started);
                (NodeState::Disconnected, None, Some(left), presence.last_heard)
            }
            (Some(left), _) => self.judged_of_those_who_left(&record, left),
        };
        Connection { state, behind, left, heard, record }
    }

    /// Who left together with its gateway is unknown, not disconnected.
    fn judged_of_those_who_left(
        &self,
        record: &PresenceRecord,
        left: Timestamp,
    ) -> (NodeState, Option<Name>, Option<Timestamp>, Timestamp) {
        let with_it = |gone: &&Name| {
            let tolerance = i64::try_from(PRESENCE_LEASE.as_millis()).unwrap_or(0);
            self.gone.get(gone).is_some_and(|since| left.unix_millis().saturating_add(tolerance) >= since.unix_millis())
        };
        match record.presence.via.iter().rev().find(with_it) {
            Some(gateway) => (NodeState::Unknown, Some(gateway.clone()), Some(left), left),
            None => (NodeState::Disconnected, None, Some(left), left),
        }
    }
}
