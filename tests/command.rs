//! The command as a process: the laboratory CA, the status of a node, errors and exit statuses.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the command; standard output where it succeeds.
fn farpost(arguments: &[&str]) -> Result<String, Output> {
    let output = Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments).output().unwrap();
    if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(output) }
}

/// Exit status and standard error of what must fail.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = farpost(arguments).expect_err("it succeeded");
    assert!(output.stdout.is_empty());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A directory with a CA and a certificate of gw1.
struct Laboratory(TempDir);

impl Laboratory {
    fn new() -> Self {
        let laboratory = Self(tempfile::tempdir().unwrap());
        farpost(&["ca", "init", "--directory", &laboratory.at("ca"), "--name", "Lab CA"]).unwrap();
        laboratory.sign("gw1.branch.example");
        laboratory
    }

    fn at(&self, path: &str) -> String {
        self.0.path().join(path).display().to_string()
    }

    fn sign(&self, name: &str) -> String {
        let (directory, out) = (self.at("ca"), self.at("out"));
        farpost(&["ca", "sign", "--directory", &directory, "--name", name, "--out", &out, "--json"]).unwrap()
    }
}

fn mode(path: impl Into<PathBuf>) -> u32 {
    path.into().metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_for_their_owner_alone_and_certificates_for_all() {
    let laboratory = Laboratory::new();
    for (file, expected) in [
        ("ca/ca.key", 0o600),
        ("ca/ca.pem", 0o644),
        ("out/gw1.branch.example.key", 0o600),
        ("out/gw1.branch.example.pem", 0o644),
        ("out/ca.pem", 0o644),
    ] {
        assert_eq!(mode(laboratory.at(file)), expected, "{file}");
    }
}

#[test]
fn i2_a_signed_certificate_has_both_purposes_its_name_and_a_serial_of_its_own() {
    let laboratory = Laboratory::new();
    let first = std::fs::read(laboratory.at("out/gw1.branch.example.pem")).unwrap();
    laboratory.sign("GW1.branch.example");
    let second = std::fs::read(laboratory.at("out/gw1.branch.example.pem")).unwrap();
    let (_, first) = x509_parser::pem::parse_x509_pem(&first).unwrap();
    let (_, second) = x509_parser::pem::parse_x509_pem(&second).unwrap();
    let (first, second) = (first.parse_x509().unwrap(), second.parse_x509().unwrap());
    assert_ne!(first.raw_serial(), second.raw_serial());
    let usages = first.extended_key_usage().unwrap().unwrap().value;
    assert!(usages.server_auth && usages.client_auth);
    assert!(first.key_usage().unwrap().unwrap().value.digital_signature());
    assert_eq!(first.subject().to_string(), "CN=gw1.branch.example");
    let names = format!("{:?}", first.subject_alternative_name().unwrap().unwrap().value.general_names);
    assert_eq!(names, "[DNSName(\"gw1.branch.example\")]");
    assert!(!first.is_ca());
}

#[test]
fn a_revoked_serial_is_in_every_later_list_and_the_number_rises() {
    let laboratory = Laboratory::new();
    let signed: serde_json::Value = serde_json::from_str(&laboratory.sign("pc7.branch.example")).unwrap();
    let directory = laboratory.at("ca");
    let gateway = laboratory.at("out/gw1.branch.example.pem");
    farpost(&["ca", "crl", "--directory", &directory, "--revoke", &gateway]).unwrap();
    farpost(&["ca", "crl", "--directory", &directory, "--serial", signed["serial"].as_str().unwrap()]).unwrap();
    farpost(&["ca", "crl", "--directory", &directory]).unwrap();
    let text = std::fs::read(laboratory.at("ca/ca.crl")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).unwrap();
    let (_, crl) = x509_parser::parse_x509_crl(&pem.contents).unwrap();
    assert_eq!(crl.iter_revoked_certificates().count(), 2);
    assert_eq!(crl.crl_number().unwrap().to_string(), "3");
    let (status, error) = failure(&["ca", "crl", "--directory", &directory, "--serial", "00ff"]);
    assert!(status == 1 && error.starts_with("FP1001 "), "{error}");
}

#[test]
fn an_authority_that_is_there_is_not_overwritten() {
    let laboratory = Laboratory::new();
    let before = std::fs::read(laboratory.at("ca/ca.key")).unwrap();
    let (status, _) = failure(&["ca", "init", "--directory", &laboratory.at("ca"), "--name", "Another"]);
    assert_eq!(status, 1);
    assert_eq!(std::fs::read(laboratory.at("ca/ca.key")).unwrap(), before);
}

#[test]
fn several_that_sign_at_once_lose_no_serial() {
    let laboratory = Laboratory::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let laboratory = &laboratory;
            scope.spawn(move || laboratory.sign(&format!("pc{number}.branch.example")));
        }
    });
    let index = std::fs::read_to_string(laboratory.at("ca/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["issued"].as_array().unwrap().len(), 9);
}

#[test]
fn status_asks_the_process_of_a_state_directory() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    let (status, error) = failure(&["status", "--state-directory", &at]);
    assert!(status == 1 && error.starts_with("FP5008 "), "{error}");
    let listener = UnixListener::bind(directory.path().join("status.sock")).unwrap();
    let answer = r#"{"role":"agent","name":"pc7","management_group":"CORP","uptime_seconds":5}"#;
    let node = std::thread::spawn(move || {
        for _ in 0..2 {
            listener.accept().unwrap().0.write_all(answer.as_bytes()).unwrap();
        }
    });
    let config = directory.path().join("agent.toml");
    std::fs::write(&config, format!("role = \"agent\"\nstate_directory = \"{at}\"\n")).unwrap();
    let shown = farpost(&["status", "--config", &config.display().to_string()]).unwrap();
    assert!(shown.starts_with("agent pc7 (CORP)"), "{shown}");
    assert_eq!(farpost(&["status", "--state-directory", &at, "--json"]).unwrap().trim_end(), answer);
    node.join().unwrap();
}

