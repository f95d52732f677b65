//! NULL for every pointer argument of the interface, one at a time (rule C1).

use std::ffi::CString;
use std::ptr::{null, null_mut};

use super::{Opened, config, event, shown, status};
use crate::code::Code;
use crate::ffi::arguments::Sized32;
use crate::ffi::calls::*;
use crate::ffi::config::*;
use crate::ffi::error::*;
use crate::ffi::event::*;
use crate::ffi::session::*;
use crate::ffi::status::FARPOST_OK;
use crate::ffi::verify::*;

/// What a call does that got NULL for one argument.
#[derive(Clone, Debug, PartialEq)]
enum Null {
    /// It fails with FARPOST_ERR_NULL.
    Refused,
    /// It does what the comment in the header says.
    Allowed,
}

/// Each argument of each function: that one NULL, all others good.
#[expect(clippy::too_many_lines, reason = "one line per function of the interface")]
fn null_calls() -> Vec<(&'static str, Null)> {
    let opened = Opened::new();
    let (session, event, config) = (opened.session, event(&opened), config());
    let mut calls = Vec::new();
    let mut refused = |name, got: i32| {
        calls.push((name, if got == status(Code::NullArgument) { Null::Refused } else { Null::Allowed }));
        assert!(got == status(Code::NullArgument) || got == FARPOST_OK, "{name}: {got}");
    };
    let key = CString::new("management_group").unwrap();
    let value = CString::new("CORP").unwrap();
    let path = CString::new("/nonexistent/agent.toml").unwrap();
    let (mut made, mut running, mut taken, mut length) = (null_mut(), null_mut(), null_mut(), 9_usize);
    let mut receipt = Receipt { struct_size: 32, ..Receipt::defaults() };
    let (no_error, send) = (null_mut(), SendOptions { struct_size: 8, priority: 0 });
    let mut number = 0;
    unsafe {
        refused("farpost_config_new.config", farpost_config_new(1, null_mut(), no_error));
        refused("farpost_config_new.error", farpost_config_new(1, &raw mut made, null_mut()));
        refused("farpost_config_load.path", farpost_config_load(null(), &raw mut made, no_error));
        refused("farpost_config_load.config", farpost_config_load(path.as_ptr(), null_mut(), no_error));
        refused("farpost_config_set.config", farpost_config_set(null_mut(), key.as_ptr(), value.as_ptr(), no_error));
        refused("farpost_config_set.key", farpost_config_set(config, null(), value.as_ptr(), no_error));
        refused("farpost_config_set.value", farpost_config_set(config, key.as_ptr(), null(), no_error));
        refused("farpost_config_set.error", farpost_config_set(config, key.as_ptr(), value.as_ptr(), null_mut()));
        refused("farpost_session_open.config", farpost_session_open(null(), &raw mut running, no_error));
        refused("farpost_session_open.session", farpost_session_open(config, null_mut(), no_error));
        refused("farpost_session_poll.session", farpost_session_poll(null_mut(), 0, &raw mut taken, no_error));
        refused("farpost_session_poll.event", farpost_session_poll(session, 0, null_mut(), no_error));
        refused(
            "farpost_session_send.session",
            farpost_session_send(null_mut(), b"x".as_ptr(), 1, &raw const send, &raw mut number, no_error),
        );
        refused(
            "farpost_session_send.data",
            farpost_session_send(session, null(), 1, &raw const send, &raw mut number, no_error),
        );
        refused(
            "farpost_session_send.options",
            farpost_session_send(session, b"x".as_ptr(), 1, null(), &raw mut number, no_error),
        );
        refused(
            "farpost_session_send.sequence",
            farpost_session_send(session, b"x".as_ptr(), 1, &raw const send, null_mut(), no_error),
        );
        refused(
            "farpost_session_send.error",
            farpost_session_send(session, b"x".as_ptr(), 1, &raw const send, &raw mut number, null_mut()),
        );
        refused("farpost_session_receipt.session", farpost_session_receipt(null(), &raw mut receipt, no_error));
        refused("farpost_session_receipt.receipt", farpost_session_receipt(session, null_mut(), no_error));
        refused("farpost_session_receipt.error", farpost_session_receipt(session, &raw mut receipt, null_mut()));
        refused("farpost_session_flush.session", farpost_session_flush(null_mut(), 1, 0, 0, no_error));
        refused("farpost_session_reload_identity.session", farpost_session_reload_identity(null_mut(), 0, no_error));
        refused("farpost_session_close.session", farpost_session_close(null_mut(), 0, no_error));
        refused("farpost_session_close.error", farpost_session_close(session, 0, null_mut()));
        refused("farpost_event_acknowledge.event", farpost_event_acknowledge(null_mut(), no_error));
        refused("farpost_event_acknowledge.error", farpost_event_acknowledge(event, null_mut()));

        // A failure without an error object.
        assert_eq!(farpost_config_load(path.as_ptr(), &raw mut made, null_mut()), status(Code::FileMissing));
        assert_ne!(farpost_session_open(config, &raw mut running, null_mut()), FARPOST_OK);
        assert_eq!(farpost_session_poll(session, 0, &raw mut taken, null_mut()), status(Code::Closed));
        assert_eq!(farpost_session_flush(session, 9, 0, 0, null_mut()), status(Code::ArgumentInvalid));
        for name in ["farpost_config_load.error", "farpost_session_open.error", "farpost_session_poll.error"] {
            calls.push((name, Null::Allowed));
        }
        calls.push(("farpost_session_flush.error", Null::Allowed));
        assert_eq!(farpost_session_reload_identity(session, 0, null_mut()), status(Code::Closed));
        calls.push(("farpost_session_reload_identity.error", Null::Allowed));

        // Accessors give nothing for nothing, and free takes it.
        let mut allowed = |name, holds: bool| {
            assert!(holds, "{name}");
            calls.push((name, Null::Allowed));
        };
        allowed("farpost_error_code.error", farpost_error_code(null()) == 0);
        allowed("farpost_error_name.error", shown(farpost_error_name(null())).is_empty());
        allowed("farpost_error_message.error", shown(farpost_error_message(null())).is_empty());
        allowed("farpost_error_found.error", shown(farpost_error_found(null())).is_empty());
        allowed("farpost_error_expected.error", shown(farpost_error_expected(null())).is_empty());
        allowed("farpost_error_remedy.error", shown(farpost_error_remedy(null())).is_empty());
        allowed("farpost_error_subject.error", shown(farpost_error_subject(null())).is_empty());
        allowed("farpost_error_is_retriable.error", !farpost_error_is_retriable(null()));
        allowed("farpost_error_is_fatal.error", !farpost_error_is_fatal(null()));
        allowed("farpost_event_kind.event", farpost_event_kind(null()) == 0);
        allowed("farpost_event_code.event", farpost_event_code(null()) == 0);
        allowed("farpost_event_severity.event", farpost_event_severity(null()) == 0);
        allowed("farpost_event_operations_manager.event", farpost_event_operations_manager(null()) == 0);
        allowed("farpost_event_time_unix_ms.event", farpost_event_time_unix_ms(null()) == 0);
        allowed("farpost_event_name.event", shown(farpost_event_name(null())).is_empty());
        allowed("farpost_event_subject.event", shown(farpost_event_subject(null())).is_empty());
        allowed("farpost_event_message.event", shown(farpost_event_message(null())).is_empty());
        allowed("farpost_event_sequence.event", farpost_event_sequence(null()) == 0);
        allowed("farpost_event_payload.event", farpost_event_payload(null(), &raw mut length).is_null() && length == 0);
        allowed("farpost_event_payload.length", !farpost_event_payload(event, null_mut()).is_null());
        allowed("farpost_session_fd.session", farpost_session_fd(null()) == -1);
        farpost_session_wakeup(null());
        farpost_session_free(null_mut());
        farpost_event_free(null_mut());
        farpost_error_free(null_mut());
        farpost_config_free(null_mut());
        allowed("farpost_session_wakeup.session", true);
        allowed("farpost_session_free.session", true);
        allowed("farpost_event_free.event", true);
        allowed("farpost_error_free.error", true);
        allowed("farpost_config_free.config", true);
        assert!(running.is_null() && taken.is_null(), "a result was written on failure");
        farpost_config_free(made);
        farpost_config_free(config);
        farpost_event_free(event);
    }
    calls
}

