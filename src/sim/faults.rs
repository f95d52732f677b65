//! How a world begins, what goes wrong in it, and how it comes to rest.

use std::time::Duration;

use crate::group::{AgentState, Assignment, GatewayState};
use crate::message::Epoch;
use crate::name::Name;
use crate::node::agent::{Agent, Input as AgentInput};
use crate::node::gateway::{Gateway, Input as GatewayInput};
use crate::node::management_server::{Config, Input as ServerInput, ManagementServer, Output};
use crate::node::uplink::UplinkConfig;
use crate::node::{CertificateChange, IdentityChange, IdentityInput, Introduction};
use crate::role::Role;
use crate::routing::Timing;
use crate::sim::dice::Dice;
use crate::sim::group::GROUP;
use crate::sim::people::{self, AGENTS, GATEWAYS, INNER, SERVERS, name};
use crate::sim::queue::Queue;
use crate::sim::world::{Event, Input, Machine, Node, World};
use crate::time::Instant;

/// What a seed's world is like.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    servers: usize,
    agents: usize,
    pub(super) delay_ms: u64,
    /// Percent of delays that are long.
    pub(super) long_delays: usize,
    /// Percent.
    pub(super) dial_fails: usize,
    pub(super) store_fails: usize,
    pub(super) append_every_ms: u64,
    pub(super) application_ms: u64,
    /// Percent of an agent's writes that take seconds.
    pub(super) slow_writes: usize,
    /// A third gateway stands behind the two others.
    pub(super) has_inner: bool,
    /// Nothing fails: what happens is planned moves.
    pub(super) is_calm: bool,
    fault_every_ms: u64,
    pub(super) appends_until: Instant,
    pub(super) faults_until: Instant,
}

impl Plan {
    pub(super) fn of(dice: &mut Dice, has_inner: bool) -> Self {
        let is_calm = dice.percent(25);
        let harsh = !is_calm && dice.percent(50);
        let faults = Duration::from_secs(5 + dice.below(40) as u64);
        let origin = Instant::from_micros(1_000_000);
        Self {
            servers: 1 + dice.below(3),
            agents: 1 + dice.below(AGENTS.len()),
            delay_ms: dice.one_of(&[1, 5, 30, 100]),
            long_delays: if harsh { dice.below(5) } else { 0 },
            dial_fails: if harsh { dice.below(20) } else { 0 },
            store_fails: if harsh { dice.below(5) } else { 0 },
            append_every_ms: dice.one_of(&[20, 100, 400]),
            application_ms: dice.one_of(&[1, 30, 300]),
            slow_writes: if harsh { dice.below(20) } else { 0 },
            has_inner,
            is_calm,
            fault_every_ms: dice.one_of(&[200, 1000, 4000]),
            faults_until: origin + faults,
            appends_until: origin + faults + Duration::from_secs(3),
        }
    }

    pub(super) fn gateways(&self) -> impl Iterator<Item = &'static str> + use<> {
        GATEWAYS.into_iter().chain(self.has_inner.then_some(INNER))
    }

    /// Where agents go that do not come directly.
    fn upstreams_of_agents(&self) -> Vec<&'static str> {
        let inner = self.has_inner.then_some(INNER);
        inner.into_iter().chain(GATEWAYS).collect()
    }

    /// Where a gateway goes.
    fn upstreams_of_gateway(&self, text: &str) -> Vec<&'static str> {
        if text == INNER { GATEWAYS.to_vec() } else { SERVERS[..self.servers].to_vec() }
    }
}

/// Short waits, so that much happens in little virtual time.
fn timing() -> Timing {
    let seconds = Duration::from_secs;
    Timing {
        backoff: (Duration::from_millis(300), seconds(3)),
        backoff_refused: (seconds(1), seconds(6)),
        reset_after: seconds(5),
        hold_down: seconds(4),
        hold_down_jitter: seconds(2),
        probe_every: seconds(6),
        ..Timing::agent()
    }
}

impl World {
    pub(super) fn populate(&mut self) {
        for text in &SERVERS[..self.plan.servers] {
            self.nodes.push(Node::new(name(text), None));
            self.group.set_server(&name(text), false);
        }
        for (at, text) in self.plan.gateways().enumerate() {
            self.nodes.push(Node::new(name(text), None));
            let parent = name(SERVERS[at % self.plan.servers]);
            self.group.set_gateway(&name(text), GatewayState::Approved, Some(&parent));
            self.assign_gateway(text);
        }
        for text in &AGENTS[..self.plan.agents] {
            let queue = Queue::new(Epoch(self.dice.next()));
            self.nodes.push(Node::new(name(text), Some(queue)));
            if self.plan.is_calm || self.dice.percent(80) {
                self.group.set_agent(&name(text), AgentState::Approved);
            }
        }
        for node in 0..self.nodes.len() {
            let delay = self.dice.within_ms(500);
            self.after(delay, Event::Start { node });
            if self.nodes[node].queue.is_some() {
                self.after(delay + Duration::from_millis(1), Event::Append { node });
            }
        }
        self.after(Duration::from_secs(1), Event::Fault);
        if !self.plan.is_calm {
            self.ledger.failure_until = self.plan.faults_until + Duration::from_secs(60);
        }
    }

