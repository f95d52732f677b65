//! The answers to this node's HELLO: WELCOME, then STATE.

use std::time::Duration;

use super::{Uplink, UplinkOutput};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::node::{LinkId, PROTOCOL_VERSION};
use crate::role::Role;
use crate::routing::Purpose;
use crate::time::Instant;
use crate::wire::{Phase, STATUS_ACCEPTED, State, Welcome, code_of};

impl Uplink {
    pub(super) fn handle_welcome(&mut self, id: LinkId, welcome: &Welcome, now: Instant) -> Result<(), Error> {
        self.check_welcome(id, welcome)?;
        let heartbeat = Duration::from_millis(u64::from(welcome.heartbeat_ms));
        let Some(dialled) = self.dialled.iter_mut().find(|dialled| dialled.id == id) else { return Ok(()) };
        dialled.role = Role::from_number(welcome.role);
        let Some((link, _)) = dialled.link.as_mut() else { return Ok(()) };
        if welcome.status == STATUS_ACCEPTED {
            link.enter(Phase::Open, heartbeat);
            dialled.waits = None;
            return Ok(());
        }
        let first_time = link.phase() == Phase::Introduction;
        link.enter(Phase::Pending, heartbeat);
        dialled.waits.get_or_insert((code_of(welcome.code).code(), now));
        let subject = dialled.upstream.to_string();
        if dialled.purpose != Purpose::Use || dialled.renews {
            // A standby that would not take this node now is no standby.
            self.lose(id, code_of(welcome.code), true, now);
        } else if first_time {
            let text = "the link stays open and is used as soon as the group approves this node";
            self.output.push_back(UplinkOutput::Event(Event::new(code_of(welcome.code).code(), subject, text)));
        }
        Ok(())
    }

    fn check_welcome(&self, id: LinkId, welcome: &Welcome) -> Result<(), Error> {
        if welcome.version != PROTOCOL_VERSION {
            return Err(Error::new(Code::VersionUnsupported)
                .found(format!("version {}", welcome.version))
                .expected(format!("version {PROTOCOL_VERSION}")));
        }
        if welcome.group != self.me.group {
            return Err(Error::new(Code::GroupMismatch)
                .found(format!("\"{}\"", welcome.group))
                .expected(format!("\"{}\"", self.me.group)));
        }
        let expected = self.dialled.iter().find(|dialled| dialled.id == id).map(|dialled| dialled.upstream.name());
        if expected.is_some_and(|name| name.as_str() != welcome.name) {
            return Err(Error::new(Code::HelloNameMismatch).found(welcome.name.clone()));
        }
        match Role::from_number(welcome.role) {
            Some(Role::Gateway | Role::ManagementServer) => Ok(()),
            other => Err(Error::new(Code::RoleUnexpected)
                .found(other.map_or("an unknown role".to_owned(), |role| role.to_string()))
                .expected("gateway or management-server")),
        }
    }

    /// STATE follows every acceptance: only a link that leads to a management server counts as one to use.
    ///
    /// # Errors
    ///
    /// [`Code::GatewayLoop`], [`Code::PathTooLong`]: this gateway cannot be behind that upstream.
    pub(super) fn handle_state(&mut self, id: LinkId, state: &State, now: Instant) -> Result<(), Error> {
        let path = self.checked_path(state)?;
        let current = self.current;
        let Some(dialled) = self.dialled.iter_mut().find(|dialled| dialled.id == id) else { return Ok(()) };
        let another_path = std::mem::replace(&mut dialled.path, path) != dialled.path;
        let changed = dialled.available != Some(state.available);
        let first = dialled.available.is_none();
        dialled.available = Some(state.available);
        let (purpose, upstream) = (dialled.purpose, dialled.upstream.clone());
        if current == Some(id) {
            if changed {
                self.tell_availability(state, now);
            } else if another_path {
                self.output.push_back(UplinkOutput::Available(state.available));
            }
            return Ok(());
        }
        if !first {
            return Ok(());
        }
        match (purpose, state.available) {
            (Purpose::Probe, true) => {
                self.forget(id);
                if let Some(index) = self.index_of(&upstream) {
                    self.routing.handle_accepted(index, Purpose::Probe, now);
                }
                self.note_reached(&upstream, now);
            }
            (_, false) if current.is_some() || purpose != Purpose::Use => {
                self.lose(id, Error::new(Code::UpstreamUnavailable), true, now);
            }
            (Purpose::Failback | Purpose::Use, _) if current.is_some() => {
                // A better upstream goes before a better certificate: there the new one is shown anyway.
                self.give_renewal_up_unless(id);
                self.moving_to = Some(id);
                self.output.push_back(UplinkOutput::MoveReady);
            }
            _ => self.use_link(id, now),
        }
        Ok(())
    }

    fn tell_availability(&mut self, state: &State, now: Instant) {
        if state.available {
            self.routing.handle_available(now);
            if let Some(upstream) = self.upstream().cloned() {
                self.note_reached(&upstream, now);
            }
        } else {
            self.routing.handle_unavailable(now);
            let subject = self.upstream().map(ToString::to_string).unwrap_or_default();
            self.output.push_back(UplinkOutput::Event(Event::new(Code::UpstreamUnavailable, subject, "")));
        }
        self.output.push_back(UplinkOutput::Available(state.available));
    }
}
