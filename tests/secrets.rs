//! Where a private key is in a process that uses it, and where it is not (SECURITY H14).
#![cfg(target_os = "linux")]

#[path = "common/pki.rs"]
#[expect(dead_code, reason = "shared with the tests that spoil certificates")]
mod pki;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use farpost::Identity;
use pki::Certified;
use rcgen::{KeyPair, RsaKeySize};

/// A user other than root.
const NOBODY: u32 = 65_534;
const GATEWAY: &str = "gw1.branch.example";

/// A key, and what of it must not lie about: 32 bytes of its secret as the file has them, and of the file's text.
struct Secret {
    kind: &'static str,
    pem: String,
    certificate: String,
    bytes: Vec<u8>,
    text: Vec<u8>,
    /// How often the library of the cryptography holds the bytes in the file's order itself: Ed25519's seed.
    own: usize,
}

impl Secret {
    /// Keys of all kinds with certificates of this CA.
    fn all(authority: &Certified) -> [Self; 3] {
        let make = |kind, key: KeyPair, own| {
            let (pem, der) = (key.serialize_pem(), key.serialize_der());
            let bytes = secret_part(&der);
            let certified = authority.issue_with(GATEWAY, key, |_| ());
            Self { kind, certificate: certified.pem(), bytes, text: middle_of_text(&pem), pem, own }
        };
        [
            make("P-256", KeyPair::generate().unwrap(), 0),
            make("Ed25519", KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), 1),
            make("RSA", KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), 0),
        ]
    }

    /// The identity's directory.
    fn install(&self, directory: &Path, authority: &Certified) {
        let write = |file: &str, text: &str| fs::write(directory.join(file), text).unwrap();
        let key = format!("{GATEWAY}.key");
        write(&format!("{GATEWAY}.pem"), &self.certificate);
        write(&key, &self.pem);
        fs::set_permissions(directory.join(key), fs::Permissions::from_mode(0o600)).unwrap();
        write("ca.pem", &authority.pem());
    }

    /// How often the bytes, the text, and the bytes in the order of the processor's words are there.
    fn count(&self, memory: &[Vec<u8>]) -> [usize; 3] {
        let reversed: Vec<u8> = self.bytes.iter().rev().copied().collect();
        [&self.bytes, &self.text, &reversed].map(|wanted| memory.iter().map(|part| occurrences(part, wanted)).sum())
    }
}

/// 32 bytes that only the private key has: the scalar, the seed, or the middle of the file, which lies in the private
/// exponent.
fn secret_part(der: &[u8]) -> Vec<u8> {
    let octets_of_32 = |der: &[u8]| der.windows(2).position(|window| window == [4, 32]);
    match octets_of_32(der) {
        Some(at) if der.len() < 200 => der[at + 2..at + 34].to_vec(),
        _ => der[der.len() / 2..][..32].to_vec(),
    }
}

/// 32 characters within one line of the key's PEM, from the part that is secret.
fn middle_of_text(pem: &str) -> Vec<u8> {
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let line = if lines.len() > 4 { lines[lines.len() / 2] } else { lines[0] };
    line.as_bytes()[line.len() - 32..].to_vec()
}

fn occurrences(memory: &[u8], wanted: &[u8]) -> usize {
    let (first, rest) = wanted.split_first().unwrap();
    let mut count = 0;
    let mut at = 0;
    while let Some(found) = memory[at..].iter().position(|byte| byte == first) {
        at += found + 1;
        count += usize::from(memory[at..].starts_with(rest));
    }
    count
}

/// What a process has in memory that it can write to.
fn memory_of(process: &str) -> Vec<Vec<u8>> {
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut parts = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[vvar")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        // Pages that were never touched, and those of a guard, cannot be read.
        if memory.read_exact_at(&mut part, from).is_ok() {
            parts.push(part);
        }
    }
    parts
}

/// The command, running a gateway with this key, and what it has logged until it listened; killed when dropped.
struct Process(Child, String);

