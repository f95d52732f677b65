//! From a name to a new key and its certificate request.

use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::config::{IdentityFiles, NameRule};
use crate::error::{Error, Result};
use crate::identity::{CertificateRequest, KeyKind};
use crate::name::Name;

impl CertificateRequest {
    /// Makes a new key of a kind and the request of a node for it; the key is PKCS#8 in DER. RSA takes up to a second:
    /// not on a task.
    ///
    /// The common name is written where it is asked for (`name_rule` `cn` and `cn-and-san` demand one); X.509 gives
    /// it 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Code::CommonNameNotInSan`] for a common name that would be too long; [`Code::Internal`] where the system has no
    /// random numbers.
    pub fn make(name: &Name, kind: KeyKind, include_common_name: bool) -> Result<(Self, Zeroizing<Vec<u8>>)> {
        let key = generate(kind)?;
        Ok((Self::sign(name, kind, include_common_name, &key)?, key))
    }
}

/// A request whose key waits on this computer for the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingRequest {
    /// The request.
    pub request: CertificateRequest,
    /// The key, mode 0600; it stays where it is.
    pub key_file: PathBuf,
    /// The request as PEM, for whoever signs it.
    pub request_file: PathBuf,
}

impl IdentityFiles {
    /// Makes a new key of a kind and the request of a node for it, and puts both where the identity is: into its
    /// directory, or beside its key. Nothing that is there is touched. Blocks; an RSA key takes up to a second.
    ///
    /// The request has a common name where `name_rule` asks for one, and else where the name fits.
    ///
    /// # Errors
    ///
    /// [`Code::DirectoryExposed`] for a directory in which others could exchange the key, [`Code::FileUnreadable`],
    /// [`Code::FileMissing`], [`Code::ConfigMissingKey`] where neither directory nor key is named;
    /// [`Code::CommonNameNotInSan`] for a name that no common name can hold where one is demanded.
    pub fn make_request(&self, name: &Name, kind: KeyKind) -> Result<WaitingRequest> {
        let include_common_name = self.name_rule != NameRule::San || CertificateRequest::fits_common_name(name);
        let (request, key) = CertificateRequest::make(name, kind, include_common_name)?;
        let kept = self.keep_waiting_key(name, &key, request.der())?;
        Ok(WaitingRequest { request, key_file: kept.key, request_file: kept.request })
    }
}

