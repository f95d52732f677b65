//! The rules of approval.

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::group::ApprovalRule;
use crate::store::records::{RuleRecords, signed};
use crate::store::sqlite::columns::{KeyColumn, WordColumn};
use crate::store::sqlite::failure;

impl RuleRecords for &Connection {
    fn rules(&mut self) -> Result<Vec<ApprovalRule>> {
        let mut select = self
            .prepare_cached("SELECT name, pattern, gateway, issuer, action FROM approval_rules ORDER BY position")
            .map_err(failure::of)?;
        let rows = select.query_map([], rule_of).map_err(failure::of)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failure::of)
    }

    fn put_rules(&mut self, rules: &[ApprovalRule]) -> Result<()> {
        self.execute("DELETE FROM approval_rules", []).map_err(failure::of)?;
        let mut insert = self
            .prepare_cached(
                "INSERT INTO approval_rules (position, name, pattern, gateway, issuer, action)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .map_err(failure::of)?;
        for (position, rule) in (1_u64..).zip(rules) {
            let row = (
                signed(position),
                rule.name.as_str(),
                rule.pattern.as_str(),
                rule.gateway.as_ref().map(|gateway| gateway.as_str()),
                rule.issuer.map(KeyColumn),
                rule.action.as_str(),
            );
            insert.execute(row).map_err(failure::of)?;
        }
        Ok(())
    }
}

fn rule_of(row: &Row<'_>) -> rusqlite::Result<ApprovalRule> {
    Ok(ApprovalRule {
        name: row.get::<_, WordColumn<_>>(0)?.0,
        pattern: row.get::<_, WordColumn<_>>(1)?.0,
        gateway: row.get::<_, Option<WordColumn<_>>>(2)?.map(|gateway| gateway.0),
        issuer: row.get::<_, Option<KeyColumn>>(3)?.map(|issuer| issuer.0),
        action: row.get::<_, WordColumn<_>>(4)?.0,
    })
}
