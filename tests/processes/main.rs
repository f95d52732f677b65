//! The command's processes, started from configuration files, killed with SIGKILL in random order and started again:
//! what the output then has (rules D2, D3 and D5). `FARPOST_KILLS=n` kills more, `FARPOST_SEED=s` repeats a run.

#[path = "../common/chance.rs"]
mod chance;
#[path = "../common/postgres.rs"]
mod cluster;
mod database;
mod installation;
mod killing;
mod presence;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use farpost::{Delivery, ManagementGroup};

use installation::{AGENTS, INNER, Installation, SERVERS};
use killing::{Writers, kill_and_restart, line};

/// How long the rest may take once all run again and nothing more is written.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// Looks again and again, until it is so or `what` has taken too long.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let since = Instant::now();
    loop {
        match look() {
            Ok(found) => {
                println!("{what}: after {:?}", since.elapsed());
                return found;
            }
            Err(why) if since.elapsed() > ARRIVES_WITHIN => panic!("not within {ARRIVES_WITHIN:?}: {what}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn d5_every_line_arrives_in_the_group_store_once_and_in_order_whatever_is_killed() {
    let mut installation = Installation::new("store = true");
    let writers = Writers::start(installation.path());
    for agent in AGENTS {
        installation.start(agent);
    }
    kill_and_restart(&mut installation);
    let written = writers.stop();
    println!("written {written:?}");

    every_line_is_stored_once(&installation, written);
}

/// Through two gateways, any of the processes killed: agent, inner and outer gateway, server.
#[test]
fn d5_every_line_arrives_once_and_in_order_through_two_gateways_whatever_is_killed() {
    let mut installation = Installation::with_inner_gateway("store = true");
    let writers = Writers::start(installation.path());
    for agent in AGENTS {
        installation.start(agent);
    }
    kill_and_restart(&mut installation);
    let written = writers.stop();
    println!("written {written:?}");
    every_line_is_stored_once(&installation, written);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = runtime.block_on(ManagementGroup::open(installation.store_url())).unwrap();
    let deliveries = runtime.block_on(all_deliveries(&group));
    let through_two = deliveries.iter().filter(|one| one.via.len() == 2 && one.via[0].as_str().starts_with(INNER));
    let through_two = through_two.count();
    println!("{through_two} of {} came through two gateways", deliveries.len());
    assert!(through_two > 0);
}

/// Looks for what the agents' applications have written in the group store.
fn every_line_is_stored_once(installation: &Installation, written: Vec<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = runtime.block_on(ManagementGroup::open(installation.store_url())).unwrap();
    let total: u64 = written.iter().sum();
    eventually("the last delivery", || match runtime.block_on(group.delivery_count()) {
        Ok(count) if count >= total => Ok(()),
        other => Err(format!("{other:?} of {total}")),
    });
    let deliveries = runtime.block_on(all_deliveries(&group));
    for (agent, written) in AGENTS.into_iter().zip(written) {
        let of_agent = deliveries.iter().filter(|one| one.agent.as_str().starts_with(agent));
        let arrived: Vec<String> = of_agent.map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect();
        let sent: Vec<String> = (1..=written).map(|number| line(agent, number)).collect();
        let differs = arrived.iter().zip(&sent).position(|(arrived, sent)| arrived != sent);
        assert_eq!(differs.map(|at| (at, &arrived[at])), None, "{agent}: the first line that is another");
        assert_eq!(arrived.len(), sent.len(), "{agent}");
    }
    assert_eq!(runtime.block_on(group.gaps(0, 10)).unwrap(), []);
}

async fn all_deliveries(group: &ManagementGroup) -> Vec<Delivery> {
    let mut all: Vec<Delivery> = Vec::new();
    loop {
        let above = all.last().map_or(0, |last| last.number);
        let more = group.deliveries(above, 10_000).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[test]
fn d5_no_line_is_missing_in_the_output_files_and_one_that_came_again_is_marked() {
    let mut installation = Installation::new("path = \"DIR/NODE.jsonl\"");
    let writers = Writers::start(installation.path());
    for agent in AGENTS {
        installation.start(agent);
    }
    kill_and_restart(&mut installation);
    let written = writers.stop();
    println!("written {written:?}");
    let wanted: BTreeSet<String> = AGENTS
        .into_iter()
        .zip(&written)
        .flat_map(|(agent, written)| (1..=*written).map(move |number| line(agent, number)))
        .collect();
    let lines = eventually("the last line", || {
        let lines = output_lines(&installation);
        let arrived: BTreeSet<&String> = lines.iter().map(|line| &line.payload).collect();
        let missing: Vec<&String> = wanted.iter().filter(|line| !arrived.contains(line)).collect();
        match missing.first() {
            None => Ok(lines),
            Some(first) => Err(format!("{} missing, one is \"{first}\"", missing.len())),
        }
    });
    let mut copies: BTreeMap<(String, u64), Vec<&OutputLine>> = BTreeMap::new();
    for line in &lines {
        assert!(wanted.contains(&line.payload), "{line:?} was never written");
        copies.entry((line.agent.clone(), line.sequence)).or_default().push(line);
    }
    let repeated = copies.values().filter(|copies| copies.len() > 1).count();
    let marked = lines.iter().filter(|line| line.redelivered).count();
    println!("{} lines, {marked} marked redelivered, {repeated} more than once", copies.len());
    assert_eq!(copies.len(), wanted.len(), "a line under two sequences");
    for ((agent, sequence), copies) in &copies {
        let unmarked = copies.iter().filter(|line| !line.redelivered).count();
        assert!(unmarked <= 1, "{agent} {sequence} came {unmarked} times as new: {copies:?}");
        assert!(copies.iter().all(|line| line.payload == copies[0].payload), "{copies:?}");
    }
    in_order(&lines);
}

/// What comes for the first time comes in order, in each file.
fn in_order(lines: &[OutputLine]) {
    let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.redelivered) {
        let before = last.insert((line.server, &line.agent), line.sequence);
        assert!(before.is_none_or(|before| before < line.sequence), "{line:?} after {before:?}");
    }
}

#[derive(Debug)]
struct OutputLine {
    server: &'static str,
    agent: String,
    sequence: u64,
    redelivered: bool,
    payload: String,
}

/// Every whole line of both servers' files.
fn output_lines(installation: &Installation) -> Vec<OutputLine> {
    let mut out = Vec::new();
    for server in SERVERS {
        let text = std::fs::read_to_string(installation.path().join(format!("{server}.jsonl"))).unwrap_or_default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            out.push(OutputLine {
                server,
                agent: line["agent"].as_str().unwrap().to_owned(),
                sequence: line["sequence"].as_u64().unwrap_or_else(|| panic!("no message: {line}")),
                redelivered: line["redelivered"].as_bool().unwrap_or(false),
                payload: line["payload"].as_str().unwrap().to_owned(),
            });
        }
    }
    out
}

#[test]
fn d2_an_agent_that_reads_standard_input_ends_with_status_0_once_all_is_delivered() {
    use std::io::Write as _;

    let mut installation = Installation::new("store = true");
    let config = installation.path().join("pc1.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let file = format!("path = \"{}\"", installation.path().join("pc1.log").display());
    assert!(text.contains(&file));
    std::fs::write(&config, text.replace(&file, "path = \"-\"")).unwrap();
    let node = installation.nodes().iter().find(|node| node.name == "pc1").unwrap();
    let mut agent = node.command().stdin(Stdio::piped()).spawn().unwrap();
    let mut input = agent.stdin.take().unwrap();
    for number in 1..=5_000 {
        writeln!(input, "{}", line("pc1", number)).unwrap();
    }
    // The last line needs no newline: the end of the input ends it too.
    write!(input, "the last").unwrap();
    drop(input);
    let status = eventually("the end of the agent", || agent.try_wait().unwrap().ok_or("it runs".to_owned()));
    assert!(status.success(), "{status}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let group = runtime.block_on(ManagementGroup::open(installation.store_url())).unwrap();
    let deliveries = runtime.block_on(all_deliveries(&group));
    assert_eq!(deliveries.len(), 5_001, "all is there when it ends, not soon after");
    for (number, delivery) in (1..=5_000).zip(&deliveries) {
        assert_eq!(delivery.payload, line("pc1", number));
    }
    assert_eq!(deliveries.last().unwrap().payload, "the last");
}
