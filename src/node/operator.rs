//! An operator: one link to a management server, what is asked on it, and what is answered; the renewal of its
//! certificate too.
//!
//! Nothing is asked twice: what a lost link leaves without an answer is told as that, and the next ask dials again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::Upstream;
use crate::identity::VerifiedPeer;
use crate::limits::{ASK_BYTES_MAX, ASKS_IN_FLIGHT_MAX};
use crate::node::{IdentityInput, Introduction, LinkEffect, LinkId, LinkInput, PROTOCOL_VERSION, Verdict, renewal};
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{
    self, AnswerAssembly, Ask, Frame, Hello, Issued, Kind, Link, PURPOSE_USE, Phase, Refuse, STATUS_ACCEPTED, Welcome,
    code_of, read_message,
};

/// What an operator starts with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// An empty group: the one that the server has.
    pub(crate) me: Introduction,
    pub(crate) server: Upstream,
}

/// Something to ask.
#[derive(Debug)]
pub(crate) struct Question {
    /// The shell's number for it, never used twice.
    pub(crate) id: u64,
    /// JSON.
    pub(crate) operation: Bytes,
    pub(crate) is_change: bool,
    /// Until when the shell waits.
    pub(crate) until: Instant,
}

/// What the shell tells the operator.
#[derive(Debug)]
pub(crate) enum Input {
    Link(LinkInput),
    Identity(IdentityInput),
    Ask(Question),
    /// Ask for a new certificate, until then; one at a time.
    Renew(renewal::Ask, Instant),
    Stop,
}

