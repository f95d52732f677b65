//! Certificates for the tests: a CA, nodes' certificates that can be spoilt in one place, a revocation list.

use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

/// A CA, or a node's certificate that one issued, with the private key.
pub(crate) struct Certified {
    pub(crate) name: String,
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
    params: CertificateParams,
}

impl Certified {
    /// A self-signed CA.
    pub(crate) fn authority(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { name: name.to_owned(), key, certificate, params }
    }

    /// A node's certificate, good in every respect (rule I2).
    pub(crate) fn issue(&self, name: &str) -> Self {
        self.issue_spoilt(name, |_| ())
    }

    /// A node's certificate, good in every respect but what `spoil` does to it.
    pub(crate) fn issue_spoilt(&self, name: &str, spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        self.issue_with(name, KeyPair::generate().unwrap(), spoil)
    }

    /// The same for a key of any kind.
    pub(crate) fn issue_with(&self, name: &str, key: KeyPair, spoil: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, certificate) = self.certify(name, &key, spoil);
        Self { name: name.to_owned(), key, certificate, params }
    }

    /// A certificate alone, for a key that is elsewhere.
    pub(crate) fn certify(
        &self,
        name: &str,
        key: &impl PublicKeyData,
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateParams, Certificate) {
        let mut params = params(name);
        params.subject_alt_names = CertificateParams::new(vec![name.to_owned()]).unwrap().subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        spoil(&mut params);
        let certificate = params.signed_by(key, &self.issuer()).unwrap();
        (params, certificate)
    }

    /// This CA's list of what it revoked; each one is newer than those that were made before.
    pub(crate) fn revocation_list(&self, revoked: &[&Self]) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let of = |one: &&Self| RevokedCertParams {
            serial_number: one.params.serial_number.clone().unwrap(),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2045, 1, 1),
            crl_number: SerialNumber::from(NUMBER.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(of).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// Valid for all the years in which somebody may run these tests.
fn params(name: &str) -> CertificateParams {
    // The same key would give the same serial number, and keys are many here.
    static SERIAL: AtomicU64 = AtomicU64::new(1000);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    params.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    params
}
