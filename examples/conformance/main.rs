//! Runs conformance cases through the library's verify function and says where it differs from them, and why.
//!
//! ```sh
//! cargo run --release --example conformance -- FILE...          # .jsonl, or .jsonl.zst
//! cargo run --release --example conformance -- DIRECTORY...     # PKCS#12 and PKCS#8 samples
//! cargo run --release --example conformance -- --json FILE      # one line per case or sample
//! cargo run --release --example conformance -- --exceptions     # the documented differences
//! ```
//!
//! The exit status is 0 only if every disagreement is covered by an exception of `exceptions.rs`, which
//! docs/conformance.md explains, no case took longer than 20 ms, and every sample came out as its name says.

mod case;
mod exceptions;
mod facts;
mod report;
mod runner;
mod samples;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use report::{Judged, summary};
use samples::Sample;

/// What a case may take: a peer's chain is looked at before the peer is known.
const CASE_TIME_MAX: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything is as documented.
fn run() -> Result<bool, String> {
    let (mut json, mut paths) = (false, Vec::new());
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--json") => json = true,
            Some("--exceptions") => {
                exceptions::EXCEPTIONS.iter().for_each(|one| println!("{}: {}", one.name, one.why));
                return Ok(true);
            }
            Some(option) if option.starts_with("--") => return Err(format!("unknown option {option}; {USAGE}")),
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    if paths.is_empty() {
        return Err(USAGE.to_owned());
    }
    let mut good = true;
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = samples::below(&path)?;
            if found.is_empty() {
                return Err(format!("{}: no sample", path.display()));
            }
            files.extend(found);
        } else if samples::is_sample(&path) {
            files.push(path);
        } else {
            good &= run_cases(&path, json)?;
        }
    }
    if !files.is_empty() {
        good &= run_samples(&files, json)?;
    }
    Ok(good)
}

fn run_samples(files: &[PathBuf], json: bool) -> Result<bool, String> {
    let samples = files.iter().map(|file| Sample::of(file)).collect::<Result<Vec<_>, _>>()?;
    if json {
        samples.iter().for_each(|one| println!("{}", one.as_json()));
    } else {
        print!("{}", samples::summary(&samples));
    }
    let wrong = samples.iter().filter(|one| !one.agrees()).count();
    if wrong > 0 {
        eprintln!("{wrong} samples did not come out as their names say");
    }
    Ok(wrong == 0)
}

fn run_cases(path: &std::path::Path, json: bool) -> Result<bool, String> {
    let cases = case::read(path)?;
    if cases.is_empty() {
        return Err(format!("{}: no case", path.display()));
    }
    let judged: Vec<Judged<'_>> = cases.iter().map(Judged::new).collect();
    if json {
        judged.iter().for_each(|one| println!("{}", one.as_json()));
    } else {
        print!("{}", summary(&judged));
    }
    let wrong = judged.iter().filter(|one| one.is_wrong()).count();
    let slow: Vec<_> = judged.iter().filter(|one| one.outcome.took > CASE_TIME_MAX).collect();
    if wrong > 0 {
        eprintln!("{wrong} disagreements without a documented exception");
    }
    slow.iter().for_each(|one| eprintln!("{} took {:?}", one.case.id, one.outcome.took));
    Ok(wrong == 0 && slow.is_empty())
}

const USAGE: &str = "usage: conformance [--json] FILE|DIRECTORY...\n  FILE: cases (.jsonl, .jsonl.zst), or one sample (.p12, .pfx, .pem, .p7b, .p8, .key)\n  DIRECTORY: samples";
