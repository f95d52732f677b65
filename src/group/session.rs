//! Sessions and fences: which connection of an agent may move its cursor (rules D1, D5, F5).
//!
//! Within one epoch the boot counter orders the boots and, within a boot, the connection counter orders the
//! connections. Every grant gets a higher fence; whoever writes with an older one is refused.

use crate::group::assignment::SignedAssignment;
use crate::limits::CLONE_RETURNS_WITHIN;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::time::Timestamp;

/// Epochs kept per agent (rule D9); of more, the one that was opened longest ago is forgotten.
pub(crate) const EPOCHS_MAX: usize = 8;

/// An agent's proven connection asks for its session.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequest {
    pub(crate) agent: Name,
    pub(crate) epoch: Epoch,
    /// The durable boot counter.
    pub(crate) boot: u64,
    /// A random number made at that boot.
    pub(crate) nonce: u64,
    /// The connection counter of that boot.
    pub(crate) connection: u64,
    /// The first sequence given since the last boot that was seen (rule D1).
    pub(crate) boot_first: Sequence,
    pub(crate) via: Option<Name>,
    pub(crate) server: Name,
    pub(crate) at: Timestamp,
}

/// What a session may rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionGrant {
    /// Rises with every grant for this agent.
    pub(crate) fence: u64,
    /// Delivered so far in this epoch.
    pub(crate) cursor: Sequence,
    pub(crate) assignment: Option<SignedAssignment>,
    /// If this very connection is one of an instance that another one had replaced, how often that happened of late:
    /// from [`crate::limits::CLONE_RETURNS_MIN`] on, two computers have one identity.
    pub(crate) returns: u32,
}

/// The group's answer to a [`SessionRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SessionAnswer {
    Granted(SessionGrant),
    /// A newer connection of the same boot, or a newer epoch, was there before.
    Stale,
    /// The agent's disk is older than what the group has seen (rule D1); `highest` is the epoch's cursor.
    RolledBack {
        highest: Sequence,
    },
}

/// A session moves its agent's cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CursorWrite {
    pub(crate) agent: Name,
    pub(crate) epoch: Epoch,
    pub(crate) fence: u64,
    pub(crate) through: Sequence,
}

/// What became of a [`CursorWrite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorOutcome {
    Written,
    /// A newer session has taken over; nothing was written.
    Fenced,
}

/// An agent's sessions, as the store keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    /// Of the last grant.
    pub(crate) fence: u64,
    /// The epoch of the last grant.
    pub(crate) epoch: Epoch,
    pub(crate) server: Name,
    pub(crate) via: Option<Name>,
    pub(crate) opened: Timestamp,
    pub(crate) returns: Returns,
    /// At most [`EPOCHS_MAX`], in any order.
    pub(crate) epochs: Vec<EpochRecord>,
}

/// How often an instance came back that another one had replaced, and when it did last.
///
/// Each comes with a connection of its own that is newer than its last one: it runs. An opening that was on its way when
/// its instance ended may look like that, and makes the one that runs come back as well. A computer whose disk was restored
/// is told so and begins a new epoch, and the one that it takes the place of does not come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Returns {
    pub(crate) count: u32,
    pub(crate) last: Timestamp,
}

impl Returns {
    /// With one more, which begins anew if the last one was long ago.
    fn and_one_at(self, at: Timestamp) -> Self {
        let count = if is_recent_return(self.last, at) { self.count.saturating_add(1) } else { 1 };
        Self { count, last: at }
    }
}

/// Whether what was seen of clones at `last` is worth telling of at `at`. The servers' clocks may differ.
pub(crate) fn is_recent_return(last: Timestamp, at: Timestamp) -> bool {
    let within = i64::try_from(CLONE_RETURNS_WITHIN.as_millis()).unwrap_or(i64::MAX);
    at.unix_millis().saturating_sub(last.unix_millis()) < within
}

/// One epoch of an agent: the newest instance that opened it, and how far it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochRecord {
    pub(crate) epoch: Epoch,
    pub(crate) boot: u64,
    pub(crate) nonce: u64,
    pub(crate) connection: u64,
    pub(crate) cursor: Sequence,
    /// The fence of its last grant: which epoch is the oldest.
    pub(crate) fence: u64,
}

