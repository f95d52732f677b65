//! Messages and the numbers that name them.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::Error;
use crate::text_form::text_form;
use crate::time::Timestamp;

/// One life of an agent's queue: a random number made with the queue directory (rule D1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = Error;

    /// Of 16 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| {
            Error::new(Code::ConfigBadValue)
                .found(format!("\"{}\"", crate::error::printable(text)))
                .expected("an epoch of 16 hexadecimal digits")
        })
    }
}

text_form!(Epoch);

/// A message's number within its agent and epoch. The first is 1; a sequence is used once (rule D1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first message: a watermark that covers nothing.
    pub const NONE: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is dropped first when a queue must drop, and whose turn comes first; never the order within an
/// agent (rule D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Priority {
    /// Refused or dropped first.
    Bulk = 0,
    /// What most messages are.
    #[default]
    Normal = 1,
    /// Never dropped for the others; the sender waits instead.
    Critical = 2,
}

impl Priority {
    /// The priority of a number from the wire, the disk or C.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Bulk),
            1 => Some(Self::Normal),
            2 => Some(Self::Critical),
            _ => None,
        }
    }
}

/// What an application sends: bytes that farpost does not look into, and a priority.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    pub(crate) payload: Bytes,
    pub(crate) priority: Priority,
}

impl Message {
    /// A message of normal priority.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), priority: Priority::Normal }
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// A message that has its number: what queues hold and channels carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) sequence: Sequence,
    pub(crate) priority: Priority,
    /// When the application handed it to the agent (the agent's wall clock).
    pub(crate) sent: Timestamp,
    pub(crate) payload: Bytes,
}

/// Messages that will never come: a range of sequences with the reason (rules D6 and D9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing sequence.
    pub first: Sequence,
    /// The last missing sequence.
    pub last: Sequence,
    /// Why they are missing.
    pub reason: Code,
}
