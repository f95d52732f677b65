//! An authority on this computer: its key, what it signs, what it revokes.
//!
//! Its directory holds `ca.pem`, `ca.key` (mode 0600), `index.json` (issued serials, revocations, the list's number),
//! `lock`, `issued/` (what nodes got over their links, by name and key) and, once made, `ca.crl`. Every call takes the lock, reads what is there and writes what it changed, so that
//! any number of processes and threads share one authority.

mod unlocked;

use std::fs::DirBuilder;
use std::ops::Add;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use futures::future::BoxFuture;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::index::{Index, Issued};
use super::{CertificateAuthority, Issuance, Order};
use crate::code::Code;
use crate::error::{Error, Result};
use crate::identity::{CertificateRequest, file_stem, pem};
use crate::limits::CERTIFICATE_VALIDITY;
use crate::name::Name;
use crate::session::identity_store::read;
use crate::session::{atomic_file, clock};
use crate::time::Timestamp;

#[cfg(test)]
pub(super) use unlocked::lock;
use unlocked::{LOCK_WAIT, Unlocked};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const CRL: &str = "ca.crl";
const INDEX: &str = "index.json";
const ISSUED: &str = "issued";

/// A certification authority in a directory of this computer, as `farpost ca init` makes one.
///
/// From a request it takes the name and the key, and nothing else: certificates have both enhanced key usages,
/// digitalSignature, the name as dNSName and, where it fits, as common name, and random serial numbers of 126 bits.
#[derive(Clone, Debug)]
pub struct LocalAuthority {
    directory: PathBuf,
    valid_for: Duration,
    /// One order at a time: the lock's next owner would only wait on another thread.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A certificate that a [`LocalAuthority`] issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalCertificate {
    /// The certificate, then its intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl LocalCertificate {
    /// The chain as PEM, leaf first.
    pub fn to_pem(&self) -> String {
        self.chain.iter().map(|der| pem::encode("CERTIFICATE", der).to_string()).collect()
    }
}

impl LocalAuthority {
    /// Makes a new authority in a directory; one that is there is left alone. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::FileUnreadable`] where there is one, or the directory cannot be written; [`Code::ArgumentInvalid`] for a
    /// common name that is none.
    pub fn make(directory: impl Into<PathBuf>, common_name: &str, valid_for: Duration) -> Result<Self> {
        let directory = directory.into();
        if common_name.is_empty() || common_name.chars().any(char::is_control) {
            let found = format!("\"{}\"", crate::error::printable(common_name));
            return Err(Error::new(Code::ArgumentInvalid).subject("--name").found(found).expected("a common name"));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unusable_file(&directory, &error))?;
        let _lock = unlocked::lock(&directory, LOCK_WAIT)?;
        let key_path = directory.join(KEY);
        if key_path.exists() {
            return Err(Error::new(Code::FileUnreadable)
                .subject(key_path.display().to_string())
                .found("a certification authority")
                .expected("a directory without one")
                .remedy("choose another --directory; what this one has issued depends on its key"));
        }
        let key = Zeroizing::new(KeyPair::generate().map_err(|error| unsigned(&error))?);
        let now = clock::wall().unix_seconds();
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(Some(common_name));
        params.serial_number = Some(new_serial()?.0);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = after(date_time_ymd(1970, 1, 1), now - CLOCK_SKEW);
        params.not_after = after(date_time_ymd(1970, 1, 1), later(now, valid_for));
        let certificate = params.self_signed(&*key).map_err(|error| unsigned(&error))?;
        Index::default().write(&directory.join(INDEX))?;
        atomic_file::replace(&directory.join(CERTIFICATE), atomic_file::ALL, certificate.pem().as_bytes())?;
        // Last: with the key the authority is there, and whole.
        let key = Zeroizing::new(key.serialize_pem());
        atomic_file::write_new(&key_path, atomic_file::OWNER, key.as_bytes())?;
        Ok(Self::of(directory, CERTIFICATE_VALIDITY))
    }

    /// The authority in a directory, whose certificates are valid for so long, and at most until its own ends. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::FileMissing`] where there is none; [`Code::KeyExposed`], [`Code::KeyUnreadable`],
    /// [`Code::KeyMismatch`], [`Code::TrustUnusable`], [`Code::CertificateExpired`], [`Code::FileUnreadable`].
    pub fn open(directory: impl Into<PathBuf>, valid_for: Duration) -> Result<Self> {
        let authority = Self::of(directory.into(), valid_for);
        Unlocked::open(&authority.directory)?;
        Ok(authority)
    }

