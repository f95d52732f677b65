//! PKCS#12 and PKCS#8 files, read as `farpost cert import` reads them: does each come out as its name says?

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farpost::{Code, read_source};

use crate::report::json_line;

/// A file with what came of it.
pub(crate) struct Sample {
    /// The file's name.
    pub(crate) id: String,
    expected: Option<Expected>,
    /// What it holds, or why it is refused.
    outcome: Result<String, Refusal>,
    took: Duration,
}

/// Why a file is not read; without a code the library panicked.
struct Refusal {
    code: Option<Code>,
    reason: String,
}

/// What must come of a sample.
enum Expected {
    Imports,
    /// Refused with one of these codes: each says something else to do.
    Refused(&'static [Code]),
}

impl Sample {
    /// Reads a file.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let began = Instant::now();
        let read = catch_unwind(|| read_source(&bytes, Some(password_of(&id))));
        let took = began.elapsed();
        let outcome = match read {
            Ok(Ok(held)) => Ok(format!("{} certificates, {} keys, {} lists", held.certificates, held.keys, held.lists)),
            Ok(Err(error)) => {
                let reason = format!("{} {}: {}", error.code(), error.code().summary(), error.found_text());
                Err(Refusal { code: Some(error.code()), reason })
            }
            Err(_) => Err(Refusal { code: None, reason: "PANIC".to_owned() }),
        };
        let expected = expected_of(&id);
        Ok(Self { id, expected, outcome, took })
    }

    /// Whether it came out as it must; a file that nobody has said anything about does.
    pub(crate) fn agrees(&self) -> bool {
        match (&self.expected, &self.outcome) {
            (_, Err(Refusal { code: None, .. })) => false,
            (None, _) => true,
            (Some(Expected::Imports), outcome) => outcome.is_ok(),
            (Some(Expected::Refused(_)), Ok(_)) => false,
            (Some(Expected::Refused(codes)), Err(refusal)) => refusal.code.is_some_and(|code| codes.contains(&code)),
        }
    }

    /// Whether it is one of those of which the outcome is known.
    pub(crate) fn is_known(&self) -> bool {
        self.expected.is_some()
    }

    fn expected(&self) -> Option<&'static str> {
        self.expected.as_ref().map(|expected| match expected {
            Expected::Imports => "SUCCESS",
            Expected::Refused(_) => "FAILURE",
        })
    }

    fn result(&self) -> &'static str {
        if self.outcome.is_ok() { "SUCCESS" } else { "FAILURE" }
    }

    /// What it holds; the code and what was found; for a disagreement also what was expected.
    fn reason(&self) -> String {
        let mut reason = match &self.outcome {
            Ok(held) => held.clone(),
            Err(refusal) => refusal.reason.clone(),
        };
        match &self.expected {
            Some(Expected::Refused(codes)) if !self.agrees() => {
                let codes: Vec<String> = codes.iter().map(Code::to_string).collect();
                reason += &format!("; expected {}", codes.join(" or "));
            }
            _ => {}
        }
        reason
    }

    /// One line of `--json`.
    pub(crate) fn as_json(&self) -> String {
        let (expected, result) = (self.expected(), self.result());
        json_line(&self.id, "pkcs12", expected, result, self.agrees(), None, &self.reason(), self.took)
    }
}

/// The report for people: the sums, then a line for each file.
pub(crate) fn summary(samples: &[Sample]) -> String {
    let known = samples.iter().filter(|one| one.is_known()).count();
    let differ = samples.iter().filter(|one| !one.agrees()).count();
    let (agree, others) = (samples.iter().filter(|one| one.is_known() && one.agrees()).count(), samples.len() - known);
    let mut out = format!("pkcs12: {agree} of {known} agree, {differ} disagree, {others} others\n");
    for one in samples {
        let mark = if one.agrees() { " " } else { "!" };
        out += &format!("{mark} {}: {}: {} ({} ms)\n", one.id, one.result(), one.reason(), one.took.as_millis());
    }
    out
}

/// Whether a file is one of these, and not one of cases.
pub(crate) fn is_sample(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| SAMPLE_EXTENSIONS.contains(&extension.as_str()))
}

/// The samples of a directory and of those in it, by name.
pub(crate) fn below(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let problem = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(directory).map_err(problem)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(problem)?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(below(&path)?);
        } else if is_sample(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

fn password_of(id: &str) -> &'static str {
    match id {
        _ if id.starts_with("empty-password") => "",
        _ if id.starts_with("unicode-password") => "pässwörd€",
        _ => "changeit",
    }
}

/// What the file's name says, as the list of the samples explains it; `None` for a file of somebody else.
fn expected_of(id: &str) -> Option<Expected> {
    let (name, extension) = id.rsplit_once('.')?;
    let imports = match extension {
        "p12" => {
            let whole = ["legacy-rc2-40-3des-macsha1", "tripledes-both-macsha1", "empty-password", "iter600000"];
            let begin = ["default-", "aes", "macsha", "unicode-password"];
            whole.contains(&name) || begin.into_iter().any(|start| name.starts_with(start))
        }
        // All that is encrypted with PBES2, whichever ciphers and functions it names.
        "pem" => name.starts_with("k-"),
        _ => return None,
    };
    Some(match name {
        "nomac" | "nothing-encrypted" | "certs-in-clear" => Expected::Refused(&[Code::PfxUnprotected]),
        "certs-only" => Expected::Refused(&[Code::PfxWithoutKey]),
        "key-only" => Expected::Refused(&[Code::PfxWithoutCertificate]),
        "truncated" => Expected::Refused(&[Code::PfxUnreadable, Code::SourceUnreadable]),
        // Where the bit is decides whether the file still has its form.
        "bitflip" => Expected::Refused(&[Code::PfxUnreadable, Code::PasswordWrong]),
        "rc2-128-3des" | "2key-3des" => Expected::Refused(&[Code::PfxUnsupported]),
        _ if name.starts_with("k-pbes1-") || name == "k-traditional-dek-info" => {
            Expected::Refused(&[Code::KeyEncryptionUnsupported])
        }
        _ if imports => Expected::Imports,
        _ => return None,
    })
}

/// What certificates with keys are kept in.
const SAMPLE_EXTENSIONS: [&str; 7] = ["p12", "pfx", "pem", "p7b", "p7c", "p8", "key"];
