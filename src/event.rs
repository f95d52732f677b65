//! What a node tells the people who run it (rule E1).

use std::fmt;

use crate::code::{Code, Severity};
use crate::error::{Error, printable};
use crate::time::Timestamp;

/// Something that happened, with its permanent code.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened; severity, remedy and Operations Manager's event number hang on it.
    pub code: Code,
    /// When, by this computer's clock.
    pub time: Timestamp,
    /// Who or what it is about: a node's name, an address, a file.
    pub subject: String,
    /// The particulars: found, expected, counts.
    pub text: String,
}

impl Event {
    /// An event without a time: the shell stamps it when it passes.
    pub(crate) fn new(code: Code, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code, time: Timestamp::default(), subject: subject.into(), text: text.into() }
    }

    /// The event of a refusal or failure.
    pub(crate) fn of_error(subject: impl Into<String>, error: &Error) -> Self {
        let mut text = String::new();
        if !error.found_text().is_empty() {
            text.push_str(&format!("found {}", error.found_text()));
        }
        if !error.expected_text().is_empty() {
            let between = if text.is_empty() { "" } else { "; " };
            text.push_str(&format!("{between}expected {}", error.expected_text()));
        }
        Self::new(error.code(), subject, text)
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// The line for a log that has times of its own.
    pub(crate) fn without_time(&self) -> String {
        let mut line = format!("{} {}", self.code, self.code.summary());
        for part in [&self.subject, &self.text].into_iter().filter(|part| !part.is_empty()) {
            line.push_str(": ");
            line.push_str(&printable(part));
        }
        line
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time, self.without_time())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_the_event_of_an_error_says_what_there_is_to_say_and_no_more() {
        let line = |error: Error| Event::of_error("gw1", &error).without_time();
        let error = || Error::new(Code::NameRejected);
        let start = "FP3003 the group rejected this name: gw1";
        assert_eq!(line(error()), start);
        assert_eq!(line(error().found("a")), format!("{start}: found a"));
        assert_eq!(line(error().expected("b")), format!("{start}: expected b"));
        assert_eq!(line(error().found("a").expected("b")), format!("{start}: found a; expected b"));
    }
}