/// Decides about a session, and gives the record to keep if it was granted. The assignment is the store's to add.
pub(crate) fn open(record: Option<&SessionRecord>, request: &SessionRequest) -> (SessionAnswer, Option<SessionRecord>) {
    let known = record.and_then(|record| record.epochs.iter().find(|known| known.epoch == request.epoch));
    let current = record.is_some_and(|record| record.epoch == request.epoch);
    if let Some(refusal) = known.and_then(|known| refusal(known, current, request)) {
        return (refusal, None);
    }
    let has_returned =
        !current && known.is_some_and(|known| (known.boot, known.nonce) == (request.boot, request.nonce));
    let returns = record.map(|record| record.returns).unwrap_or_default();
    let returns = if has_returned { returns.and_one_at(request.at) } else { returns };
    let fence = record.map_or(0, |record| record.fence) + 1;
    let cursor = known.map_or(Sequence::NONE, |known| known.cursor);
    let opened = EpochRecord {
        epoch: request.epoch,
        boot: request.boot,
        nonce: request.nonce,
        connection: request.connection,
        cursor,
        fence,
    };
    let mut epochs: Vec<_> = record.map(|record| record.epochs.clone()).unwrap_or_default();
    epochs.retain(|known| known.epoch != request.epoch);
    epochs.push(opened);
    epochs.sort_by_key(|known| known.fence);
    let excess = epochs.len().saturating_sub(EPOCHS_MAX);
    epochs.drain(..excess);
    let record = SessionRecord {
        fence,
        epoch: request.epoch,
        server: request.server.clone(),
        via: request.via.clone(),
        opened: request.at,
        returns,
        epochs,
    };
    let returns = if has_returned { returns.count } else { 0 };
    (SessionAnswer::Granted(SessionGrant { fence, cursor, assignment: None, returns }), Some(record))
}

/// Why a known epoch's request is not granted, if it is not.
fn refusal(known: &EpochRecord, current: bool, request: &SessionRequest) -> Option<SessionAnswer> {
    let rolled_back = Some(SessionAnswer::RolledBack { highest: known.cursor });
    if request.boot < known.boot {
        return rolled_back;
    }
    if request.boot > known.boot {
        // A boot that would use sequences again which the group has seen (rule D1).
        return if request.boot_first > known.cursor { None } else { rolled_back };
    }
    if request.nonce != known.nonce {
        return rolled_back;
    }
    // The same connection, shown again after its gateway moved to another server, is no newer one; but of an epoch
    // that another one has replaced it is a leftover.
    let new_enough =
        if current { request.connection >= known.connection } else { request.connection > known.connection };
    if new_enough { None } else { Some(SessionAnswer::Stale) }
}

