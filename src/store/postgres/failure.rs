//! What PostgreSQL's errors mean: to the person who can act, and to the engine that may try again.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::code::Code;
use crate::error::Error;

/// What the engine does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two transactions were in each other's way and this one was undone: the same again may work.
    Collision,
    /// The connection is gone or of no use: another one may work.
    Lost,
    /// The statement was refused.
    Refused,
}

/// A failed call, as the engine and as its caller see it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) error: Error,
}

impl Failure {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => {
                let state = db.code();
                let found = format!("{} (SQLSTATE {})", db.message(), state.code());
                let code = code(state);
                Self { kind: kind(state), error: Error::new(code).found(found).expected(expected(code)) }
            }
            None => {
                let code = if is_certificate(error) { Code::StoreUntrusted } else { Code::StoreUnavailable };
                Self { kind: Kind::Lost, error: Error::new(code).found(chain(error)).expected(expected(code)) }
            }
        }
    }

    /// No answer within the time that a call may take.
    pub(super) fn silent() -> Self {
        let code = Code::StoreUnavailable;
        Self { kind: Kind::Lost, error: Error::new(code).found("no answer in time").expected(expected(code)) }
    }
}

fn kind(state: &SqlState) -> Kind {
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Kind::Collision,
        // What was the primary is a standby now: the next connection looks for the other one.
        SqlState::READ_ONLY_SQL_TRANSACTION => Kind::Lost,
        _ if is_of(state, &["08", "57P", "25P03"]) => Kind::Lost,
        _ => Kind::Refused,
    }
}

fn code(state: &SqlState) -> Code {
    match *state {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Code::StoreLoginFailed,
        SqlState::INSUFFICIENT_PRIVILEGE => Code::StoreForbidden,
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED => Code::StoreBusy,
        // Our own statements fail by the data, or by a table that is gone, only if somebody else changed them.
        _ if is_of(state, &["22", "23", "42"]) => Code::StoreCorrupt,
        _ => Code::StoreUnavailable,
    }
}

/// What would have been right.
fn expected(code: Code) -> &'static str {
    match code {
        Code::StoreLoginFailed => "a user who may log in like this",
        Code::StoreForbidden => "a user who may use the tables of the schema farpost",
        Code::StoreUntrusted => "a certificate for the host's name, by a CA of sslrootcert",
        Code::StoreBusy => "its turn within 10 s",
        Code::StoreCorrupt => "the tables as farpost made them",
        _ => "a database server that answers, can be written and has this database",
    }
}

fn is_of(state: &SqlState, classes: &[&str]) -> bool {
    classes.iter().any(|class| state.code().starts_with(class))
}

/// Whether the server's certificate is what was wrong.
fn is_certificate(error: &tokio_postgres::Error) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let tls = io.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

/// An error with its causes; none of them holds a password.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