    fn of(directory: PathBuf, valid_for: Duration) -> Self {
        Self { directory, valid_for, turn: Arc::default() }
    }

    /// The file with the authority's own certificate: the trust anchor of its nodes.
    pub fn certificate_file(&self) -> PathBuf {
        self.directory.join(CERTIFICATE)
    }

    /// The file that [`Self::write_crl`] writes.
    pub fn crl_file(&self) -> PathBuf {
        self.directory.join(CRL)
    }

    /// Issues a certificate for a request's name and key, with further names. Its serial number is in the index before
    /// anybody has it. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; [`Code::TimedOut`] where another process keeps the authority locked.
    pub fn sign(&self, request: &CertificateRequest, further_names: &[Name]) -> Result<LocalCertificate> {
        self.sign_unlocked(&mut Unlocked::open(&self.directory)?, request, further_names)
    }

    fn sign_unlocked(
        &self,
        open: &mut Unlocked,
        request: &CertificateRequest,
        further_names: &[Name],
    ) -> Result<LocalCertificate> {
        let now = clock::wall().unix_seconds();
        let until = later(now, self.valid_for).min(open.until);
        let key = SubjectPublicKeyInfo::from_der(request.public_key()).map_err(|error| unsigned(&error))?;
        let (serial_number, serial) = new_serial()?;
        let mut params = params_of(request.name(), further_names)?;
        params.serial_number = Some(serial_number);
        params.not_before = after(date_time_ymd(1970, 1, 1), now - CLOCK_SKEW);
        params.not_after = after(date_time_ymd(1970, 1, 1), until);
        let certificate = params.signed_by(&key, &open.issuer()?).map_err(|error| unsigned(&error))?;
        let (name, key) = (request.name().to_string(), Some(request.key_hash().first_digits()));
        let authority = Some(open.key_digits());
        let forgotten =
            open.index.add(Issued { serial: serial.clone(), name, until, revoked: None, key, authority }, now);
        open.index.write(&self.directory.join(INDEX))?;
        forgotten.iter().for_each(|old| self.forget(old));
        let mut chain = vec![certificate.der().clone()];
        chain.extend_from_slice(&open.intermediates);
        Ok(LocalCertificate { chain, serial, not_after: Timestamp::from_unix_seconds(until) })
    }

    /// Removes what a node got long ago. What stays for want of a permission is an old certificate, which anybody may
    /// have.
    fn forget(&self, old: &Issued) {
        // The index is a file, and no text of a file becomes a path unread.
        let digits = old.key.as_deref().filter(|key| key.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let (Ok(name), Some(digits)) = (Name::parse(&old.name), digits) {
            let _ = std::fs::remove_file(self.directory.join(ISSUED).join(format!("{}.pem", file_stem(&name, digits))));
        }
    }

    /// Answers an order: with the certificate that it got before, while that one serves; else with a new one. So a
    /// request that is shown again and again, by whomever, costs one certificate.
    fn answer(&self, order: &Order) -> Result<Vec<CertificateDer<'static>>> {
        let mut open = Unlocked::open(&self.directory)?;
        let file = self.directory.join(ISSUED).join(format!("{}.pem", order.request.file_stem()));
        if let Some(chain) = kept_answer(&open, order, &file) {
            return Ok(chain);
        }
        let signed = self.sign_unlocked(&mut open, &order.request, &[])?;
        let issued = self.directory.join(ISSUED);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&issued);
        made.map_err(|error| unusable_file(&issued, &error))?;
        atomic_file::replace(&file, atomic_file::ALL, signed.to_pem().as_bytes())?;
        Ok(signed.chain)
    }

    /// Revokes a serial number, hexadecimal; the next list has it. Blocks.
    ///
    /// # Errors
    ///
    /// [`Code::CertificateMissing`] if it is not one of this authority's; as [`Self::sign`].
    pub fn revoke(&self, serial: &str) -> Result<()> {
        let mut open = Unlocked::open(&self.directory)?;
        open.index.revoke(serial, clock::wall().unix_seconds())?;
        open.index.write(&self.directory.join(INDEX))
    }

    /// Writes `ca.crl`, PEM, with a number above the last one's, which is the answer. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::sign`].
    pub fn write_crl(&self, current_for: Duration) -> Result<u64> {
        let mut open = Unlocked::open(&self.directory)?;
        open.index.crl_number += 1;
        let mut revoked_certs = Vec::new();
        for issued in &open.index.issued {
            if let Some(revoked) = issued.revoked {
                revoked_certs.push(RevokedCertParams {
                    serial_number: serial_from_hex(&issued.serial)?,
                    revocation_time: after(date_time_ymd(1970, 1, 1), revoked),
                    reason_code: None,
                    invalidity_date: None,
                });
            }
        }
        let now = clock::wall().unix_seconds();
        let params = CertificateRevocationListParams {
            this_update: after(date_time_ymd(1970, 1, 1), now - CLOCK_SKEW),
            next_update: after(date_time_ymd(1970, 1, 1), later(now, current_for)),
            crl_number: SerialNumber::from(open.index.crl_number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&open.issuer()?).map_err(|error| unsigned(&error))?;
        // The number first: a list that is lost is followed by a higher one.
        open.index.write(&self.directory.join(INDEX))?;
        let pem = crl.pem().map_err(|error| unsigned(&error))?;
        atomic_file::replace(&self.directory.join(CRL), atomic_file::ALL, pem.as_bytes())?;
        Ok(open.index.crl_number)
    }
}