/// Where the cursor stands after a write; `None` if the write is fenced off. `current` is the agent's newest grant,
/// as (fence, epoch). A cursor never goes back.
pub(crate) fn cursor_after(current: Option<(u64, Epoch)>, cursor: Sequence, write: &CursorWrite) -> Option<Sequence> {
    (current == Some((write.fence, write.epoch))).then(|| cursor.max(write.through))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLONE_RETURNS_MIN;

    fn request(epoch: u64, boot: u64, nonce: u64, connection: u64, boot_first: u64) -> SessionRequest {
        SessionRequest {
            agent: Name::parse("pc7.branch.example").unwrap(),
            epoch: Epoch(epoch),
            boot,
            nonce,
            connection,
            boot_first: Sequence(boot_first),
            via: None,
            server: Name::parse("ms1.corp.example").unwrap(),
            at: Timestamp::from_unix_millis(1),
        }
    }

    /// A record whose epoch 7 is current with boot 5, nonce 50, connection 3, cursor 100.
    fn record() -> SessionRecord {
        let (_, record) = open(None, &request(7, 5, 50, 3, 1));
        let mut record = record.unwrap();
        record.epochs[0].cursor = Sequence(100);
        record
    }

    /// The rules of F5 and D1 written down once more, as a table of orderings instead of a chain of questions.
    fn expected(boot: u64, nonce: u64, connection: u64, boot_first: u64, current: bool) -> &'static str {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (boot.cmp(&5), nonce == 50, connection.cmp(&3), boot_first > 100, current) {
            (Less, ..) | (Equal, false, ..) | (Greater, _, _, false, _) => "rolled-back",
            (Equal, true, Less, ..) | (Equal, true, Equal, _, false) => "stale",
            (Equal, true, Equal | Greater, ..) | (Greater, _, _, true, _) => "granted",
        }
    }

    fn word(answer: &SessionAnswer) -> &'static str {
        match answer {
            SessionAnswer::Granted(_) => "granted",
            SessionAnswer::Stale => "stale",
            SessionAnswer::RolledBack { .. } => "rolled-back",
        }
    }

    #[test]
    fn d1_f5_every_combination_of_boot_nonce_connection_and_first_sequence_is_decided() {
        for current in [true, false] {
            let mut before = record();
            if !current {
                before = open(Some(&before), &request(8, 1, 1, 1, 1)).1.unwrap();
            }
            for boot in 4..=6 {
                for nonce in [49, 50, 51] {
                    for connection in 2..=4 {
                        for boot_first in [0, 1, 99, 100, 101, u64::MAX] {
                            let request = request(7, boot, nonce, connection, boot_first);
                            let (answer, after) = open(Some(&before), &request);
                            let expected = expected(boot, nonce, connection, boot_first, current);
                            assert_eq!(word(&answer), expected, "{request:?} current={current}");
                            assert_eq!(after.is_some(), expected == "granted");
                            if let SessionAnswer::RolledBack { highest } = answer {
                                assert_eq!(highest, Sequence(100));
                            }
                            if let (SessionAnswer::Granted(grant), Some(after)) = (answer, after) {
                                assert_eq!(grant.fence, before.fence + 1);
                                assert_eq!((grant.cursor, after.fence), (Sequence(100), grant.fence));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn d1_a_new_epoch_starts_at_nothing_and_fences_the_old_one() {
        let before = record();
        let (answer, after) = open(Some(&before), &request(8, 1, 1, 1, 1));
        let grant = SessionGrant { fence: 2, cursor: Sequence::NONE, assignment: None, returns: 0 };
        assert_eq!(answer, SessionAnswer::Granted(grant));
        let after = after.unwrap();
        assert_eq!((after.epoch, after.epochs.len()), (Epoch(8), 2));
    }

    /// Opens each of (epoch, boot, nonce, connection, boot_first) in turn, a second apart; answers what the grants said of
    /// returns.
    fn returns(requests: &[(u64, u64, u64, u64, u64)]) -> Vec<Option<u32>> {
        let (mut record, mut said) = (None, Vec::new());
        for (second, (epoch, boot, nonce, connection, boot_first)) in (1..).zip(requests) {
            let at = Timestamp::from_unix_seconds(second);
            let request = SessionRequest { at, ..request(*epoch, *boot, *nonce, *connection, *boot_first) };
            let (answer, after) = open(record.as_ref(), &request);
            said.push(match answer {
                SessionAnswer::Granted(grant) => Some(grant.returns),
                _ => None,
            });
            record = after.or(record);
        }
        said
    }

    #[test]
    fn f5_two_computers_that_take_turns_are_seen_to_return_again_and_again() {
        let turns = [(7, 5, 50, 1, 1), (8, 1, 80, 1, 1), (7, 5, 50, 2, 1), (8, 1, 80, 2, 1), (7, 5, 50, 3, 1)];
        assert_eq!(returns(&turns), [Some(0), Some(0), Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn f5_a_copied_disk_is_told_to_begin_anew_and_seen_as_a_clone_when_both_go_on() {
        // The copy boots, the original is behind it and begins epoch 9: then they take turns.
        let copied = [
            (7, 5, 50, 1, 1),
            (7, 6, 60, 1, 1),
            (7, 5, 50, 2, 1),
            (9, 5, 50, 3, 1),
            (7, 6, 60, 2, 1),
            (9, 5, 50, 4, 1),
        ];
        assert_eq!(returns(&copied), [Some(0), Some(0), None, Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn f5_reconnects_restarts_failovers_and_restored_disks_are_no_clones() {
        // It moves and comes back, restarts, is restored (refused, then anew), and an opening that was on its way when it
        // was replaced comes late.
        let one = [
            (7, 5, 50, 1, 1),
            (7, 5, 50, 2, 1),
            (7, 5, 50, 2, 1),
            (7, 6, 60, 1, 1),
            (7, 6, 61, 2, 1),
            (8, 6, 61, 3, 1),
            (7, 6, 60, 2, 1),
            (8, 6, 61, 3, 1),
            (8, 6, 61, 4, 1),
            (8, 7, 70, 1, 1),
        ];
        let said = returns(&one);
        assert!(said.iter().flatten().all(|returns| *returns < CLONE_RETURNS_MIN), "{said:?}");
    }

    #[test]
    fn f5_returns_that_are_far_apart_begin_anew() {
        let once = Returns::default().and_one_at(Timestamp::from_unix_seconds(1_000));
        let hour = Timestamp::from_unix_seconds(4_600);
        assert_eq!(once.and_one_at(hour), Returns { count: 1, last: hour });
        assert_eq!(once.and_one_at(Timestamp::from_unix_seconds(990)).count, 2, "another server's clock");
    }

    #[test]
    fn d9_eight_epochs_are_kept_and_the_one_opened_longest_ago_goes_first() {
        let mut record = None;
        for epoch in 1..=8 {
            record = open(record.as_ref(), &request(epoch, 1, 1, 1, 1)).1;
        }
        // Epoch 1 comes back, so that epoch 2 is now the oldest.
        record = open(record.as_ref(), &request(1, 2, 2, 1, 1)).1;
        record = open(record.as_ref(), &request(9, 1, 1, 1, 1)).1;
        let mut kept: Vec<_> = record.unwrap().epochs.iter().map(|known| known.epoch.0).collect();
        kept.sort_unstable();
        assert_eq!(kept, [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn d5_only_the_newest_grant_moves_the_cursor_and_only_forward() {
        let agent = Name::parse("pc7.branch.example").unwrap();
        for fence in 1..=3 {
            for epoch in [7, 8] {
                for through in [0, 99, 100, 101] {
                    let write =
                        CursorWrite { agent: agent.clone(), epoch: Epoch(epoch), fence, through: Sequence(through) };
                    let after = cursor_after(Some((2, Epoch(7))), Sequence(100), &write);
                    let expected = (fence == 2 && epoch == 7).then_some(Sequence(through.max(100)));
                    assert_eq!(after, expected, "{write:?}");
                    assert_eq!(cursor_after(None, Sequence::NONE, &write), None);
                }
            }
        }
    }
}
