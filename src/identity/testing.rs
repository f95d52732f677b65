//! A public key infrastructure for tests: every certificate can be spoilt in one place.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::identity::{Identity, IdentityPolicy, Report, Trust};
use crate::name::Name;
use crate::time::Timestamp;

/// The name that leaves of this infrastructure have unless told otherwise.
pub(crate) const NAME: &str = "pc7.branch.example";

/// The time of the tests: 2026-06-01, in the middle of every good certificate's year.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(date_time_ymd(2026, 6, 1).unix_timestamp())
}

pub(crate) fn name() -> Name {
    Name::parse(NAME).unwrap()
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
}

impl Issued {
    /// A self-signed root; `spoil` may change it.
    pub(crate) fn root(spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority("root", spoil));
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, certificate }
    }

    /// An intermediate that this one issues.
    pub(crate) fn intermediate(&self, common_name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue(authority(common_name, spoil), KeyPair::generate().unwrap())
    }

    /// A node's certificate that this one issues.
    pub(crate) fn leaf(&self, spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        self.leaf_of(NAME, spoil)
    }

    pub(crate) fn leaf_of(&self, name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue(node(name, spoil), KeyPair::generate().unwrap())
    }

    pub(crate) fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self { params, key, certificate }
    }

    /// The revocation list of this one, number `number`, of these serial numbers; `spoil` may change it.
    pub(crate) fn list(
        &self,
        number: u64,
        revoked: &[&Self],
        spoil: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> String {
        let revoked_certs = revoked
            .iter()
            .map(|one| RevokedCertParams {
                serial_number: one.params.serial_number.clone().unwrap(),
                revocation_time: date_time_ymd(2026, 3, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 5, 1),
            next_update: date_time_ymd(2026, 7, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        spoil(&mut params);
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// An identity of this leaf under this root.
    pub(crate) fn identity(&self, root: &Self, lists: &[&str], policy: IdentityPolicy) -> Result<Identity, Report> {
        let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_bytes()).collect();
        let own = name_of(self);
        let (chain, key, root) = (self.pem(), self.key_pem(), root.pem());
        Identity::from_pem(&own, chain.as_bytes(), key.as_bytes(), &[root.as_bytes()], &lists, policy, now())
    }

    /// Trust in this root.
    pub(crate) fn trust(&self, lists: &[&str]) -> Result<Trust, Report> {
        let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_bytes()).collect();
        Trust::from_pem(&[self.pem().as_bytes()], &lists)
    }
}

/// Chains of eight certificates that make path building work, with P-521 keys, which are the slowest to check: what they
/// are, the leaf, the chain.
pub(crate) fn hostile_chains() -> [(&'static str, Issued, Vec<CertificateDer<'static>>); 2] {
    let key = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let stranger = Issued::root(|_| {});
    let presented = |leaf: &Issued, others: &[Issued]| std::iter::once(leaf).chain(others).map(Issued::der).collect();

    // Seven CAs that bear one name: each may have issued each.
    let mut same_name = vec![stranger.issue(stranger.intermediate("CA", |_| {}).params, key())];
    for _ in 0..6 {
        let above = &same_name[same_name.len() - 1];
        same_name.push(above.issue(above.intermediate("CA", |_| {}).params, key()));
    }
    let of_one_name = same_name[6].leaf(|_| {});
    let one_name = presented(&of_one_name, &same_name);

    // Two keys of each CA: as many paths as the limits allow.
    let mut twins = vec![stranger.intermediate("top", |_| {})];
    for level in 0..3 {
        let above = twins.len() - 1;
        let params = twins[above].intermediate(&format!("level {level}"), |_| {}).params;
        twins.push(twins[above].issue(params.clone(), key()));
        twins.push(twins[above].issue(params, key()));
    }
    let of_twins = twins[6].leaf(|_| {});
    let two_keys = presented(&of_twins, &twins);
    [("seven CAs of one name", of_one_name, one_name), ("two keys of each CA", of_twins, two_keys)]
}

fn name_of(leaf: &Issued) -> Name {
    match leaf.params.subject_alt_names.first() {
        Some(rcgen::SanType::DnsName(name)) => Name::parse(name.as_str()).unwrap_or_else(|_| self::name()),
        _ => self::name(),
    }
}

fn authority(common_name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2035, 1, 1);
    params.serial_number = Some(next_serial());
    spoil(&mut params);
    params
}

fn node(name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = distinguished_name(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.serial_number = Some(next_serial());
    spoil(&mut params);
    params
}

/// rcgen's own default has a common name that the rule `san` refuses.
pub(crate) fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::CommonName, common_name);
    out
}

/// The same key would give the same serial number.
fn next_serial() -> SerialNumber {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    SerialNumber::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the openssl command in a directory; `None` where there is none.
pub(crate) fn openssl(directory: &std::path::Path, arguments: &str) -> Option<std::process::Output> {
    let output = std::process::Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: openssl: {error}");
            None
        }
    }
}
