//! The parent: starts everybody, watches, and says how it ended.

mod acts;

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::ledger::Ledger;
use crate::lines::{Lines, default_file};
use crate::processes::{Heard, Processes};
use crate::screen::Screen;
use crate::{Outcome, application, laboratory};

use laboratory::{Laboratory, Place};

/// What can be chosen.
#[derive(Args)]
pub(crate) struct Options {
    /// How many agents
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=999))]
    agents: u16,
    /// How many messages, all agents together
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    messages: u64,
    /// The file whose lines are sent, again and again if it is short [default: a log of this computer]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The time that the agents take to send them; what is killed is killed in the middle of it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Print the result as one JSON object; the narration goes to standard error
    #[arg(long)]
    json: bool,
}

/// The story while it runs.
struct Story<'a> {
    options: &'a Options,
    screen: Screen,
    laboratory: Laboratory,
    processes: Processes,
    inbox: mpsc::UnboundedReceiver<Heard>,
    /// Everything that the children told.
    heard: Vec<Heard>,
    ledger: Arc<Mutex<Ledger>>,
    interrupted: Arc<AtomicBool>,
    /// Counts the looks; while it stands still, the story itself does.
    looks: Arc<AtomicU64>,
    servers: Vec<Place>,
    gateways: Vec<Place>,
}

/// Tells the story; success if nothing was lost, out of order or stored twice.
pub(crate) fn run(options: &Options) -> ExitCode {
    let interrupted = Arc::new(AtomicBool::new(false));
    let result = catch_signals(interrupted.clone()).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(tell(options, interrupted))
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chain: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C ends the story in order: the children go, and the directory. A second one ends it at once.
fn catch_signals(interrupted: Arc<AtomicBool>) -> Outcome<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    // Before the first thread: all inherit the mask.
    signals.thread_block()?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            if interrupted.swap(true, Ordering::Relaxed) {
                std::process::exit(1);
            }
        }
    });
    Ok(())
}

/// Ends the process if the story does not even look for a minute: a call that never answers.
fn watch_over(looks: Arc<AtomicU64>, directory: PathBuf) {
    std::thread::spawn(move || {
        let mut seen = looks.load(Ordering::Relaxed);
        loop {
            std::thread::sleep(WATCHDOG);
            let now = looks.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, now) == now {
                eprintln!("chain: the story stands still; everything is in {}", directory.display());
                // The children end with their standard inputs.
                std::process::exit(1);
            }
        }
    });
}

async fn tell(options: &Options, interrupted: Arc<AtomicBool>) -> Outcome<bool> {
    let mut story = Story::prepare(options, interrupted)?;
    let result = story.tell().await;
    story.screen.end_progress();
    match result {
        Ok(report) => {
            report.print(&story.screen);
            if options.json {
                println!("{}", report.json());
            }
            if !report.is_good() {
                story.leave("the report above is not what it should be");
                return Ok(false);
            }
            story.screen.say("nothing lost, nothing twice, everything in order");
            Ok(true)
        }
        Err(_) if story.interrupted.load(Ordering::Relaxed) => Err("interrupted".into()),
        Err(error) => {
            story.leave(&error.to_string());
            Ok(false)
        }
    }
}

impl<'a> Story<'a> {
    fn prepare(options: &'a Options, interrupted: Arc<AtomicBool>) -> Outcome<Self> {
        let screen = Screen::new(options.json, options.messages);
        let laboratory = Laboratory::new()?;
        let input = options.input.clone().unwrap_or_else(default_file);
        // A copy: a log that grows meanwhile would not be the same for all.
        let lines = Lines::read(&input)?;
        std::fs::copy(&input, laboratory.at(LINES))?;
        screen.say(format_args!("the lines of {} ({}) are to be shipped", input.display(), lines.count()));
        let (processes, inbox) = Processes::new();
        let ledger = Arc::new(Mutex::new(Ledger::new(Lines::read(&laboratory.at(LINES))?)));
        application::serve(&laboratory.at(SOCKET), ledger.clone())?;
        let looks = Arc::new(AtomicU64::new(0));
        watch_over(looks.clone(), laboratory.path().to_owned());
        Ok(Self {
            options,
            screen,
            laboratory,
            processes,
            inbox,
            heard: Vec::new(),
            ledger,
            interrupted,
            looks,
            servers: Vec::new(),
            gateways: Vec::new(),
        })
    }

