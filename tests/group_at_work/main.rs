//! The management group at work: two management servers on one PostgreSQL and two gateways, each a process, many agents
//! whose messages flow all the time, an administrator who changes approvals and assignments by the command, and kill -9
//! of the database's backends, of servers and of gateways in a random order (rules D5, G1, G2, G6).
//!
//! `FARPOST_AGENTS=n` has more agents than a short run, `FARPOST_ROUNDS=n` more rounds, `FARPOST_SEED=s` repeats an order.

#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/postgres.rs"]
#[expect(dead_code, reason = "shared with the tests that stop the database")]
mod cluster;
mod crowd;
#[path = "../common/events.rs"]
#[expect(dead_code, reason = "shared with the tests that wait for events")]
mod events;
#[path = "../processes/installation.rs"]
#[expect(dead_code, reason = "shared with the tests whose agents are processes, too")]
mod installation;
mod operator;
#[path = "../common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use farpost::{Code, ManagementGroup};

use chance::Chance;
use cluster::Cluster;
use crowd::{Crowd, config, line, upstreams};
use installation::{GATEWAYS, Installation, SERVERS};
use operator::Operator;
use pki::Certified;

/// How many agents, unless FARPOST_AGENTS says.
const AGENTS: usize = 60;
/// How many rounds of changes and kills, unless FARPOST_ROUNDS says.
const ROUNDS: usize = 3;
/// How many agents wait for approval until a round approves them: so many in each, and one more while things are down.
const APPROVED_PER_ROUND: usize = 4;
/// How long the database may take to recover from the kill of a backend.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);

fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().unwrap())
}

/// All that takes part.
struct Scene {
    cluster: Cluster,
    database: String,
    installation: Installation,
    crowd: Crowd,
    operator: Operator,
    chance: Chance,
    /// The agents whose messages are to flow now.
    flowing: Vec<usize>,
}

#[test]
fn d5_g2_nothing_is_lost_or_twice_and_changes_take_two_seconds_whatever_is_killed() {
    let (agents, rounds) = (number("FARPOST_AGENTS", AGENTS), number("FARPOST_ROUNDS", ROUNDS));
    let Some(mut scene) = Scene::new(agents, rounds) else { return };
    let since = Instant::now();
    for round in 0..rounds {
        scene.approve(round);
        scene.reject(round);
        scene.delete_and_create(round);
        scene.assign(round);
        let waiting = scene.waiting(round, APPROVED_PER_ROUND);
        scene.kill_and_restart(waiting);
        scene.flows("after it");
    }
    scene.take_back(rounds);
    scene.flows("at the end");
    let sent = scene.crowd.stop();
    scene.flows("after the last message");
    println!("{agents} agents, {rounds} rounds in {:?}", since.elapsed());
    scene.operator.judge();
    scene.every_message_is_stored_once_and_in_order(&sent);
}

impl Scene {
    /// Starts all; the agents that no round approves are approved.
    fn new(agents: usize, rounds: usize) -> Option<Self> {
        let chance = Chance::new();
        let cluster = Cluster::start("")?;
        let database = cluster.database();
        let authority = Certified::authority("CA of the agents");
        let installation = Installation::trusting(&authority.pem(), cluster.url(&database), "store = true");
        let operator = Operator::new(installation.store_url());
        let since = Instant::now();
        // Of each round the first agent is rejected and taken back at the end, for which it is restarted.
        let crowd = Crowd::start(agents, rounds, &authority, installation.path());
        let flowing: Vec<usize> = (0..agents - rounds * (APPROVED_PER_ROUND + 1)).collect();
        let names: Vec<&str> = flowing.iter().map(|at| crowd.members[*at].name.as_str()).collect();
        operator.try_run(&[&["agent", "approve"], &names[..]].concat()).unwrap();
        let scene = Self { cluster, database, installation, crowd, operator, chance, flowing };
        scene.flows("from the start");
        println!("{agents} agents: {:?} from the first start until all approved ones deliver", since.elapsed());
        Some(scene)
    }

    /// Waits until what the agents have sent by now is delivered.
    fn flows(&self, when: &str) {
        let since = Instant::now();
        self.crowd.delivered(&self.flowing);
        println!("all deliver {when}: after {:?}", since.elapsed());
    }

