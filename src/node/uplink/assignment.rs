//! Assignments that the group pushes: checked, followed, and kept once they were proven (rules F1 and G6).
//!
//! In two phases: a new assignment is *pending* until one of its upstreams was reached, that is accepted this node and leads
//! to a management server. Only then it is applied: told as held, kept on disk. Until then the last good one is, and its
//! upstreams stay a way out. An assignment that names the upstream in use is applied at once.

use super::{Uplink, UplinkOutput, with_last_resort};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::{Assignment, AssignmentKey, KeySuccession, SignedAssignment, Upstream};
use crate::node::LinkId;
use crate::time::Instant;
use crate::wire::Assign;

/// An assignment of which no upstream was reached yet.
#[derive(Debug)]
pub(super) struct Pending {
    version: u64,
    assignment: Assignment,
    signed: SignedAssignment,
    key: AssignmentKey,
    /// The upstreams of the last good one are tried as well: the one in use was lost.
    is_wide: bool,
}

impl Uplink {
    /// The version of an assignment of which no upstream was reached yet.
    pub(crate) fn assignment_pending(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.version)
    }

    /// Takes a pushed assignment (rule G6): signed by the pinned key or by one that took its place, for this node, and newer
    /// than the ones known. Another key than the pinned one is pinned with the assignment that it signed. A key to which
    /// nothing leads from the pinned one is told (FP3022), and the node stays with what it has: data flows on.
    ///
    /// # Errors
    ///
    /// [`Code::AssignmentForged`]: the sender cannot be trusted with this.
    pub(crate) fn handle_assign(&mut self, assign: &Assign, now: Instant) -> Result<(), Error> {
        let key = match self.key_of(assign) {
            Ok(key) => key,
            Err(error) => {
                let event = Event::of_error(self.me.name.to_string(), &error);
                self.output.push_back(UplinkOutput::Event(event));
                return Ok(());
            }
        };
        let signed =
            SignedAssignment { body: assign.body.clone(), signature: assign.signature.clone(), key_version: 0 };
        let (version, assignment) = key.verify(&self.me.group, &self.me.name, &signed)?;
        if version <= self.assignment_version.max(self.assignment_pending().unwrap_or(0)) {
            return Ok(());
        }
        self.group_key = Some(key);
        let Some(assignment) = assignment else {
            self.apply_withdrawal(version, signed, key, now);
            return Ok(());
        };
        let names_the_one_in_use = self.is_available() && self.upstream().is_some_and(|used| names(&assignment, used));
        let is_wide = self.current.is_none();
        self.pending = Some(Pending { version, assignment, signed, key, is_wide });
        if names_the_one_in_use {
            self.apply_pending(now);
        } else {
            self.follow_pending(now);
        }
        self.act(now);
        Ok(())
    }

    /// The key that an assignment is to be checked with: the pinned one, or the one that it leads to.
    fn key_of(&self, assign: &Assign) -> Result<AssignmentKey, Error> {
        let offered = AssignmentKey::from_bytes(&assign.key)?;
        match self.group_key {
            Some(pinned) if pinned != offered => {
                let reached = pinned
                    .followed(&self.me.group, &successions_of(assign))
                    .map_err(|error| error.subject(self.me.group.as_str()))?;
                if reached != offered {
                    return Err(Error::new(Code::GroupKeyMismatch)
                        .subject(self.me.group.as_str())
                        .found(format!("the key {offered}"))
                        .expected(format!("the key {reached}, which took the place of the trusted one")));
                }
                Ok(offered)
            }
            _ => Ok(offered),
        }
    }

    /// The group withdrew what it assigned: the node follows its own configuration, at once, since it names no upstream
    /// that would have to be reached first.
    fn apply_withdrawal(&mut self, version: u64, signed: SignedAssignment, key: AssignmentKey, now: Instant) {
        self.pending = None;
        self.assignment_version = version;
        self.output.push_back(UplinkOutput::Save(signed, key));
        let upstreams = self.configured.clone();
        let text = format!("version {version}, withdrawn: {}", list(&upstreams));
        self.last_good.clone_from(&upstreams);
        let count = upstreams.len();
        self.replace_upstreams(upstreams, count, now);
        let event = Event::new(Code::AssignmentChanged, self.me.name.to_string(), text);
        self.output.push_back(UplinkOutput::Event(event));
        self.act(now);
    }

    /// Looks for an upstream of the pending assignment. Where a link is in use, only for one of those: what is in use is as
    /// good as any other.
    fn follow_pending(&mut self, now: Instant) {
        let Some(pending) = &self.pending else { return };
        let mut upstreams: Vec<Upstream> = pending.assignment.upstreams().cloned().collect();
        let text = format!("version {}: {}", pending.version, list(&upstreams));
        if pending.is_wide {
            upstreams = with_last_resort(Some(&pending.assignment), &self.last_good);
        }
        let assigned = pending.assignment.upstreams().count();
        let event = Event::new(Code::AssignmentPending, self.me.name.to_string(), text);
        self.output.push_back(UplinkOutput::Event(event));
        self.replace_upstreams(upstreams, assigned, now);
    }

    /// The link in use is lost before an upstream of the pending assignment was reached: those of the last good one are
    /// tried as well, once and for all.
    pub(super) fn widen_pending(&mut self, now: Instant) {
        let Some(pending) = self.pending.as_mut().filter(|pending| !pending.is_wide) else { return };
        pending.is_wide = true;
        let upstreams = with_last_resort(Some(&pending.assignment), &self.last_good);
        let assigned = pending.assignment.upstreams().count();
        self.replace_upstreams(upstreams, assigned, now);
    }

    /// An upstream was reached: what is pending and names it is applied.
    pub(super) fn note_reached(&mut self, upstream: &Upstream, now: Instant) {
        if self.pending.as_ref().is_some_and(|pending| names(&pending.assignment, upstream)) {
            self.apply_pending(now);
        }
    }

    fn apply_pending(&mut self, now: Instant) {
        let Some(Pending { version, assignment, signed, key, .. }) = self.pending.take() else { return };
        self.assignment_version = version;
        self.output.push_back(UplinkOutput::Save(signed, key));
        let upstreams = with_last_resort(Some(&assignment), &self.configured);
        let text = format!("version {version}: {}", list(&upstreams));
        self.last_good.clone_from(&upstreams);
        self.replace_upstreams(upstreams, assignment.upstreams().count(), now);
        let event = Event::new(Code::AssignmentChanged, self.me.name.to_string(), text);
        self.output.push_back(UplinkOutput::Event(event));
    }

    /// Of these upstreams the first `assigned` ones are the assignment's: a link to any other one, a last resort too, is
    /// left as soon as one of them accepts.
    fn replace_upstreams(&mut self, upstreams: Vec<Upstream>, assigned: usize, now: Instant) {
        let current = self.upstream().and_then(|upstream| upstreams.iter().position(|known| known == upstream));
        let current = current.filter(|index| *index < assigned);
        self.upstreams = upstreams;
        self.troubles.keep(&self.upstreams);
        // Dials to upstreams that may have another place now, or none, are begun anew.
        let unfinished: Vec<LinkId> =
            self.dialled.iter().map(|dialled| dialled.id).filter(|id| Some(*id) != self.current).collect();
        for id in unfinished {
            self.forget(id);
        }
        self.moving_to = None;
        self.begin_renewal_anew(now);
        self.routing.replace(self.upstreams.len(), current, now);
    }
}

fn successions_of(assign: &Assign) -> Vec<KeySuccession> {
    let stated = assign.successions.iter();
    stated.map(|one| KeySuccession { body: one.body.clone(), signature: one.signature.clone() }).collect()
}

fn names(assignment: &Assignment, upstream: &Upstream) -> bool {
    assignment.upstreams().any(|named| named == upstream)
}

fn list(upstreams: &[Upstream]) -> String {
    upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
