//! The rules of approval.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::Result;
use crate::group::{ApprovalRule, NamePattern, RuleName, UnknownAgents};
use crate::store::postgres::columns::{key, optional_word, word};
use crate::store::postgres::records::Transaction;
use crate::store::records::RuleRecords;

impl RuleRecords for Transaction<'_> {
    fn rules(&mut self) -> Result<Vec<ApprovalRule>> {
        let sql = "SELECT name, pattern, gateway, issuer, action FROM farpost.approval_rules ORDER BY position";
        self.query(sql, &[])?.iter().map(rule_of).collect()
    }

    fn put_rules(&mut self, rules: &[ApprovalRule]) -> Result<()> {
        self.query("DELETE FROM farpost.approval_rules", &[])?;
        let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let patterns: Vec<_> = rules.iter().map(|rule| rule.pattern.as_str()).collect();
        let gateways: Vec<_> = rules.iter().map(|rule| rule.gateway.as_ref().map(NamePattern::as_str)).collect();
        let issuers: Vec<_> = rules.iter().map(|rule| rule.issuer.as_ref().map(|key| &key.0[..])).collect();
        let actions: Vec<_> = rules.iter().map(|rule| rule.action.as_str()).collect();
        let sql = "INSERT INTO farpost.approval_rules (position, name, pattern, gateway, issuer, action)
             SELECT r.position, r.name, r.pattern, r.gateway, r.issuer, r.action
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) WITH ORDINALITY
                  AS r(name, pattern, gateway, issuer, action, position)";
        let row: [&(dyn ToSql + Sync); 5] = [&names, &patterns, &gateways, &issuers, &actions];
        self.query(sql, &row).map(|_| ())
    }
}

fn rule_of(row: &Row) -> Result<ApprovalRule> {
    Ok(ApprovalRule {
        name: word(row, 0, RuleName::parse)?,
        pattern: word(row, 1, NamePattern::parse)?,
        gateway: optional_word(row, 2, NamePattern::parse)?,
        issuer: key(row, 3)?,
        action: word(row, 4, UnknownAgents::parse)?,
    })
}