#[test]
fn an_error_says_code_found_expected_and_remedy_each_on_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    std::fs::write(&file, "role = \"agent\"\nheartbeat = \"thirty\"\n").unwrap();
    let (status, error) = failure(&["config", "check", "--config", &file.display().to_string()]);
    assert_eq!(status, 1);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert!(lines[0].starts_with("FP5002 ") && lines[0].ends_with("agent.toml:2: heartbeat"), "{error}");
    for (line, label) in lines[1..].iter().zip(["found", "expected", "remedy"]) {
        assert!(line.trim_start().starts_with(label), "{error}");
    }
}

#[test]
fn a_command_of_the_group_that_finds_no_group_says_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("management-server.toml").display().to_string();
    for command in [["inventory", "--config"], ["audit", "--config"]] {
        let (status, error) = failure(&[command[0], command[1], &file]);
        assert_eq!(status, 1);
        assert!(error.starts_with(&format!("FP5004 a file is missing: {file}")), "{error}");
        for way in ["--config FILE", "--store URL", "--server M --identity DIR"] {
            assert!(error.contains(way), "{way}: {error}");
        }
    }
}

#[test]
fn cert_check_reads_the_identity_directory_of_a_configuration() {
    let laboratory = Laboratory::new();
    let (config, directory) = (laboratory.at("gateway.toml"), laboratory.at("out"));
    let write = |name: &str| {
        let text = format!("role = \"gateway\"\nname = \"{name}\"\n[identity]\ndirectory = \"{directory}\"\n");
        std::fs::write(&config, text).unwrap();
    };
    write("gw1.branch.example");
    assert!(farpost(&["cert", "check", "--config", &config]).unwrap().contains("gw1.branch.example"));
    write("gw2.branch.example");
    let (status, error) = failure(&["cert", "check", "--config", &config]);
    assert!(
        status == 1 && error.starts_with("FP1009 ") && error.contains("a certificate for gw2.branch.example"),
        "{error}"
    );
}

