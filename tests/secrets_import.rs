//! Neither a key nor its password is left in memory after an import (H14).

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use farpost::{CertificateImport, IdentityFiles, Name};

/// What is looked for, never in the clear in this process's memory.
struct Hidden(Vec<u8>);

const MASK: u8 = 0x5a;

impl Hidden {
    /// A part of a file, masked as soon as it is read.
    fn of_file(path: &Path, from: usize, length: usize) -> Self {
        let mut bytes = [0; 4096];
        let read = File::open(path).unwrap().read(&mut bytes).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= MASK);
        assert!(from + length <= read, "{read}");
        Self(bytes[from..from + length].to_vec())
    }

    fn is_at(&self, memory: &[u8]) -> bool {
        memory.len() >= self.0.len() && memory.iter().zip(&self.0).all(|(byte, hidden)| byte ^ MASK == *hidden)
    }

    /// How often it is in this process's memory.
    fn count(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = File::open("/proc/self/mem").unwrap();
        let first = self.0[0] ^ MASK;
        let mut count = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split(' ').next().unwrap();
            let bounds = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(bounds[1] - bounds[0]).unwrap()];
            let read = memory.seek(SeekFrom::Start(bounds[0])).and_then(|_| memory.read_exact(&mut bytes));
            if read.is_ok() {
                count += (0..bytes.len()).filter(|at| bytes[*at] == first && self.is_at(&bytes[*at..])).count();
            }
            // What was read of other memory is not to be found again.
            bytes.fill(0);
        }
        count
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Imports, loads and drops; another frame of the stack than the caller's.
#[inline(never)]
fn import_and_forget(directory: &Path, source: &str) {
    let mut files = IdentityFiles::default();
    files.directory = Some(directory.join("store"));
    let name = Name::parse("pc7.branch.example").unwrap();
    let import = CertificateImport::new(files.clone(), name.clone()).source(directory.join(source));
    let import = import.trust(directory.join("ca.pem")).password_file(directory.join("password")).unwrap();
    let installed = import.prepare().unwrap().install().unwrap();
    drop(installed);
    drop(farpost::Identity::from_files(&files, &name).unwrap());
    files.remove_certificate(&name).unwrap();
}

#[test]
fn h14_neither_key_nor_password_is_in_memory_after_an_import() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    openssl(path, "rand -hex -out password 20");
    private(&path.join("password"));
    let extensions = "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n";
    fs::write(path.join("extensions"), format!("subjectAltName=DNS:pc7.branch.example\n{extensions}")).unwrap();
    let ca = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=Lab -days 99";
    openssl(path, &format!("{ca} -addext keyUsage=critical,keyCertSign -out ca.pem"));
    for (kind, from) in [("rsa:2048", 700), ("ec -pkeyopt ec_paramgen_curve:P-256", 36)] {
        openssl(
            path,
            &format!("req -newkey {kind} -nodes -keyout node.key -subj /CN=pc7.branch.example -out node.csr"),
        );
        let sign = "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9";
        openssl(path, &format!("{sign} -extfile extensions -out node.pem"));
        openssl(path, "pkcs8 -topk8 -nocrypt -in node.key -outform DER -out node.der");
        for options in ["", " -legacy -descert"] {
            let export = "pkcs12 -export -in node.pem -inkey node.key -passout file:password -out node.p12";
            openssl(path, &format!("{export}{options}"));
            let hidden = Hidden::of_file(&path.join("node.der"), from, 32);
            let password = Hidden::of_file(&path.join("password"), 0, 40);
            assert_eq!(hidden.count(), 0, "before: {kind}{options}");
            import_and_forget(path, "node.p12");
            assert_eq!(hidden.count(), 0, "after: {kind}{options}");
            assert_eq!(password.count(), 0, "the password after: {kind}{options}");
            let mut held = fs::read(path.join("node.der")).unwrap();
            assert!(hidden.count() >= 1, "the search finds what is there: {} bytes", held.len());
            held.fill(0);
        }
    }
}
