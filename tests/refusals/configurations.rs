//! A configuration that cannot be used, given to the command: code, found, expected and remedy on standard error, each
//! on its line, and an exit status that is not 0 (rules I3 and E1).

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::pki::Certified;

/// A directory with a gateway's good configuration and its files.
fn gateway() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let authority = Certified::authority("Test CA");
    let own = authority.issue("gw1.branch.example");
    let other = authority.issue("gw1.branch.example");
    for (file, text) in [
        ("ca.pem", authority.pem()),
        ("own.pem", own.pem()),
        ("own.key", own.key_pem()),
        ("other.key", other.key_pem()),
    ] {
        private(&directory.path().join(file), &text);
    }
    directory
}

/// Writes a file that only its owner reads.
fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The gateway's configuration with one change, run.
fn run(directory: &TempDir, from: &str, to: &str) -> Command {
    let at = directory.path().display();
    let good = format!(
        "role = \"gateway\"\nname = \"gw1.branch.example\"\nmanagement_group = \"CORP\"\n\
         state_directory = \"{at}/state\"\n\
         [identity]\ncertificate = \"{at}/own.pem\"\nkey = \"{at}/own.key\"\ntrust = [\"{at}/ca.pem\"]\n\
         [listen]\naddress = \"127.0.0.1:0\"\n\
         [upstream]\nprimary = \"localhost.branch.example:1\"\n[hosts]\n\"localhost.branch.example\" = [\"127.0.0.1\"]\n"
    );
    assert!(good.contains(from), "{from}");
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, good.replace(from, to)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    command.args(["gateway", "run", "--config"]).arg(path).stdin(Stdio::null());
    command
}

#[track_caller]
fn assert_told(output: &Output, code: &str, texts: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1..)), "{:?}: {told}", output.status);
    assert!(told.lines().any(|line| line.starts_with(code)), "no {code}: {told}");
    for label in ["found", "expected", "remedy"] {
        assert!(told.lines().any(|line| line.trim_start().starts_with(label)), "no {label}: {told}");
    }
    for text in texts {
        assert!(told.contains(text), "no \"{text}\": {told}");
    }
}

#[test]
fn e1_an_unknown_key_is_told_with_the_nearest_one() {
    let output = run(&gateway(), "state_directory", "state_dir").output().unwrap();
    assert_told(&output, "FP5001", &["gateway.toml:4: state_dir", "state_directory"]);
}

#[test]
fn e1_a_missing_file_is_told_with_its_path() {
    for file in ["own.pem", "own.key", "ca.pem"] {
        let output = run(&gateway(), file, "nowhere.pem").output().unwrap();
        assert_told(&output, "FP5004", &["nowhere.pem"]);
    }
}

#[test]
fn i2_a_key_for_another_certificate_is_told() {
    let output = run(&gateway(), "own.key", "other.key").output().unwrap();
    assert_told(&output, "FP1007", &["other.key"]);
}

#[test]
fn e1_a_state_directory_in_use_is_told_with_the_process_that_uses_it() {
    let directory = gateway();
    let mut first = run(&directory, "", "").stderr(Stdio::piped()).spawn().unwrap();
    let mut log = std::io::BufReader::new(first.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listens on") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "it did not start");
    }
    let second = run(&directory, "", "").output().unwrap();
    let pid = first.id().to_string();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_told(&second, "FP5006", &[&pid]);
}
