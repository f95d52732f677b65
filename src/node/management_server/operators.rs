//! Operators' links: what they ask is taken in parts, done one after the other, and answered as the link takes it
//! (section 15 of the wire specification). The shell asks the group's store, which looks at what each may.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{Effect, ManagementServer};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_TAKEN_WITHIN, ANSWERS_BYTES_MAX, ASKS_BURST, ASKS_IN_FLIGHT_MAX, ASKS_PER_SECOND,
    OPERATOR_LINKS_MAX,
};
use crate::name::Name;
use crate::node::LinkId;
use crate::node::reception::Caller;
use crate::role::Role;
use crate::time::Instant;
use crate::wire::{Ask, AskAssembly, OutgoingAnswer};

/// What the shell is to ask of the store for an operator; answered with [`Input::Performed`](super::Input::Performed).
#[derive(Debug)]
pub(crate) struct OperatorAsk {
    pub(crate) order: u64,
    /// As its certificate proved it.
    pub(crate) operator: Name,
    /// Its address and this server, for the audit log (rule G4).
    pub(crate) from: String,
    /// JSON, as it came.
    pub(crate) operation: Bytes,
}

/// All operators of this server.
#[derive(Debug, Default)]
pub(super) struct Operators {
    links: BTreeMap<LinkId, Asks>,
    /// Links with something to begin, in turn: each is there once.
    turns: VecDeque<LinkId>,
    /// What the shell does: for which link, and the operator's number for it. Those of links that ended count too.
    running: BTreeMap<u64, (LinkId, u64)>,
    count: u64,
}

/// What one link asked.
#[derive(Debug)]
struct Asks {
    assembly: AskAssembly,
    waiting: VecDeque<(u64, Bytes)>,
    stage: Stage,
    /// How far ahead of the clock the asks that were begun are, each one for [`ASK_EVERY`].
    spent_until: Instant,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// It has its place among the turns.
    Queued,
    Running(u64),
    /// The answer goes out; when the link last took something of it.
    Answering(OutgoingAnswer, Instant),
}

impl Asks {
    fn new(now: Instant) -> Self {
        Self { assembly: AskAssembly::default(), waiting: VecDeque::new(), stage: Stage::Idle, spent_until: now }
    }

    fn take(&mut self, part: &Ask) -> Result<()> {
        let Some((id, operation)) = self.assembly.handle(part)? else { return Ok(()) };
        let current = match &self.stage {
            Stage::Running(id) => Some(*id),
            Stage::Answering(answer, _) => Some(answer.id()),
            Stage::Idle | Stage::Queued => None,
        };
        let in_flight = self.waiting.len() + usize::from(current.is_some());
        let too_much = |found: String| Error::new(Code::AskedTooMuch).found(found);
        if current == Some(id) || self.waiting.iter().any(|(waiting, _)| *waiting == id) {
            return Err(too_much(format!("{id} again before its answer")));
        }
        if in_flight >= ASKS_IN_FLIGHT_MAX {
            return Err(too_much(format!("more than {ASKS_IN_FLIGHT_MAX} without an answer")));
        }
        self.waiting.push_back((id, operation));
        Ok(())
    }

    /// When the next one may begin; `None`: there is none, or one is at work.
    fn may_begin_at(&self) -> Option<Instant> {
        let burst = ASK_EVERY * (ASKS_BURST - 1);
        let is_next = matches!(self.stage, Stage::Idle | Stage::Queued) && !self.waiting.is_empty();
        is_next.then(|| Instant::from_micros(self.spent_until.as_micros().saturating_sub(micros(burst))))
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Idle => self.may_begin_at(),
            Stage::Answering(_, moved) => Some(*moved + ANSWER_TAKEN_WITHIN),
            Stage::Queued | Stage::Running(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.stage {
            Stage::Answering(answer, _) => answer.bytes(),
            _ => 0,
        }
    }
}

impl Operators {
    /// What answers may still take, less what those at work may bring.
    fn has_room(&self) -> bool {
        let held: usize = self.links.values().map(Asks::bytes).sum();
        held + (self.running.len() + 1) * ANSWER_BYTES_MAX <= ANSWERS_BYTES_MAX
    }

    fn line_up(&mut self, link: LinkId, now: Instant) {
        let Some(asks) = self.links.get_mut(&link) else { return };
        if matches!(asks.stage, Stage::Idle) && asks.may_begin_at().is_some_and(|at| at <= now) {
            asks.stage = Stage::Queued;
            self.turns.push_back(link);
        }
    }

