//! The shells of agents and gateways: what their effects do here.

use bytes::Bytes;

use crate::message::{Numbered, Priority, Sequence};
use crate::node::reporting::Figures;
use crate::node::{agent, gateway};
use crate::sim::people;
use crate::sim::queue::{Answer, Call};
use crate::sim::world::{Event, Input, Machine, Node, World};

impl World {
    pub(super) fn agent_effect(&mut self, node: usize, effect: agent::Effect) {
        if !matches!(effect, agent::Effect::Link(_)) {
            self.trace(|| format!("{} {effect:?}", self.nodes[node].name));
        }
        match effect {
            agent::Effect::Link(effect) => self.link_effect(node, effect),
            agent::Effect::Read { from, bytes_max } => self.ask_queue(node, Call::Read { from, bytes_max }),
            agent::Effect::Rekey => {
                let Node { name, is_rolled_back, .. } = &self.nodes[node];
                let excused = *is_rolled_back || self.ledger.spoilt.contains(name);
                assert!(excused, "D1 {name} is taken for an old disk");
                self.ask_queue(node, Call::Rekey);
            }
            agent::Effect::KeepDownCursor { number } => self.ask_queue(node, Call::KeepDownCursor { number }),
            agent::Effect::KeepSeen { epoch } => self.ask_queue(node, Call::KeepSeen { epoch }),
            agent::Effect::Sign { token, link, bytes } => {
                let Node { name, generation, dialled_as, .. } = &self.nodes[node];
                let peer = people::peer_of(name, dialled_as.get(&link).copied().unwrap_or(*generation));
                let result = Ok((0x0807, people::sign(&peer, &bytes), peer.chain_hash()));
                let (life, delay) = (self.nodes[node].life, self.delay());
                let input = Input::Agent(agent::Input::Signed { token, result });
                self.after(delay, Event::Answer { node, life, input });
            }
            agent::Effect::Delivered(through) => self.forget(node, through),
            agent::Effect::SaveAssignment(signed, key) => self.nodes[node].assignment = Some((signed, key)),
            agent::Effect::Down { number, .. } => {
                let name = &self.nodes[node].name;
                let kept = self.nodes[node].queue.as_ref().map_or(0, |queue| queue.disk.down_cursor);
                let before = self.nodes[node].down_handed.max(kept);
                // After a rollback the group knows more than the disk.
                let known = self.group.downs.get(name).map_or(0, |(_, delivered)| *delivered);
                let in_order = number > before && number <= before.max(known) + 1;
                assert!(in_order, "D8 {name} is handed {number} after {before}");
                self.nodes[node].down_handed = number;
                self.feed_later(node, agent::Input::DownTaken { number });
            }
            agent::Effect::AskFigures => {
                let figures = self.figures(node);
                self.feed_later(node, agent::Input::Figures(figures));
            }
            // Nobody renews in the simulation.
            agent::Effect::Renewed(_) | agent::Effect::Event(_) | agent::Effect::Stopped => {}
        }
    }

    fn feed_later(&mut self, node: usize, input: agent::Input) {
        let (life, delay) = (self.nodes[node].life, self.delay());
        self.after(delay, Event::Answer { node, life, input: Input::Agent(input) });
    }

    pub(super) fn gateway_effect(&mut self, node: usize, effect: gateway::Effect) {
        if !matches!(effect, gateway::Effect::Link(_)) {
            self.trace(|| format!("{} {effect:?}", self.nodes[node].name));
        }
        match effect {
            gateway::Effect::Link(effect) => self.link_effect(node, effect),
            gateway::Effect::SaveAssignment(signed, key) => self.nodes[node].assignment = Some((signed, key)),
            gateway::Effect::Renewed(_) | gateway::Effect::Enrolled { .. } => {}
            gateway::Effect::Sign { token, link, bytes } => {
                let Node { name, generation, dialled_as, .. } = &self.nodes[node];
                let peer = people::peer_of(name, dialled_as.get(&link).copied().unwrap_or(*generation));
                let result = Ok((0x0807, people::sign(&peer, &bytes), peer.chain_hash()));
                let (life, delay) = (self.nodes[node].life, self.delay());
                let input = Input::Gateway(gateway::Input::Signed { token, result });
                self.after(delay, Event::Answer { node, life, input });
            }
            gateway::Effect::Show { generation } => self.nodes[node].shown = generation,
            gateway::Effect::AskFigures => {
                let (life, delay) = (self.nodes[node].life, self.delay());
                let input = Input::Gateway(gateway::Input::Figures(Figures::default()));
                self.after(delay, Event::Answer { node, life, input });
            }
            gateway::Effect::Event(_) | gateway::Effect::Stopped => {}
        }
    }

    fn figures(&self, node: usize) -> Figures {
        let held = self.nodes[node].queue.as_ref().map_or(0, |queue| queue.disk.held.len());
        Figures { queue_messages: held as u64, ..Figures::default() }
    }

