//! The scenarios: which processes, which load, which figures.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Authority;
use crate::options::Options;
use crate::process::{Process, can_pin};
use crate::report::{Figure, Goal, Report};

/// Runs the scenario that is asked for, or a short form of all.
pub(crate) fn run(options: &Options) {
    let scenarios: Vec<Report> = match options.text("scenario", "short").as_str() {
        "relay" => vec![relay(options)],
        "latency" => vec![latency(options)],
        "idle" => vec![idle(options)],
        "cut" => vec![cut(options)],
        "attest" => vec![attest(options)],
        "short" => short(options),
        other => panic!("no scenario {other}: relay, latency, idle, cut, attest"),
    };
    for report in scenarios {
        report.print(options.has("json"));
    }
}

fn short(options: &Options) -> Vec<Report> {
    let memory = options.with_flag("memory");
    let few = memory.with("senders", 200);
    vec![relay(options), relay(&options.with("bytes", 1024)), relay(&memory), latency(options), idle(&few), cut(&few)]
}

/// The processes of one run; they end with it.
struct Lab {
    /// Removed when dropped.
    _directory: tempfile::TempDir,
    options: Options,
    /// The cores of the gateway, and of server and load.
    cores: (Option<usize>, Option<usize>),
    server: Process,
    gateway: Process,
}

impl Lab {
    fn start(options: &Options) -> Self {
        let on = options.text("on", env!("CARGO_TARGET_TMPDIR"));
        let directory = tempfile::tempdir_in(PathBuf::from(on)).expect("a directory for the lab");
        Authority::create(directory.path());
        let options = options.with("directory", directory.path().display());
        let pinned = can_pin() && !options.has("unpinned");
        let cores = if pinned { (Some(0), Some(1)) } else { (None, None) };
        let mut server = Process::start(&options.with("node", "server"), cores.1);
        let options = options.with("upstream", server.wait_for("ready"));
        let mut gateway = Process::start(&options.with("node", "gateway"), cores.0);
        let options = options.with("gateway", gateway.wait_for("ready"));
        eprintln!("chain: server is process {}, gateway {}", server.id(), gateway.id());
        Self { _directory: directory, options, cores, server, gateway }
    }

    /// The agents, all connected.
    fn load(&self, load: &str, options: &Options) -> Process {
        let mut process = Process::start(&options.with("node", "load").with("load", load), self.cores.1);
        process.wait_for("ready");
        process
    }

    fn title(&self, what: &str) -> String {
        let option = |key, word| if self.options.has(key) { word } else { "" };
        let agents = if self.options.has("memory") { "queues in memory" } else { "queues on disk, synced" };
        let pinned =
            if self.cores.0.is_some() { "gateway on one core, load and server on another" } else { "unpinned" };
        let store = option("store", ", output to the group store");
        format!("{what}: {agents}{store}, {pinned}")
    }
}

/// What a load used and what it said.
struct Measured {
    said: Value,
    gateway: Duration,
    server: Duration,
    load: Duration,
}

/// From the load's `begin` to its `end`.
fn measure(lab: &Lab, load: &mut Process) -> Measured {
    load.wait_for("begin");
    let before = (lab.gateway.cpu(), lab.server.cpu(), load.cpu());
    let said = serde_json::from_str(&load.wait_for("end")).expect("what the load says");
    Measured {
        said,
        gateway: lab.gateway.cpu() - before.0,
        server: lab.server.cpu() - before.1,
        load: load.cpu() - before.2,
    }
}

impl Measured {
    fn of(&self, key: &str) -> f64 {
        self.said[key].as_f64().unwrap_or_else(|| panic!("the load did not say {key}"))
    }

    /// CPU-seconds for a million messages.
    fn per_million(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.of("messages") * 1e6
    }
}