    /// The next ask whose turn it is, if there is room for its answer.
    fn begin(&mut self, now: Instant) -> Option<(LinkId, u64, Bytes)> {
        while !self.turns.is_empty() && self.has_room() {
            let link = self.turns.pop_front()?;
            let Some(asks) = self.links.get_mut(&link) else { continue };
            asks.stage = Stage::Idle;
            let Some((id, operation)) = asks.waiting.pop_front() else { continue };
            asks.stage = Stage::Running(id);
            asks.spent_until = asks.spent_until.max(now) + ASK_EVERY;
            self.count += 1;
            self.running.insert(self.count, (link, id));
            return Some((link, self.count, operation));
        }
        None
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.links.values().filter_map(Asks::deadline).min()
    }

    pub(super) fn forget(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// The link took a chunk.
    pub(super) fn handle_written(&mut self, link: LinkId, now: Instant) {
        if let Some(Stage::Answering(_, moved)) = self.links.get_mut(&link).map(|asks| &mut asks.stage) {
            *moved = now;
        }
    }

    /// Makes as much of the answer's frames as the link takes now: nothing waits in its buffers (rule D7).
    pub(super) fn fill(&mut self, caller: &mut Caller) {
        let Some(asks) = self.links.get_mut(&caller.id) else { return };
        while caller.link.has_room()
            && let Stage::Answering(answer, _) = &mut asks.stage
        {
            match answer.next_part() {
                Some(part) => caller.link.send(0, &part),
                None => asks.stage = Stage::Idle,
            }
        }
    }
}

impl ManagementServer {
    /// An operator that the group let in.
    pub(super) fn admit_operator(&mut self, link: LinkId, now: Instant) {
        self.operators.links.insert(link, Asks::new(now));
        if let Some(down) = self.links.get(&link) {
            self.effects.push_back(Effect::Event(Event::new(Code::OperatorConnected, down.caller.subject(), "")));
        }
    }

    /// There is room for so many operators and no more: each may hold an answer.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyConnections`].
    pub(super) fn check_operator_links(&self) -> Result<()> {
        let links = self.links.values().filter(|down| down.role() == Some(Role::Operator)).count();
        if links <= OPERATOR_LINKS_MAX {
            return Ok(());
        }
        let error = Error::new(Code::TooManyConnections).found(format!("{links} links of operators"));
        Err(error.expected(format!("at most {OPERATOR_LINKS_MAX}")))
    }

    pub(super) fn handle_ask(&mut self, link: LinkId, part: &Ask) -> Result<()> {
        match self.operators.links.get_mut(&link) {
            Some(asks) => asks.take(part),
            None => Err(Error::new(Code::FrameUnexpected).found("ASK").expected("it from an operator")),
        }
    }

    /// The store's answer goes to who asked, if it is still there.
    pub(super) fn handle_performed(&mut self, order: u64, result: Result<Bytes>, now: Instant) {
        let Some((link, id)) = self.operators.running.remove(&order) else { return };
        let Some(asks) = self.operators.links.get_mut(&link) else { return };
        if let Err(error) = &result
            && is_refusal(error.code())
            && let Some(down) = self.links.get_mut(&link)
            && down.refusals.tell(error.code(), self.wall).is_some()
        {
            self.effects.push_back(Effect::Event(Event::of_error(down.caller.subject(), error)));
        }
        asks.stage = Stage::Answering(OutgoingAnswer::new(id, result), now);
        self.touch(link);
    }

    /// Begins what may begin.
    pub(super) fn begin_asks(&mut self, now: Instant) {
        let links: Vec<LinkId> = self.operators.links.keys().copied().collect();
        for link in links {
            self.operators.line_up(link, now);
        }
        while let Some((link, order, operation)) = self.operators.begin(now) {
            let Some(down) = self.links.get(&link) else { continue };
            let Some(introduced) = &down.caller.introduced else { continue };
            let from = format!("{} at {}", down.caller.address, self.config.me.name);
            let ask = OperatorAsk { order, operator: introduced.name.clone(), from, operation };
            self.effects.push_back(Effect::Perform(ask));
        }
    }

