//! One-time tokens: made, used once, forgotten.

use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{TokenAnswer, TokenRecord, TokenUse, may_create_token, may_enrol};
use crate::limits::{TOKEN_REMEMBERED, TOKENS_MAX};
use crate::name::Name;
use crate::store::operations::{agent, gateway};
use crate::store::records::Records;
use crate::time::Timestamp;

pub(in crate::store) fn create(records: &mut dyn Records, record: &TokenRecord) -> Result<()> {
    records.lock_group()?;
    check_name(records, record)?;
    let remembered = i64::try_from(TOKEN_REMEMBERED.as_millis()).unwrap_or(i64::MAX);
    records.forget_tokens(Timestamp::from_unix_millis(record.created.unix_millis().saturating_sub(remembered)))?;
    // Where there is no room, first those go that only tell their users that they are late, then those that wait for an
    // answer.
    if records.count_tokens()? >= TOKENS_MAX {
        records.forget_unused_tokens(record.created)?;
    }
    if records.count_tokens()? >= TOKENS_MAX {
        records.forget_tokens(record.created)?;
    }
    may_create_token(record, records.count_tokens()?)?;
    records.put_token(record)
}

/// Looks at what the group decided about a name, which may have changed since its token was made.
fn check_name(records: &mut dyn Records, record: &TokenRecord) -> Result<()> {
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
            records.put_token(&TokenRecord { used: Some(ask.at), request: Some(ask.request), ..record })?;
        }
    }
    Ok(answer)
}

/// Deletes all tokens of a name; how many there were.
pub(in crate::store) fn delete(records: &mut dyn Records, name: &Name) -> Result<u64> {
    records.lock_group()?;
    match records.remove_tokens(name)? {
        0 => Err(Error::new(Code::TokenUnknown)
            .subject(name.as_str())
            .found("no token of this name")
            .expected("one of farpost token list")),
        count => Ok(count),
    }
}
