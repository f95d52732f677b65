//! The simulated world: virtual time, one queue of events, the nodes and their turns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;

use crate::group::{AssignmentKey, SignedAssignment};
use crate::name::Name;
use crate::node::agent::{self, Agent};
use crate::node::gateway::{self, Gateway};
use crate::node::management_server::{self, Batch, ManagementServer, Output};
use crate::node::{LinkId, LinkInput};
use crate::sim::dice::Dice;
use crate::sim::faults::Plan;
use crate::sim::group::Group;
use crate::sim::ledger::Ledger;
use crate::sim::network::Wire;
use crate::sim::queue::{Answer, Queue};
use crate::sim::servers::StoreCall;
use crate::time::{Instant, Timestamp};

/// What happens next.
#[derive(Debug)]
pub(super) enum Event {
    Dial {
        node: usize,
        life: u64,
        link: LinkId,
        to: Name,
    },
    Arrive {
        wire: usize,
        end: usize,
        bytes: Bytes,
    },
    Read {
        wire: usize,
        end: usize,
    },
    Written {
        wire: usize,
        end: usize,
    },
    Hang {
        wire: usize,
        end: usize,
    },
    Timer {
        node: usize,
        life: u64,
    },
    EndTurn {
        node: usize,
        life: u64,
    },
    /// A result that an effect asked for.
    Answer {
        node: usize,
        life: u64,
        input: Input,
    },
    QueueWrites {
        node: usize,
        life: u64,
    },
    QueueAnswers {
        node: usize,
        life: u64,
        answer: Answer,
    },
    /// The store runs a call; `life` is that of the server that made it.
    Store {
        node: usize,
        life: u64,
        call: StoreCall,
    },
    /// The application looks at a batch.
    Take {
        node: usize,
        life: u64,
        batch: Batch,
    },
    Acknowledge {
        node: usize,
        life: u64,
        batch: Batch,
    },
    Wall {
        node: usize,
        life: u64,
    },
    Append {
        node: usize,
    },
    Start {
        node: usize,
    },
    Fault,
}

#[derive(Debug)]
pub(super) enum Input {
    Agent(agent::Input),
    Gateway(gateway::Input),
    Server(Box<management_server::Input>),
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Debug)]
pub(super) enum Machine {
    Agent(Box<Agent>),
    Gateway(Box<Gateway>),
    Server(Box<ManagementServer>),
}

/// A node: its machine while it runs, and what survives it.
pub(super) struct Node {
    pub(super) name: Name,
    pub(super) machine: Option<Machine>,
    /// Rises with every start; what belongs to an earlier life is dropped.
    pub(super) life: u64,
    pub(super) links: BTreeMap<LinkId, (usize, usize)>,
    pub(super) accepted: u64,
    /// On its disk.
    pub(super) assignment: Option<(SignedAssignment, AssignmentKey)>,
    pub(super) queue: Option<Queue>,
    pub(super) snapshot: Option<super::queue::Disk>,
    /// Its disk is an old one, and nothing was numbered anew since.
    pub(super) is_rolled_back: bool,
    pub(super) queue_busy: bool,
    /// What is asked of the store or the disk is answered in order.
    pub(super) asked_at: Instant,
    pub(super) answered_at: Instant,
    pub(super) taken_at: Instant,
    /// The last downstream message that this life's application was handed.
    pub(super) down_handed: u64,
    /// The fences of a server's sessions, by channel.
    pub(super) fences: BTreeMap<u64, u64>,
    /// Which certificate it dials with, and which it shows to those who connect.
    pub(super) generation: u64,
    pub(super) shown: u64,
    /// With which one each link was dialled.
    pub(super) dialled_as: BTreeMap<LinkId, u64>,
    timer: Option<Instant>,
    turn_is_open: bool,
    spins: (Instant, u32),
}

impl Node {
    pub(super) fn new(name: Name, queue: Option<Queue>) -> Self {
        Self {
            name,
            machine: None,
            life: 0,
            links: BTreeMap::new(),
            accepted: 0,
            assignment: None,
            queue,
            snapshot: None,
            is_rolled_back: false,
            queue_busy: false,
            asked_at: Instant::default(),
            answered_at: Instant::default(),
            taken_at: Instant::default(),
            down_handed: 0,
            fences: BTreeMap::new(),
            generation: 1,
            shown: 1,
            dialled_as: BTreeMap::new(),
            timer: None,
            turn_is_open: false,
            spins: (Instant::default(), 0),
        }
    }

    pub(super) fn clear(&mut self) {
        self.machine = None;
        self.life += 1;
        self.queue_busy = false;
        self.fences.clear();
        self.down_handed = 0;
        self.dialled_as.clear();
        self.timer = None;
        self.turn_is_open = false;
    }
}