    /// An agent that waits for approval: each round has some of its own.
    fn waiting(&self, round: usize, of_round: usize) -> usize {
        self.crowd.members.len() - 1 - (round * (APPROVED_PER_ROUND + 1) + of_round)
    }

    fn approve(&mut self, round: usize) {
        let many: Vec<usize> = (0..APPROVED_PER_ROUND).map(|of_round| self.waiting(round, of_round)).collect();
        for some in [&many[..1], &many[1..]] {
            let Self { crowd, operator, .. } = self;
            let names: Vec<&str> = some.iter().map(|at| crowd.members[*at].name.as_str()).collect();
            assert!(some.iter().all(|at| !crowd.members[*at].has_delivered()), "before it was approved");
            let what = if some.len() == 1 { "approve an agent" } else { "approve several agents" };
            operator.change(what, &[&["agent", "approve"], &names[..]].concat(), || {
                some.iter().all(|at| crowd.members[*at].has_delivered())
            });
        }
        self.flowing.extend(many);
    }

    fn reject(&mut self, round: usize) {
        let member = &self.crowd.members[round];
        let mark = member.mark();
        let reject = ["agent", "reject", &member.name];
        self.operator.change("reject an agent", &reject, || member.has_told(mark, Code::NameRejected));
        self.flowing.retain(|at| *at != round);
    }

