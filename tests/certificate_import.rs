//! `farpost cert import` as an administrator uses it, and what is left when it fails or is killed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use farpost::Identity;
use tempfile::TempDir;

const NAME: &str = "gw1.branch.example";

/// A CA, a certificate of gw1 and what it is wrapped in.
struct Laboratory(TempDir);

/// Exit status, standard output and standard error.
type Told = (i32, String, String);

impl Laboratory {
    fn new() -> Self {
        let laboratory = Self(tempfile::tempdir().unwrap());
        laboratory.done("ca init --directory ca --name Lab");
        laboratory.sign("first", 100);
        laboratory.write("password", "pass word\n");
        laboratory
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn sign(&self, out: &str, days: u32) {
        self.done(&format!("ca sign --directory ca --name {NAME} --out {out} --days {days}"));
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.path().join(file), content).unwrap();
        fs::set_permissions(self.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// What the command tells; arguments are separated by spaces.
    fn farpost(&self, arguments: &str) -> Told {
        self.run(Command::new(env!("CARGO_BIN_EXE_farpost")).args(arguments.split(' ')))
    }

    fn run(&self, command: &mut Command) -> Told {
        let output = command.current_dir(self.path()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn done(&self, arguments: &str) -> String {
        let (status, told, wrong) = self.farpost(arguments);
        assert_eq!(status, 0, "{arguments}: {wrong}");
        told
    }

    /// Runs `cert import` into `store`; it must fail with this code and change nothing.
    fn refused(&self, arguments: &str, code: &str) -> String {
        let before = self.listing();
        let (status, _, wrong) = self.farpost(&import(arguments));
        assert_eq!(status, 1, "{arguments}");
        assert!(wrong.contains(code) && wrong.contains("remedy"), "{arguments}: {wrong}");
        assert_eq!(self.listing(), before, "{arguments}");
        wrong
    }

    fn openssl(&self, arguments: &str) {
        let told = self.run(Command::new("openssl").args(arguments.split(' ')));
        assert_eq!(told.0, 0, "{arguments}: {}", told.2);
    }

    fn export(&self, certificate: &str, file: &str, more: &str) {
        let files = format!("-in {certificate}/{NAME}.pem -inkey {certificate}/{NAME}.key -certfile ca/ca.pem");
        self.openssl(&format!("pkcs12 -export {files} -passout file:password -out {file}{more}"));
    }

    /// All files of the store.
    fn listing(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.path().join("store")) else { return BTreeMap::new() };
        let entries = entries.map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
    }

    fn load(&self) -> Result<Identity, farpost::Error> {
        Identity::from_directory(self.path().join("store"), NAME)
    }
}

fn import(arguments: &str) -> String {
    format!("cert import --subject-name {NAME} --directory store {arguments}")
}

#[test]
fn a_pfx_is_imported_by_reading_only_what_the_tool_says() {
    let laboratory = Laboratory::new();
    laboratory.export("first", "old.pfx", " -legacy -descert");
    laboratory.export("first", "new.pfx", "");
    laboratory.refused("new.pfx", "FP1011");
    laboratory.write("wrong", "guess");
    laboratory.refused("new.pfx --password-file wrong", "FP1012");
    let told = laboratory.refused("new.pfx --password-file password", "FP1004");
    assert!(told.contains("--trust new.pfx"), "{told}");
    for file in ["old.pfx", "new.pfx"] {
        let arguments = format!("{file} --password-file password --trust {file}");
        let dry = laboratory.done(&import(&format!("{arguments} --dry-run")));
        assert!(dry.contains("nothing was changed") && dry.contains("to write"), "{dry}");
        let told = laboratory.done(&import(&arguments));
        assert!(told.contains(&format!("{NAME} is live")) && told.contains(" days)"), "{told}");
        laboratory.load().unwrap();
        laboratory.done(&format!("cert import --subject-name {NAME} --directory store --remove"));
        assert!(laboratory.load().is_err());
        fs::remove_dir_all(laboratory.path().join("store")).unwrap();
    }
    laboratory.done(&import("first --trust first/ca.pem"));
    let json: serde_json::Value = serde_json::from_str(&laboratory.done(&import("first --json"))).unwrap();
    assert_eq!((&json["installed"], &json["name"]), (&true.into(), &NAME.into()), "{json}");
}

#[test]
fn i4_two_certificates_that_both_fit_are_listed_and_one_is_chosen_by_its_fingerprint() {
    let laboratory = Laboratory::new();
    laboratory.sign("second", 200);
    for (from, to) in [("first", "both/a"), ("second", "both/b")] {
        fs::create_dir_all(laboratory.path().join("both")).unwrap();
        for extension in ["pem", "key"] {
            let source = laboratory.path().join(from).join(format!("{NAME}.{extension}"));
            fs::copy(source, laboratory.path().join(format!("{to}.{extension}"))).unwrap();
        }
    }
    let told = laboratory.refused("both --trust ca/ca.pem", "FP1010");
    let fingerprints: Vec<&str> =
        told.split("SHA-256 ").skip(1).filter_map(|rest| rest.split(',').next()).take(2).collect();
    assert_eq!(fingerprints.len(), 2, "{told}");
    let mut days = Vec::new();
    for fingerprint in fingerprints {
        let chosen = import(&format!("both --trust ca/ca.pem --fingerprint {fingerprint} --json"));
        let json: serde_json::Value = serde_json::from_str(&laboratory.done(&chosen)).unwrap();
        assert_eq!(json["sha256"], fingerprint);
        days.push(json["days"].as_i64().unwrap());
        let live = laboratory.load().unwrap();
        assert_eq!(live.not_after().to_string(), json["until"].as_str().unwrap());
    }
    days.sort_unstable();
    assert!((99..=101).contains(&(days[1] - days[0])), "{days:?}");
    laboratory.refused("both --fingerprint 00:11", "FP5020");
    laboratory.refused("both --issuer Nobody", "FP1009");
}

#[test]
fn a_wrong_key_a_missing_key_another_name_and_an_open_directory_are_refused_and_nothing_changes() {
    let laboratory = Laboratory::new();
    laboratory.sign("second", 200);
    laboratory.done(&import("first --trust ca/ca.pem"));
    laboratory.refused(&format!("second/{NAME}.pem"), "FP1023");
    laboratory.refused(&format!("second/{NAME}.pem ca/ca.key"), "FP1023");
    laboratory.refused("missing.pem", "FP5004");
    laboratory.refused("password", "FP1020");
    let other = laboratory.farpost("cert import --subject-name gw2.branch.example --directory store second");
    assert!(other.2.contains("FP1009") && other.2.contains(NAME), "{}", other.2);
    let key = laboratory.path().join(format!("second/{NAME}.key"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    laboratory.refused("second", "FP1008");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let store = laboratory.path().join("store");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).unwrap();
    laboratory.refused("second", "FP1021");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    laboratory.done(&import("second"));
    let (status, ..) = laboratory.farpost("cert import --directory store second");
    assert_eq!(status, 2, "a command line without a name");
}

#[test]
fn a_weak_key_and_a_ca_with_the_nodes_name_are_told_as_what_they_are() {
    let laboratory = Laboratory::new();
    laboratory.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.key");
    fs::set_permissions(laboratory.path().join("weak.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let told = laboratory.refused(&format!("first/{NAME}.pem weak.key --trust ca/ca.pem"), "FP1206");
    assert!(told.contains("an RSA key") && !told.contains("FP1006"), "{told}");
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -keyout ca.key -out own-ca.pem";
    laboratory.openssl(&format!("{request} -subj /CN={NAME} -addext subjectAltName=DNS:{NAME}"));
    laboratory.refused("own-ca.pem ca.key --trust ca/ca.pem", "FP1208");
}

#[test]
fn what_was_refused_for_its_trust_is_told_once() {
    let laboratory = Laboratory::new();
    laboratory.write("bad.crl", "0\u{3}abc");
    let told = laboratory.refused("first --trust ca/ca.pem --crl bad.crl", "FP1");
    assert!(!told.contains("FP1101"), "{told}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is_one() {
    let print = |to: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        let output = command.args(["config", "reference"]).stdout(to).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(print(writer.into()), (Some(0), String::new()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (status, wrong) = print(full.into());
    assert!(status == Some(1) && wrong.contains("FP5005") && wrong.contains("room"), "{wrong}");
}

#[test]
fn the_files_that_a_configuration_names_are_replaced_under_their_names() {
    let laboratory = Laboratory::new();
    laboratory.sign("second", 200);
    fs::create_dir(laboratory.path().join("store")).unwrap();
    for (from, to) in
        [(format!("{NAME}.pem"), "node.pem"), (format!("{NAME}.key"), "node.key"), ("ca.pem".into(), "ca.pem")]
    {
        fs::copy(laboratory.path().join("first").join(from), laboratory.path().join("store").join(to)).unwrap();
    }
    let at = |file: &str| laboratory.path().join("store").join(file).display().to_string();
    let files =
        format!("certificate = {:?}\nkey = {:?}\ntrust = [{:?}]\n", at("node.pem"), at("node.key"), at("ca.pem"));
    laboratory.write("gateway.toml", &format!("role = \"gateway\"\nname = \"{NAME}\"\n[identity]\n{files}"));
    let import = |more: &str| format!("cert import --subject-name {NAME} --config gateway.toml second{more}");
    let before = laboratory.listing();
    let (status, _, wrong) = laboratory.farpost(&import(" --trust ca/ca.pem"));
    assert!(status == 1 && wrong.contains("FP5020") && wrong.contains("identity.trust"), "{wrong}");
    assert_eq!(laboratory.listing(), before);
    let told = laboratory.done(&import(""));
    assert!(told.contains("node.pem") && told.contains("node.key"), "{told}");
    let after = laboratory.listing();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(after["node.pem"] != before["node.pem"] && after["node.key"] != before["node.key"]);
    laboratory.done("cert check --config gateway.toml");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_an_import_leaves_the_old_identity() {
    let laboratory = Laboratory::new();
    laboratory.sign("second", 200);
    laboratory.done(&import("first --trust ca/ca.pem"));
    let before = laboratory.listing();
    // No file may have more than 512 bytes: a key has not, a certificate has.
    let command = format!("trap '' XFSZ; ulimit -f 1; exec {} {}", env!("CARGO_BIN_EXE_farpost"), import("second"));
    let (status, told, wrong) = laboratory.run(Command::new("sh").args(["-c", &command]));
    assert_eq!((status, told.as_str()), (1, ""), "{wrong}");
    assert!(wrong.contains("FP5005"), "{wrong}");
    assert_eq!(laboratory.listing(), before);
    laboratory.done(&import("second"));
    assert_ne!(laboratory.listing(), before);
}

#[test]
fn an_import_that_is_killed_at_any_moment_leaves_the_old_identity_or_the_new_one() {
    let laboratory = Laboratory::new();
    laboratory.sign("second", 200);
    laboratory.done(&import("first --trust ca/ca.pem"));
    let began = std::time::Instant::now();
    laboratory.done(&import("second"));
    let whole = began.elapsed();
    let (mut chance, mut previous, mut changed) = (u64::from(std::process::id()), None, 0);
    println!("seed {chance}, an import takes {whole:?}");
    for round in 0..40 {
        let source = if round % 2 == 0 { "first" } else { "second" };
        let mut child = Command::new(env!("CARGO_BIN_EXE_farpost"))
            .args(import(source).split(' '))
            .current_dir(laboratory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Where it is killed is chance, and nothing waits for it.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = 0.5 + (chance >> 40) as f64 / f64::from(1 << 24);
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
        child.kill().unwrap();
        child.wait().unwrap();
        let live = laboratory.load().unwrap_or_else(|error| panic!("round {round}: {error}")).not_after();
        changed += usize::from(previous.is_some_and(|previous| previous != live));
        previous = Some(live);
    }
    println!("{changed} of 40 imports were done before they were killed");
    let names = laboratory.listing().into_keys().filter(|name| !name.starts_with('.'));
    assert!(names.count() <= 5, "CA, certificate, and few keys");
    laboratory.done(&import("first"));
    assert_eq!(laboratory.listing().len(), 3, "what was left over is gone: {:?}", laboratory.listing().keys());
}