impl CertificateAuthority for LocalAuthority {
    fn issue(&self, order: Order) -> BoxFuture<'_, Result<Issuance>> {
        Box::pin(async move {
            if order.name != *order.request.name() {
                return Err(Error::new(Code::Internal)
                    .subject(order.name.as_str())
                    .found("a request for another name"));
            }
            let _turn = self.turn.lock().await;
            let authority = self.clone();
            let answer = tokio::task::spawn_blocking(move || authority.answer(&order)).await;
            let chain = answer.map_err(|error| Error::new(Code::Internal).found(error.to_string()))??;
            Ok(Issuance::Issued(chain))
        })
    }
}

/// The certificate that an order got before: still good, not revoked, of the authority's present key, and later than
/// the one that a renewal is to replace.
fn kept_answer(open: &Unlocked, order: &Order, file: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let kept = pem::certificates(&read(file).ok()?).ok()?;
    let chain = order.request.check_answer(&kept, clock::wall()).ok()?;
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    let not_after = Timestamp::from_unix_seconds(leaf.validity().not_after.timestamp());
    let serial: String = leaf.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    let in_force = open.index.is_in_force(&serial, &order.request.key_hash().first_digits(), &open.key_digits());
    (in_force && order.reason.is_served_by(not_after)).then_some(chain)
}

/// What every certificate of a node has.
fn params_of(name: &Name, further_names: &[Name]) -> Result<CertificateParams> {
    let mut names = vec![name.to_string()];
    names.extend(further_names.iter().filter(|further| *further != name).map(Name::to_string));
    let mut params = CertificateParams::new(names).map_err(|error| unsigned(&error))?;
    let common_name = CertificateRequest::fits_common_name(name).then_some(name.as_str());
    params.distinguished_name = distinguished_name(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 126 random bits, positive and always 16 bytes long; the number and its text.
fn new_serial() -> Result<(SerialNumber, String)> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Error::new(Code::Internal).subject("random numbers").found("none"))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok((SerialNumber::from_slice(&bytes), bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn serial_from_hex(text: &str) -> Result<SerialNumber> {
    let digits: Option<Vec<u8>> = text.bytes().map(|byte| char::from(byte).to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2) && !digits.is_empty()).ok_or_else(|| {
        Error::new(Code::FileUnreadable)
            .subject(INDEX)
            .found(format!("serial \"{}\"", crate::error::printable(text)))
            .expected("pairs of hexadecimal digits")
    })?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    Ok(SerialNumber::from_slice(&bytes))
}

fn distinguished_name(common_name: Option<&str>) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    if let Some(common_name) = common_name {
        out.push(DnType::CommonName, common_name);
    }
    out
}

/// Seconds since 1970, so much later.
fn later(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)).min(YEAR_9999)
}

/// Seconds since 1970 as the time that certificates are given.
fn after<T: Add<Duration, Output = T>>(year_1970: T, seconds: i64) -> T {
    year_1970 + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn unsigned(error: &rcgen::Error) -> Error {
    Error::new(Code::Internal).subject("the certificate").found(error.to_string())
}

fn unusable_file(path: &Path, error: &std::io::Error) -> Error {
    let code = if error.kind() == std::io::ErrorKind::NotFound { Code::FileMissing } else { Code::FileUnreadable };
    Error::new(code).subject(path.display().to_string()).found(error.to_string())
}

/// How far a node's clock may be behind the authority's.
const CLOCK_SKEW: i64 = 300;
/// 9999-12-31, the last day that a certificate can name (RFC 5280 section 4.1.2.5).
const YEAR_9999: i64 = 253_402_214_400;
