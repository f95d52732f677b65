//! `farpost_trust_t`, `farpost_report_t`: verifying a peer's certificate chain, by the function that sessions use.

use std::ffi::c_char;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::ffi::arguments::{Sized32, bytes, invalid, object, options, output, text};
use crate::ffi::error::ErrorObject;
use crate::ffi::status::{Status, guard, quietly};
use crate::ffi::text::{EMPTY, Text};
use crate::identity::{CertificateForm, CrlPolicy, IdentityPolicy, NameRule, PeerCheck, PeerRole, Report, Trust};
use crate::name::Name;
use crate::time::Timestamp;

/// Either end of TLS, as every link demands: both serverAuth and clientAuth.
pub const FARPOST_PEER_ANY: i32 = 0;
/// The peer answers: serverAuth.
pub const FARPOST_PEER_SERVER: i32 = 1;
/// The peer dials: clientAuth.
pub const FARPOST_PEER_CLIENT: i32 = 2;

/// An exact dNSName; a common name, if there is one, is among them.
pub const FARPOST_NAME_RULE_SAN: i32 = 0;
/// Exactly one common name, which is a dNSName as well.
pub const FARPOST_NAME_RULE_CN_AND_SAN: i32 = 1;
/// The common name; for old certificates without alternative names.
pub const FARPOST_NAME_RULE_CN: i32 = 2;

/// Where lists are given, an issuer without one or with a stale one is refused.
pub const FARPOST_CRL_POLICY_IF_GIVEN: i32 = 0;
/// Every issuer needs a current list.
pub const FARPOST_CRL_POLICY_REQUIRE: i32 = 1;
/// Only a revocation is refused; the rest is a warning.
pub const FARPOST_CRL_POLICY_WARN: i32 = 2;

/// Options of farpost_peer_verify. Set struct_size to sizeof the struct and all else to 0, then what you need.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// sizeof(farpost_verify_options_t).
    pub struct_size: u32,
    /// A FARPOST_PEER_ constant.
    pub role: i32,
    /// The time of the verification in seconds since 1970; 0 is now.
    pub at_unix_s: i64,
    /// A FARPOST_NAME_RULE_ constant.
    pub name_rule: i32,
    /// A FARPOST_CRL_POLICY_ constant.
    pub crl_policy: i32,
    /// 1: a certificate with serverAuth alone is enough for either end.
    pub accept_server_auth_alone: i32,
    /// 1: the form of RFC 5280 is demanded too (key identifiers, which extensions are critical).
    pub strict: i32,
}

// SAFETY: 32-bit numbers and one 64-bit number at a multiple of 8, without padding; the first is the size.
unsafe impl Sized32 for VerifyOptions {
    const FIRST_SIZE: usize = 32;

    fn defaults() -> Self {
        let (role, name_rule, crl_policy) = (FARPOST_PEER_ANY, FARPOST_NAME_RULE_SAN, FARPOST_CRL_POLICY_IF_GIVEN);
        Self { struct_size: 0, role, at_unix_s: 0, name_rule, crl_policy, accept_server_auth_alone: 0, strict: 0 }
    }
}

/// CA certificates and revocation lists that peers are verified with. Any thread.
#[derive(Debug)]
pub struct TrustObject(Trust);

/// What a verification found: for a good peer its names, for another one everything that is wrong.
#[derive(Debug)]
pub struct ReportObject {
    findings: Vec<ErrorObject>,
    warnings: Vec<ErrorObject>,
    names: Vec<Text>,
    not_after: i64,
    text: Text,
}