/// See the module's text.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) step: u64,
    pub(super) dice: Dice,
    pub(super) plan: Plan,
    pub(super) output: Output,
    pub(super) nodes: Vec<Node>,
    pub(super) wires: Vec<Wire>,
    pub(super) group: Group,
    pub(super) ledger: Ledger,
    pub(super) excluded_since: BTreeMap<Name, Instant>,
    /// Until then no application acknowledges anything.
    pub(super) applications_rest_until: Instant,
    pub(super) messages: u64,
    /// The downstream cursor that each agent ever had durably (rule D8).
    pub(super) down_kept: BTreeMap<Name, u64>,
    /// Who is connected to a server, in which life, and has not reported there: since when.
    pub(super) unreported: BTreeMap<(usize, u64, u64), (Name, Instant)>,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    is_traced: bool,
}

impl World {
    pub(super) fn new(dice: Dice, plan: Plan, output: Output) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            step: 0,
            dice,
            plan,
            output,
            nodes: Vec::new(),
            wires: Vec::new(),
            group: Group::new(),
            ledger: Ledger::default(),
            excluded_since: BTreeMap::new(),
            applications_rest_until: Instant::default(),
            messages: 0,
            down_kept: BTreeMap::new(),
            unreported: BTreeMap::new(),
            events: BinaryHeap::new(),
            scheduled: 0,
            is_traced: std::env::var_os("FARPOST_SIM_TRACE").is_some(),
        }
    }

    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
        if self.is_traced {
            eprintln!("{:>12} {:>7} {}", self.now.as_micros(), self.step, text());
        }
    }

    pub(super) fn index(&self, name: &Name) -> usize {
        self.nodes.iter().position(|node| node.name == *name).expect("a node of this name")
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at: at.max(self.now), number: self.scheduled, event }));
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// A delay of the network or a shell: short, seldom long.
    pub(super) fn delay(&mut self) -> Duration {
        let most = if self.dice.percent(self.plan.long_delays) { 800 } else { self.plan.delay_ms };
        self.dice.within_ms(most)
    }

    pub(super) fn wall(&self) -> Timestamp {
        let origin = super::people::wall_at_origin().unix_millis();
        Timestamp::from_unix_millis(origin + (self.now.as_micros() / 1000) as i64)
    }

    /// Runs the next event.
    pub(super) fn advance(&mut self) {
        let Some(Reverse(scheduled)) = self.events.pop() else { panic!("nothing will ever happen again") };
        self.now = scheduled.at;
        self.step += 1;
        self.run(scheduled.event);
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Dial { node, life, link, to } if self.is_alive(node, life) => self.dial(node, link, &to),
            Event::Arrive { wire, end, bytes } => self.arrive(wire, end, &bytes),
            Event::Read { wire, end } => self.read(wire, end),
            Event::Written { wire, end } => self.written(wire, end),
            Event::Hang { wire, end } => self.hang(wire, end),
            Event::Timer { node, life } if self.is_alive(node, life) && self.nodes[node].timer == Some(self.now) => {
                self.timeout(node);
            }
            Event::EndTurn { node, life } if self.is_alive(node, life) => self.end_turn(node),
            Event::Answer { node, life, input } if self.is_alive(node, life) => self.feed(node, input),
            Event::QueueWrites { node, life } if self.is_alive(node, life) => self.queue_writes(node),
            Event::QueueAnswers { node, life, answer } if self.is_alive(node, life) => self.queue_answers(node, answer),
            // The store is another machine: it runs the call even if the server died meanwhile.
            Event::Store { node, life, call } => self.run_store(node, life, call),
            Event::Take { node, life, batch } if self.is_alive(node, life) => self.take(node, batch),
            Event::Acknowledge { node, life, batch } if self.is_alive(node, life) => self.acknowledge(node, &batch),
            Event::Wall { node, life } if self.is_alive(node, life) => self.tell_wall(node),
            Event::Append { node } => self.append(node),
            Event::Start { node } => self.start(node),
            Event::Fault => self.fault(),
            _ => {}
        }
    }

    /// Everybody who has been connected for a while has said how it stands. A link that died without a word is found out
    /// after three heartbeats.
    pub(super) fn check_reports(&self) {
        let late = |since: Instant| self.now.since(since) > REPORTED_WITHIN;
        for ((server, life, _), (name, since)) in &self.unreported {
            let is_missing = self.is_alive(*server, *life) && late(*since);
            assert!(!is_missing, "{name} is at {} since {since:?} without a report", self.nodes[*server].name);
        }
    }

    pub(super) fn is_alive(&self, node: usize, life: u64) -> bool {
        self.nodes[node].life == life && self.nodes[node].machine.is_some()
    }

    pub(super) fn link_input(&mut self, node: usize, input: LinkInput) {
        if !matches!(input, LinkInput::Received { .. } | LinkInput::Written { .. }) {
            self.trace(|| format!("{} {input:?}", self.nodes[node].name));
        }
        let now = self.now;
        match &mut self.nodes[node].machine {
            Some(Machine::Agent(agent)) => agent.handle(agent::Input::Link(input), now),
            Some(Machine::Gateway(gateway)) => gateway.handle(gateway::Input::Link(input), now),
            Some(Machine::Server(server)) => server.handle(management_server::Input::Link(input), now),
            None => return,
        }
        self.turn_soon(node);
    }

    pub(super) fn feed(&mut self, node: usize, input: Input) {
        let now = self.now;
        match (&mut self.nodes[node].machine, input) {
            (Some(Machine::Agent(agent)), Input::Agent(input)) => agent.handle(input, now),
            (Some(Machine::Gateway(gateway)), Input::Gateway(input)) => gateway.handle(input, now),
            (Some(Machine::Server(server)), Input::Server(input)) => server.handle(*input, now),
            _ => return,
        }
        self.turn_soon(node);
    }

    /// A node is asked to stop; what it says last still goes out.
    pub(super) fn stop(&mut self, node: usize) {
        let now = self.now;
        match &mut self.nodes[node].machine {
            Some(Machine::Agent(agent)) => agent.handle(agent::Input::Stop, now),
            Some(Machine::Gateway(gateway)) => gateway.handle(gateway::Input::Stop, now),
            Some(Machine::Server(server)) => server.handle(management_server::Input::Stop, now),
            None => return,
        }
        self.end_turn(node);
    }

    /// Ends the turn now, or takes more input into it.
    fn turn_soon(&mut self, node: usize) {
        if self.nodes[node].turn_is_open {
            return;
        }
        if self.dice.percent(60) {
            return self.end_turn(node);
        }
        self.nodes[node].turn_is_open = true;
        let (life, delay) = (self.nodes[node].life, self.dice.within_ms(1));
        self.after(delay, Event::EndTurn { node, life });
    }

    fn timeout(&mut self, node: usize) {
        self.nodes[node].timer = None;
        let now = self.now;
        match &mut self.nodes[node].machine {
            Some(Machine::Agent(agent)) => agent.handle_timeout(now),
            Some(Machine::Gateway(gateway)) => gateway.handle_timeout(now),
            Some(Machine::Server(server)) => server.handle_timeout(now),
            None => return,
        }
        self.end_turn(node);
        let Node { name, machine, spins, .. } = &mut self.nodes[node];
        *spins = if spins.0 == now { (now, spins.1 + 1) } else { (now, 0) };
        assert!(spins.1 < 50, "{name} asks for its timer again and again without time passing: {machine:?}");
    }

    pub(super) fn end_turn(&mut self, node: usize) {
        self.nodes[node].turn_is_open = false;
        let now = self.now;
        let Some(machine) = &mut self.nodes[node].machine else { return };
        match machine {
            Machine::Agent(agent) => {
                agent.end_turn(now);
                let effects: Vec<_> = std::iter::from_fn(|| agent.poll_effect()).collect();
                effects.into_iter().for_each(|effect| self.agent_effect(node, effect));
            }
            Machine::Gateway(gateway) => {
                gateway.end_turn(now);
                let effects: Vec<_> = std::iter::from_fn(|| gateway.poll_effect()).collect();
                effects.into_iter().for_each(|effect| self.gateway_effect(node, effect));
            }
            Machine::Server(server) => {
                server.end_turn(now);
                let effects: Vec<_> = std::iter::from_fn(|| server.poll_effect()).collect();
                effects.into_iter().for_each(|effect| self.server_effect(node, effect));
            }
        }
        self.plan_timer(node);
    }

    fn plan_timer(&mut self, node: usize) {
        let due = match &self.nodes[node].machine {
            Some(Machine::Agent(agent)) => agent.poll_timeout(),
            Some(Machine::Gateway(gateway)) => gateway.poll_timeout(),
            Some(Machine::Server(server)) => server.poll_timeout(),
            None => None,
        };
        let Some(due) = due else { return };
        let due = due.max(self.now);
        if self.nodes[node].timer.is_none_or(|timer| due < timer || timer < self.now) {
            self.nodes[node].timer = Some(due);
            let life = self.nodes[node].life;
            self.at(due, Event::Timer { node, life });
        }
    }
}

/// Three heartbeats, a look at the figures and the way.
const REPORTED_WITHIN: Duration = Duration::from_secs(15);
