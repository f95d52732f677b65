//! Rules that decide about agents which no operator has decided about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::error::{Error, printable};
use crate::group::pattern::NamePattern;
use crate::group::record::{AgentState, UnknownAgents};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::text_form::text_form;

/// The name of a rule: 1 to 64 lower-case letters, digits, hyphens and underscores.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName(Box<str>);

impl RuleName {
    /// Parses a rule's name.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if (1..=RULE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_usual) {
            return Ok(Self(text.into()));
        }
        Err(Error::new(Code::ArgumentInvalid)
            .subject("the name of a rule")
            .found(format!("\"{}\"", printable(text)))
            .expected(format!("1 to {RULE_NAME_BYTES_MAX} lower-case letters, digits, - or _")))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

text_form!(RuleName);

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rule of the group's ordered list: the first one that fits an agent of which no operator decided, decides.
///
/// It may demand a pattern of the name, the CA that issued the agent's certificate, and the gateway that the agent is
/// behind; what it does not demand fits all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApprovalRule {
    /// What it is called.
    pub name: RuleName,
    /// Which names it is for.
    pub pattern: NamePattern,
    /// Which gateway the agent must be behind; none for any place.
    pub gateway: Option<NamePattern>,
    /// What becomes of the agent.
    pub action: UnknownAgents,
    pub(crate) issuer: Option<KeyHash>,
}

impl ApprovalRule {
    /// A rule for the names of a pattern.
    ///
    /// # Errors
    ///
    /// [`Code::ArgumentInvalid`] for its name, [`Code::PatternUnreadable`].
    pub fn new(name: &str, pattern: &str, action: UnknownAgents) -> Result<Self, Error> {
        let (name, pattern) = (RuleName::parse(name)?, NamePattern::parse(pattern)?);
        Ok(Self { name, pattern, gateway: None, action, issuer: None })
    }

    /// Only for agents behind gateways of this name or pattern.
    ///
    /// # Errors
    ///
    /// [`Code::PatternUnreadable`].
    pub fn gateway(self, gateway: &str) -> Result<Self, Error> {
        Ok(Self { gateway: Some(NamePattern::parse(gateway)?), ..self })
    }

    /// Only for agents whose certificate was issued by the CA with this key: SHA-256 of its SubjectPublicKeyInfo, in
    /// hexadecimal. It is the key that the verified chain proves, which nobody else can show; a name of a CA could be
    /// taken by another one.
    ///
    /// # Errors
    ///
    /// [`Code::ConfigBadValue`].
    pub fn issuer(self, sha256: &str) -> Result<Self, Error> {
        Ok(Self { issuer: Some(sha256.parse()?), ..self })
    }

    /// SHA-256 of the demanded CA's public key in hexadecimal.
    pub fn issuer_fingerprint(&self) -> Option<String> {
        self.issuer.map(|issuer| issuer.to_string())
    }

    /// Whether it decides about an agent.
    pub(crate) fn fits(&self, name: &Name, via: Option<&Name>, issuer: Option<KeyHash>) -> bool {
        let is_behind = |gateway: &NamePattern| via.is_some_and(|via| gateway.fits(via));
        self.pattern.fits(name)
            && self.gateway.as_ref().is_none_or(is_behind)
            && self.issuer.is_none_or(|wanted| issuer == Some(wanted))
    }
}

/// The first rule that fits.
pub(crate) fn first_that_fits<'r>(
    rules: &'r [ApprovalRule],
    name: &Name,
    via: Option<&Name>,
    issuer: Option<KeyHash>,
) -> Option<&'r ApprovalRule> {
    rules.iter().find(|rule| rule.fits(name, via, issuer))
}

/// What would become of an agent that knocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuleTest {
    /// The rule that fits first; none where the default for unknown agents decides.
    pub rule: Option<RuleName>,
    /// What it, or the default, says.
    pub action: UnknownAgents,
    /// What the group has decided of this name already: then no rule is asked, unless the agent only waits.
    pub known: Option<AgentState>,
}

