//! The authority itself: its key, what it signs.

use std::fs::OpenOptions;
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use nix::fcntl::{Flock, FlockArg};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;

use farpost::{Code, Name, Timestamp};

use crate::ca::index::{Index, Issued};
use crate::failure::Failure;
use crate::files::{self, Readers};

pub(super) const CERTIFICATE: &str = "ca.pem";
pub(super) const CRL: &str = "ca.crl";
const KEY: &str = "ca.key";
const INDEX: &str = "index.json";
const LOCK: &str = "lock";

/// An opened authority. One process at a time: the index must not lose a serial.
pub(super) struct Authority {
    directory: PathBuf,
    certificate: String,
    /// The end of the authority's own certificate, in seconds since 1970.
    until: i64,
    issuer: Issuer<'static, KeyPair>,
    index: Index,
    _lock: Flock<std::fs::File>,
}

/// A new certificate and its key, as PEM.
pub(super) struct Bundle {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) serial: String,
    pub(super) until: Timestamp,
}

impl Authority {
    /// Makes a new authority; one that is there is left alone.
    pub(super) fn make(directory: &Path, name: &str, days: u32) -> Result<(), Failure> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Failure::new(Code::Usage, "--name").found(format!("\"{name}\"")).expected("a common name"));
        }
        files::make_directory(directory)?;
        let _lock = lock(directory)?;
        let key_path = directory.join(KEY);
        if key_path.exists() {
            return Err(Failure::new(Code::FileUnreadable, key_path.display())
                .found("a certification authority")
                .expected("a directory without one")
                .remedy("choose another --directory; what this one has issued depends on its key"));
        }
        let key = new_key()?;
        let now = now();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.serial_number = Some(new_serial()?.0);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = after(date_time_ymd(1970, 1, 1), now - CLOCK_SKEW);
        params.not_after = after(date_time_ymd(1970, 1, 1), now + i64::from(days) * DAY);
        let certificate = params.self_signed(&key).map_err(|error| unsigned(&error))?;
        Index::default().write(&directory.join(INDEX))?;
        files::write(&directory.join(CERTIFICATE), certificate.pem().as_bytes(), Readers::All)?;
        // Last: with the key the authority is there, and whole.
        files::write(&key_path, key.serialize_pem().as_bytes(), Readers::Owner)
    }

    /// Opens an authority and keeps others out until it is dropped.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let key_path = directory.join(KEY);
        if !key_path.exists() {
            return Err(Failure::new(Code::FileMissing, key_path.display())
                .expected("a certification authority")
                .remedy("farpost ca init"));
        }
        let lock = lock(directory)?;
        let certificate = files::read_text(&directory.join(CERTIFICATE))?;
        let key = KeyPair::from_pem(&files::read_text(&key_path)?)
            .map_err(|error| Failure::new(Code::KeyUnreadable, key_path.display()).found(error))?;
        let unusable =
            |found: String| Failure::new(Code::TrustUnusable, directory.join(CERTIFICATE).display()).found(found);
        let until = {
            let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|error| unusable(error.to_string()))?;
            let parsed = pem.parse_x509().map_err(|error| unusable(error.to_string()))?;
            parsed.validity().not_after.timestamp()
        };
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| unusable(error.to_string()))?;
        let index = Index::read(&directory.join(INDEX))?;
        Ok(Self { directory: directory.to_owned(), certificate, until, issuer, index, _lock: lock })
    }

    /// The authority's own certificate, as PEM.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Issues a certificate; its serial is in the index before anybody has it.
    pub(super) fn issue(&mut self, name: &Name, others: &[Name], days: u32) -> Result<Bundle, Failure> {
        let key = new_key()?;
        let (serial_number, serial) = new_serial()?;
        let until = (now() + i64::from(days) * DAY).min(self.until);
        let mut names = vec![name.to_string()];
        names.extend(others.iter().filter(|other| *other != name).map(Name::to_string));
        let mut params = CertificateParams::new(names).map_err(|error| unsigned(&error))?;
        params.distinguished_name = common_name(name.as_str());
        params.serial_number = Some(serial_number);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = after(date_time_ymd(1970, 1, 1), now() - CLOCK_SKEW);
        params.not_after = after(date_time_ymd(1970, 1, 1), until);
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| unsigned(&error))?;
        self.index.issued.push(Issued { serial: serial.clone(), name: name.to_string(), until, revoked: None });
        self.index.write(&self.directory.join(INDEX))?;
        Ok(Bundle {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
            until: Timestamp::from_unix_seconds(until),
        })
    }

    /// Revokes a serial; the next list has it.
    pub(super) fn revoke(&mut self, serial: &str) -> Result<(), Failure> {
        self.index.revoke(serial, now())
    }

    /// Writes `ca.crl`, PEM, with a number above the last one's, which is the answer.
    pub(super) fn write_crl(&mut self, days: u32) -> Result<u64, Failure> {
        self.index.crl_number += 1;
        let mut revoked_certs = Vec::new();
        for issued in &self.index.issued {
            if let Some(revoked) = issued.revoked {
                revoked_certs.push(RevokedCertParams {
                    serial_number: serial_from_hex(&issued.serial)?,
                    revocation_time: after(date_time_ymd(1970, 1, 1), revoked),
                    reason_code: None,
                    invalidity_date: None,
                });
            }
        }
        let params = CertificateRevocationListParams {
            this_update: after(date_time_ymd(1970, 1, 1), now() - CLOCK_SKEW),
            next_update: after(date_time_ymd(1970, 1, 1), now() + i64::from(days) * DAY),
            crl_number: SerialNumber::from(self.index.crl_number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.issuer).map_err(|error| unsigned(&error))?;
        // The number first: a list that is lost is followed by a higher one.
        self.index.write(&self.directory.join(INDEX))?;
        let pem = crl.pem().map_err(|error| unsigned(&error))?;
        files::write(&self.directory.join(CRL), pem.as_bytes(), Readers::All)?;
        Ok(self.index.crl_number)
    }
}

