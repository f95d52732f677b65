//! Which certificate is a node's: the candidates for a name out of a pile of files, and the choice among them (rule I4).
//!
//! A *candidate* is a certificate that claims the name and is no CA's. It is *usable* if its key is in the pile and the
//! one verify function takes it. Two rules choose: in a running node's store the usable one with the latest start is
//! live ([`live`]); an import takes a usable one only if there is no second one ([`the_only`]). The order in which files
//! were read decides nothing.

mod candidate;
mod choice;

#[cfg(test)]
mod tests;

pub use candidate::CertificateSummary;
pub(crate) use candidate::{Candidate, is_authority, issuer_of_list, without_subordinates};
pub use choice::CertificateSelector;
pub(crate) use choice::{live, the_only};

use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::code::Code;
use crate::error::Error;
use crate::identity::import::ImportedKey;
use crate::identity::{Identity, IdentityPolicy, KeyHash, Report, Trust};
use crate::limits::{CANDIDATES_MAX, MATERIAL_CERTIFICATES_MAX, MATERIAL_KEYS_MAX};
use crate::name::Name;
use crate::time::Timestamp;

/// Certificates and keys of many files. A file is a number that the shell gave it.
#[derive(Default)]
pub(crate) struct Pile {
    certificates: Vec<PiledCertificate>,
    keys: Vec<PiledKey>,
}

struct PiledCertificate {
    /// All that hold it.
    files: Vec<usize>,
    der: CertificateDer<'static>,
}

impl PiledCertificate {
    /// The first of its files that this is true of.
    fn file_in(&self, has_leaves: impl Fn(usize) -> bool) -> Option<usize> {
        self.files.iter().copied().find(|file| has_leaves(*file))
    }
}

/// A private key that can be loaded.
pub(crate) struct PiledKey {
    pub(crate) file: usize,
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// The name of its public key.
    pub(crate) hash: KeyHash,
}

impl Pile {
    /// Adds a file's certificates; one that is in several files is one certificate.
    ///
    /// # Errors
    ///
    /// [`Code::StoreTooLarge`].
    pub(crate) fn add_certificates(&mut self, file: usize, ders: Vec<CertificateDer<'static>>) -> Result<(), Error> {
        for der in ders {
            if self.certificates.len() >= MATERIAL_CERTIFICATES_MAX {
                return Err(Error::new(Code::StoreTooLarge)
                    .found(format!("more than {MATERIAL_CERTIFICATES_MAX} certificates")));
            }
            match self.certificates.iter_mut().find(|known| known.der == der) {
                Some(known) => known.files.push(file),
                None => self.certificates.push(PiledCertificate { files: vec![file], der }),
            }
        }
        Ok(())
    }

    /// Adds a private key; answers the name of its public key.
    ///
    /// # Errors
    ///
    /// [`Code::KeyUnreadable`] for what is no key of an accepted kind; [`Code::StoreTooLarge`].
    pub(crate) fn add_key(&mut self, file: usize, key: ImportedKey) -> Result<KeyHash, Error> {
        if self.keys.len() >= MATERIAL_KEYS_MAX {
            return Err(Error::new(Code::StoreTooLarge).found(format!("more than {MATERIAL_KEYS_MAX} private keys")));
        }
        let hash = public_key_of(&key.der)?;
        if !self.keys.iter().any(|known| known.hash == hash) {
            self.keys.push(PiledKey { file, der: key.der, hash });
        }
        Ok(hash)
    }

    /// The key of this name.
    pub(crate) fn key(&self, hash: KeyHash) -> Option<&PiledKey> {
        self.keys.iter().find(|key| key.hash == hash)
    }

