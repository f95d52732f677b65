//! Rules of approval, as operators keep them.

use crate::error::Result;
use crate::group::{ApprovalRule, By, RuleName, RuleTest, first_that_fits, with_rule, without_rule};
use crate::identity::KeyHash;
use crate::name::Name;
use crate::store::operations::{agent, audit};
use crate::store::records::Records;

pub(super) fn add(records: &mut dyn Records, rule: &ApprovalRule, before: Option<&RuleName>, by: &By) -> Result<()> {
    records.lock_group()?;
    let rules = with_rule(records.rules()?, rule, before)?;
    records.put_rules(&rules)?;
    audit(records, by, ("add rule", rule.name.as_str()), None, Some(rule))?;
    // Who waits is asked about again, at once (rule G2).
    records.changed()
}

pub(super) fn remove(records: &mut dyn Records, rule: &RuleName, by: &By) -> Result<()> {
    records.lock_group()?;
    let (rules, removed) = without_rule(records.rules()?, rule)?;
    records.put_rules(&rules)?;
    audit(records, by, ("remove rule", rule.as_str()), Some(&removed), None)?;
    records.changed()
}

pub(super) fn test(
    records: &mut dyn Records,
    name: &Name,
    gateway: Option<&Name>,
    issuer: Option<KeyHash>,
) -> Result<RuleTest> {
    let rules = records.rules()?;
    let rule = first_that_fits(&rules, name, gateway, issuer);
    let action = match rule {
        Some(rule) => rule.action,
        None => records.unknown_agents()?,
    };
    let known = agent(records, name)?.map(|agent| agent.state);
    Ok(RuleTest { rule: rule.map(|rule| rule.name.clone()), action, known })
}
