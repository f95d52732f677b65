//! Certificates at a management server: which requests are taken, how many at once, and where the answers go. The
//! shell checks signatures, asks the group, and then the certificate authority.

use std::collections::BTreeMap;
use std::time::Duration;

use super::channel::Stage;
use super::links::Downlink;
use super::{Effect, ManagementServer, Subject};
use crate::code::Code;
use crate::error::Error;
use crate::event::Event;
use crate::group::Knock;
use crate::identity::VerifiedPeer;
use crate::limits::{ENROLMENTS_PER_LINK_MAX, ISSUE_INTERVAL, ISSUES_AT_ONCE_MAX};
use crate::name::Name;
use crate::node::LinkId;
use crate::node::reception::Introduced;
use crate::role::Role;
use crate::time::Timestamp;
use crate::wire::{Answer, Enrol, Frame, Phase, Request, check_request_length, read_message};

/// A request that the shell answers with [`Input::Issued`](super::Input::Issued).
#[derive(Debug)]
pub(crate) enum Order {
    /// By a node that proved who it is, on a channel or link that the group let in.
    Renewal { knock: Knock, peer: std::sync::Arc<VerifiedPeer>, request: Request },
    /// By a node that has a token and nothing else, through this gateway.
    Enrolment { via: Name, enrol: Enrol },
}

/// Where an answer goes.
#[derive(Debug)]
enum Asker {
    Renewal { subject: Subject, name: Name, hash: [u8; 32] },
    Enrolment { subject: Subject, id: u64 },
}

/// What is out, and who asked lately.
#[derive(Debug, Default)]
pub(super) struct Desk {
    count: u64,
    asked: BTreeMap<u64, Asker>,
    /// Who may not ask again before then.
    resting: BTreeMap<Name, Rest>,
}

/// Until when a name rests, and the request that it may ask again all the same: an answer to that is to come.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Timestamp,
    but_for: Option<[u8; 32]>,
}

impl Desk {
    fn is_asking(&self, wanted: Subject) -> bool {
        self.asked.values().any(|asker| matches!(asker, Asker::Renewal { subject, .. } if *subject == wanted))
    }

    fn renewals(&self) -> usize {
        self.asked.values().filter(|asker| matches!(asker, Asker::Renewal { .. })).count()
    }

    fn enrolments_of(&self, wanted: Subject) -> usize {
        let is_of = |asker: &&Asker| matches!(asker, Asker::Enrolment { subject, .. } if *subject == wanted);
        self.asked.values().filter(is_of).count()
    }

    fn put(&mut self, asker: Asker) -> u64 {
        self.count += 1;
        self.asked.insert(self.count, asker);
        self.count
    }

    /// How long a name has still to wait. A clock that was set back does not make it longer than it ever is.
    fn rest(&self, name: &Name, request: [u8; 32], wall: Timestamp) -> Option<Duration> {
        let rest = self.resting.get(name).filter(|rest| rest.but_for != Some(request))?;
        let until = rest.until.unix_millis();
        let rest = Duration::from_millis(u64::try_from(until.saturating_sub(wall.unix_millis())).unwrap_or(0));
        Some(rest.min(ISSUE_INTERVAL)).filter(|rest| !rest.is_zero())
    }

    /// Who rested is forgotten: the map holds those of one interval.
    fn let_rest(&mut self, name: Name, request: [u8; 32], answer: &Answer, wall: Timestamp) {
        let (rest, but_for) = match answer {
            Answer::Issued(_) => (ISSUE_INTERVAL, None),
            Answer::Refused(..) => (REFUSED_REST, None),
            // Whoever looks at the requests is not given another one every second.
            Answer::Pending(_) => (ISSUE_INTERVAL, Some(request)),
        };
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let longest = wall.unix_millis().saturating_add(millis(ISSUE_INTERVAL));
        self.resting.retain(|_, rest| (wall.unix_millis()..=longest).contains(&rest.until.unix_millis()));
        let until = Timestamp::from_unix_millis(wall.unix_millis().saturating_add(millis(rest)));
        self.resting.insert(name, Rest { until, but_for });
    }
}