#[test]
fn cert_check_tells_all_that_is_wrong_with_the_pkcs12_file_of_a_configuration() {
    let laboratory = Laboratory::new();
    let write = |file: &str, text: &str| {
        std::fs::write(laboratory.at(file), text).unwrap();
        std::fs::set_permissions(laboratory.at(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let (leaf, out, password) =
        (laboratory.at("out/gw1.branch.example"), laboratory.at("gw1.p12"), laboratory.at("pw"));
    write("pw", "changeit\n");
    write("gw1.p12", "");
    let openssl = Command::new("openssl")
        .args(["pkcs12", "-export", "-in", &format!("{leaf}.pem"), "-inkey", &format!("{leaf}.key"), "-out", &out])
        .args(["-passout", &format!("file:{password}")])
        .status();
    if !openssl.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no openssl");
        return;
    }
    let trust = laboratory.at("out/ca.pem");
    let check = |name: &str, trust: &str, options: &[&str]| {
        let text = format!("pkcs12 = \"{out}\"\npassword_file = \"{password}\"\n{trust}");
        write("gateway.toml", &format!("role = \"gateway\"\nname = \"{name}\"\n[identity]\n{text}"));
        farpost(&[&["cert", "check", "--config", &laboratory.at("gateway.toml")], options].concat())
    };
    let trusted = format!("trust = [\"{trust}\"]\n");
    let good = check("gw1.branch.example", &trusted, &[]).unwrap();
    assert!(good.contains("names      gw1.branch.example") && good.contains("usable     yes"), "{good}");
    assert!(check("gw1.branch.example", "", &["--trust", &trust]).unwrap().contains("usable     yes"));
    let codes = |outcome: Result<String, Output>| {
        let document: serde_json::Value = serde_json::from_slice(&outcome.unwrap_err().stdout).unwrap();
        let codes = document["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap().to_owned());
        (codes.collect::<Vec<_>>(), document["facts"].as_array().unwrap().is_empty())
    };
    // Without trust and for somebody else: both are told, with what the file holds.
    let (found, without_facts) = codes(check("gw2.branch.example", "", &["--json"]));
    assert_eq!((found, without_facts), (vec!["FP1004".into(), "FP1302".into()], false));
    write("pw", "another\n");
    assert_eq!(codes(check("gw1.branch.example", &trusted, &["--json"])), (vec!["FP1012".into()], true));
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o644)).unwrap();
    write("pw", "changeit\n");
    assert_eq!(codes(check("gw1.branch.example", &trusted, &["--json"])), (vec!["FP1008".into()], true));
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_status_2() {
    for arguments in [&[][..], &["frobnicate"], &["ca", "sign"], &["status"], &["ca", "sign", "--name", "*.example"]] {
        let (status, error) = failure(arguments);
        assert!(status == 2 && error.starts_with("FP5009 "), "{arguments:?}: {error}");
    }
    assert!(farpost(&["--help"]).unwrap().contains("Usage:"));
    assert!(Path::new(env!("CARGO_BIN_EXE_farpost")).exists() && farpost(&["--version"]).is_ok());
}

/// One chain, asked about in every way: the exit status and the codes say what a peer would.
#[test]
fn i2_cert_verify_judges_a_chain_for_a_role_a_name_and_a_time() {
    let laboratory = Laboratory::new();
    let (chain, ca) = (laboratory.at("out/gw1.branch.example.pem"), laboratory.at("out/ca.pem"));
    let verify = |more: &[&str]| farpost(&[&["cert", "verify", "--trust", &ca, &chain][..], more].concat());
    for role in ["any", "server", "client"] {
        let told = verify(&["--role", role, "--name", "gw1.branch.example"]).unwrap();
        assert!(told.contains("names      gw1.branch.example") && told.contains("usable     yes"), "{told}");
    }
    for (arguments, codes) in [
        (&["--name", "gw2.branch.example"][..], &["FP1302"][..]),
        (&["--at", "2124-01-01"], &["FP1202", "FP1005"]),
        (&["--at", "1999-12-31T23:59:59Z", "--name", "pc7.branch.example"], &["FP1201", "FP1302", "FP1005"]),
        (&["--crl-policy", "require"], &["FP1402"]),
    ] {
        let output = verify(arguments).unwrap_err();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        let found: Vec<&str> = error.lines().filter(|line| line.starts_with("FP")).map(|line| &line[..6]).collect();
        assert_eq!(found, codes, "{arguments:?}: {error}");
        for label in ["found", "expected", "remedy"] {
            let lines = error.lines().filter(|line| line.trim_start().starts_with(label)).count();
            assert_eq!(lines, codes.len(), "{label}: {error}");
        }
        let output = verify(&[arguments, &["--json"]].concat()).unwrap_err();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["usable"], false);
        let found: Vec<_> = told["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
        assert_eq!(found, codes, "{told}");
    }
    let key = laboratory.at("out/gw1.branch.example.key");
    for (trust, chain) in [(&ca, &key), (&key, &chain), (&chain, &chain)] {
        let output = farpost(&["cert", "verify", "--trust", trust, chain]).unwrap_err();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    assert_eq!(failure(&["cert", "verify", &chain]).0, 2);
    assert_eq!(failure(&["cert", "verify", "--trust", &ca, "--at", "tomorrow", &chain]).0, 2);
}

#[test]
fn i2_cert_verify_reads_revocation_lists() {
    let laboratory = Laboratory::new();
    let (chain, ca) = (laboratory.at("out/gw1.branch.example.pem"), laboratory.at("out/ca.pem"));
    let directory = laboratory.at("ca");
    let list = |file: &str, more: &[&str]| {
        farpost(&[&["ca", "crl", "--directory", &directory][..], more].concat()).unwrap();
        let kept = laboratory.at(file);
        std::fs::copy(laboratory.at("ca/ca.crl"), &kept).unwrap();
        kept
    };
    let verify = |lists: &[&str]| {
        let lists: Vec<&str> = lists.iter().flat_map(|list| ["--crl", *list]).collect();
        farpost(&[&["cert", "verify", "--trust", &ca, &chain][..], &lists].concat())
    };
    let clean = list("clean.crl", &[]);
    verify(&[&clean]).unwrap();
    let revoked = list("revoked.crl", &["--revoke", &chain]);
    for lists in [&[&*revoked][..], &[&clean, &revoked], &[&revoked, &clean]] {
        let output = verify(lists).unwrap_err();
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("FP1401 "), "{output:?}");
    }
}

#[test]
fn a_result_that_nobody_reads_is_no_failure_and_no_panic() {
    let laboratory = Laboratory::new();
    let (leaf, ca) = (laboratory.at("out/gw1.branch.example.pem"), laboratory.at("out/ca.pem"));
    let (authority, out, store) = (laboratory.at("ca"), laboratory.at("out2"), laboratory.at("store"));
    let commands: [&[&str]; 9] = [
        &["--help"],
        &["--version"],
        &["config", "reference"],
        &["cert", "check", "--certificate", &leaf, "--trust", &ca],
        &["cert", "check", "--certificate", &leaf, "--trust", &ca, "--json"],
        &["cert", "verify", "--trust", &ca, &leaf],
        &["cert", "request", "--subject-name", "gw2.branch.example", "--directory", &store],
        &["cert", "import", "--subject-name", "gw1.branch.example", "--directory", &store, "--trust", &ca, &out],
        &["ca", "sign", "--directory", &authority, "--name", "gw2.branch.example", "--out", &out],
    ];
    std::fs::create_dir(&out).unwrap();
    for file in ["gw1.branch.example.pem", "gw1.branch.example.key"] {
        std::fs::copy(laboratory.at(&format!("out/{file}")), Path::new(&out).join(file)).unwrap();
    }
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let output = command.args(arguments).stdout(writer).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !told.contains("panicked"), "{arguments:?}: {told}");
    }
    // A failure is one, whether its text is read or not.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    let status = command.args(["cert", "check", "--certificate", "/nowhere", "--trust", &ca]).stderr(writer).status();
    assert_eq!(status.unwrap().code(), Some(1));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
    let output = command.args(["config", "reference"]).stdout(full).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(": standard output\n  found "), "{text}");
}
