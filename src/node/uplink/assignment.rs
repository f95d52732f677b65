//! Assignments that the group pushes: checked, kept, followed (rules F1 and G6).

use super::{Uplink, UplinkOutput, with_last_resort};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{AssignmentKey, SignedAssignment, Upstream};
use crate::node::LinkId;
use crate::time::Instant;
use crate::wire::Assign;

impl Uplink {
    /// Takes a pushed assignment (rule G6): signed by the pinned key, for this node, and newer than the one held.
    ///
    /// # Errors
    ///
    /// [`Code::AssignmentForged`], [`Code::GroupKeyMismatch`]: the sender cannot be trusted with this.
    pub(crate) fn handle_assign(&mut self, assign: &Assign, now: Instant) -> Result<(), Error> {
        let key = match &self.group_key {
            Some(pinned) => *pinned,
            None => AssignmentKey::from_bytes(&assign.key)?,
        };
        let signed = SignedAssignment { body: assign.body.clone(), signature: assign.signature.clone() };
        let (version, assignment) = key.verify(&self.me.group, &self.me.name, &signed)?;
        if version <= self.assignment_version {
            return Ok(());
        }
        self.assignment_version = version;
        self.group_key = Some(key);
        self.output.push_back(UplinkOutput::Save(signed, key));
        self.replace_upstreams(with_last_resort(&assignment, &self.configured), version, now);
        Ok(())
    }

    fn replace_upstreams(&mut self, upstreams: Vec<Upstream>, version: u64, now: Instant) {
        let text = upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let current = self.upstream().and_then(|upstream| upstreams.iter().position(|known| known == upstream));
        self.upstreams = upstreams;
        // Dials to upstreams that may have another place now, or none, are begun anew.
        let unfinished: Vec<LinkId> =
            self.dialled.iter().map(|dialled| dialled.id).filter(|id| Some(*id) != self.current).collect();
        for id in unfinished {
            self.forget(id);
        }
        self.moving_to = None;
        self.begin_renewal_anew(now);
        self.routing.replace(self.upstreams.len(), current, now);
        let subject = self.me.name.to_string();
        let text = format!("version {version}: {text}");
        self.output.push_back(UplinkOutput::Event(Event::new(Code::AssignmentChanged, subject, text)));
        self.act(now);
    }
}
