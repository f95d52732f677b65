//! A gateway and certificates: its own renewal, and the enrolments that it passes on. What its agents ask for on their
//! channels goes through like any other frame of theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Effect;
use super::control::Control;
use crate::code::Code;
use crate::error::Error;
use crate::limits::ENROLMENTS_PER_LINK_MAX;
use crate::node::LinkId;
use crate::node::renewal::{Ask, Renewal};
use crate::wire::{Answer, Assembly, Enrol, Frame, Kind, read_message};

/// What is asked and not answered.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// On the link upstream: this gateway's own channel, or channel 0 where that goes to a management server.
    renewal: Renewal<(LinkId, u32)>,
    /// Where the enrolments went, in the same way.
    enrolled_on: Option<(LinkId, u32)>,
    enrolments: BTreeMap<u64, Assembly>,
}

impl Control {
    pub(super) fn renew(&mut self, ask: Ask) {
        self.certificates.renewal.ask(ask);
    }

    /// Passes an enrolment on, or says at once that it cannot be had.
    pub(super) fn enrol(&mut self, ticket: u64, mut enrol: Enrol) {
        self.end_lost_enrolments();
        let ready = self.is_available() && !self.uplink.is_moving();
        let Some((id, channel)) = self.place().filter(|_| ready) else {
            return self.refuse_enrolment(ticket, Error::new(Code::UpstreamUnavailable));
        };
        if self.certificates.enrolments.len() >= ENROLMENTS_PER_LINK_MAX {
            let error = Error::new(Code::RenewalTooOften)
                .found(format!("{ENROLMENTS_PER_LINK_MAX} enrolments that were not answered yet"));
            return self.refuse_enrolment(ticket, error);
        }
        enrol.id = ticket;
        if let Some((_, link)) = self.uplink.link() {
            link.send(channel, &enrol);
        }
        self.certificates.enrolled_on = Some((id, channel));
        self.certificates.enrolments.insert(ticket, Assembly::default());
    }

    /// Where this gateway asks for certificates: its own channel, where its upstream is another gateway, else channel 0.
    fn place(&mut self) -> Option<(LinkId, u32)> {
        let channel = self.own.open_id().unwrap_or(0);
        self.uplink.link().map(|(id, _)| (id, channel))
    }

    fn refuse_enrolment(&mut self, ticket: u64, error: Error) {
        let answer = Answer::Refused(error, ASK_AGAIN_AFTER);
        self.effects.push_back(Effect::Enrolled { ticket, answer });
    }

    /// The answers went with the link, or with the gateway's own channel: the nodes ask again.
    fn end_lost_enrolments(&mut self) {
        let place = self.place();
        if place != self.certificates.enrolled_on {
            for ticket in std::mem::take(&mut self.certificates.enrolments).into_keys() {
                self.refuse_enrolment(ticket, Error::new(Code::UpstreamUnavailable));
            }
            self.certificates.enrolled_on = place;
        }
    }

    /// At the end of a turn: asks for the gateway's own certificate where it can be asked for.
    pub(super) fn ask_for_certificates(&mut self) {
        self.end_lost_enrolments();
        if !self.is_available() || self.uplink.is_moving() {
            return;
        }
        if let Some((id, channel)) = self.place()
            && let Some(request) = self.certificates.renewal.next((id, channel))
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(channel, &request);
        }
    }

    /// ISSUED and ENROLLED on channel 0, or on the gateway's own.
    pub(super) fn handle_certificates(&mut self, frame: &Frame) -> Result<(), Error> {
        match frame.kind {
            Kind::Issued => {
                if let Some(renewed) = self.certificates.renewal.handle_issued(read_message(frame)?)? {
                    self.effects.push_back(Effect::Renewed(renewed));
                }
                Ok(())
            }
            Kind::Enrolled => {
                let enrolled: crate::wire::Enrolled = read_message(frame)?;
                let ticket = enrolled.id;
                // One that was given up meanwhile is not looked at.
                let Some(assembly) = self.certificates.enrolments.get_mut(&ticket) else { return Ok(()) };
                if let Some(answer) = assembly.take_enrolled(enrolled)? {
                    self.certificates.enrolments.remove(&ticket);
                    self.effects.push_back(Effect::Enrolled { ticket, answer });
                }
                Ok(())
            }
            other => Err(Error::new(Code::FrameUnexpected).found(format!("{other:?} on channel 0 at a gateway"))),
        }
    }
}

/// When a node that could not be enrolled for now is told to come again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