/// What the operator asks of the shell.
#[derive(Debug)]
pub(crate) enum Effect {
    Link(LinkEffect),
    /// The answer to a question, in JSON: one for each.
    Answered {
        id: u64,
        result: Result<Bytes>,
    },
    /// What became of the request for a certificate: one for each.
    Renewed(Result<wire::Answer>),
    Stopped,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Operator {
    config: Config,
    dials: u64,
    dialled: Option<(LinkId, Option<Standing>)>,
    /// Not sent yet.
    waiting: VecDeque<Question>,
    /// Sent, and not answered.
    sent: BTreeMap<u64, Question>,
    renewing: Option<Renewing>,
    effects: VecDeque<Effect>,
}

/// A request for a certificate without an answer.
#[derive(Debug)]
struct Renewing {
    ask: renewal::Ask,
    until: Instant,
    is_sent: bool,
    assembly: wire::Assembly,
}

/// A link that stands.
#[derive(Debug)]
struct Standing {
    link: Link,
    peer: Arc<VerifiedPeer>,
    answers: AnswerAssembly,
}

impl Operator {
    pub(crate) fn new(config: Config) -> Self {
        let (waiting, sent, effects) = (VecDeque::new(), BTreeMap::new(), VecDeque::new());
        Self { config, dials: 0, dialled: None, waiting, sent, renewing: None, effects }
    }

    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Ask(question) => self.take(question),
            Input::Renew(ask, until) => {
                self.renewing = Some(Renewing { ask, until, is_sent: false, assembly: wire::Assembly::default() });
                self.dial();
            }
            Input::Link(LinkInput::Dialled { link, result, .. }) => self.handle_dialled(link, result, now),
            Input::Link(LinkInput::Received { link, bytes }) => {
                if let Some(standing) = self.standing(link) {
                    standing.link.handle_bytes(bytes, now);
                    self.read_frames(link);
                }
            }
            Input::Link(LinkInput::Written { link }) => {
                if let Some(standing) = self.standing(link) {
                    standing.link.handle_written();
                }
            }
            Input::Link(LinkInput::Lost { link, error }) => {
                if self.standing(link).is_some() {
                    self.lose(&error);
                }
            }
            Input::Identity(IdentityInput::Judged(verdicts)) => self.handle_verdicts(&verdicts),
            Input::Link(LinkInput::Accepted { .. }) | Input::Identity(_) => {}
            Input::Stop => {
                self.lose(&Error::new(Code::Closed));
                self.effects.push_back(Effect::Stopped);
            }
        }
    }

    fn take(&mut self, question: Question) {
        if question.operation.len() > ASK_BYTES_MAX {
            let error = Error::new(Code::MessageTooLarge).subject("what is asked");
            let error = error.found(format!("{} bytes as JSON", question.operation.len()));
            return self.answer(question.id, Err(error.expected(format!("at most {ASK_BYTES_MAX} from afar"))));
        }
        self.waiting.push_back(question);
        self.dial();
    }

    /// Dials, unless there is a link or a dial already.
    fn dial(&mut self) {
        if self.dialled.is_none() {
            self.dials += 1;
            let link = LinkId::dialled(self.dials);
            self.dialled = Some((link, None));
            let upstream = self.config.server.clone();
            self.effects.push_back(Effect::Link(LinkEffect::Dial { link, upstream }));
        }
    }

    fn handle_dialled(&mut self, link: LinkId, result: Result<Arc<VerifiedPeer>>, now: Instant) {
        let Some((_, standing)) = self.dialled.as_mut().filter(|(dialled, _)| *dialled == link) else { return };
        let me = &self.config.me;
        match result {
            Ok(peer) => {
                let hello = Hello {
                    version: PROTOCOL_VERSION,
                    role: me.role as u32,
                    purpose: PURPOSE_USE,
                    name: me.name.as_str().to_owned(),
                    group: me.group.clone(),
                    software: me.software.clone(),
                    heartbeat_ms: u32::try_from(me.heartbeat.as_millis()).unwrap_or(u32::MAX),
                    features: 0,
                    assignment_version: 0,
                };
                let link = Link::dialled(&hello, me.heartbeat, now).introduced_within(me.hello_timeout, now);
                *standing = Some(Standing { link, peer, answers: AnswerAssembly::default() });
            }
            Err(error) => self.lose(&error),
        }
    }

    /// A server whose certificate is no longer good is asked nothing more.
    fn handle_verdicts(&mut self, verdicts: &[Verdict]) {
        let peers = self.peers();
        let is_meant = |verdict: &&Verdict| peers.iter().any(|peer| peer.chain_hash() == verdict.chain);
        if let Some(Err(error)) = verdicts.iter().find(is_meant).map(|verdict| &verdict.result) {
            self.lose(error);
        }
    }

    fn standing(&mut self, link: LinkId) -> Option<&mut Standing> {
        self.dialled.as_mut().filter(|(dialled, _)| *dialled == link)?.1.as_mut()
    }

    fn read_frames(&mut self, link: LinkId) {
        loop {
            let Some(standing) = self.standing(link) else { return };
            let result = match standing.link.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.handle_frame(link, &frame),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return self.lose(&error);
            }
        }
    }

    fn handle_frame(&mut self, link: LinkId, frame: &Frame) -> Result<()> {
        match frame.kind {
            Kind::Welcome => self.handle_welcome(link, &read_message(frame)?),
            Kind::Refuse => Err(read_message::<Refuse>(frame)?.to_error().subject(self.config.me.name.as_str())),
            Kind::Answer => {
                let Some(standing) = self.standing(link) else { return Ok(()) };
                let Some((id, result)) = standing.answers.handle(&read_message(frame)?)? else { return Ok(()) };
                // One that was given up meanwhile has been told of.
                if self.sent.remove(&id).is_some_and(|question| !question.operation.is_empty()) {
                    self.answer(id, result);
                }
                Ok(())
            }
            Kind::Issued => self.handle_issued(read_message(frame)?),
            // The phase lets no other kind pass.
            kind => Err(Error::new(Code::FrameUnexpected).found(format!("{kind:?}"))),
        }
    }

    fn handle_welcome(&mut self, link: LinkId, welcome: &Welcome) -> Result<()> {
        let (me, server) = (&self.config.me, self.config.server.name());
        let mismatch = |code: Code, found: &str, expected: &str| {
            Err(Error::new(code).found(format!("\"{found}\"")).expected(format!("\"{expected}\"")))
        };
        if welcome.version != PROTOCOL_VERSION {
            let error = Error::new(Code::VersionUnsupported).found(format!("version {}", welcome.version));
            return Err(error.expected(format!("version {PROTOCOL_VERSION}")));
        }
        if welcome.group != me.group && !me.group.is_empty() {
            return mismatch(Code::GroupMismatch, &welcome.group, &me.group);
        }
        if welcome.name != server.as_str() {
            return mismatch(Code::HelloNameMismatch, &welcome.name, server.as_str());
        }
        if Role::from_number(welcome.role) != Some(Role::ManagementServer) {
            let error = Error::new(Code::RoleUnexpected).found(format!("the role {}", welcome.role));
            return Err(error.expected("a management server"));
        }
        if welcome.status != STATUS_ACCEPTED {
            return Err(code_of(welcome.code));
        }
        let heartbeat = std::time::Duration::from_millis(u64::from(welcome.heartbeat_ms));
        if let Some(standing) = self.standing(link) {
            standing.link.enter(Phase::Asking, heartbeat);
        }
        Ok(())
    }

    /// A part of the answer to the request. One to a request that was given up is not looked at.
    fn handle_issued(&mut self, issued: Issued) -> Result<()> {
        let Some(renewing) = self.renewing.as_mut().filter(|one| issued.request.as_ref() == one.ask.hash) else {
            return Ok(());
        };
        if let Some(answer) = renewing.assembly.take_issued(issued)? {
            self.end_renewal(Ok(answer));
        }
        Ok(())
    }

    fn end_renewal(&mut self, result: Result<wire::Answer>) {
        if self.renewing.take().is_some() {
            self.effects.push_back(Effect::Renewed(result));
        }
    }

    fn answer(&mut self, id: u64, result: Result<Bytes>) {
        self.effects.push_back(Effect::Answered { id, result });
    }

    /// The link is over: each question without an answer is told what became of it.
    fn lose(&mut self, error: &Error) {
        if let Some((link, _)) = self.dialled.take() {
            self.effects.push_back(Effect::Link(LinkEffect::Close { link }));
        }
        for (_, question) in std::mem::take(&mut self.sent) {
            self.give_up(&question, error);
        }
        for question in std::mem::take(&mut self.waiting) {
            self.answer(question.id, Err(error.clone()));
        }
        self.end_renewal(Err(error.clone()));
    }

    /// Of a question that was sent: a change may have been made or not.
    fn give_up(&mut self, question: &Question, error: &Error) {
        // One that was given up before is empty.
        if question.operation.is_empty() {
            return;
        }
        let unconfirmed = || {
            let found = format!("{} {} {}", error.code(), error.code().summary(), error.found_text());
            Error::new(Code::ChangeUnconfirmed).subject(self.config.server.to_string()).found(found.trim_end())
        };
        let error = if question.is_change { unconfirmed() } else { error.clone() };
        self.answer(question.id, Err(error));
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late = Error::new(Code::TimedOut).subject(self.config.server.to_string()).found("no answer in time");
        let (over, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|question| question.until <= now);
        self.waiting = waiting;
        let over: VecDeque<Question> = over;
        over.iter().for_each(|question| self.answer(question.id, Err(late.clone())));
        if self.renewing.as_ref().is_some_and(|renewing| renewing.until <= now) {
            self.end_renewal(Err(late.clone()));
        }
        let over: Vec<u64> = self.sent.values().filter(|sent| sent.until <= now).map(|sent| sent.id).collect();
        for id in over {
            // It keeps its place among those in flight, as it has one at the server.
            let given_up =
                Question { id, operation: Bytes::new(), is_change: false, until: Instant::from_micros(u64::MAX) };
            if let Some(question) = self.sent.insert(id, given_up) {
                self.give_up(&question, &late);
            }
        }
        let standing = self.dialled.as_mut().and_then(|(_, standing)| standing.as_mut());
        if let Some(standing) = standing.filter(|standing| standing.link.poll_timeout() <= now)
            && let Err(error) = standing.link.handle_timeout(now)
        {
            self.lose(&error);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let link = self.dialled.as_ref().and_then(|(_, standing)| standing.as_ref()).map(|one| one.link.poll_timeout());
        let questions = self.waiting.iter().chain(self.sent.values()).map(|question| question.until);
        link.into_iter().chain(questions).chain(self.renewing.as_ref().map(|renewing| renewing.until)).min()
    }

    /// The end of a turn: asks, and output.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        let Some((id, Some(standing))) = &mut self.dialled else { return };
        while standing.link.phase() == Phase::Asking
            && self.sent.len() < ASKS_IN_FLIGHT_MAX
            && let Some(question) = self.waiting.pop_front()
        {
            Ask::parts(question.id, &question.operation).iter().for_each(|part| standing.link.send(0, part));
            self.sent.insert(question.id, question);
        }
        if let Some(renewing) = self.renewing.as_mut().filter(|renewing| !renewing.is_sent)
            && standing.link.phase() == Phase::Asking
        {
            standing.link.send(0, &renewing.ask.request);
            renewing.is_sent = true;
        }
        if standing.link.has_control() && standing.link.is_writable() {
            let bytes = standing.link.begin_chunk().freeze();
            standing.link.sent(now);
            self.effects.push_back(Effect::Link(LinkEffect::Transmit { link: *id, bytes }));
        }
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The management server.
    pub(crate) fn peers(&self) -> Vec<Arc<VerifiedPeer>> {
        let standing = self.dialled.as_ref().and_then(|(_, standing)| standing.as_ref());
        standing.map(|standing| standing.peer.clone()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
