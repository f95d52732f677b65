//! Runs conformance cases through the library's verify function and says where it differs from them, and why.
//!
//! ```sh
//! cargo run --release --example conformance -- FILE...          # .jsonl, or .jsonl.zst
//! cargo run --release --example conformance -- --json FILE      # one line per case
//! cargo run --release --example conformance -- --exceptions     # the documented differences
//! ```
//!
//! A directory instead of a file holds PKCS#12 and PKCS#8 samples. The exit status is 0 only if every disagreement is
//! covered by an exception of `exceptions.rs`, which docs/conformance.md explains, and no case took longer than 20 ms.

mod case;
mod exceptions;
mod facts;
mod pkcs12;
mod report;
mod runner;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use report::{Judged, summary};

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
    for path in &paths {
        good &= if path.is_dir() { pkcs12::run(path, json)? } else { run_cases(path, json)? };
    }
    Ok(good)
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

const USAGE: &str = "usage: conformance [--json] FILE.jsonl|FILE.jsonl.zst|DIRECTORY...";
