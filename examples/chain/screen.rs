//! What a person sees: lines as things happen, and a bar on a terminal.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(crate) struct Screen {
    started: Instant,
    to_stderr: bool,
    bar: ProgressBar,
}

impl Screen {
    /// With `--json`, standard output is for the result alone.
    pub(crate) fn new(json: bool, messages: u64) -> Self {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(messages), target);
        let template = "        {bar:40} {human_pos} of {human_len} delivered";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { started: Instant::now(), to_stderr: json, bar }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Something happened.
    pub(crate) fn say(&self, text: impl Display) {
        self.print(&format!("{:5.1} s  {text}", self.elapsed().as_secs_f64()));
    }

    /// More about it.
    pub(crate) fn add(&self, text: impl Display) {
        self.print(&format!("           {text}"));
    }

    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| {
            // Nobody reads it: the story goes on.
            let _ = if self.to_stderr {
                writeln!(std::io::stderr(), "{line}")
            } else {
                writeln!(std::io::stdout(), "{line}")
            };
        });
    }

    pub(crate) fn progress(&self, delivered: u64) {
        if delivered > self.bar.position() {
            self.bar.set_position(delivered);
        }
    }

    pub(crate) fn end_progress(&self) {
        self.bar.finish_and_clear();
    }
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
