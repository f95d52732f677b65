//! What operators ask from afar, done on the store's thread and made JSON beside it.

use std::io::Write;

use bytes::Bytes;

use super::store_health::{Call, StoreHealth};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::group::{Answer, Author, By, Operation};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_ROWS_MAX};
use crate::node::management_server::OperatorAsk;
use crate::session::clock;
use crate::store::StoreThread;

/// Asks the store, behind what agents wait for. Whether the operator may is decided there, in the same transaction.
///
/// # Errors
///
/// [`Code::AskUnreadable`]; what the operation finds; [`Code::MessageTooLarge`] for an answer that is longer than a link
/// bears.
pub(super) async fn perform(ask: OperatorAsk, store: &StoreThread, health: &StoreHealth) -> Result<Bytes> {
    let operation = read(&ask.operation)?.at_most(ANSWER_ROWS_MAX);
    let call = if operation.is_change() { Call::Write } else { Call::Read };
    let by = By { author: Author::operator(ask.operator.as_str(), ask.from), at: clock::wall() };
    let result = store.call(move |store| store.perform(&operation, &by)).await;
    health.note(call, &result);
    let answer = result?;
    let written = tokio::task::spawn_blocking(move || write(&answer)).await;
    written.unwrap_or_else(|_| Err(Error::new(Code::Internal).subject("an operator's answer")))
}

/// Nothing of it is believed: names are parsed, what nests deeply is refused by the reader.
fn read(json: &[u8]) -> Result<Operation> {
    serde_json::from_slice(json).map_err(|error| {
        let error = Error::new(Code::AskUnreadable).found(error.to_string());
        error.expected(concat!("an operation of farpost ", env!("CARGO_PKG_VERSION")))
    })
}

fn write(answer: &Answer) -> Result<Bytes> {
    let mut bounded = Bounded(Vec::new());
    serde_json::to_writer(&mut bounded, answer).map_err(|error| {
        if error.is_io() {
            let error = Error::new(Code::MessageTooLarge).subject("the answer");
            return error.found(format!("more than {ANSWER_BYTES_MAX} bytes")).remedy("ask for less at once");
        }
        Error::new(Code::Internal).subject("an operator's answer").found(error.to_string())
    })?;
    Ok(bounded.0.into())
}

/// JSON of at most [`ANSWER_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{AuditOperation, DownstreamOperation};

    #[test]
    fn what_nests_deeply_is_unknown_or_holds_a_bad_name_is_unreadable_and_says_what_was_expected() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_value = format!("{{\"approvals\":{}1{}}}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
        let bad_name = "{\"approvals\":{\"approve_agent\":{\"agent\":\"'; drop table agents\"}}}";
        let unknown = "{\"approvals\":{\"do_what_comes_later\":{}}}";
        for json in [
            "",
            "1",
            "{}",
            "null",
            "\"approvals\"",
            "{\"approvals\":\"agents\"} x",
            bad_name,
            unknown,
            &deep,
            &deep_value,
        ] {
            let error = read(json.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::AskUnreadable, "{json:.40}");
            assert!(error.expected_text().contains("farpost"));
        }
        assert!(read(&[0xff, 0xfe]).is_err());
        assert!(matches!(
            read(b"{\"audit\":{\"entries\":{\"since\":\"1970-01-01T00:00:00Z\",\"above\":0,\"limit\":1}}}"),
            Ok(Operation::Audit(AuditOperation::Entries { .. }))
        ));
    }

    #[test]
    fn the_largest_message_to_an_agent_can_be_asked_for() {
        let agent = crate::name::Name::parse(&format!("{}.{}", "a".repeat(63), "b".repeat(63))).unwrap();
        let send: Operation =
            DownstreamOperation::Send { agent, payload: vec![0xff; crate::store::DOWN_PAYLOAD_BYTES_MAX] }.into();
        assert!(serde_json::to_vec(&send).unwrap().len() < crate::limits::ASK_BYTES_MAX);
    }

    #[test]
    fn d7_an_answer_that_is_longer_than_a_link_bears_is_told_as_that() {
        let error = write(&Answer::Text("x".repeat(ANSWER_BYTES_MAX))).unwrap_err();
        assert_eq!(error.code(), Code::MessageTooLarge);
        assert_eq!(write(&Answer::Text("x".repeat(100))).unwrap().len(), "{\"text\":\"\"}".len() + 100);
    }
}