/// The same for the functions that verify chains.
fn null_calls_of_verification() -> Vec<(&'static str, Null)> {
    let root = crate::identity::testing::Issued::root(|_| {});
    let (ca, chain) = (root.pem(), root.leaf(|_| {}).pem());
    let list = root.list(1, &[], |_| {});
    let name = CString::new(crate::identity::testing::NAME).unwrap();
    let given = VerifyOptions { struct_size: 32, at_unix_s: 1_780_272_000, ..VerifyOptions::defaults() };
    let mut calls = Vec::new();
    let mut tried = |name, got: i32| {
        calls.push((name, if got == status(Code::NullArgument) { Null::Refused } else { Null::Allowed }));
        assert!(got == status(Code::NullArgument) || got == FARPOST_OK, "{name}: {got}");
    };
    let (mut trust, mut report) = (null_mut(), null_mut());
    let no_error = null_mut();
    let (anchors, anchors_length) = (ca.as_ptr(), ca.len());
    let (lists, lists_length) = (list.as_ptr(), list.len());
    let (at, length, options) = (chain.as_ptr(), chain.len(), &raw const given);
    unsafe {
        let made = farpost_trust_new(anchors, anchors_length, lists, lists_length, &raw mut trust, null_mut());
        tried("farpost_trust_new.error", made);
        let mut none = null_mut();
        let refused = farpost_trust_new(null(), anchors_length, lists, lists_length, &raw mut none, no_error);
        tried("farpost_trust_new.anchors", refused);
        let refused = farpost_trust_new(anchors, anchors_length, null(), lists_length, &raw mut none, no_error);
        tried("farpost_trust_new.lists", refused);
        let refused = farpost_trust_new(anchors, anchors_length, lists, lists_length, null_mut(), no_error);
        tried("farpost_trust_new.trust", refused);
        assert!(none.is_null());
        let name = name.as_ptr();
        let refused = farpost_peer_verify(null(), at, length, name, options, &raw mut report, no_error);
        tried("farpost_peer_verify.trust", refused);
        let refused = farpost_peer_verify(trust, null(), length, name, options, &raw mut report, no_error);
        tried("farpost_peer_verify.chain", refused);
        assert!(report.is_null(), "a result was written on failure");
        tried(
            "farpost_peer_verify.report",
            farpost_peer_verify(trust, at, length, name, options, null_mut(), no_error),
        );
        // Without options it is now, and the certificate is of another year.
        let without = farpost_peer_verify(trust, at, length, name, null(), null_mut(), no_error);
        tried("farpost_peer_verify.options", if without == status(Code::NullArgument) { without } else { FARPOST_OK });
        let good = farpost_peer_verify(trust, at, length, null(), options, &raw mut report, null_mut());
        tried("farpost_peer_verify.name", good);
        tried("farpost_peer_verify.error", good);
        let mut allowed = |name, holds: bool| {
            assert!(holds, "{name}");
            calls.push((name, Null::Allowed));
        };
        assert!(farpost_report_is_good(report) && farpost_report_not_after_unix_s(report) > 0);
        allowed("farpost_report_is_good.report", !farpost_report_is_good(null()));
        allowed("farpost_report_finding.report", farpost_report_finding(null(), 0).is_null());
        allowed("farpost_report_warning.report", farpost_report_warning(null(), 0).is_null());
        allowed("farpost_report_name.report", farpost_report_name(null(), 0).is_null());
        allowed("farpost_report_not_after_unix_s.report", farpost_report_not_after_unix_s(null()) == 0);
        allowed("farpost_report_text.report", shown(farpost_report_text(null())).is_empty());
        farpost_report_free(null_mut());
        farpost_trust_free(null_mut());
        allowed("farpost_report_free.report", true);
        allowed("farpost_trust_free.trust", true);
        farpost_report_free(report);
        farpost_trust_free(trust);
    }
    calls
}

