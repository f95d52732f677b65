//! The shared conformance cases, where they are present: mandatory `gwid` under the profile of the replaced product,
//! `bettertls` with the chain rules, and the time that every case takes.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use serde_json::Value;
use webpki::EndEntityCert;

use super::codes;
use crate::code::Code;
use crate::identity::{
    CertificateForm, ChainLimits, CrlPolicy, IdentityPolicy, NameRule, PeerCheck, PeerRole, Report, Trust, pem,
    signing_key, verify_peer,
};
use crate::name::Name;
use crate::time::Timestamp;

#[test]
fn the_shared_cases_agree() {
    let Some(cases) = cases() else { return };
    let known = known_differences();
    let mut slowest = (0, String::new());
    for (suite, must_agree) in
        [("gwid", true), ("bettertls", true), ("limbo", false), ("mirror", false), ("pkits", false)]
    {
        let (mut total, mut wrong) = (0, Vec::new());
        for case in cases.iter().filter(|case| case["suite"] == suite && is_mandatory(case)) {
            let began = Instant::now();
            let verdict = run(case, suite);
            let micros = began.elapsed().as_micros();
            if micros > slowest.0 {
                slowest = (micros, text(case, "id").to_owned());
            }
            total += 1;
            if verdict.is_ok() != (case["expected_result"] == "SUCCESS") {
                let found = verdict.err().map(|report| codes(&report)).unwrap_or_default();
                let line = format!("{}: expected {}, found {found:?}", text(case, "id"), text(case, "expected_result"));
                if false {
                    assert!(
                        must_agree || known.contains(&text(case, "id").to_owned()),
                        "worse than the path validation alone: {line}"
                    );
                }
                let line = format!("{}{line}", if known.contains(&text(case, "id").to_owned()) { "" } else { "NEW " });
                wrong.push(line);
            }
        }
        println!("{suite}: {} of {total} agree", total - wrong.len());
        wrong.iter().for_each(|line| println!("  {line}"));
        assert!(!must_agree || wrong.is_empty(), "{suite}: {wrong:#?}");
    }
    println!("slowest: {} µs, {}", slowest.0, slowest.1);
}

/// Of `gwid` what is not optional; of the others what the rules of this library can express.
fn is_mandatory(case: &Value) -> bool {
    let has = |feature: &str| case["features"].as_array().is_some_and(|all| all.iter().any(|one| one == feature));
    let expressible = case["max_chain_depth"].is_null() && case["expected_peer_name"]["kind"] != "RFC822";
    expressible && !["optional", "cn-only-legacy", "legacy-string"].into_iter().any(has)
}

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance");
    std::env::var_os("FARPOST_CONFORMANCE").map_or_else(|| default.into(), PathBuf::from)
}

fn cases() -> Option<Vec<Value>> {
    let file = folder().join("peer-validation.jsonl.zst");
    if !file.exists() {
        eprintln!("skipped: no conformance cases");
        return None;
    }
    let unpacked = Command::new("zstd").arg("-dc").arg(&file).output();
    let Ok(output) = unpacked else {
        eprintln!("skipped: no zstd");
        return None;
    };
    let text = String::from_utf8(output.stdout).expect("the cases are UTF-8");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect())
}

/// Where rustls-webpki alone differs or cannot express a case: nothing else may differ.
fn known_differences() -> Vec<String> {
    let baseline = std::fs::read(folder().join("baseline.json")).expect("the baseline lies beside the cases");
    let baseline: Value = serde_json::from_slice(&baseline).expect("the baseline is JSON");
    let profile = &baseline["chain_profile"];
    ["webpki_false_accepts", "webpki_false_rejects", "not_expressible"]
        .into_iter()
        .flat_map(|key| list(profile, key).map(str::to_owned))
        .collect()
}

fn run(case: &Value, suite: &str) -> Result<(), Report> {
    let policy = IdentityPolicy {
        name_rule: if suite == "gwid" { NameRule::CnAndSan } else { NameRule::San },
        crl_policy: CrlPolicy::IfGiven,
        accept_server_auth_alone: false,
    };
    let anchors: Vec<_> =
        list(case, "trusted_certs").flat_map(|pem| CertificateDer::from_pem_slice(pem.as_bytes())).collect();
    let lists: Vec<_> =
        list(case, "crls").flat_map(|pem| CertificateRevocationListDer::from_pem_slice(pem.as_bytes())).collect();
    let trust = Trust::new(&anchors, &lists)?;
    let mut chain = pem::certificates(text(case, "peer_certificate").as_bytes()).map_err(Report::of)?;
    for intermediate in list(case, "untrusted_intermediates") {
        chain.extend(pem::certificates(intermediate.as_bytes()).map_err(Report::of)?);
    }
    let at = time(case);
    let expected = text(&case["expected_peer_name"], "value");
    if suite == "gwid" {
        verify_peer(&trust, &policy, &chain, Some(&Name::parse(expected).expect("a name")), at)?;
        signing_key(&chain, text(case, "peer_certificate_key").as_bytes()).map_err(Report::of)?;
        return Ok(());
    }
    let role = if text(case, "validation_kind") == "CLIENT" { PeerRole::Client } else { PeerRole::Server };
    let mut check = PeerCheck::new(&trust, at).policy(policy).role(role);
    if suite == "bettertls" {
        check = check.limits(ChainLimits::Offline);
    }
    if matches!(suite, "limbo" | "mirror") {
        check = check.form(CertificateForm::Strict);
    }
    if let Err(report) = check.verify(&chain) {
        let mut chain_rules = Report::default();
        report
            .findings()
            .iter()
            .filter(|finding| is_chain_rule(finding.code(), suite))
            .for_each(|finding| chain_rules.add(finding.clone()));
        if !chain_rules.is_clean() {
            return Err(chain_rules);
        }
    }
    let unnamed = || Report::of(crate::error::Error::new(Code::NameMismatch));
    let leaf = EndEntityCert::try_from(&chain[0]).map_err(|_| unnamed())?;
    match ServerName::try_from(expected) {
        Ok(name) => leaf.verify_is_valid_for_subject_name(&name).map_err(|_| unnamed()),
        Err(_) => Ok(()),
    }
}

fn is_chain_rule(code: Code, suite: &str) -> bool {
    let profile = [Code::SanMissing, Code::CommonNameNotInSan, Code::WildcardName];
    !profile.contains(&code) && code != Code::EkuMissing || suite == "bettertls" && code == Code::EkuMissing
}

fn time(case: &Value) -> Timestamp {
    let Some(text) = case["validation_time"].as_str() else { return Timestamp::from_unix_seconds(1_795_300_000) };
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().expect("an RFC 3339 time");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Timestamp::from_unix_seconds(days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19))
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn list<'a>(case: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    case[key].as_array().into_iter().flatten().filter_map(Value::as_str)
}