impl ManagementServer {
    /// REQUEST of an agent, or of a gateway behind another one, on its channel.
    pub(super) fn handle_channel_request(&mut self, id: u64, frame: &Frame) -> Result<(), Error> {
        let Some(channel) = self.channels.get(&id) else { return Ok(()) };
        let Some(peer) = channel.peer.clone().filter(|_| channel.stage == Stage::Open) else {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a request for a certificate before the channel was opened")
                .expected("nothing before OPENED (rule G1)"));
        };
        let Some(knock) = self.knock_of(channel, &peer) else { return Ok(()) };
        self.take_request(Subject::Channel(id), knock, peer, read_message(frame)?)
    }

    /// REQUEST of a gateway or an operator for itself, on channel 0.
    pub(super) fn handle_link_request(&mut self, link: LinkId, frame: &Frame) -> Result<(), Error> {
        let Some(down) = self.links.get(&link) else { return Ok(()) };
        let is_operator = down.role() == Some(Role::Operator) && down.caller.link.phase() == Phase::Asking;
        let asks_for_itself = is_operator || down.is_open_gateway();
        let Some(introduced) = down.caller.introduced.as_ref().filter(|_| asks_for_itself) else {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a request for a certificate on channel 0")
                .expected("a gateway's or an operator's; an agent asks on its channel"));
        };
        let (peer, knock) = (down.caller.peer.clone(), self.knock_of_link(down, introduced));
        self.take_request(Subject::Link(link), knock, peer, read_message(frame)?)
    }

    /// What the group is asked about a node that is in, on a link of its own.
    pub(super) fn knock_of_link(&self, down: &Downlink, introduced: &Introduced) -> Knock {
        let peer = &down.caller.peer;
        Knock {
            role: introduced.role,
            name: introduced.name.clone(),
            key: peer.key_hash(),
            issuer: peer.issuer_key_hash(),
            is_in: true,
            address: down.caller.address.clone(),
            server: self.config.me.name.clone(),
            via: None,
            software: introduced.software.clone(),
            at: self.wall,
        }
    }

    fn take_request(
        &mut self,
        subject: Subject,
        knock: Knock,
        peer: std::sync::Arc<VerifiedPeer>,
        request: Request,
    ) -> Result<(), Error> {
        check_request_length(&request.request)?;
        if self.desk.is_asking(subject) {
            return Err(Error::new(Code::FrameUnexpected)
                .found("a request for a certificate before the last was answered")
                .expected("one at a time"));
        }
        let (name, hash) = (knock.name.clone(), crate::identity::request_hash(&request.request));
        let asker = Asker::Renewal { subject, name: name.clone(), hash };
        let resting = self.desk.rest(&name, hash, self.wall);
        let busy = (self.desk.renewals() >= ISSUES_AT_ONCE_MAX).then_some(BUSY_REST);
        if let Some(rest) = resting.or(busy) {
            let found = if resting.is_some() { "the last one was a moment ago" } else { "many nodes ask at once" };
            self.answer(&asker, &Answer::Refused(Error::new(Code::RenewalTooOften).found(found), rest));
            return Ok(());
        }
        let order = self.desk.put(asker);
        self.effects.push_back(Effect::Issue { order, what: Box::new(Order::Renewal { knock, peer, request }) });
        Ok(())
    }

    /// ENROL, passed on by a gateway at this server.
    pub(super) fn handle_enrol(&mut self, link: LinkId, enrol: Enrol) -> Result<(), Error> {
        let Some(down) = self.links.get(&link) else { return Ok(()) };
        let Some(introduced) = down.caller.introduced.as_ref().filter(|_| down.is_open_gateway()) else {
            return Err(Error::new(Code::FrameUnexpected).found("ENROL").expected("it from a gateway"));
        };
        let via = introduced.name.clone();
        self.take_enrolment(Subject::Link(link), via, enrol)
    }

    /// ENROL, passed on by a gateway that is behind another one: that one the token is for, and not who is in between.
    pub(super) fn handle_channel_enrol(&mut self, id: u64, enrol: Enrol) -> Result<(), Error> {
        let Some(channel) = self.channels.get(&id) else { return Ok(()) };
        let via = channel.agent.clone();
        self.take_enrolment(Subject::Channel(id), via, enrol)
    }

    fn take_enrolment(&mut self, subject: Subject, via: Name, enrol: Enrol) -> Result<(), Error> {
        check_request_length(&enrol.request)?;
        if self.desk.enrolments_of(subject) >= ENROLMENTS_PER_LINK_MAX {
            return Err(Error::new(Code::FrameUnexpected)
                .found(format!("more than {ENROLMENTS_PER_LINK_MAX} enrolments that were not answered yet")));
        }
        let order = self.desk.put(Asker::Enrolment { subject, id: enrol.id });
        self.effects.push_back(Effect::Issue { order, what: Box::new(Order::Enrolment { via, enrol }) });
        Ok(())
    }

    /// The shell's answer goes to who asked, if it is still there.
    pub(super) fn handle_issued(&mut self, order: u64, answer: &Answer) {
        let Some(asker) = self.desk.asked.remove(&order) else { return };
        if let Asker::Renewal { name, subject, hash } = &asker {
            self.report(name, *subject, answer);
            self.desk.let_rest(name.clone(), *hash, answer, self.wall);
        }
        self.answer(&asker, answer);
    }

    /// Enrolments are told by the shell, which bounds how many: who asks there has proven nothing.
    fn report(&mut self, name: &Name, subject: Subject, answer: &Answer) {
        let path = match subject {
            Subject::Channel(id) => self.channels.get(&id).map(super::channel::Channel::path),
            Subject::Link(_) => None,
        };
        let path = path.unwrap_or_default();
        let event = match answer {
            Answer::Issued(_) => Event::new(Code::CertificateIssuedTo, name.to_string(), path),
            Answer::Refused(error, _) if error.code() == Code::RenewalByHand => return,
            Answer::Refused(error, _) => Event::of_error(format!("{name} {path}").trim().to_owned(), error),
            Answer::Pending(_) => return,
        };
        self.effects.push_back(Effect::Event(event));
    }

    fn answer(&mut self, asker: &Asker, answer: &Answer) {
        let (link, channel) = match asker {
            Asker::Renewal { subject, .. } | Asker::Enrolment { subject, .. } => match subject {
                Subject::Link(link) => (*link, 0),
                Subject::Channel(id) => {
                    let Some(channel) = self.channels.get(id) else { return };
                    (channel.link, channel.number)
                }
            },
        };
        let Some(down) = self.links.get_mut(&link) else { return };
        match asker {
            Asker::Renewal { hash, .. } => {
                answer.to_issued(*hash).iter().for_each(|issued| down.caller.link.send(channel, issued));
            }
            Asker::Enrolment { id, .. } => {
                answer.to_enrolled(*id).iter().for_each(|enrolled| down.caller.link.send(channel, enrolled));
            }
        }
        self.touch(link);
    }
}

