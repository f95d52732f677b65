//! The acts of the story, in order.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use farpost::{ApprovedFor, ManagementGroup};

use super::{LINES, SOCKET, Story};
use crate::laboratory::{self, GROUP, HOLD_DOWN, Place};
use crate::report::Report;
use crate::screen::grouped;
use crate::{Outcome, ledger::Item};

impl Story<'_> {
    pub(super) async fn tell(&mut self) -> Outcome<Report> {
        let group = self.start_servers().await?;
        self.start_gateways(&group).await?;
        self.start_agents(&group).await?;
        let began = Instant::now();
        self.processes.go(AGENTS)?;
        self.delivered_part("the first quarter", 25).await?;
        let failover = self.kill_primary().await?;
        self.processes.go(AGENTS)?;
        self.delivered_part("the middle", 50).await?;
        let gateway_failover = self.kill_gateway().await?;
        self.processes.go(AGENTS)?;
        self.delivered_part("more than half", 60).await?;
        let failback = self.bring_back().await?;
        self.send_down(&group).await?;
        let sent = self.finish().await?;
        let counts = self.ledger().counts();
        let ended = self.ledger().last().unwrap_or(began);
        Ok(Report {
            sent,
            counts,
            failover,
            gateway_failover,
            failback,
            elapsed: self.screen.elapsed(),
            traffic: ended.duration_since(began),
            gateways: self.gateways.iter().map(|gateway| self.upstream_of(gateway)).collect(),
            servers: self.servers.iter().map(|server| self.delivered_by(server)).collect(),
        })
    }

    fn delivered_by(&self, server: &Place) -> (String, u64) {
        (server.name.clone(), self.ledger().delivered_by(&server.name))
    }

    /// Three servers on one store; the third may not be used for failover (rule G3).
    async fn start_servers(&mut self) -> Outcome<ManagementGroup> {
        let group = ManagementGroup::open_new(&self.laboratory.store_url(), GROUP).await?;
        for number in 1..=3 {
            let name = laboratory::server(number);
            self.laboratory.certify(&name)?;
            let place = self.start_server(&Place { name, port: 0 }).await?;
            self.servers.push(place);
        }
        let names: Vec<&str> = self.servers.iter().map(|place| place.name.as_str()).collect();
        self.screen.say(format_args!("{} serve one management group, \"{GROUP}\"", names.join(", ")));
        let excluded = self.server(3).name.clone();
        group.set_server_excluded(&excluded, true).await?;
        self.screen.say(format_args!("{excluded} is excluded from failover"));
        Ok(group)
    }

    /// Starts a server at a place, or where the system has a free port; answers where it listens.
    async fn start_server(&mut self, place: &Place) -> Outcome<Place> {
        let config = self.laboratory.configure_server(place)?;
        let application = self.laboratory.at(SOCKET);
        let mark = self.heard.len();
        let arguments =
            ["management-server".to_owned(), option("config", &config), option("application", &application)];
        self.start(&place.name, &arguments)?;
        let port = self.listening(&place.name, mark).await?;
        Ok(Place { name: place.name.clone(), port })
    }

    async fn start_gateway(&mut self, place: &Place) -> Outcome<Place> {
        let upstreams: Vec<Place> = self.servers[..2].to_vec();
        let config = self.laboratory.configure_gateway(place, &upstreams)?;
        let mark = self.heard.len();
        self.start(&place.name, &["gateway".to_owned(), option("config", &config)])?;
        let port = self.listening(&place.name, mark).await?;
        Ok(Place { name: place.name.clone(), port })
    }

    /// Two gateways that nobody approved: held back, told why, then approved (rules G1, G2, G5).
    async fn start_gateways(&mut self, group: &ManagementGroup) -> Outcome<()> {
        let mark = self.heard.len();
        for number in 1..=2 {
            let name = laboratory::gateway(number);
            self.laboratory.certify(&name)?;
            let place = self.start_gateway(&Place { name, port: 0 }).await?;
            self.gateways.push(place);
        }
        for gateway in self.gateways.clone() {
            let held = self.event(&gateway.name, "GatewayPending", mark).await?;
            let (code, summary) = (held.text("code"), held.text("summary"));
            self.screen.say(format_args!("{} is held back by {}", gateway.name, held.text("subject")));
            self.screen.add(format_args!("{code} {summary}"));
            self.screen.add(format_args!("remedy: {}", held.text("remedy")));
        }
        self.assign(group).await?;
        let (mark, asked) = (self.heard.len(), Instant::now());
        for gateway in &self.gateways {
            group.approve_gateway(&gateway.name, ApprovedFor::ManagementServer(&self.server(1).name)).await?;
            let text = format!("The approval of server {} completed successfully.", gateway.name);
            self.screen.say(text);
        }
        for gateway in self.gateways.clone() {
            let up = self.event(&gateway.name, "LinkUp", mark).await?;
            let after = up.at.saturating_duration_since(asked).as_millis();
            self.screen.say(format_args!("{} is connected to {}, {after} ms later", gateway.name, up.text("subject")));
        }
        Ok(())
    }

    /// A failover to the excluded server is refused; then each gateway gets its primary and failover.
    async fn assign(&mut self, group: &ManagementGroup) -> Outcome<()> {
        let primary = self.server(1).text();
        for gateway in &self.gateways {
            let excluded = group.set_failover(&gateway.name, &primary, &[self.server(3).text()]).await;
            let Err(refused) = excluded else { return Err("an excluded server was taken as failover".into()) };
            group.set_failover(&gateway.name, &primary, &[self.server(2).text()]).await?;
            if gateway.name == self.gateway(1).name {
                self.screen.say(format_args!("as a failover, {} is refused: {refused}", self.server(3).name));
            }
        }
        self.screen.say(format_args!(
            "both gateways: primary {}, failover {}",
            self.server(1).name,
            self.server(2).name
        ));
        Ok(())
    }

    /// Every other agent has the first gateway as its primary, the rest the second; the other one is its failover.
    async fn start_agents(&mut self, group: &ManagementGroup) -> Outcome<()> {
        let mut arguments = vec![
            "agents".to_owned(),
            option("lines", &self.laboratory.at(LINES)),
            format!("--messages={}", self.options.messages),
            format!("--seconds={}", self.options.seconds),
        ];
        for index in 0..self.options.agents.into() {
            let name = laboratory::agent(index);
            self.laboratory.certify(&name)?;
            group.approve_agent(&name).await?;
            let (primary, other) = if is_first_gateways(index) { (1, 2) } else { (2, 1) };
            let upstreams = [self.gateway(primary), self.gateway(other)];
            arguments.push(option("config", &self.laboratory.configure_agent(&name, &upstreams)?));
        }
        let mark = self.heard.len();
        self.start(AGENTS, &arguments)?;
        let primary = self.server(1).name.clone();
        let agents = usize::from(self.options.agents);
        self.until("all agents to be connected", |story| {
            let connected = story.heard[mark..].iter().filter(|heard| heard.process == primary);
            let connected = connected.filter(|heard| heard.is_event("AgentConnected"));
            let connected: BTreeSet<&str> = connected.map(|heard| heard.text("subject")).collect();
            (connected.len() >= agents).then_some(())
        })
        .await?;
        self.screen.say(format_args!("{agents} agents are connected; each proved its own certificate to {primary}"));
        let messages = grouped(self.options.messages);
        self.screen.say(format_args!("they send {messages} messages within {} s", self.options.seconds));
        Ok(())
    }

    /// Waits until so many percent are delivered.
    async fn delivered_part(&mut self, what: &str, percent: u64) -> Outcome<()> {
        let due = self.options.messages * percent / 100;
        self.until(what, |story| (story.ledger().counts().delivered >= due).then_some(())).await
    }

    /// Waits for the message that was wished for.
    async fn granted(&mut self, what: &str) -> Outcome<Instant> {
        self.until(what, |story| story.ledger().granted()).await
    }

    async fn kill_primary(&mut self) -> Outcome<Duration> {
        let (primary, next) = (self.server(1).name.clone(), self.server(2).name.clone());
        let wished = next.clone();
        self.ledger().wish(move |server, _| server == wished);
        let delivered = grouped(self.ledger().counts().delivered);
        let killed = self.processes.kill(&primary)?;
        self.screen.say(format_args!("SIGKILL to {primary}, the primary, after {delivered} messages"));
        let took = self.granted("a delivery by the next server").await?.duration_since(killed);
        self.screen.say(format_args!("{next} has taken over, {} ms after the kill", took.as_millis()));
        Ok(took)
    }

    async fn kill_gateway(&mut self) -> Outcome<Duration> {
        let (first, other) = (self.gateway(1).name.clone(), self.gateway(2).name.clone());
        let wished = other.clone();
        self.ledger().wish(move |_, item| is_of_first_gateway(item) && item.via == wished);
        let killed = self.processes.kill(&first)?;
        self.screen.say(format_args!("SIGKILL to {first}, the first gateway"));
        let took = self.granted("an agent of the dead gateway").await?.duration_since(killed);
        let took_ms = took.as_millis();
        self.screen.say(format_args!("its agents come through {other} now, the first {took_ms} ms after the kill"));
        Ok(took)
    }

    /// Both dead processes run again; gateways and agents move back after the hold-down (rule F4).
    async fn bring_back(&mut self) -> Outcome<Duration> {
        let (gateway, primary, other) = (self.gateway(1).clone(), self.server(1).clone(), self.gateway(2).clone());
        let mark = self.heard.len();
        self.start_gateway(&gateway).await?;
        self.screen.say(format_args!("{} runs again", gateway.name));
        let back = self.event(&gateway.name, "FailedOver", mark).await?;
        self.screen.say(format_args!("{} is connected to {}", gateway.name, back.text("subject")));
        let mark = self.heard.len();
        let wished = primary.name.clone();
        self.ledger().wish(move |server, _| server == wished);
        self.start_server(&primary).await?;
        let started = Instant::now();
        let hold_down = HOLD_DOWN.as_secs();
        self.screen.say(format_args!("{} runs again; the hold-down is {hold_down} s", primary.name));
        for gateway in [&other, &gateway] {
            let back = self.event(&gateway.name, "FailedBack", mark).await?;
            self.screen.say(format_args!("{} has moved back to {}", gateway.name, back.text("subject")));
        }
        self.processes.go(AGENTS)?;
        let took = self.granted("a delivery by the primary").await?.duration_since(started);
        self.screen.say(format_args!("{} delivers again, {} ms after its start", primary.name, took.as_millis()));
        let agents = (0..self.options.agents.into()).filter(|index| is_first_gateways(*index)).count();
        self.until("the agents to move back to their gateway", |story| {
            let moved = story.heard[mark..].iter().filter(|heard| heard.process == AGENTS);
            let moved: BTreeSet<&str> =
                moved.filter(|heard| heard.is_event("FailedBack")).map(|heard| heard.text("who")).collect();
            (moved.len() >= agents).then_some(())
        })
        .await?;
        self.screen.say(format_args!("the agents of {} have moved back to it", gateway.name));
        Ok(took)
    }

    /// A message down, to one agent by name (rule D8).
    async fn send_down(&mut self, group: &ManagementGroup) -> Outcome<()> {
        let agent = laboratory::agent(usize::from(self.options.agents) - 1);
        let (mark, asked) = (self.heard.len(), Instant::now());
        group.send(&agent, DOWN).await?;
        self.screen.say(format_args!("down to {agent}: \"{DOWN}\""));
        let received = self
            .until("the agent to take the message down", |story| {
                story.heard[mark..]
                    .iter()
                    .find(|heard| heard.text("received") == DOWN && heard.text("who") == agent)
                    .cloned()
            })
            .await?;
        let after = received.at.saturating_duration_since(asked).as_millis();
        let number = received.number("number").unwrap_or(0);
        self.screen.say(format_args!("{agent} got and acknowledged it as its number {number}, {after} ms later"));
        Ok(())
    }

    /// Waits until every agent has sent all and knows that all is delivered; answers how much was sent.
    async fn finish(&mut self) -> Outcome<u64> {
        let agents = usize::from(self.options.agents);
        let sum = |story: &Self, key: &str| {
            let told: Vec<u64> = story.heard.iter().filter_map(|heard| heard.number(key)).collect();
            (told.len() >= agents).then(|| told.iter().sum::<u64>())
        };
        let sent = self.until("all messages to be sent", |story| sum(story, "sent")).await?;
        self.screen.say(format_args!("all {} messages are sent", grouped(sent)));
        let known = self.until("all agents to know that all is delivered", |story| sum(story, "delivered")).await?;
        self.screen.say(format_args!("the agents' receipts say that {} are delivered", grouped(known)));
        Ok(sent)
    }
}

fn is_first_gateways(agent: usize) -> bool {
    agent.is_multiple_of(2)
}

fn is_of_first_gateway(item: &Item) -> bool {
    laboratory::agent_index(&item.agent).is_some_and(is_first_gateways)
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// The process of all agents.
const AGENTS: &str = "agents";
/// What is sent down.
const DOWN: &str = "show the free space of /var";