    fn role(&self, node: usize) -> Role {
        if self.nodes[node].queue.is_some() {
            return Role::Agent;
        }
        let is_gateway = self.plan.gateways().any(|gateway| gateway == self.nodes[node].name.as_str());
        if is_gateway { Role::Gateway } else { Role::ManagementServer }
    }

    /// Starts a node from what its disk holds.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].machine.is_some() {
            return;
        }
        self.trace(|| format!("{} starts", self.nodes[node].name));
        // What it reads from its disk when it starts it shows at once.
        self.nodes[node].shown = self.nodes[node].generation;
        let (role, now) = (self.role(node), self.now);
        let machine = match role {
            Role::Agent => {
                let config = self.uplink_config(node, role);
                let mut queue = self.nodes[node].queue.take().expect("an agent has a queue");
                let (instance, held) = queue.open(&mut self.dice);
                self.nodes[node].queue = Some(queue);
                Machine::Agent(Box::new(Agent::new(config, instance, held, now)))
            }
            Role::Gateway => Machine::Gateway(Box::new(Gateway::new(self.uplink_config(node, role), now))),
            Role::Operator => unreachable!("no operator is simulated"),
            Role::ManagementServer => {
                let config = Config {
                    me: self.introduction(node, role),
                    group_keys: self.group.keys.clone(),
                    challenge_secret: self.group.secret.into(),
                    output: self.output,
                    message_bytes_max: 1 << 20,
                };
                let life = self.nodes[node].life;
                self.after(Duration::from_secs(1), Event::Wall { node, life });
                Machine::Server(Box::new(ManagementServer::new(config, self.wall())))
            }
        };
        self.nodes[node].machine = Some(machine);
        self.end_turn(node);
    }

    fn introduction(&self, node: usize, role: Role) -> Introduction {
        let heartbeat = Duration::from_secs(if role == Role::Agent { 3 } else { 2 });
        let name = self.nodes[node].name.clone();
        Introduction {
            role,
            name,
            group: GROUP.to_owned(),
            software: "simulation".to_owned(),
            heartbeat,
            hello_timeout: crate::limits::HELLO_TIMEOUT,
        }
    }

    fn uplink_config(&mut self, node: usize, role: Role) -> UplinkConfig {
        let me = self.introduction(node, role);
        let upstreams: Vec<&str> = match role {
            Role::Gateway => self.plan.upstreams_of_gateway(me.name.as_str()),
            // The last agent comes directly to the servers, the others through the gateways.
            _ if me.name.as_str() == AGENTS[4] => SERVERS[..self.plan.servers].to_vec(),
            _ if node.is_multiple_of(2) => self.plan.upstreams_of_agents(),
            _ => self.plan.upstreams_of_agents().into_iter().rev().collect(),
        };
        let held =
            self.nodes[node].assignment.as_ref().and_then(|(signed, key)| key.verify(GROUP, &me.name, signed).ok());
        let group_key = self.nodes[node].assignment.as_ref().map(|(_, key)| *key);
        let (configured, seed) = (assignment(&upstreams), self.dice.next());
        UplinkConfig { me, timing: timing(), configured, held, group_key, seed }
    }

    fn assign_gateway(&mut self, text: &str) {
        let mut upstreams = self.plan.upstreams_of_gateway(text);
        let first = self.dice.below(upstreams.len());
        upstreams.rotate_left(first);
        self.trace(|| format!("assign {text} {upstreams:?}"));
        self.group.assign(&name(text), assignment(&upstreams));
    }

    fn assign_agent(&mut self) {
        let text = AGENTS[self.dice.below(self.plan.agents)];
        let mut upstreams = match text {
            _ if text == AGENTS[4] => SERVERS[..self.plan.servers].to_vec(),
            _ => self.plan.upstreams_of_agents(),
        };
        let first = self.dice.below(upstreams.len());
        upstreams.rotate_left(first);
        self.trace(|| format!("assign {text} {upstreams:?}"));
        self.group.assign(&name(text), assignment(&upstreams));
    }

    pub(super) fn fault(&mut self) {
        if self.now >= self.plan.faults_until {
            return self.come_to_rest();
        }
        self.send_down();
        let next = self.dice.within_ms(self.plan.fault_every_ms * 2);
        self.after(next, Event::Fault);
        let kind = if self.plan.is_calm { self.dice.one_of(&[90, 95, 100, 105, 115]) } else { self.dice.below(120) };
        match kind {
            0..25 => {
                let node = self.dice.below(self.nodes.len());
                self.crash(node);
            }
            25..45 => self.cut_a_wire(),
            45..55 => self.deafen_a_wire(),
            55..65 => self.slow_a_wire(),
            65..70 => self.roll_back(),
            70..76 => self.change_a_gateway(),
            76..82 => self.change_an_agent(),
            82..88 => self.change_a_server(),
            88..94 => {
                let gateway = self.some_gateway();
                self.assign_gateway(gateway);
                self.tell_group_changed();
            }
            94..100 => {
                self.assign_agent();
                self.tell_group_changed();
            }
            100..105 => {
                let stall = self.dice.one_of(&[500, 5_000, 15_000]);
                self.applications_rest_until = self.now + Duration::from_millis(stall);
                self.trace(|| format!("the applications rest for {stall} ms"));
            }
            105..112 => self.send_garbage(),
            _ => self.renew_a_certificate(),
        }
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].machine.is_none() {
            return;
        }
        let agreed = self.dice.percent(30);
        self.trace(|| format!("{} {}", self.nodes[node].name, if agreed { "stops" } else { "crashes" }));
        if agreed {
            self.stop(node);
        }
        self.nodes[node].clear();
        self.drop_links_of(node);
        let rest = self.dice.one_of(&[10, 500, 6000]);
        let rest = self.dice.within_ms(rest);
        self.after(rest, Event::Start { node });
    }

    /// A node gets another key (rule I5): links stay, and what goes over them too.
    fn renew_a_certificate(&mut self) {
        let node = self.dice.below(self.nodes.len());
        let role = self.role(node);
        let Node { name, generation, shown, .. } = &mut self.nodes[node];
        *generation += 1;
        if role != Role::Gateway {
            *shown = *generation;
        }
        let (name, generation) = (name.clone(), *generation);
        self.trace(|| format!("{name} has generation {generation}"));
        let newer = people::peer_of(&name, generation);
        let former = (1..generation).rev().take(2).map(|former| people::peer_of(&name, former));
        let change = CertificateChange {
            former_not_after: newer.not_after(),
            successions: former.map(|former| people::vouch(&former, &newer, &name)).collect(),
        };
        let changed = IdentityInput::Changed(IdentityChange { generation, certificate: Some(change) });
        let input = match role {
            Role::Agent => Input::Agent(AgentInput::Identity(changed)),
            Role::Gateway => Input::Gateway(GatewayInput::Identity(changed)),
            Role::ManagementServer => Input::Server(Box::new(ServerInput::Identity(changed))),
            Role::Operator => unreachable!("no operator is simulated"),
        };
        if self.nodes[node].machine.is_some() {
            self.feed(node, input);
        }
    }

    /// An agent's disk becomes what it was some time ago.
    fn roll_back(&mut self) {
        let agents: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].queue.is_some()).collect();
        let node = self.dice.one_of(&agents);
        let Some(queue) = &self.nodes[node].queue else { return };
        if self.nodes[node].snapshot.is_none() || self.dice.percent(30) {
            self.nodes[node].snapshot = Some(queue.disk.clone());
            return;
        }
        let (name, epoch) = (self.nodes[node].name.clone(), queue.disk.epoch);
        let own = self.ledger.cursors.get(&(name.clone(), epoch)).copied().unwrap_or(0);
        let cursor = self.group.cursor(&name, epoch).max(crate::message::Sequence(own));
        if !self.ledger.is_settled(&name, epoch, cursor) {
            return;
        }
        self.trace(|| format!("{name} is rolled back"));
        self.crash(node);
        if let (Some(disk), Some(queue)) = (self.nodes[node].snapshot.take(), self.nodes[node].queue.as_mut()) {
            queue.disk = disk;
            self.nodes[node].is_rolled_back = true;
            self.boot_offline(node);
        }
    }

    /// The agent runs some times without a link: its old disk gets beyond what the group has, which must find it all
    /// the same (rule D1).
    fn boot_offline(&mut self, node: usize) {
        for _ in 0..self.dice.below(4) {
            let Some(mut queue) = self.nodes[node].queue.take() else { return };
            let (instance, _) = queue.open(&mut self.dice);
            self.nodes[node].queue = Some(queue);
            self.trace(|| format!("{} boots offline {instance:?}", self.nodes[node].name));
            for _ in 0..self.dice.below(40) {
                self.append_some(node);
            }
            while self.nodes[node].queue.as_ref().is_some_and(|queue| queue.has_work()) {
                self.write_batch(node);
            }
        }
    }

    fn some_gateway(&mut self) -> &'static str {
        let gateways: Vec<&str> = self.plan.gateways().collect();
        gateways[self.dice.below(gateways.len())]
    }

    fn change_a_gateway(&mut self) {
        let text = self.some_gateway();
        let approve = self.dice.percent(60);
        let state = if approve { GatewayState::Approved } else { GatewayState::Deleted };
        let parent = name(SERVERS[self.dice.below(self.plan.servers)]);
        self.trace(|| format!("{text} {state}"));
        self.group.set_gateway(&name(text), state, approve.then_some(&parent));
        self.tell_group_changed();
    }

    fn change_an_agent(&mut self) {
        let text = AGENTS[self.dice.below(self.plan.agents)];
        let state = if self.dice.percent(70) { AgentState::Approved } else { AgentState::Rejected };
        self.trace(|| format!("{text} {state}"));
        self.group.set_agent(&name(text), state);
        self.tell_group_changed();
    }

    fn change_a_server(&mut self) {
        let server = name(SERVERS[self.dice.below(self.plan.servers)]);
        let excluded = self.dice.percent(50);
        self.trace(|| format!("{server} excluded: {excluded}"));
        self.exclude(&server, excluded);
        if self.dice.percent(30) {
            self.rotate_the_groups_key();
        }
        self.tell_group_changed();
    }

    /// Rule G6: every node follows, whatever it missed.
    fn rotate_the_groups_key(&mut self) {
        self.group.rotate_key();
        let keys = self.group.keys.clone();
        self.trace(|| format!("the group's key has version {}", keys.version));
        for node in 0..self.plan.servers {
            let (life, delay) = (self.nodes[node].life, self.dice.within_ms(500));
            for input in [ServerInput::GroupKeys(keys.clone()), ServerInput::GroupChanged] {
                self.after(delay, Event::Answer { node, life, input: Input::Server(Box::new(input)) });
            }
        }
    }

    fn exclude(&mut self, server: &Name, excluded: bool) {
        self.group.set_server(server, excluded);
        if excluded {
            self.excluded_since.entry(server.clone()).or_insert(self.now);
        } else {
            self.excluded_since.remove(server);
        }
    }

    fn tell_group_changed(&mut self) {
        for node in 0..self.plan.servers {
            let (life, delay) = (self.nodes[node].life, self.dice.within_ms(500));
            let input = Input::Server(Box::new(ServerInput::GroupChanged));
            self.after(delay, Event::Answer { node, life, input });
        }
    }

    /// The group has something to tell an agent; every server hears that, once.
    fn send_down(&mut self) {
        let agent = name(AGENTS[self.dice.below(self.plan.agents)]);
        for _ in 0..self.dice.below(4) {
            self.group.send_down(&agent);
            for node in 0..self.plan.servers {
                let (life, delay) = (self.nodes[node].life, self.dice.within_ms(200));
                let input = Input::Server(Box::new(ServerInput::DownWaiting(vec![agent.clone()])));
                self.after(delay, Event::Answer { node, life, input });
            }
        }
    }

    /// Nothing fails any more, and everybody may do what is needed.
    fn come_to_rest(&mut self) {
        self.trace(|| "rest".to_owned());
        (self.plan.dial_fails, self.plan.store_fails, self.plan.long_delays) = (0, 0, 0);
        self.plan.slow_writes = 0;
        self.hurry_all_wires();
        for text in &SERVERS[..self.plan.servers] {
            self.exclude(&name(text), false);
        }
        for (at, text) in self.plan.gateways().enumerate() {
            let parent = name(SERVERS[at % self.plan.servers]);
            self.group.set_gateway(&name(text), GatewayState::Approved, Some(&parent));
        }
        for text in &AGENTS[..self.plan.agents] {
            self.group.set_agent(&name(text), AgentState::Approved);
        }
        self.tell_group_changed();
    }
}

fn assignment(upstreams: &[&str]) -> Assignment {
    let first = Assignment::primary(upstreams[0]).unwrap();
    upstreams[1..].iter().fold(first, |assignment, upstream| assignment.failover(upstream).unwrap())
}

pub(super) fn output_of(dice: &mut Dice) -> Output {
    dice.one_of(&[Output::Application, Output::ApplicationWithCursor, Output::Store])
}