fn relay(options: &Options) -> Report {
    let lab = Lab::start(options);
    let measured = measure(&lab, &mut lab.load("relay", &lab.options));
    let (senders, in_flight) = (options.number("senders", 20), options.number("in-flight", 100));
    let bytes = options.number("bytes", 256);
    let (rate, cpu) = match (bytes, options.has("memory"), senders >= 100) {
        (256, true, false) => (Some(600_000.0), Some(1.2)),
        (256, false, false) => (Some(300_000.0), Some(1.6)),
        (1024, false, false) => (Some(200_000.0), Some(4.0)),
        (256, false, true) => (Some(150_000.0), Some(5.5)),
        _ => (None, None),
    };
    let per_second = measured.of("messages") / measured.of("seconds");
    let figures = vec![
        Figure::new("delivered", per_second, "messages/s").goal(rate.map(Goal::AtLeast)),
        Figure::new("delivered", per_second * bytes as f64 / 1e6, "MB/s"),
        Figure::new("gateway", measured.per_million(measured.gateway), "CPU-s/M").goal(cpu.map(Goal::AtMost)),
        Figure::new("management server", measured.per_million(measured.server), "CPU-s/M"),
        Figure::new("agents", measured.per_million(measured.load), "CPU-s/M"),
        Figure::new("gateway, at most resident", lab.gateway.memory("VmHWM") as f64 / 1024.0, "MiB"),
        Figure::new("management server, at most resident", lab.server.memory("VmHWM") as f64 / 1024.0, "MiB"),
    ];
    Report { title: lab.title(&format!("relay of {bytes} B, {senders} senders × {in_flight} in flight")), figures }
}

fn latency(options: &Options) -> Report {
    let lab = Lab::start(options);
    let measured = measure(&lab, &mut lab.load("latency", &lab.options));
    let core = |cpu: Duration| cpu.as_secs_f64() / measured.of("seconds") * 100.0;
    let rate = measured.of("messages") / measured.of("seconds");
    let figures = vec![
        Figure::new("acknowledgement, p50", measured.of("p50_ms"), "ms").goal(Some(Goal::AtMost(1.2))),
        Figure::new("acknowledgement, p99", measured.of("p99_ms"), "ms").goal(Some(Goal::AtMost(3.0))),
        Figure::new("acknowledgement, slowest", measured.of("max_ms"), "ms"),
        Figure::new("gateway", core(measured.gateway), "% of a core").goal(Some(Goal::AtMost(10.0))),
        Figure::new("management server", core(measured.server), "% of a core"),
        Figure::new("agents", core(measured.load), "% of a core"),
    ];
    Report { title: lab.title(&format!("latency at {rate:.0} messages/s")), figures }
}

fn idle(options: &Options) -> Report {
    let agents = options.number("senders", 2_000);
    let lab = Lab::start(&options.with("senders", agents));
    // The first agents bring what every process needs once.
    let first = lab.load("idle", &lab.options.with("senders", 1).with_flag("memory"));
    let before = (lab.gateway.memory("VmRSS"), lab.server.memory("VmRSS"));
    drop(first);
    let load = lab.load("idle", &lab.options);
    let each = |now: u64, before: u64| (now as f64 - before as f64) / agents as f64;
    let (gateway, server) = (lab.gateway.memory("VmRSS"), lab.server.memory("VmRSS"));
    let figures = vec![
        Figure::new("gateway, per agent", each(gateway, before.0), "KiB").goal(Some(Goal::AtMost(14.0))),
        Figure::new("management server, per agent", each(server, before.1), "KiB"),
        Figure::new("agents' process, per agent", load.memory("VmRSS") as f64 / agents as f64, "KiB"),
        Figure::new("gateway, resident", gateway as f64 / 1024.0, "MiB"),
        Figure::new("management server, resident", server as f64 / 1024.0, "MiB"),
    ];
    Report { title: lab.title(&format!("{agents} idle agents")), figures }
}