/// A new private key, PKCS#8 version 1 in DER: what every other implementation reads.
fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>> {
    let no_key = |_| Error::new(Code::Internal).subject("a new key").found("no random numbers from the system");
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| -> Result<_, aws_lc_rs::error::Unspecified> {
        Ok(Zeroizing::new(EcdsaKeyPair::generate(algorithm)?.to_pkcs8v1()?.as_ref().to_vec()))
    };
    let rsa = |size: KeySize| -> Result<_, aws_lc_rs::error::Unspecified> {
        let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(size)?.as_der()?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    };
    match kind {
        KeyKind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        KeyKind::Ed25519 => {
            Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1()).map(|der| Zeroizing::new(der.as_ref().to_vec()))
        }
    }
    .map_err(no_key)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::{Read as _, Seek as _, SeekFrom};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::identity::testing::{Issued, NAME, name};

    fn files(directory: &Path) -> IdentityFiles {
        IdentityFiles { directory: Some(directory.to_owned()), ..IdentityFiles::default() }
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn h13_a_waiting_key_is_its_owners_alone_and_every_request_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("farpost").join("identity");
        let first = files(&inner).make_request(&name(), KeyKind::P256).unwrap();
        let second = files(&inner).make_request(&name(), KeyKind::P256).unwrap();
        assert_eq!((mode(&inner), mode(&first.key_file), mode(&first.request_file)), (0o700, 0o600, 0o644));
        assert_ne!(first.key_file, second.key_file);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 4);
        let stem = format!("{NAME}-{}", &first.request.key_fingerprint()[..16]);
        assert_eq!(first.key_file, inner.join(format!("{stem}.key")));
        assert_eq!(first.request_file, inner.join(format!("{stem}.csr")));
        let read = CertificateRequest::from_pem(&fs::read(&first.request_file).unwrap()).unwrap();
        assert_eq!(read, first.request);
        // The key is the request's.
        let key = rcgen::KeyPair::from_pem(&fs::read_to_string(&first.key_file).unwrap()).unwrap();
        let public = rcgen::PublicKeyData::subject_public_key_info(&key);
        assert_eq!(crate::identity::KeyHash::of(&public), read.key_hash());
    }

    #[test]
    fn h13_a_directory_that_others_write_to_gets_no_key() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o770, 0o707, 0o1777] {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            let error = files(directory.path()).make_request(&name(), KeyKind::P256).unwrap_err();
            assert_eq!(error.code(), Code::DirectoryExposed, "{mode:o}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_by_name_keep_the_waiting_key_beside_the_key_and_touch_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let leaf = Issued::root(|_| ()).leaf(|_| ());
        let (certificate, key) = (directory.path().join("pc7.pem"), directory.path().join("pc7.key"));
        fs::write(&certificate, leaf.pem()).unwrap();
        fs::write(&key, leaf.key_pem()).unwrap();
        let files =
            IdentityFiles { certificate: Some(certificate), key: Some(key.clone()), ..IdentityFiles::default() };
        let made = files.make_request(&name(), KeyKind::Ed25519).unwrap();
        assert_eq!(made.key_file.parent(), Some(directory.path()));
        assert_eq!(fs::read_to_string(&key).unwrap(), leaf.key_pem());
        let nowhere = IdentityFiles::default().make_request(&name(), KeyKind::P256);
        assert_eq!(nowhere.unwrap_err().code(), Code::ConfigMissingKey);
    }

    #[test]
    fn i2_the_name_rule_decides_whether_a_long_name_can_be_requested() {
        let directory = tempfile::tempdir().unwrap();
        let long = Name::parse(&format!("{}.branch.example", "a".repeat(60))).unwrap();
        for rule in [NameRule::San, NameRule::CnAndSan, NameRule::Cn] {
            let files = IdentityFiles { name_rule: rule, ..files(directory.path()) };
            let code = files.make_request(&long, KeyKind::P256).map(|_| ()).map_err(|error| error.code());
            let expected = if rule == NameRule::San { Ok(()) } else { Err(Code::CommonNameNotInSan) };
            assert_eq!(code, expected, "{rule:?}");
            files.make_request(&name(), KeyKind::P256).unwrap();
        }
    }

    #[test]
    fn a_name_that_is_too_long_for_a_file_has_waiting_keys_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let long = Name::parse(&["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".")).unwrap();
        let files = files(directory.path());
        let made = files.make_request(&long, KeyKind::P256).unwrap();
        let waiting = files.waiting_keys(&long).unwrap();
        assert_eq!(waiting.iter().map(|one| &one.key).collect::<Vec<_>>(), [&made.key_file]);
        assert!(files.waiting_keys(&name()).unwrap().is_empty());
    }

    /// Copies of a secret in this process's memory, found by what it is masked with, so that the search leaves none.
    fn copies_of(masked: &[u8]) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = fs::File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        let mut block = vec![0_u8; 1 << 16];
        for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let (mut from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            while from < to {
                let length = usize::try_from((to - from).min(1 << 16)).unwrap();
                if memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read_exact(&mut block[..length])).is_ok() {
                    let is_copy =
                        |window: &[u8]| window.iter().zip(masked).all(|(byte, masked)| byte ^ 0xa5 == *masked);
                    found += block[..length].windows(masked.len()).filter(|window| is_copy(window)).count();
                }
                from += length as u64;
            }
            block.fill(0);
        }
        found
    }

    const CHILD: &str = "FARPOST_TEST_MEMORY";

    #[test]
    fn child_that_looks_for_keys_in_its_memory() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa2048] {
            let directory = tempfile::tempdir().unwrap();
            let made = files(directory.path()).make_request(&name(), kind).unwrap();
            let (_, key) = CertificateRequest::make(&name(), kind, true).unwrap();
            // The private part begins behind the head of PKCS#8.
            let at = match kind {
                KeyKind::P256 => 36,
                KeyKind::Ed25519 => 16,
                _ => key.len() / 2,
            };
            let masked: Vec<u8> = key[at..at + 32].iter().map(|byte| byte ^ 0xa5).collect();
            assert!(copies_of(&masked) > 0, "{kind}: the search finds what is there");
            drop(key);
            assert_eq!(copies_of(&masked), 0, "{kind}");
            // The text of a key that was written.
            let mut text = Zeroizing::new(vec![0; 100]);
            fs::File::open(&made.key_file).unwrap().read_exact(&mut text).unwrap();
            let masked: Vec<u8> = text[60..92].iter().map(|byte| byte ^ 0xa5).collect();
            drop(text);
            assert_eq!(copies_of(&masked), 0, "{kind} as a text");
        }
    }

    #[test]
    fn h14_a_key_that_was_made_and_dropped_leaves_no_copy_in_memory() {
        // A process of its own: its memory is small, and nobody else's.
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["child_that_looks_for_keys_in_its_memory", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    }
}
