//! Columns of the store as the types of the crate, and back.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use crate::error::Result;
use crate::identity::KeyHash;
use crate::name::Name;
use crate::store::records::corrupt;
use crate::time::Timestamp;

/// A column of a row.
///
/// # Errors
///
/// [`crate::code::Code::StoreCorrupt`] if it is of another kind.
pub(super) fn get<T: FromSqlOwned>(row: &Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        corrupt(&format!("a column that cannot be read: {why}"))
    })
}

pub(super) fn name(row: &Row, column: usize) -> Result<Name> {
    parsed(&get::<String>(row, column)?)
}

pub(super) fn optional_name(row: &Row, column: usize) -> Result<Option<Name>> {
    get::<Option<String>>(row, column)?.as_deref().map(parsed).transpose()
}

fn parsed(text: &str) -> Result<Name> {
    Name::parse(text).map_err(|_| corrupt("a name that no node can have"))
}

/// A time as milliseconds since 1970.
pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp> {
    get(row, column).map(Timestamp::from_unix_millis)
}

/// A number of 64 bits without a sign, as a signed one with the same bits.
pub(super) fn bits(row: &Row, column: usize) -> Result<u64> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}

/// A key hash as 32 bytes.
pub(super) fn key(row: &Row, column: usize) -> Result<Option<KeyHash>> {
    Ok(bytes(row, column)?.map(KeyHash))
}

/// A hash as 32 bytes.
pub(super) fn bytes(row: &Row, column: usize) -> Result<Option<[u8; 32]>> {
    let bytes: Option<Vec<u8>> = get(row, column)?;
    bytes.map(<[u8; 32]>::try_from).transpose().map_err(|_| corrupt("a hash that is not 32 bytes long"))
}

/// A state as its word.
pub(super) fn word<T>(row: &Row, column: usize, parse: fn(&str) -> Result<T>) -> Result<T> {
    parse(&get::<String>(row, column)?).map_err(|_| corrupt("a word that no release wrote"))
}

/// The same of a column that may be empty.
pub(super) fn optional_word<T>(row: &Row, column: usize, parse: fn(&str) -> Result<T>) -> Result<Option<T>> {
    let word: Option<String> = get(row, column)?;
    word.as_deref().map(parse).transpose().map_err(|_| corrupt("a word that no release wrote"))
}

/// Names as an array of texts.
pub(super) fn texts<'n>(names: impl IntoIterator<Item = &'n Name>) -> Vec<&'n str> {
    names.into_iter().map(Name::as_str).collect()
}

/// A free text, which a peer may have chosen. PostgreSQL's texts hold no NUL: it is shown as its picture.
pub(super) fn text(free: &str) -> Cow<'_, str> {
    if free.contains('\0') { free.replace('\0', "\u{2400}").into() } else { free.into() }
}