/// Reads what to trust: CA certificates, and revocation lists or `(NULL, 0)`; PEM sections, or one object in DER each.
/// There is no system store behind it. FARPOST_CODE_TRUST_UNUSABLE, FARPOST_CODE_TRUST_MISSING, FARPOST_CODE_CRL_UNUSABLE.
/// The bytes are copied. Any thread; does not block, but a list of 500,000 entries takes half a second.
///
/// # Safety
///
/// As many bytes as the lengths say can be read at `anchors` and `lists`; `trust` and `error` are NULL or may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_trust_new(
    anchors: *const u8,
    anchors_length: usize,
    lists: *const u8,
    lists_length: usize,
    trust: *mut *mut TrustObject,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        // SAFETY: the caller vouches for the bytes.
        let (anchors, lists) =
            unsafe { (bytes(anchors, anchors_length, "anchors")?, bytes(lists, lists_length, "lists")?) };
        let target = output(trust, "trust")?;
        let files: &[&[u8]] = if lists.is_empty() { &[] } else { &[lists] };
        let made = Trust::from_pem(&[anchors], files).map_err(Error::from)?;
        // SAFETY: not null, and the caller allows the write.
        unsafe { target.write(Box::into_raw(Box::new(TrustObject(made)))) };
        Ok(())
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// Frees what farpost_trust_new gave. NULL is allowed. Reports stay valid.
///
/// # Safety
///
/// `trust` is NULL or not freed yet, and no other call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_trust_free(trust: *mut TrustObject) {
    if !trust.is_null() {
        // SAFETY: made by Box::into_raw, and the caller gives it up.
        quietly(|| drop(unsafe { Box::from_raw(trust) }));
    }
}

/// Verifies a peer's chain, leaf first, PEM or one certificate in DER, as sessions verify their peers. `name` is the DNS
/// name that the peer must prove; with NULL, ask farpost_report_name which it proves before you rely on one.
/// FARPOST_OK if and only if the peer is good; otherwise the status is that of the first finding. `report`, unless NULL,
/// is written in both cases, and not where an argument was wrong; the caller frees it. `options` may be NULL. Any thread;
/// does not block.
///
/// # Safety
///
/// `trust` is NULL or not freed yet; `length` bytes can be read at `chain`; `name` is NULL or a text that ends with NUL;
/// `options` is NULL or as large as its struct_size says; `report` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_peer_verify(
    trust: *const TrustObject,
    chain: *const u8,
    length: usize,
    name: *const c_char,
    options: *const VerifyOptions,
    report: *mut *mut ReportObject,
    error: *mut *mut ErrorObject,
) -> Status {
    let body = || {
        // SAFETY: the caller passes NULL or a live object, and vouches for bytes and options.
        let (trust, chain, given) =
            unsafe { (object(trust, "trust")?, bytes(chain, length, "chain")?, self::options(options, "options")?) };
        // SAFETY: not null, and the caller passes a text.
        let name = if name.is_null() { None } else { Some(Name::parse(unsafe { text(name, "name") }?)?) };
        let mut check = check(&trust.0, &given)?;
        if let Some(name) = &name {
            check = check.name(name);
        }
        let outcome = check.verify_pem(chain);
        if !report.is_null() {
            let object = match &outcome {
                Ok(peer) => ReportObject::of_peer(peer.names(), peer.warnings(), peer.not_after()),
                Err(findings) => ReportObject::of_findings(findings),
            };
            // SAFETY: not null, and the caller allows the write.
            unsafe { report.write(Box::into_raw(Box::new(object))) };
        }
        outcome.map(|_| ()).map_err(Error::from)
    };
    // SAFETY: the caller allows the write.
    unsafe { guard(error, body) }
}

/// Whether the peer is good: nothing is wrong. False for NULL.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_is_good(report: *const ReportObject) -> bool {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { report.as_ref() }.is_some_and(|report| report.findings.is_empty())
}

/// Everything that is wrong, in the order leaf, key, names, path, revocation: the finding with this number, counted from
/// 0, or NULL after the last. It belongs to the report: do not free it.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_finding(report: *const ReportObject, number: usize) -> *const ErrorObject {
    // SAFETY: the caller passes NULL or a live object.
    let finding = unsafe { report.as_ref() }.and_then(|report| report.findings.get(number));
    finding.map_or(std::ptr::null(), std::ptr::from_ref)
}

/// What FARPOST_CRL_POLICY_WARN only tells: the warning with this number, counted from 0, or NULL after the last. It
/// belongs to the report: do not free it.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_warning(report: *const ReportObject, number: usize) -> *const ErrorObject {
    // SAFETY: the caller passes NULL or a live object.
    let warning = unsafe { report.as_ref() }.and_then(|report| report.warnings.get(number));
    warning.map_or(std::ptr::null(), std::ptr::from_ref)
}