/// Every pointer argument in the header, as `function.argument`.
fn pointer_arguments() -> Vec<String> {
    let header = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/include/farpost.h")).unwrap();
    let mut found = Vec::new();
    for declaration in header.split_terminator(");").filter_map(|text| text.rsplit_once("*/").map(|(_, code)| code)) {
        let Some((head, arguments)) = declaration.split_once('(') else { continue };
        let Some(function) = head.split_whitespace().last() else { continue };
        let function = function.trim_start_matches('*');
        for argument in arguments.split(',').filter(|argument| argument.contains('*')) {
            found.push(format!("{function}.{}", argument.rsplit('*').next().unwrap().trim()));
        }
    }
    found
}

#[test]
fn c1_every_pointer_argument_may_be_null_and_each_is_tested_alone() {
    let calls = [null_calls(), null_calls_of_verification()].concat();
    let mut tried: Vec<&str> = calls.iter().map(|(name, _)| *name).collect();
    let mut declared = pointer_arguments();
    tried.sort_unstable();
    declared.sort_unstable();
    assert!(declared.len() > 50, "{declared:?}");
    assert_eq!(tried, declared, "the header has other pointer arguments than this test");
    for (name, result) in calls {
        let (function, argument) = name.split_once('.').unwrap();
        let accessor =
            ["farpost_error_", "farpost_event_", "farpost_report_"].iter().any(|prefix| function.starts_with(prefix));
        let tolerant = function.ends_with("_free") || function.ends_with("_wakeup") || function.ends_with("_fd");
        let optional = ["error", "options", "sequence", "length", "name", "report"].contains(&argument);
        let acknowledges = name == "farpost_event_acknowledge.event";
        let expected = if (accessor && !acknowledges) || tolerant || optional { Null::Allowed } else { Null::Refused };
        assert_eq!(result, expected, "{name}");
    }
}
