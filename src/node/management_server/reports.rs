//! Reports at a management server: who is connected, what nodes say of themselves, and whom this server refused. The
//! group's inventory is made of it; no permission hangs on it.

use std::time::Duration;

use super::channel::Stage;
use super::links::Downlink;
use super::{Effect, ManagementServer};
use crate::code::Code;
use crate::error::Error;
use crate::group::{NodePresence, NodeReport, RefusedAttempt, StandbyReport};
use crate::name::Name;
use crate::node::LinkId;
use crate::node::reporting::{Attempt, Pace};
use crate::role::Role;
use crate::time::{Instant, Timestamp};
use crate::wire::{Frame, Report, ReportedRefusal, ReportedStandby, read_report};

/// What a link of a gateway, or a channel, has to do with reports.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    pub(super) pace: Pace,
    /// When the group let the node in.
    pub(super) entered: Option<Timestamp>,
}

/// Whose report it is.
struct Reporter {
    name: Name,
    role: Role,
    via: Vec<Name>,
    session: u64,
    skipped: u32,
}

impl ManagementServer {
    /// REPORT of a gateway, on channel 0.
    pub(super) fn handle_link_report(&mut self, link: LinkId, frame: &Frame) -> Result<(), Error> {
        let now = self.now;
        let Some(down) = self.links.get_mut(&link) else { return Ok(()) };
        let is_probe = down.caller.introduced.as_ref().is_some_and(|introduced| introduced.is_probe);
        let is_gateway = down.is_open_gateway() && !is_probe;
        let Some(introduced) = down.caller.introduced.as_ref().filter(|_| is_gateway) else {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a report on channel 0")
                .expected("a gateway's; an agent reports on its channel, a probe not at all"));
        };
        let (name, via) = (introduced.name.clone(), Vec::new());
        let Some(skipped) = down.reporting.pace.take(now) else { return Ok(()) };
        let reporter = Reporter { name, role: Role::Gateway, via, session: session_of_link(link), skipped };
        self.take_report(reporter, frame)
    }

    /// REPORT of an agent, or of a gateway behind another one, on its channel.
    pub(super) fn handle_channel_report(&mut self, id: u64, frame: &Frame) -> Result<(), Error> {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let Some(skipped) = channel.reporting.pace.take(now) else { return Ok(()) };
        let (name, role, via) = (channel.agent.clone(), channel.role, channel.via.to_vec());
        self.take_report(Reporter { name, role, via, session: session_of_channel(id), skipped }, frame)
    }

    fn take_report(&mut self, from: Reporter, frame: &Frame) -> Result<(), Error> {
        let mut report = read_report(frame)?;
        // An agent refuses nobody.
        let refusals = std::mem::take(&mut report.refusals);
        for refusal in refusals.into_iter().filter(|_| from.role == Role::Gateway) {
            let refused = refused_by(&from.name, refusal, self.wall);
            self.effects.push_back(Effect::Refused(Box::new(refused)));
        }
        let report = plain(from, report, self.wall)?;
        self.effects.push_back(Effect::Reported(Box::new(report)));
        Ok(())
    }

    /// The group let a gateway in.
    pub(super) fn enter_link(&mut self, link: LinkId) {
        let wall = self.wall;
        let Some(down) = self.links.get_mut(&link) else { return };
        down.reporting.entered = Some(wall);
        let presence = presence_of_link(link, down, self.now, wall);
        self.effects.extend(presence.map(|presence| Effect::Entered(Box::new(presence))));
    }

    /// A channel is open.
    pub(super) fn enter_channel(&mut self, id: u64) {
        let wall = self.wall;
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.reporting.entered = Some(wall);
        }
        let presence = self.presence_of_channel(id);
        self.effects.extend(presence.map(|presence| Effect::Entered(Box::new(presence))));
    }

    /// A link is gone; its channels are told apart from it.
    pub(super) fn leave_link(&mut self, link: LinkId, down: &Downlink) {
        if down.reporting.entered.is_some() {
            self.effects.push_back(Effect::Left { session: session_of_link(link), at: self.wall });
        }
    }

    /// A channel is gone.
    pub(super) fn leave_channel(&mut self, id: u64, reporting: &Reporting) {
        if reporting.entered.is_some() {
            self.effects.push_back(Effect::Left { session: session_of_channel(id), at: self.wall });
        }
    }

    /// Somebody who proved a certificate is turned away.
    pub(super) fn note_refused_link(&mut self, link: LinkId, error: &Error) {
        let attempt = self.links.get(&link).and_then(|down| Attempt::of_caller(&down.caller, error));
        self.effects.extend(attempt.map(|attempt| refused_here(&self.config.me.name, attempt, self.wall)));
    }

    /// A channel is refused.
    pub(super) fn note_refused_channel(&mut self, id: u64, error: &Error) {
        let Some(channel) = self.channels.get(&id) else { return };
        let Some(down) = self.links.get(&channel.link) else { return };
        let address = channel.address(down);
        let attempt = Attempt::of_channel((&channel.agent, channel.role), address, channel.stage == Stage::Open, error);
        self.effects.extend(attempt.map(|attempt| refused_here(&self.config.me.name, attempt, self.wall)));
    }

    /// An opening that came to nothing, behind a gateway: what it said.
    pub(super) fn note_refused_opening(&mut self, (name, role): (&str, u32), address: &str, error: &Error) {
        let Ok(name) = Name::parse(name) else { return };
        let role = Role::from_number(role).unwrap_or(Role::Agent);
        let attempt = Attempt::of_channel((&name, role), address, false, error);
        self.effects.extend(attempt.map(|attempt| refused_here(&self.config.me.name, attempt, self.wall)));
    }

    /// Everybody who is connected, with when they were last heard.
    pub(crate) fn presences(&self) -> Vec<NodePresence> {
        let links = self.links.iter().filter_map(|(link, down)| presence_of_link(*link, down, self.now, self.wall));
        links.chain(self.channels.keys().filter_map(|id| self.presence_of_channel(*id))).collect()
    }

    fn presence_of_channel(&self, id: u64) -> Option<NodePresence> {
        let channel = self.channels.get(&id)?;
        let down = self.links.get(&channel.link)?;
        let address = channel.address(down);
        Some(NodePresence {
            name: channel.agent.clone(),
            role: channel.role,
            via: channel.via.to_vec(),
            address: crate::error::printable(address),
            since: channel.reporting.entered?,
            // A gateway closes the channels of agents that it does not hear any more.
            last_heard: heard(down, self.now, self.wall),
            session: session_of_channel(id),
        })
    }
}

