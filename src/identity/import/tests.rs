//! Every format, as other programs write it, and damaged in every place.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::identity::testing::{Issued, openssl};

fn with(password: &str) -> Options<'_> {
    Options::with_password(Some(password))
}

fn outcome(bytes: &[u8], options: &Options<'_>) -> Result<(usize, usize), Code> {
    let material = read(bytes, options).map_err(|error| {
        assert!(!error.found_text().is_empty() && !error.remedy_text().is_empty(), "{error}");
        error.code()
    })?;
    for key in &material.keys {
        let loadable = PrivateKeyDer::try_from(key.der.to_vec()).map_err(str::to_owned).and_then(|der| {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            provider.key_provider.load_private_key(der).map(|_| ()).map_err(|error| error.to_string())
        });
        assert_eq!(loadable, Ok(()));
    }
    Ok((material.certificates.len(), material.keys.len()))
}

fn folder() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance");
    let folder = std::env::var_os("FARPOST_CONFORMANCE").map_or_else(|| default.into(), PathBuf::from).join("pkcs12");
    if !folder.is_dir() {
        eprintln!("skipped: no PKCS#12 samples");
        return None;
    }
    Some(folder)
}

fn password_of(file: &str) -> &'static str {
    match file {
        _ if file.starts_with("empty-password") => "",
        _ if file.starts_with("unicode-password") => "pässwörd€",
        _ => "changeit",
    }
}

#[test]
fn h16_what_a_sample_lacks_in_protection_can_be_waived_and_a_wrong_password_cannot() {
    let Some(folder) = folder() else { return };
    for file in ["nomac.p12", "nothing-encrypted.p12", "certs-in-clear.p12"] {
        let bytes = fs::read(folder.join(file)).unwrap();
        let waived = Options { allow_unprotected: true, ..with("changeit") };
        assert!(outcome(&bytes, &waived).is_ok(), "{file}");
    }
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        if file.contains("600000") || outcome(&bytes, &with(password_of(&file))).is_err() {
            continue;
        }
        count += 1;
        assert_eq!(outcome(&bytes, &with("wrong")), Err(Code::PasswordWrong), "{file}");
        let missing = Options::with_password(None);
        let is_empty = file.starts_with("empty-password");
        assert_eq!(outcome(&bytes, &missing).err(), (!is_empty).then_some(Code::PasswordMissing), "{file}");
    }
    assert!(count >= 18, "{count} samples are read");
}

/// A node's certificate of three, its key, and what OpenSSL makes of them.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Issued::root(|_| {});
        let middle = root.intermediate("middle", |_| {});
        let leaf = middle.leaf(|_| {});
        fs::write(directory.path().join("leaf.pem"), leaf.pem()).unwrap();
        fs::write(directory.path().join("leaf.der"), leaf.der()).unwrap();
        fs::write(directory.path().join("key.pem"), leaf.key_pem()).unwrap();
        fs::write(directory.path().join("chain.pem"), root.pem() + &middle.pem()).unwrap();
        fs::write(directory.path().join("list.crl"), middle.list(1, &[], |_| {})).unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What the command makes; `None` where there is no OpenSSL.
    fn make(&self, arguments: &str, file: &str) -> Option<Vec<u8>> {
        let output = openssl(self.path(), arguments)?;
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Some(fs::read(self.path().join(file)).unwrap())
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path().join(file)).unwrap()
    }
}

#[test]
fn blocks_in_any_order_with_text_between_them_and_single_der_objects_are_read() {
    let files = Files::new();
    let mixed = [files.read("chain.pem"), b"text\n".to_vec(), files.read("key.pem"), files.read("leaf.pem")].concat();
    assert_eq!(outcome(&mixed, &with("")), Ok((3, 1)));
    assert_eq!(outcome(&files.read("leaf.der"), &with("")), Ok((1, 0)));
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(mixed.iter().flat_map(|byte| [*byte, 0])).collect();
    assert_eq!(outcome(&wide, &with("")), Ok((3, 1)), "as PowerShell writes it");
    assert_eq!(outcome(&[0xff, 0xfe].repeat(50), &with("")), Err(Code::SourceUnreadable));
    let Some(traditional) = files.make("ec -in key.pem -out sec1.pem", "sec1.pem") else { return };
    assert_eq!(outcome(&traditional, &with("")), Ok((0, 1)));
    let der = files.make("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der", "key.der").unwrap();
    assert_eq!(outcome(&der, &with("")), Ok((0, 1)));
    let encrypted =
        files.make("pkcs8 -topk8 -in key.pem -passout pass:x -outform DER -out enc.der", "enc.der").unwrap();
    assert_eq!(outcome(&encrypted, &with("x")), Ok((0, 1)));
    assert_eq!(outcome(&encrypted, &with("y")), Err(Code::PasswordWrong));
    assert_eq!(outcome(&encrypted, &Options::with_password(None)), Err(Code::PasswordMissing));
    let request = "req -new -key key.pem -subj /CN=a -out request.pem";
    assert_eq!(outcome(&files.make(request, "request.pem").unwrap(), &with("")), Err(Code::SourceUnreadable));
}

