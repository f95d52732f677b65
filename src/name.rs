//! The name of a node: a DNS name, as its certificate proves it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::code::Code;
use crate::error::Error;
use crate::text_form::text_form;

/// A node's DNS name: lower case, no trailing dot, no wildcard, at most 253 bytes.
///
/// Parsed before it reaches a file, a log, a metric or a store, so that a name from a peer can never act as
/// a path or a pattern. Labels are letters, digits and hyphens (RFC 1123 section 2.1); at least two labels
/// are *not* demanded, since workgroup computers have one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Parses a name; upper case is folded and one trailing dot removed.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        if let Some(problem) = problem_with(trimmed) {
            return Err(Error::new(Code::NameUnreadable)
                .found(format!("\"{}\": {problem}", crate::error::printable(text)))
                .expected("a DNS name of letters, digits, hyphens and dots, at most 253 bytes"));
        }
        Ok(Self(trimmed.to_ascii_lowercase().into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn problem_with(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > NAME_BYTES_MAX {
        return Some("it is longer than 253 bytes");
    }
    if text.contains('*') {
        return Some("it has a wildcard");
    }
    for label in text.split('.') {
        let bytes = label.as_bytes();
        if bytes.is_empty() {
            return Some("a label is empty");
        }
        if bytes.len() > LABEL_BYTES_MAX {
            return Some("a label is longer than 63 bytes");
        }
        if bytes[0] == b'-' || bytes[bytes.len() - 1] == b'-' {
            return Some("a label begins or ends with a hyphen");
        }
        if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            return Some("it has a character that no DNS name has");
        }
    }
    None
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

text_form!(Name);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035 section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_folded_and_loses_its_trailing_dot() {
        assert_eq!(Name::parse("PC7.Branch.Example.").unwrap().as_str(), "pc7.branch.example");
    }

    #[test]
    fn what_could_act_as_a_path_a_pattern_or_a_terminal_sequence_is_no_name() {
        let long_label = "a".repeat(64);
        let long_name = format!("{}a", "a.".repeat(126) + "aa");
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "*.example",
            "a\0b",
            "a\nb",
            "\u{1b}[31m",
            "ä.example",
            "-a.example",
            "a-.example",
            "a..b",
            "a_b",
            "10.0.0.1:5723",
            &long_label,
            &long_name,
        ] {
            let error = Name::parse(bad).expect_err(bad);
            assert_eq!(error.code(), Code::NameUnreadable);
            assert!(error.to_string().chars().all(|c| !c.is_control()), "{error}");
        }
    }
}