/// Puts a rule at the end, or before another one.
///
/// # Errors
///
/// [`Code::RuleExists`], [`Code::RuleUnknown`] for the other one, [`Code::RulesFull`].
pub(crate) fn with_rule(
    mut rules: Vec<ApprovalRule>,
    rule: &ApprovalRule,
    before: Option<&RuleName>,
) -> Result<Vec<ApprovalRule>, Error> {
    if rules.iter().any(|known| known.name == rule.name) {
        return Err(Error::new(Code::RuleExists).subject(rule.name.as_str()));
    }
    if rules.len() >= crate::limits::APPROVAL_RULES_MAX {
        return Err(Error::new(Code::RulesFull).found(format!("{} rules", rules.len())));
    }
    let position = match before {
        None => rules.len(),
        Some(other) => position_of(&rules, other)?,
    };
    rules.insert(position, rule.clone());
    Ok(rules)
}

/// The rules without one of them, and that one.
///
/// # Errors
///
/// [`Code::RuleUnknown`].
pub(crate) fn without_rule(
    mut rules: Vec<ApprovalRule>,
    name: &RuleName,
) -> Result<(Vec<ApprovalRule>, ApprovalRule), Error> {
    let removed = rules.remove(position_of(&rules, name)?);
    Ok((rules, removed))
}

fn position_of(rules: &[ApprovalRule], name: &RuleName) -> Result<usize, Error> {
    rules.iter().position(|rule| rule.name == *name).ok_or_else(|| {
        let known: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let expected = if known.is_empty() { "a rule; there is none yet".to_owned() } else { known.join(", ") };
        Error::new(Code::RuleUnknown).subject(name.as_str()).found("no rule of this name").expected(expected)
    })
}

/// What people type and read in a table.
const RULE_NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn rule(text: &str) -> ApprovalRule {
        ApprovalRule::new(text, "*.branch.example", UnknownAgents::Approve).unwrap()
    }

    #[test]
    fn a_rule_fits_only_where_all_that_it_demands_is_so() {
        let (pc7, gw1, gw2) = (name("pc7.branch.example"), name("gw1"), name("gw2"));
        let (ours, other) = (KeyHash([1; 32]), KeyHash([2; 32]));
        let all = rule("r").gateway("gw1").unwrap().issuer(&ours.to_string()).unwrap();
        for (agent, is_name) in [(&pc7, true), (&gw1, false)] {
            for (via, is_gateway) in [(Some(&gw1), true), (Some(&gw2), false), (None, false)] {
                for (issuer, is_issuer) in [(Some(ours), true), (Some(other), false), (None, false)] {
                    assert_eq!(all.fits(agent, via, issuer), is_name && is_gateway && is_issuer);
                    assert_eq!(rule("r").fits(agent, via, issuer), is_name);
                }
            }
        }
    }

    #[test]
    fn rules_are_ordered_named_once_and_bounded() {
        let names = |rules: &[ApprovalRule]| rules.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>();
        let rules = with_rule(Vec::new(), &rule("a"), None).unwrap();
        let rules = with_rule(rules, &rule("c"), None).unwrap();
        let rules = with_rule(rules, &rule("b"), Some(&RuleName::parse("c").unwrap())).unwrap();
        assert_eq!(names(&rules), ["a", "b", "c"]);
        assert_eq!(with_rule(rules.clone(), &rule("b"), None).unwrap_err().code(), Code::RuleExists);
        let nowhere = RuleName::parse("d").unwrap();
        let error = with_rule(rules.clone(), &rule("e"), Some(&nowhere)).unwrap_err();
        assert_eq!((error.code(), error.expected_text()), (Code::RuleUnknown, "a, b, c"));
        assert_eq!(without_rule(rules.clone(), &nowhere).unwrap_err().code(), Code::RuleUnknown);
        let (rules, removed) = without_rule(rules, &RuleName::parse("b").unwrap()).unwrap();
        assert_eq!((names(&rules), removed), (vec!["a".to_owned(), "c".to_owned()], rule("b")));
        let many = (0..crate::limits::APPROVAL_RULES_MAX).map(|number| rule(&format!("r{number}"))).collect();
        assert_eq!(with_rule(many, &rule("one-more"), None).unwrap_err().code(), Code::RulesFull);
    }

    #[test]
    fn a_rules_name_is_short_and_plain() {
        for bad in ["", "A", "a b", "a'", "ä", &"a".repeat(65)] {
            assert_eq!(RuleName::parse(bad).unwrap_err().code(), Code::ArgumentInvalid, "{bad}");
        }
    }
}
