//! The C library, programs linked to it, and certificates for them: what `c_host` and `c_chain` share.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    Shared,
    Static,
}

/// Whether a tool is missing: then the test says so in one line and ends, but for the project's own gate, which has all.
pub(crate) fn lacks(tool: &str) -> bool {
    let is_missing = !Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(!is_missing || std::env::var_os("CI").is_none(), "{tool} is missing");
    if is_missing {
        println!("skipped: there is no {tool}");
    }
    is_missing
}

/// Builds the library, shared and static; the directory that they are in.
///
/// In the tests' own target directory: most of what the library depends on is built there already.
pub(crate) fn library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let mut command = Command::new(env!("CARGO"));
    command.args(["rustc", "--lib", "--no-default-features", "--features", "capi", "--crate-type", "cdylib,staticlib"]);
    run(command.arg("--target-dir").arg(target).current_dir(root()));
    target.join("debug")
}

/// Compiles a C program of this project against the library.
pub(crate) fn compile(source: &str, libraries: &Path, linked: Linked, program: &Path) {
    let mut command = Command::new("gcc");
    command.args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-I"]);
    command.arg(root().join("include")).arg(root().join(source)).arg("-o").arg(program);
    match linked {
        Linked::Shared => command.arg("-L").arg(libraries).args(["-lfarpost", "-Wl,-rpath"]).arg(libraries),
        Linked::Static => command.arg(libraries.join("libfarpost.a")).args(["-lm", "-ldl", "-lrt", "-lutil"]),
    };
    run(&mut command);
}

/// A program under valgrind: what it leaks, or does to memory that is not its own, makes it fail.
pub(crate) fn checked(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=99"]);
    command.arg("--child-silent-after-fork=yes").arg(program);
    command
}

/// What a command prints; it must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{complaints}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a CA").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Puts an identity into a directory, as `identity.directory` takes it.
    pub(crate) fn issue(&self, directory: &Path, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        leaf.distinguished_name = DistinguishedName::new();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &self.issuer).expect("a certificate");

        write(&directory.join("ca.pem"), &self.pem);
        write(&directory.join(format!("{name}.pem")), &certificate.pem());
        let key_file = directory.join(format!("{name}.key"));
        write(&key_file, &key.serialize_pem());
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(key_file, private).expect("permissions");
    }

    /// The configuration file of an agent whose upstream is on this computer, in a directory of its own.
    pub(crate) fn configure_agent(
        &self,
        directory: &Path,
        name: &str,
        upstream: &str,
        port: u16,
        more: &str,
    ) -> PathBuf {
        std::fs::create_dir(directory).expect("a directory");
        self.issue(directory, name);
        let (at, path) = (directory.display(), directory.join("agent.toml"));
        let text = format!(
            "{more}role = \"agent\"\nname = \"{name}\"\nmanagement_group = \"CORP\"\nstate_directory = \"{at}/state\"\n\
             [identity]\ndirectory = \"{at}\"\n[upstream]\nprimary = \"{upstream}:{port}\"\n\
             [hosts]\n\"{upstream}\" = [\"127.0.0.1\"]\n"
        );
        write(&path, &text);
        path
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
