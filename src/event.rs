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
            text.push_str(&format!("; expected {}", error.expected_text()));
        }
        Self::new(error.code(), subject, text)
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.time, self.code, self.code.summary())?;
        if !self.subject.is_empty() {
            write!(f, ": {}", printable(&self.subject))?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", printable(&self.text))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
