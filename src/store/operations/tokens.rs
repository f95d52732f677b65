//! One-time tokens: made, used once, forgotten.

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{
    Answer, Author, By, TokenAnswer, TokenRecord, TokenUse, TokensOperation, may_create_token, may_enrol,
};
use crate::limits::{TOKEN_REMEMBERED, TOKENS_MAX};
use crate::name::Name;
use crate::store::operations::operators::{check_no_operator, check_no_server};
use crate::store::operations::{Context, agent, audit, gateway};
use crate::store::records::Records;
use crate::time::Timestamp;

pub(super) fn perform(records: &mut dyn Records, context: &Context<'_>, operation: &TokensOperation) -> Result<Answer> {
    let by = context.by;
    match operation {
        TokensOperation::Create { name, role, via, valid_for_ms, hash } => {
            let created = by.at;
            let valid_for = i64::try_from(*valid_for_ms).unwrap_or(i64::MAX);
            let expires = Timestamp::from_unix_millis(created.unix_millis().saturating_add(valid_for));
            let (name, role, via, hash) = (name.clone(), *role, via.clone(), *hash);
            let record = TokenRecord { name, role, via, created, expires, used: None, hash, request: None };
            create(records, &record, by)?;
            Ok(Answer::Done)
        }
        TokensOperation::Delete { name } => delete(records, name, by).map(Answer::Number),
        TokensOperation::Tokens => records.tokens().map(Answer::Tokens),
    }
}

fn create(records: &mut dyn Records, record: &TokenRecord, by: &By) -> Result<()> {
    records.lock_group()?;
    check_name(records, record)?;
    records.forget_tokens(record.created.earlier_by(TOKEN_REMEMBERED))?;
    // Where there is no room, first those go that only tell their users that they are late, then those that wait for an
    // answer.
    if records.count_tokens()? >= TOKENS_MAX {
        records.forget_unused_tokens(record.created)?;
    }
    if records.count_tokens()? >= TOKENS_MAX {
        records.forget_tokens(record.created)?;
    }
    may_create_token(record, records.count_tokens()?)?;
    records.put_token(record)?;
    audit(records, by, ("create token", record.name.as_str()), None, Some(record))
}

/// Looks at what the group decided about a name, which may have changed since its token was made.
fn check_name(records: &mut dyn Records, record: &TokenRecord) -> Result<()> {
    check_no_operator(records, &record.name)?;
    check_no_server(records, &record.name, "a gateway or an agent")?;
    let (agent, gateway) = (agent(records, &record.name)?, gateway(records, &record.name)?);
    may_enrol(&record.name, record.role, agent.as_ref(), gateway.as_ref())
}

/// Uses a token, or refuses and leaves it as it is; both in the caller's transaction.
pub(in crate::store) fn use_once(records: &mut dyn Records, ask: &TokenUse) -> Result<TokenAnswer> {
    records.lock_group()?;
    let record = records.token(ask.hash)?;
    let answer = crate::group::use_token(record.as_ref(), ask)?;
    if let Some(record) = record {
        check_name(records, &record)?;
        if answer == TokenAnswer::First {
            let used = TokenRecord { used: Some(ask.at), request: Some(ask.request), ..record.clone() };
            records.put_token(&used)?;
            let by = By { author: Author::group("a node that enrols", place_of(ask)), at: ask.at };
            audit(records, &by, ("use token", record.name.as_str()), Some(&record), Some(&used))?;
        }
    }
    Ok(answer)
}

/// Where a node enrols, for people.
fn place_of(ask: &TokenUse) -> &str {
    ask.via.as_ref().map_or("a management server", Name::as_str)
}

/// Deletes all tokens of a name; how many there were.
fn delete(records: &mut dyn Records, name: &Name, by: &By) -> Result<u64> {
    records.lock_group()?;
    match records.remove_tokens(name)? {
        0 => Err(Error::new(Code::TokenUnknown)
            .subject(name.as_str())
            .found("no token of this name")
            .expected("one of farpost token list")),
        count => {
            audit(records, by, ("delete tokens", name.as_str()), Some(&count), None)?;
            Ok(count)
        }
    }
}
