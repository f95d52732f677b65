//! The shells of management servers: the store that they share, and the application.

use crate::code::Code;
use crate::error::Error;
use crate::group::{CursorOutcome, CursorWrite, Decision, Knock, SessionAnswer, SessionRequest};
use crate::identity::ChainHash;
use crate::limits::CLONE_RETURNS_MIN;
use crate::message::{Epoch, Sequence};
use crate::name::Name;
use crate::node::management_server::{Batch, Delivery, Effect, Input as ServerInput, Output, Subject};
use crate::sim::ledger::Place;
use crate::sim::people;
use crate::sim::world::{Event, Input, World};

/// What a server asks of the store, or of the application's own database.
#[derive(Debug)]
pub(super) enum StoreCall {
    Authorise { subject: Subject, knock: Knock },
    Open { channel: u64, request: SessionRequest },
    AskCursor { channel: u64, agent: Name, epoch: Epoch },
    Commit { writes: Vec<CursorWrite>, deliveries: Vec<Delivery> },
    FetchDown { channel: u64, agent: Name, fence: u64, above: u64 },
    DownDelivered { agent: Name, fence: u64, through: u64 },
}

impl World {
    pub(super) fn server_effect(&mut self, node: usize, effect: Effect) {
        if !matches!(effect, Effect::Link(_)) {
            self.trace(|| format!("{} {}", self.nodes[node].name, shortened(&effect)));
        }
        match effect {
            Effect::Link(effect) => self.link_effect(node, effect),
            Effect::VerifySuccession { subject, name, shown, .. } => {
                let result = people::verify_succession(&name, &shown);
                let (chain, delay) = (ChainHash::of(&shown.chain), self.delay());
                self.answer_at(node, self.now + delay, ServerInput::SuccessionVerified { subject, chain, result });
            }
            Effect::VerifyAgent { channel, agent, chain, claims, signature, .. } => {
                let result = people::verify(&agent, &chain, &claims, &signature);
                let delay = self.delay();
                self.answer_at(node, self.now + delay, ServerInput::AgentVerified { channel, result });
            }
            Effect::Authorise { subject, knock } => self.ask_store(node, StoreCall::Authorise { subject, knock }),
            Effect::OpenSession { channel, request } => self.ask_store(node, StoreCall::Open { channel, request }),
            Effect::AskCursor { channel, agent, epoch } => {
                let (life, delay) = (self.nodes[node].life, self.delay());
                self.after(delay, Event::Store { node, life, call: StoreCall::AskCursor { channel, agent, epoch } });
            }
            Effect::HandOver(batch) => self.hand_over(node, batch),
            Effect::Commit { writes, deliveries, .. } => self.ask_store(node, StoreCall::Commit { writes, deliveries }),
            Effect::FetchDown { channel, agent, fence, above } => {
                self.ask_store(node, StoreCall::FetchDown { channel, agent, fence, above });
            }
            Effect::DownDelivered { agent, fence, through } => {
                let kept = self.down_kept.get(&agent).copied().unwrap_or(0);
                assert!(
                    through <= kept || self.ledger.spoilt.contains(&agent),
                    "D8 {agent} is said to have {through}, and has {kept} durably"
                );
                self.ask_store(node, StoreCall::DownDelivered { agent, fence, through });
            }
            // Nobody is pinned here.
            Effect::Issue { .. } | Effect::Perform(_) | Effect::NextKey(_) => {}
            // Rule I5: whoever changes its key, no honest node's attestation or statement is ever taken for a false one.
            Effect::Event(event) => {
                let is_false = matches!(event.code, Code::AttestationInvalid | Code::SuccessionInvalid);
                assert!(!is_false, "I5 {event}");
            }
            Effect::Entered(presence) => {
                let since = (presence.name.clone(), self.now);
                self.unreported.insert((node, self.nodes[node].life, presence.session), since);
            }
            Effect::Reported(report) => {
                self.unreported.remove(&(node, self.nodes[node].life, report.session));
            }
            Effect::Left { session, .. } => {
                self.unreported.remove(&(node, self.nodes[node].life, session));
            }
            Effect::Refused(_) => {}
            Effect::Stopped => {}
        }
    }