    /// The names of all keys.
    pub(crate) fn key_hashes(&self) -> impl Iterator<Item = KeyHash> + '_ {
        self.keys.iter().map(|key| key.hash)
    }

    /// All candidates for a name, judged with this trust. `has_leaves` tells the files whose leaves compete; issuers and
    /// keys are taken from all of them.
    pub(crate) fn candidates(
        &self,
        name: &Name,
        trust: &Trust,
        policy: &IdentityPolicy,
        at: Timestamp,
        has_leaves: impl Fn(usize) -> bool,
    ) -> Vec<Candidate> {
        let ders: Vec<&CertificateDer<'static>> = self.certificates.iter().map(|piled| &piled.der).collect();
        self.certificates
            .iter()
            .filter_map(|leaf| Candidate::new(leaf.file_in(&has_leaves)?, &leaf.der, name, &ders))
            // One more than may be: the choice refuses it.
            .take(CANDIDATES_MAX + 1)
            .map(|candidate| candidate.judged(self, name, trust, policy, at))
            .collect()
    }

    /// The first certificate that is no CA's, or the first at all, whatever its name: to tell what is wrong with it.
    pub(crate) fn stranger(
        &self,
        name: &Name,
        trust: &Trust,
        policy: &IdentityPolicy,
        at: Timestamp,
    ) -> Option<Candidate> {
        let ders: Vec<&CertificateDer<'static>> = self.certificates.iter().map(|piled| &piled.der).collect();
        let leaf = self.certificates.iter().find(|piled| !is_authority(&piled.der)).or(self.certificates.first())?;
        let stranger = Candidate::of_any(leaf.file_in(|_| true)?, &leaf.der, &ders)?;
        Some(stranger.judged(self, name, trust, policy, at))
    }

    /// What is wrong with this very certificate.
    pub(crate) fn judged(
        &self,
        leaf: &CertificateDer<'static>,
        name: &Name,
        trust: &Trust,
        policy: &IdentityPolicy,
        at: Timestamp,
    ) -> Option<Candidate> {
        let ders: Vec<&CertificateDer<'static>> = self.certificates.iter().map(|piled| &piled.der).collect();
        let file = self.certificates.iter().find(|piled| piled.der == *leaf)?.file_in(|_| true)?;
        Some(Candidate::of_any(file, leaf, &ders)?.judged(self, name, trust, policy, at))
    }

    /// Whether a certificate of the pile has this key.
    pub(crate) fn has_leaf_of(&self, hash: KeyHash) -> bool {
        self.certificates.iter().any(|piled| candidate::public_key_of_certificate(&piled.der) == Some(hash))
    }

    /// What can be said of the certificates that are no CA's, for an error that has no candidate.
    pub(crate) fn leaves(&self, has_leaves: impl Fn(usize) -> bool) -> Vec<CertificateSummary> {
        let leaves =
            self.certificates.iter().filter(|piled| piled.file_in(&has_leaves).is_some() && !is_authority(&piled.der));
        leaves.filter_map(|piled| CertificateSummary::of(&piled.der)).collect()
    }

    /// The identity of a candidate: made by the check that its peers will make.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem`].
    pub(crate) fn identity_of(
        &self,
        candidate: &Candidate,
        name: &Name,
        trust: Trust,
        policy: IdentityPolicy,
        at: Timestamp,
    ) -> Result<Identity, Report> {
        let key = candidate.key().and_then(|hash| self.key(hash));
        let Some(key) = key else { return Err(Report::of(candidate.key_missing())) };
        Identity::from_parts(name, candidate.chain().to_vec(), &key.der, trust, policy, at)
    }
}

/// What a private key's algorithm is called.
fn kind_of(algorithm: ObjectIdentifier) -> String {
    match algorithm.to_string().as_str() {
        "1.2.840.113549.1.1.1" => "an RSA key".to_owned(),
        "1.2.840.10045.2.1" => "an elliptic curve key".to_owned(),
        "1.2.840.10040.4.1" => "a DSA key".to_owned(),
        other => format!("a key of the kind {other}"),
    }
}

/// Rule I2's keys.
const ACCEPTED_KEYS: &str = "RSA 2048 to 4096, ECDSA P-256, P-384 or P-521, or Ed25519";

/// The name of a private key's public key.
///
/// # Errors
///
/// [`Code::KeyUnreadable`]; [`Code::KeyUnsupported`] for a PKCS#8 key of a kind or size that is not accepted.
pub(crate) fn public_key_of(key: &[u8]) -> Result<KeyHash, Error> {
    let unreadable = |found: String| Error::new(Code::KeyUnreadable).found(found).expected(ACCEPTED_KEYS);
    let der = PrivateKeyDer::try_from(key).map_err(|problem| unreadable(problem.to_owned()))?;
    // Borrowed: what is handed over by value stays in memory that nobody clears.
    let loaded = any_supported_type(&der).map_err(|error| match PrivateKeyInfoRef::try_from(key) {
        // It can be read, and is of no use: another file or another password would not help.
        Ok(whole) => {
            let found = format!("{}, of a size or curve that is not accepted", kind_of(whole.algorithm.oid));
            Error::new(Code::KeyUnsupported).found(found).expected(ACCEPTED_KEYS)
        }
        Err(_) => unreadable(error.to_string()),
    })?;
    let public = loaded.public_key().map(|public| KeyHash::of(&public));
    public.ok_or_else(|| unreadable("a key without a public key".to_owned()))
}