#[test]
fn a_chain_as_pkcs7_is_read_in_pem_and_der_and_under_the_label_that_windows_gives_it() {
    let files = Files::new();
    let arguments = "crl2pkcs7 -in list.crl -certfile leaf.pem -certfile chain.pem -out chain.p7b";
    let Some(pem) = files.make(arguments, "chain.p7b") else { return };
    let material = read(&pem, &with("")).unwrap();
    assert_eq!((material.certificates.len(), material.lists.len()), (3, 1));
    let der = files.make(&format!("{arguments} -outform DER"), "chain.p7b").unwrap();
    assert_eq!(outcome(&der, &with("")), Ok((3, 0)));
    let mislabelled = String::from_utf8(pem).unwrap().replace("PKCS7", "CERTIFICATE");
    assert_eq!(outcome(mislabelled.as_bytes(), &with("")), Ok((3, 0)));
}

#[test]
fn h16_a_file_that_asks_for_too_much_work_is_refused_before_it_is_done() {
    let files = Files::new();
    let export = "pkcs12 -export -in leaf.pem -inkey key.pem -out big.p12 -passout pass:x";
    let Some(big) = files.make(&format!("{export} -iter 1000001"), "big.p12") else { return };
    assert_eq!(outcome(&big, &with("x")), Err(Code::WorkTooLarge));
    let scrypt = files.make("pkcs8 -topk8 -in key.pem -passout pass:x -scrypt -out s.pem", "s.pem").unwrap();
    assert_eq!(outcome(&scrypt, &with("x")), Ok((0, 1)));
    assert_eq!(outcome(&scrypt, &Options { iterations_max: 100_000, ..with("x") }), Err(Code::WorkTooLarge));
    let old = files.make(&format!("{export} -iter 2048 -macalg sha1"), "big.p12").unwrap();
    let small = Options { iterations_max: 1_000, ..with("x") };
    assert_eq!(outcome(&old, &small), Err(Code::WorkTooLarge));
    assert_eq!(outcome(&old, &with("x")), Ok((1, 1)));
}

#[test]
fn every_truncation_and_every_changed_byte_of_each_format_is_read_or_refused_without_a_panic() {
    let files = Files::new();
    let export = "pkcs12 -export -in leaf.pem -inkey key.pem -certfile chain.pem -out all.p12 -passout pass:x -iter 1";
    let Some(pfx) = files.make(export, "all.p12") else { return };
    let p7b = files.make("crl2pkcs7 -nocrl -certfile leaf.pem -outform DER -out c.p7b", "c.p7b").unwrap();
    let key = "pkcs8 -topk8 -in key.pem -passout pass:x -iter 1 -outform DER -out enc.der";
    let key = files.make(key, "enc.der").unwrap();
    for whole in [pfx, p7b, key, files.read("leaf.der")] {
        assert!(outcome(&whole, &with("x")).is_ok());
        for cut in 0..whole.len() {
            assert!(outcome(&whole[..cut], &with("x")).is_err(), "cut at {cut}");
        }
        let small = Options { iterations_max: 1_000, ..with("x") };
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            // A changed certificate may still be one: whether it is good is asked later. What must hold is no panic.
            let _ = read(&changed, &small);
        }
    }
}

#[test]
fn h16_the_integrity_code_covers_every_byte_of_itself_and_of_what_it_protects() {
    let files = Files::new();
    let export = "pkcs12 -export -in leaf.pem -inkey key.pem -out all.p12 -passout pass:x -iter 1";
    let Some(whole) = files.make(export, "all.p12") else { return };
    let small = Options { iterations_max: 1_000, ..with("x") };
    // The tags and lengths at the start are not covered; what they hold is.
    let accepted: Vec<usize> = (40..whole.len())
        .filter(|at| {
            let mut changed = whole.clone();
            changed[*at] ^= 1;
            read(&changed, &small).is_ok()
        })
        .collect();
    // The tag of the NULL that stands for the parameters of SHA-256: it says nothing.
    assert!(accepted.len() <= 1 && accepted.iter().all(|at| whole[*at] == 5 && whole[at + 1] == 0), "{accepted:?}");
}

