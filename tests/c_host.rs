//! The C library as C programs meet it: shared and static, under valgrind where it is at hand.
//!
//! Ignored by default, since it builds the library twice: `cargo test --test c_host -- --ignored`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

const NAME: &str = "pc7.branch.example";

#[test]
#[ignore = "builds the C library"]
fn the_shared_library_exports_exactly_what_the_header_declares() {
    let library = build("cdylib").join("libfarpost.so");
    let listing = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let exported: BTreeSet<String> =
        listing.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect();
    let header = std::fs::read_to_string(root().join("include/farpost.h")).expect("the header");
    let declared: BTreeSet<String> = header
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/', '#']))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("farpost_"))
        .map(str::to_owned)
        .collect();
    assert!(declared.len() > 30, "{declared:?}");
    assert_eq!(exported, declared);
}

#[test]
#[ignore = "builds the C library"]
fn a_c_host_may_fork_handle_signals_and_exit_when_it_likes() {
    for kind in ["cdylib", "staticlib"] {
        let libraries = build(kind);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let host = directory.path().join("host");
        compile(&libraries, kind, &host);
        for abandon in [false, true] {
            let config = configure(directory.path(), if abandon { "abandoned" } else { "closed" });
            let mut command = Command::new(&host);
            command.arg(&config).args(abandon.then_some("abandon"));
            run(command.env("LD_LIBRARY_PATH", &libraries));
        }
        if Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
            let config = configure(directory.path(), "checked");
            let leaks = ["--leak-check=full", "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=99"];
            let mut command = Command::new("valgrind");
            command.args(leaks).arg("--child-silent-after-fork=yes").arg(&host).arg(&config);
            run(command.env("LD_LIBRARY_PATH", &libraries));
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the library of a kind; the directory that it is in.
fn build(kind: &str) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("c-library");
    let mut command = Command::new(env!("CARGO"));
    command.args(["rustc", "--lib", "--no-default-features", "--features", "capi", "--crate-type", kind]);
    run(command.arg("--target-dir").arg(&target).current_dir(root()));
    target.join("debug")
}

fn compile(libraries: &Path, kind: &str, host: &Path) {
    let mut command = Command::new("gcc");
    command
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-I"])
        .arg(root().join("include"));
    command.arg(root().join("tests/c/host.c")).arg("-o").arg(host);
    if kind == "cdylib" {
        command.arg("-L").arg(libraries).arg("-lfarpost");
    } else {
        command.arg(libraries.join("libfarpost.a")).args(["-lm", "-ldl", "-lrt", "-lutil"]);
    }
    run(&mut command);
}

/// An agent with an identity of its own and an upstream that is not there.
fn configure(directory: &Path, name: &str) -> PathBuf {
    let directory = directory.join(name);
    std::fs::create_dir(&directory).expect("a directory");
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Test CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let trust = authority.self_signed(&authority_key).expect("a CA");
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, NAME);
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer).expect("a certificate");

    let write = |file: &str, text: &str| {
        let path = directory.join(file);
        std::fs::write(&path, text).expect("a file");
        path
    };
    write("ca.pem", &trust.pem());
    write("pc7.pem", &certificate.pem());
    let key_file = write("pc7.key", &key.serialize_pem());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(key_file, private).expect("permissions");
    let at = directory.display();
    write(
        "agent.toml",
        &format!(
            "role = \"agent\"\nname = \"{NAME}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{at}/state\"\n\
             [identity]\ncertificate = \"{at}/pc7.pem\"\nkey = \"{at}/pc7.key\"\ntrust = [\"{at}/ca.pem\"]\n\
             [upstream]\nprimary = \"gw1.branch.example:5723\"\n[hosts]\n\"gw1.branch.example\" = [\"127.0.0.1\"]\n"
        ),
    )
}

/// What a command prints; it must succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaints}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
