//! Sites: named sets of nodes that have their upstreams in common (rule G6).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::group::Assignment;
use crate::name::Name;
use crate::text_form::text_form;

/// A site's name: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`; capitals are taken as small ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(String);

/// What a site's name may have, in bytes.
const SITE_NAME_BYTES_MAX: usize = 64;

impl SiteName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`Code::NameUnreadable`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > SITE_NAME_BYTES_MAX || !text.bytes().all(is_fitting) {
            return Err(Error::new(Code::NameUnreadable)
                .subject(printable(text))
                .found("no site's name")
                .expected(format!("1 to {SITE_NAME_BYTES_MAX} letters, digits, hyphens, underscores and dots"))
                .remedy("give the site such a name"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name, in small letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_form!(SiteName);

/// A site, as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SiteRecord {
    /// Its name.
    pub name: SiteName,
    /// What its nodes are assigned that have nothing of their own; none while it has none.
    pub assignment: Option<Assignment>,
    /// Its gateways and agents, by name.
    pub nodes: Vec<Name>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sites_name_is_a_plain_word_and_nothing_else() {
        assert_eq!(SiteName::parse("Branch-7_b.x").unwrap().as_str(), "branch-7_b.x");
        let long = "x".repeat(65);
        for bad in ["", " ", "a b", "a'; DROP TABLE sites", "ä", "a/b", "a\0", &long] {
            assert_eq!(SiteName::parse(bad).unwrap_err().code(), Code::NameUnreadable, "{bad}");
        }
        assert!(SiteName::parse(&long[1..]).is_ok());
    }
}
