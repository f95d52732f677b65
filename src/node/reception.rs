//! The accepting end of a link, as gateway and management server share it: HELLO, WELCOME, refusal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::code::Code;
use crate::error::Error;
use crate::group::AssignmentKey;
use crate::identity::VerifiedPeer;
use crate::limits::LINKS_PER_NAME_MAX;
use crate::name::Name;
use crate::node::{Introduction, LinkEffect, LinkId, PROTOCOL_VERSION, Shown};
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Hello, Link, PURPOSE_PROBE, PURPOSE_USE, Phase, Refuse, STATUS_ACCEPTED, STATUS_PENDING, Welcome};

/// A peer that connected to this node.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) id: LinkId,
    pub(super) link: Link,
    pub(super) peer: Arc<VerifiedPeer>,
    pub(super) address: String,
    /// What this node proved on the link: what an agent at its other end attests to.
    pub(super) shown: Shown,
    pub(super) introduced: Option<Introduced>,
}

/// What a HELLO said, and its certificate proved.
#[derive(Clone, Debug)]
pub(super) struct Introduced {
    pub(super) role: Role,
    pub(super) name: Name,
    pub(super) software: String,
    pub(super) heartbeat: Duration,
    pub(super) is_probe: bool,
    pub(super) assignment_version: u64,
}

/// How many links each name has: one good certificate must not take the descriptors of all others (rule D7).
#[derive(Debug, Default)]
pub(super) struct LinksOfNames(BTreeMap<Name, usize>);

impl LinksOfNames {
    /// Counts a link that introduced itself; the owner lets it leave when it forgets the link, refused or not.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyConnections`].
    pub(super) fn enter(&mut self, name: &Name) -> Result<(), Error> {
        let count = self.0.entry(name.clone()).or_default();
        *count += 1;
        if *count <= LINKS_PER_NAME_MAX {
            return Ok(());
        }
        Err(Error::new(Code::TooManyConnections)
            .found(format!("{count} of {name}"))
            .expected(format!("at most {LINKS_PER_NAME_MAX}")))
    }

    /// A link is forgotten.
    pub(super) fn leave(&mut self, caller: &Caller) {
        let Some(introduced) = &caller.introduced else { return };
        if let Some(count) = self.0.get_mut(&introduced.name) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&introduced.name);
            }
        }
    }

    /// Whether there is any link of the name of a caller.
    pub(super) fn has_others(&self, caller: &Caller) -> bool {
        caller.introduced.as_ref().is_some_and(|introduced| self.0.contains_key(&introduced.name))
    }
}

impl Caller {
    pub(super) fn new(
        id: LinkId,
        peer: Arc<VerifiedPeer>,
        address: String,
        shown: Shown,
        me: &Introduction,
        now: Instant,
    ) -> Self {
        let link = Link::accepted(me.heartbeat, now).introduced_within(me.hello_timeout, now);
        Self { id, link, peer, address, shown, introduced: None }
    }

    /// Who it is, for events: the name it proved, else its address.
    pub(super) fn subject(&self) -> String {
        match &self.introduced {
            Some(introduced) => format!("{} {}", introduced.name, self.address),
            None => self.address.clone(),
        }
    }

    /// Whether this is a link of the same node in the same role that stands, so that the other one's end is no loss: the
    /// node renewed it (rule I5).
    pub(super) fn takes_the_place_of(&self, other: &Self) -> bool {
        let (Some(mine), Some(others)) = (&self.introduced, &other.introduced) else { return false };
        let is_same = (&mine.name, mine.role) == (&others.name, others.role);
        is_same && !mine.is_probe && self.link.phase() == Phase::Open
    }

