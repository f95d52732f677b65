//! Patterns of names: what rules and operators say instead of listing names.

use std::fmt;
use std::str::FromStr;

use crate::code::Code;
use crate::error::{Error, printable};
use crate::name::Name;
use crate::text_form::text_form;

/// A pattern of names: a DNS name whose labels may hold `*` for any run of characters within the label, as in
/// `pc*.branch.example`; `**` as the first label stands for one or more labels.
///
/// So `*.branch.example` fits `pc7.branch.example` and not `pc7.lab.branch.example`, which `**.branch.example` fits too.
/// Like a name it is folded to lower case and loses its trailing dot.
///
/// ```
/// use farpost::{Name, NamePattern};
///
/// let pattern: NamePattern = "*.branch.example".parse().expect("a pattern");
/// assert!(pattern.fits(&Name::parse("pc7.branch.example").expect("a name")));
/// assert!(!pattern.fits(&Name::parse("pc7.lab.branch.example").expect("a name")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamePattern(Box<str>);

impl NamePattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// [`Code::PatternUnreadable`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        let rest = trimmed.strip_prefix("**.").or((trimmed == "**").then_some("x")).unwrap_or(trimmed);
        // With a letter for every run of characters it has to be a name.
        let is_pattern = !rest.contains("**") && Name::parse(&rest.replace('*', "x")).is_ok();
        if !is_pattern || trimmed.len() > PATTERN_BYTES_MAX {
            return Err(Error::new(Code::PatternUnreadable)
                .found(format!("\"{}\"", printable(text)))
                .expected("a DNS name whose labels may hold *, or ** in front"));
        }
        Ok(Self(trimmed.to_ascii_lowercase().into()))
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &Name) -> bool {
        let (pattern, has_any_labels) = match self.0.strip_prefix("**") {
            Some(rest) => (rest.strip_prefix('.').unwrap_or_default(), true),
            None => (&*self.0, false),
        };
        // From the end, so that what `**` stands for is what is left.
        let mut labels = name.as_str().rsplit('.');
        for wanted in pattern.rsplit('.').filter(|label| !label.is_empty()) {
            match labels.next() {
                Some(label) if label_fits(wanted.as_bytes(), label.as_bytes()) => {}
                _ => return false,
            }
        }
        labels.next().is_some() == has_any_labels
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a label fits a label with `*`. A mismatch is tried again one byte further after the last `*` only, so the
/// work is at most the product of the two lengths.
fn label_fits(pattern: &[u8], label: &[u8]) -> bool {
    let (mut at_pattern, mut at_label) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(byte) = label.get(at_label) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                last_star = Some((at_pattern + 1, at_label));
                at_pattern += 1;
            }
            Some(wanted) if wanted == byte => {
                at_pattern += 1;
                at_label += 1;
            }
            _ => {
                let Some((after_star, from)) = last_star else { return false };
                last_star = Some((after_star, from + 1));
                (at_pattern, at_label) = (after_star, from + 1);
            }
        }
    }
    pattern.get(at_pattern..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

impl FromStr for NamePattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl From<Name> for NamePattern {
    fn from(name: Name) -> Self {
        Self(name.as_str().into())
    }
}

text_form!(NamePattern);

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As long as a name (RFC 1035 section 2.3.4).
const PATTERN_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern).unwrap().fits(&Name::parse(name).unwrap())
    }

    #[test]
    fn a_star_stays_within_its_label_and_two_stand_for_whole_labels() {
        for (pattern, name, expected) in [
            ("*.branch.example", "pc7.branch.example", true),
            ("*.Branch.Example.", "pc7.branch.example", true),
            ("*.branch.example", "pc7.lab.branch.example", false),
            ("*.branch.example", "branch.example", false),
            ("*.branch.example", "pc7.evilbranch.example", false),
            ("*.branch.example", "pc7.branch.example.evil", false),
            ("**.branch.example", "pc7.branch.example", true),
            ("**.branch.example", "a.b.c.branch.example", true),
            ("**.branch.example", "branch.example", false),
            ("**.branch.example", "pc7.evilbranch.example", false),
            ("**", "pc7", true),
            ("**", "pc7.branch.example", true),
            ("*", "pc7", true),
            ("*", "pc7.branch.example", false),
            ("pc*.branch.example", "pc.branch.example", true),
            ("pc*.branch.example", "apc7.branch.example", false),
            ("*a*b*.example", "xaybz.example", true),
            ("*a*b*.example", "xbya.example", false),
            ("pc7.branch.example", "pc7.branch.example", true),
            ("pc7.branch.example", "pc77.branch.example", false),
            ("pc7.*.example", "pc7.branch.example", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_name_with_stars_is_no_pattern() {
        let long = format!("**.{}", "a.".repeat(126) + "a");
        for bad in
            ["", ".", "a**b", "a.**", "***", "**.**.a", "a b", "'; DROP TABLE agents --", "a..b", "[a]", "a?", &long]
        {
            assert_eq!(NamePattern::parse(bad).unwrap_err().code(), Code::PatternUnreadable, "{bad}");
        }
    }

    /// Against a matcher that tries everything, on all patterns and labels of three letters.
    #[test]
    fn a_label_fits_exactly_when_some_choice_of_runs_makes_it() {
        fn slow(pattern: &[u8], label: &[u8]) -> bool {
            match pattern.split_first() {
                None => label.is_empty(),
                Some((b'*', rest)) => (0..=label.len()).any(|skip| slow(rest, &label[skip..])),
                Some((byte, rest)) => label.first() == Some(byte) && slow(rest, &label[1..]),
            }
        }
        let words = |letters: &[u8], length: usize| -> Vec<Vec<u8>> {
            (0..length).fold(vec![Vec::new()], |words: Vec<Vec<u8>>, _| {
                let longer = words.iter().flat_map(|word| letters.iter().map(|one| [&word[..], &[*one]].concat()));
                longer.chain(words.iter().cloned()).collect()
            })
        };
        for pattern in words(b"ab*", 4) {
            for label in words(b"ab", 5) {
                assert_eq!(label_fits(&pattern, &label), slow(&pattern, &label), "{pattern:?} {label:?}");
            }
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_the_product_of_the_lengths() {
        let pattern = format!("{}b", "a*".repeat(31));
        let name = "a".repeat(63);
        assert!(!fits(&pattern, &name));
    }
}
