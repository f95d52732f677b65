//! What did not work, told to the person at the terminal.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::net::AddrParseError;
use std::num::ParseIntError;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use farpost::{Code, Error};

/// An error of the command: those of the library, and its own.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something did not work.
    Error(Box<Blame>),
    /// `--help` and `--version`: not a failure, and printed as they are.
    Information(String),
}

/// The parts of an error.
#[derive(Debug)]
pub(crate) struct Blame {
    code: Code,
    subject: String,
    found: String,
    expected: String,
    remedy: String,
}

impl Failure {
    /// An error with the code's own remedy.
    pub(crate) fn new(code: Code, subject: impl fmt::Display) -> Self {
        Self::Error(Box::new(Blame {
            code,
            subject: subject.to_string(),
            found: String::new(),
            expected: String::new(),
            remedy: code.remedy().to_owned(),
        }))
    }

    /// What was found.
    pub(crate) fn found(self, found: impl fmt::Display) -> Self {
        self.with(|blame| blame.found = found.to_string())
    }

    /// What was expected instead.
    pub(crate) fn expected(self, expected: impl fmt::Display) -> Self {
        self.with(|blame| blame.expected = expected.to_string())
    }

    /// What to do, where more is known than the code's own remedy.
    pub(crate) fn remedy(self, remedy: impl fmt::Display) -> Self {
        self.with(|blame| blame.remedy = remedy.to_string())
    }

    fn with(mut self, change: impl FnOnce(&mut Blame)) -> Self {
        if let Self::Error(blame) = &mut self {
            change(blame);
        }
        self
    }

    /// A command line that clap refuses, or asks for help.
    pub(crate) fn of_command_line(error: clap::Error) -> Self {
        let text = error.render().to_string();
        if !error.use_stderr() {
            return Self::Information(text);
        }
        if let Some(failure) = Self::of_bad_value(&error) {
            return failure;
        }
        let (found, usage) = text.split_once("Usage:").unwrap_or((&text, "farpost --help"));
        let found = found.split("\n\nFor more information").next().unwrap_or_default();
        let found: Vec<&str> = found.trim_start_matches("error:").split_whitespace().collect();
        let usage = usage.lines().next().unwrap_or_default().trim();
        Self::new(Code::Usage, "").found(found.join(" ")).expected(usage)
    }

    /// A value that no option or argument takes: which, and what it takes instead.
    fn of_bad_value(error: &clap::Error) -> Option<Self> {
        if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
            return None;
        }
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
            _ => None,
        };
        let failure = Self::new(Code::Usage, text(ContextKind::InvalidArg)?);
        let value = format!("\"{}\"", text(ContextKind::InvalidValue)?);
        let source = error.source();
        if let Some(refused) = source.and_then(|source| source.downcast_ref::<Error>()) {
            let of_its_own = refused.code() != Code::ConfigBadValue;
            let why = of_its_own.then(|| format!(": {} ({})", refused.code().summary(), refused.code()));
            let expected = Some(refused.expected_text()).filter(|text| !text.is_empty());
            return Some(
                failure
                    .found(format!("{value}{}", why.unwrap_or_default()))
                    .expected(expected.unwrap_or("another value"))
                    .remedy(refused.remedy_text()),
            );
        }
        let valid = text(ContextKind::ValidValue).or_else(|| source.map(expected_of));
        Some(failure.found(value).expected(valid.unwrap_or_else(|| "another value".to_owned())))
    }

    /// The parts as a JSON object; empty ones too.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        match self {
            Self::Information(text) => serde_json::json!({ "summary": text }),
            Self::Error(blame) => serde_json::json!({
                "code": blame.code.to_string(),
                "summary": blame.code.summary(),
                "subject": blame.subject,
                "found": blame.found,
                "expected": blame.expected,
                "remedy": blame.remedy,
            }),
        }
    }

    /// Prints itself and says what the process returns: 1, or 2 for a command line.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Information(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Self::Error(blame) => {
                eprint!("{self}");
                if blame.code == Code::Usage { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    }
}

/// What a value's parser expects: ours say it; those of the standard library say what was wrong.
fn expected_of(source: &(dyn std::error::Error + 'static)) -> String {
    if source.is::<AddrParseError>() {
        "an IP address, such as 10.0.0.5 or 2001:db8::5".to_owned()
    } else if source.is::<ParseIntError>() {
        "a whole number".to_owned()
    } else {
        source.to_string()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.subject_text())
            .found(error.found_text())
            .expected(error.expected_text())
            .remedy(error.remedy_text())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Error(blame) = self else { return Ok(()) };
        write!(f, "{} {}", blame.code, blame.code.summary())?;
        if !blame.subject.is_empty() {
            write!(f, ": {}", printable(&blame.subject))?;
        }
        f.write_char('\n')?;
        for (label, text) in [("found", &blame.found), ("expected", &blame.expected), ("remedy", &blame.remedy)] {
            if !text.is_empty() {
                writeln!(f, "  {label:<8}  {}", printable(text))?;
            }
        }
        Ok(())
    }
}

/// A text as a terminal may see it: what a peer or a file holds must not steer it.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