#[test]
fn ten_megabytes_a_hundred_thousand_blocks_and_noise_are_refused() {
    let large = [&b"0\x83\x98\x96\x80"[..], &vec![0; 10_000_000]].concat();
    assert_eq!(outcome(&large, &with("")), Err(Code::SourceUnreadable));
    let blocks = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".repeat(100_000);
    assert_eq!(outcome(blocks.as_bytes(), &with("")), Err(Code::SourceUnreadable));
    for noise in [&b""[..], b"0", b"hello", b"0\x80", b"0\x80\0\0", &[0x30; 1000], b"-----BEGIN X-----"] {
        assert!(outcome(noise, &with("")).is_err(), "{noise:?}");
    }
}

#[test]
fn h16_a_file_with_two_identities_gives_both_and_keys_without_an_identifier_count_too() {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

    let root = Issued::root(|_| {});
    let mut store = KeyStore::new();
    for alias in ["one", "two"] {
        let leaf = root.leaf(|_| {});
        let key = PrivateKey::from_der(&leaf.key.serialize_der()).unwrap();
        let chain = [leaf.der(), root.der()].map(|der| Certificate::from_der(&der).unwrap());
        store.add_entry(alias, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(alias, key, chain)));
    }
    let bytes = store.writer("pässwörd").write().unwrap();
    assert_eq!(outcome(&bytes, &with("pässwörd")), Ok((4, 2)));
    assert_eq!(outcome(&bytes, &with("passwort")), Err(Code::PasswordWrong));
}

/// Runs a program that is not everywhere; false where it is not here.
fn ran(directory: &Path, program: &str, arguments: &str) -> bool {
    let output = std::process::Command::new(program).current_dir(directory).args(arguments.split(' ')).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            eprintln!("skipped: {program}: {error}");
            false
        }
    }
}

#[test]
fn files_of_java_gnutls_and_nss_are_read() {
    let files = Files::new();
    let export = "pkcs12 -export -in leaf.pem -inkey key.pem -certfile chain.pem -name node -out node.p12 -passout pass:changeit";
    if files.make(export, "node.p12").is_none() {
        return;
    }
    let keytool = "-srckeystore node.p12 -srcstorepass changeit -deststoretype PKCS12 -deststorepass changeit";
    if ran(files.path(), "keytool", &format!("-importkeystore {keytool} -destkeystore java.p12 -noprompt")) {
        assert_eq!(outcome(&files.read("java.p12"), &with("changeit")), Ok((3, 1)));
    }
    let certtool =
        "--to-p12 --load-certificate leaf.pem --load-privkey key.pem --p12-name node --password changeit --outder";
    for cipher in ["aes-256", "3des", "3des-pkcs12", "rc2-40"] {
        if ran(files.path(), "certtool", &format!("{certtool} --pkcs-cipher {cipher} --outfile gnutls.p12")) {
            assert_eq!(outcome(&files.read("gnutls.p12"), &with("changeit")), Ok((1, 1)), "{cipher}");
        }
    }
    // NSS writes BER.
    fs::create_dir(files.path().join("nss")).unwrap();
    if ran(files.path(), "certutil", "-N -d sql:nss --empty-password") {
        ran(files.path(), "pk12util", "-i node.p12 -d sql:nss -W changeit");
        ran(files.path(), "pk12util", "-o nss.p12 -d sql:nss -n node -W changeit");
        let bytes = files.read("nss.p12");
        assert_eq!(bytes[..2], [0x30, 0x80], "an indefinite length");
        assert_eq!(outcome(&bytes, &with("changeit")), Ok((3, 1)));
    }
}

#[test]
fn h14_neither_key_nor_password_is_in_what_is_shown() {
    let Some(folder) = folder() else { return };
    let bytes = fs::read(folder.join("default-ecdsa.p12")).unwrap();
    let material = read(&bytes, &with("changeit")).unwrap();
    let shown = format!("{material:?} {:?} {}", material.keys, read(&bytes, &with("sesame")).unwrap_err());
    assert!(!shown.contains("changeit") && !shown.contains("sesame"), "{shown}");
    assert!(shown.len() < 400, "{shown}");
}