    /// Checks a HELLO against what TLS proved (rule I1) and against who this node is.
    pub(super) fn introduce(&mut self, hello: &Hello, me: &Introduction) -> Result<&Introduced, Error> {
        if self.introduced.is_some() {
            return Err(Error::new(Code::FrameUnexpected).found("a second HELLO"));
        }
        if hello.version == 0 || PROTOCOL_VERSION > hello.version {
            return Err(Error::new(Code::VersionUnsupported)
                .found(format!("version {}", hello.version))
                .expected(format!("version {PROTOCOL_VERSION} or later")));
        }
        // An operator may not know the group's name: it learns it, and can do nothing without an approval.
        let asks_for_it = hello.group.is_empty() && hello.role == Role::Operator as u32;
        if hello.group != me.group && !asks_for_it {
            return Err(Error::new(Code::GroupMismatch)
                .found(format!("\"{}\"", hello.group))
                .expected(format!("\"{}\"", me.group)));
        }
        let name = Name::parse(&hello.name)?;
        if name.as_str() != hello.name || !self.peer.proves(&name) {
            return Err(Error::new(Code::HelloNameMismatch)
                .found(format!("\"{}\"", hello.name))
                .expected(format!("a name of its certificate: {:?}", self.peer.names())));
        }
        let role = Role::from_number(hello.role).ok_or_else(|| role_unexpected(&hello.role.to_string(), me))?;
        if !matches!(hello.purpose, PURPOSE_USE | PURPOSE_PROBE) {
            return Err(Error::new(Code::FrameMalformed).subject("HELLO").found(format!("purpose {}", hello.purpose)));
        }
        Ok(self.introduced.insert(Introduced {
            role,
            name,
            software: crate::error::printable(&hello.software),
            heartbeat: Duration::from_millis(u64::from(hello.heartbeat_ms)),
            is_probe: hello.purpose == PURPOSE_PROBE,
            assignment_version: hello.assignment_version,
        }))
    }

    /// Takes the peer in, or keeps it waiting for the group's approval with the code that says so (rule G5).
    pub(super) fn welcome(&mut self, waits: Option<Code>, me: &Introduction, key: Option<&AssignmentKey>) {
        let Some(introduced) = &self.introduced else { return };
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            status: if waits.is_some() { STATUS_PENDING } else { STATUS_ACCEPTED },
            code: waits.map_or(0, |code| u32::from(code.number())),
            role: me.role as u32,
            name: me.name.as_str().to_owned(),
            group: me.group.clone(),
            software: me.software.clone(),
            heartbeat_ms: u32::try_from(me.heartbeat.as_millis()).unwrap_or(u32::MAX),
            features: 0,
            group_key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())).unwrap_or_default(),
        };
        let phase = match (waits, introduced.role) {
            (Some(_), _) => Phase::Pending,
            (None, Role::Operator) => Phase::Asking,
            (None, _) => Phase::Open,
        };
        self.link.enter(phase, introduced.heartbeat);
        self.link.send(0, &welcome);
    }

    /// Makes the output that is ready: control, then what `data` appends. Answers whether there was any.
    pub(super) fn transmit(&mut self, now: Instant, effects: &mut VecDeque<LinkEffect>) {
        if self.link.has_control() && self.link.is_writable() {
            let bytes = self.link.begin_chunk().freeze();
            self.link.sent(now);
            effects.push_back(LinkEffect::Transmit { link: self.id, bytes });
        }
    }

    /// Tells the peer why (rule G5), then closes the link. The caller forgets it.
    pub(super) fn refuse(&mut self, error: &Error, effects: &mut VecDeque<LinkEffect>) {
        // What the phase forbids is not sent: before its HELLO a peer hears the reason all the same.
        self.link.send(0, &Refuse::of_error(error));
        let bytes = self.link.begin_chunk().freeze();
        effects.push_back(LinkEffect::Transmit { link: self.id, bytes });
        effects.push_back(LinkEffect::Close { link: self.id });
    }
}

pub(super) fn role_unexpected(found: &str, me: &Introduction) -> Error {
    let expected = match me.role {
        Role::Gateway => "an agent or a gateway",
        _ => "an agent, a gateway or an operator",
    };
    Error::new(Code::RoleUnexpected).found(format!("the role {found}")).expected(expected)
}