    fn answer_at(&mut self, node: usize, at: crate::time::Instant, input: ServerInput) {
        let life = self.nodes[node].life;
        self.at(at, Event::Answer { node, life, input: Input::Server(Box::new(input)) });
    }

    /// One store connection per server: its calls run in order.
    fn ask_store(&mut self, node: usize, call: StoreCall) {
        let at = self.nodes[node].asked_at.max(self.now + self.delay());
        self.nodes[node].asked_at = at;
        let life = self.nodes[node].life;
        self.at(at, Event::Store { node, life, call });
    }

    pub(super) fn run_store(&mut self, node: usize, life: u64, call: StoreCall) {
        let fails = self.dice.percent(self.plan.store_fails);
        let unavailable = || Error::new(Code::StoreUnavailable);
        let ordered = !matches!(call, StoreCall::AskCursor { .. });
        let input = match call {
            StoreCall::Authorise { subject, .. } if fails => {
                ServerInput::Authorised { subject, result: Err(unavailable()) }
            }
            StoreCall::Authorise { subject, knock } => {
                let standing = self.group.authorise(&knock);
                self.trace(|| format!("store: {} {subject:?} {:?}", knock.name, standing.decision));
                self.check_standing(&knock, &standing.decision);
                ServerInput::Authorised { subject, result: Ok(standing) }
            }
            StoreCall::Open { channel, .. } if fails => {
                ServerInput::SessionOpened { channel, result: Err(unavailable()) }
            }
            StoreCall::Open { channel, request } => {
                let answer = self.group.open_session(&request);
                self.trace(|| format!("store: {} {channel} {answer:?}", request.agent));
                if let SessionAnswer::Granted(grant) = &answer {
                    let agent = &request.agent;
                    assert!(grant.returns < CLONE_RETURNS_MIN, "F5 {agent} is taken for two: {request:?}");
                    if self.nodes[node].life == life {
                        self.nodes[node].fences.insert(channel, grant.fence);
                    }
                }
                ServerInput::SessionOpened { channel, result: Ok(answer) }
            }
            StoreCall::AskCursor { channel, .. } if fails => {
                ServerInput::CursorAnswered { channel, result: Err(unavailable()) }
            }
            StoreCall::AskCursor { channel, agent, epoch } => {
                let cursor = self.ledger.cursors.get(&(agent, epoch)).map(|cursor| Sequence(*cursor));
                ServerInput::CursorAnswered { channel, result: Ok(cursor) }
            }
            StoreCall::Commit { writes, deliveries } => {
                ServerInput::Committed(self.commit(node, life, &writes, &deliveries))
            }
            StoreCall::FetchDown { channel, agent, fence, above } => {
                let messages = self.group.fetch_down(&agent, fence, above);
                ServerInput::DownFetched { channel, messages }
            }
            StoreCall::DownDelivered { agent, fence, through } => {
                return self.group.down_delivered(&agent, fence, through);
            }
        };
        if self.is_alive(node, life) {
            let mut at = self.now + self.delay();
            if ordered {
                at = at.max(self.nodes[node].answered_at);
                self.nodes[node].answered_at = at;
            }
            self.answer_at(node, at, input);
        }
    }

    /// Rules G1 and G3, at the one place where the group says yes.
    fn check_standing(&self, knock: &Knock, decision: &Decision) {
        if matches!(decision, Decision::Approved(_)) {
            let approved = (knock.name.clone(), knock.role as u8);
            assert!(self.group.ever_approved.contains(&approved), "G1 {approved:?} was let in");
            let gateway = knock.role == crate::role::Role::Gateway;
            let excluded = self.group.servers.get(&knock.server).is_some_and(|server| server.excluded);
            assert!(!(gateway && excluded), "G3 {} let {} in", knock.server, knock.name);
        }
    }

