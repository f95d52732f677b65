//! The one error of the library: a permanent code, what was found, what was expected, what to do.

use std::fmt;

use crate::code::{Code, Severity};

/// The result of the library's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something that did not work, told to the person who can act.
///
/// The [`Code`] is permanent; the texts may change between releases.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    code: Code,
    subject: String,
    found: String,
    expected: String,
    remedy: String,
}

impl Error {
    /// An error with the code's own remedy.
    pub(crate) fn new(code: Code) -> Self {
        Self(Box::new(Parts {
            code,
            subject: String::new(),
            found: String::new(),
            expected: String::new(),
            remedy: String::new(),
        }))
    }

    /// Why an application cannot answer what the library asks of it: its cursor (rule D5b). The channel that asked is
    /// refused with this text, and the agent comes again.
    ///
    /// ```
    /// let error = farpost::Error::of_application("the database is down");
    /// assert_eq!(error.code(), farpost::Code::OutputFailed);
    /// assert_eq!(error.found_text(), "the database is down");
    /// ```
    pub fn of_application(found: impl Into<String>) -> Self {
        Self::new(Code::OutputFailed).subject("the application").found(found)
    }

    /// What it is about: a node, a file, a configuration key.
    #[must_use]
    pub(crate) fn subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = subject.into();
        self
    }

    /// What was found.
    #[must_use]
    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = found.into();
        self
    }

    /// What was expected instead.
    #[must_use]
    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = expected.into();
        self
    }

    /// What to do, where more is known than the code's own remedy.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    /// The permanent code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What it is about, or an empty text.
    pub fn subject_text(&self) -> &str {
        &self.0.subject
    }

    /// What was found, or an empty text.
    pub fn found_text(&self) -> &str {
        &self.0.found
    }

    /// What was expected, or an empty text.
    pub fn expected_text(&self) -> &str {
        &self.0.expected
    }

    /// What to do.
    pub fn remedy_text(&self) -> &str {
        if self.0.remedy.is_empty() { self.0.code.remedy() } else { &self.0.remedy }
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_retriable(&self) -> bool {
        self.0.code.severity() < Severity::Error
    }
}

impl fmt::Display for Error {
    /// One line: `FP1202 the certificate has expired: pc7.branch.example: found …; expected …; remedy: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code, self.0.code.summary())?;
        if !self.0.subject.is_empty() {
            write!(f, ": {}", printable(&self.0.subject))?;
        }
        if !self.0.found.is_empty() {
            write!(f, ": found {}", printable(&self.0.found))?;
        }
        if !self.0.expected.is_empty() {
            write!(f, "; expected {}", printable(&self.0.expected))?;
        }
        if !self.remedy_text().is_empty() {
            write!(f, "; remedy: {}", printable(self.remedy_text()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// A text as it may be shown: control and direction-changing characters escaped, cut at 512 characters, so that
/// what a peer or a file holds can neither inject into a log nor fill it (H17).
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(512));
    for (count, c) in text.chars().enumerate() {
        if count == 512 {
            out.push('…');
            break;
        }
        let directional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || directional {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h17_what_a_peer_wrote_can_neither_inject_nor_flood() {
        let error = Error::new(Code::CertificateExpired).found(format!("a\nb\u{1b}[2J\u{202e}{}", "x".repeat(9000)));
        let line = error.to_string();
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert!(line.len() < 1024, "{}", line.len());
    }
}