    /// Rules D3 and D4: the queue forgets what the group has, nothing else.
    fn forget(&mut self, node: usize, through: Sequence) {
        let name = self.nodes[node].name.clone();
        let Some(Machine::Agent(agent)) = &self.nodes[node].machine else { return };
        let epoch = agent.instance().epoch;
        self.ledger.check_forgotten(&name, epoch, through, self.group.cursor(&name, epoch));
        if let Some(queue) = self.nodes[node].queue.as_mut().filter(|queue| queue.disk.epoch == epoch) {
            queue.delivered(through);
        }
    }

    /// The application sends.
    pub(super) fn append(&mut self, node: usize) {
        let pause = self.dice.within_ms(self.plan.append_every_ms * 2);
        if self.now < self.plan.appends_until {
            self.after(pause, Event::Append { node });
        }
        if self.nodes[node].machine.is_none() {
            return;
        }
        self.append_some(node);
        self.write_queue(node);
    }

    pub(super) fn append_some(&mut self, node: usize) {
        for _ in 0..=self.dice.below(4) {
            let size = match self.dice.below(100) {
                0 => 16_000 + self.dice.below(40_000),
                1..10 => 8 + self.dice.below(4000),
                _ => 8 + self.dice.below(200),
            };
            self.messages += 1;
            let mut payload = self.messages.to_be_bytes().to_vec();
            payload.resize(size, self.messages as u8);
            let (sent, payload) = (self.wall(), Bytes::from(payload));
            let message = Numbered { sequence: Sequence::NONE, priority: Priority::Normal, sent, payload };
            if let Some(queue) = &mut self.nodes[node].queue {
                queue.append(message);
            }
        }
    }

    fn ask_queue(&mut self, node: usize, call: Call) {
        if let Some(queue) = &mut self.nodes[node].queue {
            queue.call(call);
        }
        self.write_queue(node);
    }

    fn write_queue(&mut self, node: usize) {
        let has_work = self.nodes[node].queue.as_ref().is_some_and(|queue| queue.has_work());
        if has_work && !std::mem::replace(&mut self.nodes[node].queue_busy, true) {
            let is_slow = self.dice.percent(self.plan.slow_writes);
            let delay = if is_slow { self.dice.within_ms(5_000) } else { self.delay() };
            let life = self.nodes[node].life;
            self.after(delay, Event::QueueWrites { node, life });
        }
    }

    pub(super) fn queue_writes(&mut self, node: usize) {
        let answers = self.write_batch(node);
        let life = self.nodes[node].life;
        let mut at = self.nodes[node].answered_at.max(self.now);
        for answer in answers {
            at = at + self.dice.within_ms(3);
            self.at(at, Event::QueueAnswers { node, life, answer });
        }
        self.nodes[node].answered_at = at;
        self.nodes[node].queue_busy = false;
        self.write_queue(node);
    }

    /// The queue's disk takes one batch.
    pub(super) fn write_batch(&mut self, node: usize) -> Vec<Answer> {
        let name = self.nodes[node].name.clone();
        let Some(mut queue) = self.nodes[node].queue.take() else { return Vec::new() };
        let mut epoch = queue.disk.epoch;
        let answers = queue.write(&mut self.dice);
        for answer in &answers {
            match answer {
                Answer::Durable(messages) => self.ledger.note_durable(&name, epoch, messages),
                Answer::Rekeyed { .. } => {
                    epoch = queue.disk.epoch;
                    self.nodes[node].is_rolled_back = false;
                    self.ledger.note_durable(&name, epoch, queue.disk.held.values());
                }
                Answer::Read(_) | Answer::DownCursorKept { .. } | Answer::SeenKept { .. } => {}
            }
        }
        let kept = self.down_kept.entry(name).or_default();
        *kept = queue.disk.down_cursor.max(*kept);
        self.nodes[node].queue = Some(queue);
        answers
    }

    pub(super) fn queue_answers(&mut self, node: usize, answer: Answer) {
        let input = match answer {
            Answer::Durable(messages) => agent::Input::Durable(messages),
            Answer::Read(messages) => agent::Input::Read(messages),
            Answer::Rekeyed { instance, held } => agent::Input::Rekeyed { instance, held },
            Answer::DownCursorKept { number } => agent::Input::DownCursorKept { number },
            Answer::SeenKept { epoch } => agent::Input::SeenKept { epoch },
        };
        self.trace(|| format!("{} {}", self.nodes[node].name, shortened(&input)));
        self.feed(node, Input::Agent(input));
    }
}

fn shortened(input: &agent::Input) -> String {
    let range = |messages: &[Numbered]| {
        format!("{:?} to {:?}", messages.first().map(|m| m.sequence), messages.last().map(|m| m.sequence))
    };
    match input {
        agent::Input::Durable(messages) => format!("Durable {}", range(messages)),
        agent::Input::Read(messages) => format!("Read {}", range(messages)),
        other => format!("{other:?}"),
    }
}