    /// A transaction: cursors and, where the store is the output, what they cover.
    fn commit(
        &mut self,
        node: usize,
        life: u64,
        writes: &[CursorWrite],
        deliveries: &[Delivery],
    ) -> Vec<CursorOutcome> {
        let mut channels: Vec<u64> = deliveries.iter().map(|delivery| delivery.channel).collect();
        channels.sort_unstable();
        channels.dedup();
        let mut outcomes = Vec::new();
        for (at, write) in writes.iter().enumerate() {
            let outcome = self.group.write(write);
            self.trace(|| format!("store: {write:?} {outcome:?}"));
            if outcome == CursorOutcome::Written && self.output == Output::Store {
                assert_eq!(channels.len(), writes.len(), "a cursor for each channel's deliveries");
                for delivery in deliveries.iter().filter(|delivery| delivery.channel == channels[at]) {
                    self.check_delivery(node, life, delivery, true);
                    let count = delivery.content.last();
                    self.ledger.take(delivery);
                    let cursor = self.ledger.cursors.get(&(delivery.agent.clone(), delivery.epoch)).copied();
                    assert_eq!(cursor, Some(count.0), "D5 the store has {} not in order", delivery.agent);
                }
            }
            if outcome == CursorOutcome::Fenced {
                outcomes.push(outcome);
                continue;
            }
            self.ledger.check_cursor_write(self.output, &write.agent, write.epoch, write.through);
            outcomes.push(outcome);
        }
        outcomes
    }

    fn check_delivery(&mut self, node: usize, life: u64, delivery: &Delivery, is_written: bool) {
        let agent = (delivery.agent.clone(), crate::role::Role::Agent as u8);
        assert!(self.group.ever_approved.contains(&agent), "G1 data of {} was handed over", delivery.agent);
        for via in &*delivery.via {
            let gateway = (via.clone(), crate::role::Role::Gateway as u8);
            assert!(self.group.ever_approved.contains(&gateway), "G1 data through {via} was handed over");
            let since = self.excluded_since.get(&self.nodes[node].name);
            let late = since.is_some_and(|since| self.now > *since + std::time::Duration::from_secs(8));
            assert!(!late, "G3 {} hands over what {via} sends", self.nodes[node].name);
        }
        let newest = self.group.fence(&delivery.agent);
        let is_current = is_written || self.nodes[node].fences.get(&delivery.channel) == Some(&newest);
        self.ledger.hand_over(Place { server: node, life, now: self.now, is_current }, delivery);
    }

    fn hand_over(&mut self, node: usize, batch: Batch) {
        let life = self.nodes[node].life;
        for delivery in &batch.deliveries {
            self.check_delivery(node, life, delivery, false);
        }
        if self.output == Output::Application {
            return self.acknowledge_later(node, batch);
        }
        // One database connection: batches are taken in order, and acknowledged in any.
        let at = self.nodes[node].taken_at.max(self.now + self.dice.within_ms(self.plan.application_ms));
        self.nodes[node].taken_at = at;
        self.at(at, Event::Take { node, life, batch });
    }

    pub(super) fn take(&mut self, node: usize, batch: Batch) {
        for delivery in &batch.deliveries {
            self.ledger.take(delivery);
        }
        self.acknowledge_later(node, batch);
    }

    fn acknowledge_later(&mut self, node: usize, batch: Batch) {
        let life = self.nodes[node].life;
        let at = self.now.max(self.applications_rest_until) + self.dice.within_ms(self.plan.application_ms);
        self.at(at, Event::Acknowledge { node, life, batch });
    }

    pub(super) fn acknowledge(&mut self, node: usize, batch: &Batch) {
        if self.output == Output::Application {
            self.ledger.acknowledge(&batch.deliveries);
        }
        self.feed(node, Input::Server(Box::new(ServerInput::Acknowledged { batch: batch.number })));
    }

    pub(super) fn tell_wall(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.after(std::time::Duration::from_secs(1), Event::Wall { node, life });
        let wall = self.wall();
        self.feed(node, Input::Server(Box::new(ServerInput::Wall(wall))));
    }
}

fn shortened(effect: &Effect) -> String {
    let one = |delivery: &Delivery| {
        format!("{} {} ..{} ch {}", delivery.agent, delivery.epoch, delivery.content.last(), delivery.channel)
    };
    match effect {
        Effect::HandOver(batch) => {
            let all: Vec<_> = batch.deliveries.iter().map(one).collect();
            format!("HandOver {} {}", batch.number, all.join(", "))
        }
        Effect::Commit { writes, deliveries, .. } => {
            let all: Vec<_> = deliveries.iter().map(one).collect();
            format!("Commit {} {}", writes.len(), all.join(", "))
        }
        Effect::VerifyAgent { channel, agent, .. } => format!("VerifyAgent {channel} {agent}"),
        other => format!("{other:?}"),
    }
}
