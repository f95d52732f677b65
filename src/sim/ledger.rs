//! What happened to every message, and the rules that are checked whenever something happens to one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;

use crate::message::{Epoch, Numbered, Sequence};
use crate::name::Name;
use crate::node::management_server::{Delivery, Output};
use crate::time::Instant;
use crate::wire::Content;

type Key = (Name, Epoch, u64);

/// Where a delivery appeared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) server: usize,
    pub(super) life: u64,
    pub(super) now: Instant,
    /// Whether its session is the agent's newest: what an older one still hands over, the cursor's fence refuses.
    pub(super) is_current: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What each key means on its agent's disk.
    durable: BTreeMap<Key, Bytes>,
    promised: usize,
    /// The messages that an agent promised to keep and no application has yet, and under which key they stand.
    waiting: BTreeMap<u64, Key>,
    /// The messages that an application or the store has durably.
    done: BTreeSet<u64>,
    /// What was handed over first under each key, and when.
    handed: BTreeMap<Key, (Bytes, Instant)>,
    /// The last sequence that each channel handed over.
    channels: BTreeMap<(usize, u64, u64), u64>,
    /// What applications acknowledged, per agent and epoch, beyond the prefix in `prefix`.
    acknowledged: BTreeMap<(Name, Epoch), BTreeSet<u64>>,
    prefix: BTreeMap<(Name, Epoch), u64>,
    /// The cursor that the application keeps itself, or that of the store's own deliveries.
    pub(super) cursors: BTreeMap<(Name, Epoch), u64>,
    /// Until when a key may come again: a failure may have lost an acknowledgement.
    pub(super) failure_until: Instant,
    /// Agents whose own link somebody spoilt; the others notice nothing (rule D7).
    pub(super) spoilt: BTreeSet<Name>,
}

pub(super) fn number_of(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().unwrap())
}