    /// It went wrong: what is left stays for whoever wants to look.
    fn leave(self, why: &str) {
        let Self { screen, laboratory, processes, .. } = self;
        drop(processes);
        screen.say(format_args!("FAILED: {why}"));
        let path = laboratory.keep();
        screen.add(format_args!("everything is in {}; the logs of the processes:", path.display()));
        let logs = std::fs::read_dir(path.join("log")).into_iter().flatten().flatten();
        let mut logs: Vec<PathBuf> = logs.map(|entry| entry.path()).collect();
        logs.sort();
        for log in logs {
            screen.add(log.display());
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        application::lock(&self.ledger)
    }

    fn server(&self, number: usize) -> &Place {
        &self.servers[number - 1]
    }

    fn gateway(&self, number: usize) -> &Place {
        &self.gateways[number - 1]
    }

    /// Starts a node in a process of its own, with its log; answers the process id.
    fn start(&mut self, name: &str, arguments: &[String]) -> Outcome<u32> {
        let log = self.laboratory.log(name);
        self.processes.start(name, arguments, &log)
    }

    /// Waits until something is so. Fails if a process ends by itself, or nothing moves for a minute.
    async fn until<T>(&mut self, what: &str, mut ready: impl FnMut(&Self) -> Option<T>) -> Outcome<T> {
        let mut moved = (0, Instant::now());
        loop {
            while let Ok(heard) = self.inbox.try_recv() {
                self.heard.push(heard);
            }
            let delivered = self.ledger().counts().delivered;
            self.screen.progress(delivered);
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            self.fail_if_a_child_failed()?;
            if delivered != moved.0 {
                moved = (delivered, Instant::now());
            }
            if moved.1.elapsed() > WATCHDOG {
                let seconds = WATCHDOG.as_secs();
                return Err(format!("nothing moved for {seconds} s while waiting for {what}").into());
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(LOOK).await;
        }
    }

    fn fail_if_a_child_failed(&mut self) -> Outcome<()> {
        if let Some(heard) = self.heard.iter().find(|heard| !heard.text("failed").is_empty()) {
            return Err(format!("{}: {}", heard.process, heard.text("failed")).into());
        }
        self.processes.check()
    }

    /// Waits for an event of a process among what was heard from `mark` on.
    async fn event(&mut self, process: &str, name: &str, mark: usize) -> Outcome<Heard> {
        let what = format!("{name} of {process}");
        let is_it = |heard: &&Heard| heard.process == process && heard.is_event(name);
        self.until(&what, |story| story.heard[mark..].iter().find(is_it).cloned()).await
    }

    /// Waits until a process listens; answers its port.
    async fn listening(&mut self, process: &str, mark: usize) -> Outcome<u16> {
        let what = format!("{process} to listen");
        let port = |heard: &Heard| heard.number("listening").filter(|_| heard.process == process);
        let port = self.until(&what, |story| story.heard[mark..].iter().find_map(port)).await?;
        Ok(u16::try_from(port)?)
    }

    /// A gateway and the upstream that it uses now, as `farpost status` shows it.
    fn upstream_of(&self, gateway: &Place) -> (String, String) {
        let ask = || -> Outcome<String> {
            let socket = self.laboratory.state_directory(&gateway.name).join("status.sock");
            let mut answer = String::new();
            let mut socket = UnixStream::connect(socket)?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.read_to_string(&mut answer)?;
            let status: Value = serde_json::from_str(&answer)?;
            let name = status.pointer("/upstream/name").and_then(Value::as_str);
            Ok(name.unwrap_or("none").to_owned())
        };
        (gateway.name.clone(), ask().unwrap_or_else(|error| error.to_string()))
    }
}

/// The copy of the input, in the laboratory.
const LINES: &str = "lines";
/// The application's socket, in the laboratory.
const SOCKET: &str = "application.sock";
/// The story fails if nothing moves for this long.
const WATCHDOG: Duration = Duration::from_secs(60);
/// How often the story looks.
const LOOK: Duration = Duration::from_millis(5);
