//! What SQLite's errors mean to the person who can act.

use rusqlite::ErrorCode;

use crate::code::Code;
use crate::error::Error;

/// The error of a failed SQLite call; its subject, the file, is added by the store.
#[expect(clippy::needless_pass_by_value, reason = "goes to map_err by name")]
pub(super) fn of(error: rusqlite::Error) -> Error {
    let code = code(&error);
    let expected = match code {
        Code::StoreBusy => "its turn within 5 s",
        Code::StoreCorrupt => "a store as farpost wrote it",
        _ => "a file that can be read and written",
    };
    Error::new(code).found(error.to_string()).expected(expected)
}

fn code(error: &rusqlite::Error) -> Code {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Code::StoreBusy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => Code::StoreCorrupt,
            // Our own statements do not fail to compile unless a table they name is gone.
            ErrorCode::Unknown => Code::StoreCorrupt,
            _ => Code::StoreUnavailable,
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::SqlInputError { .. } => Code::StoreCorrupt,
        _ => Code::StoreUnavailable,
    }
}
