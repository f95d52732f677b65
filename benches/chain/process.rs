//! Processes of a lab: this program again with other arguments, pinned, measured by /proc.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::options::Options;

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program as one of the lab's processes, on one core if `core` says so.
    pub(crate) fn start(options: &Options, core: Option<usize>) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(options.arguments()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let (input, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        Self { child, input, lines: BufReader::new(output).lines() }
    }

    /// Waits for the line that begins with this word; answers its rest.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        let line = self.lines.next().and_then(Result::ok);
        let line = line.unwrap_or_else(|| panic!("the process ended before it said {word}"));
        line.strip_prefix(word).unwrap_or_else(|| panic!("\"{line}\" instead of {word}")).trim().to_owned()
    }

    /// Writes a line to its input.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("its input");
    }

    /// kill -9; does not wait until its sockets are gone.
    pub(crate) fn signal_kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it used of the CPU so far, in user and system mode.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("a running process");
        // The name, which may hold anything, ends with the last parenthesis; utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
        // Linux counts in hundredths of a second for every program.
        Duration::from_millis(ticks * 10)
    }

    /// A line of /proc/PID/status in KiB: VmRSS, VmHWM.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {what} of process {}", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_kill();
        let _ = self.child.wait();
    }
}

/// Whether processes can be given a core each.
pub(crate) fn can_pin() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores > 1 && Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok()
}
