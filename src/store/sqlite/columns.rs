//! Columns of the store as the types of the crate.

use std::str::FromStr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::error::Error;
use crate::identity::KeyHash;
use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// A name as text.
pub(super) struct NameColumn(pub(super) Name);

impl FromSql for NameColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Name::parse(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A time as milliseconds since 1970.
pub(super) struct TimeColumn(pub(super) Timestamp);

impl FromSql for TimeColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_unix_millis).map(Self)
    }
}

impl ToSql for TimeColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.unix_millis().into())
    }
}

/// A number of 64 bits without a sign, as a signed one with the same bits.
pub(super) struct BitsColumn(pub(super) u64);

impl FromSql for BitsColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(i64::cast_unsigned).map(Self)
    }
}

impl ToSql for BitsColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.cast_signed().into())
    }
}

/// A key hash as 32 bytes.
pub(super) struct KeyColumn(pub(super) KeyHash);

impl FromSql for KeyColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 32]>::column_result(value).map(|bytes| Self(KeyHash(bytes)))
    }
}

impl ToSql for KeyColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.0[..].into())
    }
}

/// A state as its word.
pub(super) struct WordColumn<T>(pub(super) T);

impl<T: FromStr<Err = Error>> FromSql for WordColumn<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A role as its number.
pub(super) struct RoleColumn(pub(super) Role);

impl FromSql for RoleColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = u32::try_from(value.as_i64()?).ok();
        number.and_then(Role::from_number).map(Self).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for RoleColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::from(self.0 as u8).into())
    }
}