impl Process {
    fn start(directory: &Path, authority: &Certified, secret: &Secret) -> Self {
        secret.install(directory, authority);
        fs::write(
            directory.join("gateway.toml"),
            format!(
                "role = \"gateway\"\nname = \"{GATEWAY}\"\nmanagement_group = \"CORP\"\n\
                 [identity]\ndirectory = \"{}\"\n\
                 [listen]\naddress = \"127.0.0.1:0\"\n[upstream]\nprimary = \"ms1.corp.example:1\"\n\
                 [hosts]\n\"ms1.corp.example\" = [\"127.0.0.1\"]\n",
                directory.display()
            ),
        )
        .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_farpost"));
        if nix::unistd::geteuid().is_root() {
            // As somebody else, to whom the files belong: what root runs belongs to root in /proc in any case.
            for file in fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()) {
                std::os::unix::fs::chown(file, Some(NOBODY), None).unwrap();
            }
            std::os::unix::fs::chown(directory, Some(NOBODY), None).unwrap();
            command.uid(NOBODY);
        }
        let mut child = command
            .args(["gateway", "run", "--config"])
            .arg(directory.join("gateway.toml"))
            .env("FARPOST_LOG", "trace")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, listens) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(told.send(line))));
        let mut process = Self(child, String::new());
        let log = &mut process.1;
        while !log.contains("listens on") {
            log.push_str(&listens.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{log}")));
        }
        process
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn h14_a_running_node_has_its_key_only_where_the_cryptography_keeps_it_and_leaves_no_core() {
    let authority = Certified::authority("Test CA");
    for secret in Secret::all(&authority) {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::start(directory.path(), &authority, &secret);
        let text = String::from_utf8(secret.text.clone()).unwrap();
        assert!(!process.1.contains(&text[..12]), "{}", process.1);
        // /proc gives what is a process's own to its user only while that one may look at it.
        let owner = fs::metadata(format!("/proc/{}/mem", process.id())).unwrap().uid();
        assert_eq!(owner, 0, "a process that may be dumped");
        // So only root can look further.
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: reading the memory of a process that may not be dumped takes root");
            return;
        }
        let [bytes, text, words] = secret.count(&memory_of(&process.id()));
        assert_eq!((bytes, text), (secret.own, 0), "{}: copies in the file's order and of its text", secret.kind);
        // The search finds what is there: the scalar as the cryptography's words, on a little-endian machine.
        assert!(secret.kind != "P-256" || words >= 1 || cfg!(target_endian = "big"), "{}", secret.kind);
    }
}

/// This test's own process again, as one that has an identity and lets it go; it says `kept`, and at a line `dropped`.
const DIRECTORY: &str = "FARPOST_TEST_IDENTITY";

#[test]
fn h14_a_dropped_identity_leaves_nothing_of_its_key() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        return keep_and_drop(&directory);
    }
    let authority = Certified::authority("Test CA");
    for secret in Secret::all(&authority) {
        let directory = tempfile::tempdir().unwrap();
        secret.install(directory.path(), &authority);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "h14_a_dropped_identity_leaves_nothing_of_its_key", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut input = child.stdin.take().unwrap();
        let process = Process(child, String::new());
        let mut counts = ["kept", "dropped"].map(|word| {
            assert!(lines.any(|line| line.ends_with(word)), "{}: it did not say {word}", secret.kind);
            let counts = secret.count(&memory_of(&process.id()));
            writeln!(input, "on").unwrap();
            counts
        });
        let [bytes, text, words] = counts[0];
        assert_eq!((bytes, text), (secret.own, 0), "{}: copies while it is in use", secret.kind);
        assert!(secret.kind != "P-256" || words >= 1 || cfg!(target_endian = "big"), "{}", secret.kind);
        assert_eq!(std::mem::take(&mut counts[1]), [0; 3], "{}: what is left of it", secret.kind);
    }
}

fn keep_and_drop(directory: &str) {
    let wait = || std::io::stdin().lock().lines().next();
    let identity = Identity::from_directory(directory, GATEWAY).unwrap();
    println!("kept");
    wait();
    drop(identity);
    println!("dropped");
    wait();
}