    fn delete_and_create(&mut self, round: usize) {
        let Self { installation, operator, .. } = self;
        let gateway = GATEWAYS[round % 2];
        let (name, server) = (format!("{gateway}.lab.example"), format!("{}.lab.example", SERVERS[round / 2 % 2]));
        let node = installation.node_named(gateway);
        let said = |what: &str| node.said().matches(what).count();
        let of_gateway = ["--gateway-name", &name, "--action"];
        let before = said("FP3007");
        let delete = [&["approve"], &of_gateway[..], &["delete"]].concat();
        operator.change("delete a gateway", &delete, || said("FP3007") > before);
        // It comes again, and waits.
        let since = Instant::now();
        while !node.said().rsplit("FP3007").next().unwrap().contains("FP3001") {
            assert!(since.elapsed() < Duration::from_secs(20), "{}", node.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Connected, or moved to another server, where it may be from now on.
        let connected = || ["FP2101", "FP2107", "FP2108"].iter().map(|code| said(code)).sum::<usize>();
        let before = connected();
        let create = [&["approve", "--management-server-name", &server], &of_gateway[..], &["create"]].concat();
        operator.change("create a gateway again", &create, || connected() > before);
        self.flows("after a gateway was deleted and created again");
    }

    /// Exchanges a gateway's primary and failover, and an agent's.
    fn assign(&mut self, round: usize) {
        let Self { installation, operator, crowd, .. } = self;
        let gateway = GATEWAYS[(round + 1) % 2];
        let mut servers = upstreams(&config(installation.path(), gateway));
        let mut gateways = upstreams(&config(installation.path(), "pc1"));
        if round.is_multiple_of(2) {
            servers.reverse();
            gateways.reverse();
        }
        let set = |kind: &'static str, name: &str, upstreams: &[String]| {
            let set = ["failover", "set", kind, name, "--primary", &upstreams[0], "--failover", &upstreams[1]];
            set.map(str::to_owned)
        };
        let directory = installation.path().to_owned();
        let node = installation.node_named(gateway);
        let said = |what: &str| node.said().matches(what).count();
        let before = said("FP3020");
        let swap = set("--gateway", &format!("{gateway}.lab.example"), &servers);
        operator.change("swap a gateway's primary and failover", &swap.each_ref().map(String::as_str), || {
            said("FP3020") > before
        });
        let (file, primary) = (directory.join(format!("{gateway}.toml")), servers[0].split(':').next());
        operator.follows("the gateway is at its new primary, when that was healthy for the hold-down", || {
            let status = operator::run(&["status", "--json", "--config", &file.display().to_string()]).unwrap();
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            status["upstream"]["name"].as_str() == primary
        });
        let at = *self.flowing.iter().min().unwrap();
        let (member, mark) = (&crowd.members[at], crowd.members[at].mark());
        let assign = set("--agent", &member.name, &gateways);
        operator.change("assign an agent its gateways", &assign.each_ref().map(String::as_str), || {
            member.has_told(mark, Code::AssignmentChanged)
        });
        self.flows("after the assignments");
    }

    /// Kills backends, servers and gateways in a random order, approves an agent in the middle of it, and starts
    /// again what was killed.
    fn kill_and_restart(&mut self, waiting: usize) {
        let mut victims = [&["a backend"][..], &SERVERS, &GATEWAYS].concat();
        let count = 2 + usize::try_from(self.chance.below(3)).unwrap();
        let (mut killed, mut ending) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let at = usize::try_from(self.chance.below(victims.len() as u64)).unwrap();
            let victim = victims.swap_remove(at);
            if victim == "a backend" {
                ending = self.kill_a_backend();
            } else {
                self.installation.node_named(victim).kill();
                killed.push(victim);
            }
            println!("killed {victim}");
            std::thread::sleep(Duration::from_millis(self.chance.below(400)));
        }
        let name = self.crowd.members[waiting].name.clone();
        self.operator.change_in_the_end(&["agent", "approve", &name]);
        self.flowing.push(waiting);
        for victim in killed {
            self.until_the_database_answers();
            self.installation.start(victim);
        }
        // The database ends all its processes when one of them dies: what is measured next comes after that.
        let since = Instant::now();
        while self.cluster.processes().iter().skip(1).any(|pid| ending.contains(pid)) {
            assert!(since.elapsed() < RECOVERS_WITHIN, "{ending:?} are still there");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.until_the_database_answers();
    }

    /// SIGKILL: the database server drops all connections and recovers. Answers its processes of before.
    fn kill_a_backend(&self) -> Vec<i32> {
        let of = format!("FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()", self.database);
        let pids = self.cluster.sql("postgres", &format!("SELECT pid {of} ORDER BY random() LIMIT 1"));
        // After a server was killed there may be none at the moment.
        let Ok(pid) = pids.parse::<i32>() else { return Vec::new() };
        let processes = self.cluster.processes();
        assert!(processes.contains(&pid));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        processes.into_iter().skip(1).collect()
    }

    fn until_the_database_answers(&self) {
        let since = Instant::now();
        while let Err(error) = self.operator.try_run(&["agent", "list", "--json"]) {
            assert!(since.elapsed() < RECOVERS_WITHIN, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Approves what was rejected. A rejected node comes again after half a minute at the earliest: restarted, at once.
    fn take_back(&mut self, rounds: usize) {
        for at in 0..rounds {
            let name = self.crowd.members[at].name.clone();
            self.operator.try_run(&["agent", "approve", &name]).unwrap();
            self.crowd.restart(at);
            self.flowing.push(at);
        }
    }

    fn every_message_is_stored_once_and_in_order(&self, sent: &[u64]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stored = runtime.block_on(async {
            let group = ManagementGroup::open(self.installation.store_url()).await.unwrap();
            assert_eq!(group.gaps(0, 10).await.unwrap(), []);
            let (mut stored, mut above) = (BTreeMap::<String, Vec<String>>::new(), 0);
            loop {
                let more = group.deliveries(above, 10_000).await.unwrap();
                let Some(last) = more.last() else { return stored };
                above = last.number;
                for one in more {
                    let payload = String::from_utf8_lossy(&one.payload).into_owned();
                    stored.entry(one.agent.to_string()).or_default().push(payload);
                }
            }
        });
        assert_eq!(self.flowing.len(), sent.len());
        for (member, sent) in self.crowd.members.iter().zip(sent) {
            let stored = stored.get(&member.name).map_or(&[][..], Vec::as_slice);
            let sent: Vec<String> = (1..=*sent).map(|number| line(&member.name, number)).collect();
            let differs = stored.iter().zip(&sent).position(|(stored, sent)| stored != sent);
            assert_eq!(differs.map(|at| (at, &stored[at])), None, "{}: the first message that is another", member.name);
            assert_eq!(stored.len(), sent.len(), "{}", member.name);
        }
        println!("{} messages of {} agents, each once and in order", sent.iter().sum::<u64>(), sent.len());
    }
}
