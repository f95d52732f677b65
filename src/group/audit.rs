//! Who changed what (rule G4).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::group::record::words;
use crate::time::Timestamp;

/// How somebody who changes the group is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthorKind {
    /// A user of the computer on which the command or program ran; `from` is that computer.
    LocalUser,
    /// An operator, by the certificate it proved; `from` is its address and the management server.
    Operator,
    /// The group itself, by a rule; or a management server that registers.
    Group,
}

words!(AuthorKind { LocalUser = "local-user", Operator = "operator", Group = "group", });

/// Who changes the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Author {
    /// How it is known.
    pub kind: AuthorKind,
    /// The user's name, the operator's name as its certificate proves it, or what acted for the group.
    pub name: String,
    /// From where: a computer's name or an address.
    pub from: String,
}

impl Author {
    pub(crate) fn local_user(name: impl Into<String>, from: impl Into<String>) -> Self {
        Self { kind: AuthorKind::LocalUser, name: name.into(), from: from.into() }
    }

    /// An operator from afar: the name that its certificate proved, and where it is.
    pub(crate) fn operator(name: impl Into<String>, from: impl Into<String>) -> Self {
        Self { kind: AuthorKind::Operator, name: name.into(), from: from.into() }
    }

    pub(crate) fn group(name: impl Into<String>, from: impl Into<String>) -> Self {
        Self { kind: AuthorKind::Group, name: name.into(), from: from.into() }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.from)
    }
}

/// A change's author and time: what every operation gets.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) author: Author,
    pub(crate) at: Timestamp,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its number: rises by one with every change.
    pub number: u64,
    /// When, by the clock of the computer that made the change.
    pub at: Timestamp,
    /// Who.
    pub author: Author,
    /// What was done: `approve gateway`, `reject agent`, …
    pub action: String,
    /// To what: a name, mostly.
    pub subject: String,
    /// What was there before, as JSON; none where there was nothing.
    pub before: Option<String>,
    /// What is there now, as JSON; none where nothing is left.
    pub after: Option<String>,
}