    /// Who takes nothing of its answer holds the memory of it for nothing.
    pub(super) fn end_stalled_answers(&mut self, now: Instant) {
        let is_stalled =
            |asks: &Asks| matches!(asks.stage, Stage::Answering(_, moved) if now >= moved + ANSWER_TAKEN_WITHIN);
        let stalled = self.operators.links.iter().filter(|(_, asks)| is_stalled(asks));
        let stalled: Vec<LinkId> = stalled.map(|(link, _)| *link).collect();
        for link in stalled {
            let error = Error::new(Code::PeerDoesNotRead).found("an answer of which it took nothing");
            self.refuse_link(link, &error.expected(format!("a part of it every {ANSWER_TAKEN_WITHIN:?}")));
        }
    }
}

/// What an administrator is to see of what operators ask (rule G5).
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::AskUnreadable
            | Code::OperatorUnknown
            | Code::OperatorReadOnly
            | Code::OperationLocal
            | Code::NameRejected
    )
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What one ask spends.
const ASK_EVERY: Duration = Duration::from_micros(1_000_000 / ASKS_PER_SECOND as u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + millis * 1000)
    }

    fn ask(id: u64) -> Ask {
        Ask { id, more: false, operation: Bytes::from_static(b"1") }
    }

    fn link(number: u64) -> LinkId {
        LinkId::accepted(number)
    }

    fn operators(count: u64) -> Operators {
        let links = (1..=count).map(|number| (link(number), Asks::new(at(0)))).collect();
        Operators { links, ..Operators::default() }
    }

    /// What begins now.
    fn begun(operators: &mut Operators, now: Instant) -> Vec<(LinkId, u64)> {
        let links: Vec<LinkId> = operators.links.keys().copied().collect();
        links.into_iter().for_each(|link| operators.line_up(link, now));
        std::iter::from_fn(|| operators.begin(now)).map(|(link, order, _)| (link, order)).collect()
    }

    fn answered(operators: &mut Operators, order: u64) {
        let (link, _) = operators.running.remove(&order).unwrap();
        operators.links.get_mut(&link).unwrap().stage = Stage::Idle;
    }

    #[test]
    fn d7_four_asks_of_a_link_are_taken_and_a_fifth_or_one_that_has_no_answer_yet_ends_it() {
        let mut asks = Asks::new(at(0));
        for id in 1..=4 {
            asks.take(&ask(id)).unwrap();
        }
        assert_eq!(asks.take(&ask(5)).unwrap_err().code(), Code::AskedTooMuch);
        let mut asks = Asks::new(at(0));
        asks.take(&ask(1)).unwrap();
        assert_eq!(asks.take(&ask(1)).unwrap_err().code(), Code::AskedTooMuch);
        asks.waiting.clear();
        asks.stage = Stage::Running(1);
        assert_eq!(asks.take(&ask(1)).unwrap_err().code(), Code::AskedTooMuch);
    }

    #[test]
    fn d7_ten_thousand_asks_of_a_link_begin_one_after_the_other_a_hundred_at_once_and_fifty_a_second() {
        let mut operators = operators(1);
        let (mut total, mut at_once) = (0, 0);
        for millis in 0..=10_000 {
            loop {
                let asks = operators.links.get_mut(&link(1)).unwrap();
                while asks.waiting.len() < ASKS_IN_FLIGHT_MAX {
                    total += 1;
                    asks.take(&ask(total)).unwrap();
                }
                let begun = begun(&mut operators, at(millis));
                let [(_, order)] = begun[..] else {
                    assert_eq!(begun, []);
                    let deadline = operators.deadline().unwrap();
                    assert!(deadline > at(millis) && deadline <= at(millis + 20), "it is woken for the next");
                    break;
                };
                answered(&mut operators, order);
            }
            if millis == 0 {
                at_once = operators.count;
            }
        }
        assert_eq!((at_once, operators.count), (100, 600));
    }

    #[test]
    fn d7_no_more_begins_than_there_is_room_for_answers_and_links_take_turns() {
        let mut operators = operators(6);
        for (id, asks) in (1..).zip(operators.links.values_mut()) {
            asks.take(&ask(id)).unwrap();
            asks.take(&ask(id + 100)).unwrap();
        }
        let first = begun(&mut operators, at(0));
        assert_eq!(first, (1..=4).map(|number| (link(number), number)).collect::<Vec<_>>());
        answered(&mut operators, 1);
        assert_eq!(begun(&mut operators, at(0)), [(link(5), 5)], "who waits longer is first");
        // An answer that is not taken keeps its room, and so does one whose link has gone while it was made.
        operators.running.remove(&2).unwrap();
        let held = OutgoingAnswer::new(2, Ok(Bytes::from(vec![0; ANSWER_BYTES_MAX])));
        operators.links.get_mut(&link(2)).unwrap().stage = Stage::Answering(held, at(0));
        operators.forget(link(3));
        assert_eq!(begun(&mut operators, at(0)), []);
        operators.running.remove(&3).unwrap();
        assert_eq!(begun(&mut operators, at(0)), [(link(6), 6)]);
        assert_eq!(operators.deadline(), Some(at(0) + ANSWER_TAKEN_WITHIN));
    }
}