impl Ledger {
    /// These are on an agent's disk.
    pub(super) fn note_durable<'a>(
        &mut self,
        agent: &Name,
        epoch: Epoch,
        messages: impl IntoIterator<Item = &'a Numbered>,
    ) {
        for message in messages {
            let (number, key) = (number_of(&message.payload), (agent.clone(), epoch, message.sequence.0));
            self.promised += 1;
            if !self.done.contains(&number) {
                self.waiting.insert(number, key.clone());
            }
            if let Some(before) = self.durable.insert(key.clone(), message.payload.clone())
                && number_of(&before) != number
            {
                let lost = self.waiting.get(&number_of(&before)) == Some(&key);
                assert!(!lost, "D6 {key:?} means another message, and the one before it is nowhere");
            }
        }
    }

    /// A server hands a delivery over (or the store writes it).
    pub(super) fn hand_over(&mut self, place: Place, delivery: &Delivery) {
        if self.spoilt.contains(&delivery.agent) {
            // It forged its own messages.
            return;
        }
        for message in messages(delivery) {
            let sequence = message.sequence.0;
            let key = (delivery.agent.clone(), delivery.epoch, sequence);
            assert_eq!(
                self.durable.get(&key),
                Some(&message.payload),
                "D1 {key:?} was handed over with a payload that is not durable under this key"
            );
            let channel = (place.server, place.life, delivery.channel);
            if let Some(last) = self.channels.insert(channel, sequence) {
                assert_eq!(last + 1, sequence, "D5 order of {key:?} on one channel");
            }
            let before = sequence.checked_sub(1).filter(|before| *before > 0);
            if let Some(before) = before {
                let key = (delivery.agent.clone(), delivery.epoch, before);
                assert!(self.handed.contains_key(&key), "D5 {key:?} was left out");
            }
            self.check_again(place, delivery, key, &message);
        }
    }

    fn check_again(&mut self, place: Place, delivery: &Delivery, key: Key, message: &Numbered) {
        let Some((payload, at)) = self.handed.get(&key) else {
            self.handed.insert(key, (message.payload.clone(), place.now));
            return;
        };
        assert_eq!(*payload, message.payload, "D1 {key:?} means two messages");
        if !place.is_current {
            return;
        }
        let flagged = message.sequence <= delivery.redelivered_through;
        assert!(
            flagged,
            "D5 {key:?} was handed over at {at:?} and now again without `redelivered` (through {})",
            delivery.redelivered_through
        );
        let excused = *at <= self.failure_until || self.spoilt.contains(&delivery.agent);
        assert!(excused, "D5 {key:?} was handed over again although nothing had failed since {at:?}");
    }

    /// An application without a cursor of its own has these durably.
    pub(super) fn acknowledge(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let id = (delivery.agent.clone(), delivery.epoch);
            let waiting = self.acknowledged.entry(id.clone()).or_default();
            for message in messages(delivery) {
                let number = number_under(&self.durable, delivery, &message);
                self.waiting.remove(&number);
                self.done.insert(number);
                waiting.insert(message.sequence.0);
            }
            let prefix = self.prefix.entry(id).or_default();
            while waiting.remove(&(*prefix + 1)) {
                *prefix += 1;
            }
        }
    }

    /// An application that keeps the cursor takes what is above it, in one transaction. Answers how much was new.
    pub(super) fn take(&mut self, delivery: &Delivery) -> u64 {
        let id = (delivery.agent.clone(), delivery.epoch);
        let mut cursor = self.cursors.get(&id).copied().unwrap_or(0);
        let before = cursor;
        for message in messages(delivery) {
            if message.sequence.0 > cursor {
                assert_eq!(message.sequence.0, cursor + 1, "D5 a gap before {} {}", delivery.agent, message.sequence);
                cursor += 1;
                let number = number_under(&self.durable, delivery, &message);
                self.waiting.remove(&number);
                assert!(
                    self.done.insert(number) || self.rolled_back(delivery) || self.spoilt.contains(&delivery.agent),
                    "D5 a message was taken twice: {} {}",
                    delivery.agent,
                    message.sequence
                );
            }
        }
        self.cursors.insert(id, cursor);
        cursor - before
    }

    /// After a rollback the agent sends what its old disk held once more, under a new epoch.
    fn rolled_back(&self, delivery: &Delivery) -> bool {
        self.durable.keys().any(|(agent, epoch, _)| *agent == delivery.agent && *epoch != delivery.epoch)
    }

    /// A server writes a cursor to the group.
    pub(super) fn check_cursor_write(&self, output: Output, agent: &Name, epoch: Epoch, through: Sequence) {
        let id = (agent.clone(), epoch);
        let has = match output {
            Output::Application => self.prefix.get(&id),
            Output::ApplicationWithCursor | Output::Store => self.cursors.get(&id),
        };
        assert!(
            through.0 <= has.copied().unwrap_or(0),
            "D4 the cursor of {id:?} moves to {through}, but the application has {has:?}"
        );
    }

    /// An agent forgets.
    pub(super) fn check_forgotten(&self, agent: &Name, epoch: Epoch, through: Sequence, stored: Sequence) {
        let own = self.cursors.get(&(agent.clone(), epoch)).copied().unwrap_or(0);
        assert!(
            through.0 <= stored.0.max(own),
            "D4 {agent} forgets through {through}, but the group has {stored} and the application {own}"
        );
    }

    pub(super) fn is_everything_delivered(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    /// Whether everything that the application saw of an agent is in its cursor: then an old disk cannot give a
    /// sequence away twice (rule D1 knows acknowledged sequences only). And whether nothing waits: what only the disk of
    /// now has no older one can bring back (an old disk that was not numbered anew yet has such below the cursor).
    pub(super) fn is_settled(&self, agent: &Name, epoch: Epoch, cursor: Sequence) -> bool {
        let range = (agent.clone(), epoch, cursor.0 + 1)..=(agent.clone(), epoch, u64::MAX);
        let is_seen = self.durable.range(range.clone()).next().is_none() && self.handed.range(range).next().is_none();
        is_seen && !self.waiting.values().any(|(waiting, ..)| waiting == agent)
    }

    pub(super) fn missing(&self) -> String {
        let mut text = String::new();
        for (number, (agent, epoch, sequence)) in self.waiting.iter().take(8) {
            let _ = write!(text, "message {number}, last under {agent} {epoch} {sequence}; ");
        }
        text
    }
}

/// The message that an agent promised under this key, whatever a hostile one made of it.
fn number_under(durable: &BTreeMap<Key, Bytes>, delivery: &Delivery, message: &Numbered) -> u64 {
    let key = (delivery.agent.clone(), delivery.epoch, message.sequence.0);
    durable.get(&key).map_or(0, |payload| number_of(payload))
}

fn messages(delivery: &Delivery) -> Vec<Numbered> {
    match &delivery.content {
        Content::Run(run) => run.messages().collect(),
        Content::Large(message) => vec![message.clone()],
        Content::Gap(gap) => {
            panic!("D6 {} {:?}: nothing was lost, and yet a gap {gap:?}", delivery.agent, delivery.epoch)
        }
    }
}
