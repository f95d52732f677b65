//! The application's database, in memory: what each agent has delivered, and the one cursor for all servers (rule D5b).

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use crate::laboratory::agent_index;
use crate::lines::Lines;

/// One thing that a management server hands to the application.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) agent: String,
    /// The gateway that it came through.
    pub(crate) via: String,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Message {
        payload: Bytes,
        redelivered: bool,
    },
    /// Messages that will never come: from the item's sequence to this one.
    Gap {
        last: u64,
    },
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Messages stored, each once.
    pub(crate) delivered: u64,
    /// Handed over again, marked as such, and left out because of the cursor.
    pub(crate) redelivered: u64,
    /// Handed over again without the mark: an application that trusts the mark would have stored them twice.
    pub(crate) duplicates: u64,
    /// Came before one that is older.
    pub(crate) out_of_order: u64,
    /// Not the line that the agent sent with that number.
    pub(crate) wrong: u64,
    /// Came from a server after another one had asked for the agent's cursor; not looked at.
    pub(crate) fenced: u64,
}

/// An agent's row.
#[derive(Debug, Default)]
struct Account {
    cursor: u64,
    /// The server that asked for the cursor last: what others still have on their way is not for it to decide.
    owner: String,
}

/// Looks at every message that is stored: the server that brought it, the agent, the gateway.
type Wish = Box<dyn Fn(&str, &Item) -> bool + Send>;

pub(crate) struct Ledger {
    lines: Lines,
    accounts: HashMap<(String, u64), Account>,
    counts: Counts,
    by_server: HashMap<String, u64>,
    wish: Option<Wish>,
    granted: Option<Instant>,
    last: Option<Instant>,
}

impl Ledger {
    pub(crate) fn new(lines: Lines) -> Self {
        Self {
            lines,
            accounts: HashMap::new(),
            counts: Counts::default(),
            by_server: HashMap::new(),
            wish: None,
            granted: None,
            last: None,
        }
    }

    /// A server opens a channel of an agent: how far is it? `None` for an epoch that was never heard of.
    pub(crate) fn cursor(&mut self, server: &str, agent: &str, epoch: u64) -> Option<u64> {
        let account = self.accounts.entry((agent.to_owned(), epoch)).or_default();
        server.clone_into(&mut account.owner);
        (account.cursor > 0).then_some(account.cursor)
    }

    /// Stores what a server brings: messages and cursor together, as one transaction would.
    pub(crate) fn take(&mut self, server: &str, item: &Item) {
        let account = self.accounts.entry((item.agent.clone(), item.epoch)).or_default();
        if account.owner != server {
            self.counts.fenced += 1;
            return;
        }
        let (payload, redelivered) = match &item.content {
            Content::Message { payload, redelivered } => (payload, *redelivered),
            Content::Gap { last } => {
                account.cursor = account.cursor.max(*last);
                return;
            }
        };
        if item.sequence <= account.cursor {
            *(if redelivered { &mut self.counts.redelivered } else { &mut self.counts.duplicates }) += 1;
            return;
        }
        if item.sequence != account.cursor + 1 {
            self.counts.out_of_order += 1;
        }
        account.cursor = item.sequence;
        let expected = agent_index(&item.agent).map(|index| self.lines.line(index, item.sequence));
        if expected.as_ref() != Some(payload) {
            self.counts.wrong += 1;
        }
        self.counts.delivered += 1;
        *self.by_server.entry(server.to_owned()).or_default() += 1;
        self.last = Some(Instant::now());
        if self.granted.is_none() && self.wish.as_ref().is_some_and(|wish| wish(server, item)) {
            self.granted = self.last;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Messages that came from a server first.
    pub(crate) fn delivered_by(&self, server: &str) -> u64 {
        self.by_server.get(server).copied().unwrap_or(0)
    }

    /// When the last message was stored.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// From now on, looks for the first message like this.
    pub(crate) fn wish(&mut self, wish: impl Fn(&str, &Item) -> bool + Send + 'static) {
        self.wish = Some(Box::new(wish));
        self.granted = None;
    }

    /// When the message that was wished for came.
    pub(crate) fn granted(&self) -> Option<Instant> {
        self.granted
    }
}
