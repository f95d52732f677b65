//! From a certificate request to a certificate, and one-time tokens, as an operator types them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NAME: &str = "pc7.branch.example";

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(directory).args(arguments).output().unwrap()
}

fn farpost(directory: &Path, arguments: &[&str]) -> Output {
    run(directory, env!("CARGO_BIN_EXE_farpost"), arguments)
}

/// Standard output of what must succeed.
#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of what must fail.
#[track_caller]
fn bad(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// The file of an identity directory with this extension.
fn only(directory: &Path, extension: &str) -> PathBuf {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn i2_a_request_that_openssl_signs_as_the_command_says_makes_a_usable_certificate() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    for (kind, rule) in [("p256", "san"), ("p384", "cn-and-san"), ("rsa2048", "cn"), ("ed25519", "san")] {
        let identity = at.join(kind);
        let request = [
            "cert",
            "request",
            "--subject-name",
            NAME,
            "--key-type",
            kind,
            "--name-rule",
            rule,
            "--out",
            "node.csr",
            "--directory",
            kind,
        ];
        let output = farpost(at, &request);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(good(output), "", "the request is in its file");
        assert_eq!(only(&identity, "key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        if !at.join("ca.pem").exists() {
            let authority = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=Lab -addext keyUsage=critical,keyCertSign,cRLSign";
            good(run(at, "openssl", &authority.split(' ').collect::<Vec<_>>()));
        }
        // The line that an administrator copies.
        let line = told.lines().find_map(|line| line.split_once("openssl x509 ")).expect(&told).1;
        let line = format!("x509 {}", line.replace("-days 365", "-days 20"));
        good(run(at, "openssl", &line.split(' ').collect::<Vec<_>>()));
        let certificate = format!("{NAME}.pem");
        let key = only(&identity, "key").display().to_string();
        let check = [
            "cert",
            "check",
            "--certificate",
            &certificate,
            "--key",
            &key,
            "--trust",
            "ca.pem",
            "--name",
            NAME,
            "--name-rule",
            rule,
        ];
        good(farpost(at, &check));
    }
}

#[test]
fn what_the_laboratory_ca_signs_of_a_request_is_its_name_and_its_key() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    good(farpost(at, &["ca", "init", "--directory", "ca", "--name", "Lab CA"]));
    let made = good(farpost(at, &["cert", "request", "--subject-name", NAME, "--directory", "id", "--json"]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let request = made["request"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(at.join(request)).unwrap(), made["pem"].as_str().unwrap());
    let signed =
        good(farpost(at, &["ca", "sign", "--directory", "ca", "--request", request, "--out", "out", "--json"]));
    let signed: serde_json::Value = serde_json::from_str(&signed).unwrap();
    assert_eq!((signed["name"].as_str(), &signed["key"]), (Some(NAME), &serde_json::Value::Null));
    let (certificate, key) = (signed["certificate"].as_str().unwrap(), made["key"].as_str().unwrap());
    let check = ["cert", "check", "--certificate", certificate, "--key", key, "--trust", "out/ca.pem", "--name", NAME];
    good(farpost(at, &check));
    assert!(!at.join("out").join(format!("{NAME}.key")).exists());
    std::fs::write(
        at.join("bad.csr"),
        "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
    )
    .unwrap();
    let error = bad(farpost(at, &["ca", "sign", "--directory", "ca", "--request", "bad.csr"]));
    assert!(error.starts_with("FP1802 ") && error.contains("bad.csr"), "{error}");
}

#[test]
fn a_request_follows_its_nodes_configuration() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let text = format!("role = \"agent\"\nname = \"{NAME}\"\n[identity]\ndirectory = \"{}/id\"\n", at.display());
    std::fs::write(at.join("agent.toml"), text).unwrap();
    let output = farpost(at, &["cert", "request", "--config", "agent.toml"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains(&format!("farpost cert import --subject-name {NAME} --config agent.toml ANSWER.pem")),
        "{told}"
    );
    let pem = good(output);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{pem}");
    assert_eq!(std::fs::read_to_string(only(&at.join("id"), "csr")).unwrap(), pem);
    let error =
        bad(farpost(at, &["cert", "request", "--config", "agent.toml", "--subject-name", "pc8.branch.example"]));
    assert!(error.starts_with("FP1302 "), "{error}");
    for (name, code) in [("10.0.0.1", "FP1305 "), (&*format!("{}.example", "a".repeat(60)), "FP1304 ")] {
        let arguments = ["cert", "request", "--subject-name", name, "--directory", "id2", "--name-rule", "cn"];
        let error = bad(farpost(at, &arguments));
        assert!(error.starts_with(code), "{error}");
    }
    assert!(!at.join("id2").exists() || std::fs::read_dir(at.join("id2")).unwrap().count() == 0);
}

#[test]
fn a_token_is_shown_once_and_listed_without_its_text() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("sqlite://{}/group.db", at.display());
    runtime.block_on(async { farpost::ManagementGroup::open_new(&url, "CORP").await.unwrap() });
    let store = ["--store", &url];
    let token = |arguments: &[&str]| farpost(at, &[&["token"], arguments, &store].concat());

    let text = good(token(&["create", "--name", NAME, "--role", "agent", "--gateway", "gw1.branch.example"]));
    farpost::EnrolmentToken::parse(&text).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let listed = good(token(&["list"]));
    assert!(
        listed.contains(NAME) && listed.contains("gw1.branch.example") && listed.contains("open until"),
        "{listed}"
    );
    let json = good(token(&["list", "--json"]));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((rows[0]["name"].as_str(), rows[0]["open"].as_bool()), (Some(NAME), Some(true)));
    let digits = text.trim().get(5..12).unwrap();
    assert!(!listed.contains(digits) && !json.contains(digits));

    let error = bad(token(&["create", "--name", NAME, "--role", "agent", "--valid", "8d"]));
    assert!(error.starts_with("FP5020 "), "{error}");
    assert_eq!(token(&["create", "--name", NAME, "--role", "management-server"]).status.code(), Some(2));
    assert_eq!(token(&["create", "--name", NAME, "--role", "agent", "--valid", "1 hour"]).status.code(), Some(2));
    assert_eq!(good(token(&["delete", "--name", NAME])), format!("1 of {NAME} deleted\n"));
    let error = bad(token(&["delete", "--name", NAME]));
    assert!(error.starts_with("FP1807 "), "{error}");
}

#[test]
fn a_disk_that_is_full_in_the_middle_leaves_neither_a_key_nor_a_request() {
    let place = tempfile::tempdir().unwrap();
    let long = format!("{0}.{0}.{0}.{0}", "a".repeat(60));
    // In blocks of 512 bytes: no room for the key; room for the key (241 bytes) and not for the request.
    for (blocks, name) in [(0, NAME), (1, &*long)] {
        let command = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} cert request --directory id --subject-name {name}",
            env!("CARGO_BIN_EXE_farpost")
        );
        let error = bad(run(place.path(), "sh", &["-c", &command]));
        assert!(error.starts_with("FP5005 ") && error.contains("/id/"), "{error}");
        assert_eq!(std::fs::read_dir(place.path().join("id")).unwrap().count(), 0, "{blocks} blocks");
    }
    good(farpost(place.path(), &["cert", "request", "--directory", "id", "--subject-name", &long]));
}