/// The serial number of the first certificate in a file.
pub(super) fn serial_of(file: &Path) -> Result<String, Failure> {
    let text = files::read_text(file)?;
    let unreadable = |found: String| Failure::new(Code::CertificateUnreadable, file.display()).found(found);
    let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
    let certificate = pem.parse_x509().map_err(|error| unreadable(error.to_string()))?;
    Ok(hex(certificate.tbs_certificate.raw_serial()))
}

fn lock(directory: &Path) -> Result<Flock<std::fs::File>, Failure> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| files::unreadable(&path, &error))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| files::unreadable(&path, &errno.into()))
}

fn new_key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| unsigned(&error))
}

/// 126 random bits, positive and always 16 bytes long; the number and its text.
fn new_serial() -> Result<(SerialNumber, String), Failure> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Failure::new(Code::Internal, "random numbers").found("none"))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok((SerialNumber::from_slice(&bytes), hex(&bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serial_from_hex(text: &str) -> Result<SerialNumber, Failure> {
    let digits: Option<Vec<u8>> = text.bytes().map(|byte| char::from(byte).to_digit(16)?.try_into().ok()).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2) && !digits.is_empty()).ok_or_else(|| {
        Failure::new(Code::FileUnreadable, INDEX)
            .found(format!("serial \"{text}\""))
            .expected("pairs of hexadecimal digits")
    })?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    Ok(SerialNumber::from_slice(&bytes))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 as the time that certificates are given.
fn after<T: Add<Duration, Output = T>>(year_1970: T, seconds: i64) -> T {
    year_1970 + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn unsigned(error: &rcgen::Error) -> Failure {
    Failure::new(Code::Internal, "the certificate").found(error)
}

/// How far a node's clock may be behind the authority's.
const CLOCK_SKEW: i64 = 300;
/// Seconds.
const DAY: i64 = 86_400;