/// A name that a good peer proves, counted from 0; NULL after the last, and of a peer that is not good. The text lives
/// as long as the report.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_name(report: *const ReportObject, number: usize) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    let name = unsafe { report.as_ref() }.and_then(|report| report.names.get(number));
    name.map_or(std::ptr::null(), Text::as_ptr)
}

/// When the first certificate of a good peer's path ends, in seconds since 1970. 0 for another one, and for NULL.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_not_after_unix_s(report: *const ReportObject) -> i64 {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { report.as_ref() }.map_or(0, |report| report.not_after)
}

/// All findings as text for people, several lines each; empty for a good peer and for NULL. The text lives as long as the
/// report.
///
/// # Safety
///
/// `report` is NULL or not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_text(report: *const ReportObject) -> *const c_char {
    // SAFETY: the caller passes NULL or a live object.
    unsafe { report.as_ref() }.map_or(EMPTY.as_ptr(), |report| report.text.as_ptr())
}

/// Frees a report. NULL is allowed.
///
/// # Safety
///
/// `report` is NULL or not freed yet; nothing borrowed from it is used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn farpost_report_free(report: *mut ReportObject) {
    if !report.is_null() {
        // SAFETY: made by Box::into_raw, and the caller gives it up.
        quietly(|| drop(unsafe { Box::from_raw(report) }));
    }
}

impl ReportObject {
    fn of_peer(names: &[Name], warnings: &[Error], not_after: Timestamp) -> Self {
        Self {
            findings: Vec::new(),
            warnings: warnings.iter().map(ErrorObject::new).collect(),
            names: names.iter().map(|name| Text::new(name.as_str())).collect(),
            not_after: not_after.unix_seconds(),
            text: Text::default(),
        }
    }

    fn of_findings(report: &Report) -> Self {
        Self {
            findings: report.findings().iter().map(ErrorObject::new).collect(),
            warnings: Vec::new(),
            names: Vec::new(),
            not_after: 0,
            text: Text::new(&report.to_string()),
        }
    }
}

/// The check that the options describe; a number that means nothing is refused.
fn check<'a>(trust: &'a Trust, options: &VerifyOptions) -> Result<PeerCheck<'a>> {
    let flag = |field: &str, number: i32| match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid(&format!("options.{field}"), number.to_string(), "0 or 1")),
    };
    let role = match options.role {
        FARPOST_PEER_ANY => PeerRole::Any,
        FARPOST_PEER_SERVER => PeerRole::Server,
        FARPOST_PEER_CLIENT => PeerRole::Client,
        number => return Err(invalid("options.role", number.to_string(), "a FARPOST_PEER_ constant")),
    };
    let name_rule = match options.name_rule {
        FARPOST_NAME_RULE_SAN => NameRule::San,
        FARPOST_NAME_RULE_CN_AND_SAN => NameRule::CnAndSan,
        FARPOST_NAME_RULE_CN => NameRule::Cn,
        number => return Err(invalid("options.name_rule", number.to_string(), "a FARPOST_NAME_RULE_ constant")),
    };
    let crl_policy = match options.crl_policy {
        FARPOST_CRL_POLICY_IF_GIVEN => CrlPolicy::IfGiven,
        FARPOST_CRL_POLICY_REQUIRE => CrlPolicy::Require,
        FARPOST_CRL_POLICY_WARN => CrlPolicy::Warn,
        number => return Err(invalid("options.crl_policy", number.to_string(), "a FARPOST_CRL_POLICY_ constant")),
    };
    let accept_server_auth_alone = flag("accept_server_auth_alone", options.accept_server_auth_alone)?;
    let form = if flag("strict", options.strict)? { CertificateForm::Strict } else { CertificateForm::Usual };
    let at = if options.at_unix_s == 0 { now() } else { Timestamp::from_unix_seconds(options.at_unix_s) };
    let policy = IdentityPolicy { name_rule, crl_policy, accept_server_auth_alone };
    Ok(PeerCheck::new(trust, at).policy(policy).role(role).form(form))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
