//! The child processes as the parent sees them: started, heard, killed, and all gone when the story ends.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::Outcome;

/// Something that a child told.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The name that the process was started under.
    pub(crate) process: String,
    pub(crate) at: Instant,
    what: Value,
}

impl Heard {
    pub(crate) fn is_event(&self, name: &str) -> bool {
        self.text("event") == name
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.what.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.what.get(key)?.as_u64()
    }
}

pub(crate) struct Processes {
    running: BTreeMap<String, Running>,
    told: mpsc::UnboundedSender<Heard>,
}

struct Running {
    child: Child,
    /// Its end is the child's.
    stdin: ChildStdin,
}

impl Processes {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (told, heard) = mpsc::unbounded_channel();
        (Self { running: BTreeMap::new(), told }, heard)
    }

    /// Starts this program again, as a node.
    pub(crate) fn start(&mut self, name: &str, arguments: &[String], log: &Path) -> Outcome<u32> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err("a child without pipes".into()) };
        let (told, process) = (self.told.clone(), name.to_owned());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(what) = serde_json::from_str(&line) {
                    let heard = Heard { process: process.clone(), at: Instant::now(), what };
                    if told.send(heard).is_err() {
                        return;
                    }
                }
            }
        });
        let process = child.id();
        self.running.insert(name.to_owned(), Running { child, stdin });
        Ok(process)
    }

    /// Gives the word to go on.
    pub(crate) fn go(&mut self, name: &str) -> Outcome<()> {
        let running = self.running.get_mut(name).ok_or("no such process")?;
        running.stdin.write_all(b"go\n")?;
        Ok(())
    }

    /// SIGKILL: no goodbye, no flush. Answers when.
    pub(crate) fn kill(&mut self, name: &str) -> Outcome<Instant> {
        let mut running = self.running.remove(name).ok_or("no such process")?;
        let at = Instant::now();
        running.child.kill()?;
        running.child.wait()?;
        Ok(at)
    }

    /// Fails if a process ended that nobody killed.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        for (name, running) in &mut self.running {
            if let Some(status) = running.child.try_wait()? {
                return Err(format!("{name} ended by itself: {status}").into());
            }
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            // One that has ended already needs neither.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
