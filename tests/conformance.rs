//! The shared conformance cases, where they are present, run as the example `conformance` runs them: what must agree
//! does, nothing takes long, and every other disagreement is one that docs/conformance.md explains.

#[path = "../examples/conformance/case.rs"]
mod case;
#[path = "../examples/conformance/exceptions.rs"]
mod exceptions;
#[path = "../examples/conformance/facts.rs"]
mod facts;
#[path = "../examples/conformance/report.rs"]
mod report;
#[path = "../examples/conformance/runner.rs"]
mod runner;
#[path = "../examples/conformance/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use report::{Judged, summary};

/// The folder of the shared material; `None` where it is not present.
fn folder() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance");
    let folder = std::env::var_os("FARPOST_CONFORMANCE").map_or_else(|| default.into(), PathBuf::from);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: no conformance cases");
    None
}

/// The ids of the cases in which rustls-webpki alone agrees: those may not get worse.
fn differences_of_webpki(folder: &std::path::Path) -> BTreeSet<String> {
    let text = std::fs::read(folder.join("baseline.json")).expect("the baseline lies beside the cases");
    let baseline: serde_json::Value = serde_json::from_slice(&text).expect("the baseline is JSON");
    let profile = &baseline["chain_profile"];
    ["webpki_false_accepts", "webpki_false_rejects", "not_expressible"]
        .into_iter()
        .flat_map(|key| profile[key].as_array().into_iter().flatten())
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn i2_the_shared_cases_come_out_as_their_suites_say_or_as_documented() {
    let Some(folder) = folder() else { return };
    let cases = case::read(&folder.join("peer-validation.jsonl.zst")).expect("the cases can be read");
    let judged: Vec<Judged<'_>> = cases.iter().map(Judged::new).collect();
    println!("{}", summary(&judged));
    let webpki = differences_of_webpki(&folder);
    for one in &judged {
        let (id, suite) = (&one.case.id, one.case.suite.as_str());
        assert!(!one.is_wrong(), "{id}: {}", one.as_json());
        assert_ne!(one.outcome.reason, "PANIC", "{id}");
        // Unoptimised arithmetic takes longer than the 20 ms that the example allows.
        assert!(one.outcome.took < Duration::from_millis(500), "{id} took {:?}", one.outcome.took);
        if !one.agrees() {
            assert_ne!(suite, "bettertls", "{}", one.as_json());
            let may_differ = if suite == "gwid" { one.case.is_optional() } else { webpki.contains(id) };
            assert!(may_differ, "worse than the path validation alone: {}", one.as_json());
        }
    }
    // A false acceptance is one of two kinds, neither of which a link makes.
    let accepted = judged.iter().filter(|one| !one.agrees() && one.outcome.accepted);
    let kinds: BTreeSet<&str> = accepted.filter_map(|one| one.exception).map(|exception| exception.name).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["certificate policies", "no enhanced key usage, by chain rules"]
    );
}

#[test]
fn h16_every_shared_sample_has_the_outcome_that_its_readme_lists() {
    let Some(folder) = folder() else { return };
    let paths = samples::below(&folder.join("pkcs12")).expect("the samples can be read");
    let samples: Vec<_> = paths.iter().map(|path| samples::Sample::of(path).expect("a file")).collect();
    println!("{}", samples::summary(&samples));
    for one in &samples {
        assert!(one.is_known() && one.agrees(), "{}", one.as_json());
    }
    assert!(samples.len() >= 30, "{}", samples.len());
}

#[test]
fn a_file_that_nobody_knows_tells_its_outcome_and_costs_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    for (file, is_known, agrees) in [("gnutls.p12", false, true), ("aes128.p12", true, false)] {
        let path = directory.path().join(file);
        std::fs::write(&path, b"nothing").expect("a file");
        let sample = samples::Sample::of(&path).expect("it can be read");
        assert_eq!((sample.is_known(), sample.agrees()), (is_known, agrees), "{file}");
        let line: serde_json::Value = serde_json::from_str(&sample.as_json()).expect("JSON");
        assert_eq!(line["expected"], if is_known { "SUCCESS".into() } else { serde_json::Value::Null });
        assert_eq!((&line["suite"], &line["result"]), (&"pkcs12".into(), &"FAILURE".into()));
    }
}

#[test]
fn every_documented_difference_is_explained_and_every_explanation_is_one() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md")).expect("the page");
    let explained: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("** |").map(|(name, _)| name)).collect();
    let known: Vec<&str> = exceptions::EXCEPTIONS.iter().map(|exception| exception.name).collect();
    assert_eq!(explained, known);
    assert!(exceptions::EXCEPTIONS.iter().all(|exception| exception.why.len() > 20));
}