/// kill -9 of the gateway that all agents are on; a second one stands ready.
fn cut(options: &Options) -> Report {
    let agents = options.number("senders", 2_000);
    let mut lab = Lab::start(&options.with("senders", agents));
    let second = lab.options.with("node", "gateway").with("name", "gw2.bench.example");
    let mut second = Process::start(&second, lab.cores.0);
    let options_of_load = lab.options.with("second-gateway", second.wait_for("ready"));
    let mut load = lab.load("idle", &options_of_load);
    let before = (second.cpu(), lab.server.cpu(), load.cpu());
    let began = Instant::now();
    lab.gateway.signal_kill();
    load.tell("go");
    load.wait_for("end");
    let seconds = began.elapsed().as_secs_f64();
    let each = |now: Duration, before: Duration| (now - before).as_secs_f64() / agents as f64 * 1e6;
    let goal = (agents == 2_000).then_some(Goal::AtMost(0.9));
    let figures = vec![
        Figure::new("all back, each with a message delivered", seconds, "s").goal(goal),
        Figure::new("second gateway, per agent", each(second.cpu(), before.0), "µs of CPU"),
        Figure::new("management server, per agent", each(lab.server.cpu(), before.1), "µs of CPU"),
        Figure::new("agents, each", each(load.cpu(), before.2), "µs of CPU"),
    ];
    Report { title: lab.title(&format!("{agents} agents cut at once by kill -9 of their gateway")), figures }
}

/// A gateway with all its agents comes to a management server that has just started: each attestation was shown to
/// another one before. Twenty agents of another gateway send meanwhile.
fn attest(options: &Options) -> Report {
    let agents = options.number("agents", 20_000);
    let options = options.with("agents", agents).with("seconds", options.number("seconds", 6));
    let options = options.with("rate", options.number("rate", 1_000)).with_flag("memory").with_flag("lists");
    let mut lab = Lab::start(&options);
    let mut crowd = Process::start(&lab.options.with("node", "crowd"), lab.cores.0);
    crowd.wait_for("shown");
    // The same group, with nothing in memory; on a core of its own.
    lab.server.signal_kill();
    let mut server = Process::start(&lab.options.with("node", "server"), lab.cores.1);
    lab.options = lab.options.with("upstream", server.wait_for("ready"));
    lab.server = server;
    let port = lab.options.text("upstream", "");
    lab.gateway.signal_kill();
    let mut gateway = Process::start(&lab.options.with("node", "gateway"), lab.cores.0);
    lab.options = lab.options.with("gateway", gateway.wait_for("ready"));
    lab.gateway = gateway;

    let mut load = Process::start(&lab.options.with("node", "load").with("load", "latency"), lab.cores.0);
    load.wait_for("ready");
    let quiet = measure(&lab, &mut load);
    drop(load);
    let mut load = Process::start(&lab.options.with("node", "load").with("load", "latency"), lab.cores.0);
    load.wait_for("ready");
    load.wait_for("begin");
    let before = lab.server.cpu();
    crowd.tell(&port);
    let seconds: f64 = crowd.wait_for("opened").parse().expect("seconds");
    let cpu = (lab.server.cpu() - before).as_secs_f64();
    let busy: Value = serde_json::from_str(&load.wait_for("end")).expect("what the load says");
    let others = quiet.server.as_secs_f64() / quiet.of("seconds") * seconds;
    let milliseconds = |said: &Value, key: &str| said[key].as_f64().expect("a latency");
    let goal = (agents == 20_000).then_some(Goal::AtMost(5.0));
    let figures = vec![
        Figure::new("management server, for all of them", cpu - others, "CPU-s").goal(goal),
        Figure::new("the same, each", (cpu - others) / agents as f64 * 1e6, "µs"),
        Figure::new("all open", seconds, "s"),
        Figure::new("others' acknowledgements before, p50", quiet.of("p50_ms"), "ms"),
        Figure::new("others' acknowledgements before, p99", quiet.of("p99_ms"), "ms"),
        Figure::new("others' acknowledgements meanwhile, p50", milliseconds(&busy, "p50_ms"), "ms"),
        Figure::new("others' acknowledgements meanwhile, p99", milliseconds(&busy, "p99_ms"), "ms"),
        Figure::new("others' acknowledgements meanwhile, slowest", milliseconds(&busy, "max_ms"), "ms"),
    ];
    Report { title: lab.title(&format!("{agents} attestations shown to a server after a failover")), figures }
}