fn presence_of_link(link: LinkId, down: &Downlink, now: Instant, wall: Timestamp) -> Option<NodePresence> {
    let introduced = down.caller.introduced.as_ref()?;
    Some(NodePresence {
        name: introduced.name.clone(),
        role: introduced.role,
        via: Vec::new(),
        address: down.caller.address.clone(),
        since: down.reporting.entered?,
        last_heard: heard(down, now, wall),
        session: session_of_link(link),
    })
}

fn heard(down: &Downlink, now: Instant, wall: Timestamp) -> Timestamp {
    before(wall, now.since(down.caller.link.last_received()))
}

/// Links have odd numbers here, channels even ones.
fn session_of_link(link: LinkId) -> u64 {
    link.number()
}

fn session_of_channel(id: u64) -> u64 {
    id << 1
}

fn refused_here(me: &Name, attempt: Attempt, at: Timestamp) -> Effect {
    let Attempt { name, role, address, code, text } = attempt;
    let (by, code) = (me.clone(), code.number());
    Effect::Refused(Box::new(RefusedAttempt { by, name, role, address, code, text, first: at, last: at, count: 1 }))
}

/// A gateway's refusals; their names were checked when the report was read.
fn refused_by(gateway: &Name, refusal: ReportedRefusal, at: Timestamp) -> RefusedAttempt {
    RefusedAttempt {
        by: gateway.clone(),
        name: Name::parse(&refusal.name).ok(),
        role: Role::from_number(refusal.role),
        address: crate::error::printable(&refusal.address),
        code: code_number(refusal.code),
        text: crate::error::printable(&refusal.text),
        first: ago(at, refusal.first_ms),
        last: ago(at, refusal.last_ms),
        count: refusal.count,
    }
}

/// A report in this server's time.
fn plain(from: Reporter, report: Report, at: Timestamp) -> Result<NodeReport, Error> {
    let Reporter { name, role, via, session, skipped } = from;
    let standbys = report.standbys.into_iter().map(|standby| plain_standby(standby, at));
    Ok(NodeReport {
        name,
        role,
        via,
        session,
        at,
        skipped,
        software: crate::error::printable(&report.software),
        upstream: Name::parse(&report.upstream).ok(),
        upstream_code: code_number(report.upstream_code),
        upstream_text: crate::error::printable(&report.upstream_text),
        since: ago(at, report.since_ms),
        standbys: standbys.collect::<Result<_, _>>()?,
        queue_messages: report.queue_messages,
        queue_bytes: report.queue_bytes,
        oldest: (report.queue_messages > 0).then(|| ago(at, report.oldest_ms)),
        delivered: report.delivered,
        certificate_until: (report.certificate_until_ms != 0)
            .then(|| Timestamp::from_unix_millis(report.certificate_until_ms)),
        assignment_version: report.assignment_version,
        assignment_pending: report.assignment_pending,
        agents_connected: report.agents_connected,
        agents_silent: report.agents_silent,
        agents_pending: report.agents_pending,
    })
}

fn plain_standby(standby: ReportedStandby, at: Timestamp) -> Result<StandbyReport, Error> {
    let was_tried = standby.ready || standby.code != 0;
    Ok(StandbyReport {
        name: Name::parse(&standby.name)?,
        ready: standby.ready,
        code: code_number(standby.code),
        text: crate::error::printable(&standby.text),
        proven: was_tried.then(|| ago(at, standby.proven_ms)),
    })
}

/// A code that no release can have is none.
fn code_number(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

fn ago(at: Timestamp, age_ms: u64) -> Timestamp {
    before(at, Duration::from_millis(age_ms))
}

/// An age that would go back beyond 1970 comes to 1970.
fn before(at: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(at.unix_millis().saturating_sub(age).max(0))
}