/// A refused name is looked at again after this: each refusal is a signature's check and an event.
const REFUSED_REST: Duration = Duration::from_secs(5);
/// When a node is told to come again where many ask at once.
const BUSY_REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn name(number: usize) -> Name {
        Name::parse(&format!("pc{number}.branch.example")).unwrap()
    }

    const ONE: [u8; 32] = [1; 32];
    const OTHER: [u8; 32] = [2; 32];

    #[test]
    fn d7_a_name_rests_after_each_answer_and_a_pending_one_may_only_ask_again_what_it_asked() {
        let seconds = |rest: Option<Duration>| rest.map(|rest| rest.as_secs());
        let issued = Answer::Issued(Vec::new());
        let refused = Answer::refused(Error::new(Code::RequestRefused));
        for (answer, again, other) in [
            (issued, Some(60), Some(60)),
            (refused, Some(5), Some(5)),
            (Answer::Pending(Duration::ZERO), None, Some(60)),
        ] {
            let mut desk = Desk::default();
            desk.let_rest(name(1), ONE, &answer, at(1000));
            assert_eq!(seconds(desk.rest(&name(1), ONE, at(1000))), again, "{answer:?}");
            assert_eq!(seconds(desk.rest(&name(1), OTHER, at(1000))), other, "{answer:?}");
            assert_eq!(desk.rest(&name(2), ONE, at(1000)), None, "of the others nobody rests");
            assert_eq!(desk.rest(&name(1), OTHER, at(1060)), None, "{answer:?}");
        }
    }

    #[test]
    fn h18_a_clock_that_is_set_back_lets_nobody_rest_longer_than_a_minute_and_the_map_stays_small() {
        let mut desk = Desk::default();
        desk.let_rest(name(1), ONE, &Answer::Issued(Vec::new()), at(10_000));
        assert_eq!(desk.rest(&name(1), ONE, at(0)), Some(ISSUE_INTERVAL));
        for number in 2..500 {
            desk.let_rest(
                name(number),
                ONE,
                &Answer::Issued(Vec::new()),
                at(10_000 + 30 * i64::try_from(number).unwrap()),
            );
        }
        assert!(desk.resting.len() <= 3, "{}", desk.resting.len());
    }

    #[test]
    fn one_request_per_channel_and_the_enrolments_of_each_gateway_are_counted_apart() {
        let mut desk = Desk::default();
        let link = LinkId::accepted(1);
        let subject = Subject::Channel(7);
        let order = desk.put(Asker::Renewal { subject, name: name(1), hash: ONE });
        let enrolment = desk.put(Asker::Enrolment { subject: Subject::Link(link), id: 3 });
        assert_ne!(order, enrolment);
        assert!(
            desk.is_asking(subject) && !desk.is_asking(Subject::Channel(8)) && !desk.is_asking(Subject::Link(link))
        );
        let other = Subject::Link(LinkId::accepted(2));
        assert_eq!((desk.renewals(), desk.enrolments_of(Subject::Link(link)), desk.enrolments_of(other)), (1, 1, 0));
        assert_eq!(desk.enrolments_of(subject), 0);
    }
}
